//! Ctrl-C: calls in flight are answered, then the node ends.

use std::time::Duration;

use reqwest::Method;
use rustix::process::Signal;
use spillway_tests::{Answer, Node, bundle, wait_until, with_manifest};

use crate::serving;

/// A drain with nothing stuck takes as long as the slowest call; this is for a busy machine.
const SOON: Duration = Duration::from_secs(30);

/// `misbehave` with time for slow calls.
async fn node(args: &[&str]) -> Node {
    let node = Node::builder().args(args).start().await;
    let manifest = serving::changed("misbehave", |manifest| manifest.limits.deadline = SOON);
    assert_eq!(node.post(with_manifest(&bundle("misbehave"), &manifest), "").await.status, 201);
    node
}

/// Waits until `count` slow calls are in their sandboxes.
async fn begun(node: &Node, count: usize) {
    wait_until("the slow calls are in their sandboxes", SOON, async || {
        let said = |record: &&serde_json::Value| record["message"].to_string().contains("slow begins");
        node.logs("misbehave").await.iter().filter(said).count() == count
    })
    .await;
}

#[tokio::test]
async fn a_drain_answers_every_call_in_flight_and_ends_with_exit_code_0() {
    for signal in [Signal::INT, Signal::TERM] {
        let node = node(&[]).await;
        let calls: Vec<_> =
            (0..40).map(|_| tokio::spawn(node.request(Method::GET, "/misbehave/slow?ms=1500").send())).collect();
        begun(&node, 40).await;
        node.signal(signal);
        let (listen, http) = (node.listen().to_owned(), node.http().clone());
        let exit = node.wait(SOON).await;
        for call in calls {
            let response = call.await.expect("no panic").expect("a call in flight is answered");
            assert_eq!(Answer::read(response).await.expect("a whole answer").ok(), "waited 1500 ms\n");
        }
        assert_eq!(exit.status.code(), Some(0), "{exit:#?}");
        assert!(exit.stderr.contains("draining"), "{exit:#?}");
        let refused = http.get(listen).send().await.expect_err("nobody listens any more");
        assert!(refused.is_connect(), "{refused:?}");
    }
}

#[tokio::test]
async fn a_draining_node_refuses_new_connections_and_says_that_it_is_not_ready() {
    let node = node(&[]).await;
    let health = async |path: &str| Node::send(node.http().get(format!("{}{path}", node.api_url()))).await.status;
    assert_eq!((health("/livez").await, health("/readyz").await), (200, 200));
    let slow = tokio::spawn(node.request(Method::GET, "/misbehave/slow?ms=3000").send());
    begun(&node, 1).await;
    node.interrupt();
    wait_until("the node is not ready", SOON, async || health("/readyz").await == 503).await;
    assert_eq!(health("/livez").await, 200);
    let fresh = reqwest::Client::new();
    wait_until("new connections are refused", SOON, async || {
        fresh.get(node.listen()).send().await.is_err_and(|error| error.is_connect())
    })
    .await;
    assert!(!slow.is_finished(), "all that happened while a call was in flight");
    assert_eq!(slow.await.expect("no panic").expect("an answer").status(), 200);
    assert_eq!(node.wait(SOON).await.status.code(), Some(0));
}

#[tokio::test]
async fn calls_that_go_on_past_the_drain_timeout_are_cut_and_the_node_says_so() {
    let node = node(&["--drain-timeout", "200ms"]).await;
    let mut endless = node.request(Method::GET, "/misbehave/endless").send().await.expect("it begins");
    endless.chunk().await.expect("it goes on");
    node.interrupt();
    let exit = node.wait(SOON).await;
    assert_eq!(exit.status.code(), Some(0), "{exit:#?}");
    assert!(exit.stderr.contains("after the drain timeout"), "{exit:#?}");
    let rest = async {
        while endless.chunk().await?.is_some() {}
        reqwest::Result::Ok(())
    };
    assert!(rest.await.is_err(), "a cut answer is not taken for a complete one");
}

#[tokio::test]
async fn a_second_ctrl_c_ends_the_node_at_once() {
    let node = node(&[]).await;
    let slow = tokio::spawn(node.request(Method::GET, "/misbehave/slow?ms=25000").send());
    begun(&node, 1).await;
    node.interrupt();
    wait_until("the node drains", SOON, async || node.stderr().contains("draining")).await;
    node.interrupt();
    assert_eq!(node.wait(SOON).await.status.code(), Some(130));
    assert!(slow.await.expect("no panic").is_err(), "the call was cut");
}

#[tokio::test]
async fn what_was_deployed_before_an_orderly_stop_serves_after_it() {
    let folder = tempfile::tempdir().expect("tests may write temporary files");
    let node = Node::builder().data(folder.path()).start().await;
    node.deploy("hello").await;
    node.interrupt();
    assert_eq!(node.wait(SOON).await.status.code(), Some(0));
    let node = Node::builder().data(folder.path()).start().await;
    serving::untouched(&node).await;
}

#[tokio::test]
async fn an_orderly_stop_logs_no_warning() {
    let node = serving::hello().await;
    serving::untouched(&node).await;
    node.interrupt();
    let exit = node.wait(SOON).await;
    assert!(!exit.stderr.contains("WARN") && !exit.stderr.contains("ERROR"), "{exit:#?}");
}
