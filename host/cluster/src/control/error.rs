//! What can go wrong with a control store.

use bytes::Bytes;

use super::{ControlKey, Version};
use crate::fault::Fault;

/// Why a control store did not do as asked.
#[derive(Debug, thiserror::Error)]
pub enum ControlError {
    /// Somebody else was faster. Nothing was changed.
    #[error("{key} was changed by somebody else{}; read it and decide again", Found(found))]
    Conflict {
        /// Which key.
        key: ControlKey,
        /// What is there; `None` when nothing is.
        found: Option<Version>,
    },
    /// The store gave no answer. A write that was on its way may have happened.
    #[error("control store {store} is unreachable: {reason}; check that it runs and that --join names it")]
    Unreachable {
        /// Where it should be.
        store: String,
        /// What was noticed.
        reason: String,
    },
    /// The store has no room. Nothing was changed.
    #[error("control store {store} is full: {reason}; remove what is not needed, or give it more room")]
    Full {
        /// Which store.
        store: String,
        /// What it said.
        reason: String,
    },
    /// A value is larger than any store takes. Nothing was changed.
    #[error("value for {key} is {bytes} bytes long; {most} is the most, put it into a blob and its digest here")]
    TooLarge {
        /// Its key.
        key: ControlKey,
        /// Its length.
        bytes: usize,
        /// The longest that is taken.
        most: usize,
    },
    /// The store failed.
    #[error(transparent)]
    Fault(#[from] Fault),
}

/// Why a lease was not given or not renewed.
#[derive(Debug, thiserror::Error)]
pub enum LeaseError {
    /// Somebody has it.
    #[error("lease {key} is held by {}; wait until it is released or expires", String::from_utf8_lossy(by))]
    Held {
        /// Which lease.
        key: ControlKey,
        /// What its holder calls itself.
        by: Bytes,
    },
    /// It expired before it was renewed, and may be somebody else's by now.
    #[error("lease {0} was lost; stop what it guards, then acquire it again")]
    Lost(ControlKey),
    /// The store did not do as asked.
    #[error(transparent)]
    Store(#[from] ControlError),
}

/// The part of a message on what was found.
struct Found<'a>(&'a Option<Version>);

impl std::fmt::Display for Found<'_> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self.0 {
            Some(version) => write!(f, " (now version {version})"),
            None => f.write_str(" (now absent)"),
        }
    }
}

impl From<rusqlite::Error> for ControlError {
    fn from(error: rusqlite::Error) -> Self {
        Self::Fault(error.into())
    }
}

impl From<rusqlite::Error> for LeaseError {
    fn from(error: rusqlite::Error) -> Self {
        Self::Store(error.into())
    }
}
