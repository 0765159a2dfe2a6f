//! How long calls of a function run and how much of a core they take, by the size of their bodies, as seen on this node.

use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use arc_swap::ArcSwap;
use spillway_placement::{Prediction, ServiceTimeSummary, ServiceTimes, Time};

/// After this long, what was seen counts half: a node that gets slower is known for it within minutes.
const HALF_LIFE: Duration = Duration::from_secs(60);
/// Summaries are made anew this often at most. Making them costs some microseconds, and each call reads them.
const FRESH: Duration = Duration::from_millis(100);
/// Until so many calls were seen, each counts at once.
const FIRST: u64 = 32;

/// A function's estimates. Live as long as its counters.
pub(crate) struct Estimates {
    started: Instant,
    seen: Mutex<Seen>,
    latest: ArcSwap<Summaries>,
}

struct Seen {
    run: ServiceTimes,
    work: ServiceTimes,
    /// Byte times second, smoothed.
    memory: f64,
    count: u64,
    summed_up: Instant,
}

/// What was seen, in few words.
#[derive(Clone, Default)]
pub(crate) struct Summaries {
    /// From the start of a call to the end of its answer.
    pub(crate) run: ServiceTimeSummary,
    /// Time of a core.
    pub(crate) work: ServiceTimeSummary,
    /// Memory over time, in byte times second.
    memory: f64,
}

/// What a call is expected to take.
#[derive(Clone, Copy)]
pub(crate) struct Expected {
    pub(crate) run: Option<Prediction>,
    /// Time of a core; as long as it runs, where that is not known.
    pub(crate) work: Option<Duration>,
    /// Memory over time, in byte times second; bodies of all sizes together.
    pub(crate) memory: f64,
}

impl Estimates {
    pub(crate) fn new(started: Instant) -> Self {
        let times = || ServiceTimes::new(HALF_LIFE);
        let seen = Seen { run: times(), work: times(), memory: 0.0, count: 0, summed_up: started };
        Self { started, seen: Mutex::new(seen), latest: ArcSwap::default() }
    }

    /// Notes a call that was answered.
    pub(crate) fn note(&self, body_bytes: u64, run: Duration, work: Duration, memory: f64) {
        let now = Time::from_start(self.started.elapsed());
        let mut seen = self.seen.lock().unwrap_or_else(PoisonError::into_inner);
        seen.run.record(body_bytes, run, now);
        seen.work.record(body_bytes, work, now);
        seen.count += 1;
        // The mean at first, then what was lately.
        seen.memory += (memory - seen.memory) / seen.count.min(FIRST) as f64;
        if seen.count <= FIRST || seen.summed_up.elapsed() >= FRESH {
            seen.summed_up = Instant::now();
            let latest = Summaries { run: seen.run.summary(now), work: seen.work.summary(now), memory: seen.memory };
            self.latest.store(Arc::new(latest));
        }
    }

    pub(crate) fn latest(&self) -> Arc<Summaries> {
        self.latest.load_full()
    }

    /// What a call with a body of so many bytes is expected to take.
    pub(crate) fn expect(&self, body_bytes: u64) -> Expected {
        let latest = self.latest.load();
        let run = latest.run.predict(body_bytes);
        let work = latest.work.predict(body_bytes).map(|work| work.p50);
        Expected { run, work: work.or_else(|| Some(run?.p50)), memory: latest.memory }
    }
}
