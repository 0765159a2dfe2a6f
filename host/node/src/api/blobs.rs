//! Uploading models by digest.

use std::sync::Arc;
use std::time::SystemTime;

use axum::Json;
use axum::body::Body;
use axum::extract::{Path, State};
use futures::StreamExt;
use http::StatusCode;
use spillway_cluster::{BlobError, BlobWriter};
use spillway_types::api::BlobReceipt;
use spillway_types::{Digest, Problem, ProblemType};

use super::{Refused, Shared};
use crate::deploy::{blocking, store_problem};
use crate::node::Node;

fn digest(text: &str) -> Result<Digest, Problem> {
    text.parse()
        .map_err(|error: spillway_types::ParseDigestError| Problem::new(ProblemType::BadRequest, error.to_string()))
}

pub(super) async fn exists(State(node): Shared, Path(text): Path<String>) -> Result<StatusCode, Refused> {
    let digest = digest(&text)?;
    // A deployer that asks is about to name the blob, so it must not be collected meanwhile.
    let here =
        blocking(move || node.store.blobs().renew(&digest, SystemTime::now()).map_err(|fault| store_problem(&fault)))
            .await??;
    Ok(if here { StatusCode::OK } else { StatusCode::NOT_FOUND })
}

pub(super) async fn upload(
    State(node): Shared,
    Path(text): Path<String>,
    body: Body,
) -> Result<(StatusCode, Json<BlobReceipt>), Refused> {
    let receipt = receive(&node, digest(&text)?, body).await.inspect_err(|problem| node.suspect(problem))?;
    Ok((StatusCode::CREATED, Json(receipt)))
}

async fn receive(node: &Arc<Node>, expected: Digest, body: Body) -> Result<BlobReceipt, Problem> {
    let node = node.clone();
    let mut writer: BlobWriter =
        blocking(move || node.store.blobs().begin().map_err(|error| problem(&error))).await??;
    let mut chunks = body.into_data_stream();
    while let Some(chunk) = chunks.next().await {
        let chunk =
            chunk.map_err(|error| Problem::new(ProblemType::BadRequest, format!("the upload broke off: {error}")))?;
        writer = blocking(move || writer.write(&chunk).map(|()| writer).map_err(|error| problem(&error))).await??;
    }
    let (digest, bytes) = blocking(move || writer.finish(Some(expected)).map_err(|error| problem(&error))).await??;
    Ok(BlobReceipt { digest, bytes })
}

fn problem(error: &BlobError) -> Problem {
    match error {
        BlobError::Mismatch { .. } => Problem::new(ProblemType::DigestMismatch, error.to_string()),
        BlobError::Discarded => Problem::new(ProblemType::BadRequest, error.to_string()),
        BlobError::Missing(_) => Problem::new(ProblemType::NotFound, error.to_string()),
        BlobError::Fault(fault) => store_problem(fault),
    }
}
