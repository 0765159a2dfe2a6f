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
        // A node that is alone need not say where.
        let clustered = functions.iter().any(|function| !function.nodes.is_empty() || function.elsewhere.is_some());
        let mut header = vec!["FUNCTION", "REVISION", "VERSION", "ROUTES", "SANDBOXES", "CALLS", "STATE"];
        header.extend(clustered.then_some("NODES"));
        header.push("DESCRIPTION");
        let mut table = output::table(&header);
        for function in functions {
            let nodes = function.nodes.iter().map(ToString::to_string).collect::<Vec<_>>().join("\n");
            let row = [
                format!("{}/{}", function.namespace, function.name),
                function.revision.to_string(),
                function.version,
                function.routes.iter().map(output::route).collect::<Vec<_>>().join("\n"),
                function.sandboxes.to_string(),
                function.invocations.to_string(),
                // The causes are long; `inspect` has them.
                match (&function.fault, &function.elsewhere) {
                    (Some(_), _) => "fault",
                    (None, Some(_)) => "elsewhere",
                    (None, None) => "serving",
                }
                .to_owned(),
            ];
            table.add_row(row.into_iter().chain(clustered.then_some(nodes)).chain([function.description]));
        }
        Ok(output::line(table.trim_fmt())?)
    }
}
