//! Rates from counters that only grow.

use std::collections::VecDeque;
use std::time::Duration;

use crate::Time;

/// Samples kept in a window: enough that a rate moves smoothly, few enough to keep one meter per function.
const SAMPLES: u32 = 32;

/// Work per time over a sliding window: give it the value of a counter now and then, and it says by how much the counter
/// grows in a second.
///
/// A counter that falls was started again; the meter then starts again, too.
#[derive(Clone, Debug)]
pub struct Meter {
    window: Duration,
    /// Oldest first. The first is the youngest that is at least as old as the window, once there is one.
    samples: VecDeque<(Time, f64)>,
}

impl Meter {
    /// A meter over the last `window`.
    pub fn new(window: Duration) -> Self {
        Self { window, samples: VecDeque::new() }
    }

    /// The counter stood at `value` at `now`. A sample that is older than the latest is ignored.
    pub fn sample(&mut self, now: Time, value: f64) {
        if let Some((latest, before)) = self.samples.back().copied() {
            if now < latest {
                return;
            }
            if value < before {
                self.samples.clear();
            }
        }
        // Samples closer than the step replace the latest, but not the one that they would be compared with.
        let step = self.window / SAMPLES;
        let count = self.samples.len();
        if count >= 2 && now.since(self.samples[count - 2].0) < step {
            self.samples.pop_back();
        }
        self.samples.push_back((now, value));
        while self.samples.get(1).is_some_and(|(at, _)| now.since(*at) >= self.window) {
            self.samples.pop_front();
        }
    }

    /// Growth per second between the first and the last sample of the window; `None` before there are two.
    pub fn per_second(&self) -> Option<f64> {
        let (first, last) = (self.samples.front()?, self.samples.back()?);
        let elapsed = last.0.since(first.0);
        (!elapsed.is_zero()).then(|| (last.1 - first.1) / elapsed.as_secs_f64())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(ms: u64) -> Time {
        Time::from_start(Duration::from_millis(ms))
    }

    fn meter() -> Meter {
        Meter::new(Duration::from_secs(10))
    }

    #[test]
    fn a_rate_needs_two_samples_of_different_times() {
        let mut meter = meter();
        assert_eq!(meter.per_second(), None);
        meter.sample(at(0), 5.0);
        meter.sample(at(0), 6.0);
        assert_eq!(meter.per_second(), None);
        meter.sample(at(2000), 9.0);
        assert_eq!(meter.per_second(), Some(2.0));
    }

    #[test]
    fn work_older_than_the_window_is_forgotten() {
        let mut meter = meter();
        for second in 0..=60 {
            let value = if second <= 30 { second * 100 } else { 3000 + second - 30 };
            meter.sample(at(second * 1000), value as f64);
        }
        assert_eq!(meter.per_second(), Some(1.0));
    }

    #[test]
    fn a_counter_that_starts_again_gives_no_negative_rate() {
        let mut meter = meter();
        meter.sample(at(0), 1000.0);
        meter.sample(at(1000), 2000.0);
        meter.sample(at(2000), 10.0);
        assert_eq!(meter.per_second(), None);
        meter.sample(at(3000), 30.0);
        assert_eq!(meter.per_second(), Some(20.0));
    }

    #[test]
    fn frequent_samples_cost_no_more_memory_and_lose_nothing() {
        let mut meter = meter();
        for ms in 0..100_000 {
            meter.sample(at(ms), ms as f64);
            assert!(meter.samples.len() <= SAMPLES as usize + 3, "{}", meter.samples.len());
        }
        let rate = meter.per_second().unwrap();
        assert!((rate - 1000.0).abs() < 1e-6, "{rate}");
    }

    #[test]
    fn samples_out_of_order_are_ignored() {
        let mut meter = meter();
        meter.sample(at(1000), 10.0);
        meter.sample(at(2000), 20.0);
        meter.sample(at(1500), 0.0);
        assert_eq!(meter.per_second(), Some(10.0));
    }
}
