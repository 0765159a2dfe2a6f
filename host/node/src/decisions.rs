//! The last decisions on where calls run, for people who wonder.

use std::collections::{BTreeMap, VecDeque};
use std::sync::{Mutex, PoisonError};

use spillway_placement::admission::{Decision, Demand, Offer};
use spillway_types::api::{DecisionOffer, DecisionRecord};
use spillway_types::{FunctionId, NodeName};

use crate::logs::now;

/// Decisions kept of each function.
const KEPT: usize = 32;
/// Functions of which any are kept; beyond it the first by name goes.
const FUNCTIONS_MAX: usize = 256;

/// Decisions in which nodes were compared. Live as long as the node.
#[derive(Default)]
pub(crate) struct Decisions(Mutex<BTreeMap<FunctionId, VecDeque<DecisionRecord>>>);

impl Decisions {
    pub(crate) fn note(
        &self,
        function: &FunctionId,
        demand: &Demand,
        here: &Offer,
        peers: &[(NodeName, Offer)],
        decision: Decision,
    ) {
        let (node, retry_after_seconds) = match decision {
            Decision::Here => (Some("here".to_owned()), None),
            Decision::There(index) => (peers.get(index).map(|(name, _)| name.to_string()), None),
            Decision::Refuse { retry_after } => (None, Some(retry_after.as_secs_f64())),
            Decision::TooDear => (None, None),
        };
        let there = peers.iter().map(|(name, offer)| described(name.to_string(), offer));
        let record = DecisionRecord {
            time: now(),
            chosen: node,
            retry_after_seconds,
            patience_seconds: demand.patience.as_secs_f64(),
            prefer: demand.prefer,
            offers: std::iter::once(described("here".to_owned(), here)).chain(there).collect(),
        };
        let mut all = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if !all.contains_key(function) && all.len() >= FUNCTIONS_MAX {
            all.pop_first();
        }
        let kept = all.entry(function.clone()).or_default();
        if kept.len() >= KEPT {
            kept.pop_front();
        }
        kept.push_back(record);
    }

    /// The last ones of a function, oldest first.
    pub(crate) fn of(&self, function: &FunctionId) -> Vec<DecisionRecord> {
        let all = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        all.get(function).map(|kept| kept.iter().cloned().collect()).unwrap_or_default()
    }
}

fn described(node: String, offer: &Offer) -> DecisionOffer {
    DecisionOffer {
        node,
        way_seconds: offer.way.as_secs_f64(),
        wait_seconds: offer.wait.as_secs_f64(),
        run_seconds: offer.run.map(|run| run.p50.as_secs_f64()),
        run_at_worst_seconds: offer.run.map(|run| run.p95.as_secs_f64()),
        cost: offer.cost,
    }
}
