//! What a control store answers with.

use std::fmt;

use bytes::Bytes;

use super::ControlKey;

/// A position in the history of a store, later ones being greater. Every change has one of its own, whatever its key.
///
/// [`Version::START`] lies before all changes. Versions grow on when a store has lost its data and starts anew.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Version(pub(crate) u64);

impl Version {
    /// Before all changes.
    pub const START: Self = Self(0);

    /// The number.
    pub fn get(self) -> u64 {
        self.0
    }
}

impl fmt::Display for Version {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(&self.0, f)
    }
}

/// The last change of one key.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Entry {
    /// Which key.
    pub key: ControlKey,
    /// What is there since; `None` when the change took it away: it was deleted, or its lease expired.
    pub value: Option<Bytes>,
    /// When, in the store's history.
    pub version: Version,
}

/// What was below a prefix at one moment.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Listing {
    /// The entries that have a value, in the order of their keys.
    pub entries: Vec<Entry>,
    /// The last change that is included; a watch after it continues without a gap.
    pub version: Version,
}

/// What a write expects to find.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Expected {
    /// No value: never written, deleted, or expired.
    Absent,
    /// The value that this version brought.
    Version(Version),
}
