//! From text to [`Manifest`], collecting all errors.

use std::collections::BTreeMap;

use toml::de::DeTable;

use super::section::{Reporter, Section};
use super::{Diagnostic, Effects, FORMAT_VERSION, Manifest, ManifestError, ModelGrant, Origin, SandboxPolicy};
use super::{capabilities, placement, specialization};
use crate::limits::parse_bytes;
use crate::{Digest, FunctionName, Limits, ModelName, Route, RoutePattern};

const TOP_KEYS: [&str; 12] = [
    "spillway",
    "name",
    "version",
    "description",
    "effects",
    "routes",
    "limits",
    "sandbox",
    "placement",
    "models",
    "capabilities",
    "config",
];
const METHODS: [&str; 7] = ["GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS"];

pub(super) fn parse(text: &str, origin: Origin) -> Result<Manifest, ManifestError> {
    let reporter = Reporter::new(text);
    let (root, syntax_errors) = DeTable::parse_recoverable(text);
    for error in &syntax_errors {
        reporter.report(error.span().map_or(0, |span| span.start), error.message().replace('\n', "; "));
    }
    if !syntax_errors.is_empty() {
        // A recovered tree guesses; keys judged on a guess would mislead.
        return Err(ManifestError { diagnostics: reporter.finish() });
    }
    let top = Section::open("", root.get_ref(), 0..0, &TOP_KEYS, &reporter);
    let manifest = read(&top, origin);
    let diagnostics = reporter.finish();
    match manifest {
        Some(manifest) if diagnostics.is_empty() => Ok(manifest),
        _ if diagnostics.is_empty() => Err(ManifestError {
            diagnostics: vec![Diagnostic { line: 1, message: "the manifest is incomplete".to_owned() }],
        }),
        _ => Err(ManifestError { diagnostics }),
    }
}

/// Reads everything before it gives up on anything, so that all errors come at once.
fn read(top: &Section<'_>, origin: Origin) -> Option<Manifest> {
    match top.integer("spillway", 1..=i64::MAX) {
        Some(version) if version != FORMAT_VERSION => {
            let message = format!(
                "`spillway = {version}` is a format that this build does not read; write `spillway = {FORMAT_VERSION}`"
            );
            top.report_at("spillway", message);
        }
        _ => {}
    }
    if !top.has("spillway") {
        top.report_missing("spillway", "`spillway = 1`, the version of the manifest format");
    }
    let name = top.parsed("name", "name = \"hello\"", str::parse::<FunctionName>);
    if name.is_none() && !top.has("name") {
        top.report_missing("name", "`name = \"hello\"`");
    }
    let version = top.parsed("version", "version = \"0.1.0\"", |text| {
        semver::Version::parse(text)
            .map_err(|error| format!("`{text}` is not a version: {error}; write one like `0.1.0`"))
    });
    if version.is_none() && !top.has("version") {
        top.report_missing("version", "`version = \"0.1.0\"`");
    }
    let description = top.string("description", "description = \"Greets\"").map_or("", |(text, _)| text);
    let effects = top.parsed("effects", "effects = \"none\"", parse_effects).unwrap_or(Effects::Unsafe);
    let routes = read_routes(top);
    let limits = read_limits(top);
    let sandbox = read_sandbox(top);
    let placement = placement::read(top);
    let models = read_models(top, origin);
    let capabilities = capabilities::read(top);
    let config = top.string_map("config").into_iter().collect();
    Some(Manifest {
        name: name?,
        version: version?,
        description: description.to_owned(),
        effects,
        routes,
        limits,
        sandbox,
        placement,
        models,
        capabilities,
        config,
    })
}

fn parse_effects(text: &str) -> Result<Effects, String> {
    match text {
        "none" => Ok(Effects::None),
        "idempotent" => Ok(Effects::Idempotent),
        "unsafe" => Ok(Effects::Unsafe),
        _ => Err(format!("`effects = \"{text}\"` is unknown; write \"none\", \"idempotent\" or \"unsafe\"")),
    }
}

fn read_routes(top: &Section<'_>) -> Vec<Route> {
    let sections = top.tables("routes", &["path", "host", "methods", "auth"]);
    if sections.is_empty() && !top.has("routes") {
        top.report_missing("[[routes]]", "`[[routes]]` with `path = \"/hello\"`");
    }
    let mut routes: Vec<Route> = Vec::new();
    for section in sections {
        let path = section
            .parsed("path", "path = \"/hello\"", |path| RoutePattern::check_path(path).map(|()| path.to_owned()));
        if !section.has("path") {
            section.report_missing("path", "`path = \"/hello\"`");
        }
        let host = section.parsed("host", "host = \"api.example.com\"", |host| {
            RoutePattern::check_host(host).map(|()| host.to_owned())
        });
        let mut methods = Vec::new();
        for (method, at) in section.strings("methods", "methods = [\"GET\", \"POST\"]") {
            if METHODS.contains(&method) {
                methods.push(method.to_owned());
            } else {
                section.report(at, format!("method `{method}` is unknown; write one of {}", METHODS.join(", ")));
            }
        }
        let auth = section.parsed("auth", "auth = \"token\"", str::parse);
        let Some(path) = path else { continue };
        let pattern = RoutePattern { host, path };
        if routes.iter().any(|route| route.pattern == pattern) {
            section.report(
                section.start(),
                format!("route `{pattern}` is there twice; keep one and list all its methods"),
            );
            continue;
        }
        routes.push(Route { pattern, methods, auth });
    }
    routes
}

fn read_limits(top: &Section<'_>) -> Limits {
    let default = Limits::default();
    let known = ["memory", "tensors", "deadline", "body", "concurrency", "queue", "connections"];
    let Some(section) = top.table("limits", &known) else { return default };
    let bytes = |key: &str| {
        section.parsed(key, &format!("{key} = \"64MiB\""), |text| match parse_bytes(text)? {
            0 => Err(format!("`{key}` is 0; write a size such as `64MiB`")),
            bytes => Ok(bytes),
        })
    };
    let count = |key: &str, min| section.integer(key, min..=1_000_000).and_then(|n| u32::try_from(n).ok());
    Limits {
        memory_bytes: bytes("memory").unwrap_or(default.memory_bytes),
        tensor_bytes: bytes("tensors").unwrap_or(default.tensor_bytes),
        deadline: section.parsed("deadline", "deadline = \"10s\"", placement::deadline).unwrap_or(default.deadline),
        body_bytes: bytes("body").unwrap_or(default.body_bytes),
        concurrency: count("concurrency", 1).unwrap_or(default.concurrency),
        queue: count("queue", 0).unwrap_or(default.queue),
        connections: section
            .integer("connections", 1..=1024)
            .and_then(|n| u32::try_from(n).ok())
            .unwrap_or(default.connections),
    }
}

fn read_sandbox(top: &Section<'_>) -> SandboxPolicy {
    let default = SandboxPolicy::default();
    let Some(section) = top.table("sandbox", &["reuse", "concurrency"]) else { return default };
    SandboxPolicy {
        reuse: section.boolean("reuse").unwrap_or(default.reuse),
        concurrency: section
            .integer("concurrency", 1..=1024)
            .and_then(|n| u32::try_from(n).ok())
            .unwrap_or(default.concurrency),
    }
}

fn read_models(top: &Section<'_>, origin: Origin) -> BTreeMap<ModelName, ModelGrant> {
    let known: &[&str] = match origin {
        Origin::Source => &["digest", "path", "shapes", "constants"],
        Origin::Bundle => &["digest", "shapes", "constants"],
    };
    let mut models = BTreeMap::new();
    for (name, section) in top.named_tables::<ModelName>("models", known) {
        let digest = section.parsed("digest", "digest = \"sha256:…\"", str::parse::<Digest>);
        let path = section.string("path", "path = \"model.onnx\"").map(|(path, _)| path.to_owned());
        if !section.has("digest") && !section.has("path") {
            match origin {
                Origin::Source => section
                    .report_missing("path", "`path = \"model.onnx\"`, or `digest` for a model already on the node"),
                Origin::Bundle => section.report_missing("digest", "it by building the bundle with `spillway build`"),
            }
        }
        models.insert(name, ModelGrant { digest, path, specialization: specialization::read(&section) });
    }
    models
}

#[cfg(test)]
mod tests {
    use super::*;

    const GOOD: &str = r#"
spillway = 1
name = "sniff"
version = "0.1.0"
description = "Tells file types"
effects = "none"

[[routes]]
path = "/sniff"
methods = ["POST"]

[limits]
memory = "64MiB"
deadline = "10s"
connections = 8

[placement]
residency = "site"
roles = ["edge"]
sites = ["paris", "lyon"]
prefer = "fast"
deadline = "2s"
priority = 7
max_cost = "0.01"

[models.magika]
path = "model.onnx"
shapes = { bytes = [1, 2048] }
constants = { threshold = 0.5 }

[capabilities]
keyvalue = ["default"]
http = ["https://api.example.com", "https://*.example.org:8443"]
http_private = ["http://10.0.0.7:9000", "https://registry.lan"]
http_host = true

[config]
"strange key" = "va\"lue"
"#;

    fn errors(text: &str) -> Vec<String> {
        Manifest::parse(text, Origin::Source).unwrap_err().diagnostics.iter().map(ToString::to_string).collect()
    }

    #[test]
    fn a_bundle_manifest_reads_back_as_it_was_written() {
        let mut manifest = Manifest::parse(GOOD, Origin::Source).unwrap();
        for grant in manifest.models.values_mut() {
            (grant.digest, grant.path) = (Some(Digest::of(b"model")), None);
        }
        let text = manifest.to_bundle_toml();
        assert_eq!(Manifest::parse(&text, Origin::Bundle).unwrap_or_else(|e| panic!("{e}\n{text}")), manifest);
    }

    #[test]
    fn all_errors_come_at_once_with_their_lines_and_the_nearest_known_key() {
        let text = "spillway = 1\nname = \"Bad Name\"\nversion = \"1\"\nefects = \"none\"\n\n[[routes]]\npath = \"sniff\"\nmethods = [\"FETCH\"]\n\n[limits]\nmemry = \"1MiB\"\ndeadline = 10\n\n[placement]\nresidency = \"moon\"\nroles = [\"edge\", \"fog\"]\n";
        let found = errors(text);
        for (line, part) in [
            (2, "`Bad Name` is not a function name"),
            (3, "is not a version"),
            (4, "did you mean `effects`?"),
            (7, "must start with `/`"),
            (8, "method `FETCH` is unknown"),
            (11, "unknown key `memry` in [limits]; did you mean `memory`?"),
            (12, "`deadline` is of type integer"),
            (15, "`moon` is not a residency; write one of node, site, region, any"),
            (16, "`fog` is not a role"),
        ] {
            let prefix = format!("spillway.toml:{line}:");
            assert!(found.iter().any(|e| e.starts_with(&prefix) && e.contains(part)), "{line} {part}: {found:#?}");
        }
        assert_eq!(found.len(), 9, "{found:#?}");
    }

    #[test]
    fn what_is_missing_is_named_with_an_example() {
        let found = errors("");
        for key in ["spillway", "name", "version", "[[routes]]"] {
            assert!(found.iter().any(|e| e.contains(&format!("lacks `{key}`"))), "{key}: {found:#?}");
        }
    }

    #[test]
    fn another_format_version_is_refused_by_number() {
        let found = errors(&GOOD.replace("spillway = 1", "spillway = 2"));
        assert_eq!(
            found,
            ["spillway.toml:2: `spillway = 2` is a format that this build does not read; write `spillway = 1`"]
        );
    }

    #[test]
    fn syntax_errors_have_lines() {
        let found = errors("spillway = 1\nname = \n");
        assert!(found[0].starts_with("spillway.toml:2:"), "{found:?}");
    }

    #[test]
    fn a_bundle_must_give_models_by_digest_and_may_not_point_at_files() {
        let error = Manifest::parse(GOOD, Origin::Bundle).unwrap_err().to_string();
        assert!(error.contains("unknown key `path`") && error.contains("digest"), "{error}");
    }

    #[test]
    fn the_same_route_twice_is_an_error() {
        let text = GOOD.replace("[limits]", "[[routes]]\npath = \"/sniff\"\n\n[limits]");
        assert!(errors(&text)[0].contains("there twice"));
    }
}
