//! Throughput, which is work per time, and utilisation, which is what is used of what there is.

use std::time::Duration;

use serde::{Deserialize, Serialize};

use crate::seconds;

/// Work done per time; absent before the node has run for long enough to say.
#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Throughput {
    /// Over how long it is measured.
    #[serde(rename = "window_seconds", with = "seconds")]
    pub window: Duration,
    /// Invocations that ended, per second.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub invocations_per_second: Option<f64>,
    /// Bytes of requests and responses, per second.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub bytes_per_second: Option<f64>,
}

/// The used share of each resource, 0 to 1; absent where it is not known.
#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Utilisation {
    /// Busy time of kernel threads, of all their time in the window.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub kernel_threads_ratio: Option<f64>,
    /// Processor time of the node, of all the time of its cores in the window.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub cpu_ratio: Option<f64>,
    /// Memory in use now.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub memory_ratio: Option<f64>,
    /// Calls that run now, of those that all functions together let run at once.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub concurrency_ratio: Option<f64>,
}

/// What share of `total` is `used`; `None` if there is nothing to use.
///
/// At most 1: time that is counted when a job ends may have passed before the window began.
pub fn ratio(used: f64, total: f64) -> Option<f64> {
    (total > 0.0 && used >= 0.0).then(|| (used / total).min(1.0))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{Meter, Time};

    #[test]
    fn a_ratio_is_between_nothing_and_all() {
        assert_eq!(ratio(1.0, 4.0), Some(0.25));
        assert_eq!(ratio(5.0, 4.0), Some(1.0));
        for (used, total) in [(1.0, 0.0), (0.0, 0.0), (-1.0, 1.0), (f64::NAN, 1.0)] {
            assert_eq!(ratio(used, total), None, "{used} of {total}");
        }
    }

    #[test]
    fn busy_seconds_of_kernel_threads_become_their_utilisation() {
        let mut busy = Meter::new(Duration::from_secs(10));
        for second in 0..=20 {
            // Three of four threads are busy.
            busy.sample(Time::from_start(Duration::from_secs(second)), 3.0 * second as f64);
        }
        assert_eq!(ratio(busy.per_second().unwrap(), 4.0), Some(0.75));
    }
}
