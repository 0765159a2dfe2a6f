//! Logs, metrics, timing and traces of invocations.

use std::time::Duration;

use reqwest::Method;
use serde_json::Value;
use spillway_tests::{Node, wait_until};

const SOON: Duration = Duration::from_secs(20);

async fn node() -> Node {
    let node = Node::start().await;
    for guest in ["hello", "misbehave", "plain"] {
        node.deploy(guest).await;
    }
    node
}

#[tokio::test]
async fn a_line_of_the_guest_is_in_the_log_with_the_invocation_that_the_caller_was_told() {
    let node = node().await;
    for (function, lines) in [
        (
            "misbehave",
            &[("info", "a line for the log"), ("stdout", "a line on stdout"), ("stderr", "a line on stderr")][..],
        ),
        ("plain", &[("stdout", "a line on stdout")]),
    ] {
        let answer = node.call(&format!("/{function}/log")).await;
        let invocation = answer.header("spillway-invocation").expect("every answer names its invocation").to_owned();
        assert_eq!(invocation.len(), 32);
        // The end is recorded once the caller has the answer, so a little later.
        wait_until("the end of the invocation is in the log", SOON, async || {
            node.logs(function).await.iter().any(|record| record["outcome"] == "answered")
        })
        .await;
        let log = node.logs(function).await;
        for (level, line) in lines {
            let of_line = |record: &&Value| record["message"].as_str().is_some_and(|text| text.contains(line));
            let record = log.iter().find(of_line).unwrap_or_else(|| panic!("no `{line}` in {log:#?}"));
            assert_eq!(record["level"], *level, "{record:#}");
            assert_eq!(record["invocation"], invocation, "{record:#}");
            assert_eq!((&record["function"], &record["revision"]), (&format!("default/{function}").into(), &1.into()));
        }
        let end = log.last().expect("not empty");
        assert_eq!((&end["invocation"], &end["status"]), (&invocation.clone().into(), &200.into()), "{end:#}");
        assert!(end["seconds"].as_f64().is_some_and(|seconds| seconds > 0.0), "{end:#}");
        let ran = node.cli(&["logs", function, "-n", "50"]).await;
        assert!(ran.code == 0 && ran.stdout.contains(&format!("[{invocation}]")), "{ran:#?}");
    }
}

#[tokio::test]
async fn a_trap_tells_its_place_and_words_to_the_log_only() {
    let node = node().await;
    let answer = node.call("/misbehave/panic").await;
    assert!(!answer.text().contains("on purpose"), "{answer:?}");
    let log = node.logs("misbehave").await;
    let panic = log.iter().find(|record| record["message"].to_string().contains("on purpose"));
    let panic = panic.unwrap_or_else(|| panic!("no panic in {log:#?}"));
    assert!(panic["message"].as_str().is_some_and(|text| text.contains("misbehave/src/lib.rs:")), "{panic:#}");
    assert_eq!(panic["invocation"], answer.header("spillway-invocation").expect("it is named"));
}

#[tokio::test]
async fn followed_logs_come_as_they_are_written() {
    let node = node().await;
    let request = node.api(Method::GET, "/functions/default/misbehave/logs?tail=0&follow=true");
    let mut log = request.send().await.expect("the log begins");
    node.call("/misbehave/log").await.ok();
    let mut text = String::new();
    let line = async {
        while !text.contains("a line for the log") {
            let chunk = log.chunk().await.expect("it goes on").expect("it has no end");
            text.push_str(&String::from_utf8_lossy(&chunk));
        }
    };
    tokio::time::timeout(SOON, line).await.expect("the line comes");
    node.interrupt();
    let exit = node.wait(SOON).await;
    assert_eq!(exit.status.code(), Some(0), "a follower does not hold the node up: {exit:#?}");
}

#[tokio::test]
async fn metrics_count_each_invocation_by_its_outcome() {
    let node = node().await;
    for _ in 0..3 {
        node.call("/hello").await.ok();
    }
    assert_eq!(node.call("/hello/stream?chunks=100&bytes=1000").await.body.len(), 100_000);
    node.call("/misbehave/trap").await;
    node.call("/nowhere").await;
    node.call("/plain/greet").await.ok();
    wait_until("all calls are counted", SOON, async || {
        let metrics = node.metrics().await;
        metrics.sum("spillway_request_seconds_count", &[]) == Some(6.0)
    })
    .await;
    let metrics = node.metrics().await;
    for (function, outcome, count) in [
        ("hello", "answered", 4),
        ("hello", "cancelled", 0),
        ("misbehave", "trap", 1),
        ("misbehave", "answered", 0),
        ("plain", "answered", 1),
    ] {
        assert_eq!(metrics.requests(function, outcome), count, "{function} {outcome}");
    }
    assert_eq!(metrics.sum("spillway_unrouted_requests_total", &[]), Some(1.0));
    // One sandbox as a rule. But an answer is with its caller a moment before its sandbox waits again, and the next call,
    // if it comes in that moment, has one made; none has gone since.
    let cold_starts = metrics.sum("spillway_cold_starts_total", &[("function", "hello")]);
    assert!(cold_starts.is_some_and(|starts| (1.0..=4.0).contains(&starts)), "{cold_starts:?} cold starts of 4 calls");
    assert_eq!(metrics.sum("spillway_sandboxes", &[("function", "hello")]), cold_starts);
    assert!(
        metrics.sum("spillway_sandbox_memory_bytes", &[("function", "hello")]).is_some_and(|bytes| bytes >= 65536.0)
    );
    assert!(metrics.sum("spillway_resident_memory_bytes", &[]).is_some_and(|bytes| bytes > 1e6));
}

#[tokio::test]
async fn metrics_have_every_family_that_operators_watch_in_openmetrics_text() {
    let node = node().await;
    node.call("/hello").await.ok();
    let answer = Node::send(node.http().get(format!("{}/metrics", node.api_url()))).await;
    assert!(answer.header("content-type").is_some_and(|kind| kind.starts_with("application/openmetrics-text")));
    let text = answer.ok();
    assert!(text.ends_with("# EOF\n") && text.matches("# EOF").count() == 1, "{text}");
    for family in [
        "spillway_requests counter",
        "spillway_request_seconds histogram",
        "spillway_queue_seconds histogram",
        "spillway_cold_starts counter",
        "spillway_inference_seconds counter",
        "spillway_sandboxes gauge",
        "spillway_sandbox_memory_bytes gauge",
        "spillway_tensor_memory_bytes gauge",
        "spillway_queue_length gauge",
        "spillway_kernel_queue_length gauge",
        "spillway_kernel_seconds counter",
        "spillway_model_loads counter",
        "spillway_model_load_failures counter",
        "spillway_model_hits counter",
        "spillway_model_unloads counter",
        "spillway_resident_memory_bytes gauge",
        "spillway_unrouted_requests counter",
        "spillway_log_records_lost counter",
    ] {
        assert_eq!(text.matches(&format!("# TYPE {family}\n")).count(), 1, "{family} in:\n{text}");
    }
}

#[tokio::test]
async fn server_timing_says_where_the_time_went_when_asked() {
    let node = node().await;
    for path in ["/hello", "/plain/greet"] {
        let timed = async || Node::send(node.request(Method::GET, path).header("spillway-timing", "1")).await;
        assert_eq!(node.call(path).await.header("server-timing"), None, "nobody asked");
        node.deploy(if path == "/hello" { "misbehave" } else { "hello" }).await;
        let answer = timed().await;
        let timing = answer.header("server-timing").expect("it was asked for");
        let parts: Vec<&str> =
            timing.split(", ").filter_map(|part| part.split_once(";dur=").map(|(name, _)| name)).collect();
        assert_eq!(parts, ["queue", "infer", "total"], "warm: {timing}");
    }
    node.deploy("misbehave").await;
    node.call("/misbehave/trap").await;
    let request = node.request(Method::GET, "/misbehave/header?name=spillway-timing").header("spillway-timing", "1");
    let answer = Node::send(request).await;
    let timing = answer.header("server-timing").expect("it was asked for");
    assert!(timing.starts_with("queue;dur=") && timing.contains(", init;dur="), "cold: {timing}");
    assert_eq!(answer.ok(), "absent", "the guest is not asked for it");
}

#[tokio::test]
async fn a_trace_goes_on_through_the_guest_and_begins_where_there_is_none() {
    let node = node().await;
    let path = "/misbehave/header?name=traceparent";
    let parent = "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01";
    let answer = Node::send(node.request(Method::GET, path).header("traceparent", parent)).await;
    let seen = answer.ok();
    let (trace, flags) = (&seen[..36], &seen[52..]);
    assert_eq!((trace, flags), ("00-4bf92f3577b34da6a3ce929d0e0e4736-", "-01"), "{seen}");
    let answer = node.call(path).await;
    let invocation = answer.header("spillway-invocation").expect("it is named").to_owned();
    let parts: Vec<_> = answer.ok().split('-').map(str::len).collect();
    assert_eq!(parts, [2, 32, 16, 2]);
    assert!(answer.ok().contains(&invocation), "a new trace has the invocation's name");
}
