//! `[capabilities]`, read and written.

use super::section::Section;
use crate::{FunctionName, HttpGrant, is_public};

const EXAMPLE: &str = "http = [\"https://api.example.com\"]";

/// What a function may do beyond answering. Nothing by default.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Capabilities {
    /// Key-value buckets that it may open.
    pub keyvalue: Vec<String>,
    /// Where it may send requests.
    pub http: HttpGrants,
}

/// Where a function may send HTTP requests. Nowhere by default.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct HttpGrants {
    /// Origins that it reaches at addresses of the public internet alone, whatever their names resolve to.
    pub public: Vec<HttpGrant>,
    /// Origins that it may reach at other addresses, too, where the node's operator has opened these.
    pub private: Vec<HttpGrant>,
    /// Whether it may send a `Host` of its own choice, such as its callers'.
    pub host: bool,
}

impl HttpGrants {
    /// Whether a request to this origin is granted: `Some(true)` where its address may be a private one.
    pub fn covers(&self, tls: bool, host: &str, port: u16) -> Option<bool> {
        let among = |grants: &[HttpGrant]| grants.iter().any(|grant| grant.covers(tls, host, port));
        if among(&self.private) { Some(true) } else { among(&self.public).then_some(false) }
    }

    /// Origins as a manifest writes them.
    pub fn names(grants: &[HttpGrant]) -> Vec<String> {
        grants.iter().map(ToString::to_string).collect()
    }
}

pub(super) fn read(top: &Section<'_>) -> Capabilities {
    let known = ["keyvalue", "http", "http_private", "http_host"];
    let Some(section) = top.table("capabilities", &known) else { return Capabilities::default() };
    let mut keyvalue = Vec::new();
    for (bucket, at) in section.strings("keyvalue", "keyvalue = [\"default\"]") {
        match bucket.parse::<FunctionName>() {
            Ok(_) => keyvalue.push(bucket.to_owned()),
            Err(_) => section.report(
                at,
                format!("`{bucket}` is not a bucket name; use 1 to 63 lower-case letters, digits and `-`, starting with a letter"),
            ),
        }
    }
    let public = grants(&section, "http", |grant| match grant.address() {
        Some(address) if !is_public(address) => {
            Err(format!("`{grant}` is not on the public internet; write it under `http_private`"))
        }
        _ => Ok(()),
    });
    let private = grants(&section, "http_private", |grant| {
        let refusal = || format!("`{grant}` opens more than one host of a private network; name each");
        grant.is_exact().then_some(()).ok_or_else(refusal)
    });
    let host = section.boolean("http_host").unwrap_or(false);
    Capabilities { keyvalue, http: HttpGrants { public, private, host } }
}

fn grants(section: &Section<'_>, key: &str, check: impl Fn(&HttpGrant) -> Result<(), String>) -> Vec<HttpGrant> {
    let mut grants = Vec::new();
    for (text, at) in section.strings(key, EXAMPLE) {
        match text.parse::<HttpGrant>().and_then(|grant| check(&grant).map(|()| grant)) {
            Ok(grant) => grants.push(grant),
            Err(message) => section.report(at, message),
        }
    }
    grants
}

/// The lines of a bundle's manifest that say it again.
pub(super) fn lines(capabilities: &Capabilities) -> Vec<String> {
    let list = |items: Vec<String>| toml::Value::from(items).to_string();
    let http = &capabilities.http;
    let mut lines: Vec<String> = [
        ("keyvalue", capabilities.keyvalue.clone()),
        ("http", HttpGrants::names(&http.public)),
        ("http_private", HttpGrants::names(&http.private)),
    ]
    .into_iter()
    .filter(|(_, items)| !items.is_empty())
    .map(|(key, items)| format!("{key} = {}", list(items)))
    .collect();
    if http.host {
        lines.push("http_host = true".to_owned());
    }
    if !lines.is_empty() {
        lines.insert(0, "\n[capabilities]".to_owned());
    }
    lines
}

#[cfg(test)]
mod tests {
    use super::super::{Manifest, Origin};
    use super::*;

    fn parse(lines: &str) -> Result<HttpGrants, Vec<String>> {
        let text = format!(
            "spillway = 1\nname = \"a\"\nversion = \"0.1.0\"\n[[routes]]\npath = \"/a\"\n[capabilities]\n{lines}"
        );
        match Manifest::parse(&text, Origin::Source) {
            Ok(manifest) => Ok(manifest.capabilities.http),
            Err(error) => Err(error.diagnostics.iter().map(ToString::to_string).collect()),
        }
    }

    #[test]
    fn an_origin_is_granted_publicly_privately_or_not() {
        let grants = parse("http = [\"https://*.a.test\"]\nhttp_private = [\"http://10.0.0.7:9000\"]").unwrap();
        assert_eq!(grants.covers(true, "x.a.test", 443), Some(false));
        assert_eq!(grants.covers(false, "10.0.0.7", 9000), Some(true));
        assert_eq!(grants.covers(false, "10.0.0.7", 9001), None);
        assert_eq!(parse("").unwrap(), HttpGrants::default());
    }

    #[test]
    fn grants_that_say_too_much_are_refused_with_their_lines() {
        let found = parse(
            "http = [\"https://a.test\",\n\"http://169.254.169.254\", \"a.test\"]\nhttp_private = [\"https://*.a.test\"]\nhttp_host = 1",
        )
        .unwrap_err();
        let expected = [
            (8, "`http://169.254.169.254` is not on the public internet; write it under `http_private`"),
            (8, "`a.test` is not an origin"),
            (9, "`https://*.a.test` opens more than one host of a private network; name each"),
            (10, "`http_host` is of type integer"),
        ];
        assert_eq!(found.len(), expected.len(), "{found:#?}");
        for (line, part) in expected {
            let prefix = format!("spillway.toml:{line}:");
            assert!(found.iter().any(|e| e.starts_with(&prefix) && e.contains(part)), "{line} {part}: {found:#?}");
        }
    }
}
