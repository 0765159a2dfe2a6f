//! A revision that serves: who may run now, who waits, who is turned away.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};
use std::time::{Duration, Instant};

use spillway_runtime::Function;
use spillway_types::{Digest, FunctionId, Manifest, Priority};
use tokio::sync::Semaphore;

use crate::estimates::Expected;
use crate::gate::{Admitted, Gate, HOPE};
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
    /// So many wait before it that its turn would come too late to be of use, by so much.
    Late(Duration),
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
        let place = Place::take(&self.waiting, u64::from(self.manifest.limits.queue));
        let Some(_place) = place else {
            // A full queue, or none, is for those that would wait.
            let turn = if passes { None } else { gate.try_enter(&self.running, priority, deadline, expected) };
            return turn.ok_or(Refusal::QueueFull);
        };
        if !passes {
            return gate.enter(&self.running, priority, deadline, expected).await;
        }
        // Who would come too late would only keep a place from others, and hear of it at its deadline.
        let run = expected.run.map(|run| run.p50).unwrap_or_default();
        let finish = turn_in(self.waiting(), run, self.manifest.limits.concurrency) + run.mul_f64(HOPE);
        let left = deadline.saturating_duration_since(Instant::now());
        if let Some(late) = finish.checked_sub(left).filter(|late| !late.is_zero()) {
            return Err(Refusal::Late(late));
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

/// When the last of so many calls that wait has its turn, where so many run at once, each for so long.
fn turn_in(waiting: u64, run: Duration, places: u32) -> Duration {
    // Those that run are half through, on average.
    let rounds = (waiting as f64 - 0.5).max(0.0) / f64::from(places.max(1));
    Duration::try_from_secs_f64(run.as_secs_f64() * rounds).unwrap_or(Duration::MAX)
}

/// When the first of all calls is expected to end: of each function those that run, and how long each of them takes. Zero
/// where nobody knows.
pub(crate) fn one_ends_in(calls: impl Iterator<Item = (u32, Duration)>) -> Duration {
    let known = calls.filter(|(_, run)| !run.is_zero());
    let ends_per_second: f64 = known.map(|(running, run)| f64::from(running) / run.as_secs_f64()).sum();
    Duration::try_from_secs_f64(1.0 / ends_per_second).unwrap_or_default()
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_turn_comes_when_those_before_it_have_had_theirs() {
        let run = Duration::from_secs(2);
        for (waiting, places, ms) in [(0, 1, 0), (1, 1, 1000), (3, 1, 5000), (100, 50, 3980), (1, 0, 1000)] {
            assert_eq!(turn_in(waiting, run, places), Duration::from_millis(ms), "{waiting} for {places}");
        }
        assert_eq!(turn_in(u64::MAX, Duration::MAX, 1), Duration::MAX);
    }

    #[test]
    fn of_many_calls_one_ends_soon() {
        let seconds = Duration::from_secs;
        assert_eq!(one_ends_in([(1, seconds(8))].into_iter()), seconds(8));
        assert_eq!(one_ends_in([(2, seconds(8)), (1, seconds(4)), (0, seconds(1))].into_iter()), seconds(2));
        assert_eq!(one_ends_in([(5, Duration::ZERO), (0, seconds(1))].into_iter()), Duration::ZERO);
    }
}
