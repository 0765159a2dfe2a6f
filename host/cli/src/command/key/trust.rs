//! `spillway key trust`: makes a node follow what a key signs.

use clap::Args;
use reqwest::Method;
use spillway_trust::PublicKey;
use spillway_types::api::{TrustKey, TrustedKey};

use crate::args::Global;
use crate::client::Client;
use crate::output;

/// Make the node follow what a key signs: whoever has the key decides what runs there
#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  spillway key trust ed25519:Gb9ECWmEzf6FQbrBZ9w7lshQhqowtrbLDFw4rXAxZuE= --name ada
  spillway key trust $(spillway key show) --node http://10.0.0.7:3001")]
pub(crate) struct Trust {
    /// The public half, as `spillway key show` prints it where the key is
    #[arg(value_name = "PUBLICKEY")]
    key: PublicKey,
    /// Whose it is, for listings
    #[arg(long, value_name = "NAME", default_value = "", hide_default_value = true)]
    name: String,
}

impl Trust {
    pub(crate) async fn run(self, global: &Global) -> anyhow::Result<()> {
        let client = Client::new(global)?;
        let body = TrustKey { key: self.key.to_string(), name: self.name };
        let trusted: TrustedKey = client.json(client.request(Method::POST, &["keys"]).json(&body)).await?;
        if global.json {
            return output::json(&trusted);
        }
        Ok(output::line(format!("{} trusts {}", global.node, super::named(&trusted)))?)
    }
}
