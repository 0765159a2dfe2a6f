//! Whether a node grew: medians of the last third of a soak beside those of its middle third. In the first third it fills
//! caches, pools and the threads that it starts on demand.

use anyhow::ensure;
use serde::Serialize;

use super::sample::Sample;
use crate::spread::Spread;

/// Fewer samples than this make no thirds to speak of.
const SAMPLES_MIN: usize = 30;

/// One thing that a node holds, and how much more at the end.
#[derive(Clone, Copy, Debug, Serialize)]
pub(super) struct Growth {
    pub(super) what: &'static str,
    /// In the middle third, or at rest before the load.
    pub(super) middle: f64,
    /// In the last third, or at rest after the load.
    pub(super) last: f64,
    /// By how much the last may be above the middle.
    pub(super) bound: f64,
}

impl Growth {
    pub(super) fn is_within(&self) -> bool {
        self.last - self.middle <= self.bound
    }
}

/// What is looked at, and what may come and go: a fixed amount for what is under way at the moment, and a share of what is
/// there for how an allocator keeps pages.
type Measure = (&'static str, fn(&Sample) -> f64, f64, f64);
const HANDLES: Measure = ("file handles", |sample| sample.handles, 16.0, 0.05);
const MEASURES: [Measure; 5] = [
    ("resident memory (MiB)", |sample| sample.resident_mebibytes, 8.0, 0.05),
    HANDLES,
    ("threads", |sample| sample.threads, 8.0, 0.0),
    ("memory areas", |sample| sample.maps, 64.0, 0.05),
    ("files in the data folder", |sample| sample.files, 8.0, 0.0),
];

/// Compares what a node held at rest before the load with what it holds after. Its memory is not compared so: it has more
/// caches by then.
pub(super) fn growth_at_rest(before: Sample, after: Sample) -> Growth {
    let (_, of, fixed, share) = HANDLES;
    let (middle, last) = (of(&before), of(&after));
    Growth { what: "file handles at rest", middle, last, bound: fixed + share * middle }
}

/// Compares.
///
/// # Errors
/// It was too short.
pub(super) fn growth(samples: &[Sample]) -> anyhow::Result<Vec<Growth>> {
    ensure!(samples.len() >= SAMPLES_MIN, "{} s are too short to tell; {SAMPLES_MIN} are not", samples.len());
    let third = samples.len() / 3;
    let (middle, last) = (&samples[third..2 * third], &samples[2 * third..]);
    let compared = MEASURES.map(|(what, of, fixed, share)| {
        let median = |samples: &[Sample]| Spread::of(samples.iter().map(of).collect()).median;
        let (middle, last) = (median(middle), median(last));
        Growth { what, middle, last, bound: fixed + share * middle }
    });
    Ok(compared.to_vec())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn samples(handles: impl Fn(usize) -> f64) -> Vec<Sample> {
        (0..300).map(|second| Sample { handles: handles(second), ..Sample::default() }).collect()
    }

    fn handles(samples: &[Sample]) -> bool {
        growth(samples).unwrap().iter().find(|growth| growth.what == "file handles").unwrap().is_within()
    }

    #[test]
    fn handles_that_stay_when_the_load_has_gone_are_found() {
        let holds = |handles| Sample { handles, ..Sample::default() };
        assert!(growth_at_rest(holds(30.0), holds(47.0)).is_within());
        assert!(!growth_at_rest(holds(30.0), holds(48.0)).is_within());
    }

    #[test]
    fn a_leak_is_found_and_a_warm_up_or_a_spike_is_none() {
        assert!(!handles(&samples(|second| second as f64)));
        assert!(handles(&samples(|second| second.min(90) as f64)));
        assert!(handles(&samples(|second| if second.is_multiple_of(7) { 900.0 } else { 20.0 })));
        assert!(growth(&samples(|_| 1.0)[..20]).is_err());
    }
}
