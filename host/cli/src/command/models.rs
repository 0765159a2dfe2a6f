//! `spillway models`: lists models.

use clap::Args;
use reqwest::Method;
use spillway_types::api::ModelStatus;
use spillway_types::format_bytes;

use crate::args::Global;
use crate::client::Client;
use crate::output;

/// List the models on the node: who may open them, whether they are in memory, inputs and outputs
#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  spillway models
  spillway models --json | jq '.[] | {digest, inputs}'")]
pub(crate) struct Models {}

impl Models {
    pub(crate) async fn run(self, global: &Global) -> anyhow::Result<()> {
        let client = Client::new(global)?;
        let models: Vec<ModelStatus> = client.json(client.request(Method::GET, &["models"])).await?;
        if global.json {
            return output::json(&models);
        }
        if models.is_empty() {
            return Ok(output::line("no models; they come with the functions that name them in spillway.toml")?);
        }
        let mut table =
            output::table(&["MODEL", "FILE", "ENGINE", "MEMORY", "LOAD", "RUNS", "FUNCTIONS", "INPUTS", "OUTPUTS"]);
        for model in models {
            let loaded = |text: String| if model.loaded { text } else { "-".to_owned() };
            table.add_row([
                model.digest.short(),
                format_bytes(model.file_bytes),
                loaded(model.engine.clone()),
                loaded(format_bytes(model.memory_bytes)),
                loaded(output::seconds(model.load_seconds)),
                model.runs.to_string(),
                model.functions.join("\n"),
                model.inputs.join("\n"),
                model.outputs.join("\n"),
            ]);
        }
        Ok(output::line(table.trim_fmt())?)
    }
}
