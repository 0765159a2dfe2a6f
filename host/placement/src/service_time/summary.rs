//! Service times in few words, and what they say of bodies whose size was not seen yet.

use std::time::Duration;

use serde::{Deserialize, Serialize};

use super::SizeBucket;
use crate::seconds;

/// Service times of one function, as nodes tell each other: an entry for each bucket that has seen a call.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(from = "Vec<BucketSummary>")]
pub struct ServiceTimeSummary(Vec<BucketSummary>);

/// Service times of calls whose bodies are of like size.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct BucketSummary {
    /// Which bodies.
    #[serde(rename = "up_to_bytes")]
    pub bucket: SizeBucket,
    /// Half of the calls took at most this.
    #[serde(rename = "p50_seconds", with = "seconds")]
    pub p50: Duration,
    /// 95 % of the calls took at most this.
    #[serde(rename = "p95_seconds", with = "seconds")]
    pub p95: Duration,
    /// How many calls this rests on, old ones as the fractions that they have decayed to.
    pub weight: f64,
}

/// How long a call is expected to take.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Prediction {
    /// As likely longer as shorter.
    pub p50: Duration,
    /// Longer once in twenty.
    pub p95: Duration,
    /// Whether calls with bodies of like size were seen, or it is drawn from others.
    pub seen: bool,
}

impl ServiceTimeSummary {
    /// The buckets that have seen a call, smallest first.
    pub fn buckets(&self) -> &[BucketSummary] {
        &self.0
    }

    /// How long a call with a body of `body_bytes` will take; `None` if no call was seen.
    ///
    /// An unseen bucket gets what lies on a line between the nearest below and the nearest above, both axes
    /// logarithmic. Where all seen ones lie on one side, the line through the nearest two is drawn on, no steeper than in
    /// proportion to the size and never falling; through one alone it is level.
    pub fn predict(&self, body_bytes: u64) -> Option<Prediction> {
        let bucket = SizeBucket::of(body_bytes);
        let above = self.0.partition_point(|seen| seen.bucket < bucket);
        if let Some(found) = self.0.get(above).filter(|seen| seen.bucket == bucket) {
            return Some(Prediction { p50: found.p50, p95: found.p95, seen: true });
        }
        let (near, far) = match (&self.0[..above], &self.0[above..]) {
            ([.., below], [next, ..]) => (below, next),
            ([.., second, nearest], []) => (nearest, second),
            ([], [nearest, second, ..]) => (nearest, second),
            ([only], []) | ([], [only, ..]) => (only, only),
            ([], []) => return None,
        };
        let between = near.bucket < bucket && bucket < far.bucket;
        let along =
            |of: fn(&BucketSummary) -> Duration| line(step(near), of(near), step(far), of(far), between, bucket);
        let p50 = along(|seen| seen.p50);
        Some(Prediction { p50, p95: along(|seen| seen.p95).max(p50), seen: false })
    }
}

fn step(seen: &BucketSummary) -> f64 {
    seen.bucket.index() as f64
}

/// What the line through two points says of a bucket. Buckets are equal steps on a logarithmic axis.
fn line(near: f64, near_time: Duration, far: f64, far_time: Duration, between: bool, bucket: SizeBucket) -> Duration {
    // Another node may say zero, whose logarithm says nothing.
    let log = |time: Duration| time.max(Duration::from_nanos(1)).as_secs_f64().ln();
    let mut slope = if near == far { 0.0 } else { (log(far_time) - log(near_time)) / (far - near) };
    if !between {
        slope = slope.clamp(0.0, 4f64.ln());
    }
    let seconds = (log(near_time) + slope * (bucket.index() as f64 - near)).exp();
    Duration::try_from_secs_f64(seconds).unwrap_or(Duration::MAX)
}

impl FromIterator<BucketSummary> for ServiceTimeSummary {
    fn from_iter<I: IntoIterator<Item = BucketSummary>>(summaries: I) -> Self {
        summaries.into_iter().collect::<Vec<_>>().into()
    }
}

impl From<Vec<BucketSummary>> for ServiceTimeSummary {
    /// In order, and the first of each bucket: another node may send anything.
    fn from(mut summaries: Vec<BucketSummary>) -> Self {
        summaries.sort_by_key(|summary| summary.bucket);
        summaries.dedup_by_key(|summary| summary.bucket);
        Self(summaries)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const KIB: u64 = 1024;

    fn summary(seen: &[(u64, u64)]) -> ServiceTimeSummary {
        seen.iter()
            .map(|(body_bytes, ms)| BucketSummary {
                bucket: SizeBucket::of(*body_bytes),
                p50: Duration::from_millis(*ms),
                p95: Duration::from_millis(2 * ms),
                weight: 1.0,
            })
            .collect()
    }

    fn predicted_ms(seen: &[(u64, u64)], body_bytes: u64) -> (u128, u128, bool) {
        let Prediction { p50, p95, seen } = summary(seen).predict(body_bytes).unwrap();
        (p50.as_micros().div_ceil(1000), p95.as_micros().div_ceil(1000), seen)
    }

    #[test]
    fn a_seen_bucket_is_predicted_as_seen() {
        assert_eq!(predicted_ms(&[(KIB, 10), (4 * KIB, 80)], 4 * KIB), (80, 160, true));
    }

    #[test]
    fn an_unseen_bucket_lies_on_the_line_between_its_neighbours() {
        // 1, 4 and 16 KiB are equal steps: 10, 20 and 40 ms are, too.
        assert_eq!(predicted_ms(&[(KIB, 10), (16 * KIB, 40)], 4 * KIB), (20, 40, false));
        // It may fall there: both ends were seen.
        assert_eq!(predicted_ms(&[(KIB, 40), (16 * KIB, 10)], 4 * KIB), (20, 40, false));
    }

    #[test]
    fn beyond_what_was_seen_times_grow_at_most_with_the_size_and_never_fall() {
        assert_eq!(predicted_ms(&[(KIB, 10), (4 * KIB, 20)], 16 * KIB), (40, 80, false));
        assert_eq!(predicted_ms(&[(KIB, 10), (4 * KIB, 1000)], 16 * KIB), (4000, 8000, false));
        assert_eq!(predicted_ms(&[(KIB, 20), (4 * KIB, 10)], 16 * KIB), (10, 20, false));
        assert_eq!(predicted_ms(&[(4 * KIB, 20), (16 * KIB, 40)], KIB), (10, 20, false));
        assert_eq!(predicted_ms(&[(4 * KIB, 20)], 1 << 40), (20, 40, false));
        assert_eq!(predicted_ms(&[(4 * KIB, 20)], 0), (20, 40, false));
    }

    #[test]
    fn nothing_seen_predicts_nothing() {
        assert_eq!(ServiceTimeSummary::default().predict(5), None);
    }

    #[test]
    fn buckets_that_another_node_sends_twice_or_out_of_order_are_put_right() {
        let text = r#"[{"up_to_bytes":null,"p50_seconds":2.0,"p95_seconds":3.0,"weight":1.0},
            {"up_to_bytes":0,"p50_seconds":0.0,"p95_seconds":0.0,"weight":0.5},
            {"up_to_bytes":0,"p50_seconds":9.0,"p95_seconds":9.0,"weight":0.5}]"#;
        let summary: ServiceTimeSummary = serde_json::from_str(text).unwrap();
        assert_eq!(summary.buckets().len(), 2);
        assert_eq!(summary.predict(0).unwrap().p50, Duration::ZERO);
        assert!(summary.predict(100).unwrap().p50 > Duration::ZERO);
        for bad in ["-1.0", "1e300"] {
            let error = serde_json::from_str::<ServiceTimeSummary>(&text.replace("2.0", bad)).unwrap_err();
            assert!(error.to_string().contains("is no number of seconds"), "{error}");
        }
    }
}
