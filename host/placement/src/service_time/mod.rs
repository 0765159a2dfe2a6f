//! How long calls of one function take, by the size of their body, recent calls above old ones.

mod bucket;
mod histogram;
mod summary;

use std::time::Duration;

pub use bucket::SizeBucket;
use histogram::Histogram;
pub use summary::{BucketSummary, Prediction, ServiceTimeSummary};

use crate::Time;

/// Service times of one function: how long calls ran, waiting in a queue left out.
///
/// One decayed histogram per [`SizeBucket`]. A quantile is within 5 % of the exact one, for times of 10 µs to an hour;
/// what is shorter or longer counts as that. Takes 1.6 kB for each bucket that was ever used.
#[derive(Clone, Debug)]
pub struct ServiceTimes {
    half_life: Duration,
    buckets: [Option<Histogram>; SizeBucket::COUNT],
}

impl ServiceTimes {
    /// Nothing seen yet. A call weighs half as much after each `half_life`.
    ///
    /// # Panics
    ///
    /// If `half_life` is zero.
    pub fn new(half_life: Duration) -> Self {
        assert!(!half_life.is_zero(), "a half-life of zero forgets everything at once");
        Self { half_life, buckets: [const { None }; SizeBucket::COUNT] }
    }

    /// A call with a body of `body_bytes` ended at `now` and took `elapsed`.
    pub fn record(&mut self, body_bytes: u64, elapsed: Duration, now: Time) {
        let bucket = &mut self.buckets[SizeBucket::of(body_bytes).index()];
        bucket.get_or_insert_with(|| Histogram::new(self.half_life, now)).record(elapsed, now);
    }

    /// The time within which the share `q` of a bucket's calls ended; `None` if it had none. `q` beyond 0 to 1 means the
    /// nearer of them.
    ///
    /// It needs no time: all calls of a bucket decay alike, so that quantiles stay where the last call left them.
    pub fn quantile(&self, bucket: SizeBucket, q: f64) -> Option<Duration> {
        self.buckets[bucket.index()].as_ref()?.quantile(q)
    }

    /// How many calls a bucket's quantiles rest on, old ones as the fractions that they have decayed to.
    pub fn weight(&self, bucket: SizeBucket, now: Time) -> f64 {
        self.buckets[bucket.index()].as_ref().map_or(0.0, |histogram| histogram.weight(now))
    }

    /// Adds what another has seen, whose times come from the same clock. This one's half-life applies from now on.
    pub fn merge(&mut self, other: &Self) {
        for (mine, theirs) in self.buckets.iter_mut().zip(&other.buckets) {
            match (mine, theirs) {
                (_, None) => {}
                (Some(mine), Some(theirs)) => mine.merge(theirs),
                (mine @ None, Some(theirs)) => *mine = Some(theirs.with_half_life(self.half_life)),
            }
        }
    }

    /// The same in few words, for other nodes and for predictions.
    pub fn summary(&self, now: Time) -> ServiceTimeSummary {
        let summary = |bucket: SizeBucket| {
            Some(BucketSummary {
                bucket,
                p50: self.quantile(bucket, 0.5)?,
                p95: self.quantile(bucket, 0.95)?,
                weight: self.weight(bucket, now),
            })
        };
        SizeBucket::all().filter_map(summary).collect()
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use proptest::test_runner::{Config, RngSeed};

    use super::*;

    const HALF_LIFE: Duration = Duration::from_secs(60);

    fn ms(count: u64) -> Duration {
        Duration::from_millis(count)
    }

    /// Independent of histograms: sorts calls and walks them by weight.
    fn exact(calls: &[(Duration, Duration)], q: f64, now: Duration) -> Duration {
        let weight = |age: Duration| 0.5f64.powf(age.as_secs_f64() / HALF_LIFE.as_secs_f64());
        let mut sorted: Vec<_> = calls.iter().map(|(elapsed, at)| (*elapsed, weight(now - *at))).collect();
        sorted.sort_by_key(|(elapsed, _)| *elapsed);
        let total: f64 = sorted.iter().map(|(_, weight)| weight).sum();
        let mut below = 0.0;
        for (elapsed, weight) in &sorted {
            below += weight;
            // As much slack as sums of a few hundred floats need.
            if below >= q * total * (1.0 - 1e-9) {
                return *elapsed;
            }
        }
        sorted.last().unwrap().0
    }

    proptest! {
        #![proptest_config(Config { rng_seed: RngSeed::Fixed(4), failure_persistence: None, ..Config::default() })]

        #[test]
        fn quantiles_are_within_five_percent_of_the_exact_decayed_ones(
            // Elapsed as an exponent, so that all magnitudes are tried.
            calls in prop::collection::vec((1.0f64..9.5, 0u64..600_000), 1..300),
            q in 0.01f64..0.99,
        ) {
            let mut calls: Vec<_> =
                calls.iter().map(|(log, at)| (Duration::from_micros(10f64.powf(*log) as u64), ms(*at))).collect();
            calls.sort_by_key(|(_, at)| *at);
            let mut times = ServiceTimes::new(HALF_LIFE);
            for (elapsed, at) in &calls {
                times.record(0, *elapsed, Time::from_start(*at));
            }
            let now = ms(600_000);
            let estimate = times.quantile(SizeBucket::of(0), q).unwrap().as_secs_f64();
            // A quantile that falls between two calls may go to either by rounding.
            let low = exact(&calls, q - 1e-6, now).as_secs_f64() * 0.9499;
            let high = exact(&calls, q + 1e-6, now).as_secs_f64() * 1.0501;
            prop_assert!((low..=high).contains(&estimate), "{estimate} is not within {low}..={high}");

            let weight: f64 =
                calls.iter().map(|(_, at)| 0.5f64.powf((now - *at).as_secs_f64() / HALF_LIFE.as_secs_f64())).sum();
            let found = times.weight(SizeBucket::of(0), Time::from_start(now));
            prop_assert!((found / weight - 1.0).abs() < 1e-6, "weight {found}, expected {weight}");
        }

        #[test]
        fn merging_halves_gives_what_one_that_saw_all_gives(
            calls in prop::collection::vec((10u64..10_000_000, 0u64..600_000, 0u64..5000, any::<bool>()), 1..200),
        ) {
            let [mut all, mut left, mut right] = [(); 3].map(|()| ServiceTimes::new(HALF_LIFE));
            for (micros, at, body, side) in calls {
                let (elapsed, at) = (Duration::from_micros(micros), Time::from_start(ms(at)));
                all.record(body, elapsed, at);
                if side { &mut left } else { &mut right }.record(body, elapsed, at);
            }
            left.merge(&right);
            let now = Time::from_start(ms(600_000));
            for bucket in SizeBucket::all() {
                prop_assert!((left.weight(bucket, now) - all.weight(bucket, now)).abs() < 1e-6);
                // Sums in another order may round a quantile into the next bin, not further.
                let pair = left.quantile(bucket, 0.5).zip(all.quantile(bucket, 0.5));
                prop_assert_eq!(pair.is_some(), all.quantile(bucket, 0.5).is_some());
                if let Some((merged, whole)) = pair {
                    prop_assert!(left.quantile(bucket, 0.5 - 1e-6) <= Some(whole), "{merged:?}, {whole:?}");
                    prop_assert!(left.quantile(bucket, 0.5 + 1e-6) >= Some(whole), "{merged:?}, {whole:?}");
                }
            }
        }
    }

    #[test]
    fn a_function_that_became_slow_is_known_as_slow_after_few_half_lives() {
        let mut times = ServiceTimes::new(HALF_LIFE);
        for second in 0..300 {
            times.record(0, ms(10), Time::from_start(Duration::from_secs(second)));
        }
        for second in 300..400 {
            times.record(0, ms(200), Time::from_start(Duration::from_secs(second)));
        }
        assert!(times.quantile(SizeBucket::of(0), 0.5).unwrap() > ms(189));
    }

    #[test]
    fn quantiles_outlive_any_silence_and_give_way_to_the_first_call_after_it() {
        let mut times = ServiceTimes::new(HALF_LIFE);
        let empty = SizeBucket::of(0);
        for _ in 0..1000 {
            times.record(0, ms(500), Time::START);
        }
        let year = Time::from_start(Duration::from_secs(365 * 24 * 3600));
        assert_eq!(times.weight(empty, year), 0.0);
        let before = times.quantile(empty, 0.5).unwrap();
        assert!((ms(475)..=ms(525)).contains(&before), "{before:?}");
        times.record(0, ms(1), year);
        assert!(times.quantile(empty, 0.01).unwrap() < ms(2));
        assert_eq!(times.weight(empty, year), 1.0);
    }

    #[test]
    fn calls_that_end_out_of_order_weigh_by_when_they_ended() {
        let mut times = ServiceTimes::new(HALF_LIFE);
        times.record(0, ms(1), Time::from_start(HALF_LIFE * 3));
        times.record(0, ms(1), Time::from_start(HALF_LIFE));
        assert_eq!(times.weight(SizeBucket::of(0), Time::from_start(HALF_LIFE * 3)), 1.25);
    }

    #[test]
    fn times_beyond_the_range_count_as_its_ends() {
        let mut times = ServiceTimes::new(HALF_LIFE);
        times.record(0, Duration::ZERO, Time::START);
        times.record(5, Duration::MAX, Time::START);
        assert!(times.quantile(SizeBucket::of(0), 0.5).unwrap() <= Duration::from_micros(10));
        let hour = Duration::from_secs(3600);
        let longest = times.quantile(SizeBucket::of(5), 0.5).unwrap();
        assert!((hour.mul_f64(0.95)..hour.mul_f64(1.1)).contains(&longest), "{longest:?}");
        assert_eq!(times.quantile(SizeBucket::of(1 << 40), 0.5), None);
    }
}
