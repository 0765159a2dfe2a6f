//! `spillway models inspect`: all about one model.

use clap::Args;
use reqwest::Method;
use spillway_types::api::ModelStatus;
use spillway_types::format_bytes;

use super::ls::memory;
use crate::args::Global;
use crate::client::Client;
use crate::output;

/// Show all about one model: inputs and outputs, who may open it, what became of it
#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  spillway models inspect fe2d2eb49c5f
  spillway models inspect fe2d2eb49c5f --json")]
pub(crate) struct Inspect {
    /// Digest of the model, or the beginning of it as `spillway models` shows it
    #[arg(value_name = "DIGEST")]
    digest: String,
}

impl Inspect {
    pub(crate) async fn run(self, global: &Global) -> anyhow::Result<()> {
        let client = Client::new(global)?;
        let models: Vec<ModelStatus> = client.json(client.request(Method::GET, &["models", &self.digest])).await?;
        if global.json {
            return output::json(&models);
        }
        let described: Vec<String> = models.iter().map(describe).collect();
        Ok(output::line(described.join("\n\n"))?)
    }
}

fn describe(model: &ModelStatus) -> String {
    let or_none = |text: &str| if text.is_empty() { "-".to_owned() } else { text.to_owned() };
    let mut fields = vec![
        ("model", model.digest.to_string()),
        ("label", or_none(&model.label)),
        ("added", or_none(model.added_at.as_deref().unwrap_or_default())),
        ("file", format_bytes(model.file_bytes)),
        ("engine", or_none(&model.engine)),
        ("memory", memory(model)),
        ("load", if model.loads == 0 { "-".to_owned() } else { output::seconds(model.load_seconds) }),
        ("loads", format!("{}, {} more opens found it in memory", model.loads, model.hits)),
        ("runs", format!("{}, {} failed", model.runs, model.failed_runs)),
        ("last used", or_none(model.last_used_at.as_deref().unwrap_or_default())),
        ("functions", or_none(&model.functions.join("\n"))),
        ("inputs", or_none(&model.inputs.join("\n"))),
        ("outputs", or_none(&model.outputs.join("\n"))),
    ];
    if !model.specialization.is_empty() {
        fields.push(("fixed", model.specialization.join("\n")));
    }
    output::fields(&fields)
}
