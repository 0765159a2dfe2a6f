//! Code that nobody calls leaves memory: a box may have hundreds of functions of which a few are called.
//!
//! The next call loads it again, from compiled code on the disk (`runtime/src/code.rs`).

use std::collections::HashMap;
use std::sync::{Arc, PoisonError};
use std::time::{Duration, Instant};

use tokio_util::sync::CancellationToken;

use crate::node::Node;
use crate::revision::Revision;

/// How often one looks, at most.
const EVERY: Duration = Duration::from_secs(5);

/// Calls at the last look, by the revision's address, and since when there were so many.
type Seen = HashMap<usize, (u64, Instant)>;

/// Unloads what has been idle until told to stop.
pub(crate) async fn unload(node: Arc<Node>, stop: CancellationToken) {
    let Some(idle) = node.config.function_idle else { return };
    let every = EVERY.min(idle / 2);
    // One that comes to lie where another has lain may go too early, and is loaded again.
    let mut seen = Seen::new();
    loop {
        tokio::select! {
            () = tokio::time::sleep(every) => {}
            () = stop.cancelled() => return,
        }
        let now = Instant::now();
        let mut still = Seen::new();
        for (revision, calls) in revisions(&node) {
            let address = Arc::as_ptr(&revision) as usize;
            let since = match seen.get(&address) {
                Some((before, since)) if *before == calls => *since,
                _ => now,
            };
            still.insert(address, (calls, since));
            if now - since >= idle && revision.function.is_loaded() && revision.function.unload() {
                tracing::debug!(function = %revision.id, revision = revision.number, "code left memory");
            }
        }
        seen = still;
    }
}

/// All revisions, and how often they were called. The one before the one that serves is not.
fn revisions(node: &Node) -> Vec<(Arc<Revision>, u64)> {
    let functions = node.functions.read().unwrap_or_else(PoisonError::into_inner);
    let active = functions.values().filter_map(|deployed| deployed.active.as_ref().ok());
    let active = active.map(|revision| (revision.clone(), revision.metrics.invocations()));
    let previous = functions.values().filter_map(|deployed| deployed.previous.clone());
    active.chain(previous.map(|revision| (revision, 0))).collect()
}
