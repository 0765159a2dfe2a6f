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
    /// The slowest run of late, in nanoseconds: what a run takes, or a little less than before.
    slowest_run: AtomicU64,
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
            slowest_run: AtomicU64::default(),
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
        let last = self.slowest_run.load(Relaxed);
        // A lost update of two at once costs nothing but a run on the wrong thread.
        self.slowest_run.store(nanoseconds(computed).max(last - last / 8).max(1), Relaxed);
    }

    /// How long the slowest run of late computed; `None` before the first.
    pub(crate) fn slowest_run(&self) -> Option<Duration> {
        Some(self.slowest_run.load(Relaxed)).filter(|slowest| *slowest > 0).map(Duration::from_nanos)
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
