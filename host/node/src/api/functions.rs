//! Deploying, listing, rolling back and removing functions.

use std::sync::PoisonError;
use std::time::{Duration, UNIX_EPOCH};

use axum::Json;
use axum::body::Bytes;
use axum::extract::rejection::QueryRejection;
use axum::extract::{Path, Query, State};
use http::StatusCode;
use spillway_types::api::{
    DecisionRecord, Deployment, FunctionDetail, FunctionOnNode, FunctionSummary, ModelRef, RevisionSummary, Rollback,
};
use spillway_types::{Effects, FunctionId, HttpGrants, Manifest, NodeName, Origin, Problem, ProblemType, RoutePattern};

use super::cluster::refuse_unsigned;
use super::{Refused, Shared, bad_query};
use crate::cluster::Elsewhere;
use crate::deploy::{DeployOptions, Deployed, blocking, host_problem, unknown_function};
use crate::node::Node;

pub(super) fn function_id((namespace, name): (String, String)) -> Result<FunctionId, Problem> {
    format!("{namespace}/{name}").parse().map_err(bad_request)
}

fn bad_request(error: impl std::fmt::Display) -> Problem {
    Problem::new(ProblemType::BadRequest, error.to_string())
}

pub(super) async fn deploy(
    State(node): Shared,
    query: Result<Query<Vec<(String, String)>>, QueryRejection>,
    bundle: Result<Bytes, axum::extract::rejection::BytesRejection>,
) -> Result<(StatusCode, Json<Deployment>), Refused> {
    refuse_unsigned(&node)?;
    let Query(query) = query.map_err(|rejection| bad_query(&rejection))?;
    let options = options(query)?;
    let bundle = bundle.map_err(|error| {
        let detail = format!("{error}; upload large models as blobs instead of embedding them");
        Problem::new(ProblemType::BodyTooLarge, detail)
    })?;
    let deployment = node.deploy(bundle, options).await.inspect_err(|problem| node.suspect(problem))?;
    Ok((StatusCode::CREATED, Json(deployment)))
}

fn options(query: Vec<(String, String)>) -> Result<DeployOptions, Problem> {
    let mut options = DeployOptions::default();
    for (key, value) in query {
        match key.as_str() {
            "namespace" => options.namespace = value.parse().map_err(bad_request)?,
            "name" => options.name = Some(value.parse().map_err(bad_request)?),
            "route" => options.routes.push(RoutePattern::any_host(&value).map_err(bad_request)?),
            "effects" => {
                options.effects = Some(match value.as_str() {
                    "none" => Effects::None,
                    "idempotent" => Effects::Idempotent,
                    "unsafe" => Effects::Unsafe,
                    _ => {
                        return Err(bad_request(format!(
                            "effects `{value}` is unknown; use {}",
                            Effects::NAMES.join(", ")
                        )));
                    }
                });
            }
            _ => {
                return Err(bad_request(format!(
                    "unknown parameter `{key}`; known are namespace, name, route, effects"
                )));
            }
        }
    }
    Ok(options)
}

pub(super) async fn list(State(node): Shared) -> Json<Vec<FunctionSummary>> {
    let functions = node.functions.read().unwrap_or_else(PoisonError::into_inner);
    let here = functions.iter().map(|(id, deployed)| summary(&node, id, deployed));
    let elsewhere = node.cluster.as_ref().map(|cluster| cluster.elsewhere()).unwrap_or_default();
    let elsewhere = elsewhere.iter().filter(|function| !functions.contains_key(&function.id));
    let mut all: Vec<_> = here.chain(elsewhere.map(|function| summary_elsewhere(&node, function))).collect();
    all.sort_by(|one, other| (&one.namespace, &one.name).cmp(&(&other.namespace, &other.name)));
    Json(all)
}

pub(super) async fn inspect(
    State(node): Shared,
    Path(path): Path<(String, String)>,
) -> Result<Json<FunctionDetail>, Refused> {
    let id = function_id(path)?;
    let whereabouts = match &node.cluster {
        Some(cluster) => node.whereabouts(cluster, &id).await,
        None => Vec::new(),
    };
    let elsewhere = node.cluster.as_ref().and_then(|cluster| cluster.elsewhere_by(&id));
    if let Some(function) = elsewhere.filter(|_| node.serving(&id).is_none()) {
        return Ok(Json(detail_elsewhere(&node, &function, whereabouts)));
    }
    let (store, wanted) = (node.store.clone(), id.clone());
    let record =
        blocking(move || store.get(&wanted).map_err(host_problem)).await??.ok_or_else(|| unknown_function(&id))?;
    let functions = node.functions.read().unwrap_or_else(PoisonError::into_inner);
    let deployed = functions.get(&id).ok_or_else(|| unknown_function(&id))?;
    let (manifest, bundle) = serving(deployed);
    let (interface, imports) = match &deployed.active {
        Ok(revision) => (revision.function.interface().to_string(), revision.function.imports().to_vec()),
        Err(_) => (String::new(), Vec::new()),
    };
    let revisions = record.revisions.iter().map(|revision| RevisionSummary {
        number: revision.number,
        version: Manifest::parse(&revision.manifest, Origin::Bundle)
            .map_or_else(|_| String::new(), |m| m.version.to_string()),
        bundle: revision.bundle,
        created_at: humantime::format_rfc3339_seconds(UNIX_EPOCH + Duration::from_millis(revision.created_at_ms))
            .to_string(),
        active: revision.number == record.active,
    });
    let mut revisions: Vec<_> = revisions.collect();
    revisions.sort_by_key(|revision| std::cmp::Reverse(revision.number));
    let models = manifest
        .models
        .iter()
        .filter_map(|(name, grant)| Some(ModelRef { name: name.to_string(), digest: grant.digest? }));
    Ok(Json(FunctionDetail {
        summary: summary(&node, &id, deployed),
        bundle,
        interface,
        imports,
        effects: manifest.effects,
        limits: manifest.limits.clone(),
        sandbox: manifest.sandbox,
        models: models.collect(),
        keyvalue: manifest.capabilities.keyvalue.clone(),
        http: HttpGrants::names(&manifest.capabilities.http.public),
        http_private: HttpGrants::names(&manifest.capabilities.http.private),
        revisions,
        whereabouts,
    }))
}

pub(super) async fn placement(
    State(node): Shared,
    Path(path): Path<(String, String)>,
) -> Result<Json<Vec<DecisionRecord>>, Refused> {
    let id = function_id(path)?;
    if node.serving(&id).is_none() {
        return Err(unknown_function(&id).into());
    }
    Ok(Json(node.decisions.of(&id)))
}

/// A function that runs on other nodes: what its manifest says, and where it is.
fn detail_elsewhere(node: &Node, function: &Elsewhere, whereabouts: Vec<FunctionOnNode>) -> FunctionDetail {
    let manifest = &function.manifest;
    let granted = manifest.models.iter();
    let models =
        granted.filter_map(|(name, grant)| Some(ModelRef { name: name.to_string(), digest: grant.digest? })).collect();
    FunctionDetail {
        summary: summary_elsewhere(node, function),
        bundle: function.release.bundle,
        interface: String::new(),
        imports: Vec::new(),
        effects: manifest.effects,
        limits: manifest.limits.clone(),
        sandbox: manifest.sandbox,
        models,
        keyvalue: manifest.capabilities.keyvalue.clone(),
        http: HttpGrants::names(&manifest.capabilities.http.public),
        http_private: HttpGrants::names(&manifest.capabilities.http.private),
        revisions: Vec::new(),
        whereabouts,
    }
}

pub(super) fn serving(deployed: &Deployed) -> (&Manifest, spillway_types::Digest) {
    match &deployed.active {
        Ok(revision) => (&revision.manifest, revision.bundle),
        Err(broken) => (&broken.manifest, broken.bundle),
    }
}

fn summary(node: &Node, id: &FunctionId, deployed: &Deployed) -> FunctionSummary {
    let (manifest, _) = serving(deployed);
    let (revision, sandboxes, fault) = match &deployed.active {
        Ok(revision) => (revision.number, revision.function.usage().sandboxes(), None),
        Err(broken) => (broken.number, 0, Some(broken.reason.clone())),
    };
    FunctionSummary {
        namespace: id.namespace.clone(),
        name: id.name.clone(),
        version: manifest.version.to_string(),
        description: manifest.description.clone(),
        revision,
        routes: manifest.routes.clone(),
        sandboxes,
        invocations: node.metrics().function(id).invocations(),
        nodes: nodes(node, id, revision, fault.is_none()),
        fault,
        elsewhere: None,
    }
}

/// A function that runs on other nodes.
fn summary_elsewhere(node: &Node, function: &Elsewhere) -> FunctionSummary {
    let Elsewhere { id, release, manifest, reason } = function;
    FunctionSummary {
        namespace: id.namespace.clone(),
        name: id.name.clone(),
        version: manifest.version.to_string(),
        description: manifest.description.clone(),
        revision: release.revision,
        routes: manifest.routes.clone(),
        sandboxes: 0,
        invocations: node.metrics().function(id).invocations(),
        nodes: nodes(node, id, release.revision, false),
        fault: None,
        elsewhere: Some(reason.to_string()),
    }
}

/// Where a revision serves.
fn nodes(node: &Node, id: &FunctionId, revision: u64, here: bool) -> Vec<NodeName> {
    let Some(cluster) = &node.cluster else { return Vec::new() };
    let peers = cluster.peers().all();
    let there = peers.iter().filter(|peer| peer.serves(id) == Some(revision)).map(|peer| peer.name().clone());
    here.then(|| cluster.identity().node.clone()).into_iter().chain(there).collect()
}

pub(super) async fn rollback(
    State(node): Shared,
    Path(path): Path<(String, String)>,
    body: Bytes,
) -> Result<Json<Deployment>, Refused> {
    refuse_unsigned(&node)?;
    let id = function_id(path)?;
    let wanted: Rollback = if body.is_empty() {
        Rollback::default()
    } else {
        serde_json::from_slice(&body).map_err(|error| bad_request(format!("the body is not valid: {error}")))?
    };
    Ok(Json(node.rollback(id, wanted.revision).await?))
}

pub(super) async fn remove(State(node): Shared, Path(path): Path<(String, String)>) -> Result<StatusCode, Refused> {
    refuse_unsigned(&node)?;
    node.remove(function_id(path)?).await?;
    Ok(StatusCode::NO_CONTENT)
}
