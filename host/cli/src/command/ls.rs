//! `spillway ls`: lists functions.

use clap::Args;
use reqwest::Method;
use spillway_types::api::FunctionSummary;

use crate::args::Global;
use crate::client::Client;
use crate::output;

/// List the functions on the node
#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  spillway ls
  spillway ls --json | jq -r '.[].name'")]
pub(crate) struct Ls {}

impl Ls {
    pub(crate) async fn run(self, global: &Global) -> anyhow::Result<()> {
        let client = Client::new(global)?;
        let functions: Vec<FunctionSummary> = client.json(client.request(Method::GET, &["functions"])).await?;
        if global.json {
            return output::json(&functions);
        }
        if functions.is_empty() {
            return Ok(output::line("no functions; deploy one with `spillway deploy BUNDLE`")?);
        }
        let mut table =
            output::table(&["FUNCTION", "REVISION", "VERSION", "ROUTES", "SANDBOXES", "CALLS", "STATE", "DESCRIPTION"]);
        for function in functions {
            table.add_row([
                format!("{}/{}", function.namespace, function.name),
                function.revision.to_string(),
                function.version,
                function.routes.iter().map(output::route).collect::<Vec<_>>().join("\n"),
                function.sandboxes.to_string(),
                function.invocations.to_string(),
                // The cause is long; `inspect` has it.
                function.fault.map_or("serving", |_| "fault").to_owned(),
                function.description,
            ]);
        }
        Ok(output::line(table.trim_fmt())?)
    }
}
