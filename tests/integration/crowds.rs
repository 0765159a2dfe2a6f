//! Ten thousand calls at once: each is served or told when to come again, and the node is afterwards as it was before.

use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use futures::future::join_all;
use http_body_util::{BodyExt as _, Empty};
use hyper::client::conn::{http1, http2};
use hyper_util::rt::{TokioExecutor, TokioIo};
use reqwest::Method;
use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};
use spillway_tests::{Node, bundle, wait_until, with_manifest};
use spillway_types::{Problem, ProblemType};
use tokio::net::TcpStream;
use tokio::sync::Barrier;

use crate::{serving, variants};

const SOON: Duration = Duration::from_secs(30);
/// As long as the admitted may take, and what each of them takes at least.
const DEADLINE: Duration = Duration::from_secs(20);
const SLOW: &str = "/misbehave/slow?ms=100";
const QUICK: &str = "/hello";
/// Calls of each connection with HTTP/2, and how many connections there are.
const STREAMS: usize = 240;
const CONNECTIONS: usize = 40;
/// Connections with HTTP/1.1, each with a call.
const SINGLE: usize = 400;
/// What the function runs at once, and how many calls may wait.
const CONCURRENCY: u32 = 200;
const QUEUE: u32 = 3000;
/// How often all come: what one crowd left behind in the node, three would leave three times.
const CROWDS: usize = 3;
/// By how much the node may be larger when a crowd has gone: sandboxes stay for a minute, and allocators keep some of what they
/// had. 90 to 130 MiB were seen, after one crowd and after three.
const KEPT_BYTES: u64 = 192 << 20;
/// By how much it may be larger under way. 150 MiB were seen, which are 15 KiB for each call.
const UNDER_WAY_BYTES: u64 = 320 << 20;

/// An answer: its status, when to come again, and its body.
type Answered = (u16, Option<u64>, Bytes);

fn request(path: &str) -> hyper::Request<Empty<Bytes>> {
    let uri = format!("http://spillway.test{path}");
    hyper::Request::get(uri).header("host", "spillway.test").body(Empty::new()).expect("a request")
}

async fn read(response: hyper::Response<hyper::body::Incoming>) -> Answered {
    let status = response.status().as_u16();
    let again =
        response.headers().get("retry-after").map(|value| value.to_str().expect("text").parse().expect("seconds"));
    (status, again, response.into_body().collect().await.expect("a whole answer").to_bytes())
}

/// Sends calls over one connection at once, as soon as all connections are there.
async fn over_http2(address: &str, paths: Vec<&'static str>, begin: Arc<Barrier>) -> Vec<Answered> {
    let stream = TcpStream::connect(address).await.expect("the node listens");
    let (sender, connection) = http2::handshake(TokioExecutor::new(), TokioIo::new(stream)).await.expect("HTTP/2");
    let connection = tokio::spawn(connection);
    begin.wait().await;
    let calls = paths.into_iter().map(|path| {
        let mut sender = sender.clone();
        async move { read(sender.send_request(request(path)).await.expect("an answer")).await }
    });
    let answers = join_all(calls).await;
    drop(sender);
    let _ = connection.await;
    answers
}

async fn over_http1(address: &str, path: &'static str, begin: Arc<Barrier>) -> Vec<Answered> {
    let stream = TcpStream::connect(address).await.expect("the node listens");
    let (mut sender, connection) = http1::handshake(TokioIo::new(stream)).await.expect("HTTP/1.1");
    let connection = tokio::spawn(connection);
    begin.wait().await;
    let answered = read(sender.send_request(request(path)).await.expect("an answer")).await;
    drop(sender);
    let _ = connection.await;
    vec![answered]
}

#[tokio::test(flavor = "multi_thread")]
async fn ten_thousand_calls_at_once_are_served_in_time_or_told_when_to_come_again() {
    // Each connection has a handle on this side, too.
    let most = getrlimit(Resource::Nofile).maximum;
    setrlimit(Resource::Nofile, Rlimit { current: most, maximum: most }).expect("up to the hard limit one may");
    let node = Node::start().await;
    let manifest = serving::changed("misbehave", |manifest| {
        (manifest.limits.concurrency, manifest.limits.queue) = (CONCURRENCY, QUEUE);
        manifest.limits.deadline = DEADLINE;
    });
    assert_eq!(node.post(with_manifest(&bundle("misbehave"), &manifest), "").await.status, 201);
    assert_eq!(node.post(variants::variant("hello", |_| ()), "namespace=shop").await.status, 201);
    let set = node.cli(&["quota", "set", "shop", "--calls-per-second", "50"]).await;
    assert_eq!(set.code, 0, "{set:#?}");
    for path in [SLOW, QUICK] {
        assert_eq!(node.call(path).await.status, 200);
    }
    let before = node.resident_bytes();

    for _ in 0..CROWDS {
        crowd(&node).await;
        wait_until("nothing is under way", SOON, async || {
            let metrics = node.metrics().await;
            let counted = metrics.sum("spillway_quota_running", &[]);
            (counted, metrics.sum("spillway_queue_length", &[])) == (Some(0.0), Some(0.0))
        })
        .await;
        wait_until("the node is as small as it was", SOON, async || node.resident_bytes() < before + KEPT_BYTES).await;
    }
    let peak = node.peak_resident_bytes().saturating_sub(before);
    assert!(peak < UNDER_WAY_BYTES, "it grew by {peak} bytes");
    assert_eq!(Node::send(node.request(Method::GET, SLOW)).await.status, 200);
}

/// Ten thousand calls at once, and what becomes of each.
async fn crowd(node: &Node) {
    let address = node.listen().trim_start_matches("http://");
    let begin = Arc::new(Barrier::new(CONNECTIONS + SINGLE));
    // Every fifth is for the namespace with the quota.
    let paths = || (0..STREAMS).map(|index| if index % 5 == 0 { QUICK } else { SLOW }).collect();
    let http2 = join_all((0..CONNECTIONS).map(|_| over_http2(address, paths(), begin.clone())));
    let http1 = join_all((0..SINGLE).map(|_| over_http1(address, SLOW, begin.clone())));
    let (http2, http1) = tokio::join!(http2, http1);
    let answers: Vec<Answered> = http2.into_iter().chain(http1).flatten().collect();
    assert_eq!(answers.len(), 10_000);

    let (mut served, mut full, mut beyond) = (0, 0, 0);
    for (status, again, body) in &answers {
        if *status == 200 {
            served += 1;
            continue;
        }
        // Nobody that was let in has missed the deadline.
        let problem: Problem = serde_json::from_slice(body).unwrap_or_else(|_| panic!("{status}: {body:?}"));
        match () {
            () if problem.is(ProblemType::QueueFull) => full += 1,
            () if problem.is(ProblemType::QuotaExceeded) => beyond += 1,
            () => panic!("{problem:?}"),
        }
        assert!(again.is_some_and(|seconds| (1..=60).contains(&seconds)), "{again:?} {problem:?}");
        assert_eq!(problem.retry_after_seconds.map(|seconds| u64::from(seconds.get())), *again);
    }
    // As many as there were places for, at least, and fewer than called.
    assert!(served >= CONCURRENCY + QUEUE && full > 0 && beyond > 0, "{served} {full} {beyond}");
}
