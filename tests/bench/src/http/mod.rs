//! HTTP beside what one would take instead: a hello each, side by side, in turn.
//!
//! | module | what |
//! | --- | --- |
//! | `contender` | the servers |
//! | `load` | closed-loop load from `wrk` |
//! | `neighbours` | latency at half load, alone and beside functions that misbehave |
//! | `size` | memory and files |
//! | `hello` | plain hyper, in a process of its own |

mod contender;
mod hello;
mod load;
mod neighbours;
mod size;

use std::collections::BTreeMap;

use anyhow::ensure;
use clap::Args;
use serde::Serialize;
use spillway_tests::{Node, bundle, bundle_file, manifest_of, with_manifest};
use spillway_types::RoutePattern;

use crate::spread::Spread;
use contender::Contender;
pub(crate) use hello::Hello;
use load::{Load, load};
use neighbours::{LoadPriority, Neighbour};

#[derive(Args)]
pub(crate) struct Http {
    /// Print JSON
    #[arg(long)]
    json: bool,
    /// How long each load lasts, in seconds
    #[arg(long, default_value_t = 3, value_parser = clap::value_parser!(u64).range(1..))]
    seconds: u64,
    /// Rounds, in each of which all are measured in turn
    #[arg(long, default_value_t = 5, value_parser = clap::value_parser!(u16).range(1..))]
    rounds: u16,
    /// Different components that are deployed to see what an idle one takes
    #[arg(long, default_value_t = 1000, value_parser = clap::value_parser!(u16).range(1..))]
    components: u16,
    /// Have all servers in the session of the load, so that the kernel shares the cores among all of their threads alike; else
    /// it shares them among servers and load first, as it does among services
    #[arg(long)]
    one_session: bool,
    /// Leave the load all cores where the node has one, for `fresh_two_cores_over_one`
    #[arg(long)]
    load_anywhere: bool,
    /// Only figures whose key contains this
    #[arg(long, value_name = "TEXT")]
    only: Option<String>,
    /// Neighbours that misbehave, for `neighbour_p99`
    #[arg(long, value_enum, value_delimiter = ',', default_values_t = Neighbour::ALL)]
    neighbours: Vec<Neighbour>,
    /// Priority of the load's own threads for a core, for `neighbour_p99`
    #[arg(long, value_enum, default_value_t = LoadPriority::Realtime)]
    load_priority: LoadPriority,
}

/// The figures that one comparison of all servers gives.
const THROUGHPUT: [&str; 5] = [
    "fresh_over_wasmtime_serve",
    "reuse_over_wasmtime_serve",
    "p3_reuse_over_wasmtime_serve",
    "reuse_over_hyper",
    "fresh_over_workerd",
];

/// One figure.
#[derive(Serialize)]
struct Figure {
    #[serde(flatten)]
    spread: Spread,
    gate: f64,
    aim: f64,
    /// Whether the smaller is the better.
    #[serde(skip)]
    less: bool,
}

/// All that was measured.
#[derive(Default, Serialize)]
struct Report {
    #[serde(flatten)]
    figures: BTreeMap<&'static str, Figure>,
    /// Requests per second and latency of each server, medians.
    servers: BTreeMap<&'static str, Server>,
}

#[derive(Serialize)]
struct Server {
    per_second: f64,
    p50_us: f64,
    p99_us: f64,
}

impl Report {
    fn add(&mut self, key: &'static str, values: Vec<f64>, gate: f64, aim: f64) {
        self.figures.insert(key, Figure { spread: Spread::of(values), gate, aim, less: gate > aim });
    }
}

impl Http {
    pub(crate) async fn run(self) -> anyhow::Result<()> {
        let mut report = Report::default();
        if self.wants(&THROUGHPUT) {
            self.throughput(&mut report).await?;
        }
        if self.wants(&["fresh_two_cores_over_one"]) {
            let ratios = self.two_cores().await?;
            report.add("fresh_two_cores_over_one", ratios, 1.6, 1.8);
        }
        if self.wants(&["neighbour_p99"]) {
            let (seconds, rounds) = (self.seconds, self.rounds);
            let under = self.session();
            let ratios = neighbours::ratios(under, seconds, rounds, &self.neighbours, self.load_priority).await?;
            report.add("neighbour_p99", ratios, 2.0, 1.5);
        }
        if self.wants(&["node_idle_bytes", "binary_bytes"]) {
            report.add("node_idle_bytes", size::idle_node(self.rounds).await?, 60e6, 30e6);
            report.add("binary_bytes", vec![size::binary()?], 60e6, 40e6);
        }
        if self.wants(&["idle_function_bytes"]) {
            let bytes = size::idle_function(self.components).await?;
            report.add("idle_function_bytes", vec![bytes], 150e3, 100e3);
        }
        ensure!(!report.figures.is_empty(), "no figure has {:?} in its key", self.only.unwrap_or_default());
        if self.json {
            println!("{}", serde_json::to_string_pretty(&report)?);
        } else {
            print(&report);
        }
        Ok(())
    }

    /// The program that servers are started under.
    fn session(&self) -> &'static [&'static str] {
        if self.one_session { &[] } else { &["setsid"] }
    }

    fn wants(&self, keys: &[&str]) -> bool {
        self.only.as_ref().is_none_or(|only| keys.iter().any(|key| key.contains(only.as_str())))
    }

    async fn throughput(&self, report: &mut Report) -> anyhow::Result<()> {
        let folder = tempfile::tempdir()?;
        let under = self.session();
        let node = node(under).await?;
        let many = ["--max-instance-reuse-count", "1000000"];
        let (fresh, reused) =
            (Contender::wasmtime_serve(under, "plain", &[]), Contender::wasmtime_serve(under, "plain", &many));
        let (fresh, reused) = (fresh.await?, reused.await?);
        let p3 = ["-Sp3", "-Wcomponent-model-async", many[0], many[1]];
        let p3 = Contender::wasmtime_serve(under, "constant", &p3).await?;
        let (workerd, hyper) = (Contender::workerd(under, folder.path()).await?, Contender::hyper(under).await?);
        let own = |path: &str| format!("{}{path}", node.listen());
        let urls: [(&'static str, String); 8] = [
            ("spillway-0.2-fresh", own("/fresh/greet")),
            ("wasmtime-serve-0.2-fresh", fresh.url().to_owned()),
            ("spillway-0.2-reuse", own("/reused/greet")),
            ("wasmtime-serve-0.2-reuse", reused.url().to_owned()),
            ("spillway-0.3-reuse", own("/constant")),
            ("wasmtime-serve-0.3-reuse", p3.url().to_owned()),
            ("workerd", workerd.url().to_owned()),
            ("hyper", hyper.url().to_owned()),
        ];
        let mut rounds: Vec<BTreeMap<&'static str, Load>> = Vec::new();
        for round in 0..self.rounds {
            let mut measured = BTreeMap::new();
            for (name, url) in &urls {
                // The first round warms all of them up.
                if round == 0 {
                    load(&[], url, 1).await?;
                }
                let seen = load(&[], url, self.seconds).await?;
                eprintln!("round {round}: {name:<26} {:>8.0}/s, p99 {:?}", seen.per_second, seen.p99);
                measured.insert(*name, seen);
            }
            rounds.push(measured);
        }
        let over = |one: &str, other: &str| -> Vec<f64> {
            rounds.iter().map(|round| round[one].per_second / round[other].per_second).collect()
        };
        let best: Vec<f64> = over("spillway-0.2-reuse", "hyper")
            .into_iter()
            .zip(over("spillway-0.3-reuse", "hyper"))
            .map(|(p2, p3)| p2.max(p3))
            .collect();
        report.add("fresh_over_wasmtime_serve", over("spillway-0.2-fresh", "wasmtime-serve-0.2-fresh"), 2.0, 3.0);
        let p2 = over("spillway-0.2-reuse", "wasmtime-serve-0.2-reuse");
        report.add("reuse_over_wasmtime_serve", p2, 1.0, 1.2);
        let p3 = over("spillway-0.3-reuse", "wasmtime-serve-0.3-reuse");
        report.add("p3_reuse_over_wasmtime_serve", p3, 1.0, 1.2);
        report.add("reuse_over_hyper", best, 0.45, 0.6);
        report.add("fresh_over_workerd", over("spillway-0.2-fresh", "workerd"), 1.3, 1.8);
        for (name, _) in &urls {
            let median =
                |value: fn(&Load) -> f64| Spread::of(rounds.iter().map(|round| value(&round[name])).collect()).median;
            let p50_us = median(|load| load.p50.as_secs_f64() * 1e6);
            let p99_us = median(|load| load.p99.as_secs_f64() * 1e6);
            report.servers.insert(name, Server { per_second: median(|load| load.per_second), p50_us, p99_us });
        }
        Ok(())
    }

    /// Fresh sandboxes, on both cores over on one. The load has the same cores: with one of its own where the node has one, it
    /// would be the load that two cores are shared with.
    async fn two_cores(&self) -> anyhow::Result<Vec<f64>> {
        let on = |cores| ["taskset", "--cpu-list", cores];
        let start = async |cores| node(&[self.session(), &on(cores)].concat()).await;
        let (one, two) = (start("0").await?, start("0,1").await?);
        let per_second = async |node: &Node, cores| {
            let under = if self.load_anywhere { on("0,1") } else { on(cores) };
            let load = load(&under, &format!("{}/fresh/greet", node.listen()), self.seconds).await?;
            anyhow::Ok(load.per_second)
        };
        let mut ratios = Vec::new();
        for _ in 0..self.rounds {
            let (both, single) = (per_second(&two, "0,1").await?, per_second(&one, "0").await?);
            eprintln!("fresh sandboxes: {both:.0}/s on two cores, {single:.0}/s on one");
            ratios.push(both / single);
        }
        Ok(ratios)
    }
}

/// A node with a hello of each kind, under another program.
async fn node(under: &[&str]) -> anyhow::Result<Node> {
    let node = Node::builder().under(under).start().await;
    for (name, reuse) in [("fresh", false), ("reused", true)] {
        let built = bundle("plain");
        let mut manifest = manifest_of(&built);
        manifest.name = name.parse()?;
        manifest.routes[0].pattern = RoutePattern::any_host(&format!("/{name}/*")).map_err(anyhow::Error::msg)?;
        manifest.sandbox.reuse = reuse;
        let answer = node.post(with_manifest(&built, &manifest.to_bundle_toml()), "").await;
        ensure!(answer.status == 201, "{name} was not deployed: {}", answer.text());
    }
    node.cli(&["deploy", &bundle_file("constant").display().to_string(), "--json"]).await.json();
    Ok(node)
}

fn print(report: &Report) {
    for (name, Server { per_second, p50_us, p99_us }) in &report.servers {
        println!("{name:<28} {per_second:>9.0}/s   p50 {p50_us:>7.0} us   p99 {p99_us:>7.0} us");
    }
    for (key, Figure { spread, gate, aim, less }) in &report.figures {
        let Spread { median, p10, p90, runs } = spread;
        let missed = if *less { median > gate } else { median < gate };
        let word = if missed { "gate missed" } else { "" };
        println!("{key:<28} {median:>14.2}  ({p10:.2} to {p90:.2}, {runs} runs; gate {gate}, aim {aim}) {word}");
    }
}
