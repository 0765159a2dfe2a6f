//! What happened, for Prometheus (OpenMetrics text).

use std::collections::BTreeMap;
use std::sync::atomic::AtomicU64;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use prometheus_client::encoding::{EncodeLabelSet, text::encode};
use prometheus_client::metrics::counter::{ConstCounter, Counter};
use prometheus_client::metrics::family::Family;
use prometheus_client::metrics::gauge::Gauge;
use prometheus_client::metrics::histogram::Histogram;
use prometheus_client::registry::{Registry, Unit};
use spillway_inference::{ModelCounts, ThreadLoad, UnloadReason};
use spillway_placement::Capacity;
use spillway_runtime::Timing;
use spillway_types::{FunctionId, NodeName, Outcome};

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
struct FunctionLabels {
    namespace: String,
    function: String,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
struct OutcomeLabels {
    namespace: String,
    function: String,
    outcome: &'static str,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
struct SentLabels {
    namespace: String,
    function: String,
    node: String,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
struct ResourceLabels {
    resource: &'static str,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
struct PeerLabels {
    peer: String,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
struct ReasonLabels {
    reason: &'static str,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
struct ModelLabels {
    model: String,
    engine: &'static str,
}

type Seconds = Counter<f64, AtomicU64>;

/// Everything that a node counts.
pub(crate) struct Metrics {
    registry: Registry,
    requests: Family<OutcomeLabels, Counter>,
    seconds: Family<FunctionLabels, Histogram, fn() -> Histogram>,
    queued_seconds: Family<FunctionLabels, Histogram, fn() -> Histogram>,
    cold_starts: Family<FunctionLabels, Counter>,
    inference_seconds: Family<FunctionLabels, Seconds>,
    guest_seconds: Family<FunctionLabels, Seconds>,
    request_bytes: Family<FunctionLabels, Counter>,
    response_bytes: Family<FunctionLabels, Counter>,
    gauges: Gauges,
    functions: Mutex<BTreeMap<FunctionId, Arc<FunctionMetrics>>>,
    /// Requests that no route takes: they belong to no function.
    pub(crate) unrouted: Counter,
    /// Calls that another node answered.
    sent: Family<SentLabels, Counter>,
    /// Log records lost because the disk did not keep up.
    pub(crate) log_records_lost: Counter,
    started: Instant,
}

/// What is read off the node's state at each scrape.
#[derive(Default)]
struct Gauges {
    sandboxes: Family<FunctionLabels, Gauge>,
    sandbox_memory: Family<FunctionLabels, Gauge>,
    tensor_memory: Family<FunctionLabels, Gauge>,
    queue: Family<FunctionLabels, Gauge>,
    model_memory: Family<ModelLabels, Gauge>,
    kernel_queue: Gauge,
    kernel_running: Gauge,
    resident: Gauge,
    utilisation: Family<ResourceLabels, Gauge<f64, AtomicU64>>,
    throughput: Gauge<f64, AtomicU64>,
    throughput_bytes: Gauge<f64, AtomicU64>,
    pressure: Family<ResourceLabels, Gauge<f64, AtomicU64>>,
    link_rtt: Family<PeerLabels, Gauge<f64, AtomicU64>>,
    link_bandwidth: Family<PeerLabels, Gauge<f64, AtomicU64>>,
}

/// A function's counters, looked up once when its revision is made ready.
pub(crate) struct FunctionMetrics {
    outcomes: [Counter; OUTCOMES.len()],
    seconds: Histogram,
    queued_seconds: Histogram,
    cold_starts: Counter,
    inference_seconds: Seconds,
    request_bytes: Counter,
    response_bytes: Counter,
    /// Core time of invocations, their guests' alone.
    guest_seconds: Seconds,
    /// What calls are expected to take.
    pub(crate) estimates: Estimates,
}

/// What a scrape reads of one function.
pub(crate) struct FunctionReading<'a> {
    pub(crate) id: &'a FunctionId,
    pub(crate) sandboxes: u64,
    pub(crate) memory_bytes: u64,
    pub(crate) tensor_bytes: u64,
    pub(crate) waiting: u64,
}

impl Metrics {
    pub(crate) fn new() -> Self {
        let mut registry = Registry::with_prefix("spillway");
        let histogram: fn() -> Histogram = || Histogram::new(SECONDS);
        let metrics = Self {
            requests: Family::default(),
            seconds: Family::new_with_constructor(histogram),
            queued_seconds: Family::new_with_constructor(histogram),
            cold_starts: Family::default(),
            inference_seconds: Family::default(),
            guest_seconds: Family::default(),
            request_bytes: Family::default(),
            response_bytes: Family::default(),
            gauges: Gauges::default(),
            functions: Mutex::default(),
            unrouted: Counter::default(),
            sent: Family::default(),
            log_records_lost: Counter::default(),
            started: Instant::now(),
            registry: Registry::default(),
        };
        registry.register("requests", "Invocations by how they ended", metrics.requests.clone());
        registry.register_with_unit(
            "request",
            "From arrival to the end of the response",
            Unit::Seconds,
            metrics.seconds.clone(),
        );
        let queued = metrics.queued_seconds.clone();
        registry.register_with_unit("queue", "Waiting for the function's turn", Unit::Seconds, queued);
        registry.register("cold_starts", "Sandboxes made for a waiting invocation", metrics.cold_starts.clone());
        let inference = metrics.inference_seconds.clone();
        registry.register_with_unit(
            "inference",
            "Native inference on behalf of the function",
            Unit::Seconds,
            inference,
        );
        registry.register_with_unit(
            "guest",
            "Threads running the function's own code",
            Unit::Seconds,
            metrics.guest_seconds.clone(),
        );
        for (name, help, bytes) in [
            ("request_body", "Bodies of requests, as far as they were read", &metrics.request_bytes),
            ("response_body", "Bodies of responses, as far as they were sent", &metrics.response_bytes),
        ] {
            registry.register_with_unit(name, help, Unit::Bytes, bytes.clone());
        }
        registry.register("sent_requests", "Calls that another node answered", metrics.sent.clone());
        registry.register("unrouted_requests", "Requests that no route takes", metrics.unrouted.clone());
        registry.register("log_records_lost", "Log records dropped", metrics.log_records_lost.clone());
        let gauges = &metrics.gauges;
        registry.register("sandboxes", "Sandboxes alive", gauges.sandboxes.clone());
        registry.register_with_unit(
            "sandbox_memory",
            "Linear memory of sandboxes",
            Unit::Bytes,
            gauges.sandbox_memory.clone(),
        );
        registry.register_with_unit(
            "tensor_memory",
            "Host tensors of sandboxes",
            Unit::Bytes,
            gauges.tensor_memory.clone(),
        );
        registry.register("queue_length", "Invocations that wait", gauges.queue.clone());
        registry.register_with_unit(
            "model_memory",
            "Loaded models, estimated",
            Unit::Bytes,
            gauges.model_memory.clone(),
        );
        registry.register(
            "utilisation_ratio",
            "What is used of what there is, over the last ten seconds or now",
            gauges.utilisation.clone(),
        );
        registry.register(
            "throughput_invocations_per_second",
            "Invocations that ended, over the last ten seconds",
            gauges.throughput.clone(),
        );
        registry.register(
            "throughput_bytes_per_second",
            "Bodies of requests and responses of invocations that ended, over the last ten seconds",
            gauges.throughput_bytes.clone(),
        );
        registry.register(
            "pressure_ratio",
            "Share of the last ten seconds in which something waited for the resource, by the kernel's word",
            gauges.pressure.clone(),
        );
        registry.register_with_unit(
            "link_rtt",
            "Smoothed round-trip time to a peer",
            Unit::Seconds,
            gauges.link_rtt.clone(),
        );
        registry.register(
            "link_bandwidth_bytes_per_second",
            "How fast a large answer comes from a peer",
            gauges.link_bandwidth.clone(),
        );
        registry.register("kernel_queue_length", "Jobs that wait for a kernel thread", gauges.kernel_queue.clone());
        registry.register("kernel_running", "Jobs on kernel threads", gauges.kernel_running.clone());
        registry.register_with_unit(
            "resident_memory",
            "Resident memory of the node",
            Unit::Bytes,
            gauges.resident.clone(),
        );
        Self { registry, ..metrics }
    }

    /// A function's counters; the same ones for all its revisions.
    pub(crate) fn function(&self, id: &FunctionId) -> Arc<FunctionMetrics> {
        let mut functions = self.functions.lock().unwrap_or_else(PoisonError::into_inner);
        let make = || {
            let labels = labels(id);
            let outcome = |outcome: Outcome| {
                let FunctionLabels { namespace, function } = labels.clone();
                let labels = OutcomeLabels { namespace, function, outcome: outcome.as_str() };
                self.requests.get_or_create_owned(&labels)
            };
            Arc::new(FunctionMetrics {
                outcomes: OUTCOMES.map(outcome),
                seconds: self.seconds.get_or_create_owned(&labels),
                queued_seconds: self.queued_seconds.get_or_create_owned(&labels),
                cold_starts: self.cold_starts.get_or_create_owned(&labels),
                inference_seconds: self.inference_seconds.get_or_create_owned(&labels),
                request_bytes: self.request_bytes.get_or_create_owned(&labels),
                response_bytes: self.response_bytes.get_or_create_owned(&labels),
                guest_seconds: self.guest_seconds.get_or_create_owned(&labels),
                estimates: Estimates::new(self.started),
            })
        };
        functions.entry(id.clone()).or_insert_with(make).clone()
    }

    /// Invocations of all functions that have ended.
    pub(crate) fn invocations(&self) -> u64 {
        let functions = self.functions.lock().unwrap_or_else(PoisonError::into_inner);
        functions.values().map(|function| function.invocations()).sum()
    }

    /// Bytes of the bodies of all invocations that have ended, both ways.
    pub(crate) fn moved_bytes(&self) -> u64 {
        let functions = self.functions.lock().unwrap_or_else(PoisonError::into_inner);
        functions.values().map(|function| function.request_bytes.get() + function.response_bytes.get()).sum()
    }

    /// Counts a call that another node answered.
    pub(crate) fn sent(&self, id: &FunctionId, node: &NodeName) {
        let FunctionLabels { namespace, function } = labels(id);
        self.sent.get_or_create_owned(&SentLabels { namespace, function, node: node.to_string() }).inc();
    }

    /// Writes everything as OpenMetrics text.
    pub(crate) fn render<'a>(
        &self,
        functions: impl IntoIterator<Item = FunctionReading<'a>>,
        models: &[spillway_inference::ModelStatus],
        counts: &ModelCounts,
        threads: &ThreadLoad,
        capacity: &Capacity,
    ) -> Result<String, std::fmt::Error> {
        let gauges = &self.gauges;
        // A function or model that has gone must not keep its last value.
        for family in [&gauges.sandboxes, &gauges.sandbox_memory, &gauges.tensor_memory, &gauges.queue] {
            family.clear();
        }
        gauges.model_memory.clear();
        for reading in functions {
            let labels = labels(reading.id);
            for (family, value) in [
                (&gauges.sandboxes, reading.sandboxes),
                (&gauges.sandbox_memory, reading.memory_bytes),
                (&gauges.tensor_memory, reading.tensor_bytes),
                (&gauges.queue, reading.waiting),
            ] {
                family.get_or_create(&labels).set(signed(value));
            }
        }
        for model in models {
            let labels = ModelLabels { model: model.digest.to_string(), engine: model.engine };
            gauges.model_memory.get_or_create(&labels).set(signed(model.memory_bytes as u64));
        }
        gauges.kernel_queue.set(signed(threads.queued as u64));
        gauges.kernel_running.set(signed(threads.running as u64));
        gauges.utilisation.clear();
        let used = &capacity.utilisation;
        for (resource, ratio) in [
            ("concurrency", used.concurrency_ratio),
            ("cpu", used.cpu_ratio),
            ("kernel-threads", used.kernel_threads_ratio),
            ("memory", used.memory_ratio),
        ] {
            if let Some(ratio) = ratio {
                gauges.utilisation.get_or_create(&ResourceLabels { resource }).set(ratio);
            }
        }
        gauges.pressure.clear();
        let pressure = &capacity.pressure;
        for (resource, load) in [("cpu", pressure.cpu), ("io", pressure.io), ("memory", pressure.memory)] {
            if let Some(load) = load {
                gauges.pressure.get_or_create(&ResourceLabels { resource }).set(load.some_ratio);
            }
        }
        gauges.link_rtt.clear();
        gauges.link_bandwidth.clear();
        for link in &capacity.links {
            let labels = PeerLabels { peer: link.peer.to_string() };
            gauges.link_rtt.get_or_create(&labels).set(link.rtt.as_secs_f64());
            if let Some(bandwidth) = link.bandwidth_bytes_per_second {
                gauges.link_bandwidth.get_or_create(&labels).set(bandwidth);
            }
        }
        gauges.throughput.set(capacity.throughput.invocations_per_second.unwrap_or(0.0));
        gauges.throughput_bytes.set(capacity.throughput.bytes_per_second.unwrap_or(0.0));
        gauges.resident.set(signed(capacity.memory.process_bytes));
        let mut text = String::new();
        encode(&mut text, &self.registry)?;
        // What others count goes before the end mark.
        let mut tail = String::new();
        encode(&mut tail, &counted_elsewhere(counts, threads))?;
        Ok(text.trim_end_matches("# EOF\n").to_owned() + &tail)
    }
}

impl FunctionMetrics {
    /// Counts an invocation that has ended.
    pub(crate) fn record(&self, outcome: Outcome, took: Duration, queued: Duration, timing: &Timing) {
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
        self.guest_seconds.inc_by(timing.guest.as_secs_f64());
        if !timing.infer.is_zero() {
            self.inference_seconds.inc_by(timing.infer.as_secs_f64());
        }
    }

    /// Counts the bytes of an invocation's bodies.
    pub(crate) fn moved(&self, request: u64, response: u64) {
        self.request_bytes.inc_by(request);
        self.response_bytes.inc_by(response);
    }

    /// Invocations so far.
    pub(crate) fn invocations(&self) -> u64 {
        self.outcomes.iter().map(Counter::get).sum()
    }
}

/// Counters that the kernel threads and the models keep themselves.
fn counted_elsewhere(models: &ModelCounts, threads: &ThreadLoad) -> Registry {
    let mut registry = Registry::with_prefix("spillway");
    registry.register_with_unit(
        "kernel",
        "Time that kernel threads have worked",
        Unit::Seconds,
        ConstCounter::new(threads.busy.as_secs_f64()),
    );
    for (name, help, count) in [
        ("model_loads", "Models loaded, reloads included", models.loads),
        ("model_load_failures", "Models that could not be loaded", models.failed_loads),
        ("model_hits", "Models found in memory when they were opened", models.hits),
    ] {
        registry.register(name, help, ConstCounter::new(count));
    }
    let unloads = Family::<ReasonLabels, Counter>::default();
    for reason in UnloadReason::ALL {
        unloads.get_or_create(&ReasonLabels { reason: reason.as_str() }).inc_by(models.unloads(reason));
    }
    registry.register("model_unloads", "Models that left memory", unloads);
    registry
}

fn labels(id: &FunctionId) -> FunctionLabels {
    FunctionLabels { namespace: id.namespace.to_string(), function: id.name.to_string() }
}

fn signed(value: u64) -> i64 {
    i64::try_from(value).unwrap_or(i64::MAX)
}
