//! One request, from arrival to the last byte of its response.

use std::sync::Arc;
use std::time::{Duration, Instant};

use http::header::{self, HeaderValue};
use http::uri::Authority;
use http::{Method, Request, Response};
use hyper::body::Incoming;
use spillway_runtime::{Body, Fault, Invocation, InvocationId};
use spillway_types::{Outcome, Priority, Problem, ProblemType, format_bytes};

use super::body::{Expects, Limited, Trouble};
use super::choose::Choice;
use super::forward::Errand;
use super::guest::call;
use super::record::Record;
use super::respond::{
    add_bill, add_invocation, add_server_timing, has_own, problem_response, strip_hop_by_hop, whole_seconds,
};
use super::settle::settle;
use super::wishes::{BILL, Wishes};
use super::{callers, head};
use crate::estimates::Expected;
use crate::logs::What;
use crate::node::{Node, Routed, Target};
use crate::peers::wire::{INVOCATION, Journey, NODE, REFUSED, WORK};
use crate::revision::{Refusal, Revision};
use crate::routes::Lookup;

/// A guest has this long, or its function's deadline, before its sandbox is lost to the others in it, however little time its
/// caller gives it. Long enough for what does not loop, and short enough that those who wait for one that does are run again.
const HASTE: Duration = Duration::from_millis(500);

impl Node {
    /// Answers one request. Every invocation is recorded exactly once, however it ends.
    pub(super) async fn serve(&self, request: Request<Incoming>) -> Response<Body> {
        let arrived = Instant::now();
        let mut request = self.limited(request);
        if let Err(problem) = head::check(&request) {
            self.metrics().unrouted.inc();
            return head::refused(&problem, request.version());
        }
        if head::is_about_the_node(&request) {
            return head::options(None);
        }
        let host = request
            .uri()
            .authority()
            .map(Authority::as_str)
            .or_else(|| request.headers().get(header::HOST).and_then(|host| host.to_str().ok()));
        let path = request.uri().path();
        let Routed { target, auth } = match self.routes().find(host, path, request.method()) {
            Lookup::Found(routed) => routed,
            Lookup::MethodNotAllowed(methods) if request.method() == Method::OPTIONS => {
                return head::options(Some(&methods));
            }
            Lookup::MethodNotAllowed(methods) => {
                self.metrics().unrouted.inc();
                let allow = head::allow(&methods, true);
                let allowed = allow.to_str().unwrap_or_default();
                let detail = format!("{path} does not take {}; it takes {allowed}", request.method());
                let mut response = problem_response(&Problem::new(ProblemType::MethodNotAllowed, detail));
                response.headers_mut().insert(header::ALLOW, allow);
                return response;
            }
            Lookup::Unknown => {
                self.metrics().unrouted.inc();
                let detail = format!("no function is routed at {path}; `spillway ls` lists the routes");
                return problem_response(&Problem::new(ProblemType::UnknownRoute, detail));
            }
        };
        if let Err(problem) = self.callers.admit(auth, target.function(), request.headers_mut()) {
            self.metrics().unrouted.inc();
            return callers::refused(&problem);
        }
        match target {
            Target::Here(revision) => self.run(revision, None, request, arrived).await,
            // The function is deployed but could not be made ready when the node started; its log says why.
            Target::Broken(function) => {
                let detail = format!("{function} cannot serve; `spillway inspect {function}` says why");
                problem_response(&Problem::new(ProblemType::HostFault, detail))
            }
            Target::Elsewhere(function) => self.send_elsewhere(&function, request, arrived).await,
        }
    }

    /// Runs a call that a peer has sent, after all checks.
    pub(crate) async fn serve_sent(
        &self,
        revision: Arc<Revision>,
        journey: Journey,
        request: Request<Incoming>,
    ) -> Response<Body> {
        let request = self.limited(request);
        self.run(revision, Some(journey), request, Instant::now()).await
    }

    /// The body within what a caller may do.
    fn limited(&self, request: Request<Incoming>) -> Request<Limited> {
        let expects = Expects::of(request.headers());
        request.map(|body| Limited::new(body, expects, self.config.stall_timeout))
    }

    /// Runs a call here, or, while this node drains, on another that serves the same.
    async fn run(
        &self,
        revision: Arc<Revision>,
        journey: Option<Journey>,
        mut request: Request<Limited>,
        arrived: Instant,
    ) -> Response<Body> {
        let is_head = request.method() == Method::HEAD;
        let wishes = match Wishes::read(request.headers(), &revision.manifest) {
            Ok(wishes) => wishes,
            Err(problem) => return problem_response(&problem),
        };
        // One name on all nodes, so that their logs can be read together.
        let named =
            journey.as_ref().and_then(|_| request.headers_mut().remove(INVOCATION)?.to_str().ok()?.parse().ok());
        let invocation = Invocation::named(named.unwrap_or_else(InvocationId::random), arrived + wishes.patience);
        let invocation = invocation.with_turn(wishes.priority, revision.quota.kernel_share());
        // A caller may ask for less time; what others lose with its sandbox is not for it to say.
        let invocation = Arc::new(invocation.with_limit(arrived + revision.manifest.limits.deadline.min(HASTE)));
        let body_bytes = http_body::Body::size_hint(request.body()).lower();
        let expected = revision.metrics.estimates.expect(body_bytes);
        let errand = Errand {
            id: &revision.id,
            revision: revision.number,
            bundle: revision.bundle,
            manifest: &revision.manifest,
            residency: wishes.residency,
            priority: wishes.priority,
            owner: None,
            journey: journey.as_ref(),
            invocation: invocation.id,
            deadline: invocation.deadline,
            work: expected.work.unwrap_or_default(),
        };
        // Data stays with its owner, and so do the calls for it.
        let may_leave = revision.manifest.capabilities.keyvalue.is_empty();
        let drains_to = self.cluster.as_ref().filter(|cluster| may_leave && cluster.orders().draining);
        let choice = match drains_to {
            Some(cluster) => Choice::There(errand.peers(cluster, body_bytes).0),
            None => self.choose(&revision, &errand, &expected, body_bytes, true),
        };
        let mut refused = None;
        match (choice, &self.cluster) {
            (Choice::There(peers), Some(cluster)) if !peers.is_empty() => {
                match self.send_on(cluster, &errand, &peers, &[], &invocation, request, arrived).await {
                    Ok(response) => return response,
                    Err(not_sent) => match not_sent.take_back() {
                        // Where nobody else takes it, it runs here after all, if it would be in time here.
                        Ok(unsent) => {
                            request = unsent;
                            if drains_to.is_none()
                                && let Choice::Refuse(problem) =
                                    self.choose(&revision, &errand, &expected, body_bytes, false)
                            {
                                refused = Some(problem);
                            }
                        }
                        Err(not_sent) => return not_sent.refuse(),
                    },
                }
            }
            (Choice::Refuse(problem), _) => refused = Some(problem),
            _ => {}
        }
        let what = What::of(&request);
        let (metrics, logs) = (revision.metrics.clone(), self.logs().clone());
        let mut record = Record::new(revision.number, metrics, logs, invocation.clone(), arrived, what);
        record.body_bytes = body_bytes;
        record.for_peer = journey.is_some();
        let answer = match refused {
            Some(problem) => {
                let cause = problem.detail.clone();
                Err(Box::new((problem, Outcome::Refused, cause)))
            }
            None => self.invoke(&revision, &invocation, wishes.priority, &expected, request, &mut record).await,
        };
        let timing = invocation.timing();
        let mut response = match answer {
            Ok(response) => {
                record.status = response.status().as_u16();
                let spent = wishes.wants_timing.then(|| (record.queued, arrived.elapsed()));
                // The answer to HEAD announces a length and has no body.
                let announced =
                    response.headers().get(header::CONTENT_LENGTH).and_then(|value| value.to_str().ok()?.parse().ok());
                let length = if is_head { Some(0) } else { announced };
                let bill = record.bill();
                let response = settle(response).await;
                record.answered();
                let mut response = response.map(|body| record.follow(body, length));
                strip_hop_by_hop(response.headers_mut());
                // Only nodes say that they have not run a call, which of them has, or what it costs: who has sent it would
                // run it again.
                if has_own(response.headers()) {
                    for field in [REFUSED, NODE, WORK, BILL] {
                        response.headers_mut().remove(field);
                    }
                }
                if wishes.wants_bill {
                    add_bill(response.headers_mut(), self.cluster.as_ref().map(|cluster| cluster.identity()), &bill);
                }
                if let Some((queued, took)) = spent {
                    add_server_timing(response.headers_mut(), queued, &timing, took);
                }
                response
            }
            Err(refused) => {
                let (mut problem, outcome, cause) = *refused;
                problem.invocation = Some(invocation.id.to_string());
                record.end(outcome, problem.status, cause);
                let mut response = problem_response(&problem);
                // Who has sent it may send it elsewhere.
                if journey.is_some() && outcome == Outcome::Refused && matches!(problem.status, 429 | 503) {
                    response.headers_mut().insert(REFUSED, HeaderValue::from_static("busy"));
                }
                response
            }
        };
        add_invocation(response.headers_mut(), &invocation.id);
        response
    }

    async fn invoke(
        &self,
        revision: &Revision,
        invocation: &Arc<Invocation>,
        priority: Priority,
        expected: &Expected,
        mut request: Request<Limited>,
        record: &mut Record,
    ) -> Result<Response<Body>, Box<(Problem, Outcome, String)>> {
        let refuse = |kind, detail: String| Box::new((Problem::new(kind, detail.clone()), Outcome::Refused, detail));
        let limit = revision.manifest.limits.body_bytes;
        let troubled = |trouble: Trouble| {
            let problem = trouble.problem(&revision.id, limit);
            let cause = problem.detail.clone();
            Box::new((problem, Outcome::Refused, cause))
        };
        if http_body::Body::size_hint(request.body()).lower() > limit {
            return Err(troubled(Trouble::TooLong));
        }
        record.counted = self.count(revision, expected).map_err(|problem| {
            let cause = problem.detail.clone();
            Box::new((*problem, Outcome::Refused, cause))
        })?;
        let admitted = revision.admit(&self.gate, priority, invocation.deadline, expected).await;
        record.queued = record.arrived.elapsed();
        record.admitted = Some(admitted.map_err(|refusal| match refusal {
            Refusal::QueueFull => {
                let waiting = revision.manifest.limits.queue;
                let again = whole_seconds(revision.place_free_in(expected));
                let detail =
                    format!("{waiting} calls of {} are waiting already; try again later, in {again} s", revision.id);
                let mut refused = refuse(ProblemType::QueueFull, detail);
                refused.0.retry_after_seconds = Some(again);
                refused
            }
            Refusal::Overloaded => {
                let id = &revision.id;
                let mut refused = refuse(ProblemType::Overloaded, format!("calls before this one of {id} took longer than expected, and it would have been finished after its deadline; try again later"));
                // Of one that came now.
                let patience = invocation.deadline.saturating_duration_since(record.arrived);
                let (wait, correction) = self.gate.wait(priority, Instant::now() + patience);
                refused.0.retry_after_seconds = Some(whole_seconds(wait.mul_f64(correction)));
                refused
            }
            Refusal::Late(late) => {
                let again = whole_seconds(late);
                let (waiting, id) = (revision.waiting(), &revision.id);
                let detail = format!(
                    "{waiting} calls of {id} wait before this one, which would be finished after its deadline; try again later, in {again} s"
                );
                let mut refused = refuse(ProblemType::Overloaded, detail);
                refused.0.retry_after_seconds = Some(again);
                refused
            }
            Refusal::Deadline => Box::new((
                Problem::new(
                    ProblemType::Deadline,
                    format!("{} was busy until the deadline; try again later", revision.id),
                ),
                Outcome::Deadline,
                "its turn did not come before the deadline".to_owned(),
            )),
        })?);
        let passage = request.body_mut().set_limit(limit);
        record.passage = Some(passage.clone());
        let (parts, body) = request.into_parts();
        let answered = call(revision, invocation, self.scheme(), parts, body)
            .await
            .map_err(|detail| refuse(ProblemType::BadRequest, detail))?;
        if let Some(trouble) = passage.trouble() {
            return Err(troubled(trouble));
        }
        answered.map_err(|fault| {
            if matches!(fault, Fault::NoMemory(_)) {
                self.health.memory_refused();
            }
            let mut problem = Problem::new(problem_type(&fault), explain(&fault, revision));
            if problem.is(ProblemType::NodeBusy) {
                problem.retry_after_seconds = Some(whole_seconds(self.sandbox_free_in()));
            }
            Box::new((problem, fault.outcome(), fault.to_string()))
        })
    }
}

fn problem_type(fault: &Fault) -> ProblemType {
    match fault {
        Fault::Trap(_) => ProblemType::Trap,
        Fault::Deadline => ProblemType::Deadline,
        Fault::OutOfMemory { .. } | Fault::NamespaceOutOfMemory { .. } => ProblemType::OutOfMemory,
        Fault::NoResponse(_) => ProblemType::NoResponse,
        Fault::SandboxLost(_) => ProblemType::SandboxLost,
        Fault::Busy(_) | Fault::NoMemory(_) => ProblemType::NodeBusy,
        Fault::Host(_) => ProblemType::HostFault,
    }
}

/// For the caller: what happened and what to do, without the inside of function or node.
fn explain(fault: &Fault, revision: &Revision) -> String {
    let id = &revision.id;
    match fault {
        Fault::Trap(_) => format!("{id} failed while it worked on the call; its log says why (`spillway logs {id}`)"),
        Fault::Deadline => {
            format!("{id} did not answer before its deadline; send less, or raise `deadline` under [limits]")
        }
        Fault::OutOfMemory { limit_bytes, .. } => {
            format!("{id} needs more than its {} of memory; raise `memory` under [limits]", format_bytes(*limit_bytes))
        }
        Fault::NamespaceOutOfMemory { limit_bytes, .. } => {
            let (limit, namespace) = (format_bytes(*limit_bytes), &id.namespace);
            format!(
                "{id} needs more memory than the other sandboxes of namespace {namespace} leave of its {limit}; try again when they are done, or have the operator raise --memory of `spillway quota set {namespace}`"
            )
        }
        Fault::NoResponse(_) => format!("{id} ended without an answer; its log says more (`spillway logs {id}`)"),
        Fault::SandboxLost(_) => format!("another call ended the sandbox that this call of {id} shared; try again"),
        Fault::Busy(_) | Fault::NoMemory(_) => format!("the node has no sandbox free for {id}; try again later"),
        Fault::Host(_) => format!("the node failed while {id} worked on the call; the node's log says why"),
    }
}
