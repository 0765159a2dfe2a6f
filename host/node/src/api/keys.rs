//! Deployers' keys that the node believes: listing, trusting, revoking.

use std::time::{Duration, SystemTime, UNIX_EPOCH};

use axum::Json;
use axum::extract::rejection::JsonRejection;
use axum::extract::{Path, State};
use http::StatusCode;
use spillway_cluster::TrustedKeyError;
use spillway_trust::{KeyId, ParseKeyError, PublicKey, TrustError};
use spillway_types::api::{TrustKey, TrustedKey};
use spillway_types::{Problem, ProblemType};

use super::{Refused, Shared};
use crate::deploy::{blocking, host_problem, millis, store_problem};

pub(super) async fn list(State(node): Shared) -> Result<Json<Vec<TrustedKey>>, Refused> {
    let keys = blocking(move || node.store.trusted_keys().map_err(host_problem)).await??;
    Ok(Json(keys.iter().map(describe).collect()))
}

pub(super) async fn trust(
    State(node): Shared,
    body: Result<Json<TrustKey>, JsonRejection>,
) -> Result<(StatusCode, Json<TrustedKey>), Refused> {
    let Json(TrustKey { key, name }) = body.map_err(|rejection| {
        let detail = format!("{}; send {{\"key\": \"ed25519:…\"}} as application/json", rejection.body_text());
        Problem::new(ProblemType::BadRequest, detail)
    })?;
    let key: PublicKey = key.parse().map_err(bad_key)?;
    let store = node.store.clone();
    let trusted =
        blocking(move || store.trust_key(&key, &name, millis(SystemTime::now())).map_err(|error| problem(&error)))
            .await??;
    node.trust_changed().await?;
    tracing::info!(key = %trusted.key.id(), name = trusted.name, "a deployer's key is trusted");
    Ok((StatusCode::CREATED, Json(describe(&trusted))))
}

pub(super) async fn revoke(State(node): Shared, Path(id): Path<String>) -> Result<Json<TrustedKey>, Refused> {
    let id: KeyId = id.parse().map_err(bad_key)?;
    let store = node.store.clone();
    let revoked =
        blocking(move || store.revoke_key(id, millis(SystemTime::now())).map_err(|error| problem(&error))).await??;
    node.trust_changed().await?;
    tracing::info!(key = %id, name = revoked.name, "a deployer's key is revoked");
    Ok(Json(describe(&revoked)))
}

fn bad_key(error: ParseKeyError) -> Problem {
    Problem::new(ProblemType::BadRequest, error.to_string())
}

fn problem(error: &TrustedKeyError) -> Problem {
    let kind = match error {
        TrustedKeyError::Refused(TrustError::Revoked { .. }) => ProblemType::KeyRevoked,
        TrustedKeyError::Refused(TrustError::Unknown(_)) => ProblemType::NotFound,
        TrustedKeyError::Refused(TrustError::Name | TrustError::Ambiguous(_)) => ProblemType::BadRequest,
        TrustedKeyError::Fault(fault) => return store_problem(fault),
    };
    Problem::new(kind, error.to_string())
}

fn describe(trusted: &spillway_trust::TrustedKey) -> TrustedKey {
    let rfc3339 = |ms| humantime::format_rfc3339_seconds(UNIX_EPOCH + Duration::from_millis(ms)).to_string();
    TrustedKey {
        id: trusted.key.id().to_string(),
        key: trusted.key.to_string(),
        name: trusted.name.clone(),
        trusted_at: rfc3339(trusted.trusted_at_ms),
        revoked_at: trusted.revoked_at_ms.map(rfc3339),
    }
}
