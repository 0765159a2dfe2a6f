//! Components that other people's toolchains made and that know nothing of Spillway.

use std::path::PathBuf;
use std::time::Instant;

use futures::future::join_all;
use reqwest::Method;
use spillway_tests::{Node, spillway};
use spillway_types::Digest;
use spillway_types::api::Deployment;

/// Calls at once.
const CALLERS: usize = 20;

/// A component that `cargo xtask setup --tests` made, beside the binary under test.
///
/// # Panics
/// If it has not been made.
fn component(name: &str) -> PathBuf {
    let binary = spillway();
    let target = binary.parent().and_then(|profile| profile.parent()).expect("the binary lies in a profile's folder");
    let path = target.join(format!("guests/{name}.wasm"));
    assert!(path.is_file(), "{} is missing; run `cargo xtask test`, which makes it", path.display());
    path
}

/// Deploys the component as it is, calls it, and calls it from many sides at once.
async fn deploys_unchanged_and_answers(name: &str, language: &str) {
    let (node, path) = (Node::start().await, component(name));
    let (file, route) = (path.display().to_string(), format!("/{name}"));
    let deployed = node.cli(&["deploy", &file, "--name", name, "--route", &route, "--json"]).await.json();
    let deployment: Deployment = serde_json::from_value(deployed).expect("a deployment's answer is one");
    let bytes = std::fs::read(&path).expect("the component can be read");
    assert_eq!(deployment.bundle, Digest::of(&bytes), "the node keeps the component as it is");

    let answer = |bytes: usize| format!("Hello from {language}, {bytes} bytes\n");
    let first = node.call(&route).await;
    assert_eq!(first.ok(), answer(0));
    assert_eq!(first.header("content-type"), Some("text/plain"));
    let start = Instant::now();
    let posted = Node::send(node.request(Method::POST, &route).body("x".repeat(100_000))).await;
    assert_eq!(posted.ok(), answer(100_000));
    // Against its own compilation, which is what a second call must not pay for again.
    let (took, compile) = (start.elapsed().as_secs_f64(), deployment.compile_seconds);
    assert!(!deployment.compile_cached && took < compile / 2.0, "{took} s, where compilation took {compile} s");

    let calls = (0..CALLERS).map(|caller| {
        let (length, answer) = (caller * 10_000, answer(caller * 10_000));
        let request = node.request(Method::POST, &route).body("x".repeat(length));
        async move { assert_eq!(Node::send(request).await.ok(), answer) }
    });
    join_all(calls).await;
}

#[tokio::test]
async fn a_component_made_by_componentize_py_deploys_unchanged_and_answers() {
    deploys_unchanged_and_answers("python", "Python").await;
}

#[tokio::test]
async fn a_component_made_by_jco_componentize_deploys_unchanged_and_answers() {
    deploys_unchanged_and_answers("javascript", "JavaScript").await;
}

#[tokio::test]
async fn a_component_of_another_toolchain_can_be_given_a_manifest() {
    let folder = tempfile::tempdir().expect("tests may write temporary files");
    let manifest = "spillway = 1\nname = \"script\"\nversion = \"1.2.3\"\n\n[[routes]]\npath = \"/script\"\n\n\
                    [limits]\nbody = \"1kB\"\n\n[sandbox]\nreuse = true\n";
    std::fs::write(folder.path().join("spillway.toml"), manifest).expect("the folder is ours");
    let node = Node::start().await;
    let (script, out) =
        (component("javascript").display().to_string(), folder.path().join("out.wasm").display().to_string());
    let source = folder.path().display().to_string();
    node.cli(&["build", &source, "--component", &script, "--out", &out, "--json"]).await.json();
    node.cli(&["deploy", &out, "--json"]).await.json();
    assert_eq!(node.call("/script").await.ok(), "Hello from JavaScript, 0 bytes\n");
    let large = Node::send(node.request(Method::POST, "/script").body("x".repeat(2_000))).await;
    large.problem(spillway_types::ProblemType::BodyTooLarge, &["default/script"]);
    assert_eq!(node.get("/functions/default/script").await["version"], "1.2.3");
}
