//! Functions that nobody calls give their memory back, and answer all the same when somebody does.

use std::time::Duration;

use reqwest::Method;
use spillway_tests::{Node, bundle, wait_until, with_manifest};

use crate::serving;

const SOON: Duration = Duration::from_secs(20);

async fn node() -> Node {
    let node = Node::builder().args(&["--function-idle", "300ms"]).start().await;
    for guest in ["hello", "plain"] {
        node.deploy(guest).await;
    }
    // Time for a stream that nobody reads for a while.
    let manifest = serving::changed("misbehave", |manifest| manifest.limits.deadline = SOON);
    assert_eq!(node.post(with_manifest(&bundle("misbehave"), &manifest), "").await.status, 201);
    node
}

/// Waits until no code is in memory, and no sandbox.
async fn all_away(node: &Node) {
    wait_until("all code has left memory", SOON, async || {
        let metrics = node.metrics().await;
        let sum = |name: &str| metrics.sum(name, &[]).expect("functions are deployed");
        sum("spillway_code_loaded") == 0.0 && sum("spillway_sandboxes") == 0.0
    })
    .await;
}

#[tokio::test]
async fn code_leaves_memory_when_nobody_calls_and_comes_back_with_the_next_call() {
    let node = node().await;
    for _ in 0..2 {
        all_away(&node).await;
        // Many at once: one of them loads it, and all are answered.
        let calls: Vec<_> = (0..20).map(|_| tokio::spawn(node.request(Method::GET, "/hello").send())).collect();
        for call in calls {
            assert_eq!(call.await.expect("no panic").expect("an answer").status(), 200);
        }
        assert_eq!(node.call("/plain/greet").await.ok(), "Hello from WASI 0.2\n");
        let hello = node.metrics().await.sum("spillway_code_loaded", &[("function", "hello")]);
        assert_eq!(hello, Some(1.0));
    }
}

#[tokio::test]
async fn code_in_use_stays() {
    let node = node().await;
    let slow = node.request(Method::GET, "/misbehave/slow?ms=900");
    let slow = tokio::spawn(slow.send());
    let mut endless = node.request(Method::GET, "/misbehave/endless").send().await.expect("it begins");
    wait_until("what nobody calls has left", SOON, async || {
        node.metrics().await.sum("spillway_code_loaded", &[]) == Some(1.0)
    })
    .await;
    endless.chunk().await.expect("it goes on").expect("it does not end");
    assert_eq!(slow.await.expect("no panic").expect("an answer").status(), 200);
    drop(endless);
    all_away(&node).await;
}

#[tokio::test]
async fn code_that_has_gone_from_the_disk_is_compiled_anew() {
    let node = node().await;
    all_away(&node).await;
    let code = std::fs::read_dir(node.data().join("code")).expect("the node keeps code there");
    let code =
        code.map(|entry| entry.expect("an entry").path()).filter(|path| path.extension().is_some_and(|e| e == "cwasm"));
    assert_eq!(code.inspect(|path| std::fs::remove_file(path).expect("it goes")).count(), 3);
    assert_eq!(node.call("/hello").await.ok(), "Hello, world!\n");
    assert_eq!(node.call("/plain/greet").await.ok(), "Hello from WASI 0.2\n");
    // A bundle that has gone, too, is more than the node can make good: it says so, and serves the others.
    all_away(&node).await;
    for folder in ["code", "blobs"] {
        remove_files(&node.data().join(folder));
    }
    let lost = node.call("/misbehave/greet").await;
    lost.problem(spillway_types::ProblemType::HostFault, &["default/misbehave"]);
}

fn remove_files(folder: &std::path::Path) {
    for entry in std::fs::read_dir(folder).expect("the node keeps a folder there") {
        let path = entry.expect("an entry").path();
        if path.is_dir() { remove_files(&path) } else { std::fs::remove_file(&path).expect("it goes") }
    }
}
