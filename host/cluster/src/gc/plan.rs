//! Which revisions go: a plain function of what there is.

use std::collections::{HashMap, HashSet};

use spillway_types::Digest;

/// A revision that may have to go.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Candidate {
    /// Key of its function's row.
    pub(super) function: i64,
    /// Its number there.
    pub(super) number: u64,
    /// Its age, by the clock of whoever committed it: only an order among the revisions of one node.
    pub(super) created_at_ms: u64,
    /// Its bundle and its models.
    pub(super) blobs: Vec<Digest>,
    /// Whether it is active, or was before the active one: then it stays, so that a rollback is instant.
    pub(super) serves: bool,
    /// Whether it is among its function's newest, which stay while the budget allows.
    pub(super) recent: bool,
}

/// The revisions to drop: all that neither serve nor are recent, then, while the blobs exceed `budget_bytes`, the oldest
/// that hold a blob which dropping revisions can free. `pinned` blobs stay whatever happens, so dropping for them is vain.
pub(super) fn surplus(
    candidates: Vec<Candidate>,
    bytes: &HashMap<Digest, u64>,
    pinned: &HashSet<Digest>,
    budget_bytes: u64,
) -> Vec<Candidate> {
    let (mut kept, mut surplus): (Vec<_>, Vec<_>) = candidates.into_iter().partition(|c| c.serves || c.recent);
    let serving = kept.iter().filter(|candidate| candidate.serves).flat_map(|candidate| &candidate.blobs);
    let fixed: HashSet<Digest> = serving.chain(pinned).copied().collect();
    kept.sort_unstable_by_key(|candidate| (candidate.created_at_ms, candidate.function, candidate.number));
    loop {
        let stays: HashSet<&Digest> = kept.iter().flat_map(|candidate| &candidate.blobs).chain(&fixed).collect();
        let total: u64 = stays.into_iter().filter_map(|digest| bytes.get(digest)).sum();
        let frees = |c: &Candidate| c.blobs.iter().any(|blob| bytes.contains_key(blob) && !fixed.contains(blob));
        match kept.iter().position(|candidate| !candidate.serves && frees(candidate)) {
            Some(oldest) if total > budget_bytes => surplus.push(kept.remove(oldest)),
            _ => return surplus,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn digest(name: &str) -> Digest {
        Digest::of(name.as_bytes())
    }

    fn candidate(number: u64, blobs: &[&str]) -> Candidate {
        let blobs = blobs.iter().map(|name| digest(name)).collect();
        Candidate { function: 1, number, created_at_ms: number, blobs, serves: false, recent: true }
    }

    fn dropped(candidates: Vec<Candidate>, pinned: &[&str], budget_bytes: u64) -> Vec<u64> {
        let bytes = ["a", "b", "c", "model"].iter().map(|name| (digest(name), 10)).collect();
        let pinned = pinned.iter().map(|name| digest(name)).collect();
        surplus(candidates, &bytes, &pinned, budget_bytes).iter().map(|candidate| candidate.number).collect()
    }

    #[test]
    fn within_the_budget_only_revisions_beyond_the_count_go() {
        let old = Candidate { recent: false, ..candidate(1, &["a"]) };
        let rolled_back_to = Candidate { recent: false, serves: true, ..candidate(2, &["b"]) };
        assert_eq!(dropped(vec![old, rolled_back_to, candidate(3, &["c"])], &[], 100), [1]);
    }

    #[test]
    fn over_the_budget_the_oldest_go_until_it_fits() {
        let active = Candidate { serves: true, ..candidate(3, &["c"]) };
        assert_eq!(dropped(vec![active.clone(), candidate(2, &["b"]), candidate(1, &["a"])], &[], 20), [1]);
        assert_eq!(dropped(vec![active, candidate(2, &["b"]), candidate(1, &["a"])], &[], 0), [1, 2]);
    }

    #[test]
    fn a_revision_whose_blobs_stay_anyway_is_not_dropped_for_the_budget() {
        let active = Candidate { serves: true, ..candidate(3, &["c", "model"]) };
        let shares_all = candidate(1, &["c", "model"]);
        assert_eq!(dropped(vec![active, shares_all, candidate(2, &["b"])], &["b"], 0), [0; 0]);
    }

    #[test]
    fn two_old_revisions_that_share_a_blob_go_together() {
        let active = Candidate { serves: true, ..candidate(3, &["c"]) };
        assert_eq!(dropped(vec![active, candidate(1, &["a"]), candidate(2, &["a"])], &[], 10), [1, 2]);
    }
}
