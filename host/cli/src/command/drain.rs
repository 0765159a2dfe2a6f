//! `spillway drain`, `cordon` and `uncordon`: what an operator wants of a node.

use std::time::{Duration, Instant};

use clap::Args;
use reqwest::Method;
use spillway_types::api::NodeSummary;
use spillway_types::{NodeName, parse_duration};

use super::nodes::show;
use crate::args::Global;
use crate::client::Client;
use crate::{output, progress};

/// How often to look whether a node is empty.
const LOOK: Duration = Duration::from_millis(200);

/// Let a node give all its calls away, so that it can be stopped without one failing
///
/// Other nodes take its new calls, and `/readyz` there tells load balancers to go elsewhere; what no other node may run
/// goes on running there. The command ends when the calls in flight have. The order outlives a restart of the node; take
/// it back with `spillway uncordon`.
#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  spillway drain box-1
  spillway drain box-1 --timeout 5m
  spillway drain box-1 --timeout 0s              do not wait")]
pub(crate) struct Drain {
    /// The node
    #[arg(value_name = "NODE")]
    name: NodeName,
    /// How long to wait for calls in flight
    #[arg(long, default_value = "60s", value_parser = parse_duration, value_name = "DURATION")]
    timeout: Duration,
}

/// Let a node take no functions that it does not have
///
/// What it has goes on, newer revisions included.
#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  spillway cordon box-1")]
pub(crate) struct Cordon {
    /// The node
    #[arg(value_name = "NODE")]
    name: NodeName,
}

/// Let a node work as before `cordon` or `drain`
#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  spillway uncordon box-1")]
pub(crate) struct Uncordon {
    /// The node
    #[arg(value_name = "NODE")]
    name: NodeName,
}

impl Drain {
    pub(crate) async fn run(self, global: &Global) -> anyhow::Result<()> {
        let client = Client::new(global)?;
        let mut nodes = order(&client, &self.name, "drain").await?;
        let bar = progress::waiting("calls in flight");
        let until = Instant::now() + self.timeout;
        while calls(&nodes, &self.name) != Some(0) && Instant::now() < until {
            tokio::time::sleep(LOOK).await;
            nodes = client.json(client.request(Method::GET, &["nodes"])).await?;
        }
        bar.finish_and_clear();
        if global.json {
            return show(&nodes, global);
        }
        output::line(match calls(&nodes, &self.name) {
            Some(0) => format!(
                "{} is drained; stop it, or take the order back with `spillway uncordon {}`",
                self.name, self.name
            ),
            Some(calls) => {
                format!("{} still runs {calls} calls; it takes new ones only where no other node may", self.name)
            }
            None => format!("{} drains; it has not said how many calls it runs", self.name),
        })
        .map_err(Into::into)
    }
}

impl Cordon {
    pub(crate) async fn run(self, global: &Global) -> anyhow::Result<()> {
        let nodes = order(&Client::new(global)?, &self.name, "cordon").await?;
        if global.json {
            return show(&nodes, global);
        }
        Ok(output::line(format!("{} takes no functions that it does not have", self.name))?)
    }
}

impl Uncordon {
    pub(crate) async fn run(self, global: &Global) -> anyhow::Result<()> {
        let nodes = order(&Client::new(global)?, &self.name, "uncordon").await?;
        if global.json {
            return show(&nodes, global);
        }
        Ok(output::line(format!("{} works as before", self.name))?)
    }
}

async fn order(client: &Client, name: &NodeName, word: &str) -> anyhow::Result<Vec<NodeSummary>> {
    client.json(client.request(Method::POST, &["nodes", name.as_str(), word])).await
}

/// The calls that a node runs or has waiting, once it is known to drain.
fn calls(nodes: &[NodeSummary], name: &NodeName) -> Option<u64> {
    let node = nodes.iter().find(|node| node.identity.node == *name && node.draining)?;
    let functions = node.capacity.as_ref()?.pointer("/functions")?.as_array()?;
    Some(
        functions
            .iter()
            .map(|function| {
                let count = |key: &str| function[key].as_u64().unwrap_or(0);
                count("running") + count("queued")
            })
            .sum(),
    )
}
