//! Sends a call to another node, and its answer back.
//!
//! | what happened | the call |
//! | --- | --- |
//! | no connection to the peer | goes to the next |
//! | the peer does not serve it (421) | goes to the next, if its body is small enough to be sent again |
//! | the connection broke after the call had gone out | the same, where `effects` allow; else 504 `ambiguous` |
//! | no peer is left | 503 `no-node`, `owner-unreachable`, or 403 `residency`, with what is against each |

use std::num::NonZeroU32;
use std::sync::Arc;
use std::time::{Duration, Instant};

use bytes::Bytes;
use http::uri::Authority;
use http::{HeaderValue, Request, Response, StatusCode, Uri, header};
use http_body_util::{BodyExt, Full};
use hyper::body::Incoming;
use spillway_placement::admission as placement;
use spillway_placement::forward::{Call, Peer as Fit, Reason, candidates};
use spillway_runtime::{Body, BodyError, InvocationId};
use spillway_types::{
    AuditKind, Digest, Effects, FunctionId, Manifest, NodeName, Outcome, Priority, Problem, ProblemType, Residency,
};

use super::body::{Limited, Passage, Trouble};
use super::respond::strip_hop_by_hop;
use super::wishes::DEADLINE;
use crate::audit::Audited;
use crate::cluster::Cluster;
use crate::peers::wire::{BUNDLE, FUNCTION, HOPS, INVOCATION, Journey, ORIGIN, REFUSED, WORK};
use crate::peers::{ClientError, Peer};

/// A body of this size is kept, so that it can be sent again.
const REPLAY_BYTES_MAX: u64 = 64 << 10;

/// What part of a call's time a peer gets that has failed before: the rest is for whoever runs it then.
const TRIAL: u32 = 3;

/// A call that goes to another node.
pub(super) struct Errand<'a> {
    pub(super) id: &'a FunctionId,
    pub(super) revision: u64,
    pub(super) bundle: Digest,
    pub(super) manifest: &'a Manifest,
    /// How far its data may travel.
    pub(super) residency: Residency,
    /// Who goes before it where calls wait.
    pub(super) priority: Priority,
    /// The only node that may run it, if there is one.
    pub(super) owner: Option<&'a NodeName>,
    /// How it came here, if a node sent it.
    pub(super) journey: Option<&'a Journey>,
    pub(super) invocation: InvocationId,
    pub(super) deadline: Instant,
    /// Time of a core that it is expected to take; zero if nobody knows.
    pub(super) work: Duration,
}

/// Why a call was not answered by another node.
pub(super) struct Failed {
    /// For the caller.
    pub(super) problem: Problem,
    pub(super) outcome: Outcome,
    /// For the log.
    pub(super) cause: String,
    /// The call as it came, if no other node has seen anything of it.
    pub(super) unsent: Option<Request<Limited>>,
}

impl Errand<'_> {
    /// The peers that may run the call, best first; and what is against the others.
    pub(super) fn peers(&self, cluster: &Cluster, body_bytes: u64) -> (Vec<Arc<Peer>>, Vec<(NodeName, Reason)>) {
        let all = cluster.peers().all();
        let said: Vec<_> = all.iter().map(|peer| (peer, peer.said())).collect();
        let known = said.iter().map(|(peer, said)| Fit {
            identity: &peer.record.identity,
            state: cluster.peers().state(peer.name()),
            draining: said.is_draining(),
            capacity: said.capacity.as_deref(),
            rtt: cluster.peers().rtt(peer.name()).map(|rtt| rtt.smoothed),
            bandwidth_bytes_per_second: said.bandwidth_bytes_per_second,
        });
        let call = Call {
            function: self.id,
            revision: self.revision,
            bundle: self.bundle,
            residency: self.residency,
            origin: self.journey.map_or(cluster.identity(), |journey| &journey.origin),
            body_bytes,
            hops: self.journey.map_or(0, |journey| u8::try_from(journey.hops).unwrap_or(u8::MAX)),
        };
        let found = candidates(&call, cluster.identity(), known);
        let may = |name: &NodeName| self.owner.is_none_or(|owner| owner == name);
        let fit = found.fit.iter().filter(|candidate| may(&candidate.node.node));
        let fit = fit.filter_map(|candidate| cluster.peers().get(&candidate.node.node)).collect();
        let left_out = found.left_out.iter().filter(|(node, _)| may(&node.node));
        (fit, left_out.map(|(node, reason)| (node.node.clone(), *reason)).collect())
    }

    /// For the audit: residency has kept the call from other nodes, and it was refused.
    pub(super) fn kept(&self, detail: &str) -> Audited {
        Audited {
            kind: AuditKind::Residency,
            function: Some(self.id.clone()),
            peer: self.journey.map(|journey| journey.origin.to_string()),
            invocation: Some(self.invocation.to_string()),
            detail: format!("residency = \"{}\": {detail}", self.residency.as_str()),
        }
    }

    /// Sends the call to the first of `peers` that takes it; `passed` tells of its body.
    ///
    /// # Errors
    /// What to tell the caller.
    pub(super) async fn send(
        &self,
        cluster: &Cluster,
        peers: &[Arc<Peer>],
        left_out: &[(NodeName, Reason)],
        mut request: Request<Limited>,
        passed: &mut Option<Arc<Passage>>,
    ) -> Result<(Response<Body>, NodeName), Box<Failed>> {
        let limit = self.manifest.limits.body_bytes;
        let size = http_body::Body::size_hint(request.body());
        let troubled = |trouble: Trouble| refused_with(trouble.problem(self.id, limit));
        if size.lower() > limit {
            return Err(troubled(Trouble::TooLong));
        }
        let passage = request.body_mut().set_limit(limit);
        *passed = Some(passage.clone());
        let (mut parts, body) = request.into_parts();
        let original = parts.clone();
        self.prepare(cluster, &mut parts).map_err(|detail| refused(ProblemType::BadRequest, detail))?;
        let mut body = match size.upper() {
            Some(bytes) if bytes <= REPLAY_BYTES_MAX => {
                let read = tokio::time::timeout_at(self.deadline.into(), body.collect()).await;
                let read = read.map_err(|_| self.late(None))?;
                // One that only broke off has nobody left who would read what is wrong with it.
                let bytes = read.map_err(|_| troubled(passage.trouble().unwrap_or(Trouble::Malformed)))?.to_bytes();
                Payload::Kept(bytes)
            }
            _ => Payload::Once(Some(body.boxed_unsync())),
        };
        let mut troubles: Vec<String> = Vec::new();
        let mut retry_after = None::<NonZeroU32>;
        for peer in peers {
            let Some(taken) = body.take() else { break };
            let left = self.deadline.saturating_duration_since(Instant::now());
            let mut outgoing = Request::from_parts(parts.clone(), taken);
            outgoing
                .headers_mut()
                .insert(DEADLINE, HeaderValue::from(u64::try_from(left.as_millis()).unwrap_or(u64::MAX)));
            // A call that is to show whether a peer has come back gets it a part of its time only, so that it can still be
            // made elsewhere.
            let on_trial = self.may_run_again(&body) && peer.load(|load, _| load.breaker.is_open());
            let until = if on_trial { Instant::now() + left / TRIAL } else { self.deadline };
            let mut watched = Watched::begin(peer, self.work, self.expect(cluster, peer, size.lower()));
            let sent = tokio::time::timeout_at(until.into(), peer.client.send(outgoing)).await;
            match &sent {
                Ok(Ok(response)) => watched.answered(response),
                _ => watched.failed(),
            }
            match sent {
                Err(_) if on_trial => troubles.push(format!("{} has failed before, and does again", peer.name())),
                Err(_) => return Err(self.late(Some(peer.name()))),
                // The status alone could be the function's own.
                Ok(Ok(response))
                    if response.status() == StatusCode::MISDIRECTED_REQUEST
                        && response.headers().contains_key(REFUSED) =>
                {
                    troubles.push(format!("{} does not serve it any more", peer.name()));
                }
                Ok(Ok(response)) if response.headers().contains_key(REFUSED) => {
                    let again = response.headers().get(header::RETRY_AFTER);
                    let again = again.and_then(|value| value.to_str().ok()?.parse().ok()).unwrap_or(NonZeroU32::MIN);
                    retry_after = Some(retry_after.map_or(again, |before| before.min(again)));
                    troubles.push(format!("{} has too much to do", peer.name()));
                }
                Ok(Ok(response)) => return Ok((incoming(response), peer.name().clone())),
                // The body broke off here, and the stream with it.
                Ok(Err(_)) if let Some(trouble) = passage.trouble() => return Err(troubled(trouble)),
                Ok(Err((ClientError::Broken { reason, .. }, _))) => {
                    tracing::warn!(function = %self.id, peer = %peer.name(), reason, "a call was sent and no answer came back");
                    if !self.may_run_again(&body) {
                        return Err(self.ambiguous(peer.name(), &reason));
                    }
                    troubles.push(format!("the connection to {} broke", peer.name()));
                }
                Ok(Err((error, unsent))) => {
                    tracing::debug!(function = %self.id, %error, "a peer was not reached");
                    body.put_back(unsent);
                    troubles.push(error.to_string());
                }
            }
        }
        troubles.extend(left_out.iter().map(|(node, reason)| format!("{node} {reason}")));
        let mut failed = self.nobody(cluster, left_out, &troubles);
        failed.problem.retry_after_seconds = retry_after;
        failed.unsent = body.take().map(|body| Request::from_parts(original, Limited::unsent(body)));
        Err(failed)
    }

    /// Whether the call may be sent again after a peer may have run it.
    fn may_run_again(&self, body: &Payload) -> bool {
        self.manifest.effects != Effects::Unsafe && body.is_kept()
    }

    /// When the peer is expected to answer, by its own word.
    fn expect(&self, cluster: &Cluster, peer: &Peer, body_bytes: u64) -> Duration {
        let capacity = peer.said().capacity;
        let run = capacity.as_ref().and_then(|capacity| {
            capacity.function(self.id)?.service_times.predict(body_bytes).map(|prediction| prediction.p50)
        });
        let cores = capacity.map_or(1, |capacity| capacity.cores);
        let wait = peer.load(|load, now| load.wait(cores, now).div_f64(load.correction(now)));
        let rtt = cluster.peers().rtt(peer.name()).map(|rtt| rtt.smoothed).unwrap_or_default();
        run.unwrap_or(self.work) + wait + rtt
    }

    /// Makes a caller's request one between nodes.
    fn prepare(&self, cluster: &Cluster, parts: &mut http::request::Parts) -> Result<(), String> {
        let host = parts.headers.remove(header::HOST);
        let authority = match (parts.uri.authority(), host.as_ref().and_then(|host| host.to_str().ok())) {
            (Some(authority), _) => authority.clone(),
            (None, Some(host)) => host.parse().map_err(|_| format!("host `{host}` is not valid"))?,
            (None, None) => Authority::from_static("localhost"),
        };
        let mut uri = std::mem::take(&mut parts.uri).into_parts();
        uri.scheme = Some(http::uri::Scheme::HTTPS);
        uri.authority = Some(authority);
        uri.path_and_query.get_or_insert(http::uri::PathAndQuery::from_static("/"));
        parts.uri = Uri::from_parts(uri).map_err(|error| format!("the request's target is not valid: {error}"))?;
        parts.version = http::Version::HTTP_2;
        strip_hop_by_hop(&mut parts.headers);
        parts.headers.remove(header::EXPECT);
        let origin = self.journey.map_or(cluster.identity(), |journey| &journey.origin).to_string();
        let hops = self.journey.map_or(0, |journey| journey.hops) + 1;
        for (name, value) in [
            (FUNCTION, self.id.to_string()),
            (BUNDLE, self.bundle.to_string()),
            (ORIGIN, origin),
            (HOPS, hops.to_string()),
            (INVOCATION, self.invocation.to_string()),
        ] {
            let value = HeaderValue::from_str(&value).map_err(|error| error.to_string())?;
            parts.headers.insert(name, value);
        }
        Ok(())
    }

    fn late(&self, node: Option<&NodeName>) -> Box<Failed> {
        let may = match (node, self.manifest.effects) {
            (Some(node), Effects::Unsafe) => format!("; {node} may have run it"),
            _ => String::new(),
        };
        let detail = format!(
            "{} did not answer before its deadline{may}; send less, or raise `deadline` under [limits]",
            self.id
        );
        failed(ProblemType::Deadline, detail.clone(), Outcome::Deadline, detail)
    }

    fn ambiguous(&self, node: &NodeName, reason: &str) -> Box<Failed> {
        let effects = self.manifest.effects.as_str();
        let detail = format!(
            "the call of {} was sent to {node}, which may have run it, and no answer came back; it is not sent again, since its effects are `{effects}`{}",
            self.id,
            if self.manifest.effects == Effects::Unsafe { "" } else { " and its body is too large to keep" },
        );
        failed(ProblemType::Ambiguous, detail, Outcome::HostFault, format!("{node}: {reason}"))
    }

    fn nobody(&self, cluster: &Cluster, left_out: &[(NodeName, Reason)], troubles: &[String]) -> Box<Failed> {
        let against = if troubles.is_empty() { "no other node is known".to_owned() } else { troubles.join("; ") };
        let by_residency = !left_out.is_empty()
            && left_out.iter().all(|(_, reason)| matches!(reason, Reason::Residency { .. }))
            && left_out.len() == troubles.len();
        let own = &cluster.identity().node;
        let (kind, detail) = match (by_residency, self.owner) {
            (true, _) => (
                ProblemType::Residency,
                format!("{} does not run on {own}, and its data may not leave: {against}", self.id),
            ),
            (false, Some(owner)) => (
                ProblemType::OwnerUnreachable,
                format!("the data of {} is on {owner}, which cannot be reached: {against}", self.id),
            ),
            (false, None) => (
                ProblemType::NoNode,
                format!("{} does not run on {own}, and no other node can take the call: {against}", self.id),
            ),
        };
        refused(kind, detail)
    }
}

/// A call on its way to a peer: what becomes of it says something of the peer.
struct Watched<'a> {
    peer: &'a Peer,
    errand: Option<placement::Errand>,
}

impl<'a> Watched<'a> {
    fn begin(peer: &'a Peer, work: Duration, expected: Duration) -> Self {
        let errand = peer.load(|load, now| load.sent(work, expected, now));
        Self { peer, errand: Some(errand) }
    }

    fn answered(&mut self, response: &Response<Incoming>) {
        let headers = response.headers();
        let refused = headers.contains_key(REFUSED);
        let work = headers.get(WORK).and_then(|value| value.to_str().ok()?.parse().ok()).map(Duration::from_micros);
        let Some(errand) = self.errand.take() else { return };
        self.peer.load(|load, now| {
            load.answered(errand, !refused, now);
            if let Some(work) = work {
                load.said(work, now);
            }
        });
    }

    fn failed(&mut self) {
        if let Some(errand) = self.errand.take() {
            self.peer.load(|load, now| load.failed(errand, now));
        }
    }
}

impl Drop for Watched<'_> {
    fn drop(&mut self) {
        if let Some(errand) = self.errand.take() {
            self.peer.load(|load, _| load.abandoned(errand));
        }
    }
}

/// The body of a call on its way out.
enum Payload {
    /// To be sent as often as needed.
    Kept(Bytes),
    /// To be sent once.
    Once(Option<Body>),
}

impl Payload {
    fn take(&mut self) -> Option<Body> {
        match self {
            Self::Kept(bytes) => Some(Full::new(bytes.clone()).map_err(|never| match never {}).boxed_unsync()),
            Self::Once(body) => body.take(),
        }
    }

    /// Takes back what was not sent.
    fn put_back(&mut self, unsent: Option<Request<Body>>) {
        if let Self::Once(body) = self {
            *body = unsent.map(Request::into_body);
        }
    }

    fn is_kept(&self) -> bool {
        matches!(self, Self::Kept(_))
    }
}

/// A peer's answer as one of ours.
fn incoming(response: Response<Incoming>) -> Response<Body> {
    let mut response = response.map(|body| body.map_err(|_| BodyError::HttpResponseIncomplete).boxed_unsync());
    response.headers_mut().remove(WORK);
    response
}

fn refused(kind: ProblemType, detail: String) -> Box<Failed> {
    refused_with(Problem::new(kind, detail))
}

fn refused_with(problem: Problem) -> Box<Failed> {
    Box::new(Failed { cause: problem.detail.clone(), problem, outcome: Outcome::Refused, unsent: None })
}

fn failed(kind: ProblemType, detail: String, outcome: Outcome, cause: String) -> Box<Failed> {
    Box::new(Failed { problem: Problem::new(kind, detail), outcome, cause, unsent: None })
}
