//! `spillway quota rm`: removes a quota.

use clap::Args;
use reqwest::Method;
use spillway_types::Namespace;

use crate::args::Global;
use crate::client::Client;
use crate::output;

/// Remove the quota of a namespace, which is not limited then
#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  spillway quota rm shop")]
pub(crate) struct Rm {
    /// The namespace
    namespace: Namespace,
}

impl Rm {
    pub(crate) async fn run(self, global: &Global) -> anyhow::Result<()> {
        let client = Client::new(global)?;
        client.send(client.request(Method::DELETE, &["quotas", self.namespace.as_str()])).await?;
        if global.json {
            return output::json(&serde_json::json!({ "removed": self.namespace }));
        }
        Ok(output::line(format!("{} has no quota any more", self.namespace))?)
    }
}
