//! `spillway models ls`: lists models.

use clap::Args;
use reqwest::Method;
use spillway_types::api::ModelStatus;
use spillway_types::format_bytes;

use crate::args::Global;
use crate::client::Client;
use crate::output;

/// List the models on the node: who may open them, whether they are in memory, how often they ran
#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  spillway models ls
  spillway models ls --json | jq '.[] | {digest, inputs}'")]
pub(crate) struct Ls {}

impl Ls {
    pub(crate) async fn run(self, global: &Global) -> anyhow::Result<()> {
        let client = Client::new(global)?;
        let models: Vec<ModelStatus> = client.json(client.request(Method::GET, &["models"])).await?;
        if global.json {
            return output::json(&models);
        }
        if models.is_empty() {
            let hint = "no models; they come with the functions that name them in spillway.toml, or by \
                        `spillway models add FILE`";
            return Ok(output::line(hint)?);
        }
        let mut table = output::table(&[
            "MODEL",
            "LABEL",
            "FILE",
            "ENGINE",
            "MEMORY",
            "LOAD",
            "RUNS",
            "HITS",
            "FUNCTIONS",
            "INPUTS",
            "OUTPUTS",
        ]);
        for model in models {
            table.add_row([
                model.digest.short(),
                model.label.clone(),
                format_bytes(model.file_bytes),
                if model.engine.is_empty() { "-".to_owned() } else { model.engine.clone() },
                memory(&model),
                if model.loads == 0 { "-".to_owned() } else { output::seconds(model.load_seconds) },
                model.runs.to_string(),
                model.hits.to_string(),
                model.functions.join("\n"),
                model.inputs.join("\n"),
                model.outputs.join("\n"),
            ]);
        }
        Ok(output::line(table.trim_fmt())?)
    }
}

/// What it occupies; `-` while it is not in memory.
pub(super) fn memory(model: &ModelStatus) -> String {
    if model.loaded { format_bytes(model.memory_bytes) } else { "-".to_owned() }
}
