//! What calls have cost, and what was refused.

use serde::{Deserialize, Serialize};

use crate::{AuditKind, Bill, FunctionName, Namespace, NodeName};

/// What calls have cost, on all nodes.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
pub struct CostReport {
    /// By node and function.
    pub costs: Vec<FunctionCost>,
    /// Nodes that are not counted, and why.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub missing: Vec<NodeFault>,
}

/// What calls of a function have cost on a node.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct FunctionCost {
    /// The node; absent where there is no cluster.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub node: Option<NodeName>,
    /// Namespace of the function.
    pub namespace: Namespace,
    /// Name of the function.
    pub name: FunctionName,
    /// Calls that ended, those included that this node had another answer.
    pub calls: u64,
    /// What they took together.
    #[serde(flatten)]
    pub bill: Bill,
}

/// What is wrong with a node.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct NodeFault {
    /// Which node.
    pub node: NodeName,
    /// What.
    pub fault: String,
}

/// Refusals of one kind, within a second.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct AuditRecord {
    /// When the first was, RFC 3339 with milliseconds.
    pub time: String,
    /// What was refused.
    pub kind: AuditKind,
    /// Whose call it was, `namespace/name`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub function: Option<String>,
    /// The other node, if one had part in it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub peer: Option<String>,
    /// The first invocation.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub invocation: Option<String>,
    /// How many there were.
    pub count: u64,
    /// Why, of the first.
    pub detail: String,
}
