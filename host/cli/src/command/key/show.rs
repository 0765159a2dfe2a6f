//! `spillway key show`: prints the public half of a deployer's key.

use std::path::{Path, PathBuf};

use clap::Args;
use serde_json::{Value, json};
use spillway_trust::{DeployerKey, PublicKey};

use crate::args::Global;
use crate::{home, output};

/// Print the public half of your key, which you may give to anybody
#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  spillway key show
  spillway key show --key ada.pem
  spillway key trust $(spillway key show) --name ada")]
pub(crate) struct Show {
    /// File of the key [default: spillway/deployer.pem in $XDG_CONFIG_HOME or ~/.config]
    #[arg(long, env = "SPILLWAY_KEY", value_name = "FILE")]
    key: Option<PathBuf>,
}

impl Show {
    pub(crate) fn run(self, global: &Global) -> anyhow::Result<()> {
        let file = self.key.map_or_else(home::deployer_key, Ok)?;
        let public = DeployerKey::load(&file)?.public();
        if global.json {
            return output::json(&describe(&public, &file));
        }
        // Alone, so that it can stand in another command.
        Ok(output::line(public)?)
    }
}

pub(super) fn describe(public: &PublicKey, file: &Path) -> Value {
    json!({ "id": public.id().to_string(), "key": public, "file": file })
}
