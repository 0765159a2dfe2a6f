//! Deployments in a cluster: what shall run is said in a statement that the deployer signs.

use std::path::PathBuf;

use anyhow::Context as _;
use clap::Args;
use reqwest::{Method, StatusCode};
use spillway_trust::{DeployerKey, SignedStatement};
use spillway_types::api::{Deployment, StatementDraft};
use spillway_types::{Desired, FunctionId, STATEMENT_FORMAT, Statement};

use crate::client::Client;
use crate::home;

/// The key that a command signs with.
#[derive(Debug, Args)]
pub(crate) struct Key {
    /// Key to sign with, in a cluster [default: spillway/deployer.pem in $XDG_CONFIG_HOME or ~/.config]
    #[arg(long, env = "SPILLWAY_KEY", value_name = "FILE")]
    key: Option<PathBuf>,
}

/// A way to change the cluster that a node belongs to.
pub(crate) struct Signing<'a> {
    client: &'a Client,
    key: DeployerKey,
}

impl Key {
    /// How to sign for the node's cluster; `None` where the node is alone and wants no signature.
    ///
    /// # Errors
    /// No node answers, or there is no key to sign with.
    pub(crate) async fn for_node<'a>(&self, client: &'a Client) -> anyhow::Result<Option<Signing<'a>>> {
        let Some(cluster) = client.status().await?.cluster else { return Ok(None) };
        let file = self.key.clone().map_or_else(home::deployer_key, Ok)?;
        let key = DeployerKey::load(&file).with_context(|| {
            let cluster = &cluster.identity.cluster;
            format!("deployments to the cluster {cluster} are signed; make a key with `spillway key new` and have the nodes trust it with `spillway key trust`")
        })?;
        Ok(Some(Signing { client, key }))
    }
}

impl Signing<'_> {
    /// What the next statement about a function has to say; `revision` is one to go back to.
    ///
    /// # Errors
    /// The node, or its control store, does not answer.
    pub(crate) async fn draft(&self, id: &FunctionId, revision: Option<u64>) -> anyhow::Result<StatementDraft> {
        let mut request = self.client.function(Method::GET, id, &["statement"]).build()?;
        if let Some(revision) = revision {
            request.url_mut().query_pairs_mut().append_pair("revision", &revision.to_string());
        }
        let response = self.client.send_built(request).await?;
        response.json().await.context("the node's answer is not that of this version; check the node's version")
    }

    /// Signs what shall be, and has it done.
    ///
    /// # Errors
    /// The node refused; nothing has changed.
    pub(crate) async fn publish(
        &self,
        id: &FunctionId,
        draft: &StatementDraft,
        desired: Desired,
    ) -> anyhow::Result<Option<Deployment>> {
        let statement = Statement {
            format: STATEMENT_FORMAT,
            cluster: draft.cluster.clone(),
            function: id.clone(),
            sequence: draft.sequence,
            desired,
        };
        let signed = SignedStatement::sign(&statement, &self.key);
        let request = self.client.request(Method::POST, &["statements"]).body(signed.to_bytes());
        let response = self.client.send(request).await?;
        if response.status() == StatusCode::NO_CONTENT {
            return Ok(None);
        }
        response
            .json()
            .await
            .map(Some)
            .context("the node's answer is not that of this version; check the node's version")
    }
}
