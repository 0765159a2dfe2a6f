//! `spillway key revoke`: makes a node follow a key no more.

use clap::Args;
use reqwest::Method;
use spillway_trust::{KeyId, ParseKeyError, PublicKey};
use spillway_types::api::TrustedKey;

use crate::args::Global;
use crate::client::Client;
use crate::output;

/// Make the node follow a key no more, for ever; what it has followed serves on until another key says otherwise
#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  spillway key revoke e744c0791320c328
  spillway key revoke ed25519:Gb9ECWmEzf6FQbrBZ9w7lshQhqowtrbLDFw4rXAxZuE=")]
pub(crate) struct Revoke {
    /// Id of the key, as `spillway key ls` shows it, or the public half
    #[arg(value_name = "ID|PUBLICKEY", value_parser = id)]
    key: KeyId,
}

fn id(text: &str) -> Result<KeyId, ParseKeyError> {
    if text.contains(':') { text.parse::<PublicKey>().map(|key| key.id()) } else { text.parse() }
}

impl Revoke {
    pub(crate) async fn run(self, global: &Global) -> anyhow::Result<()> {
        let client = Client::new(global)?;
        let request = client.request(Method::POST, &["keys", &self.key.to_string(), "revoke"]);
        let revoked: TrustedKey = client.json(request).await?;
        if global.json {
            return output::json(&revoked);
        }
        Ok(output::line(format!("{} no longer trusts {}", global.node, super::named(&revoked)))?)
    }
}
