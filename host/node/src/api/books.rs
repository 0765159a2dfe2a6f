//! What calls have cost, and what was refused.

use axum::Json;
use axum::extract::rejection::QueryRejection;
use axum::extract::{Query, State};
use serde::Deserialize;
use spillway_types::api::{AuditRecord, CostReport};

use super::{Refused, Shared, bad_query};
use crate::deploy::{blocking, host_problem};
use crate::logs::rfc3339;

/// Records of an answer that asks for no number of them.
const LAST: u32 = 100;
const LAST_MAX: u32 = 10_000;

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Since {
    /// Days before today, in UTC.
    #[serde(default)]
    days: u64,
}

pub(super) async fn costs(
    State(node): Shared,
    query: Result<Query<Since>, QueryRejection>,
) -> Result<Json<CostReport>, Refused> {
    let Query(Since { days }) = query.map_err(|rejection| bad_query(&rejection))?;
    let mut report = CostReport { costs: node.own_costs(days).await?, missing: Vec::new() };
    if let Some(cluster) = &node.cluster {
        node.others_costs(cluster, &mut report, days).await;
    }
    Ok(Json(report))
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Newest {
    last: Option<u32>,
}

pub(super) async fn audit(
    State(node): Shared,
    query: Result<Query<Newest>, QueryRejection>,
) -> Result<Json<Vec<AuditRecord>>, Refused> {
    let Query(Newest { last }) = query.map_err(|rejection| bad_query(&rejection))?;
    let newest = last.unwrap_or(LAST).min(LAST_MAX);
    let entries = blocking(move || {
        node.write_audit();
        node.store.audit(newest).map_err(host_problem)
    });
    let record = |entry: spillway_cluster::AuditEntry| AuditRecord {
        time: rfc3339(entry.time_ms),
        kind: entry.kind,
        function: entry.function.map(|function| function.to_string()),
        peer: entry.peer,
        invocation: entry.invocation,
        count: entry.count,
        detail: entry.detail,
    };
    Ok(Json(entries.await??.into_iter().map(record).collect()))
}
