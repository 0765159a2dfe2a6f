//! Names that people give: functions, namespaces, models, nodes and where they stand.

use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Serialize};

/// A string that is no name.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("`{text}` is not a {what}; use 1 to 63 lower-case letters, digits and `-`, starting with a letter")]
pub struct ParseNameError {
    what: &'static str,
    text: String,
}

/// The rule of a DNS label (RFC 1035, section 2.3.1), so that a name can become a host name or a file name.
fn is_label(text: &str) -> bool {
    text.len() <= 63
        && text.starts_with(|c: char| c.is_ascii_lowercase())
        && text.bytes().all(|b| b.is_ascii_lowercase() || b.is_ascii_digit() || b == b'-')
        && !text.ends_with('-')
}

macro_rules! name {
    ($(#[$doc:meta])* $name:ident, $what:literal) => {
        $(#[$doc])*
        #[derive(Clone, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
        #[serde(try_from = "String", into = "String")]
        pub struct $name(String);

        impl $name {
            /// The name as text.
            pub fn as_str(&self) -> &str {
                &self.0
            }
        }

        impl FromStr for $name {
            type Err = ParseNameError;

            fn from_str(text: &str) -> Result<Self, Self::Err> {
                if is_label(text) {
                    Ok(Self(text.to_owned()))
                } else {
                    Err(ParseNameError { what: $what, text: text.chars().take(100).collect() })
                }
            }
        }

        impl TryFrom<String> for $name {
            type Error = ParseNameError;

            fn try_from(text: String) -> Result<Self, Self::Error> {
                text.parse()
            }
        }

        impl From<$name> for String {
            fn from(name: $name) -> Self {
                name.0
            }
        }

        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.pad(&self.0)
            }
        }

        impl fmt::Debug for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                fmt::Debug::fmt(&self.0, f)
            }
        }
    };
}

name!(
    /// Name of a function within its namespace.
    FunctionName,
    "function name"
);
name!(
    /// A namespace: functions of one owner, with names and key-value buckets of their own.
    Namespace,
    "namespace"
);
name!(
    /// The name under which a manifest grants a model and a guest opens it.
    ModelName,
    "model name"
);
name!(
    /// Name of a node, unique in its cluster.
    NodeName,
    "node name"
);
name!(
    /// A place where nodes stand close together: one building, one network.
    Site,
    "site"
);
name!(
    /// Sites under one law and one latency: what `residency = "region"` keeps data in.
    Region,
    "region"
);
name!(
    /// A cluster: nodes that share an authority for their certificates and one desired state.
    ClusterName,
    "cluster name"
);

name!(
    /// Name of a caller that shows a token.
    CallerName,
    "caller name"
);

impl Default for Namespace {
    /// `default`.
    fn default() -> Self {
        Self("default".to_owned())
    }
}

/// A function's full name, written `namespace/name`; a bare `name` means the namespace `default`.
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
pub struct FunctionId {
    /// Whose function it is.
    pub namespace: Namespace,
    /// Its name there.
    pub name: FunctionName,
}

impl FunctionId {
    /// Puts both parts together.
    pub fn new(namespace: Namespace, name: FunctionName) -> Self {
        Self { namespace, name }
    }
}

impl fmt::Display for FunctionId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}/{}", self.namespace, self.name)
    }
}

impl FromStr for FunctionId {
    type Err = ParseNameError;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        match text.split_once('/') {
            Some((namespace, name)) => Ok(Self::new(namespace.parse()?, name.parse()?)),
            None => Ok(Self::new(Namespace::default(), text.parse()?)),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_dns_labels() {
        for good in ["a", "hello-2", &"x".repeat(63)] {
            assert!(good.parse::<FunctionName>().is_ok(), "{good}");
        }
        for bad in ["", "-a", "a-", "2a", "Hello", "a_b", "../x", "é", &"x".repeat(64)] {
            assert!(bad.parse::<FunctionName>().is_err(), "{bad}");
        }
    }

    #[test]
    fn function_id_reads_what_it_writes_and_defaults_the_namespace() {
        let id: FunctionId = "shop/cart".parse().unwrap();
        assert_eq!(id.to_string().parse::<FunctionId>().unwrap(), id);
        assert_eq!("cart".parse::<FunctionId>().unwrap().to_string(), "default/cart");
        assert!("a/b/c".parse::<FunctionId>().is_err());
    }
}
