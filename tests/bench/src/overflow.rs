//! What sending calls over gains where a node has too little: a small edge node and a larger cloud node on this machine,
//! held to their shares by control groups.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};
use std::time::{Duration, Instant};

use anyhow::{Context as _, ensure};
use clap::Args;
use reqwest::Method;
use serde::Serialize;
use spillway_tests::{Cluster, Node, Quota, bundle_file};

use crate::spread::Spread;

#[derive(Args)]
pub(crate) struct Overflow {
    /// Print JSON
    #[arg(long)]
    json: bool,
    /// How long each load lasts, in seconds
    #[arg(long, default_value_t = 10, value_parser = clap::value_parser!(u64).range(2..))]
    seconds: u64,
    /// Runs of each kind, in turn
    #[arg(long, default_value_t = 3, value_parser = clap::value_parser!(u16).range(1..))]
    runs: u16,
}

/// What the edge node and the cloud node get of a core. The callers need the rest.
const EDGE_CORES: f64 = 0.3;
const CLOUD_CORES: f64 = 0.9;
const SMALL_AND_LARGE: [f64; 2] = [EDGE_CORES, CLOUD_CORES];
/// Shares that hold nobody up: where single calls are timed, a quota would be what is measured.
const UNBOUNDED: [f64; 2] = [8.0, 8.0];
/// How long callers wait for an answer.
const PATIENCE: Duration = Duration::from_millis(400);
/// Load, in times of what the edge can do.
const OVERLOAD: f64 = 3.0;

#[derive(Serialize)]
struct Report {
    /// Answers within their deadline at three times the edge's capacity, with spilling over without.
    goodput_over_no_spilling: Gated,
    /// Accepted calls that were answered after their deadline, share.
    late_answers: Gated,
    /// What a call takes longer that the edge gives away to the cloud than the same call made of the cloud itself.
    overflow_added_us: Gated,
    /// The edge's 99th percentile at half load, in a cluster over alone.
    lone_edge_p99: Gated,
    /// Calls per second that the edge alone answers.
    edge_capacity_per_second: f64,
}

#[derive(Serialize)]
struct Gated {
    #[serde(flatten)]
    spread: Spread,
    gate: f64,
    aim: f64,
}

/// What became of the calls of one load.
#[derive(Default)]
struct Tally {
    good: AtomicU64,
    late: AtomicU64,
    refused: AtomicU64,
}

impl Overflow {
    pub(crate) async fn run(self) -> anyhow::Result<()> {
        ensure!(
            Quota::cores(EDGE_CORES).is_some(),
            "this benchmark gives nodes shares of a core by control groups (version 1, cpu), which needs root and a \
             machine that has them"
        );
        let capacity = capacity(self.seconds).await?;
        let rate = capacity * OVERLOAD;
        let (mut ratios, mut late, mut added) = (Vec::new(), Vec::new(), Vec::new());
        for _ in 0..self.runs {
            let (with, shares) = loaded(&[], rate, self.seconds).await?;
            let (without, _) = loaded(&["--no-overflow"], rate, self.seconds).await?;
            ratios.push(with as f64 / without.max(1) as f64);
            late.push(shares);
        }
        for _ in 0..self.runs {
            added.push(overflow_added().await?);
        }
        let p99 = lone_edge(capacity).await?;
        let report = Report {
            goodput_over_no_spilling: Gated { spread: Spread::of(ratios), gate: 2.0, aim: 2.5 },
            late_answers: Gated { spread: Spread::of(late), gate: 0.02, aim: 0.005 },
            overflow_added_us: Gated { spread: Spread::of(added), gate: 1000.0, aim: 500.0 },
            lone_edge_p99: Gated { spread: Spread::of(p99), gate: 1.10, aim: 1.03 },
            edge_capacity_per_second: capacity,
        };
        if self.json {
            println!("{}", serde_json::to_string_pretty(&report)?);
            return Ok(());
        }
        println!("edge alone: {:.1} calls a second", report.edge_capacity_per_second);
        for (name, gated) in [
            ("goodput_over_no_spilling", &report.goodput_over_no_spilling),
            ("late_answers", &report.late_answers),
            ("overflow_added_us", &report.overflow_added_us),
            ("lone_edge_p99", &report.lone_edge_p99),
        ] {
            let Gated { spread: Spread { median, p10, p90, runs }, gate, aim } = gated;
            println!("{name:<26} {median:>8.3}  ({p10:.3} to {p90:.3}, {runs} runs; gate {gate}, aim {aim})");
        }
        Ok(())
    }
}

/// A node under a quota.
async fn node(cluster: &Cluster, name: &str, role: &str, cores: f64, more: &[&str]) -> anyhow::Result<(Node, Quota)> {
    let quota = Quota::cores(cores).context("control groups were there before")?;
    let entrance = quota.entrance();
    let builder = cluster.builder(name, role, name).await.args(more).under(&entrance.each_ref().map(String::as_str));
    Ok((builder.start().await, quota))
}

fn body() -> Vec<u8> {
    "fn main() {\n    println!(\"hello\");\n}\n".repeat(100).into_bytes()
}

/// Lets a node learn how long a call takes.
async fn warm(node: &Node) -> anyhow::Result<()> {
    let started = Instant::now();
    loop {
        let answer = node.request(Method::POST, "/sniff").body(body()).send().await?;
        if answer.status() == 200 && !answer.headers().contains_key("spillway-node") {
            break;
        }
        ensure!(started.elapsed() < Duration::from_secs(60), "{} does not serve", node.listen());
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
    for _ in 0..30 {
        node.request(Method::POST, "/sniff").body(body()).send().await?;
    }
    Ok(())
}

/// An edge node and a cloud node that serve `sniff`.
async fn pair(more: &[&str], [edge, cloud]: [f64; 2]) -> anyhow::Result<(Cluster, [(Node, Quota); 2])> {
    let cluster = Cluster::start().await;
    let edge = node(&cluster, "edge", "edge", edge, more).await?;
    let cloud = node(&cluster, "cloud", "cloud", cloud, &[]).await?;
    cluster.settled(&[&edge.0, &cloud.0]).await;
    let file = bundle_file("sniff").display().to_string();
    cluster.sign(&cloud.0, &["deploy", &file, "--json"]).await.json();
    warm(&edge.0).await?;
    warm(&cloud.0).await?;
    // What it has learnt is known at the other: reports are asked for twice a second.
    let started = Instant::now();
    loop {
        let nodes = edge.0.get("/nodes").await;
        let times = &nodes[1]["capacity"]["functions"][0]["service_times"];
        if times.as_array().is_some_and(|times| times.iter().any(|times| times["weight"].as_f64() > Some(20.0))) {
            return Ok((cluster, [edge, cloud]));
        }
        ensure!(started.elapsed() < Duration::from_secs(60), "{} learns nothing of the other node", edge.0.listen());
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
}

/// Calls per second that the edge answers when it always has one to do.
async fn capacity(seconds: u64) -> anyhow::Result<f64> {
    let (_cluster, [(edge, _quota), _cloud]) = pair(&["--no-overflow"], SMALL_AND_LARGE).await?;
    let (started, mut calls) = (Instant::now(), 0_u64);
    while started.elapsed() < Duration::from_secs(seconds) {
        edge.request(Method::POST, "/sniff").body(body()).send().await?.error_for_status()?;
        calls += 1;
    }
    Ok(calls as f64 / started.elapsed().as_secs_f64())
}

/// Calls at an even rate, whoever answers. Gives the answers in time, and the share of late ones among those accepted.
async fn loaded(more: &[&str], rate: f64, seconds: u64) -> anyhow::Result<(u64, f64)> {
    let (_cluster, [(edge, _edge_quota), _cloud]) = pair(more, SMALL_AND_LARGE).await?;
    let edge = Arc::new(edge);
    let tally = Arc::new(Tally::default());
    let every = Duration::from_secs_f64(1.0 / rate);
    let (started, mut calls) = (tokio::time::Instant::now(), Vec::new());
    for number in 0..(rate * seconds as f64) as u32 {
        tokio::time::sleep_until(started + every * number).await;
        let (edge, tally) = (edge.clone(), tally.clone());
        calls.push(tokio::spawn(async move {
            let patience = PATIENCE.as_millis().to_string();
            let request = edge.request(Method::POST, "/sniff").header("spillway-deadline-ms", patience).body(body());
            let sent = Instant::now();
            let answer = request.send().await;
            let status = answer.map_or(0, |answer| answer.status().as_u16());
            let count = match status {
                200 if sent.elapsed() <= PATIENCE + Duration::from_millis(20) => &tally.good,
                // Who is told late might as well have been answered late.
                503 if sent.elapsed() <= PATIENCE / 2 => &tally.refused,
                _ => &tally.late,
            };
            count.fetch_add(1, Relaxed);
        }));
    }
    for call in calls {
        call.await?;
    }
    let (good, late) = (tally.good.load(Relaxed), tally.late.load(Relaxed));
    eprintln!(
        "{} {:.0} calls a second: {good} in time, {late} late, {} refused",
        more.first().unwrap_or(&"with spilling,"),
        rate,
        tally.refused.load(Relaxed)
    );
    Ok((good, late as f64 / (good + late).max(1) as f64))
}

/// One call at a time that the edge gives away to the cloud, over the same call made of the cloud itself, in turn. The way
/// between both is loopback and takes nothing to speak of.
async fn overflow_added() -> anyhow::Result<f64> {
    let (_cluster, [(edge, _edge_quota), (cloud, _cloud_quota)]) = pair(&[], UNBOUNDED).await?;
    edge.cli(&["drain", "edge", "--timeout", "0s"]).await;
    let (mut by_edge, mut direct) = (Vec::new(), Vec::new());
    for _ in 0..200 {
        for (node, times, sent_by) in [(&edge, &mut by_edge, Some("cloud")), (&cloud, &mut direct, None)] {
            let sent = Instant::now();
            let answer = node.request(Method::POST, "/sniff").body(body()).send().await?.error_for_status()?;
            let took = sent.elapsed().as_secs_f64() * 1e6;
            let ran_by = answer.headers().get("spillway-node").and_then(|value| value.to_str().ok());
            if ran_by == sent_by {
                times.push(took);
            }
        }
    }
    ensure!(by_edge.len() > 100 && direct.len() > 100, "calls were not sent over");
    Ok(Spread::of(by_edge).median - Spread::of(direct).median)
}

/// The edge's 99th percentile at half load in a cluster over that of a node alone, seven times in turn.
async fn lone_edge(capacity: f64) -> anyhow::Result<Vec<f64>> {
    let quota = Quota::cores(EDGE_CORES).context("control groups were there before")?;
    let entrance = quota.entrance();
    let alone = Node::builder().under(&entrance.each_ref().map(String::as_str)).start().await;
    alone.cli(&["deploy", &bundle_file("sniff").display().to_string(), "--json"]).await.json();
    warm(&alone).await?;
    let (_cluster, [(edge, _edge_quota), _cloud]) = pair(&[], SMALL_AND_LARGE).await?;
    let mut ratios = Vec::new();
    for _ in 0..7 {
        let (lone, clustered) = (half_load(&alone, capacity).await?, half_load(&edge, capacity).await?);
        ratios.push(clustered / lone);
    }
    Ok(ratios)
}

/// The 99th percentile of calls at half of what the edge can do, in microseconds.
async fn half_load(node: &Node, capacity: f64) -> anyhow::Result<f64> {
    let every = Duration::from_secs_f64(2.0 / capacity);
    let (started, mut times) = (tokio::time::Instant::now(), Vec::new());
    for number in 0..100 {
        tokio::time::sleep_until(started + every * number).await;
        let sent = Instant::now();
        node.request(Method::POST, "/sniff").body(body()).send().await?.error_for_status()?;
        times.push(sent.elapsed().as_secs_f64() * 1e6);
    }
    times.sort_by(f64::total_cmp);
    Ok(times[(times.len() - 1) * 99 / 100])
}
