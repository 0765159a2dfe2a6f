//! A revision that serves: who may run now, who waits, who is turned away.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};
use std::time::{Duration, Instant};

use spillway_runtime::Function;
use spillway_types::{Digest, FunctionId, Manifest, Priority};
use tokio::sync::Semaphore;

use crate::estimates::Expected;
use crate::gate::{Admitted, Gate};
use crate::metrics::FunctionMetrics;
use crate::quotas::QuotaPlace;

/// One revision with everything that a call needs. Lives until it has been replaced and its last call has ended.
pub(crate) struct Revision {
    pub(crate) id: FunctionId,
    pub(crate) number: u64,
    pub(crate) bundle: Digest,
    pub(crate) manifest: Manifest,
    pub(crate) function: Function,
    pub(crate) metrics: Arc<FunctionMetrics>,
    /// What its namespace may take.
    pub(crate) quota: Arc<QuotaPlace>,
    running: Arc<Semaphore>,
    waiting: AtomicU64,
}

/// Why a call may not run.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Refusal {
    /// As many wait already as may.
    QueueFull,
    /// Its turn did not come before its deadline.
    Deadline,
    /// Its turn came too late to be of use, against what was expected.
    Overloaded,
}

impl Revision {
    pub(crate) fn new(
        id: FunctionId,
        number: u64,
        bundle: Digest,
        manifest: Manifest,
        function: Function,
        metrics: Arc<FunctionMetrics>,
        quota: Arc<QuotaPlace>,
    ) -> Self {
        let running = Arc::new(Semaphore::new(manifest.limits.concurrency as usize));
        Self { id, number, bundle, manifest, function, metrics, quota, running, waiting: AtomicU64::new(0) }
    }

    /// Lets a call run of which this is expected, at once or after waiting its turn: what takes little
    /// waits for others of its function only, first come, first served; the rest lines up at the node's gate.
    ///
    /// # Cancel safety
    /// A call that is dropped leaves the queue.
    pub(crate) async fn admit(
        &self,
        gate: &Gate,
        priority: Priority,
        deadline: Instant,
        expected: &Expected,
    ) -> Result<Admitted, Refusal> {
        let passes = Gate::passes(expected);
        if passes && let Ok(permit) = self.running.clone().try_acquire_owned() {
            return Ok(gate.pass(permit));
        }
        let _place = Place::take(&self.waiting, u64::from(self.manifest.limits.queue)).ok_or(Refusal::QueueFull)?;
        if !passes {
            return gate.enter(&self.running, priority, deadline, expected).await;
        }
        match tokio::time::timeout_at(deadline.into(), self.running.clone().acquire_owned()).await {
            Ok(permit) => Ok(gate.pass(permit.expect("the semaphore is never closed"))),
            Err(_) => Err(Refusal::Deadline),
        }
    }

    /// When the next place in a full queue is expected to be free: one of the calls that run has to end. Zero where
    /// nobody knows yet how long they take.
    pub(crate) fn place_free_in(&self, expected: &Expected) -> Duration {
        expected.run.map(|run| run.p50).unwrap_or_default() / self.running().max(1)
    }

    /// Calls that run.
    pub(crate) fn running(&self) -> u32 {
        let free = u32::try_from(self.running.available_permits()).unwrap_or(u32::MAX);
        self.manifest.limits.concurrency.saturating_sub(free)
    }

    /// Calls that wait for their turn.
    pub(crate) fn waiting(&self) -> u64 {
        self.waiting.load(Relaxed)
    }
}

/// A place in the queue, given back when dropped.
struct Place<'a>(&'a AtomicU64);

impl<'a> Place<'a> {
    fn take(waiting: &'a AtomicU64, most: u64) -> Option<Self> {
        waiting.fetch_update(Relaxed, Relaxed, |n| (n < most).then_some(n + 1)).ok().map(|_| Self(waiting))
    }
}

impl Drop for Place<'_> {
    fn drop(&mut self) {
        self.0.fetch_sub(1, Relaxed);
    }
}
