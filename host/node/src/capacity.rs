//! What this node has, what of it is in use and what it gets done: measured twice a second, told to peers, metrics and
//! operators.

use std::sync::{Arc, PoisonError, RwLock};
use std::time::Duration;

use spillway_placement::capacity::{
    Format, FunctionCapacity, Link, Memory, Pressure, ResidentModel, Throughput, Utilisation, ratio,
};
use spillway_placement::memory::{parse_meminfo, parse_memory_limit, parse_resident_pages};
use spillway_placement::pressure::{Load, parse_psi};
use spillway_placement::{Capacity, Meter, Tariff, Time};
use spillway_types::Money;
use tokio_util::sync::CancellationToken;

use crate::cluster::Cluster;
use crate::node::Node;

/// How often `/proc` is read. Reading it costs some tens of microseconds.
const EVERY: Duration = Duration::from_millis(500);
/// Over how long work per time is measured.
const WINDOW: Duration = Duration::from_secs(10);

/// What was measured last. Lives as long as the node.
#[derive(Default)]
pub(crate) struct Measured(RwLock<Sample>);

#[derive(Clone, Copy, Default)]
struct Sample {
    memory: Option<Memory>,
    pressure: Pressure,
    invocations_per_second: Option<f64>,
    bytes_per_second: Option<f64>,
    kernel_threads_ratio: Option<f64>,
    cpu_ratio: Option<f64>,
}

/// Measures until told to stop.
pub(crate) async fn measure(node: Arc<Node>, stop: CancellationToken) {
    let [mut calls, mut moved, mut busy, mut cpu] = [(); 4].map(|()| Meter::new(WINDOW));
    loop {
        let now = Time::from_start(node.started.elapsed());
        calls.sample(now, node.metrics().invocations() as f64);
        moved.sample(now, node.metrics().moved_bytes() as f64);
        busy.sample(now, node.models.threads().load().busy.as_secs_f64());
        if let Some(seconds) = cpu_seconds() {
            cpu.sample(now, seconds);
        }
        let used = |meter: &Meter, total: usize| ratio(meter.per_second()?, total as f64);
        *node.measured.0.write().unwrap_or_else(PoisonError::into_inner) = Sample {
            memory: memory(),
            pressure: Pressure { cpu: stall("cpu"), memory: stall("memory"), io: stall("io") },
            invocations_per_second: calls.per_second(),
            bytes_per_second: moved.per_second(),
            kernel_threads_ratio: used(&busy, node.models.threads().count()),
            cpu_ratio: used(&cpu, spillway_runtime::cores()),
        };
        tokio::select! {
            () = tokio::time::sleep(EVERY) => {}
            () = stop.cancelled() => return,
        }
    }
}

impl Node {
    /// What this node has and what of it is in use.
    pub(crate) fn capacity(&self, cluster: Option<&Cluster>) -> Capacity {
        let sample = *self.measured.0.read().unwrap_or_else(PoisonError::into_inner);
        let resident = self.models.loaded();
        let functions = self.functions.read().unwrap_or_else(PoisonError::into_inner);
        let serving = functions.values().filter_map(|deployed| deployed.active.as_ref().ok());
        let functions: Vec<_> = serving
            .map(|revision| FunctionCapacity {
                function: revision.id.clone(),
                revision: revision.number,
                bundle: revision.bundle,
                queued: u32::try_from(revision.waiting()).unwrap_or(u32::MAX),
                running: revision.running(),
                concurrency: revision.manifest.limits.concurrency,
                service_times: revision.metrics.estimates.latest().run.clone(),
                resident_models: revision
                    .manifest
                    .model_digests()
                    .into_iter()
                    .filter(|digest| resident.iter().any(|model| model.digest == *digest))
                    .collect(),
            })
            .collect();
        let (running, places) = functions.iter().fold((0.0, 0.0), |(running, places), function| {
            (running + f64::from(function.running), places + f64::from(function.concurrency))
        });
        let memory = sample.memory.unwrap_or(Memory { total_bytes: 0, used_bytes: 0, process_bytes: 0 });
        Capacity {
            format: Format::default(),
            cores: u32::try_from(spillway_runtime::cores()).unwrap_or(u32::MAX),
            kernel_threads: u32::try_from(self.models.threads().count()).unwrap_or(u32::MAX),
            memory,
            models: resident
                .iter()
                .map(|model| ResidentModel { digest: model.digest, bytes: model.memory_bytes as u64 })
                .collect(),
            functions,
            pressure: sample.pressure,
            links: cluster.map(links).unwrap_or_default(),
            throughput: Throughput {
                window: WINDOW,
                invocations_per_second: sample.invocations_per_second,
                bytes_per_second: sample.bytes_per_second,
            },
            utilisation: Utilisation {
                kernel_threads_ratio: sample.kernel_threads_ratio,
                cpu_ratio: sample.cpu_ratio,
                memory_ratio: ratio(memory.used_bytes as f64, memory.total_bytes as f64),
                concurrency_ratio: ratio(running, places),
            },
            work: self.gate.work(),
            price: self.config.price,
        }
    }
}

fn links(cluster: &Cluster) -> Vec<Link> {
    let peers = cluster.peers().all();
    let measured = peers.iter().filter_map(|peer| {
        let rtt = cluster.peers().rtt(peer.name())?;
        Some(Link {
            peer: peer.name().clone(),
            rtt: rtt.smoothed,
            rtt_variation: rtt.variation,
            bandwidth_bytes_per_second: peer.said().bandwidth_bytes_per_second,
        })
    });
    measured.collect()
}

/// What the node costs, as a whole and by its parts.
pub(crate) fn tariff(hour: Money, transfer_gib: Money) -> Tariff {
    let cores = u32::try_from(spillway_runtime::cores()).unwrap_or(u32::MAX);
    Tariff { hour, transfer_gib, cores, memory_bytes: memory().map_or(0, |memory| memory.total_bytes) }
}

/// Memory of the control group if it has a limit, else of the machine; `None` where neither is known.
pub(crate) fn memory() -> Option<Memory> {
    let read = |path: &str| std::fs::read_to_string(path).ok();
    let machine = parse_meminfo(&read("/proc/meminfo")?)?;
    let limit = read("/sys/fs/cgroup/memory.max")
        .or_else(|| read("/sys/fs/cgroup/memory/memory.limit_in_bytes"))
        .and_then(|text| parse_memory_limit(&text))
        .filter(|limit| *limit < machine.total_bytes);
    let used = read("/sys/fs/cgroup/memory.current").or_else(|| read("/sys/fs/cgroup/memory/memory.usage_in_bytes"));
    let used = used.and_then(|text| text.trim().parse().ok());
    let process_bytes = parse_resident_pages(&read("/proc/self/statm")?)? * rustix::param::page_size() as u64;
    Some(match (limit, used) {
        (Some(total_bytes), Some(used_bytes)) => Memory { total_bytes, used_bytes, process_bytes },
        _ => Memory {
            total_bytes: machine.total_bytes,
            used_bytes: machine.total_bytes.saturating_sub(machine.available_bytes),
            process_bytes,
        },
    })
}

/// How short of a resource the machine is; `None` where the kernel does not tell.
fn stall(resource: &str) -> Option<Load> {
    let text = std::fs::read_to_string(format!("/proc/pressure/{resource}")).ok()?;
    parse_psi(&text).ok().map(Load::from)
}

/// Processor time of this process: fields 14 and 15 of `/proc/self/stat`, in clock ticks (proc_pid_stat(5)).
fn cpu_seconds() -> Option<f64> {
    let text = std::fs::read_to_string("/proc/self/stat").ok()?;
    // The second field is a name in parentheses, which may contain anything.
    let mut fields = text.rsplit_once(')')?.1.split_whitespace().skip(11);
    let mut ticks = || fields.next()?.parse::<u64>().ok();
    Some((ticks()? + ticks()?) as f64 / rustix::param::clock_ticks_per_second() as f64)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn linux_tells_of_memory_and_processor() {
        let memory = memory().expect("Linux tells");
        assert!(memory.process_bytes > 0 && memory.process_bytes < memory.total_bytes);
        assert!(memory.used_bytes <= memory.total_bytes);
        let before = cpu_seconds().expect("Linux tells");
        let mut sum = 0_u64;
        while cpu_seconds().expect("Linux tells") <= before {
            sum = sum.wrapping_mul(31).wrapping_add(1);
        }
        assert!(sum > 0, "work takes processor time");
    }
}
