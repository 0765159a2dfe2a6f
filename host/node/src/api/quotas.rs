//! Quotas of namespaces: listing, setting, removing.

use axum::Json;
use axum::extract::rejection::JsonRejection;
use axum::extract::{Path, State};
use http::StatusCode;
use spillway_types::{Namespace, NamespaceQuota, Problem, ProblemType, Quota};

use super::{Refused, Shared};
use crate::deploy::blocking;

pub(super) async fn list(State(node): Shared) -> Json<Vec<NamespaceQuota>> {
    Json(node.quotas())
}

pub(super) async fn set(
    State(node): Shared,
    Path(namespace): Path<String>,
    body: Result<Json<Quota>, JsonRejection>,
) -> Result<Json<NamespaceQuota>, Refused> {
    let namespace = parse(&namespace)?;
    let Json(quota) = body.map_err(|rejection| {
        let detail = format!("{}; send {{\"concurrent\": 20}} as application/json", rejection.body_text());
        Problem::new(ProblemType::BadRequest, detail)
    })?;
    quota.check().map_err(|detail| Problem::new(ProblemType::BadRequest, detail))?;
    let (writer, of) = (node.clone(), namespace.clone());
    blocking(move || writer.set_quota(&of, Some(quota))).await??;
    tracing::info!(%namespace, ?quota, "a quota is in force");
    let set = node.quotas().into_iter().find(|set| set.namespace == namespace);
    Ok(Json(set.ok_or_else(|| unknown(&namespace))?))
}

pub(super) async fn remove(State(node): Shared, Path(namespace): Path<String>) -> Result<StatusCode, Refused> {
    let namespace = parse(&namespace)?;
    let of = namespace.clone();
    if !blocking(move || node.set_quota(&of, None)).await?? {
        return Err(unknown(&namespace).into());
    }
    tracing::info!(%namespace, "a quota is removed");
    Ok(StatusCode::NO_CONTENT)
}

fn parse(namespace: &str) -> Result<Namespace, Problem> {
    namespace.parse().map_err(|error| Problem::new(ProblemType::BadRequest, format!("{error}")))
}

fn unknown(namespace: &Namespace) -> Problem {
    let detail = format!("namespace {namespace} has no quota; `spillway quota ls` lists them");
    Problem::new(ProblemType::NotFound, detail)
}
