//! `cargo xtask soak`: hours in minutes. A node at 80 % of what it can do, with guests that misbehave, callers that hang up,
//! deployments, rollbacks and removals; what it holds at the end must be what it held before.
//!
//! | module | what |
//! | --- | --- |
//! | `mix` | the functions, and which call comes next |
//! | `load` | calls as fast as they are answered, and on a schedule |
//! | `changes` | what operators do meanwhile |
//! | `sample` | what the node holds |
//! | `verdict` | whether it grew |

mod changes;
mod load;
mod mix;
mod sample;
mod verdict;

use std::sync::Arc;
use std::time::Duration;

use anyhow::ensure;
use clap::Args;
use serde::Serialize;
use spillway_tests::Node;

use load::{Load, Tally};
use verdict::Growth;

/// Of what the node can do, so that queues stay short and nothing is shed for long.
const SHARE: f64 = 0.8;

#[derive(Args)]
pub(crate) struct Soak {
    /// Print JSON
    #[arg(long)]
    json: bool,
    /// How long, in minutes
    #[arg(long, default_value_t = 30, value_name = "N", value_parser = clap::value_parser!(u64).range(1..))]
    minutes: u64,
}

#[derive(Serialize)]
struct Report {
    seconds: u64,
    capacity_per_second: f64,
    offered_per_second: f64,
    calls: Tally,
    changes: u64,
    growth: Vec<Growth>,
    passed: bool,
}

impl Soak {
    /// Soaks a node of its own. Ctrl-C ends it early, with what there is.
    ///
    /// # Errors
    /// The node grew beyond a bound, a well-behaved function failed, or the time was too short to tell.
    pub(crate) async fn run(self) -> anyhow::Result<()> {
        let node = Arc::new(Node::start().await);
        mix::deploy(&node).await?;
        let load = Load::new(node.clone())?;
        let mut changes = 0;
        let (capacity, ()) = tokio::try_join!(load.capacity(), changes::round(&node, &mut changes))?;
        let at_rest = sample::at_rest(&node).await;
        let (rate, before) = (capacity * SHARE, load.tally());
        eprintln!(
            "capacity {capacity:.0} calls/s; offering {rate:.0}/s for {} min; Ctrl-C ends it early",
            self.minutes
        );

        let mut samples = Vec::new();
        changes = 0;
        let ends = async {
            tokio::select! {
                () = tokio::time::sleep(Duration::from_secs(60 * self.minutes)) => {}
                _ = tokio::signal::ctrl_c() => eprintln!("ending early"),
            }
        };
        tokio::select! {
            () = ends => {}
            () = load.offer(rate) => {}
            () = sample::each_second(&node, &mut samples) => {}
            changed = changes::make(&node, &mut changes) => changed?,
        }
        let mut growth = verdict::growth(&samples)?;
        growth.push(verdict::growth_at_rest(at_rest, sample::at_rest(&node).await));
        let calls = load.tally().since(before);
        let passed = growth.iter().all(Growth::is_within) && calls.unexpected == 0;
        let seconds = samples.len() as u64;
        let report =
            Report { seconds, capacity_per_second: capacity, offered_per_second: rate, calls, changes, growth, passed };
        match self.json {
            true => println!("{}", serde_json::to_string_pretty(&report)?),
            false => print(&report),
        }
        ensure!(calls.unexpected == 0, "{} calls of well-behaved functions failed; {}", calls.unexpected, load.first());
        ensure!(passed, "the node grew beyond its bounds");
        Ok(())
    }
}

fn print(report: &Report) {
    let Tally { answered, shed, misbehaved, hung_up, unexpected } = report.calls;
    println!(
        "{} s at {:.0} calls/s: {answered} answered, {shed} shed (503), {misbehaved} of guests that misbehave, {hung_up} hung up, {unexpected} failed; {} changes\n",
        report.seconds, report.offered_per_second, report.changes
    );
    let mut table = comfy_table::Table::new();
    table.load_style(comfy_table::presets::UTF8_FULL_CONDENSED);
    table.set_header(["what", "middle third", "last third", "growth", "bound", ""]);
    for growth in &report.growth {
        let verdict = if growth.is_within() { "ok" } else { "TOO MUCH" };
        table.add_row([
            growth.what.to_owned(),
            format!("{:.0}", growth.middle),
            format!("{:.0}", growth.last),
            format!("{:+.0}", growth.last - growth.middle),
            format!("{:.0}", growth.bound),
            verdict.to_owned(),
        ]);
    }
    println!("{table}");
}
