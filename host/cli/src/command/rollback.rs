//! `spillway rollback`: goes back to an earlier revision.

use clap::Args;
use reqwest::Method;
use spillway_types::api::{Deployment, Rollback as Request};

use crate::args::{Function, Global};
use crate::client::Client;
use crate::output;

/// Let an earlier revision serve again, at once
///
/// Calls in flight end on the revision that they started on. `spillway inspect NAME` lists the revisions.
#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  spillway rollback hello
  spillway rollback hello --to 3")]
pub(crate) struct Rollback {
    #[command(flatten)]
    function: Function,
    /// The revision to go back to [default: the one before the serving one]
    #[arg(long, value_name = "REVISION")]
    to: Option<u64>,
}

impl Rollback {
    pub(crate) async fn run(self, global: &Global) -> anyhow::Result<()> {
        let client = Client::new(global)?;
        let request =
            client.function(Method::POST, &self.function.id, &["rollback"]).json(&Request { revision: self.to });
        let deployment: Deployment = client.json(request).await?;
        if global.json {
            return output::json(&deployment);
        }
        let before = deployment.previous.map(|previous| format!(" (was {previous})")).unwrap_or_default();
        Ok(output::line(format!("{} serves revision {}{before}", self.function.id, deployment.revision))?)
    }
}
