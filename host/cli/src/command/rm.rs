//! `spillway rm`: removes a function.

use std::io::{IsTerminal as _, Write as _};

use anyhow::Context as _;
use clap::Args;
use reqwest::Method;
use spillway_types::Desired;

use crate::args::{Function, Global};
use crate::client::Client;
use crate::failure::Failure;
use crate::output;
use crate::signing::Key;

/// Remove a function with all its revisions and routes
#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  spillway rm hello
  spillway rm shop/cart --yes")]
pub(crate) struct Rm {
    #[command(flatten)]
    function: Function,
    /// Do not ask
    #[arg(long, short)]
    yes: bool,
    #[command(flatten)]
    key: Key,
}

impl Rm {
    pub(crate) async fn run(self, global: &Global) -> anyhow::Result<()> {
        let id = &self.function.id;
        if !self.yes && !confirm(&format!("remove {id} with all its revisions?"))? {
            anyhow::bail!("{id} stays");
        }
        let client = Client::new(global)?;
        match self.key.for_node(&client).await? {
            Some(signing) => {
                let draft = signing.draft(id, None).await?;
                signing.publish(id, &draft, Desired::Removed).await?;
            }
            None => {
                client.send(client.function(Method::DELETE, id, &[])).await?;
            }
        }
        if global.json {
            return output::json(&serde_json::json!({ "removed": id.to_string() }));
        }
        Ok(output::line(format!("removed {id}"))?)
    }
}

/// Asks on a terminal; elsewhere nobody can answer.
fn confirm(question: &str) -> anyhow::Result<bool> {
    if !std::io::stdin().is_terminal() {
        return Err(Failure::Usage("there is no terminal to ask on; confirm with --yes".to_owned()).into());
    }
    eprint!("{question} [y/N] ");
    std::io::stderr().flush()?;
    let mut answer = String::new();
    std::io::stdin().read_line(&mut answer).context("the answer cannot be read")?;
    Ok(matches!(answer.trim().to_ascii_lowercase().as_str(), "y" | "yes"))
}
