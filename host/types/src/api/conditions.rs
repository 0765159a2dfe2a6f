//! What is wrong with a node that still serves.

use serde::{Deserialize, Serialize};

/// What `GET /readyz` answers to who accepts JSON.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Readiness {
    /// Whether callers are served.
    pub ready: bool,
    /// `ok`, or why they are not.
    pub status: String,
    /// What is wrong all the same, or what will be soon.
    pub conditions: Vec<Condition>,
}

/// Something that an operator should mend. It is gone when the node finds that it has passed.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Condition {
    /// What kind, for programs to branch on.
    pub kind: ConditionKind,
    /// What happened, what still works, and what to do.
    pub detail: String,
}

/// The kinds of condition.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum ConditionKind {
    /// The data folder's disk is full.
    DiskFull,
    /// The data folder cannot be written, for another reason.
    DataReadOnly,
    /// Few or no file handles are left.
    FileHandles,
    /// The kernel maps little or no more memory for the process.
    MemoryMaps,
    /// The node's part in its cluster.
    Cluster,
}

impl ConditionKind {
    /// The word that stands for it in JSON and in the log.
    pub fn name(self) -> &'static str {
        match self {
            Self::DiskFull => "disk-full",
            Self::DataReadOnly => "data-read-only",
            Self::FileHandles => "file-handles",
            Self::MemoryMaps => "memory-maps",
            Self::Cluster => "cluster",
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_kind_has_the_same_name_in_json_and_in_the_log() {
        for kind in [
            ConditionKind::DiskFull,
            ConditionKind::DataReadOnly,
            ConditionKind::FileHandles,
            ConditionKind::MemoryMaps,
            ConditionKind::Cluster,
        ] {
            assert_eq!(serde_json::to_value(kind).unwrap(), kind.name());
        }
    }
}
