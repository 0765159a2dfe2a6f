//! What a manifest does not grant is denied in the interface's own words, which name the remedy where it is ours.

use std::time::Duration;

use reqwest::Method;
use spillway_tests::{Node, bundle, wait_until, with_manifest};
use spillway_types::ProblemType;

use crate::serving;

async fn node() -> Node {
    let node = Node::start().await;
    node.deploy("misbehave").await;
    node.deploy("plain").await;
    node
}

#[tokio::test]
async fn buckets_and_models_that_are_not_granted_name_the_line_to_add() {
    let node = node().await;
    let said = node.call("/misbehave/other-bucket").await.ok();
    assert!(said.contains("`other`") && said.contains("keyvalue under [capabilities]"), "{said}");
    let said = node.call("/misbehave/other-model").await.ok();
    assert!(said.contains("\"other\"") && said.contains("add it under [models] in spillway.toml"), "{said}");
}

#[tokio::test]
async fn files_network_and_environment_of_the_node_are_out_of_reach() {
    let node = node().await;
    // Somebody listens, so that only the denial keeps the guest out.
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.expect("any port");
    let port = listener.local_addr().expect("it is bound").port();
    assert_eq!(node.call(&format!("/misbehave/socket?port={port}")).await.ok(), "ErrorCode::AccessDenied\n");
    assert_eq!(node.call("/misbehave/environment").await.ok(), "0\n");
    for (path, denial) in [("/misbehave/fetch", "is not granted"), ("/plain/fetch", "HttpRequestDenied")] {
        let said = node.call(path).await.ok();
        assert!(said.contains(denial), "{path}: {said}");
    }
    for path in ["/misbehave/file", "/plain/file"] {
        let said = node.call(path).await.ok();
        assert!(said.contains("Capabilities insufficient"), "{path}: {said}");
    }
}

#[tokio::test]
async fn tensors_past_their_limit_are_refused_and_freed_with_their_call() {
    let node = node().await;
    for path in ["/misbehave/tensor", "/misbehave/handles"] {
        for _ in 0..3 {
            node.call(path).await.problem(ProblemType::OutOfMemory, &["tensor memory"]);
        }
    }
    let held = node.metrics().await.sum("spillway_tensor_memory_bytes", &[("function", "misbehave")]);
    assert_eq!(held, Some(0.0));
    let log = node.logs("misbehave").await;
    let says = |part: &str| log.iter().any(|record| record["message"].to_string().contains(part));
    assert!(says("raise `tensors` under [limits]") && says("drop tensors that are no longer needed"), "{log:#?}");
    assert_eq!(node.call("/misbehave/greet").await.status, 200);
}

/// A handle is a number to a component, and means something in its own sandbox alone: no other number is taken for a tensor, that of
/// one which another sandbox holds, or has dropped, included.
#[tokio::test]
async fn handles_that_nobody_gave_are_no_tensors() {
    let node = Node::start().await;
    let manifest = serving::changed("misbehave", |manifest| manifest.sandbox.concurrency = 1);
    assert_eq!(node.post(with_manifest(&bundle("misbehave"), &manifest), "").await.status, 201);
    assert_eq!(node.call("/misbehave/own-handle").await.ok(), "1\n");
    let holding = tokio::spawn(node.request(Method::GET, "/misbehave/hold?bytes=77777&ms=800").send());
    wait_until("another sandbox holds a tensor", Duration::from_secs(10), async || {
        let held = node.metrics().await.sum("spillway_tensor_memory_bytes", &[("function", "misbehave")]);
        held.is_some_and(|bytes| bytes >= 77_777.0)
    })
    .await;
    for number in (0..=12).chain([1000, u32::MAX / 2, u32::MAX]) {
        node.call(&format!("/misbehave/handle?number={number}")).await.problem(ProblemType::Trap, &["misbehave"]);
    }
    for misdeed in ["stale-handle", "twice-dropped"] {
        node.call(&format!("/misbehave/{misdeed}")).await.problem(ProblemType::Trap, &["misbehave"]);
    }
    assert_eq!(holding.await.expect("no panic").expect("an answer").status(), 200);
    let log = node.logs("misbehave").await;
    assert!(log.iter().any(|record| record["message"].to_string().contains("handle")), "{log:#?}");
    assert_eq!(node.call("/misbehave/own-handle").await.ok(), "1\n");
}

#[tokio::test]
async fn a_granted_bucket_keeps_its_values_over_sandboxes_deployments_and_restarts() {
    let folder = tempfile::tempdir().expect("tests may write temporary files");
    let start = async || Node::builder().data(folder.path()).start().await;
    let node = start().await;
    node.deploy("misbehave").await;
    assert_eq!(node.call("/misbehave/count").await.ok(), "1\n");
    assert_eq!(node.call("/misbehave/trap").await.status, 500, "the sandbox goes");
    node.deploy("misbehave").await;
    assert_eq!(node.call("/misbehave/count").await.ok(), "2\n");
    node.kill();
    let node = start().await;
    assert_eq!(Node::send(node.request(Method::GET, "/misbehave/count")).await.ok(), "3\n");
}
