//! `spillway key ls`: lists the keys that a node believes, and those that it believes no more.

use clap::Args;
use reqwest::Method;
use spillway_types::api::TrustedKey;

use crate::args::Global;
use crate::client::Client;
use crate::output;

/// List the keys that the node trusts, and those that were revoked
#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  spillway key ls
  spillway key ls --json | jq -r '.[] | select(.revoked_at == null) | .key'")]
pub(crate) struct Ls {}

impl Ls {
    pub(crate) async fn run(self, global: &Global) -> anyhow::Result<()> {
        let client = Client::new(global)?;
        let keys: Vec<TrustedKey> = client.json(client.request(Method::GET, &["keys"])).await?;
        if global.json {
            return output::json(&keys);
        }
        if keys.is_empty() {
            return Ok(output::line("no keys; trust one with `spillway key trust PUBLICKEY`")?);
        }
        let mut table = output::table(&["ID", "NAME", "TRUSTED", "REVOKED", "KEY"]);
        for key in keys {
            let revoked = key.revoked_at.unwrap_or_else(|| "-".to_owned());
            table.add_row([key.id, key.name, key.trusted_at, revoked, key.key]);
        }
        Ok(output::line(table.trim_fmt())?)
    }
}
