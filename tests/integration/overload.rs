//! More calls than a function may run: some wait their turn, the rest is turned away at once.

use std::time::Duration;

use reqwest::Method;
use spillway_tests::{Answer, Node, bundle, wait_until, with_manifest};
use spillway_types::ProblemType;

use crate::serving;

const SOON: Duration = Duration::from_secs(20);

/// `misbehave` with room for one call at once and one that waits.
async fn node() -> Node {
    let node = Node::start().await;
    let manifest = serving::changed("misbehave", |manifest| {
        manifest.limits.concurrency = 1;
        manifest.limits.queue = 1;
        manifest.limits.deadline = SOON;
    });
    assert_eq!(node.post(with_manifest(&bundle("misbehave"), &manifest), "").await.status, 201);
    node
}

async fn waiting(node: &Node, count: f64) {
    wait_until(&format!("{count} calls wait"), SOON, async || {
        node.metrics().await.sum("spillway_queue_length", &[]) == Some(count)
    })
    .await;
}

async fn begun(node: &Node) {
    wait_until("the slow call is in its sandbox", SOON, async || {
        node.logs("misbehave").await.iter().any(|record| record["message"].to_string().contains("slow begins"))
    })
    .await;
}

#[tokio::test]
async fn a_call_that_finds_the_queue_full_is_503_at_once_and_those_before_it_are_answered() {
    let node = node().await;
    let slow = || tokio::spawn(node.request(Method::GET, "/misbehave/slow?ms=1000").send());
    let running = slow();
    begun(&node).await;
    let queued = slow();
    waiting(&node, 1.0).await;
    let answer = node.call("/misbehave/greet").await;
    answer.problem(ProblemType::QueueFull, &["1 calls of default/misbehave", "try again later"]);
    assert_eq!(answer.header("retry-after"), Some("1"));
    for call in [running, queued] {
        let response = call.await.expect("no panic").expect("an answer");
        assert_eq!(Answer::read(response).await.expect("a whole one").ok(), "waited 1000 ms\n");
    }
    waiting(&node, 0.0).await;
    assert_eq!(node.call("/misbehave/greet").await.status, 200);
    assert_eq!(node.metrics().await.requests("misbehave", "refused"), 1);
}

#[tokio::test]
async fn a_full_queue_says_how_long_calls_take() {
    let node = node().await;
    let slow = || node.request(Method::GET, "/misbehave/slow?ms=2500").send();
    // Once, so that the node knows.
    assert_eq!(slow().await.expect("an answer").status(), 200);
    let calls = [tokio::spawn(slow()), tokio::spawn(slow())];
    waiting(&node, 1.0).await;
    let answer = node.call("/misbehave/greet").await;
    answer.problem(ProblemType::QueueFull, &["try again later, in 3 s"]);
    assert_eq!(answer.header("retry-after"), Some("3"));
    for call in calls {
        assert_eq!(call.await.expect("no panic").expect("an answer").status(), 200);
    }
}

#[tokio::test]
async fn a_call_that_so_many_wait_before_that_it_would_be_late_is_refused_at_once_however_long_the_queue_may_be() {
    let node = Node::start().await;
    let manifest = serving::changed("misbehave", |manifest| {
        (manifest.limits.concurrency, manifest.limits.queue) = (1, 1000);
        manifest.limits.deadline = SOON;
    });
    assert_eq!(node.post(with_manifest(&bundle("misbehave"), &manifest), "").await.status, 201);
    let slow = || node.request(Method::GET, "/misbehave/slow?ms=2000");
    // Once, so that the node knows.
    assert_eq!(Node::send(slow()).await.status, 200);
    let calls = [(); 3].map(|()| tokio::spawn(slow().send()));
    waiting(&node, 2.0).await;
    let late = Node::send(slow().header("spillway-deadline-ms", "2500")).await;
    late.problem(ProblemType::Overloaded, &["2 calls of default/misbehave wait", "try again later, in"]);
    // It would begin in four to six seconds and take two, and has two and a half.
    let again: u32 = late.header("retry-after").expect("it says when").parse().expect("in seconds");
    assert!((3..=6).contains(&again), "{late:?}");
    // Who has the time waits its turn.
    assert_eq!(Node::send(slow()).await.status, 200);
    for call in calls {
        assert_eq!(call.await.expect("no panic").expect("an answer").status(), 200);
    }
}

#[tokio::test]
async fn a_call_whose_turn_does_not_come_before_its_deadline_is_504_and_leaves_the_queue() {
    let node = node().await;
    let running = tokio::spawn(node.request(Method::GET, "/misbehave/slow?ms=1500").send());
    begun(&node).await;
    let late = node.request(Method::GET, "/misbehave/greet").header("spillway-deadline-ms", "50");
    Node::send(late).await.problem(ProblemType::Deadline, &["default/misbehave was busy", "try again later"]);
    waiting(&node, 0.0).await;
    assert!(!running.is_finished(), "the one before it still ran");
    assert_eq!(running.await.expect("no panic").expect("an answer").status(), 200);
}

#[tokio::test]
async fn a_caller_that_hangs_up_while_it_waits_gives_its_place_in_the_queue_to_others() {
    let node = node().await;
    let running = tokio::spawn(node.request(Method::GET, "/misbehave/slow?ms=2000").send());
    begun(&node).await;
    let impatient = tokio::spawn(node.request(Method::GET, "/misbehave/greet").send());
    waiting(&node, 1.0).await;
    impatient.abort();
    waiting(&node, 0.0).await;
    let patient = tokio::spawn(node.request(Method::GET, "/misbehave/greet").send());
    waiting(&node, 1.0).await;
    for call in [running, patient] {
        assert_eq!(call.await.expect("no panic").expect("an answer").status(), 200);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn callers_who_say_that_they_can_wait_come_after_others() {
    let node = Node::start().await;
    let manifest = serving::changed("misbehave", |manifest| {
        manifest.limits.deadline = SOON;
        manifest.limits.queue = 1000;
    });
    assert_eq!(node.post(with_manifest(&bundle("misbehave"), &manifest), "").await.status, 201);
    let work = |priority: &str| {
        let request = node.request(Method::GET, "/misbehave/work?ms=50");
        request.header("spillway-priority", priority).send()
    };
    // Only of what is known to compute for long is there a queue for the whole node.
    for _ in 0..5 {
        assert_eq!(work("normal").await.expect("an answer").status(), 200);
    }
    let patient: Vec<_> = (0..40).map(|_| tokio::spawn(work("low"))).collect();
    wait_until("many of them wait", SOON, async || {
        node.metrics().await.sum("spillway_queue_length", &[]).is_some_and(|waiting| waiting >= 25.0)
    })
    .await;
    assert_eq!(work("normal").await.expect("an answer").status(), 200);
    let served = patient.iter().filter(|call| call.is_finished()).count();
    assert!(served < 30, "{served} of 40 that can wait were served before it");
    for call in patient {
        assert_eq!(call.await.expect("no panic").expect("an answer").status(), 200);
    }
}
