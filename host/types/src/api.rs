//! The JSON of the control API, `/api/v1`.
//!
//! | request | body | answer |
//! | --- | --- | --- |
//! | `GET /api/v1/node` | | [`NodeStatus`] |
//! | `GET /api/v1/functions/{namespace}/{name}/placement` | | [`DecisionRecord`] list, oldest first |
//! | `GET /api/v1/nodes` | | [`NodeSummary`] list |
//! | `DELETE /api/v1/nodes/{node}` | | [`NodeSummary`] list, without a node that will not come back |
//! | `POST /api/v1/nodes/{node}/{order}` | | [`NodeSummary`] list; the order is `cordon`, `drain` or `uncordon` |
//! | `GET /api/v1/functions/{namespace}/{name}/statement?revision=` | | [`StatementDraft`] |
//! | `POST /api/v1/statements` | a signed statement | [`Deployment`], or 204 for a removal |
//! | `HEAD /api/v1/blobs/{digest}` | | 200 or 404 |
//! | `PUT /api/v1/blobs/{digest}` | the bytes | [`BlobReceipt`] |
//! | `POST /api/v1/functions?namespace=&name=&route=&effects=` | a bundle | [`Deployment`] |
//! | `GET /api/v1/functions` | | [`FunctionSummary`] list |
//! | `GET /api/v1/functions/{namespace}/{name}` | | [`FunctionDetail`] |
//! | `POST /api/v1/functions/{namespace}/{name}/rollback` | [`Rollback`] | [`Deployment`] |
//! | `DELETE /api/v1/functions/{namespace}/{name}` | | 204 |
//! | `GET /api/v1/functions/{namespace}/{name}/logs?tail=&follow=` | | [`LogRecord`] lines (NDJSON) |
//! | `GET /api/v1/models` | | [`ModelStatus`] list |
//! | `POST /api/v1/models` | [`AddModel`] | [`ModelStatus`] list, of this model |
//! | `GET /api/v1/models/{digest}` | | [`ModelStatus`] list, one for each specialization |
//! | `DELETE /api/v1/models/{digest}` | | 204 |
//! | `POST /api/v1/models/{digest}/unload` | | 204 |
//! | `GET /api/v1/keys` | | [`TrustedKey`] list |
//! | `POST /api/v1/keys` | [`TrustKey`] | [`TrustedKey`] |
//! | `POST /api/v1/keys/{id}/revoke` | | [`TrustedKey`] |
//! | `GET /api/v1/quotas` | | [`crate::NamespaceQuota`] list |
//! | `PUT /api/v1/quotas/{namespace}` | [`crate::Quota`] | [`crate::NamespaceQuota`] |
//! | `DELETE /api/v1/quotas/{namespace}` | | 204 |
//! | `GET /api/v1/costs?days=` | | [`CostReport`] |
//! | `GET /api/v1/audit?last=` | | [`AuditRecord`] list, oldest first |
//! | `POST /api/v1/gc` | | [`GcSummary`] |
//!
//! A model's digest may be cut short, with or without `sha256:`, as long as it is the only one that begins so.
//! Every failure is a [`crate::Problem`]. `name`, `route` (repeatable) and `effects` are for components without a manifest.

mod books;
mod conditions;
mod decisions;
mod models;

use serde::{Deserialize, Serialize};

pub use self::books::{AuditRecord, CostReport, FunctionCost, NodeFault};
pub use self::conditions::{Condition, ConditionKind, Readiness};
pub use self::decisions::{DecisionOffer, DecisionRecord};
pub use self::models::{AddModel, Constant, ModelStatus};
use crate::{
    Bill, ClusterName, Digest, Effects, FunctionName, Limits, Namespace, NodeIdentity, NodeName, Outcome, Release,
    Route, SandboxPolicy,
};

/// What a node says of itself.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct NodeStatus {
    /// Version of the build.
    pub version: String,
    /// Where callers reach functions.
    pub listen: String,
    /// Kernel threads.
    pub kernel_threads: usize,
    /// Seconds since the start.
    pub uptime_seconds: u64,
    /// Deployed functions.
    pub functions: usize,
    /// Loaded models.
    pub models: usize,
    /// Resident memory of the process in bytes.
    pub resident_bytes: u64,
    /// What is wrong with it while it serves.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub conditions: Vec<Condition>,
    /// Its part in a cluster; absent where it is alone.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub cluster: Option<ClusterStatus>,
}

/// A node's part in its cluster.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct ClusterStatus {
    /// Who the node is, by its certificate.
    pub identity: NodeIdentity,
    /// Where other nodes find it, `HOST:PORT`.
    pub peer: String,
    /// `connected`, or what keeps the control store from answering.
    pub control: String,
    /// Whether what the control store acknowledges lasts.
    pub durability: String,
    /// Whether it takes no functions that it does not have.
    pub cordoned: bool,
    /// Whether it gives its calls away.
    pub draining: bool,
    /// When its certificate ends, RFC 3339.
    pub certificate_until: String,
    /// What may need an operator.
    pub concerns: Vec<String>,
}

/// A node of the cluster, as the node that was asked knows it.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct NodeSummary {
    /// Who it is.
    pub identity: NodeIdentity,
    /// `self`, `alive`, `suspect`, `dead`, or `unknown` until it has answered once.
    pub state: String,
    /// Version of its build.
    pub version: String,
    /// Where callers reach functions there.
    pub listen: String,
    /// Where other nodes find it, `HOST:PORT`.
    pub peer: String,
    /// Whether it takes no functions that it does not have.
    pub cordoned: bool,
    /// Whether it gives its calls away.
    pub draining: bool,
    /// Smoothed round-trip time from the node that was asked.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub rtt_seconds: Option<f64>,
    /// How fast a large answer comes from it to the node that was asked.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub bandwidth_bytes_per_second: Option<f64>,
    /// By how much its clock is ahead of that of the node that was asked.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub clock_ahead_seconds: Option<f64>,
    /// Functions that serve there.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub functions: Option<usize>,
    /// What it has and what of it is in use, as it said last.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub capacity: Option<serde_json::Value>,
    /// Why it did not answer last.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub trouble: Option<String>,
}

/// What a deployer needs to know to write the next statement about a function.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct StatementDraft {
    /// The cluster that the statement is for.
    pub cluster: ClusterName,
    /// The sequence of the next statement.
    pub sequence: u64,
    /// A revision number that was never given.
    pub revision: u64,
    /// Who is to own the function's key-value data, if it is granted any.
    pub owner: NodeName,
    /// What serves by the statement that holds.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub serving: Option<Release>,
    /// The kept revision that was asked for, or the one before the serving one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub earlier: Option<Release>,
}

/// A blob has arrived whole.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct BlobReceipt {
    /// Its digest, computed by the node.
    pub digest: Digest,
    /// Its size in bytes.
    pub bytes: u64,
}

/// A revision is serving.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Deployment {
    /// Namespace of the function.
    pub namespace: Namespace,
    /// Name of the function.
    pub name: FunctionName,
    /// The revision that serves now.
    pub revision: u64,
    /// The revision that served before, if any.
    pub previous: Option<u64>,
    /// Digest of the bundle without embedded models.
    pub bundle: Digest,
    /// True if exactly this was serving already.
    pub unchanged: bool,
    /// Where it answers.
    pub routes: Vec<Route>,
    /// Where callers reach the node.
    pub listen: String,
    /// Compilation, or loading of cached code, in seconds.
    pub compile_seconds: f64,
    /// Whether cached code was used.
    pub compile_cached: bool,
}

/// A line of `spillway ls`.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct FunctionSummary {
    /// Namespace of the function.
    pub namespace: Namespace,
    /// Name of the function.
    pub name: FunctionName,
    /// The author's version.
    pub version: String,
    /// One line from the manifest.
    pub description: String,
    /// The revision that serves.
    pub revision: u64,
    /// Where it answers.
    pub routes: Vec<Route>,
    /// Sandboxes alive.
    pub sandboxes: u64,
    /// Invocations since the node started.
    pub invocations: u64,
    /// What keeps it from serving, if anything.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub fault: Option<String>,
    /// Nodes where this revision serves; empty where there is no cluster.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub nodes: Vec<NodeName>,
    /// Why it does not run on the node that was asked, if it does not.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub elsewhere: Option<String>,
}

/// All about one function.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct FunctionDetail {
    /// As listed.
    #[serde(flatten)]
    pub summary: FunctionSummary,
    /// Digest of the serving bundle.
    pub bundle: Digest,
    /// The interface it answers through: `wasi:http@0.2` or `wasi:http@0.3`.
    pub interface: String,
    /// What it imports.
    pub imports: Vec<String>,
    /// What happens if an invocation runs twice.
    pub effects: Effects,
    /// What it may use.
    pub limits: Limits,
    /// How its sandboxes live.
    pub sandbox: SandboxPolicy,
    /// Models granted, by name.
    pub models: Vec<ModelRef>,
    /// Key-value buckets granted.
    pub keyvalue: Vec<String>,
    /// Origins that it may send requests to, at public addresses.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub http: Vec<String>,
    /// Origins that it may send requests to at private addresses, too.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub http_private: Vec<String>,
    /// Kept revisions, newest first.
    pub revisions: Vec<RevisionSummary>,
    /// How it is on each node that is not dead, the node that was asked first; empty where there is no cluster.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub whereabouts: Vec<FunctionOnNode>,
}

/// A function as one node of the cluster has it.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct FunctionOnNode {
    /// Which node.
    pub node: NodeName,
    /// The revision that it knows; none if it gave no answer.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub revision: Option<u64>,
    /// Why it does not serve there, if it does not.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub fault: Option<String>,
}

/// A model that a function may open.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct ModelRef {
    /// The name that the function uses.
    pub name: String,
    /// Which model.
    pub digest: Digest,
}

/// A kept revision.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct RevisionSummary {
    /// Its number; numbers are never used again.
    pub number: u64,
    /// The author's version.
    pub version: String,
    /// Digest of the bundle.
    pub bundle: Digest,
    /// When it was deployed, RFC 3339.
    pub created_at: String,
    /// Whether it serves.
    pub active: bool,
}

/// Which revision to go back to.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Rollback {
    /// A kept revision; the one before the serving one if absent.
    #[serde(default)]
    pub revision: Option<u64>,
}

/// One record of a function's log.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct LogRecord {
    /// When, RFC 3339 with milliseconds.
    pub time: String,
    /// `trace`, `debug`, `info`, `warn`, `error` or `critical`; `stdout` and `stderr` for plain output.
    pub level: String,
    /// The function, `namespace/name`.
    pub function: String,
    /// The revision.
    pub revision: u64,
    /// The invocation, where it is known.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub invocation: Option<String>,
    /// How the invocation ended, on the record of its end.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub outcome: Option<Outcome>,
    /// HTTP status, on the record of an invocation's end.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub status: Option<u16>,
    /// How long the invocation took, on the record of its end.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub seconds: Option<f64>,
    /// What the invocation took of this node and what that costs, on the record of its end.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub bill: Option<Bill>,
    /// The text.
    pub message: String,
}

/// A deployer's key to believe from now on.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct TrustKey {
    /// The public key, `ed25519:` and Base64.
    pub key: String,
    /// Whose it is, for listings; nothing depends on it.
    #[serde(default)]
    pub name: String,
}

/// A deployer's key that the node believes, or believed.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct TrustedKey {
    /// Its short name: 16 hexadecimal digits of its SHA-256.
    pub id: String,
    /// The public key, `ed25519:` and Base64.
    pub key: String,
    /// Whose it is.
    pub name: String,
    /// Since when it is believed, RFC 3339.
    pub trusted_at: String,
    /// Since when it is believed no more, RFC 3339.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub revoked_at: Option<String>,
}

/// What a garbage collection did.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
pub struct GcSummary {
    /// Revisions dropped.
    pub removed_revisions: u64,
    /// Blobs dropped.
    pub removed_blobs: u64,
    /// Compiled artefacts dropped.
    pub removed_artefacts: u64,
    /// Bytes freed.
    pub freed_bytes: u64,
    /// Bytes kept.
    pub kept_bytes: u64,
    /// Files dropped from the cluster's store; absent where there is none, or it could not be asked.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub removed_cluster_files: Option<u64>,
    /// Bytes freed there.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub freed_cluster_bytes: Option<u64>,
}
