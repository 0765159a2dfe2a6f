//! How far what was expected is from what is seen.

use std::time::Duration;

use crate::Time;

/// How much one call moves it.
const RATE: f64 = 0.2;
/// Nobody is believed to be more than so many times slower than expected.
const MAX: f64 = 100.0;
/// Below this a difference is noise of the clock and the way.
const NOISE: Duration = Duration::from_millis(2);
/// After this long without a call half of it is forgotten: who is avoided gets another chance.
const HALF_LIFE: Duration = Duration::from_secs(5);

/// Seen over expected, smoothed: 2 says that everything takes twice as long.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Correction {
    ratio: f64,
    learnt: Time,
}

impl Default for Correction {
    fn default() -> Self {
        Self { ratio: 1.0, learnt: Time::START }
    }
}

impl Correction {
    /// A call was expected to be finished after one time, and at `now` was after another.
    pub fn learn(&mut self, expected: Duration, took: Duration, now: Time) {
        let seen = (took + NOISE).as_secs_f64() / (expected + NOISE).as_secs_f64();
        self.ratio = (self.at(now) * (1.0 - RATE) + seen * RATE).clamp(0.1, MAX);
        self.learnt = now;
    }

    /// The factor for what is expected next; never less than 1, since what was faster once need not be again.
    pub fn factor(&self, now: Time) -> f64 {
        self.at(now).max(1.0)
    }

    fn at(&self, now: Time) -> f64 {
        let age = now.since(self.learnt).as_secs_f64() / HALF_LIFE.as_secs_f64();
        1.0 + (self.ratio - 1.0) * 0.5_f64.powf(age)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn it_comes_to_what_is_seen_and_is_forgotten_without_calls() {
        let mut correction = Correction::default();
        let at = |seconds: f64| Time::from_start(Duration::from_secs_f64(seconds));
        for call in 0..40 {
            let (expected, took) = (Duration::from_millis(100), Duration::from_millis(304));
            correction.learn(expected, took, at(f64::from(call) * 0.01));
        }
        assert!((2.9..3.1).contains(&correction.factor(at(0.4))), "{correction:?}");
        assert!((1.9..2.1).contains(&correction.factor(at(5.4))), "{correction:?}");
        assert!(correction.factor(at(60.0)) < 1.01);
        for _ in 0..40 {
            correction.learn(Duration::from_millis(100), Duration::from_millis(10), at(61.0));
        }
        assert!((correction.factor(at(61.0)) - 1.0).abs() < 1e-9, "never less than 1");
    }
}
