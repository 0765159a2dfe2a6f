//! Refusals that somebody may have to answer for: what residency kept from travelling, and peers that overstepped.
//!
//! They are written to the store within a second. Equal ones of that second are one record with a count, so that a crowd of
//! calls cannot push older records out.

use std::collections::BTreeMap;
use std::sync::{Mutex, PoisonError};
use std::time::SystemTime;

use spillway_cluster::AuditEntry;
use spillway_types::{AuditKind, FunctionId};

use crate::deploy::millis;

/// Different records of one second; what is beyond is counted in one that says so.
const PENDING_MAX: usize = 256;

/// Records that are not written yet. Lives as long as the node.
#[derive(Default)]
pub(crate) struct AuditLog(Mutex<BTreeMap<AuditKey, AuditEntry>>);

type AuditKey = (AuditKind, Option<FunctionId>, Option<String>);

/// Something to be remembered.
pub(crate) struct Audited {
    pub(crate) kind: AuditKind,
    pub(crate) function: Option<FunctionId>,
    /// The other node, if one had part in it.
    pub(crate) peer: Option<String>,
    pub(crate) invocation: Option<String>,
    pub(crate) detail: String,
}

impl AuditLog {
    pub(crate) fn note(&self, audited: Audited) {
        let Audited { kind, mut function, mut peer, invocation, mut detail } = audited;
        let mut pending = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if pending.len() >= PENDING_MAX && !pending.contains_key(&(kind, function.clone(), peer.clone())) {
            (function, peer) = (None, None);
            "more of this kind than are told apart".clone_into(&mut detail);
        }
        let key = (kind, function.clone(), peer.clone());
        let time_ms = millis(SystemTime::now());
        let new = || AuditEntry { time_ms, kind, function, peer, invocation, count: 0, detail };
        pending.entry(key).or_insert_with(new).count += 1;
    }

    pub(crate) fn take(&self) -> Vec<AuditEntry> {
        std::mem::take(&mut *self.0.lock().unwrap_or_else(PoisonError::into_inner)).into_values().collect()
    }

    /// Puts back what could not be written.
    pub(crate) fn put_back(&self, entries: Vec<AuditEntry>) {
        let mut pending = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        for mut entry in entries {
            let key = (entry.kind, entry.function.clone(), entry.peer.clone());
            if let Some(newer) = pending.remove(&key) {
                entry.count += newer.count;
            }
            pending.insert(key, entry);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn audited(function: &str) -> Audited {
        Audited {
            kind: AuditKind::Residency,
            function: Some(function.parse().unwrap()),
            peer: None,
            invocation: None,
            detail: "kept".to_owned(),
        }
    }

    #[test]
    fn equal_refusals_are_one_record_with_a_count_and_survive_a_failed_write() {
        let log = AuditLog::default();
        for function in ["a", "a", "b"] {
            log.note(audited(function));
        }
        let taken = log.take();
        assert_eq!(taken.iter().map(|entry| entry.count).collect::<Vec<_>>(), [2, 1]);
        assert!(log.take().is_empty());
        log.note(audited("a"));
        log.put_back(taken);
        assert_eq!(log.take().iter().map(|entry| entry.count).collect::<Vec<_>>(), [3, 1]);
    }

    #[test]
    fn a_flood_of_unlike_refusals_is_counted_in_one() {
        let log = AuditLog::default();
        for number in 0..2 * PENDING_MAX {
            log.note(audited(&format!("f{number}")));
        }
        let taken = log.take();
        assert_eq!(taken.len(), PENDING_MAX + 1);
        assert_eq!(taken.iter().map(|entry| entry.count).sum::<u64>(), 2 * PENDING_MAX as u64);
    }
}
