//! What operators do to a node meanwhile: deploy, roll back, remove, unload, collect.

use std::time::Duration;

use anyhow::ensure;
use reqwest::Method;
use spillway_tests::{Answer, Node};

use super::mix;

/// Between two changes.
const EVERY: Duration = Duration::from_secs(3);
const KINDS: u64 = 6;

/// Makes one change after the other until dropped, and counts them.
///
/// # Errors
/// The node refuses one.
pub(super) async fn make(node: &Node, count: &mut u64) -> anyhow::Result<()> {
    loop {
        round(node, count).await?;
    }
}

/// Makes one change of each kind, after which the node has the functions that it had before.
///
/// # Errors
/// The node refuses one.
pub(super) async fn round(node: &Node, count: &mut u64) -> anyhow::Result<()> {
    for kind in 0..KINDS {
        tokio::time::sleep(EVERY).await;
        let answer = match kind {
            // The rollback has gone back to the first word since, so that this is a revision each time, and no new blob.
            0 => node.post(mix::hello("Salut"), "").await,
            1 => node.post(mix::passing()?, "").await,
            2 => send(node, Method::POST, "/functions/default/hello/rollback").await,
            3 => send(node, Method::DELETE, "/functions/default/passing").await,
            4 => unload(node).await?,
            _ => send(node, Method::POST, "/gc").await,
        };
        // A model that runs at that moment is not unloaded.
        ensure!(answer.status < 300 || answer.status == 409, "change {count}: {}", answer.text());
        *count += 1;
    }
    Ok(())
}

async fn send(node: &Node, method: Method, path: &str) -> Answer {
    Node::send(node.api(method, path)).await
}

async fn unload(node: &Node) -> anyhow::Result<Answer> {
    let models = node.get("/models").await;
    let digest = models[0]["digest"].as_str().unwrap_or_default().to_owned();
    ensure!(!digest.is_empty(), "no model is there: {models}");
    Ok(send(node, Method::POST, &format!("/models/{digest}/unload")).await)
}
