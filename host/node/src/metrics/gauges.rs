//! What is read off the node's state at each scrape.

use std::sync::atomic::AtomicU64;

use prometheus_client::encoding::EncodeLabelSet;
use prometheus_client::metrics::family::Family;
use prometheus_client::metrics::gauge::Gauge;
use prometheus_client::registry::{Registry, Unit};
use spillway_inference::{ModelStatus, ThreadLoad};
use spillway_placement::Capacity;
use spillway_types::{FunctionId, Namespace};

use super::{FunctionLabels, labels};

#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
struct ResourceLabels {
    resource: &'static str,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
struct PeerLabels {
    peer: String,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
struct ModelLabels {
    model: String,
    engine: &'static str,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
struct NamespaceLabels {
    namespace: String,
}

/// Gauges that have no state but what the last scrape read.
#[derive(Default)]
pub(super) struct Gauges {
    sandboxes: Family<FunctionLabels, Gauge>,
    sandbox_memory: Family<FunctionLabels, Gauge>,
    tensor_memory: Family<FunctionLabels, Gauge>,
    queue: Family<FunctionLabels, Gauge>,
    quota_running: Family<NamespaceLabels, Gauge>,
    quota_memory: Family<NamespaceLabels, Gauge>,
    loaded: Family<FunctionLabels, Gauge>,
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

/// What a scrape reads of one function.
pub(crate) struct FunctionReading<'a> {
    pub(crate) id: &'a FunctionId,
    pub(crate) sandboxes: u64,
    pub(crate) memory_bytes: u64,
    pub(crate) tensor_bytes: u64,
    pub(crate) waiting: u64,
    pub(crate) is_loaded: bool,
}

/// What a scrape reads of a namespace's quota.
pub(crate) struct QuotaReading {
    pub(crate) namespace: Namespace,
    pub(crate) running: u32,
    pub(crate) memory_bytes: u64,
}

impl Gauges {
    pub(super) fn register(&self, registry: &mut Registry) {
        registry.register("sandboxes", "Sandboxes alive", self.sandboxes.clone());
        registry.register_with_unit(
            "sandbox_memory",
            "Linear memory of sandboxes",
            Unit::Bytes,
            self.sandbox_memory.clone(),
        );
        registry.register_with_unit(
            "tensor_memory",
            "Host tensors of sandboxes",
            Unit::Bytes,
            self.tensor_memory.clone(),
        );
        registry.register("code_loaded", "Whether the function's code is in memory", self.loaded.clone());
        registry.register(
            "quota_running",
            "Calls that count for the quota of their namespace",
            self.quota_running.clone(),
        );
        registry.register_with_unit(
            "quota_memory",
            "Linear memory and host tensors of namespaces that have a quota",
            Unit::Bytes,
            self.quota_memory.clone(),
        );
        registry.register("queue_length", "Invocations that wait", self.queue.clone());
        registry.register_with_unit("model_memory", "Loaded models, estimated", Unit::Bytes, self.model_memory.clone());
        registry.register(
            "utilisation_ratio",
            "What is used of what there is, over the last ten seconds or now",
            self.utilisation.clone(),
        );
        registry.register(
            "throughput_invocations_per_second",
            "Invocations that ended, over the last ten seconds",
            self.throughput.clone(),
        );
        registry.register(
            "throughput_bytes_per_second",
            "Bodies of requests and responses of invocations that ended, over the last ten seconds",
            self.throughput_bytes.clone(),
        );
        registry.register(
            "pressure_ratio",
            "Share of the last ten seconds in which something waited for the resource, by the kernel's word",
            self.pressure.clone(),
        );
        registry.register_with_unit(
            "link_rtt",
            "Smoothed round-trip time to a peer",
            Unit::Seconds,
            self.link_rtt.clone(),
        );
        registry.register(
            "link_bandwidth_bytes_per_second",
            "How fast a large answer comes from a peer",
            self.link_bandwidth.clone(),
        );
        registry.register("kernel_queue_length", "Jobs that wait for a kernel thread", self.kernel_queue.clone());
        registry.register("kernel_running", "Jobs on kernel threads", self.kernel_running.clone());
        registry.register_with_unit(
            "resident_memory",
            "Resident memory of the node",
            Unit::Bytes,
            self.resident.clone(),
        );
    }

    /// Reads the quotas anew.
    pub(super) fn set_quotas(&self, readings: &[QuotaReading]) {
        self.quota_running.clear();
        self.quota_memory.clear();
        for reading in readings {
            let labels = NamespaceLabels { namespace: reading.namespace.to_string() };
            self.quota_running.get_or_create(&labels).set(i64::from(reading.running));
            self.quota_memory.get_or_create(&labels).set(signed(reading.memory_bytes));
        }
    }

    /// Reads everything anew.
    pub(super) fn set<'a>(
        &self,
        functions: impl IntoIterator<Item = FunctionReading<'a>>,
        models: &[ModelStatus],
        threads: &ThreadLoad,
        capacity: &Capacity,
    ) {
        // A function or model that has gone must not keep its last value.
        for family in [&self.sandboxes, &self.sandbox_memory, &self.tensor_memory, &self.queue, &self.loaded] {
            family.clear();
        }
        self.model_memory.clear();
        for reading in functions {
            let labels = labels(reading.id);
            for (family, value) in [
                (&self.sandboxes, reading.sandboxes),
                (&self.sandbox_memory, reading.memory_bytes),
                (&self.tensor_memory, reading.tensor_bytes),
                (&self.queue, reading.waiting),
                (&self.loaded, u64::from(reading.is_loaded)),
            ] {
                family.get_or_create(&labels).set(signed(value));
            }
        }
        for model in models {
            let labels = ModelLabels { model: model.digest.to_string(), engine: model.engine };
            self.model_memory.get_or_create(&labels).set(signed(model.memory_bytes as u64));
        }
        self.kernel_queue.set(signed(threads.queued as u64));
        self.kernel_running.set(signed(threads.running as u64));
        self.utilisation.clear();
        let used = &capacity.utilisation;
        for (resource, ratio) in [
            ("concurrency", used.concurrency_ratio),
            ("cpu", used.cpu_ratio),
            ("kernel-threads", used.kernel_threads_ratio),
            ("memory", used.memory_ratio),
        ] {
            if let Some(ratio) = ratio {
                self.utilisation.get_or_create(&ResourceLabels { resource }).set(ratio);
            }
        }
        self.pressure.clear();
        let pressure = &capacity.pressure;
        for (resource, load) in [("cpu", pressure.cpu), ("io", pressure.io), ("memory", pressure.memory)] {
            if let Some(load) = load {
                self.pressure.get_or_create(&ResourceLabels { resource }).set(load.some_ratio);
            }
        }
        self.link_rtt.clear();
        self.link_bandwidth.clear();
        for link in &capacity.links {
            let labels = PeerLabels { peer: link.peer.to_string() };
            self.link_rtt.get_or_create(&labels).set(link.rtt.as_secs_f64());
            if let Some(bandwidth) = link.bandwidth_bytes_per_second {
                self.link_bandwidth.get_or_create(&labels).set(bandwidth);
            }
        }
        self.throughput.set(capacity.throughput.invocations_per_second.unwrap_or(0.0));
        self.throughput_bytes.set(capacity.throughput.bytes_per_second.unwrap_or(0.0));
        self.resident.set(signed(capacity.memory.process_bytes));
    }
}

fn signed(value: u64) -> i64 {
    i64::try_from(value).unwrap_or(i64::MAX)
}
