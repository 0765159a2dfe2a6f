//! One graph for all who build the same.

use std::collections::VecDeque;
use std::fmt::{self, Write as _};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use spillway_types::graph::Definition;
use spillway_types::{Digest, DigestHasher};

use super::{Charge, Graph, check_size};
use crate::kernels::Stop;
use crate::{RunError, Tensor};

/// Graphs that are kept though nobody holds them, so that a function in fresh sandboxes does not compile for each call. A
/// choice: some shapes of each of some functions.
const KEPT: usize = 64;
/// Bytes that these may hold beside files of weights.
const KEPT_BYTES: usize = 64 << 20;

/// About what a graph takes for each operand, beside its elements: its type, its place, and the step that makes it.
const PLACE_BYTES: usize = 512;

/// The graphs of a node, by what they were built of.
#[derive(Default)]
pub struct Graphs {
    /// Used last at the end.
    kept: Mutex<VecDeque<Kept>>,
}

struct Kept {
    digest: Digest,
    graph: Arc<Graph>,
    last_used: Instant,
    /// What it holds alone.
    bytes: usize,
}

impl Graphs {
    /// As [`Graph::build`], unless the same was built of the same lately.
    ///
    /// # Errors
    /// As [`Graph::build`].
    pub fn build(
        &self,
        definition: Definition,
        constants: Vec<Tensor>,
        charge: Charge<'_>,
        stop: &dyn Fn() -> bool,
    ) -> Result<Arc<Graph>, RunError> {
        check_size(&definition, &constants)?;
        let digest = digest(&definition, &constants, &Stop::new(stop))?;
        if let Some(found) = self.find(digest) {
            charge(found.folded_bytes())?;
            return Ok(found);
        }
        let own = constants.iter().filter(|constant| constant.weight().is_none()).map(Tensor::byte_length);
        let own = own.fold(0, usize::saturating_add);
        let graph = Arc::new(Graph::build(definition, constants, charge, stop)?);
        let last_used = Instant::now();
        let plan = graph.plan.places.saturating_mul(PLACE_BYTES);
        let bytes = [plan, graph.folded_bytes()].into_iter().fold(own, usize::saturating_add);
        self.keep(Kept { digest, last_used, bytes, graph: graph.clone() });
        Ok(graph)
    }

    /// How many graphs are kept.
    pub fn count(&self) -> usize {
        self.kept.lock().unwrap_or_else(PoisonError::into_inner).len()
    }

    /// Lets those go that nobody holds and nobody has built for `idle`, and with them the files of weights that they kept in
    /// memory.
    pub(crate) fn release(&self, idle: Duration) {
        let mut kept = self.kept.lock().unwrap_or_else(PoisonError::into_inner);
        let is_in_use = |kept: &Kept| Arc::strong_count(&kept.graph) > 1 || kept.last_used.elapsed() < idle;
        let (stay, gone): (VecDeque<_>, VecDeque<_>) = std::mem::take(&mut *kept).into_iter().partition(is_in_use);
        *kept = stay;
        drop(kept);
        drop(gone);
    }

    fn find(&self, digest: Digest) -> Option<Arc<Graph>> {
        let mut kept = self.kept.lock().unwrap_or_else(PoisonError::into_inner);
        let at = kept.iter().position(|kept| kept.digest == digest)?;
        let mut found = kept.remove(at)?;
        found.last_used = Instant::now();
        let graph = found.graph.clone();
        kept.push_back(found);
        Some(graph)
    }

    fn keep(&self, new: Kept) {
        let mut gone = Vec::new();
        if new.bytes > KEPT_BYTES {
            return;
        }
        let mut kept = self.kept.lock().unwrap_or_else(PoisonError::into_inner);
        let mut bytes: usize = new.bytes + kept.iter().map(|kept| kept.bytes).sum::<usize>();
        kept.push_back(new);
        while kept.len() > KEPT || bytes > KEPT_BYTES {
            let Some(oldest) = kept.pop_front() else { break };
            bytes -= oldest.bytes;
            gone.push(oldest);
        }
        drop(kept);
        // What they hold is freed without the lock.
        drop(gone);
    }
}

impl std::fmt::Debug for Graphs {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Graphs").field("kept", &self.count()).finish_non_exhaustive()
    }
}

/// What a graph is named by: its definition, the weights among its constants by their files, and the elements of the others.
///
/// # Errors
/// [`RunError::DeadlineExceeded`] when `stop` said so.
fn digest(definition: &Definition, constants: &[Tensor], stop: &Stop<'_>) -> Result<Digest, RunError> {
    let mut hashed = Hashed { hasher: DigestHasher::default(), stop };
    let late = |_| RunError::DeadlineExceeded;
    // Its `Debug` tells all of it, numbers to the last digit.
    write!(hashed, "{definition:?}").map_err(late)?;
    for constant in constants {
        match constant.weight() {
            Some(weight) => write!(hashed, "\n{constant:?} {weight:?} {:?}", constant.layout()).map_err(late)?,
            None => {
                write!(hashed, "\n{constant:?} ").map_err(late)?;
                constant.each_block(stop, |bytes| hashed.hasher.update(bytes))?;
            }
        }
    }
    Ok(hashed.hasher.finish().0)
}

/// Hashes what is written.
struct Hashed<'a> {
    hasher: DigestHasher,
    stop: &'a Stop<'a>,
}

impl fmt::Write for Hashed<'_> {
    /// Fails when the work should stop.
    fn write_str(&mut self, text: &str) -> fmt::Result {
        self.hasher.update(text.as_bytes());
        self.stop.worked(text.len()).map_err(|_| fmt::Error)
    }
}
