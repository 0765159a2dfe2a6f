//! Callers that hang up: the call is over, counted as cancelled, and nothing of it stays.

use std::time::Duration;

use futures::{StreamExt as _, stream};
use reqwest::Method;
use spillway_tests::{Node, bundle, wait_until, with_manifest};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;

/// Longer than the guests' deadline of one second, after which a task that nobody waits for is ended.
const SOON: Duration = Duration::from_secs(20);

async fn node() -> Node {
    let node = Node::start().await;
    node.deploy("misbehave").await;
    node.deploy("plain").await;
    node
}

/// Says a request by hand, so that the test decides when the connection goes.
async fn say(node: &Node, text: &str) -> TcpStream {
    let address = node.listen().strip_prefix("http://").expect("a plain address");
    let mut connection = TcpStream::connect(address).await.expect("the node listens");
    connection.write_all(text.as_bytes()).await.expect("the node reads");
    connection
}

async fn cancelled(node: &Node, function: &str, count: u64) {
    wait_until(&format!("{count} calls of {function} are cancelled"), SOON, async || {
        node.metrics().await.requests(function, "cancelled") == count
    })
    .await;
}

/// Waits until no sandbox of `function` is alive but one, warm for the next call.
async fn no_sandbox_leaks(node: &Node, function: &str) {
    wait_until("the sandboxes of callers that are gone are gone, too", SOON, async || {
        node.metrics().await.sum("spillway_sandboxes", &[("function", function)]).is_none_or(|alive| alive <= 1.0)
    })
    .await;
}

#[tokio::test]
async fn a_caller_that_hangs_up_in_a_streamed_answer_ends_it() {
    let node = node().await;
    for count in 1..=8 {
        let mut response = node.request(Method::GET, "/misbehave/endless").send().await.expect("it begins");
        response.chunk().await.expect("it goes on");
        drop(response);
        cancelled(&node, "misbehave", count).await;
    }
    no_sandbox_leaks(&node, "misbehave").await;
    assert_eq!(node.call("/misbehave/greet").await.status, 200);
}

/// Waits until `count` calls of `function` have said that they begin.
async fn begun(node: &Node, function: &str, count: usize) {
    wait_until("the calls are in their sandboxes", SOON, async || {
        let begins = |record: &&serde_json::Value| record["message"].to_string().contains("begins");
        node.logs(function).await.iter().filter(begins).count() >= count
    })
    .await;
}

#[tokio::test]
async fn callers_that_hang_up_before_the_answer_are_counted_and_give_their_places_to_others() {
    let node = node().await;
    // Twice 40 is more than `[limits] concurrency`: a place that is not given back shows.
    for round in 1..=2 {
        let mut callers = Vec::new();
        for _ in 0..40 {
            callers.push(say(&node, "GET /misbehave/wait HTTP/1.1\r\nhost: x\r\n\r\n").await);
        }
        begun(&node, "misbehave", 40 * usize::try_from(round).expect("small")).await;
        drop(callers);
        cancelled(&node, "misbehave", 40 * round).await;
        // Until its guest has ended, a call keeps its place.
        no_sandbox_leaks(&node, "misbehave").await;
    }
    assert_eq!(node.call("/misbehave/greet").await.status, 200);
    no_sandbox_leaks(&node, "misbehave").await;
}

#[tokio::test]
async fn a_guest_that_loops_on_after_its_caller_has_gone_is_ended() {
    let node = node().await;
    for function in ["misbehave", "plain"] {
        let caller = say(&node, &format!("GET /{function}/loop HTTP/1.1\r\nhost: x\r\n\r\n")).await;
        begun(&node, function, 1).await;
        drop(caller);
        cancelled(&node, function, 1).await;
        no_sandbox_leaks(&node, function).await;
        assert_eq!(node.call(&format!("/{function}/greet")).await.status, 200);
        no_sandbox_leaks(&node, function).await;
    }
}

#[tokio::test]
async fn a_caller_that_hangs_up_in_the_middle_of_its_body_is_counted_and_nothing_stays() {
    let node = node().await;
    for function in ["misbehave", "plain"] {
        let head = format!("POST /{function}/body HTTP/1.1\r\nhost: x\r\ncontent-length: 1000\r\n\r\nten bytes.");
        let connection = say(&node, &head).await;
        drop(connection);
        wait_until("the call has ended", SOON, async || {
            let calls = node.get("/functions").await;
            let summary = calls.as_array().expect("a list").iter().find(|f| f["name"] == function).cloned();
            summary.is_some_and(|summary| summary["invocations"] == 1)
        })
        .await;
        // A guest that answers the half body has answered: to the node, its caller may still read.
        let metrics = node.metrics().await;
        assert_eq!(metrics.requests(function, "answered") + metrics.requests(function, "cancelled"), 1);
        assert_eq!(node.call(&format!("/{function}/greet")).await.status, 200);
        no_sandbox_leaks(&node, function).await;
    }
}

#[tokio::test]
async fn a_caller_that_reads_its_answer_to_the_end_and_closes_is_no_hang_up() {
    let node = node().await;
    for function in ["misbehave", "plain"] {
        let request = format!("GET /{function}/greet HTTP/1.1\r\nhost: x\r\nconnection: close\r\n\r\n");
        let mut connection = say(&node, &request).await;
        let mut answer = String::new();
        connection.read_to_string(&mut answer).await.expect("the node closes");
        assert!(answer.starts_with("HTTP/1.1 200 OK\r\n") && answer.contains("Hello from"), "{answer}");
        wait_until("the call is counted", SOON, async || node.metrics().await.requests(function, "answered") == 1)
            .await;
        assert_eq!(node.metrics().await.requests(function, "cancelled"), 0);
    }
}

/// The function with a longer deadline than the tests wait, and room for the tensors of all calls of a sandbox.
async fn deploy_patient(node: &Node) {
    let manifest = std::fs::read_to_string(spillway_tests::workspace().join("tests/guests/misbehave/spillway.toml"));
    let manifest = manifest.expect("it is kept").replace("deadline = \"1s\"", "deadline = \"300s\"");
    let manifest = manifest.replace("tensors = \"1MiB\"", "tensors = \"64MiB\"");
    let answer = node.post(with_manifest(&bundle("misbehave"), &manifest), "").await;
    assert_eq!(answer.status, 201, "{answer:?}");
}

#[tokio::test]
async fn native_work_for_a_caller_that_is_gone_ends() {
    let node = Node::start().await;
    deploy_patient(&node).await;
    // Minutes of work, in dispatches of a fraction of a second.
    let caller = say(&node, "GET /misbehave/products?count=2000&times=5000 HTTP/1.1\r\nhost: x\r\n\r\n").await;
    let computed = async || node.metrics().await.sum("spillway_kernel_seconds_total", &[]).unwrap_or_default();
    wait_until("kernels work for it", SOON, async || computed().await > 0.0).await;
    drop(caller);
    cancelled(&node, "misbehave", 1).await;
    wait_until("kernels work for nobody", SOON, async || {
        let before = computed().await;
        tokio::time::sleep(Duration::from_secs(2)).await;
        computed().await == before
    })
    .await;
    assert_eq!(node.call("/misbehave/products?count=10&times=1").await.ok(), "1 times 10 products\n");
    let log = node.logs("misbehave").await;
    let ended = |record: &&serde_json::Value| record["message"].to_string().contains("deadline");
    assert!(log.iter().filter(ended).count() >= 1, "the function is told why its dispatch failed: {log:#?}");
}

/// Calls whose callers hang up while kernels compute, as an issue demands.
const MANY: usize = 10_000;
/// What a node may grow by meanwhile: the guests' memory (16 MiB each in a few sandboxes) and what allocators keep.
const GROWTH_MAX: u64 = 128 << 20;

#[tokio::test]
async fn ten_thousand_cancelled_calls_leave_nothing() {
    let node = Node::start().await;
    deploy_patient(&node).await;
    let hang_up = async |_| {
        let caller = say(&node, "GET /misbehave/products?count=200&times=100 HTTP/1.1\r\nhost: x\r\n\r\n").await;
        tokio::time::sleep(Duration::from_millis(2)).await;
        drop(caller);
    };
    let some = || stream::iter(0..MANY / 10).for_each_concurrent(16, hang_up);
    let cancelled = async || node.metrics().await.requests("misbehave", "cancelled");
    some().await;
    let before = node.resident_bytes();
    let mut rounds = 1;
    // One that hung up before its request was read is no call: there are as many of these as the machine is busy.
    while cancelled().await < MANY as u64 {
        rounds += 1;
        assert!(rounds <= 60, "{} calls of {} were cancelled", cancelled().await, rounds * MANY / 10);
        some().await;
    }
    let gone = async || {
        let metrics = node.metrics().await;
        let jobs = |which| metrics.sum(which, &[]).unwrap_or_default();
        jobs("spillway_kernel_running") + jobs("spillway_kernel_queue_length") == 0.0
    };
    wait_until("kernels work for nobody", Duration::from_secs(60), gone).await;
    assert_eq!(node.call("/misbehave/products?count=10&times=1").await.ok(), "1 times 10 products\n");
    wait_until("what they held is free", SOON, async || {
        // What the last call's sandbox holds warm is no leak.
        node.metrics().await.sum("spillway_tensor_memory_bytes", &[]).is_some_and(|bytes| bytes <= f64::from(1 << 20))
    })
    .await;
    let after = node.resident_bytes();
    assert!(after < before + GROWTH_MAX, "grew from {before} to {after} bytes");
}
