//! HTTP as callers may expect it: limits with words, slow callers, HEAD, OPTIONS, Expect, trailers, keep-alive, GOAWAY.

use std::time::Duration;

use reqwest::Method;
use rustix::process::Signal;
use spillway_tests::{ACK, DATA, END_STREAM, Frame, GOAWAY, HEADERS, Node, PING, Raw, preface, wait_until};
use spillway_types::ProblemType;

/// Longer than anything here takes on a busy machine.
const SOON: Duration = Duration::from_secs(20);

async fn node(args: &[&str]) -> Node {
    let node = Node::builder().args(args).start().await;
    node.deploy("hello").await;
    node.deploy("plain").await;
    node
}

#[tokio::test]
async fn heads_past_the_limits_get_an_answer_that_names_the_limit() {
    let node = node(&[]).await;
    let get = |path: String| node.request(Method::GET, &path);
    let long = format!("/hello?name={}", "a".repeat(8192));
    Node::send(get(long)).await.problem(ProblemType::TargetTooLong, &["8192", "body"]);
    assert_eq!(Node::send(get(format!("/hello?name={}", "a".repeat(8000)))).await.status, 200);
    let many = (0..40).fold(get("/hello".to_owned()), |request, n| request.header(format!("x-{n}"), "a".repeat(1000)));
    Node::send(many).await.problem(ProblemType::FieldsTooLarge, &["32768"]);
    // Past what the server below reads at all there are no words, but an answer.
    let fields = (0..200).map(|n| format!("x-{n}: a\r\n")).collect::<String>();
    let said = Raw::ask(&node, format!("GET /hello HTTP/1.1\r\nhost: a\r\n{fields}\r\n")).await;
    assert!(said.starts_with("HTTP/1.1 431 "), "{said}");
    let said = Raw::ask(&node, format!("GET /{} HTTP/1.1\r\nhost: a\r\n\r\n", "a".repeat(70_000))).await;
    assert!(said.starts_with("HTTP/1.1 414 "), "{said}");
    assert_eq!(node.call("/hello").await.status, 200);
}

#[tokio::test]
async fn a_caller_that_stands_still_is_cut_wherever_it_stops() {
    let node = node(&["--stall-timeout", "400ms"]).await;
    for begun in ["", "PRI * HT", "GET /hel", "GET /hello HTTP/1.1\r\nhost: a\r\n"] {
        let said = Raw::ask(&node, begun).await;
        assert!(!said.contains(" 200 "), "{begun:?}: {said}");
    }
    // At rest between two requests.
    let said = Raw::ask(&node, "GET /hello HTTP/1.1\r\nhost: a\r\n\r\n").await;
    assert!(said.contains("Hello, world!"), "{said}");
    for body in ["content-length: 10\r\n\r\nhal", "transfer-encoding: chunked\r\n\r\n5\r\nhal"] {
        let said = Raw::ask(&node, format!("POST /plain/body HTTP/1.1\r\nhost: a\r\n{body}")).await;
        assert!(said.starts_with("HTTP/1.1 408 ") && said.contains("body-stalled"), "{said}");
    }
    // One that asks for much and takes nothing: the node ends it, and the call with it.
    let mut greedy = Raw::connect(&node).await;
    greedy.say("GET /hello/stream?chunks=100000&bytes=1000000 HTTP/1.1\r\nhost: a\r\n\r\n").await;
    wait_until("the call is over", SOON, async || node.metrics().await.requests("hello", "cancelled") == 1).await;
    assert_eq!(node.call("/hello").await.status, 200);
}

#[tokio::test]
async fn a_body_that_breaks_off_gets_400_and_not_the_functions_answer() {
    let node = node(&[]).await;
    let broken = "POST /plain/body HTTP/1.1\r\nhost: a\r\ntransfer-encoding: chunked\r\n\r\n3\r\nabc\r\nzz\r\n";
    let said = Raw::ask(&node, broken).await;
    assert!(said.starts_with("HTTP/1.1 400 ") && said.contains("bad-request"), "{said}");
}

#[tokio::test]
async fn head_and_options_are_answered_as_the_route_has_it() {
    let node = node(&[]).await;
    let head = Node::send(node.request(Method::HEAD, "/hello")).await;
    let get = node.call("/hello").await;
    assert_eq!((head.status, head.body.len(), head.header("content-length")), (200, 0, get.header("content-length")));
    let options = Node::send(node.request(Method::OPTIONS, "/hello")).await;
    assert_eq!((options.status, options.header("allow")), (204, Some("GET, POST, PUT, HEAD, OPTIONS")));
    let patch = Node::send(node.request(Method::PATCH, "/hello")).await;
    patch.problem(ProblemType::MethodNotAllowed, &["PATCH", "GET, POST, PUT, HEAD, OPTIONS"]);
    assert_eq!(patch.header("allow"), Some("GET, POST, PUT, HEAD, OPTIONS"));
    // A function that takes all methods answers by itself.
    assert_eq!(Node::send(node.request(Method::OPTIONS, "/plain/greet")).await.ok(), "Hello from WASI 0.2\n");
    let star = Raw::ask(&node, "OPTIONS * HTTP/1.1\r\nhost: a\r\nconnection: close\r\n\r\n").await;
    assert!(star.starts_with("HTTP/1.1 204 ") && star.contains("allow: GET, HEAD, POST"), "{star}");
}

#[tokio::test]
async fn an_answer_that_is_whole_leaves_with_its_length_and_one_that_streams_in_chunks() {
    let node = node(&[]).await;
    node.deploy("constant").await;
    for (path, length) in [("/plain/greet", "20"), ("/constant", "20"), ("/hello", "14")] {
        // Where the guest was interrupted before its last step it is not whole yet.
        wait_until("an answer has its length", SOON, async || {
            let answer = node.call(path).await;
            let named = answer.header("content-length").map(ToOwned::to_owned);
            assert_eq!(answer.ok().len().to_string(), length, "{path}");
            named.as_deref() == Some(length)
        })
        .await;
    }
    let said =
        Raw::ask(&node, "GET /hello/stream?chunks=3&bytes=5 HTTP/1.1\r\nhost: a\r\nconnection: close\r\n\r\n").await;
    assert!(said.contains("transfer-encoding: chunked\r\n") && !said.contains("content-length"), "{said}");
    assert!(said.ends_with("0\r\n\r\n"), "{said}");
}

#[tokio::test]
async fn a_caller_that_waits_to_be_asked_is_asked_only_for_what_is_read() {
    let node = node(&[]).await;
    let ask = async |path: &str, fields: &str| {
        let mut connection = Raw::connect(&node).await;
        connection.say(format!("POST {path} HTTP/1.1\r\nhost: a\r\nconnection: close\r\n{fields}\r\n")).await;
        connection
    };
    let mut reads = ask("/plain/body", "content-length: 3\r\nexpect: 100-continue\r\n").await;
    assert_eq!(reads.until("\r\n\r\n").await, "HTTP/1.1 100 Continue\r\n\r\n");
    reads.say("abc").await;
    assert!(reads.until("3\n").await.starts_with("HTTP/1.1 200 "));
    for (path, length, status) in [
        ("/plain/body", 1_u64 << 20, "413"),
        ("/nowhere", 5, "404"),
        ("/hello/x?", 1 << 40, "413"),
        ("/plain/greet", 5, "200"),
    ] {
        let mut refused = ask(path, &format!("content-length: {length}\r\nexpect: 100-continue\r\n")).await;
        let said = String::from_utf8_lossy(&refused.rest().await).into_owned();
        assert!(said.starts_with(&format!("HTTP/1.1 {status} ")), "{path}: {said}");
    }
    let said = String::from_utf8_lossy(&ask("/plain/body", "expect: cake\r\n").await.rest().await).into_owned();
    assert!(said.starts_with("HTTP/1.1 417 ") && said.contains("100-continue"), "{said}");
}

#[tokio::test]
async fn trailers_go_through_both_ways() {
    let node = node(&[]).await;
    let request = "POST /plain/echo HTTP/1.1\r\nhost: a\r\nte: trailers\r\ntrailer: x-sum\r\ntransfer-encoding: chunked\r\nconnection: close\r\n\r\n3\r\nabc\r\n0\r\nx-sum: 294\r\n\r\n";
    let said = Raw::ask(&node, request).await;
    assert!(said.starts_with("HTTP/1.1 200 ") && said.contains("trailer: x-sum"), "{said}");
    assert!(said.ends_with("3\r\nabc\r\n0\r\nx-sum: 294\r\n\r\n"), "{said}");
}

#[tokio::test]
async fn one_connection_serves_many_requests_also_when_they_come_at_once() {
    let node = node(&[]).await;
    let one = |name: usize| format!("GET /hello?name={name} HTTP/1.1\r\nhost: a\r\n\r\n");
    let all: String = (0..50).map(one).collect();
    let said = Raw::ask(&node, all + "GET /hello?name=last HTTP/1.1\r\nhost: a\r\nconnection: close\r\n\r\n").await;
    let mut at = 0;
    for name in (0..50).map(|name| name.to_string()).chain(["last".to_owned()]) {
        let greeting = format!("Hello, {name}!");
        at += said[at..].find(&greeting).unwrap_or_else(|| panic!("{greeting} is not in its place: {said}"));
    }
}

#[tokio::test]
async fn with_http_2_a_drain_says_goaway_and_answers_what_is_in_flight() {
    for signal in [Signal::INT, Signal::TERM] {
        let node = Node::start().await;
        node.deploy("misbehave").await;
        let mut connection = Raw::connect(&node).await;
        connection.say(preface()).await;
        let fields =
            [(":method", "GET"), (":scheme", "http"), (":authority", "a"), (":path", "/misbehave/slow?ms=700")];
        connection.say(Frame::headers(1, END_STREAM, &fields).bytes()).await;
        wait_until("the call has begun", SOON, async || {
            node.logs("misbehave").await.iter().any(|record| record["message"].to_string().contains("slow begins"))
        })
        .await;
        node.signal(signal);
        // The node asks whether all that was said before has arrived (RFC 9113, section 6.8).
        let mut said = Vec::new();
        let ping = loop {
            said.extend(connection.some().await);
            if let Some(ping) = Frame::all(&said).into_iter().find(|frame| frame.kind == PING) {
                break ping;
            }
        };
        connection.say(Frame { flags: ACK, ..ping }.bytes()).await;
        said.extend(connection.rest().await);
        let frames = Frame::all(&said);
        let at = |kind: u8, flags: u8| {
            let found = frames.iter().position(|frame| frame.kind == kind && frame.flags & flags == flags);
            found.unwrap_or_else(|| panic!("no frame {kind} with {flags} in {frames:?}"))
        };
        assert!(at(GOAWAY, 0) < at(HEADERS, 0), "the caller is told before the call ends: {frames:?}");
        assert!(at(DATA, 0) > at(HEADERS, 0), "{frames:?}");
        assert_eq!(node.wait(SOON).await.status.code(), Some(0));
    }
}
