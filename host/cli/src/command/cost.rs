//! `spillway cost`: what functions have cost, by node.

use std::collections::BTreeMap;

use clap::{Args, ValueEnum};
use spillway_types::api::{CostReport, FunctionCost};
use spillway_types::{Bill, FunctionId, format_bytes};

use crate::args::Global;
use crate::client::Client;
use crate::output;

/// Sum what calls have cost, by function and node
///
/// A call costs the share of its node that it takes, by cores or by memory, whichever is larger, at the price of the node
/// (`spillway up --price`), and what is sent to other nodes on its behalf (`--transfer-price`). All nodes of a cluster are
/// asked. A node that is killed loses what its calls cost in the last ten seconds.
#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  spillway cost                         today, in UTC
  spillway cost --days 30               and the thirty days before
  spillway cost ocr --by node
  spillway cost --json | jq '.costs[].cost'")]
pub(crate) struct Cost {
    /// Name of the function, or NAMESPACE/NAME; all if not given
    #[arg(value_name = "NAME")]
    function: Option<FunctionId>,
    /// Days before today that count, too; nodes remember 400
    #[arg(long, default_value_t = 0)]
    days: u64,
    /// What a line of the table is for
    #[arg(long, value_enum, default_value_t = By::Both, value_name = "WHAT")]
    by: By,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
enum By {
    /// A function on a node
    Both,
    /// A function on all nodes
    Function,
    /// All functions on a node
    Node,
}

impl Cost {
    pub(crate) async fn run(self, global: &Global) -> anyhow::Result<()> {
        let client = Client::new(global)?;
        let mut report: CostReport = client.json(client.ask("costs", ("days", self.days))).await?;
        if let Some(wanted) = &self.function {
            report.costs.retain(|cost| cost.namespace == wanted.namespace && cost.name == wanted.name);
        }
        if global.json {
            return output::json(&report);
        }
        for missing in &report.missing {
            eprintln!("warning: {} is not counted: {}", missing.node, missing.fault);
        }
        if report.costs.is_empty() {
            return Ok(output::line("no calls")?);
        }
        Ok(output::line(table(&report.costs, self.by))?)
    }
}

fn table(costs: &[FunctionCost], by: By) -> impl std::fmt::Display {
    let mut rows: BTreeMap<(String, String), (u64, Bill)> = BTreeMap::new();
    for cost in costs {
        let function = FunctionId::new(cost.namespace.clone(), cost.name.clone()).to_string();
        let node = cost.node.as_ref().map_or_else(|| "-".to_owned(), ToString::to_string);
        let key = match by {
            By::Both => (function, node),
            By::Function => (function, String::new()),
            By::Node => (String::new(), node),
        };
        let (calls, bill) = rows.entry(key).or_default();
        *calls += cost.calls;
        *bill += cost.bill;
    }
    let amounts = ["CALLS", "CPU", "KERNELS", "MEMORY", "REQUESTS", "RESPONSES", "TRANSFER", "COST"];
    let names: &[&str] = match by {
        By::Both => &["FUNCTION", "NODE"],
        By::Function => &["FUNCTION"],
        By::Node => &["NODE"],
    };
    let mut table = output::table(&[names, &amounts[..]].concat());
    let line = |names: Vec<String>, calls: u64, bill: Bill| {
        let amounts = [
            calls.to_string(),
            output::seconds(bill.cpu_seconds),
            output::seconds(bill.kernel_seconds),
            format!("{} s", format_bytes(bill.memory_byte_seconds as u64)),
            format_bytes(bill.request_bytes),
            format_bytes(bill.response_bytes),
            format_bytes(bill.transfer_bytes),
            bill.cost.to_string(),
        ];
        names.into_iter().chain(amounts).collect::<Vec<_>>()
    };
    let (mut calls, mut sum) = (0, Bill::default());
    for ((function, node), (row_calls, bill)) in rows {
        calls += row_calls;
        sum += bill;
        let names = [function, node].into_iter().filter(|name| !name.is_empty()).collect();
        table.add_row(line(names, row_calls, bill));
    }
    let mut total = vec![String::new(); names.len()];
    "all".clone_into(&mut total[0]);
    table.add_row(line(total, calls, sum));
    table
}
