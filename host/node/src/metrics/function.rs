//! What is counted of each function.

use std::sync::atomic::AtomicU64;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use prometheus_client::encoding::EncodeLabelSet;
use prometheus_client::metrics::counter::Counter;
use prometheus_client::metrics::family::Family;
use prometheus_client::metrics::histogram::Histogram;
use prometheus_client::registry::{Registry, Unit};
use spillway_placement::Tariff;
use spillway_runtime::{OutboundEnd, OutboundSink, Timing};
use spillway_types::{Bill, FunctionId, Outcome};

use crate::estimates::Estimates;

/// Upper bounds in seconds: a reused sandbox answers in tens of microseconds, a large model in seconds.
const SECONDS: [f64; 16] =
    [0.0001, 0.00025, 0.0005, 0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0];

const OUTCOMES: [Outcome; 9] = [
    Outcome::Answered,
    Outcome::Trap,
    Outcome::Deadline,
    Outcome::OutOfMemory,
    Outcome::NoResponse,
    Outcome::SandboxLost,
    Outcome::Cancelled,
    Outcome::Refused,
    Outcome::HostFault,
];

#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
pub(super) struct FunctionLabels {
    pub(super) namespace: String,
    pub(super) function: String,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
struct OutcomeLabels {
    namespace: String,
    function: String,
    outcome: &'static str,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
struct OutboundLabels {
    namespace: String,
    function: String,
    end: &'static str,
}

/// A counter of what comes in fractions.
type Amount = Counter<f64, AtomicU64>;
type Histograms = Family<FunctionLabels, Histogram, fn() -> Histogram>;

/// The counters of all functions.
pub(super) struct FunctionFamilies {
    requests: Family<OutcomeLabels, Counter>,
    seconds: Histograms,
    queued_seconds: Histograms,
    cold_starts: Family<FunctionLabels, Counter>,
    reruns: Family<FunctionLabels, Counter>,
    inference_seconds: Family<FunctionLabels, Amount>,
    guest_seconds: Family<FunctionLabels, Amount>,
    memory_byte_seconds: Family<FunctionLabels, Amount>,
    request_bytes: Family<FunctionLabels, Counter>,
    response_bytes: Family<FunctionLabels, Counter>,
    transfer_bytes: Family<FunctionLabels, Counter>,
    outbound: Family<OutboundLabels, Counter>,
    cost: Family<FunctionLabels, Amount>,
}

/// A function's counters, looked up once when its revision is made ready.
pub(crate) struct FunctionMetrics {
    /// Whose they are.
    pub(crate) id: Arc<FunctionId>,
    outcomes: [Counter; OUTCOMES.len()],
    seconds: Histogram,
    queued_seconds: Histogram,
    cold_starts: Counter,
    reruns: Counter,
    inference_seconds: Amount,
    guest_seconds: Amount,
    memory_byte_seconds: Amount,
    request_bytes: Counter,
    response_bytes: Counter,
    transfer_bytes: Counter,
    outbound: [Counter; OutboundEnd::ALL.len()],
    cost: Amount,
    /// What calls are expected to take.
    pub(crate) estimates: Estimates,
    /// What they cost.
    pub(crate) tariff: Tariff,
    /// Calls that are in no book yet, and what they took.
    unwritten: Mutex<(u64, Bill)>,
}

impl FunctionFamilies {
    pub(super) fn registered(registry: &mut Registry) -> Self {
        let histogram: fn() -> Histogram = || Histogram::new(SECONDS);
        let families = Self {
            requests: Family::default(),
            seconds: Family::new_with_constructor(histogram),
            queued_seconds: Family::new_with_constructor(histogram),
            cold_starts: Family::default(),
            reruns: Family::default(),
            inference_seconds: Family::default(),
            guest_seconds: Family::default(),
            memory_byte_seconds: Family::default(),
            request_bytes: Family::default(),
            response_bytes: Family::default(),
            transfer_bytes: Family::default(),
            outbound: Family::default(),
            cost: Family::default(),
        };
        registry.register("requests", "Invocations by how they ended", families.requests.clone());
        for (name, help, seconds) in [
            ("request", "From arrival to the end of the response", &families.seconds),
            ("queue", "Waiting for the function's turn", &families.queued_seconds),
        ] {
            registry.register_with_unit(name, help, Unit::Seconds, seconds.clone());
        }
        registry.register("cold_starts", "Sandboxes made for a waiting invocation", families.cold_starts.clone());
        registry.register("reruns", "Invocations run again after another took their sandbox", families.reruns.clone());
        for (name, help, seconds) in [
            ("inference", "Native inference on behalf of the function", &families.inference_seconds),
            ("guest", "Threads running the function's own code", &families.guest_seconds),
        ] {
            registry.register_with_unit(name, help, Unit::Seconds, seconds.clone());
        }
        for (name, help, bytes) in [
            ("request_body", "Bodies of requests, as far as they were read", &families.request_bytes),
            ("response_body", "Bodies of responses, as far as they were sent", &families.response_bytes),
            ("transfer", "Bodies of both, as far as they were sent to another node", &families.transfer_bytes),
        ] {
            registry.register_with_unit(name, help, Unit::Bytes, bytes.clone());
        }
        registry.register(
            "memory_byte_seconds",
            "Linear memory and host tensors over time",
            families.memory_byte_seconds.clone(),
        );
        registry.register(
            "outbound_requests",
            "Requests that functions sent, by what they came to",
            families.outbound.clone(),
        );
        registry.register("cost", "What invocations cost by the prices of this node", families.cost.clone());
        families
    }

    pub(super) fn of(&self, id: &FunctionId, started: Instant, tariff: Tariff) -> FunctionMetrics {
        let labels = labels(id);
        let outcome = |outcome: Outcome| {
            let FunctionLabels { namespace, function } = labels.clone();
            let labels = OutcomeLabels { namespace, function, outcome: outcome.as_str() };
            self.requests.get_or_create_owned(&labels)
        };
        let outbound = |end: OutboundEnd| {
            let FunctionLabels { namespace, function } = labels.clone();
            let labels = OutboundLabels { namespace, function, end: end.as_str() };
            self.outbound.get_or_create_owned(&labels)
        };
        FunctionMetrics {
            id: Arc::new(id.clone()),
            outcomes: OUTCOMES.map(outcome),
            seconds: self.seconds.get_or_create_owned(&labels),
            queued_seconds: self.queued_seconds.get_or_create_owned(&labels),
            cold_starts: self.cold_starts.get_or_create_owned(&labels),
            reruns: self.reruns.get_or_create_owned(&labels),
            inference_seconds: self.inference_seconds.get_or_create_owned(&labels),
            guest_seconds: self.guest_seconds.get_or_create_owned(&labels),
            memory_byte_seconds: self.memory_byte_seconds.get_or_create_owned(&labels),
            request_bytes: self.request_bytes.get_or_create_owned(&labels),
            response_bytes: self.response_bytes.get_or_create_owned(&labels),
            transfer_bytes: self.transfer_bytes.get_or_create_owned(&labels),
            outbound: OutboundEnd::ALL.map(outbound),
            cost: self.cost.get_or_create_owned(&labels),
            estimates: Estimates::new(started),
            tariff,
            unwritten: Mutex::default(),
        }
    }
}

impl FunctionMetrics {
    /// Counts a call that is run again.
    pub(crate) fn ran_again(&self) {
        self.reruns.inc();
    }

    /// Counts an invocation that has ended.
    pub(crate) fn record(&self, outcome: Outcome, took: Duration, queued: Duration, timing: &Timing, bill: Bill) {
        if let Some(index) = OUTCOMES.iter().position(|known| *known == outcome) {
            self.outcomes[index].inc();
        }
        self.seconds.observe(took.as_secs_f64());
        if !queued.is_zero() {
            self.queued_seconds.observe(queued.as_secs_f64());
        }
        if timing.cold {
            self.cold_starts.inc();
        }
        self.guest_seconds.inc_by(bill.cpu_seconds);
        if bill.kernel_seconds > 0.0 {
            self.inference_seconds.inc_by(bill.kernel_seconds);
        }
        self.memory_byte_seconds.inc_by(bill.memory_byte_seconds);
        self.request_bytes.inc_by(bill.request_bytes);
        self.response_bytes.inc_by(bill.response_bytes);
        if bill.transfer_bytes > 0 {
            self.transfer_bytes.inc_by(bill.transfer_bytes);
        }
        self.cost.inc_by(bill.cost.as_f64());
        self.add_unwritten(1, bill);
    }

    /// Invocations so far.
    pub(crate) fn invocations(&self) -> u64 {
        self.outcomes.iter().map(Counter::get).sum()
    }

    /// Bytes of bodies so far, both ways.
    pub(super) fn moved_bytes(&self) -> u64 {
        self.request_bytes.get() + self.response_bytes.get()
    }

    /// Takes what is to be written into the books.
    pub(super) fn take_unwritten(&self) -> Option<(u64, Bill)> {
        let mut unwritten = self.unwritten.lock().unwrap_or_else(PoisonError::into_inner);
        (unwritten.0 > 0).then(|| std::mem::take(&mut *unwritten))
    }

    /// Puts back what could not be written.
    pub(super) fn add_unwritten(&self, calls: u64, bill: Bill) {
        let mut unwritten = self.unwritten.lock().unwrap_or_else(PoisonError::into_inner);
        unwritten.0 += calls;
        unwritten.1 += bill;
    }
}

impl OutboundSink for FunctionMetrics {
    fn count(&self, end: OutboundEnd) {
        if let Some(index) = OutboundEnd::ALL.iter().position(|known| *known == end) {
            self.outbound[index].inc();
        }
    }
}

pub(super) fn labels(id: &FunctionId) -> FunctionLabels {
    FunctionLabels { namespace: id.namespace.to_string(), function: id.name.to_string() }
}
