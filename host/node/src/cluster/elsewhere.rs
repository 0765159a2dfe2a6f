//! Functions that the cluster runs, but not on this node: its routes lead to those that do.

use std::collections::BTreeMap;
use std::sync::{Arc, PoisonError, RwLock};

use spillway_types::{FunctionId, Manifest, NodeName, Release};

/// A function that runs on other nodes.
#[derive(Debug)]
pub(crate) struct Elsewhere {
    pub(crate) id: FunctionId,
    pub(crate) release: Release,
    pub(crate) manifest: Manifest,
    pub(crate) reason: Reason,
}

/// Why a function does not run here.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Reason {
    /// Its key-value data is on another node.
    Owned(NodeName),
    /// Its manifest names other roles or sites.
    NotAdmitted,
    /// The node takes no functions that it does not have.
    Cordoned,
    /// Its models do not fit here, and why.
    TooLarge(String),
    /// It is on its way, or cannot be made ready.
    NotReady(String),
}

impl std::fmt::Display for Reason {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Owned(owner) => write!(f, "its data is on {owner}"),
            Self::NotAdmitted => f.write_str("[placement] of its manifest keeps it off this node"),
            Self::Cordoned => f.write_str("this node is cordoned"),
            Self::TooLarge(reason) | Self::NotReady(reason) => f.write_str(reason),
        }
    }
}

/// All such functions. Lives as long as the node.
#[derive(Default)]
pub(crate) struct ElsewhereFunctions(RwLock<BTreeMap<FunctionId, Arc<Elsewhere>>>);

impl ElsewhereFunctions {
    pub(crate) fn put(&self, function: Elsewhere) {
        self.0.write().unwrap_or_else(PoisonError::into_inner).insert(function.id.clone(), Arc::new(function));
    }

    /// Says whether it was there.
    pub(crate) fn remove(&self, id: &FunctionId) -> bool {
        self.0.write().unwrap_or_else(PoisonError::into_inner).remove(id).is_some()
    }

    pub(crate) fn get(&self, id: &FunctionId) -> Option<Arc<Elsewhere>> {
        self.0.read().unwrap_or_else(PoisonError::into_inner).get(id).cloned()
    }

    pub(crate) fn all(&self) -> Vec<Arc<Elsewhere>> {
        self.0.read().unwrap_or_else(PoisonError::into_inner).values().cloned().collect()
    }
}
