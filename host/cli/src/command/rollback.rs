//! `spillway rollback`: goes back to an earlier revision.

use anyhow::Context as _;
use clap::Args;
use reqwest::Method;
use spillway_types::Desired;
use spillway_types::api::{Deployment, Rollback as Request};

use crate::args::{Function, Global};
use crate::client::Client;
use crate::output;
use crate::signing::{Key, Signing};

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
    #[command(flatten)]
    key: Key,
}

impl Rollback {
    pub(crate) async fn run(self, global: &Global) -> anyhow::Result<()> {
        let client = Client::new(global)?;
        let deployment = match self.key.for_node(&client).await? {
            Some(signing) => self.sign(&signing).await?,
            None => {
                let request = client.function(Method::POST, &self.function.id, &["rollback"]);
                client.json(request.json(&Request { revision: self.to })).await?
            }
        };
        if global.json {
            return output::json(&deployment);
        }
        let before = deployment.previous.map(|previous| format!(" (was {previous})")).unwrap_or_default();
        Ok(output::line(format!("{} serves revision {}{before}", self.function.id, deployment.revision))?)
    }

    async fn sign(&self, signing: &Signing<'_>) -> anyhow::Result<Deployment> {
        let id = &self.function.id;
        let draft = signing.draft(id, self.to).await?;
        let earlier = draft.earlier.clone().with_context(|| match self.to {
            Some(number) => {
                format!("the node keeps no revision {number} of {id}; ask a node that runs it, see `spillway ls`")
            }
            None => format!("the node keeps no earlier revision of {id}; ask a node that runs it, see `spillway ls`"),
        })?;
        let published = signing.publish(id, &draft, Desired::Serve(earlier)).await?;
        published.context("the node did not say what serves now; see `spillway inspect`")
    }
}
