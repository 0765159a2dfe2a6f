//! What a node has of one function, and of its way to one other node.

use std::time::Duration;

use serde::{Deserialize, Serialize};
use spillway_types::{Digest, FunctionId, NodeName};

use crate::{ServiceTimeSummary, seconds};

/// A function that serves on a node.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct FunctionCapacity {
    /// Which function.
    pub function: FunctionId,
    /// The revision that serves.
    pub revision: u64,
    /// Digest of its bundle.
    pub bundle: Digest,
    /// Calls that wait.
    pub queued: u32,
    /// Calls that run.
    pub running: u32,
    /// Calls that may run at once.
    pub concurrency: u32,
    /// How long calls take.
    pub service_times: ServiceTimeSummary,
    /// Those of its models that are in memory.
    pub resident_models: Vec<Digest>,
}

/// The way to another node, as measured from this one.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Link {
    /// Where it leads.
    pub peer: NodeName,
    /// Smoothed round-trip time (RFC 6298, SRTT).
    #[serde(rename = "rtt_seconds", with = "seconds")]
    pub rtt: Duration,
    /// How much the round-trip time varies (RFC 6298, RTTVAR).
    #[serde(rename = "rtt_variation_seconds", with = "seconds")]
    pub rtt_variation: Duration,
    /// Bytes per second of a large transfer, where one was measured.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub bandwidth_bytes_per_second: Option<f64>,
}

impl FunctionCapacity {
    /// How long a call with a body of `body_bytes` that arrives now is expected to wait and run; `None` if no call was
    /// seen to run.
    ///
    /// Each place takes half of the calls at most the median, so the calls before this one are expected to leave in
    /// turns of it.
    pub fn finish(&self, body_bytes: u64) -> Option<Duration> {
        let service = self.service_times.predict(body_bytes)?.p50;
        let places = f64::from(self.concurrency.max(1));
        let before = f64::from(self.queued) + f64::from(self.running);
        // Calls that must end before this one starts; none while a place is free.
        let ahead = (before + 1.0 - places).max(0.0);
        let seconds = service.as_secs_f64() * (ahead / places + 1.0);
        Some(Duration::try_from_secs_f64(seconds).unwrap_or(Duration::MAX))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{ServiceTimes, Time};

    #[test]
    fn a_call_waits_only_when_no_place_is_free_and_then_in_turns() {
        let mut times = ServiceTimes::new(Duration::from_secs(60));
        times.record(0, Duration::from_millis(100), Time::START);
        let service = times.summary(Time::START).predict(0).unwrap().p50;
        let mut capacity = FunctionCapacity {
            function: "hello".parse().unwrap(),
            revision: 1,
            bundle: Digest::of(b"hello"),
            queued: 0,
            running: 3,
            concurrency: 4,
            service_times: times.summary(Time::START),
            resident_models: Vec::new(),
        };
        assert_eq!(capacity.finish(0), Some(service));
        capacity.running = 4;
        capacity.queued = 3;
        assert_eq!(capacity.finish(0), Some(service * 2));
        capacity.concurrency = 0;
        assert_eq!(capacity.finish(0), Some(service * 8));
        capacity.service_times = ServiceTimeSummary::default();
        assert_eq!(capacity.finish(0), None);
    }
}
