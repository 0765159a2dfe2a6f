//! What is remembered for whoever has to answer for it.

use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Serialize};

/// What was refused.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum AuditKind {
    /// Data would have travelled farther than it may: a call was not sent, or was turned away where it came.
    Residency,
    /// A node said of a call that another had taken it from its caller.
    Origin,
    /// A node with a certificate of the cluster, which is none of its nodes by what is known, sent a call.
    Stranger,
}

impl AuditKind {
    const ALL: [Self; 3] = [Self::Residency, Self::Origin, Self::Stranger];

    /// The word in listings and JSON.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Residency => "residency",
            Self::Origin => "origin",
            Self::Stranger => "stranger",
        }
    }
}

impl fmt::Display for AuditKind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.as_str())
    }
}

/// A word that is no kind.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("`{0}` is not a kind of audit record")]
pub struct ParseAuditKindError(String);

impl FromStr for AuditKind {
    type Err = ParseAuditKindError;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let known = Self::ALL.into_iter().find(|kind| kind.as_str() == text);
        known.ok_or_else(|| ParseAuditKindError(text.to_owned()))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn kinds_read_what_they_write_and_json_has_the_same_words() {
        for kind in AuditKind::ALL {
            assert_eq!(kind.to_string().parse(), Ok(kind));
            assert_eq!(serde_json::to_value(kind).unwrap(), kind.as_str());
        }
        assert!("other".parse::<AuditKind>().is_err());
    }
}
