//! What a node says of itself in the control store, so that others find it.

use serde::{Deserialize, Serialize};
use spillway_cluster::ControlKey;
use spillway_types::{NodeIdentity, NodeName};

use crate::peers::wire::WIRE_FORMAT;

/// Where a node can be reached. It is a hint: whoever answers there has to show the certificate of `identity`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct NodeRecord {
    /// [`WIRE_FORMAT`] of the node.
    pub(crate) format: u32,
    /// Who it is.
    pub(crate) identity: NodeIdentity,
    /// `HOST:PORT` for other nodes.
    pub(crate) peer: String,
    /// Where callers reach functions, `http://HOST:PORT`.
    pub(crate) listen: String,
    /// Version of its build.
    pub(crate) version: String,
    /// Its data folder's name for itself.
    pub(crate) folder: String,
}

/// In the place of the record of a node that will not come back.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Forgotten {
    format: u32,
    /// Which node.
    pub(crate) forgotten: NodeName,
}

impl Forgotten {
    pub(crate) fn of(node: &NodeName) -> Self {
        Self { format: WIRE_FORMAT, forgotten: node.clone() }
    }

    /// `None` for anything else.
    pub(crate) fn read(bytes: &[u8]) -> Option<Self> {
        serde_json::from_slice(bytes).ok()
    }

    pub(crate) fn to_bytes(&self) -> Vec<u8> {
        serde_json::to_vec(self).unwrap_or_default()
    }
}

impl NodeRecord {
    /// The key below which all records lie.
    pub(crate) fn prefix() -> ControlKey {
        ControlKey::new(["nodes"]).expect("a plain word is a key")
    }

    /// The key of a node's record.
    pub(crate) fn key(node: &NodeName) -> ControlKey {
        ControlKey::new(["nodes", node.as_str()]).expect("names of nodes are parts of keys")
    }

    /// Reads a record of this version.
    ///
    /// # Errors
    /// What is wrong with it.
    pub(crate) fn read(bytes: &[u8]) -> Result<Self, String> {
        let record: Self =
            serde_json::from_slice(bytes).map_err(|error| format!("not the record of a node: {error}"))?;
        if record.format != WIRE_FORMAT {
            return Err(format!(
                "node {} speaks version {} of the protocol between nodes, and this node version {WIRE_FORMAT}; run the same spillway on both",
                record.identity.node, record.format
            ));
        }
        Ok(record)
    }

    pub(crate) fn to_bytes(&self) -> Vec<u8> {
        serde_json::to_vec(self).unwrap_or_default()
    }
}
