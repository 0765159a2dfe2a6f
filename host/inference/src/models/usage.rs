//! Counters: of one model, and of all.

use std::sync::atomic::{AtomicBool, AtomicU64, AtomicUsize, Ordering::Relaxed};
use std::sync::{Arc, Weak};
use std::time::{Duration, Instant};

use super::memory::Shared;
use super::status::{ModelCounts, UnloadReason};
use crate::RunError;

/// What has happened to all models of a node.
#[derive(Debug)]
pub(crate) struct Tally {
    /// What times of use are counted from.
    epoch: Instant,
    loads: AtomicU64,
    failed_loads: AtomicU64,
    hits: AtomicU64,
    unloads: [AtomicU64; UnloadReason::ALL.len()],
    /// Whether something that runs is to be unloaded as soon as it does not run.
    pub(super) is_over_budget: AtomicBool,
}

impl Tally {
    pub(super) fn new() -> Arc<Self> {
        Arc::new(Self {
            epoch: Instant::now(),
            loads: AtomicU64::default(),
            failed_loads: AtomicU64::default(),
            hits: AtomicU64::default(),
            unloads: Default::default(),
            is_over_budget: AtomicBool::default(),
        })
    }

    pub(super) fn note_failed_load(&self) {
        self.failed_loads.fetch_add(1, Relaxed);
    }

    pub(crate) fn note_unload(&self, reason: UnloadReason) {
        self.unloads[reason as usize].fetch_add(1, Relaxed);
    }

    pub(super) fn counts(&self) -> ModelCounts {
        let read = |counter: &AtomicU64| counter.load(Relaxed);
        ModelCounts {
            loads: read(&self.loads),
            failed_loads: read(&self.failed_loads),
            hits: read(&self.hits),
            unloads: self.unloads.each_ref().map(read),
        }
    }
}

/// What a run takes of late: a moving mean, in nanoseconds; 0 before the first run.
#[derive(Default)]
struct Pace(AtomicU64);

impl Pace {
    /// Not worth a thread. Handing a run over and back took 44 µs on shared cores (decision 7), so a run of about as long
    /// is answered in half the time where it is called; and a guest may hold its thread for longer than this anyway,
    /// until the next epoch.
    const SHORT: u64 = 100_000;
    /// All that is longer is just long: one run that the system interrupted must not count for hundreds.
    const LONG: u64 = 4 * Self::SHORT;

    fn note(&self, computed: Duration) {
        let (mean, took) = (self.0.load(Relaxed), nanoseconds(computed).clamp(1, Self::LONG));
        let mean = if mean == 0 { Self::LONG } else { mean };
        // A lost update of two at once costs nothing but a run on the wrong thread.
        self.0.store(mean - mean / 8 + took / 8, Relaxed);
    }

    fn is_short(&self) -> bool {
        (1..Self::SHORT).contains(&self.0.load(Relaxed))
    }
}

/// What has happened to one model, whether it is in memory or not.
pub(crate) struct Usage {
    pub(crate) tally: Arc<Tally>,
    /// What loads it again and unloads others; weak, because it keeps models.
    pub(crate) shared: Weak<Shared>,
    runs: AtomicU64,
    failed_runs: AtomicU64,
    loads: AtomicU64,
    hits: AtomicU64,
    load_nanoseconds: AtomicU64,
    /// What it occupied when it was last loaded, in bytes.
    loaded_bytes: AtomicUsize,
    /// What a run takes, see [`Pace`].
    pace: Pace,
    /// Nanoseconds since the epoch of the tally: an atomic, because every run writes it.
    last_used: AtomicU64,
}

impl Usage {
    pub(super) fn new(shared: &Arc<Shared>) -> Arc<Self> {
        Arc::new(Self {
            tally: shared.tally.clone(),
            shared: Arc::downgrade(shared),
            runs: AtomicU64::default(),
            failed_runs: AtomicU64::default(),
            loads: AtomicU64::default(),
            hits: AtomicU64::default(),
            load_nanoseconds: AtomicU64::default(),
            loaded_bytes: AtomicUsize::default(),
            pace: Pace::default(),
            last_used: AtomicU64::default(),
        })
    }

    /// A run that ended at `now`.
    pub(crate) fn note_run<T>(&self, result: &Result<T, RunError>, now: Instant) {
        match result {
            Ok(_) => _ = self.runs.fetch_add(1, Relaxed),
            Err(RunError::EngineFailed(_)) => _ = self.failed_runs.fetch_add(1, Relaxed),
            // Not the model's doing.
            Err(_) => {}
        }
        self.touch(now);
    }

    /// How long a run with outputs computed.
    pub(crate) fn note_time(&self, computed: Duration) {
        self.pace.note(computed);
    }

    /// Whether runs are as short as handing one to a thread and back.
    pub(crate) fn is_short(&self) -> bool {
        self.pace.is_short()
    }

    /// A load that took `took` until `now`.
    pub(super) fn note_load(&self, took: Duration, loaded_bytes: usize, now: Instant) {
        self.loads.fetch_add(1, Relaxed);
        self.tally.loads.fetch_add(1, Relaxed);
        self.load_nanoseconds.store(nanoseconds(took), Relaxed);
        self.loaded_bytes.store(loaded_bytes, Relaxed);
        self.touch(now);
    }

    pub(super) fn note_hit(&self) {
        self.hits.fetch_add(1, Relaxed);
        self.tally.hits.fetch_add(1, Relaxed);
    }

    pub(crate) fn runs(&self) -> u64 {
        self.runs.load(Relaxed)
    }

    pub(crate) fn failed_runs(&self) -> u64 {
        self.failed_runs.load(Relaxed)
    }

    pub(crate) fn loads(&self) -> u64 {
        self.loads.load(Relaxed)
    }

    pub(crate) fn hits(&self) -> u64 {
        self.hits.load(Relaxed)
    }

    pub(crate) fn load_time(&self) -> Duration {
        Duration::from_nanos(self.load_nanoseconds.load(Relaxed))
    }

    pub(super) fn loaded_bytes(&self) -> usize {
        self.loaded_bytes.load(Relaxed)
    }

    pub(crate) fn last_used(&self) -> Instant {
        self.tally.epoch + Duration::from_nanos(self.last_used.load(Relaxed))
    }

    /// Unloads what could not be unloaded while it ran, now that a run has ended. Should this run miss that the budget
    /// has just been exceeded, the next run, load or [`Models::tend`](crate::Models::tend) does not.
    pub(crate) fn relieve(&self) {
        if self.tally.is_over_budget.load(Relaxed)
            && let Some(shared) = self.shared.upgrade()
        {
            shared.relieve();
        }
    }

    fn touch(&self, now: Instant) {
        // The later of two runs that end at once.
        self.last_used.fetch_max(nanoseconds(now.saturating_duration_since(self.tally.epoch)), Relaxed);
    }
}

/// 584 years of them fit.
fn nanoseconds(duration: Duration) -> u64 {
    u64::try_from(duration.as_nanos()).unwrap_or(u64::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn runs_are_short_once_many_were_and_one_long_one_does_not_change_that() {
        let pace = Pace::default();
        assert!(!pace.is_short(), "nothing is known");
        let note = |microseconds, times| (0..times).for_each(|_| pace.note(Duration::from_micros(microseconds)));
        note(8, 1);
        assert!(!pace.is_short(), "one run says little");
        note(8, 40);
        assert!(pace.is_short());
        note(1_000_000, 1);
        assert!(pace.is_short());
        note(200, 40);
        assert!(!pace.is_short());
        note(30, 40);
        assert!(pace.is_short(), "less than handing it over takes");
    }
}
