//! Who stands still is cut, and who asks for little or goes does nobody else harm.

use std::time::Duration;

use reqwest::Method;
use rustix::process::Signal;
use spillway_tests::{
    ACK, DATA, END_STREAM, Frame, GOAWAY, HEADERS, Node, Raw, SETTINGS, bundle, preface, wait_until, with_manifest,
};
use spillway_types::Manifest;

use crate::serving;

const SOON: Duration = Duration::from_secs(20);
/// More of a stream, or of all of them, may be sent.
const WINDOW_UPDATE: u8 = 8;

async fn with(args: &[&str], change: impl FnOnce(&mut Manifest)) -> Node {
    let node = Node::builder().args(args).start().await;
    let manifest = serving::changed("misbehave", change);
    assert_eq!(node.post(with_manifest(&bundle("misbehave"), &manifest), "").await.status, 201);
    // So that the node says how many calls are running.
    assert_eq!(node.cli(&["quota", "set", "default", "--concurrent", "1000"]).await.code, 0);
    node
}

/// Asks for a path with HTTP/2, where an answer may have so many bytes before more are asked for.
async fn ask(node: &Node, window: u32, path: &str) -> Raw {
    let mut connection = Raw::connect(node).await;
    let window = [&[0, 4][..], &window.to_be_bytes()].concat();
    connection.say(preface()).await;
    connection.say(Frame { kind: SETTINGS, flags: 0, stream: 0, payload: window }.bytes()).await;
    let fields = [(":method", "GET"), (":scheme", "http"), (":authority", "a"), (":path", path)];
    connection.say(Frame::headers(1, END_STREAM, &fields).bytes()).await;
    connection
}

#[tokio::test]
async fn with_http_2_a_caller_that_takes_nothing_of_its_answer_is_cut() {
    let node = with(&["--stall-timeout", "1s"], |_| {}).await;
    for (window, path) in
        [(0, "/misbehave/greet"), (1, "/misbehave/greet"), (0, "/misbehave/endless"), (60_000, "/misbehave/endless")]
    {
        let said = ask(&node, window, path).await.rest().await;
        let frames = Frame::all(&said);
        assert!(frames.iter().any(|frame| frame.kind == HEADERS), "{window}, {path}: {frames:?}");
        let taken: usize = frames.iter().filter(|frame| frame.kind == DATA).map(|frame| frame.payload.len()).sum();
        assert!(taken <= window as usize, "{window}, {path}: {frames:?}");
    }
    wait_until("nothing of them is left", SOON, async || node.get("/quotas").await[0]["running"] == 0).await;
}

#[tokio::test]
async fn with_http_2_a_connection_on_which_nothing_is_asked_is_ended_in_order() {
    let node = with(&["--stall-timeout", "1s"], |_| {}).await;
    let mut silent = Raw::connect(&node).await;
    silent.say(preface()).await;
    let answered = ask(&node, 60_000, "/misbehave/greet").await;
    for mut connection in [silent, answered] {
        let mut said = Vec::new();
        while !Frame::all(&said).iter().any(|frame| frame.kind == GOAWAY) {
            said.extend(connection.some().await);
            for asked in
                Frame::all(&said).into_iter().filter(|frame| frame.kind == spillway_tests::PING && frame.flags == 0)
            {
                connection.say(Frame { flags: ACK, ..asked }.bytes()).await;
            }
        }
        connection.rest().await;
    }
}

#[tokio::test]
async fn with_http_2_a_caller_that_takes_its_time_is_not_cut() {
    let node = with(&["--stall-timeout", "1s"], |manifest| manifest.limits.deadline = SOON).await;
    let mut endless = ask(&node, 20_000, "/misbehave/endless").await;
    for _ in 0..8 {
        tokio::time::sleep(Duration::from_millis(400)).await;
        endless.some().await;
        for stream in [0, 1] {
            let more = Frame { kind: WINDOW_UPDATE, flags: 0, stream, payload: 10_000_u32.to_be_bytes().to_vec() };
            endless.say(more.bytes()).await;
        }
    }
    drop(endless);
    // A guest that takes its time is another matter.
    let mut slow = ask(&node, 60_000, "/misbehave/slow?ms=2500").await;
    let mut said = Vec::new();
    while !Frame::all(&said).iter().any(|frame| frame.kind == DATA) {
        said.extend(slow.some().await);
    }
}

#[tokio::test]
async fn an_answer_that_stalls_ends_though_its_sandbox_serves_others() {
    let node = with(&[], |_| {}).await;
    let mut stalled = node.request(Method::GET, "/misbehave/stall").send().await.expect("it begins");
    let others = async {
        loop {
            assert_eq!(node.call("/misbehave/greet").await.status, 200);
        }
    };
    let ended = async { while let Ok(Some(_)) = stalled.chunk().await {} };
    tokio::select! {
        () = ended => {}
        _ = tokio::time::timeout(SOON, others) => panic!("it is still there"),
    }
    wait_until("its place is given back", SOON, async || node.get("/quotas").await[0]["running"] == 0).await;
}

#[tokio::test]
async fn without_a_queue_a_function_that_works_long_serves_one_call_after_another() {
    let node = with(&[], |manifest| manifest.limits.queue = 0).await;
    for number in 0..12 {
        let answer = node.call("/misbehave/work?ms=30").await;
        assert_eq!(answer.status, 200, "call {number}: {answer:?}");
    }
}

#[tokio::test]
async fn a_caller_that_asks_for_little_time_takes_no_sandbox_from_others() {
    let node = with(&[], |manifest| manifest.limits.deadline = SOON).await;
    let other = tokio::spawn(node.request(Method::GET, "/misbehave/slow?ms=1500").send());
    wait_until("it is in its sandbox", SOON, async || {
        node.logs("misbehave").await.iter().any(|record| record["message"].to_string().contains("slow begins"))
    })
    .await;
    for _ in 0..3 {
        let hasty = node.request(Method::GET, "/misbehave/work?ms=200").header("spillway-deadline-ms", "20");
        assert_eq!(hasty.send().await.expect("it is answered").status(), 504);
    }
    assert_eq!(other.await.expect("no panic").expect("it is answered").status(), 200);
    let reruns = node.metrics().await.sum("spillway_reruns_total", &[("function", "misbehave")]);
    assert_eq!(reruns.unwrap_or_default(), 0.0, "its sandbox was lost");
}

#[tokio::test]
async fn who_hangs_up_keeps_its_place_until_its_guest_has_ended() {
    let node = with(&[], |manifest| {
        (manifest.limits.concurrency, manifest.limits.queue) = (1, 0);
        manifest.limits.deadline = Duration::from_secs(3);
    })
    .await;
    let mut caller = Raw::connect(&node).await;
    caller.say("GET /misbehave/slow?ms=1500 HTTP/1.1\r\nhost: x\r\n\r\n").await;
    wait_until("it is in its sandbox", SOON, async || {
        node.logs("misbehave").await.iter().any(|record| record["message"].to_string().contains("slow begins"))
    })
    .await;
    drop(caller);
    wait_until("the node has seen that", SOON, async || node.metrics().await.requests("misbehave", "cancelled") == 1)
        .await;
    let refused = node.call("/misbehave/greet").await;
    assert_eq!(refused.status, 503, "{refused:?}");
    wait_until("its place is free", SOON, async || node.call("/misbehave/greet").await.status == 200).await;
}

#[tokio::test]
async fn a_caller_of_the_control_api_that_stands_still_keeps_no_node_from_its_end() {
    let node = with(&[], |_| {}).await;
    let address = node.api_url().rsplit("//").next().expect("an address").to_owned();
    let mut silent = Raw(tokio::net::TcpStream::connect(address).await.expect("it listens"));
    silent.say("GET /functions HTTP/1.1\r\nhost: x\r\n").await;
    node.signal(Signal::TERM);
    let exit = node.wait(SOON).await;
    assert_eq!(exit.status.code(), Some(0), "{exit:#?}");
    assert!(exit.stderr.contains("requests to the control API were still open"), "{exit:#?}");
}
