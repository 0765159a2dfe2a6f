//! Where a call of a function runs that this node serves: here, on a peer, or nowhere.
//!
//! A call that is expected to be made here, and whose function wants it near, stays without a look at others: that costs a
//! lookup and a lock. Only a call that would be late is worth more.

use std::sync::Arc;
use std::time::{Duration, Instant};

use spillway_placement::admission::{Decision, Demand, Offer, decide, has_room};
use spillway_placement::forward::Reason;
use spillway_placement::{Prediction, Tariff};
use spillway_types::{Effects, Money, NodeName, Prefer, Problem, ProblemType};

use super::forward::Errand;
use super::respond::whole_seconds;
use crate::cluster::Cluster;
use crate::estimates::Expected;
use crate::gate::Gate;
use crate::node::Node;
use crate::peers::Peer;
use crate::revision::Revision;

/// A choice, and what it rests on.
pub(super) enum Choice {
    Here,
    /// To the first of these that takes it.
    There(Vec<Arc<Peer>>),
    Refuse(Problem),
}

impl Node {
    /// Chooses for a call that came from a caller (`errand.journey` is none) or from a peer, which is run or refused; so is
    /// one that peers have refused, where `may_send` is false.
    pub(super) fn choose(
        &self,
        revision: &Revision,
        errand: &Errand<'_>,
        expected: &Expected,
        body_bytes: u64,
        may_send: bool,
    ) -> Choice {
        let placement = &revision.manifest.placement;
        if Gate::passes(expected) {
            return Choice::Here;
        }
        let patience = errand.deadline.saturating_duration_since(Instant::now());
        let demand = Demand { patience, prefer: placement.prefer, max_cost: placement.max_cost };
        let work = expected.work.unwrap_or_default();
        let (wait, correction) = self.gate.wait(errand.priority, errand.deadline);
        let here = Offer {
            way: Duration::ZERO,
            wait: wait.mul_f64(correction),
            run: expected.run.map(|run| slower(run, correction)),
            cost: self.metrics().tariff().cost(work, expected.memory, 0),
        };
        if placement.prefer == Prefer::Near && has_room(&demand, &here) {
            return Choice::Here;
        }
        let cluster = self.cluster.as_ref().filter(|_| {
            may_send
                && self.config.overflow
                && errand.journey.is_none()
                && revision.manifest.capabilities.keyvalue.is_empty()
        });
        let looked = cluster.map(|cluster| offers(cluster, errand, expected, self.metrics().tariff(), body_bytes));
        let (peers, kept_by_residency) = looked.unwrap_or_default();
        let compared: Vec<Offer> = peers.iter().map(|(_, offer)| *offer).collect();
        let decision = decide(&demand, Some(&here), &compared, rand::random());
        let names: Vec<(NodeName, Offer)> = peers.iter().map(|(peer, offer)| (peer.name().clone(), *offer)).collect();
        // What becomes of a call that others have refused belongs to the decision that sent it.
        if may_send {
            self.decisions.note(&revision.id, &demand, &here, &names, decision);
        }
        match decision {
            Decision::Here => Choice::Here,
            Decision::There(chosen) => {
                // The chosen one first; should it refuse, whoever else makes it.
                let mut order: Vec<usize> = (0..peers.len()).filter(|index| *index != chosen).collect();
                order.retain(|index| compared[*index].makes(&demand));
                order.sort_by_key(|index| compared[*index].finish());
                order.insert(0, chosen);
                Choice::There(order.into_iter().map(|index| peers[index].0.clone()).collect())
            }
            Decision::Refuse { retry_after } => {
                if kept_by_residency {
                    self.audit.note(errand.kept("no node within it would answer in time"));
                }
                Choice::Refuse(refusal(errand, patience, &here, &names, retry_after))
            }
            Decision::TooDear => {
                if kept_by_residency {
                    self.audit.note(errand.kept("no node within it would do it for what it may cost"));
                }
                Choice::Refuse(too_dear(errand, placement.max_cost, &here, &names))
            }
        }
    }
}

/// How the peers that may take the call stand to it, and whether residency keeps it from any other.
fn offers(
    cluster: &Cluster,
    errand: &Errand<'_>,
    expected: &Expected,
    own: &Tariff,
    body_bytes: u64,
) -> (Vec<(Arc<Peer>, Offer)>, bool) {
    let work = expected.work.unwrap_or_default();
    let (fit, left_out) = errand.peers(cluster, body_bytes);
    let kept = left_out.iter().any(|(_, reason)| matches!(reason, Reason::Residency { .. }));
    let offers = fit.into_iter().filter_map(|peer| {
        let said = peer.said();
        let capacity = said.capacity.clone()?;
        let seen = capacity.function(errand.id)?.service_times.predict(body_bytes);
        let rtt = cluster.peers().rtt(peer.name()).map(|rtt| rtt.smoothed).unwrap_or_default();
        let bandwidth = said.bandwidth_bytes_per_second.filter(|bandwidth| *bandwidth > 0.0);
        let body = bandwidth.and_then(|bandwidth| Duration::try_from_secs_f64(body_bytes as f64 / bandwidth).ok());
        let may_run_again = errand.manifest.effects != Effects::Unsafe;
        let wait = peer.load(|load, now| {
            let allowed = load.breaker.allows(now, may_run_again);
            allowed.then(|| (load.wait(capacity.cores, now), load.correction(now)))
        });
        let (wait, correction) = wait?;
        let run = seen.map(|seen| slower(seen, correction));
        let there =
            Tariff { hour: capacity.price, cores: capacity.cores, memory_bytes: capacity.memory.total_bytes, ..*own };
        let cost = there.cost(work, expected.memory, body_bytes);
        Some((peer, Offer { way: rtt + body.unwrap_or_default(), wait, run, cost }))
    });
    (offers.collect(), kept)
}

/// What was expected, so many times as long.
fn slower(run: Prediction, factor: f64) -> Prediction {
    Prediction { p50: run.p50.mul_f64(factor), p95: run.p95.mul_f64(factor), ..run }
}

/// Tells the caller when it would be worth another try.
fn refusal(
    errand: &Errand<'_>,
    patience: Duration,
    here: &Offer,
    there: &[(NodeName, Offer)],
    retry_after: Duration,
) -> Problem {
    let seconds = |duration: Duration| format!("{:.1} s", duration.as_secs_f64());
    let mut where_when = format!("here in {}", seconds(here.finish_at_worst()));
    for (name, offer) in there {
        where_when += &format!(", on {name} in {}", seconds(offer.finish_at_worst()));
    }
    let retry_after_seconds = whole_seconds(retry_after);
    let detail = format!(
        "a call of {} would be finished {where_when}, and its deadline is in {}; try again in {retry_after_seconds} s",
        errand.id,
        seconds(patience)
    );
    let mut problem = Problem::new(ProblemType::Overloaded, detail);
    problem.retry_after_seconds = Some(retry_after_seconds);
    problem
}

/// There is no use in another try.
fn too_dear(errand: &Errand<'_>, most: Option<Money>, here: &Offer, there: &[(NodeName, Offer)]) -> Problem {
    let mut where_what = format!("{} here", here.cost);
    for (name, offer) in there {
        where_what += &format!(", {} on {name}", offer.cost);
    }
    let most = most.unwrap_or_default();
    let detail = format!(
        "a call of {} would cost {where_what}, and may cost {most}; raise `max_cost` in its manifest, or have a cheaper node \
         join",
        errand.id
    );
    Problem::new(ProblemType::TooDear, detail)
}
