//! More calls than a node can finish in time: they go to another that can, or are refused at once.

use std::time::{Duration, Instant};

use futures::future::join_all;
use reqwest::Method;
use spillway_tests::{Answer, Cluster, Node, Quota, bundle, manifest_of, wait_until, with_manifest, workspace};
use spillway_types::{Manifest, ProblemType, Residency};

use crate::clusters::SPREAD_MAX;

/// How long callers wait, and how many come at once: more than the edge finishes in that time.
const PATIENCE: Duration = Duration::from_millis(600);
const CROWD: usize = 300;
/// Something to look at, so that a call takes some milliseconds.
const FILE: &str = "fn main() {\n    println!(\"hello\");\n}\n";

fn call(node: &Node) -> reqwest::RequestBuilder {
    let patience = PATIENCE.as_millis().to_string();
    node.request(Method::POST, "/sniff").header("spillway-deadline-ms", patience).body(FILE.repeat(100))
}

/// How a crowd fared.
#[derive(Debug, Default)]
struct Fared {
    here: usize,
    there: usize,
    refused: Vec<Answer>,
    late: usize,
}

/// Sends so many calls at once.
async fn crowd(node: &Node) -> Fared {
    let mut fared = Fared::default();
    for answer in join_all((0..CROWD).map(|_| Node::send(call(node)))).await {
        match (answer.status, answer.header("spillway-node")) {
            (200, None) => fared.here += 1,
            (200, Some(_)) => fared.there += 1,
            (503, _) => fared.refused.push(answer),
            (504, _) => fared.late += 1,
            _ => panic!("{answer:?}"),
        }
    }
    fared
}

/// A small node with a large one beside it, both of which have learnt how long a call takes.
async fn pair(cluster: &Cluster, more: &[&str], change: impl FnOnce(&mut Manifest)) -> (Node, Node, Option<Quota>) {
    let quota = Quota::cores(0.5);
    let mut builder = cluster.builder("small", "edge", "paris").await.args(more);
    let entrance = quota.as_ref().map(Quota::entrance);
    if let Some(entrance) = &entrance {
        builder = builder.under(&entrance.each_ref().map(String::as_str));
    }
    let small = builder.start().await;
    let large = cluster.join("large", "cloud", "frankfurt").await;
    cluster.settled(&[&small, &large]).await;
    let built = bundle("sniff");
    let mut manifest = manifest_of(&built);
    manifest.limits.queue = 1000;
    change(&mut manifest);
    let file = cluster.path("sniff.wasm");
    std::fs::write(&file, with_manifest(&built, &manifest.to_bundle_toml())).expect("tests may write files");
    let model = workspace().join("target/models/magika/model.onnx");
    let model = format!("magika={}", model.display());
    let deployed = cluster.sign(&large, &["deploy", &file, "--model", &model]).await;
    assert_eq!(deployed.code, 0, "{deployed:#?}");
    for node in [&small, &large] {
        wait_until("it serves, and has learnt how long a call takes", SPREAD_MAX, async || {
            node.request(Method::POST, "/sniff")
                .body(FILE.repeat(100))
                .send()
                .await
                .is_ok_and(|answer| answer.status() == 200 && answer.headers().get("spillway-node").is_none())
        })
        .await;
        for _ in 0..20 {
            Node::send(node.request(Method::POST, "/sniff").body(FILE.repeat(100))).await.ok();
        }
    }
    wait_until("each knows that the other serves", SPREAD_MAX, async || {
        small.get("/functions").await[0]["nodes"].as_array().map_or(0, Vec::len) == 2
    })
    .await;
    wait_until("the small one knows what the large one has learnt", SPREAD_MAX, async || {
        let times = small.get("/nodes").await[1]["capacity"]["functions"][0]["service_times"].clone();
        times.as_array().is_some_and(|times| times.iter().any(|bucket| bucket["weight"].as_f64() > Some(15.0)))
    })
    .await;
    (small, large, quota)
}

#[tokio::test(flavor = "multi_thread")]
async fn a_crowd_is_shared_with_a_node_that_has_room_and_who_is_refused_is_refused_at_once() {
    let cluster = Cluster::start().await;
    let (small, _large, _quota) = pair(&cluster, &[], |_| {}).await;
    let fared = crowd(&small).await;
    assert!(fared.here > 0 && fared.there > 0, "{fared:?}");
    for answer in &fared.refused {
        answer.clone().problem(ProblemType::Overloaded, &["deadline", "try again"]);
        assert!(
            answer.header("retry-after").is_some_and(|after| after.parse::<u64>().is_ok_and(|seconds| seconds >= 1))
        );
    }
    let explained = small.cli(&["placement", "sniff"]).await;
    assert_eq!(explained.code, 0, "{explained:#?}");
    assert!(explained.stdout.contains("; here ") && explained.stdout.contains("; large "), "{explained:#?}");
    let sent = small.metrics().await.sum("spillway_sent_requests_total", &[("function", "sniff"), ("node", "large")]);
    assert!(sent.is_some_and(|sent| sent >= fared.there as f64), "{sent:?} for {}", fared.there);
}

#[tokio::test(flavor = "multi_thread")]
async fn calls_whose_data_may_not_leave_are_refused_instead() {
    let cluster = Cluster::start().await;
    let (small, large, _quota) = pair(&cluster, &[], |manifest| manifest.placement.residency = Residency::Site).await;
    let fared = crowd(&small).await;
    assert_eq!(fared.there, 0, "{fared:?}");
    assert!(!fared.refused.is_empty(), "{fared:?}");
    let taken = large.metrics().await.sum("spillway_requests_total", &[("function", "sniff")]).unwrap_or(0.0);
    assert!(taken <= 30.0, "the other node ran {taken} calls");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_node_told_to_keep_its_calls_refuses_what_would_be_late() {
    let cluster = Cluster::start().await;
    let (small, _large, _quota) = pair(&cluster, &["--no-overflow"], |_| {}).await;
    let started = Instant::now();
    let fared = crowd(&small).await;
    assert_eq!(fared.there, 0, "{fared:?}");
    assert!(!fared.refused.is_empty() && fared.here > 0, "{fared:?}");
    assert!(started.elapsed() < Duration::from_secs(30), "{:?}", started.elapsed());
}

#[tokio::test(flavor = "multi_thread")]
async fn a_node_that_dies_with_calls_in_flight_fails_none_that_may_run_twice() {
    let cluster = Cluster::start().await;
    let (small, large, _quota) = pair(&cluster, &[], |_| {}).await;
    let calls = crowd(&small);
    let killed = async {
        tokio::time::sleep(Duration::from_millis(150)).await;
        large.kill();
    };
    let (fared, ()) = tokio::join!(calls, killed);
    // What was there goes elsewhere, or is told that nobody makes it in time: never a broken answer.
    assert!(fared.here > 0, "{fared:?}");
    for answer in &fared.refused {
        assert!(answer.json()["detail"].is_string(), "{answer:?}");
    }
    wait_until("calls are answered as before", SPREAD_MAX, async || {
        let answer = Node::send(call(&small)).await;
        (answer.status, answer.header("spillway-node")) == (200, None)
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn over_a_way_that_falls_silent_every_call_ends_by_its_deadline_and_later_ones_stay() {
    let cluster = Cluster::over_network(3).await;
    let (small, _large, _quota) = pair(&cluster, &[], |_| {}).await;
    let started = Instant::now();
    let calls = async {
        let fared = crowd(&small).await;
        (fared, started.elapsed())
    };
    let silence = async {
        tokio::time::sleep(Duration::from_millis(100)).await;
        cluster.network().cut_off(&["large"]);
    };
    let ((fared, took), ()) = tokio::join!(calls, silence);
    // Nobody waits for a connection that says nothing: the deadline ends each call, and a busy machine may be late itself.
    assert!(took < PATIENCE + Duration::from_secs(5), "{took:?}: {fared:?}");
    assert_eq!(fared.here + fared.there + fared.refused.len() + fared.late, CROWD);
    wait_until("calls stay where they came", SPREAD_MAX, async || {
        let answer = Node::send(call(&small)).await;
        (answer.status, answer.header("spillway-node")) == (200, None)
    })
    .await;
    for _ in 0..20 {
        assert_eq!(Node::send(call(&small)).await.status, 200);
    }
    cluster.network().mend();
    cluster.settled(&[&small]).await;
}
