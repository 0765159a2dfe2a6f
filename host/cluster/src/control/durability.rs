//! Whether what a store acknowledged is still there after a power cut.

use std::fmt;

/// What is known of a store's durability. Whatever is not known to be safe is to be reported.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Durability {
    /// An acknowledged write survives a power cut, and the loss of a disk where others have it, too.
    Safe {
        /// By what.
        how: String,
    },
    /// An acknowledged write can be lost.
    Unsafe {
        /// When, and what to set.
        why: String,
    },
    /// It cannot be told.
    Unknown {
        /// What is missing.
        why: String,
    },
}

impl Durability {
    /// Whether it is known to be safe.
    pub fn is_safe(&self) -> bool {
        matches!(self, Self::Safe { .. })
    }
}

impl fmt::Display for Durability {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Safe { how } => write!(f, "safe: {how}"),
            Self::Unsafe { why } => write!(f, "unsafe: {why}"),
            Self::Unknown { why } => write!(f, "unknown: {why}"),
        }
    }
}
