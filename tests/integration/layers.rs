//! Which crate may depend on which, as `docs/architecture.md` draws it.

use std::fmt;

use cargo_metadata::{DependencyKind, MetadataCommand};
use spillway_tests::workspace;

/// Our crates, lowest first, and what of ours each may depend on.
const ALLOWED: &[(&str, &[&str])] = &[
    ("spillway-types", &[]),
    ("spillway-trust", &["spillway-types"]),
    ("spillway-inference", &["spillway-types"]),
    ("spillway-placement", &["spillway-types"]),
    ("spillway-runtime", &["spillway-types", "spillway-inference"]),
    // The tests' own harness starts its server of NATS.
    ("spillway-cluster", &["spillway-tests", "spillway-types", "spillway-trust"]),
    (
        "spillway-node",
        &[
            "spillway-types",
            "spillway-trust",
            "spillway-inference",
            "spillway-placement",
            "spillway-runtime",
            "spillway-cluster",
        ],
    ),
    // It reaches a node over HTTP only, except `up`, which starts one. It signs what it deploys.
    ("spillway-cli", &["spillway-types", "spillway-trust", "spillway-node"]),
    ("xtask", &["spillway-types"]),
    ("spillway-macro", &[]),
    // Our own crates stand behind its feature `native`, and behind a dependency on itself for tests.
    ("spillway-sdk", &["spillway-macro", "spillway-inference", "spillway-types", "spillway-sdk"]),
    // From outside: a test that links a host crate tests what no user has.
    ("spillway-tests", &["spillway-types"]),
    // From inside: what it feeds with bytes is these two crates' public face.
    ("spillway-fuzz", &["spillway-types", "spillway-inference"]),
    // Beside Spillway from outside, the same work with its parts.
    ("spillway-bench", &["spillway-types", "spillway-inference", "spillway-sdk", "spillway-tests"]),
];

/// What all functions and guests may depend on.
const ALLOWED_IN_FUNCTIONS: &[&str] = &["spillway-sdk"];

/// Who alone knows an engine, a database, a broker.
const KNOWN_TO_ONE: &[(&str, &str)] = &[
    ("wasmtime", "spillway-runtime"),
    ("tract", "spillway-inference"),
    ("ort", "spillway-inference"),
    ("rusqlite", "spillway-cluster"),
    ("async-nats", "spillway-cluster"),
];

/// What the policy must do without: it reads no clock and no socket, so that a simulator runs it, too.
const UNKNOWN_TO_PLACEMENT: &[&str] = &["tokio", "reqwest", "hyper", "axum", "rand"];

/// One crate depends on another.
#[derive(Clone, Debug, PartialEq, Eq)]
struct Edge {
    from: String,
    to: String,
    /// Whether a feature turns it on.
    optional: bool,
    /// Whether `from` is a function, of `functions/` or `tests/guests/`.
    function: bool,
    /// For tests only.
    dev: bool,
}

impl fmt::Display for Edge {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} depends on {}", self.from, self.to)
    }
}

/// What is wrong with the edges, a line each.
fn violations(edges: &[Edge]) -> Vec<String> {
    edges.iter().filter_map(|edge| Some(format!("{edge}: {}", violation(edge)?))).collect()
}

fn violation(edge: &Edge) -> Option<String> {
    let of_family =
        |family: &str| edge.to == family || edge.to.strip_prefix(family).is_some_and(|rest| rest.starts_with('-'));
    // Tests write into the broker behind the nodes' backs, as who has broken into it would.
    let tests_as_intruder = edge.from == "spillway-tests" && edge.to == "async-nats" && edge.dev;
    let owner = KNOWN_TO_ONE.iter().find(|(family, owner)| of_family(family) && edge.from != *owner);
    if let Some((_, owner)) = owner.filter(|_| !tests_as_intruder) {
        return Some(format!("only {owner} may"));
    }
    if edge.from == "spillway-placement" && UNKNOWN_TO_PLACEMENT.contains(&edge.to.as_str()) {
        return Some("placement is pure policy".to_owned());
    }
    if !is_ours(&edge.to) {
        return None;
    }
    if edge.function {
        return (!ALLOWED_IN_FUNCTIONS.contains(&edge.to.as_str())).then(|| "a function knows the SDK only".to_owned());
    }
    let Some((_, allowed)) = ALLOWED.iter().find(|(name, _)| *name == edge.from) else {
        return Some(format!("{} has no layer yet; give it one in {}", edge.from, file!()));
    };
    if !allowed.contains(&edge.to.as_str()) {
        return Some(format!("of ours it may depend on {allowed:?}"));
    }
    let native = edge.from == "spillway-sdk" && edge.to == "spillway-inference" && !edge.dev;
    (native && !edge.optional).then(|| "the SDK may only behind its feature `native`".to_owned())
}

fn is_ours(name: &str) -> bool {
    name.starts_with("spillway-") || name == "xtask"
}

/// The edges of the workspace as Cargo sees them, whatever target or feature turns them on.
fn edges() -> Vec<Edge> {
    let metadata = MetadataCommand::new().current_dir(workspace()).no_deps().exec().expect("Cargo reads the workspace");
    let mut edges = Vec::new();
    for package in &metadata.packages {
        let folder = package.manifest_path.strip_prefix(&metadata.workspace_root).expect("members lie in it");
        let function = folder.starts_with("functions") || folder.starts_with("tests/guests");
        for dependency in &package.dependencies {
            edges.push(Edge {
                from: package.name.to_string(),
                to: dependency.name.clone(),
                optional: dependency.optional,
                function,
                dev: dependency.kind == DependencyKind::Development,
            });
        }
    }
    edges
}

#[test]
fn the_crates_depend_on_each_other_only_as_the_layers_allow() {
    let edges = edges();
    assert!(edges.iter().any(|edge| edge.from == "spillway-cli" && edge.to == "spillway-node"), "no edges were read");
    assert_eq!(violations(&edges), Vec::<String>::new());
}

#[test]
fn a_planted_edge_against_the_layers_is_found() {
    let good = edges();
    let edge = |from: &str, to: &str| Edge {
        from: from.to_owned(),
        to: to.to_owned(),
        optional: false,
        function: false,
        dev: false,
    };
    for (from, to, part) in [
        ("spillway-types", "spillway-inference", "it may depend on []"),
        ("spillway-inference", "spillway-runtime", "it may depend on"),
        ("spillway-cli", "spillway-runtime", "it may depend on"),
        ("spillway-tests", "spillway-node", "it may depend on"),
        ("spillway-node", "wasmtime", "only spillway-runtime may"),
        ("spillway-node", "wasmtime-wasi-http", "only spillway-runtime may"),
        ("spillway-sdk", "tract-onnx", "only spillway-inference may"),
        ("spillway-node", "rusqlite", "only spillway-cluster may"),
        ("spillway-placement", "tokio", "pure policy"),
        ("spillway-placement", "spillway-cluster", "it may depend on"),
        ("spillway-sdk", "spillway-inference", "behind its feature `native`"),
        ("spillway-new", "spillway-types", "has no layer yet"),
    ] {
        let planted = [good.clone(), vec![edge(from, to)]].concat();
        let found = violations(&planted);
        assert_eq!(found.len(), 1, "{from} -> {to}: {found:?}");
        assert!(found[0].starts_with(&format!("{from} depends on {to}: ")) && found[0].contains(part), "{found:?}");
    }
    let function = Edge { function: true, ..edge("hello", "spillway-types") };
    assert_eq!(violations(&[function]), ["hello depends on spillway-types: a function knows the SDK only"]);
}
