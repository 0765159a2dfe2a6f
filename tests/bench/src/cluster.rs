//! How fast a cluster follows: three nodes and NATS on this machine.

use std::time::{Duration, Instant};

use bytes::Bytes;
use clap::Args;
use serde::Serialize;
use spillway_tests::{Cluster as Nodes, Node, bundle, bundle_file, manifest_of, with_manifest};

use crate::caller::Caller;
use crate::spread::Spread;

#[derive(Args)]
pub(crate) struct Cluster {
    /// Print JSON
    #[arg(long)]
    json: bool,
    /// How often each thing is done
    #[arg(long, default_value_t = 10, value_parser = clap::value_parser!(u16).range(1..))]
    rounds: u16,
}

/// Nothing here takes longer, unless something is wrong.
const LIMIT: Duration = Duration::from_secs(30);
const LOOK: Duration = Duration::from_millis(2);

#[derive(Serialize)]
struct Report {
    /// From the start of `spillway deploy` at one node to the first new answer of another.
    deployed_elsewhere_ms: Measured,
    /// The same for `spillway rollback`.
    rolled_back_elsewhere_ms: Measured,
    /// From `kill -9` of a node until another calls it dead.
    death_noticed_ms: Measured,
    /// What a call takes longer that one node takes and another answers, one call at a time.
    sent_call_added_us: Measured,
}

#[derive(Serialize)]
struct Measured {
    #[serde(flatten)]
    spread: Spread,
    #[serde(skip_serializing_if = "Option::is_none")]
    gate: Option<f64>,
}

impl Cluster {
    pub(crate) async fn run(self) -> anyhow::Result<()> {
        let cluster = Nodes::start().await;
        let one = cluster.join("one", "edge", "paris").await;
        let two = cluster.join("two", "edge", "lyon").await;
        let three = cluster.join("three", "cloud", "cloud").await;
        cluster.settled(&[&one, &two, &three]).await;
        let (mut deployed, mut rolled_back, mut noticed) = (Vec::new(), Vec::new(), Vec::new());
        for round in 0..self.rounds {
            let file = cluster.path("greeting.wasm");
            let (deploy, back) = (["deploy", &file, "--json"], ["rollback", "hello", "--json"]);
            let (before, after) = (format!("Before {round}"), format!("After {round}"));
            std::fs::write(&file, greeting(&before))?;
            cluster.sign(&one, &["deploy", &file, "--json"]).await.json();
            says(&three, &before).await?;
            std::fs::write(&file, greeting(&after))?;
            let started = Instant::now();
            let (signed, seen) = tokio::join!(cluster.sign(&one, &deploy), says(&three, &after));
            signed.json();
            deployed.push((seen? - started).as_secs_f64() * 1e3);
            let started = Instant::now();
            let (signed, seen) = tokio::join!(cluster.sign(&one, &back), says(&three, &before));
            signed.json();
            rolled_back.push((seen? - started).as_secs_f64() * 1e3);
        }
        let counts = bundle_file("misbehave").display().to_string();
        cluster.sign(&one, &["deploy", &counts, "--json"]).await.json();
        let added = added(&one, &two, self.rounds).await?;

        let mut killed = Some(three);
        for _ in 0..self.rounds {
            let node = match killed.take() {
                Some(node) => node,
                None => cluster.join("three", "cloud", "cloud").await,
            };
            cluster.settled(&[&one, &two, &node]).await;
            let started = Instant::now();
            node.kill();
            while state(&one, "three").await != "dead" {
                anyhow::ensure!(started.elapsed() < LIMIT, "the death of a node was not noticed in {LIMIT:?}");
                tokio::time::sleep(LOOK).await;
            }
            noticed.push(started.elapsed().as_secs_f64() * 1e3);
        }
        let report = Report {
            deployed_elsewhere_ms: Measured { spread: Spread::of(deployed), gate: Some(2000.0) },
            rolled_back_elsewhere_ms: Measured { spread: Spread::of(rolled_back), gate: Some(2000.0) },
            death_noticed_ms: Measured { spread: Spread::of(noticed), gate: Some(3000.0) },
            sent_call_added_us: Measured { spread: added, gate: None },
        };
        if self.json {
            println!("{}", serde_json::to_string_pretty(&report)?);
        } else {
            print("deployed_elsewhere_ms", &report.deployed_elsewhere_ms);
            print("rolled_back_elsewhere_ms", &report.rolled_back_elsewhere_ms);
            print("death_noticed_ms", &report.death_noticed_ms);
            print("sent_call_added_us", &report.sent_call_added_us);
        }
        Ok(())
    }
}

fn print(name: &str, measured: &Measured) {
    let Measured { spread: Spread { median, p10, p90, runs }, gate } = measured;
    let gate = gate.map_or_else(String::new, |gate| format!("; gate {gate:.0}"));
    println!("{name:<24} {median:>8.1}  (10 % below {p10:.1}, 10 % above {p90:.1}, {runs} runs{gate})");
}

/// `hello` with another greeting, hence another bundle.
fn greeting(word: &str) -> Vec<u8> {
    let built = bundle("hello");
    let mut manifest = manifest_of(&built);
    manifest.config.insert("greeting".to_owned(), word.to_owned());
    with_manifest(&built, &manifest.to_bundle_toml())
}

/// When a node first greets so.
async fn says(node: &Node, word: &str) -> anyhow::Result<Instant> {
    let (expected, started) = (format!("{word}, world!\n"), Instant::now());
    while node.call("/hello").await.text() != expected {
        anyhow::ensure!(started.elapsed() < LIMIT, "{} did not say `{word}` within {LIMIT:?}", node.listen());
        tokio::time::sleep(LOOK).await;
    }
    Ok(Instant::now())
}

async fn state(node: &Node, name: &str) -> String {
    let nodes = node.get("/nodes").await;
    let found = nodes.as_array().and_then(|nodes| nodes.iter().find(|node| node["identity"]["node"] == name).cloned());
    found.and_then(|node| Some(node["state"].as_str()?.to_owned())).unwrap_or_default()
}

/// Calls of a function that only its owner runs, at the owner and at another node, in turn.
async fn added(owner: &Node, other: &Node, rounds: u16) -> anyhow::Result<Spread> {
    const BLOCK: usize = 100;
    let started = Instant::now();
    while other.call("/misbehave/count").await.status != 200 {
        anyhow::ensure!(started.elapsed() < LIMIT, "calls are not sent to the owner");
        tokio::time::sleep(LOOK).await;
    }
    let (mut near, mut far) = (Caller::connect(owner.listen()).await?, Caller::connect(other.listen()).await?);
    let mut added = Vec::new();
    for round in 0..=rounds {
        let (mut direct, mut sent) = (Vec::new(), Vec::new());
        for _ in 0..BLOCK {
            direct.push(near.post("/misbehave/body", Bytes::from_static(b"hello")).await?.1.as_secs_f64() * 1e6);
            sent.push(far.post("/misbehave/body", Bytes::from_static(b"hello")).await?.1.as_secs_f64() * 1e6);
        }
        // The first round warms both up.
        if round > 0 {
            added.push(Spread::of(sent).median - Spread::of(direct).median);
        }
    }
    Ok(Spread::of(added))
}
