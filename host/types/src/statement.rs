//! What a deployer wants a cluster to run, in the form that is signed.

use serde::{Deserialize, Serialize};

use crate::{ClusterName, Digest, FunctionId, NodeName};

/// The format of statements that this build reads and writes.
pub const STATEMENT_FORMAT: u32 = 1;

/// What one function shall be, from the moment that nodes learn of it. A later statement, by `sequence`, replaces it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Statement {
    /// [`STATEMENT_FORMAT`] of whoever wrote it. A node refuses one that it does not know.
    pub format: u32,
    /// For which cluster it was made: a statement means nothing elsewhere.
    pub cluster: ClusterName,
    /// Which function.
    pub function: FunctionId,
    /// Counts from 1 for each function, over removals, too. A node never goes back to a lower one.
    pub sequence: u64,
    /// What it shall be.
    pub desired: Desired,
}

/// What a function shall be.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Desired {
    /// Serving this.
    Serve(Release),
    /// Gone. The statement stays, so that an older one cannot bring the function back.
    Removed,
}

/// A revision of a function as the whole cluster knows it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Release {
    /// Its number: the same on all nodes, never given twice.
    pub revision: u64,
    /// The component.
    pub bundle: Digest,
    /// The manifest that applies, as a bundle has it.
    pub manifest: String,
    /// The node that keeps the function's key-value data, where it is granted any. Calls elsewhere go to it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub owner: Option<NodeName>,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_statement_with_a_field_that_nobody_knows_is_refused() {
        let text = r#"{"format":1,"cluster":"acme","function":{"namespace":"default","name":"a"},"sequence":1,"desired":"removed"}"#;
        let statement: Statement = serde_json::from_str(text).unwrap();
        assert_eq!(serde_json::to_string(&statement).unwrap(), text);
        let more = text.replace("\"sequence\"", "\"hidden\":true,\"sequence\"");
        assert!(serde_json::from_str::<Statement>(&more).unwrap_err().to_string().contains("hidden"));
    }
}
