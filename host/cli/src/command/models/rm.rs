//! `spillway models rm`: takes models off the node.

use clap::Args;
use reqwest::Method;

use crate::args::Global;
use crate::client::Client;
use crate::output;

/// Take models off the node, unless a function may open them; garbage collection frees their files later
#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  spillway models rm fe2d2eb49c5f
  spillway models rm fe2d2eb49c5f 9f4a7abf8bcf")]
pub(crate) struct Rm {
    /// Digests of the models, or the beginnings of them as `spillway models` shows them
    #[arg(value_name = "DIGEST", required = true)]
    digests: Vec<String>,
}

impl Rm {
    pub(crate) async fn run(self, global: &Global) -> anyhow::Result<()> {
        let client = Client::new(global)?;
        for digest in &self.digests {
            client.send(client.request(Method::DELETE, &["models", digest])).await?;
            if !global.json {
                output::line(format!("removed {digest}"))?;
            }
        }
        if global.json {
            return output::json(&serde_json::json!({ "removed": self.digests }));
        }
        Ok(())
    }
}
