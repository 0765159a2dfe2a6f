//! Whether the node lives, is ready, and what it says of itself.

use std::sync::PoisonError;

use axum::Json;
use axum::extract::State;
use axum::response::{IntoResponse, Response};
use http::{HeaderMap, StatusCode, header};
use spillway_types::api::{Condition, ConditionKind, GcSummary, NodeStatus, Readiness};

use super::{Refused, Shared};
use crate::deploy::{blocking, host_problem};
use crate::metrics::FunctionReading;
use crate::node::Node;

pub(super) async fn live() -> &'static str {
    "ok\n"
}

pub(super) async fn ready(State(node): Shared, headers: HeaderMap) -> Response {
    let (status, readiness) = readiness(&node);
    let wants_json = headers.get(header::ACCEPT).and_then(|accept| accept.to_str().ok());
    if wants_json.is_some_and(|accept| accept.contains("application/json")) {
        return (status, Json(readiness)).into_response();
    }
    let lines = std::iter::once(readiness.status).chain(readiness.conditions.into_iter().map(|it| it.detail));
    (status, lines.map(|line| line + "\n").collect::<String>()).into_response()
}

fn readiness(node: &Node) -> (StatusCode, Readiness) {
    let cluster = node.cluster.as_ref();
    let drained = cluster.is_some_and(|cluster| cluster.orders().draining);
    let (status, word) = match (node.is_ready(), drained) {
        (true, false) => (StatusCode::OK, "ok"),
        (true, true) => (StatusCode::SERVICE_UNAVAILABLE, "drained: other nodes take the calls"),
        (false, _) => (StatusCode::SERVICE_UNAVAILABLE, "starting or draining"),
    };
    let concerns = cluster.map(|cluster| cluster.concerns()).unwrap_or_default();
    let concerns = concerns.into_iter().map(|detail| Condition { kind: ConditionKind::Cluster, detail });
    let conditions = node.health.conditions().into_iter().chain(concerns).collect();
    (status, Readiness { ready: status == StatusCode::OK, status: word.to_owned(), conditions })
}

pub(super) async fn node(State(node): Shared) -> Json<NodeStatus> {
    let functions = node.functions.read().unwrap_or_else(PoisonError::into_inner).len();
    Json(NodeStatus {
        version: env!("CARGO_PKG_VERSION").to_owned(),
        listen: node.listen_url(),
        kernel_threads: node.models.threads().count(),
        uptime_seconds: node.started.elapsed().as_secs(),
        functions,
        models: node.models.loaded().len(),
        resident_bytes: node.capacity(None).memory.process_bytes,
        conditions: node.health.conditions(),
        cluster: node.cluster.as_ref().map(|cluster| cluster.status()),
    })
}

pub(super) async fn collect(State(node): Shared) -> Result<Json<GcSummary>, Refused> {
    let cluster = node.cluster.clone();
    let mut summary = blocking(move || node.collect().map_err(host_problem)).await??;
    if let Some(cluster) = cluster {
        match cluster.collect_files().await {
            Ok(collected) => {
                summary.removed_cluster_files = Some(collected.files);
                summary.freed_cluster_bytes = Some(collected.bytes);
            }
            // The node's own disk is free all the same.
            Err(error) => {
                tracing::warn!(error = format!("{error:#}"), "files of the cluster's store were not collected")
            }
        }
    }
    Ok(Json(summary))
}

pub(super) async fn metrics(State(node): Shared) -> Result<impl IntoResponse, Refused> {
    let capacity = node.capacity(node.cluster.as_deref());
    // Before the functions are locked: it looks at them, too.
    node.metrics().set_quotas(&node.quota_readings());
    let functions = node.functions.read().unwrap_or_else(PoisonError::into_inner);
    let readings = functions.iter().filter_map(|(id, deployed)| {
        let revision = deployed.active.as_ref().ok()?;
        let usage = revision.function.usage();
        Some(FunctionReading {
            id,
            sandboxes: usage.sandboxes(),
            memory_bytes: usage.memory_bytes(),
            tensor_bytes: usage.tensor_bytes(),
            waiting: revision.waiting(),
            is_loaded: revision.function.is_loaded(),
        })
    });
    let text = node.metrics().render(
        readings,
        &node.models.loaded(),
        &node.models.counts(),
        &node.models.threads().load(),
        &capacity,
    );
    let text = text.map_err(host_problem)?;
    const OPEN_METRICS: &str = "application/openmetrics-text; version=1.0.0; charset=utf-8";
    Ok(([(header::CONTENT_TYPE, OPEN_METRICS)], text))
}
