//! Bodies at the limit and past it. Bodies of any size through a function are in `bodies`.

use bytes::Bytes;
use futures::stream;
use reqwest::{Body, Method};
use spillway_tests::{Answer, Node};
use spillway_types::ProblemType;

/// `[limits] body` of both guests.
const LIMIT: usize = 64 * 1024;

/// Two functions that read the whole body and say its length: WASI 0.3 and 0.2.
const READERS: [&str; 2] = ["/misbehave/body", "/plain/body"];

async fn node() -> Node {
    let node = Node::start().await;
    node.deploy("misbehave").await;
    node.deploy("plain").await;
    node
}

/// Sends a body of announced length.
async fn announced(node: &Node, path: &str, bytes: usize) -> Answer {
    Node::send(node.request(Method::POST, path).body(vec![b'x'; bytes])).await
}

/// Sends a body whose length nobody knows before its end.
async fn chunked(node: &Node, path: &str, bytes: usize) -> Answer {
    let chunks = vec![Bytes::from(vec![b'x'; bytes / 4]); 4];
    let body = Body::wrap_stream(stream::iter(chunks.into_iter().map(Ok::<_, std::io::Error>)));
    Node::send(node.request(Method::POST, path).body(body)).await
}

#[tokio::test]
async fn a_body_of_exactly_the_limit_is_taken_whole() {
    let node = node().await;
    for path in READERS {
        assert_eq!(announced(&node, path, LIMIT).await.ok(), format!("{LIMIT}\n"));
        assert_eq!(chunked(&node, path, LIMIT).await.ok(), format!("{LIMIT}\n"));
    }
}

#[tokio::test]
async fn a_body_announced_past_the_limit_is_413_before_the_guest_runs() {
    let node = node().await;
    for (path, function) in READERS.iter().zip(["misbehave", "plain"]) {
        let answer = announced(&node, path, LIMIT + 1).await;
        let problem = answer.problem(ProblemType::BodyTooLarge, &["64.0 KiB", &format!("default/{function}"), "body"]);
        assert_eq!(problem.invocation.as_deref(), answer.header("spillway-invocation"));
        assert_eq!(node.metrics().await.requests(function, "refused"), 1);
        assert_eq!(announced(&node, path, 3).await.ok(), "3\n");
    }
    assert_eq!(node.metrics().await.sum("spillway_cold_starts_total", &[("function", "misbehave")]), Some(1.0));
}

#[tokio::test]
async fn a_chunked_body_that_grows_past_the_limit_is_413() {
    let node = node().await;
    for path in READERS {
        chunked(&node, path, 2 * LIMIT).await.problem(ProblemType::BodyTooLarge, &["64.0 KiB"]);
        assert_eq!(chunked(&node, path, 8).await.ok(), "8\n");
    }
}

#[tokio::test]
async fn a_guest_that_does_not_read_its_body_answers_all_the_same() {
    let node = node().await;
    for path in ["/misbehave/greet", "/plain/greet"] {
        assert!(announced(&node, path, LIMIT).await.ok().starts_with("Hello from"));
        assert!(chunked(&node, path, LIMIT).await.ok().starts_with("Hello from"));
    }
}
