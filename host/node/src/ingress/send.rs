//! Calls that this node answers through another.

use std::sync::Arc;
use std::time::{Duration, Instant};

use http::{Request, Response, header};
use spillway_placement::forward::Reason;
use spillway_runtime::{Body, Invocation, InvocationId};
use spillway_types::{NodeName, Problem, ProblemType};

use super::body::Limited;
use super::forward::{Errand, Failed};
use super::record::Record;
use super::respond::{add_bill, add_invocation, problem_response, strip_hop_by_hop};
use super::wishes::{BILL, Wishes};
use crate::cluster::{Cluster, Elsewhere};
use crate::logs::What;
use crate::node::Node;
use crate::peers::Peer;

impl Node {
    /// A call of a function that does not run here.
    pub(super) async fn send_elsewhere(
        &self,
        function: &Elsewhere,
        request: Request<Limited>,
        arrived: Instant,
    ) -> Response<Body> {
        let Some(cluster) = &self.cluster else {
            return problem_response(&Problem::new(ProblemType::HostFault, "this node is alone"));
        };
        let wishes = match Wishes::read(request.headers(), &function.manifest) {
            Ok(wishes) => wishes,
            Err(problem) => return problem_response(&problem),
        };
        let invocation = Arc::new(Invocation::new(arrived + wishes.patience));
        let errand = Errand {
            id: &function.id,
            revision: function.release.revision,
            bundle: function.release.bundle,
            manifest: &function.manifest,
            residency: wishes.residency,
            priority: wishes.priority,
            owner: function.release.owner.as_ref(),
            journey: None,
            invocation: invocation.id,
            deadline: invocation.deadline,
            work: Duration::ZERO,
        };
        let (peers, left_out) = errand.peers(cluster, http_body::Body::size_hint(request.body()).lower());
        match self.send_on(cluster, &errand, &peers, &left_out, &invocation, request, arrived).await {
            Ok(response) => response,
            Err(not_sent) => {
                if not_sent.failed.problem.is(ProblemType::Residency) {
                    self.audit.note(errand.kept(&not_sent.failed.problem.detail));
                }
                not_sent.refuse()
            }
        }
    }

    /// Sends a call to a peer and records how it ended.
    ///
    /// # Errors
    /// No peer answered: the caller refuses the call, or runs it here.
    #[expect(clippy::too_many_arguments, reason = "one call with all that is known of it, from two places")]
    pub(super) async fn send_on(
        &self,
        cluster: &Cluster,
        errand: &Errand<'_>,
        peers: &[Arc<Peer>],
        left_out: &[(NodeName, Reason)],
        invocation: &Arc<Invocation>,
        request: Request<Limited>,
        arrived: Instant,
    ) -> Result<Response<Body>, Box<NotSent>> {
        let is_head = request.method() == http::Method::HEAD;
        let what = What::of(&request);
        let metrics = self.metrics().function(errand.id);
        let logs = self.logs().clone();
        let mut record = Record::new(errand.revision, metrics, logs, invocation.clone(), arrived, what);
        let mut response = match errand.send(cluster, peers, left_out, request, &mut record.passage).await {
            Ok((response, node)) => {
                self.metrics().sent(errand.id, &node);
                record.here = false;
                record.what.on = Some(node);
                record.status = response.status().as_u16();
                let announced =
                    response.headers().get(header::CONTENT_LENGTH).and_then(|value| value.to_str().ok()?.parse().ok());
                let length = if is_head { Some(0) } else { announced };
                let bill = record.bill();
                let mut response = response.map(|body| record.follow(body, length));
                strip_hop_by_hop(response.headers_mut());
                // Who ran the call has said what it took there; this node adds its own part.
                if response.headers().contains_key(BILL) {
                    add_bill(response.headers_mut(), Some(cluster.identity()), &bill);
                }
                response
            }
            Err(failed) => return Err(Box::new(NotSent { failed, record, invocation: invocation.id })),
        };
        add_invocation(response.headers_mut(), &invocation.id);
        Ok(response)
    }
}

/// A call that no other node answered.
pub(super) struct NotSent {
    failed: Box<Failed>,
    record: Record,
    invocation: InvocationId,
}

impl NotSent {
    /// Gives the call back to be run here, unless another node may have seen something of it.
    ///
    /// # Errors
    /// It can only be refused.
    pub(super) fn take_back(mut self: Box<Self>) -> Result<Request<Limited>, Box<Self>> {
        match self.failed.unsent.take() {
            Some(request) => {
                self.record.withdraw();
                Ok(request)
            }
            None => Err(self),
        }
    }

    /// What the caller is told.
    pub(super) fn refuse(self: Box<Self>) -> Response<Body> {
        let Self { failed, mut record, invocation } = *self;
        let Failed { mut problem, outcome, cause, .. } = *failed;
        problem.invocation = Some(invocation.to_string());
        record.end(outcome, problem.status, cause);
        let mut response = problem_response(&problem);
        add_invocation(response.headers_mut(), &invocation);
        response
    }
}
