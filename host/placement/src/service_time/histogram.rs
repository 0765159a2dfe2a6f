//! A histogram of durations whose bins grow by a constant factor and whose entries lose weight with age.
//!
//! The bins are those of DDSketch (Masson, Rim, Lee: "DDSketch", VLDB 2019, section 2.1), which bound the relative error
//! of every quantile. The decay is forward (Cormode, Shkapenyuk, Srivastava, Xu: "Forward Decay", ICDE 2009): an entry
//! weighs more the later it comes, and what is there is never touched, except once in [`RESCALE`] half-lives to keep the
//! weights small.

use std::time::Duration;

use crate::Time;

/// How far a quantile may be off, relative to the exact one.
const ERROR: f64 = 0.05;

/// By what each bin's upper end is larger than the one before (DDSketch, definition 3).
const GROWTH: f64 = (1.0 + ERROR) / (1.0 - ERROR);

/// The upper end of the first bin: a call through a warm sandbox takes longer.
const SHORTEST_SECONDS: f64 = 10e-6;

/// Enough for the last bin to hold an hour: `ln(3600 / 10e-6) / ln(GROWTH)`, and the first bin.
const BINS: usize = 198;

/// Half-lives after which weights are made small again; they reach two to the power of this, far below where an `f64`
/// fails to count by ones relative to each other.
const RESCALE: f64 = 40.0;

#[derive(Clone, Debug)]
pub(super) struct Histogram {
    half_life: Duration,
    /// When an entry weighed one.
    landmark: Time,
    weights: Box<[f64; BINS]>,
}

impl Histogram {
    pub(super) fn new(half_life: Duration, now: Time) -> Self {
        Self { half_life, landmark: now, weights: Box::new([0.0; BINS]) }
    }

    pub(super) fn record(&mut self, elapsed: Duration, now: Time) {
        if self.age(now) > RESCALE {
            self.move_landmark(now);
        }
        self.weights[bin(elapsed)] += self.age(now).exp2();
    }

    /// The value in the middle of the bin where the share `q` of the weight is reached; `None` if nothing was recorded.
    pub(super) fn quantile(&self, q: f64) -> Option<Duration> {
        let wanted = q.clamp(0.0, 1.0) * self.weights.iter().sum::<f64>();
        let mut below = 0.0;
        let mut last = None;
        for (bin, weight) in self.weights.iter().enumerate().filter(|(_, weight)| **weight > 0.0) {
            below += weight;
            last = Some(bin);
            if below >= wanted {
                break;
            }
        }
        last.map(value)
    }

    /// How many entries there are, each as what it weighs now.
    pub(super) fn weight(&self, now: Time) -> f64 {
        self.weights.iter().sum::<f64>() * (-self.age(now)).exp2()
    }

    pub(super) fn merge(&mut self, other: &Self) {
        let mut other = other.with_half_life(self.half_life);
        let latest = self.landmark.max(other.landmark);
        self.move_landmark(latest);
        other.move_landmark(latest);
        for (mine, theirs) in self.weights.iter_mut().zip(other.weights.iter()) {
            *mine += theirs;
        }
    }

    /// The same entries, decaying with another half-life from the landmark on.
    pub(super) fn with_half_life(&self, half_life: Duration) -> Self {
        Self { half_life, ..self.clone() }
    }

    /// Half-lives since the landmark; negative before it.
    fn age(&self, now: Time) -> f64 {
        now.seconds_after(self.landmark) / self.half_life.as_secs_f64()
    }

    fn move_landmark(&mut self, landmark: Time) {
        let factor = (-self.age(landmark)).exp2();
        for weight in self.weights.iter_mut() {
            *weight *= factor;
        }
        self.landmark = landmark;
    }
}

/// The bin of a duration: bin `i` ends at `SHORTEST_SECONDS * GROWTH^i`.
fn bin(elapsed: Duration) -> usize {
    let bins = (elapsed.as_secs_f64() / SHORTEST_SECONDS).ln() / GROWTH.ln();
    // Casts from floats saturate: what is shorter, zero included, becomes 0.
    (bins.ceil() as usize).min(BINS - 1)
}

/// The value that is off by the same share from both ends of a bin (DDSketch, lemma 2).
fn value(bin: usize) -> Duration {
    let end = SHORTEST_SECONDS * GROWTH.powi(bin as i32);
    Duration::from_secs_f64(2.0 * end / (GROWTH + 1.0))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_bins_reach_from_ten_microseconds_to_an_hour_and_no_further() {
        assert_eq!(bin(Duration::from_micros(10)), 0);
        assert_eq!(bin(Duration::from_secs(3600)), BINS - 1);
        assert_eq!(bin(Duration::from_secs(3200)), BINS - 2);
    }

    #[test]
    fn the_value_of_a_bin_is_off_by_five_percent_at_its_ends() {
        for bin in 1..BINS {
            let end = SHORTEST_SECONDS * GROWTH.powi(bin as i32);
            let value = value(bin).as_secs_f64();
            // Durations count nanoseconds.
            let rounding = 1e-9 / value;
            assert!((value / end - (1.0 - ERROR)).abs() < rounding);
            assert!((value / (end / GROWTH) - (1.0 + ERROR)).abs() < rounding * 2.0);
        }
    }
}
