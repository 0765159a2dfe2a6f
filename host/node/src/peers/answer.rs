//! Answers what peers ask. A peer has shown its certificate; what it asks for is checked here all the same.

use std::num::NonZeroU32;
use std::sync::Arc;
use std::time::SystemTime;

use bytes::Bytes;
use futures::StreamExt;
use http::{HeaderMap, HeaderValue, Method, Request, Response, header};
use http_body::Frame;
use http_body_util::{BodyExt, Full, Limited, StreamBody};
use hyper::body::Incoming;
use serde::Serialize;
use spillway_cluster::{BlobStore, CONTROL_VALUE_BYTES_MAX};
use spillway_runtime::{Body, BodyError};
use spillway_types::{AuditKind, Digest, FunctionId, NodeIdentity, Problem, ProblemType};

use super::wire::{
    BLOBS, BUNDLE, CAPACITY, COSTS, FUNCTION, FUNCTIONS, GREETING, HOPS, HOPS_MAX, INVOCATION, Journey, NODE, ORDERS,
    ORIGIN, Order, PAYLOAD, PAYLOAD_BYTES, READY, REFUSED, TRIALS, WORK,
};
use crate::audit::Audited;
use crate::cluster::{Cluster, NodeRecord};
use crate::deploy::{blocking, host_problem};
use crate::ingress::{problem_response, residency};
use crate::node::Node;

/// A record is some names and addresses.
const RECORD_BYTES_MAX: usize = 16 << 10;
/// Orders are one word.
const ORDER_BYTES_MAX: usize = 1024;

impl Node {
    /// Answers a request of a peer.
    pub(super) async fn answer_peer(
        self: &Arc<Self>,
        sender: NodeIdentity,
        request: Request<Incoming>,
    ) -> Response<Body> {
        let is_call = request.headers().contains_key(FUNCTION);
        let answered = match &self.cluster {
            Some(cluster) if is_call => self.answer_call(cluster, sender, request).await,
            Some(cluster) => self.answer_question(cluster, &sender, request).await,
            None => Err(Problem::new(ProblemType::NotFound, "this node is alone")),
        };
        let mut response = answered.unwrap_or_else(|problem| {
            let mut response = problem_response(&problem);
            if problem.status == ProblemType::NotHere.status() {
                response.headers_mut().insert(REFUSED, HeaderValue::from_static("not-here"));
            }
            response
        });
        if let Some(cluster) = &self.cluster
            && let Ok(name) = HeaderValue::from_str(cluster.identity().node.as_str())
        {
            // A call that was sent on names the node that ran it.
            response.headers_mut().entry(NODE).or_insert(name);
        }
        if is_call {
            let work = u64::try_from(self.gate.work().as_micros()).unwrap_or(u64::MAX);
            response.headers_mut().insert(WORK, HeaderValue::from(work));
        }
        response
    }

    async fn answer_question(
        self: &Arc<Self>,
        cluster: &Arc<Cluster>,
        sender: &NodeIdentity,
        request: Request<Incoming>,
    ) -> Result<Response<Body>, Problem> {
        match (request.method(), request.uri().path()) {
            (&Method::POST, GREETING) => {
                let bytes = read(request, RECORD_BYTES_MAX).await?;
                // A node may say where it is, and nothing of others. One of another version is answered all the same.
                match NodeRecord::read(&bytes) {
                    Ok(record) if record.identity == *sender => cluster.meet(record).await,
                    Ok(record) => tracing::warn!(%sender, about = %record.identity, "a peer spoke for another"),
                    Err(reason) => tracing::debug!(%sender, reason, "a peer's record was not read"),
                }
                Ok(json(&self.greeting(cluster)))
            }
            (&Method::GET, READY) => {
                let empty = Full::new(Bytes::new());
                Ok(Response::new(empty.map_err(|never| match never {}).boxed_unsync()))
            }
            (&Method::GET, CAPACITY) => Ok(json(&self.capacity(Some(cluster)))),
            (&Method::GET, FUNCTIONS) => Ok(json(&self.peer_functions())),
            (&Method::GET, PAYLOAD) => {
                let bytes = Full::new(Bytes::from_static(&[0; PAYLOAD_BYTES]));
                Ok(Response::new(bytes.map_err(|never| match never {}).boxed_unsync()))
            }
            (&Method::GET, path) if path.starts_with(COSTS) => {
                let days = path[COSTS.len()..].parse();
                let days = days.map_err(|_| Problem::new(ProblemType::BadRequest, "not a number of days"))?;
                Ok(json(&self.own_costs(days).await?))
            }
            (&Method::GET, path) if path.starts_with(BLOBS) => self.answer_blob(&path[BLOBS.len()..]).await,
            (&Method::POST, TRIALS) => {
                let bytes = read(request, CONTROL_VALUE_BYTES_MAX).await?;
                Ok(json(&self.answer_trial(cluster, &bytes).await?))
            }
            (&Method::POST, ORDERS) => {
                let bytes = read(request, ORDER_BYTES_MAX).await?;
                let order: Order = serde_json::from_slice(&bytes)
                    .map_err(|error| Problem::new(ProblemType::BadRequest, format!("not an order: {error}")))?;
                tracing::info!(?order, from = %sender.node, "an order came from a peer");
                self.obey(cluster, order).await?;
                Ok(json(&order))
            }
            (method, path) => {
                let detail =
                    format!("nodes of this version do not answer {method} {path}; run the same spillway on both");
                Err(Problem::new(ProblemType::NotFound, detail))
            }
        }
    }

    async fn answer_blob(&self, text: &str) -> Result<Response<Body>, Problem> {
        let digest: Digest = text.parse().map_err(|_| Problem::new(ProblemType::BadRequest, "not a digest"))?;
        let blobs = self.store.blobs();
        let missing = |error: &dyn std::fmt::Display| Problem::new(ProblemType::NotFound, error.to_string());
        let here = blobs.clone();
        // Whoever asks is about to use it: it is not collected meanwhile.
        blocking(move || here.renew(&digest, SystemTime::now()).map_err(host_problem)).await??;
        let bytes = blobs.size(&digest).map_err(|error| missing(&error))?;
        let content = BlobStore::read(&blobs, &digest).await.map_err(|error| missing(&error))?;
        // A file that cannot be read on is a body that breaks off.
        let frames = content.map(|chunk| chunk.map(Frame::data).map_err(|_| BodyError::HttpResponseIncomplete));
        let mut response = Response::new(StreamBody::new(frames).boxed_unsync());
        response.headers_mut().insert(header::CONTENT_LENGTH, HeaderValue::from(bytes));
        Ok(response)
    }

    /// Runs a call that a peer sends, if this node would have sent it, too.
    async fn answer_call(
        self: &Arc<Self>,
        cluster: &Arc<Cluster>,
        sender: NodeIdentity,
        mut request: Request<Incoming>,
    ) -> Result<Response<Body>, Problem> {
        let headers = request.headers_mut();
        let id: FunctionId = take(headers, FUNCTION)?;
        let bundle: Digest = take(headers, BUNDLE)?;
        let origin: NodeIdentity = take(headers, ORIGIN)?;
        let hops = take::<NonZeroU32>(headers, HOPS)?.get();
        let invocation = headers.get(INVOCATION).and_then(|value| value.to_str().ok()).map(ToOwned::to_owned);
        let audit = |kind, peer: &NodeIdentity, detail: &str| {
            let (function, peer) = (Some(id.clone()), Some(peer.to_string()));
            let (invocation, detail) = (invocation.clone(), detail.to_owned());
            self.audit.note(Audited { kind, function, peer, invocation, detail });
        };
        if hops > HOPS_MAX || origin == *cluster.identity() {
            let detail =
                format!("the call of {id} has been sent {hops} times and came to {} again", cluster.identity().node);
            return Err(Problem::new(ProblemType::Loop, detail));
        }
        // On its first way a call comes from where it was taken; only a peer that passes it on names another origin.
        if hops == 1 && origin != sender {
            let detail =
                format!("{} says that the call of {id} was taken by {}; it may send its own", sender.node, origin.node);
            audit(AuditKind::Origin, &sender, &detail);
            return Err(Problem::new(ProblemType::NotHere, detail));
        }
        if !cluster.peers().knows(&sender) {
            let detail =
                format!("{} is not a node of this cluster yet, by what {} knows", sender.node, cluster.identity().node);
            audit(AuditKind::Stranger, &sender, &detail);
            return Err(Problem::new(ProblemType::NotHere, detail));
        }
        let revision = self.serving(&id).filter(|revision| revision.bundle == bundle).ok_or_else(|| {
            let detail = format!("{} does not serve this revision of {id}", cluster.identity().node);
            Problem::new(ProblemType::NotHere, detail)
        })?;
        let residency = residency(request.headers(), revision.manifest.placement.residency)?;
        for from in [&origin, &sender] {
            if !residency.allows(from, cluster.identity()) {
                let detail = format!(
                    "calls of {id} stay in their {}, and {} is not in that of {}",
                    residency.as_str(),
                    cluster.identity().node,
                    from.node
                );
                tracing::warn!(function = %id, sender = %sender, origin = %origin, "refused a call that residency forbids");
                audit(AuditKind::Residency, from, &detail);
                return Err(Problem::new(ProblemType::Residency, detail));
            }
        }
        Ok(self.serve_sent(revision, Journey { origin, hops }, request).await)
    }
}

/// Takes a header field of the protocol between nodes out of a request.
fn take<T: std::str::FromStr>(headers: &mut HeaderMap, name: http::HeaderName) -> Result<T, Problem> {
    let value = headers.remove(&name);
    let parsed = value.as_ref().and_then(|value| value.to_str().ok()?.parse().ok());
    parsed.ok_or_else(|| Problem::new(ProblemType::BadRequest, format!("a sent call lacks a valid `{name}`")))
}

/// The body of a question, which is short.
async fn read(request: Request<Incoming>, most: usize) -> Result<Bytes, Problem> {
    let body = Limited::new(request.into_body(), most).collect().await;
    Ok(body.map_err(|error| Problem::new(ProblemType::BadRequest, error.to_string()))?.to_bytes())
}

fn json(value: &impl Serialize) -> Response<Body> {
    let bytes = serde_json::to_vec(value).unwrap_or_default();
    let mut response = Response::new(Full::new(Bytes::from(bytes)).map_err(|never| match never {}).boxed_unsync());
    response.headers_mut().insert(header::CONTENT_TYPE, HeaderValue::from_static("application/json"));
    response
}
