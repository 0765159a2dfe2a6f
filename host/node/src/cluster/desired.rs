//! The desired state that this node believes: verified statements, the newest of each function, on its own disk.

use std::collections::BTreeMap;
use std::sync::{PoisonError, RwLock};

use anyhow::Context as _;
use spillway_cluster::{ControlError, ControlKey, ControlStore as _, EmbeddedControl, Expected, Version};
use spillway_trust::{SignedStatement, is_newer};
use spillway_types::{Digest, FunctionId, Statement};

/// A statement that holds, as it was signed and as it was read.
#[derive(Clone, Debug)]
pub(crate) struct Known {
    pub(crate) statement: Statement,
    pub(crate) signed: SignedStatement,
}

/// The newest statement of each function. Lives as long as the node; on disk it outlives it.
pub(crate) struct DesiredState {
    disk: EmbeddedControl,
    /// What `disk` has, and under which version. Never locked across a wait.
    known: RwLock<BTreeMap<FunctionId, (Known, Version)>>,
}

impl Known {
    /// What orders statements of one function.
    pub(crate) fn rank(&self) -> (u64, Digest) {
        (self.statement.sequence, self.signed.digest())
    }
}

impl DesiredState {
    /// The key below which all statements lie, in the node's own store and in the cluster's.
    pub(crate) fn prefix() -> ControlKey {
        ControlKey::new(["functions"]).expect("a plain word is a key")
    }

    /// The key of a function's statement.
    pub(crate) fn key(function: &FunctionId) -> ControlKey {
        ControlKey::new(["functions", function.namespace.as_str(), function.name.as_str()])
            .expect("names of functions are parts of keys")
    }

    /// Reads what the disk has. It was verified when it came; the disk is our own.
    ///
    /// # Errors
    /// The disk failed, or has what this version does not read.
    pub(crate) async fn open(disk: EmbeddedControl) -> anyhow::Result<Self> {
        let listing = disk.list(&Self::prefix()).await?;
        let mut known = BTreeMap::new();
        for entry in listing.entries {
            let Some(value) = entry.value else { continue };
            let read = || -> anyhow::Result<Known> {
                let signed = SignedStatement::from_bytes(&value)?;
                Ok(Known { statement: signed.statement_unverified()?, signed })
            };
            let read = read().with_context(|| format!("the kept statement {} cannot be read", entry.key))?;
            known.insert(read.statement.function.clone(), (read, entry.version));
        }
        Ok(Self { disk, known: RwLock::new(known) })
    }

    /// Whether exactly these bytes hold under a key.
    pub(crate) fn holds(&self, key: &ControlKey, bytes: &[u8]) -> bool {
        let mut words = key.words().skip(1);
        let (Some(namespace), Some(name)) = (words.next(), words.next()) else { return false };
        let Ok(function) = format!("{namespace}/{name}").parse() else { return false };
        let known = self.known.read().unwrap_or_else(PoisonError::into_inner);
        known.get(&function).is_some_and(|(known, _)| known.signed.to_bytes() == bytes)
    }

    /// What holds for a function.
    pub(crate) fn get(&self, function: &FunctionId) -> Option<Known> {
        self.known.read().unwrap_or_else(PoisonError::into_inner).get(function).map(|(known, _)| known.clone())
    }

    /// All that holds, by function.
    pub(crate) fn all(&self) -> Vec<Known> {
        self.known.read().unwrap_or_else(PoisonError::into_inner).values().map(|(known, _)| known.clone()).collect()
    }

    /// Takes a verified statement if it is newer than what holds, on disk first. Says whether it was.
    ///
    /// # Errors
    /// The disk failed: then the old one holds.
    pub(crate) async fn take(&self, new: Known) -> Result<bool, ControlError> {
        let function = new.statement.function.clone();
        loop {
            let held = self.known.read().unwrap_or_else(PoisonError::into_inner).get(&function).cloned();
            if held.as_ref().is_some_and(|(held, _)| !is_newer(&new.rank(), &held.rank())) {
                return Ok(false);
            }
            let expected = held.map_or(Expected::Absent, |(_, version)| Expected::Version(version));
            let bytes = new.signed.to_bytes().into();
            match self.disk.compare_and_set(&Self::key(&function), bytes, expected).await {
                Ok(version) => {
                    self.known.write().unwrap_or_else(PoisonError::into_inner).insert(function, (new, version));
                    return Ok(true);
                }
                // Another task took one at the same time and is about to note it.
                Err(ControlError::Conflict { .. }) => tokio::task::yield_now().await,
                Err(error) => return Err(error),
            }
        }
    }
}
