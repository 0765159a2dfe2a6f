//! Nodes of the cluster, and signed statements.

use std::sync::Arc;

use axum::Json;
use axum::body::Bytes;
use axum::extract::rejection::QueryRejection;
use axum::extract::{Path, Query, State};
use axum::response::IntoResponse;
use http::StatusCode;
use serde::Deserialize;
use spillway_trust::SignedStatement;
use spillway_types::api::{NodeSummary, StatementDraft};
use spillway_types::{FunctionId, NodeName, Problem, ProblemType, Release};

use super::functions::function_id;
use super::{Refused, Shared, bad_query};
use crate::cluster::{Cluster, Known};
use crate::deploy::{blocking, host_problem};
use crate::node::Node;
use crate::peers::wire::{ORDERS, Order};

/// What only a node of a cluster can do.
pub(super) fn joined(node: &Node) -> Result<Arc<Cluster>, Problem> {
    node.cluster.clone().ok_or_else(|| {
        let detail = "this node is alone; start it with --join to make it a node of a cluster";
        Problem::new(ProblemType::NotFound, detail)
    })
}

pub(super) async fn nodes(State(node): Shared) -> Result<Json<Vec<NodeSummary>>, Refused> {
    let cluster = joined(&node)?;
    Ok(Json(node.nodes(&cluster)))
}

pub(super) async fn order(
    State(node): Shared,
    Path((name, word)): Path<(String, String)>,
) -> Result<Json<Vec<NodeSummary>>, Refused> {
    let cluster = joined(&node)?;
    let bad = |detail: String| Problem::new(ProblemType::BadRequest, detail);
    let name: NodeName = name.parse().map_err(|error: spillway_types::ParseNameError| bad(error.to_string()))?;
    let order = Order::parse(&word)
        .ok_or_else(|| bad(format!("`{word}` is no order; known are {}", Order::NAMES.join(", "))))?;
    if name == cluster.identity().node {
        node.obey(&cluster, order).await?;
    } else {
        let peer = cluster.peers().get(&name).ok_or_else(|| {
            Problem::new(ProblemType::NotFound, format!("there is no node `{name}`; `spillway nodes` lists them"))
        })?;
        let _: Order = peer.client.post(ORDERS, &order).await.map_err(|error| {
            Problem::new(ProblemType::NoNode, format!("{error}; give the order at {name} itself, or when it is back"))
        })?;
    }
    Ok(Json(node.nodes(&cluster)))
}

pub(super) async fn forget(State(node): Shared, Path(name): Path<String>) -> Result<Json<Vec<NodeSummary>>, Refused> {
    let cluster = joined(&node)?;
    let name: NodeName = name
        .parse()
        .map_err(|error: spillway_types::ParseNameError| Problem::new(ProblemType::BadRequest, error.to_string()))?;
    cluster.forget(&name).await?;
    Ok(Json(node.nodes(&cluster)))
}

/// Which revision to go back to.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Asked {
    revision: Option<u64>,
}

pub(super) async fn draft(
    State(node): Shared,
    Path(path): Path<(String, String)>,
    query: Result<Query<Asked>, QueryRejection>,
) -> Result<Json<StatementDraft>, Refused> {
    let cluster = joined(&node)?;
    let id = function_id(path)?;
    let Query(Asked { revision }) = query.map_err(|rejection| bad_query(&rejection))?;
    let (held, _) = cluster.refresh(&node, &id).await?;
    let earlier = earlier(&node, &id, revision, held.as_ref()).await?;
    let highest = blocking({
        let (store, id) = (node.store.clone(), id.clone());
        move || store.last_number(&id).map_err(host_problem)
    })
    .await??;
    let served = held.as_ref().and_then(Known::revision).unwrap_or(0);
    let owner = held.as_ref().and_then(Known::owner).unwrap_or(&cluster.identity().node).clone();
    Ok(Json(StatementDraft {
        cluster: cluster.identity().cluster.clone(),
        sequence: held.as_ref().map_or(1, |held| held.statement.sequence + 1),
        revision: highest.max(served) + 1,
        owner,
        serving: held.as_ref().and_then(Known::release).cloned(),
        earlier,
    }))
}

/// The revision with a number, or the one before the serving one, if this node keeps it.
async fn earlier(
    node: &Arc<Node>,
    id: &FunctionId,
    number: Option<u64>,
    held: Option<&Known>,
) -> Result<Option<Release>, Problem> {
    let (store, wanted) = (node.store.clone(), id.clone());
    let Some(record) = blocking(move || store.get(&wanted).map_err(host_problem)).await?? else { return Ok(None) };
    let Some(number) = number.or(record.previous) else { return Ok(None) };
    Ok(record.revision(number).map(|kept| Release {
        revision: kept.number,
        bundle: kept.bundle,
        manifest: kept.manifest.clone(),
        owner: held.and_then(Known::owner).cloned(),
    }))
}

pub(super) async fn publish(State(node): Shared, body: Bytes) -> Result<impl IntoResponse, Refused> {
    let cluster = joined(&node)?;
    let signed =
        SignedStatement::from_bytes(&body).map_err(|error| Problem::new(ProblemType::BadRequest, error.to_string()))?;
    Ok(match node.publish(&cluster, signed).await? {
        Some(deployment) => (StatusCode::CREATED, Json(deployment)).into_response(),
        None => StatusCode::NO_CONTENT.into_response(),
    })
}

/// In a cluster a deployer's signature is needed; a node's own word is not enough.
pub(super) fn refuse_unsigned(node: &Node) -> Result<(), Problem> {
    let Some(cluster) = &node.cluster else { return Ok(()) };
    let detail = format!(
        "{} is a node of the cluster {}, where deployers sign what they want; use the `spillway` command with a key (`spillway key new`), or POST /api/v1/statements",
        cluster.identity().node,
        cluster.identity().cluster
    );
    Err(Problem::new(ProblemType::Unsigned, detail))
}
