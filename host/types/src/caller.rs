//! Callers that show tokens, as operators list them in a file.

use std::fmt;
use std::str::FromStr;
use std::time::SystemTime;

use serde::{Deserialize, Deserializer, Serialize, Serializer};

use crate::{CallerName, Digest, FunctionId, Namespace, ParseNameError};

/// The callers that a node knows: a TOML file of `[[caller]]` tables.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Callers {
    /// One for each token.
    #[serde(default, rename = "caller", skip_serializing_if = "Vec::is_empty")]
    pub callers: Vec<Caller>,
}

/// Who shows a token, and what it is good for.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Caller {
    /// The name that functions and logs see.
    pub name: CallerName,
    /// Digest of the token.
    pub token: Digest,
    /// What may be called.
    pub functions: Vec<Callable>,
    /// From when on the token is no good any more (RFC 3339).
    #[serde(default, skip_serializing_if = "Option::is_none", with = "rfc3339")]
    pub expires: Option<SystemTime>,
}

impl Caller {
    /// Whether the caller may call the function.
    pub fn may_call(&self, function: &FunctionId) -> bool {
        self.functions.iter().any(|callable| match callable {
            Callable::All => true,
            Callable::Namespace(namespace) => *namespace == function.namespace,
            Callable::Function(id) => id == function,
        })
    }
}

/// What a token is good for: `*`, `NAMESPACE/*` or `NAMESPACE/NAME`; a bare name is in the namespace `default`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub enum Callable {
    /// All functions.
    All,
    /// Those of a namespace.
    Namespace(Namespace),
    /// One.
    Function(FunctionId),
}

impl FromStr for Callable {
    type Err = ParseNameError;

    fn from_str(text: &str) -> Result<Self, ParseNameError> {
        match text.strip_suffix("/*") {
            _ if text == "*" => Ok(Self::All),
            Some(namespace) => Ok(Self::Namespace(namespace.parse()?)),
            None => Ok(Self::Function(text.parse()?)),
        }
    }
}

impl fmt::Display for Callable {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::All => f.write_str("*"),
            Self::Namespace(namespace) => write!(f, "{namespace}/*"),
            Self::Function(id) => write!(f, "{id}"),
        }
    }
}

impl TryFrom<String> for Callable {
    type Error = ParseNameError;

    fn try_from(text: String) -> Result<Self, ParseNameError> {
        text.parse()
    }
}

impl From<Callable> for String {
    fn from(callable: Callable) -> Self {
        callable.to_string()
    }
}

impl FromStr for Callers {
    type Err = String;

    /// Reads the file's text.
    ///
    /// # Errors
    /// The line and what is wrong there, or which token is there twice.
    fn from_str(text: &str) -> Result<Self, String> {
        let callers: Self = toml::from_str(text).map_err(|error| error.to_string())?;
        for (index, caller) in callers.callers.iter().enumerate() {
            if let Some(other) = callers.callers[..index].iter().find(|other| other.token == caller.token) {
                return Err(format!("{} and {} have the same token; make one for each", other.name, caller.name));
            }
        }
        Ok(callers)
    }
}

mod rfc3339 {
    use super::*;

    #[expect(clippy::ref_option, reason = "serde gives it so")]
    pub(super) fn serialize<S: Serializer>(time: &Option<SystemTime>, serializer: S) -> Result<S::Ok, S::Error> {
        match time {
            Some(time) => serializer.collect_str(&humantime::format_rfc3339_seconds(*time)),
            None => serializer.serialize_none(),
        }
    }

    pub(super) fn deserialize<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Option<SystemTime>, D::Error> {
        let text = String::deserialize(deserializer)?;
        let time = humantime::parse_rfc3339(&text);
        time.map(Some).map_err(|_| serde::de::Error::custom(format!("`{text}` is no time; write 2027-01-31T00:00:00Z")))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const TEXT: &str = "[[caller]]\nname = \"shop\"\ntoken = \"sha256:2c26b46b68ffc68ff99b453c1d30413413422d706483bfa0f98a5e886266e7ae\"\nfunctions = [\"hello\", \"shop/*\"]\nexpires = \"2027-01-31T00:00:00Z\"\n";

    #[test]
    fn a_list_says_who_may_call_what_and_comes_back_as_it_was_written() {
        let callers: Callers = TEXT.parse().unwrap();
        let caller = &callers.callers[0];
        assert_eq!(caller.token, Digest::of(b"foo"));
        for (function, may) in [("hello", true), ("shop/cart", true), ("other", false), ("other/hello", false)] {
            assert_eq!(caller.may_call(&function.parse().unwrap()), may, "{function}");
        }
        assert_eq!(toml::to_string(&callers).unwrap().parse::<Callers>(), Ok(callers));
        assert_eq!("".parse::<Callers>(), Ok(Callers::default()));
    }

    #[test]
    fn what_is_wrong_with_a_list_is_said_with_its_line() {
        let twice = format!("{TEXT}{}", TEXT.replace("shop\"\nt", "till\"\nt"));
        assert!(twice.parse::<Callers>().unwrap_err().contains("shop and till"));
        for (from, to, says) in [
            ("shop\"\n", "Shop\"\n", "caller name"),
            ("sha256:2c", "2c", "not a digest"),
            ("hello", "Hello", "function name"),
            ("2027-01-31T00:00:00Z", "tomorrow", "no time"),
            ("expires", "expire", "unknown field"),
        ] {
            let error = TEXT.replace(from, to).parse::<Callers>().unwrap_err();
            assert!(error.contains(says) && error.contains("line "), "{error}");
        }
    }
}
