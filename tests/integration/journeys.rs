//! What travels with a call from node to node, and what comes back.

use std::time::Duration;

use reqwest::Method;
use spillway_tests::{Answer, Cluster, Node, wait_until};
use spillway_types::ProblemType;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;

use crate::clusters::SPREAD_MAX;
use crate::variants::{deploy_bundle, traveller};

const TRACE: &str = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01";

/// A node that sends all its calls to the other.
async fn pair() -> (Cluster, Node, Node) {
    let cluster = Cluster::start().await;
    let drained = cluster.join("drained", "edge", "paris").await;
    let other = cluster.join("other", "edge", "paris").await;
    cluster.settled(&[&drained, &other]).await;
    deploy_bundle(&cluster, &drained, &traveller(|_| {})).await;
    assert_eq!(drained.cli(&["drain", "drained"]).await.code, 0);
    wait_until("its calls go to the other", SPREAD_MAX, async || {
        drained.call("/misbehave/greet").await.header("spillway-node") == Some("other")
    })
    .await;
    (cluster, drained, other)
}

/// The answer of a call that was sent on.
#[track_caller]
fn from_other(answer: &Answer) -> String {
    assert_eq!(answer.header("spillway-node"), Some("other"), "{answer:?}");
    answer.ok()
}

#[tokio::test(flavor = "multi_thread")]
async fn the_callers_trace_goes_with_the_call_and_so_does_the_time_that_is_left() {
    let (_cluster, drained, _other) = pair().await;
    let call = drained.request(Method::GET, "/misbehave/header?name=traceparent").header("traceparent", TRACE);
    assert_eq!(from_other(&Node::send(call).await), TRACE);

    // Of the caller's time, or of the manifest's where the caller says nothing.
    let path = "/misbehave/header?name=spillway-deadline-ms";
    let left = |answer: &Answer| from_other(answer).parse::<u64>().expect("a number of milliseconds");
    let told = left(&Node::send(drained.request(Method::GET, path).header("spillway-deadline-ms", "20000")).await);
    assert!((1..20_000).contains(&told), "{told} ms are left of 20 s");
    let told = left(&drained.call(path).await);
    assert!((20_000..30_000).contains(&told), "{told} ms are left of 30 s");

    // What the caller itself used up is gone for the other node, too: half a second between two halves of its body.
    let address = drained.listen().strip_prefix("http://").expect("a plain address");
    let mut connection = TcpStream::connect(address).await.expect("the node listens");
    let head = format!(
        "POST {path} HTTP/1.1\r\nhost: x\r\nspillway-deadline-ms: 20000\r\ncontent-length: 8\r\nconnection: close\r\n\r\n"
    );
    connection.write_all(head.as_bytes()).await.expect("the node reads");
    tokio::time::sleep(Duration::from_millis(500)).await;
    connection.write_all(b"the body").await.expect("the node reads");
    let mut answer = String::new();
    connection.read_to_string(&mut answer).await.expect("the node closes");
    assert!(answer.contains("spillway-node: other\r\n"), "{answer}");
    let (_, body) = answer.split_once("\r\n\r\n").expect("a head and a body");
    let told: u64 = body.trim().parse().unwrap_or_else(|_| panic!("{answer}"));
    assert!((1..=19_500).contains(&told), "{told} ms are left of 20 s after half a second");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_call_that_the_other_nodes_quota_refuses_runs_where_it_was_taken_unless_that_ones_does_too() {
    let (_cluster, drained, other) = pair().await;
    // One call in a hundred seconds.
    let args = ["quota", "set", "default", "--calls-per-second", "0.01"];
    assert_eq!(other.cli(&args).await.code, 0);
    from_other(&drained.call("/misbehave/greet").await);
    let own = drained.call("/misbehave/greet").await;
    assert_eq!(own.header("spillway-node"), None, "{own:?}");
    assert_eq!(own.ok(), "Hello from misbehave\n");
    assert_eq!(drained.cli(&args).await.code, 0);
    assert_eq!(drained.call("/misbehave/greet").await.status, 200);
    let refused = drained.call("/misbehave/greet").await;
    refused.problem(ProblemType::QuotaExceeded, &["namespace default", "0.01 calls per second"]);
    assert_eq!(refused.header("retry-after"), Some("100"));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_functions_own_answer_is_no_refusal_of_its_node_whatever_it_looks_like() {
    let (_cluster, drained, other) = pair().await;
    let mut calls = 0;
    for status in [421, 503, 508, 403, 200] {
        for forged in [false, true] {
            let answer = drained.call(&format!("/misbehave/answer?status={status}&forged={forged}")).await;
            calls += 1;
            // As the function said it, from the node that ran it: its own word on where it runs is nobody's.
            assert_eq!((answer.status, answer.text().as_str()), (status, "the function's own words\n"), "{answer:?}");
            assert_eq!(answer.header("retry-after"), Some("77"), "{answer:?}");
            assert_eq!(answer.header("spillway-node"), Some("other"), "{answer:?}");
            for field in ["spillway-refused", "spillway-work-us"] {
                assert_eq!(answer.header(field), None, "{answer:?}");
            }
        }
    }
    let runs = async |node: &Node| {
        let records = node.logs("misbehave").await;
        records.iter().filter(|record| record["message"].to_string().contains("::answer: answer ")).count()
    };
    assert_eq!((runs(&other).await, runs(&drained).await), (calls, 0));
    wait_until("what was sent was answered there, and nothing else was", SPREAD_MAX, async || {
        let sent = drained.metrics().await.sum("spillway_sent_requests_total", &[("node", "other")]);
        sent == Some(other.metrics().await.requests("misbehave", "answered") as f64)
    })
    .await;
    // Nor does a caller of the node itself see what only nodes say.
    let answer = other.call("/misbehave/answer?status=503&forged=true").await;
    for field in ["spillway-refused", "spillway-node", "spillway-work-us"] {
        assert_eq!(answer.header(field), None, "{answer:?}");
    }
}
