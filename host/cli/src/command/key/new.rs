//! `spillway key new`: makes a deployer's key.

use std::path::PathBuf;

use clap::Args;
use spillway_trust::DeployerKey;

use super::show;
use crate::args::Global;
use crate::{home, output};

/// Make a deployer's key and print its public half; a key that is there is never overwritten
#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  spillway key new
  spillway key new --out ada.pem")]
pub(crate) struct New {
    /// File for the key, which only you can read [default: spillway/deployer.pem in $XDG_CONFIG_HOME or ~/.config]
    #[arg(long, value_name = "FILE")]
    out: Option<PathBuf>,
}

impl New {
    pub(crate) fn run(self, global: &Global) -> anyhow::Result<()> {
        let file = self.out.map_or_else(home::deployer_key, Ok)?;
        let key = DeployerKey::generate();
        key.save(&file)?;
        let public = key.public();
        if global.json {
            return output::json(&show::describe(&public, &file));
        }
        output::line(format!("wrote {}; keep it to yourself, and keep a copy", file.display()))?;
        output::line(output::fields(&[("key", public.to_string()), ("id", public.id().to_string())]))?;
        Ok(output::line(format!(
            "next, for each node that shall follow it:\n  spillway key trust {public} --name NAME --node http://NODE:3001"
        ))?)
    }
}
