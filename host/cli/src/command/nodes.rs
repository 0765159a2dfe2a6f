//! `spillway nodes`: lists the nodes of the cluster.

use clap::{Args, Subcommand};
use reqwest::Method;
use serde_json::Value;
use spillway_types::api::NodeSummary;
use spillway_types::{NodeName, format_bytes};

use crate::args::Global;
use crate::client::Client;
use crate::output;

/// List the nodes of the cluster, as the node that is asked knows them
///
/// A node that has not answered for two seconds is `dead`. RTT and BANDWIDTH are of the way from the node that is asked. USED is used of total: processor and memory of the machine or
/// container, kernel threads. CALLS/S is work per time over the last seconds.
#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  spillway nodes
  spillway nodes --json | jq '.[] | {node: .identity.node, state}'
  spillway --node http://box-2:3001 nodes
  spillway nodes forget box-9")]
pub(crate) struct Nodes {
    #[command(subcommand)]
    action: Option<Action>,
}

#[derive(Debug, Subcommand)]
enum Action {
    /// Take a dead node off the list, on all nodes
    ///
    /// For a node that will not come back. One that does is on the list again. Functions whose data it has must be removed
    /// before.
    #[command(after_help = "\
Examples:
  spillway nodes forget box-9")]
    Forget {
        /// The node
        #[arg(value_name = "NODE")]
        name: NodeName,
    },
}

impl Nodes {
    pub(crate) async fn run(self, global: &Global) -> anyhow::Result<()> {
        let client = Client::new(global)?;
        let request = match &self.action {
            None => client.request(Method::GET, &["nodes"]),
            Some(Action::Forget { name }) => client.request(Method::DELETE, &["nodes", name.as_str()]),
        };
        let nodes: Vec<NodeSummary> = client.json(request).await?;
        match self.action {
            Some(Action::Forget { name }) if !global.json => Ok(output::line(format!("{name} is forgotten"))?),
            _ => show(&nodes, global),
        }
    }
}

/// Prints nodes as a table, or as JSON.
pub(super) fn show(nodes: &[NodeSummary], global: &Global) -> anyhow::Result<()> {
    if global.json {
        return output::json(&nodes);
    }
    let header = [
        "NODE",
        "ROLE",
        "SITE",
        "STATE",
        "RTT",
        "BANDWIDTH",
        "FUNCTIONS",
        "CPU",
        "MEMORY",
        "KERNELS",
        "CALLS/S",
        "VERSION",
        "PEER",
    ];
    let mut table = output::table(&header);
    for node in nodes {
        let identity = &node.identity;
        let capacity = node.capacity.as_ref();
        let part = |path: &str| capacity.and_then(|capacity| capacity.pointer(path));
        let share = |path: &str| {
            part(path).and_then(Value::as_f64).map_or_else(|| "-".to_owned(), |ratio| format!("{:.0} %", ratio * 100.0))
        };
        let memory = match (part("/memory/used_bytes"), part("/memory/total_bytes")) {
            (Some(used), Some(total)) => {
                let bytes = |value: &Value| format_bytes(value.as_u64().unwrap_or(0));
                format!("{} of {}", bytes(used), bytes(total))
            }
            _ => "-".to_owned(),
        };
        table.add_row([
            identity.node.to_string(),
            identity.role.to_string(),
            format!("{}/{}", identity.region, identity.site),
            state(node),
            node.rtt_seconds.map_or_else(|| "-".to_owned(), output::seconds),
            node.bandwidth_bytes_per_second
                .map_or_else(|| "-".to_owned(), |bandwidth| format!("{}/s", format_bytes(bandwidth as u64))),
            node.functions.map_or_else(|| "-".to_owned(), |count| count.to_string()),
            share("/utilisation/cpu_ratio"),
            memory,
            share("/utilisation/kernel_threads_ratio"),
            part("/throughput/invocations_per_second")
                .and_then(Value::as_f64)
                .map_or_else(|| "-".to_owned(), |rate| format!("{rate:.1}")),
            node.version.clone(),
            node.peer.clone(),
        ]);
    }
    output::line(table.trim_fmt())?;
    for node in nodes {
        if let Some(trouble) = &node.trouble {
            eprintln!("note: {}: {trouble}", node.identity.node);
        }
    }
    Ok(())
}

/// `alive, draining`.
fn state(node: &NodeSummary) -> String {
    match (node.draining, node.cordoned) {
        (true, _) => format!("{}, draining", node.state),
        (false, true) => format!("{}, cordoned", node.state),
        (false, false) => node.state.clone(),
    }
}
