//! Problem details (RFC 9457): the one form in which a caller hears of a failure.

use std::num::NonZeroU32;

use serde::{Deserialize, Serialize};

/// What kind of problem, for programs to branch on. The `type` member is `urn:spillway:problem:` and the slug.
macro_rules! problems {
    ($($(#[$doc:meta])* $kind:ident, $slug:literal, $status:literal, $title:literal;)*) => {
        /// The kinds of problem, each with a stable `type`, a status and a title.
        #[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
        pub enum ProblemType {
            $($(#[$doc])* $kind,)*
        }

        impl ProblemType {
            /// All kinds, for documentation and tests.
            pub const ALL: &[Self] = &[$(Self::$kind),*];

            /// The last part of the `type` member.
            pub fn slug(self) -> &'static str {
                match self { $(Self::$kind => $slug),* }
            }

            /// The HTTP status that goes with it.
            pub fn status(self) -> u16 {
                match self { $(Self::$kind => $status),* }
            }

            /// A short summary that is the same for every occurrence.
            pub fn title(self) -> &'static str {
                match self { $(Self::$kind => $title),* }
            }
        }
    };
}

problems! {
    /// No function has a route for the path.
    UnknownRoute, "unknown-route", 404, "No function is routed here";
    /// The route does not take the method.
    MethodNotAllowed, "method-not-allowed", 405, "Method not allowed";
    /// The request body is past the function's limit.
    BodyTooLarge, "body-too-large", 413, "Request body too large";
    /// The request itself is malformed.
    BadRequest, "bad-request", 400, "Bad request";
    /// The request's target is longer than any node takes.
    TargetTooLong, "target-too-long", 414, "Request target too long";
    /// The request's header fields are longer than any node takes.
    FieldsTooLarge, "fields-too-large", 431, "Request header fields too large";
    /// The caller stopped sending the body.
    BodyStalled, "body-stalled", 408, "The request body did not come";
    /// The caller expects what no node does.
    ExpectationFailed, "expectation-failed", 417, "The expectation cannot be met";
    /// The request needs what no node does.
    NotImplemented, "not-implemented", 501, "Not implemented";
    /// The route wants a caller's token.
    CallerUnknown, "caller-unknown", 401, "A token is needed";
    /// The caller's token is not for this function.
    CallerForbidden, "caller-forbidden", 403, "The token is not for this function";
    /// The guest trapped.
    Trap, "trap", 500, "The function failed";
    /// The guest went past its memory limit.
    OutOfMemory, "out-of-memory", 500, "The function ran out of memory";
    /// The guest ended without an answer.
    NoResponse, "no-response", 500, "The function did not answer";
    /// The node's own fault.
    HostFault, "host-fault", 500, "The node failed";
    /// No answer in time.
    Deadline, "deadline", 504, "The function did not answer in time";
    /// Another call ended the sandbox that this one shared.
    SandboxLost, "sandbox-lost", 503, "The function's sandbox was lost";
    /// The function's queue is full.
    QueueFull, "queue-full", 503, "Too many calls are waiting";
    /// The call would be finished after its deadline, wherever it ran.
    Overloaded, "overloaded", 503, "No node would answer in time";
    /// No node runs the call for what it may cost.
    TooDear, "too-dear", 503, "The call would cost too much";
    /// The node has as many sandboxes as it can have.
    NodeBusy, "node-busy", 503, "The node is busy";
    /// The function's namespace has taken what it may of the node.
    QuotaExceeded, "quota-exceeded", 429, "The namespace's quota is used up";
    /// The control API wants a bearer token.
    Unauthorized, "unauthorized", 401, "Unauthorized";
    /// No such function, revision or blob.
    NotFound, "not-found", 404, "Not found";
    /// The bundle is not a component that this node can run.
    InvalidBundle, "invalid-bundle", 422, "The bundle cannot be deployed";
    /// The manifest has errors.
    InvalidManifest, "invalid-manifest", 422, "The manifest has errors";
    /// The component imports what the node does not offer.
    UnknownImport, "unknown-import", 422, "The component imports what this node does not offer";
    /// A model that the manifest names is not on the node.
    MissingModel, "missing-model", 424, "A model is missing";
    /// A model's file is not what the manifest says, or the engine cannot run it.
    InvalidModel, "invalid-model", 422, "A model cannot be used";
    /// A function's models are larger than all models of the node may be.
    ModelsTooLarge, "models-too-large", 422, "The models do not fit";
    /// A route belongs to another function.
    RouteTaken, "route-taken", 409, "The route is taken";
    /// A model that functions may open cannot be removed.
    ModelInUse, "model-in-use", 409, "The model is in use";
    /// The function's data may not travel to where the call would have to run.
    Residency, "residency", 403, "The call may not leave";
    /// A node was asked to run a call that it does not serve.
    NotHere, "not-here", 421, "The function is not served here";
    /// The call has been sent from node to node too often.
    Loop, "loop", 508, "The call goes round in circles";
    /// No node that may run the function can be reached.
    NoNode, "no-node", 503, "No node can run the function";
    /// The node that keeps the function's data cannot be reached.
    OwnerUnreachable, "owner-unreachable", 503, "The function's owner cannot be reached";
    /// The call was sent to another node, which may have run it, and no answer came back.
    Ambiguous, "ambiguous", 504, "The call may have run";
    /// The node belongs to a cluster, where deployers sign what they want.
    Unsigned, "unsigned", 403, "A signature is needed";
    /// A statement is not signed by a key that the node trusts, or not for this cluster.
    Untrusted, "untrusted", 403, "The statement is not trusted";
    /// Somebody else changed the function meanwhile, or the statement is an old one.
    Conflict, "conflict", 409, "The function was changed meanwhile";
    /// The store that a cluster's desired state is kept in cannot be reached, or is full.
    ControlUnavailable, "control-unavailable", 503, "The control store is not available";
    /// A key that was revoked cannot be trusted again.
    KeyRevoked, "key-revoked", 409, "The key was revoked";
    /// The node's disk is full or cannot be written.
    StorageUnavailable, "storage-unavailable", 507, "The node cannot write to its disk";
    /// A blob's bytes have another digest than its name says.
    DigestMismatch, "digest-mismatch", 422, "The digest does not match";
}

/// A problem document.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Problem {
    /// A URI that names the kind.
    #[serde(rename = "type")]
    pub type_uri: String,
    /// Summary of the kind.
    pub title: String,
    /// HTTP status.
    pub status: u16,
    /// What happened here and what to change.
    pub detail: String,
    /// The invocation, for looking it up in the logs.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub invocation: Option<String>,
    /// One line for each error where there are several, as in a manifest.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub errors: Vec<String>,
    /// Digests of the blobs that the node lacks.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub missing: Vec<crate::Digest>,
    /// When to try again, in seconds; `Retry-After` says the same.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub retry_after_seconds: Option<NonZeroU32>,
}

impl Problem {
    /// The media type of problem documents.
    pub const MEDIA_TYPE: &str = "application/problem+json";

    /// A problem of the given kind; `detail` names the offender and the remedy.
    pub fn new(kind: ProblemType, detail: impl Into<String>) -> Self {
        Self {
            type_uri: format!("urn:spillway:problem:{}", kind.slug()),
            title: kind.title().to_owned(),
            status: kind.status(),
            detail: detail.into(),
            invocation: None,
            errors: Vec::new(),
            missing: Vec::new(),
            retry_after_seconds: None,
        }
    }

    /// Whether the document is of the given kind.
    pub fn is(&self, kind: ProblemType) -> bool {
        self.type_uri.strip_prefix("urn:spillway:problem:") == Some(kind.slug())
    }
}

#[cfg(test)]
mod tests {
    use std::collections::HashSet;

    use super::*;

    #[test]
    fn every_problem_type_has_a_slug_of_its_own_and_an_error_status() {
        let slugs: HashSet<_> = ProblemType::ALL.iter().map(|kind| kind.slug()).collect();
        assert_eq!(slugs.len(), ProblemType::ALL.len());
        assert!(ProblemType::ALL.iter().all(|kind| (400..600).contains(&kind.status())));
    }
}
