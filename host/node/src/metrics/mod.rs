//! What happened, for Prometheus (OpenMetrics text).

mod function;
mod gauges;

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Instant;

use prometheus_client::encoding::{EncodeLabelSet, text::encode};
use prometheus_client::metrics::counter::{ConstCounter, Counter};
use prometheus_client::metrics::family::Family;
use prometheus_client::registry::{Registry, Unit};
use spillway_inference::{ModelCounts, ThreadLoad, UnloadReason};
use spillway_placement::{Capacity, Tariff};
use spillway_types::{Bill, FunctionId, Namespace, NodeName};

pub(crate) use function::FunctionMetrics;
use function::{FunctionFamilies, FunctionLabels, labels};
use gauges::Gauges;
pub(crate) use gauges::{FunctionReading, QuotaReading};

#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
struct SentLabels {
    namespace: String,
    function: String,
    node: String,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
struct QuotaLabels {
    namespace: String,
    quota: &'static str,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
struct ReasonLabels {
    reason: &'static str,
}

/// Everything that a node counts.
pub(crate) struct Metrics {
    registry: Registry,
    families: FunctionFamilies,
    gauges: Gauges,
    functions: Mutex<BTreeMap<FunctionId, Arc<FunctionMetrics>>>,
    /// Requests that no route takes: they belong to no function.
    pub(crate) unrouted: Counter,
    /// Calls that another node answered.
    sent: Family<SentLabels, Counter>,
    /// Calls refused by a namespace's quota.
    quota_refusals: Family<QuotaLabels, Counter>,
    /// Log records lost because the disk did not keep up.
    pub(crate) log_records_lost: Counter,
    started: Instant,
    tariff: Tariff,
}

impl Metrics {
    pub(crate) fn new(tariff: Tariff) -> Self {
        let mut registry = Registry::with_prefix("spillway");
        let (sent, unrouted, log_records_lost) = (Family::default(), Counter::default(), Counter::default());
        let quota_refusals = Family::<QuotaLabels, Counter>::default();
        registry.register("quota_refusals", "Calls refused by the quota of their namespace", quota_refusals.clone());
        let families = FunctionFamilies::registered(&mut registry);
        registry.register("sent_requests", "Calls that another node answered", sent.clone());
        registry.register("unrouted_requests", "Requests that no route takes", unrouted.clone());
        registry.register("log_records_lost", "Log records dropped", log_records_lost.clone());
        let gauges = Gauges::default();
        gauges.register(&mut registry);
        let (functions, started) = (Mutex::default(), Instant::now());
        Self {
            registry,
            families,
            gauges,
            functions,
            unrouted,
            sent,
            quota_refusals,
            log_records_lost,
            started,
            tariff,
        }
    }

    /// A function's counters; the same ones for all its revisions.
    pub(crate) fn function(&self, id: &FunctionId) -> Arc<FunctionMetrics> {
        let mut functions = self.functions.lock().unwrap_or_else(PoisonError::into_inner);
        let make = || Arc::new(self.families.of(id, self.started, self.tariff));
        functions.entry(id.clone()).or_insert_with(make).clone()
    }

    /// What this node costs.
    pub(crate) fn tariff(&self) -> &Tariff {
        &self.tariff
    }

    /// Invocations of all functions that have ended.
    pub(crate) fn invocations(&self) -> u64 {
        let functions = self.functions.lock().unwrap_or_else(PoisonError::into_inner);
        functions.values().map(|function| function.invocations()).sum()
    }

    /// Bytes of the bodies of all invocations that have ended, both ways.
    pub(crate) fn moved_bytes(&self) -> u64 {
        let functions = self.functions.lock().unwrap_or_else(PoisonError::into_inner);
        functions.values().map(|function| function.moved_bytes()).sum()
    }

    /// Counts a call that another node answered.
    pub(crate) fn sent(&self, id: &FunctionId, node: &NodeName) {
        let FunctionLabels { namespace, function } = labels(id);
        self.sent.get_or_create_owned(&SentLabels { namespace, function, node: node.to_string() }).inc();
    }

    /// Counts a call that a quota refused.
    pub(crate) fn quota_refused(&self, namespace: &Namespace, quota: &'static str) {
        self.quota_refusals.get_or_create_owned(&QuotaLabels { namespace: namespace.to_string(), quota }).inc();
    }

    /// Calls of a namespace that its quota refused.
    pub(crate) fn quota_refusals(&self, namespace: &Namespace) -> u64 {
        let count = |quota| {
            let labels = QuotaLabels { namespace: namespace.to_string(), quota };
            self.quota_refusals.get(&labels).map_or(0, |counter| counter.get())
        };
        ["calls-per-second", "concurrent", "memory", "kernel-time"].into_iter().map(count).sum()
    }

    /// Notes what the next scrape says of quotas.
    pub(crate) fn set_quotas(&self, readings: &[QuotaReading]) {
        self.gauges.set_quotas(readings);
    }

    /// Takes the calls that are in no book yet, and what they took.
    pub(crate) fn take_unwritten(&self) -> Vec<(FunctionId, u64, Bill)> {
        let functions = self.functions.lock().unwrap_or_else(PoisonError::into_inner);
        let unwritten = functions.iter().filter_map(|(id, function)| {
            let (calls, bill) = function.take_unwritten()?;
            Some((id.clone(), calls, bill))
        });
        unwritten.collect()
    }

    /// Puts back what could not be written.
    pub(crate) fn put_back_unwritten(&self, unwritten: Vec<(FunctionId, u64, Bill)>) {
        for (id, calls, bill) in unwritten {
            self.function(&id).add_unwritten(calls, bill);
        }
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
        self.gauges.set(functions, models, threads, capacity);
        let mut text = String::new();
        encode(&mut text, &self.registry)?;
        // What others count goes before the end mark.
        let mut tail = String::new();
        encode(&mut tail, &counted_elsewhere(counts, threads))?;
        Ok(text.trim_end_matches("# EOF\n").to_owned() + &tail)
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
