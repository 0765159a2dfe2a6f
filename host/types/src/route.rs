//! Routes: which host, path and methods lead to a function.

use std::fmt;

use serde::{Deserialize, Serialize};

/// Host and path of a route. Two functions never share one.
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
pub struct RoutePattern {
    /// The host it answers for, lower case, without port; `None` answers for any host without a route of its own.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub host: Option<String>,
    /// An exact path such as `/ocr`, or everything below one such as `/static/*`.
    pub path: String,
}

/// A route of a manifest: its pattern and the methods it takes.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Route {
    /// Host and path.
    #[serde(flatten)]
    pub pattern: RoutePattern,
    /// Methods in upper case; empty means all.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub methods: Vec<String>,
    /// Who may call; `None` leaves it to the node.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub auth: Option<Auth>,
}

/// Who may call a route.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Auth {
    /// Anybody.
    None,
    /// Who shows a bearer token (RFC 6750) that the node knows and that is for the function.
    Token,
}

impl Auth {
    /// As manifests and options have it.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::None => "none",
            Self::Token => "token",
        }
    }
}

impl std::str::FromStr for Auth {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        match text {
            "none" => Ok(Self::None),
            "token" => Ok(Self::Token),
            _ => Err(format!("`{text}` is no way to know callers; write \"token\" or \"none\"")),
        }
    }
}

/// The longest path that a route may have, in bytes.
const PATH_BYTES_MAX: usize = 1024;

/// Prefix that no function may take.
const RESERVED: &str = "/.spillway";

impl RoutePattern {
    /// A route for `path` on any host.
    ///
    /// # Errors
    /// What is wrong with the path, and what to write.
    pub fn any_host(path: &str) -> Result<Self, String> {
        Self::check_path(path)?;
        Ok(Self { host: None, path: path.to_owned() })
    }

    /// Checks a path: absolute, no empty, `.` or `..` segments, `*` only as the last segment, visible ASCII.
    ///
    /// # Errors
    /// What is wrong with it, and what to write.
    pub fn check_path(path: &str) -> Result<(), String> {
        if !path.starts_with('/') {
            return Err(format!("path `{path}` must start with `/`"));
        }
        if path.len() > PATH_BYTES_MAX {
            return Err(format!("path is {} bytes long; {PATH_BYTES_MAX} is the most", path.len()));
        }
        if path == RESERVED || path.starts_with("/.spillway/") {
            return Err(format!("path `{path}` is reserved; choose one that does not start with `{RESERVED}`"));
        }
        if let Some(c) = path.chars().find(|c| !c.is_ascii_graphic() || "{}?#%\\".contains(*c)) {
            return Err(format!("path `{path}` contains {c:?}; use plain ASCII without `{{}}?#%\\`"));
        }
        let segments: Vec<&str> = path[1..].split('/').collect();
        for (index, segment) in segments.iter().enumerate() {
            let last = index + 1 == segments.len();
            match *segment {
                "" if !last => return Err(format!("path `{path}` has an empty segment; write single slashes")),
                "." | ".." => {
                    return Err(format!("path `{path}` has a `{segment}` segment; write the path without it"));
                }
                "*" if last => {}
                other if other.contains('*') => {
                    return Err(format!("path `{path}`: `*` may only be the whole last segment, as in `/files/*`"));
                }
                _ => {}
            }
        }
        Ok(())
    }

    /// Checks a host name: lower case, no port, no wildcard.
    ///
    /// # Errors
    /// What is wrong with it, and what to write.
    pub fn check_host(host: &str) -> Result<(), String> {
        let label = |l: &str| {
            !l.is_empty()
                && l.len() <= 63
                && l.bytes().all(|b| b.is_ascii_lowercase() || b.is_ascii_digit() || b == b'-')
                && !l.starts_with('-')
                && !l.ends_with('-')
        };
        if host.len() <= 253 && host.split('.').all(label) {
            Ok(())
        } else {
            Err(format!("host `{host}` is not a host name; write lower-case labels without scheme, port or `*`"))
        }
    }
}

impl fmt::Display for RoutePattern {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}{}", self.host.as_deref().unwrap_or(""), self.path)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn paths_are_absolute_plain_and_star_ends_them() {
        for good in ["/", "/a", "/a/", "/a/b-c.d/*", "/*", "/v1/embeddings"] {
            assert_eq!(RoutePattern::check_path(good), Ok(()), "{good}");
        }
        for bad in ["", "a", "//", "/a//b", "/../a", "/a*", "/*/b", "/{x}", "/a?b", "/.spillway/x", "/é"] {
            assert!(RoutePattern::check_path(bad).is_err(), "{bad}");
        }
    }

    #[test]
    fn hosts_have_no_port_scheme_or_wildcard() {
        assert!(RoutePattern::check_host("api.example.com").is_ok());
        for bad in ["", "API.example.com", "example.com:80", "http://x", "*.example.com", "a..b"] {
            assert!(RoutePattern::check_host(bad).is_err(), "{bad}");
        }
    }
}
