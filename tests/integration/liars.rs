//! A peer that says it has nothing to do and is ten times as fast, and is not: every call ends, none that must not runs
//! twice, and soon nothing is sent there.

use std::collections::BTreeSet;
use std::time::{Duration, Instant};

use futures::future::join_all;
use reqwest::Method;
use spillway_tests::{Answer, Cluster, Node};
use spillway_types::{Effects, Prefer, Problem, ProblemType};

use crate::fake_peer::{Conduct, FakePeer};
use crate::variants::{deploy_bundle, traveller};

const CALL: &str = "/misbehave/work?ms=100";
/// How long callers wait, and what a busy machine may add to that.
const PATIENCE: Duration = Duration::from_secs(3);
const SLACK: Duration = Duration::from_secs(10);
const CROWD: usize = 20;
/// Calls from which the edge node learns how long they take.
const WARM_UP: usize = 5;

/// An edge node that knows how long its calls take, and a peer that claims to be faster.
struct Pair {
    _cluster: Cluster,
    edge: Node,
    liar: FakePeer,
}

impl Pair {
    async fn start(conduct: Conduct, effects: Effects) -> Self {
        let cluster = Cluster::start().await;
        let edge = cluster.join("edge", "edge", "paris").await;
        // As calls of a node that has too much to do, these go to whoever is expected to be done first.
        let bundle = traveller(|manifest| (manifest.placement.prefer, manifest.effects) = (Prefer::Fast, effects));
        deploy_bundle(&cluster, &edge, &bundle).await;
        let liar = FakePeer::start(&cluster, &edge, "liar", "dc-1", conduct).await;
        let pair = Self { _cluster: cluster, edge, liar };
        for _ in 0..WARM_UP {
            pair.call().await.ok();
        }
        pair.liar.boast(&pair.edge).await;
        pair
    }

    /// One call, which has to end in time.
    async fn call(&self) -> Answer {
        let patience = PATIENCE.as_millis().to_string();
        let started = Instant::now();
        let call = self.edge.request(Method::POST, CALL).header("spillway-deadline-ms", patience).body("some work");
        let answer = Node::send(call).await;
        assert!(started.elapsed() < PATIENCE + SLACK, "{:?}: {answer:?}", started.elapsed());
        answer
    }

    async fn crowd(&self) -> Vec<Answer> {
        join_all((0..CROWD).map(|_| self.call())).await
    }

    /// Sends calls that may not run twice until one stays: the peer is found out by three failures in a row, of which the crowd may
    /// have seen fewer.
    async fn is_found_out(&self) {
        for _ in 0..3 {
            let answer = self.call().await;
            if is_of_the_edge(&answer) {
                return;
            }
            answer.problem(ProblemType::Ambiguous, &["liar", "`unsafe`"]);
        }
    }

    /// Once the peer is found out, calls are answered where they came.
    async fn calls_stay(&self) {
        for _ in 0..5 {
            let answer = self.call().await;
            assert_eq!(answer.header("spillway-node"), None, "{answer:?}");
            answer.ok();
        }
    }

    /// The invocations that the edge node has run, by what the function wrote.
    async fn ran(&self) -> Vec<String> {
        let records = self.edge.logs("misbehave").await;
        let begun = records.iter().filter(|record| record["message"] == "misbehave: work on some work");
        begun.map(|record| record["invocation"].as_str().expect("it is of a call").to_owned()).collect()
    }

    /// No call was run here and sent there, or either of it twice.
    async fn nothing_ran_twice(&self) {
        let ran = self.ran().await;
        assert!(ran.len() > WARM_UP, "{ran:?}");
        let all = [ran, self.liar.taken()].concat();
        let different: BTreeSet<&String> = all.iter().collect();
        assert_eq!(different.len(), all.len(), "{all:?}");
    }
}

/// The invocation of a call that was answered or refused.
fn invocation(answer: &Answer) -> String {
    answer.header("spillway-invocation").expect("each call has a name").to_owned()
}

/// An answer of the edge node itself, or its word that it has no time for the call.
fn is_of_the_edge(answer: &Answer) -> bool {
    let problem =
        || serde_json::from_slice::<Problem>(&answer.body).unwrap_or_else(|error| panic!("{error}: {answer:?}"));
    match answer.status {
        200 => answer.header("spillway-node").is_none(),
        503 => problem().is(ProblemType::Overloaded) && answer.header("retry-after").is_some(),
        // On a busy machine a turn that came too late.
        504 => problem().is(ProblemType::Deadline) && !problem().detail.contains("liar"),
        _ => false,
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn calls_to_a_peer_that_never_answers_end_at_their_deadline_and_later_ones_stay() {
    let pair = Pair::start(Conduct::Stall, Effects::Unsafe).await;
    let answers = pair.crowd().await;
    let taken = pair.liar.taken();
    assert!(!taken.is_empty(), "the peer was believed: {answers:?}");
    for answer in &answers {
        if taken.contains(&invocation(answer)) {
            answer.problem(ProblemType::Deadline, &["before its deadline", "liar may have run it"]);
        } else {
            assert!(is_of_the_edge(answer), "{answer:?}");
        }
    }
    pair.calls_stay().await;
    pair.nothing_ran_twice().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn calls_that_a_peer_refuses_run_where_they_came_or_are_refused_at_once() {
    let pair = Pair::start(Conduct::Refuse, Effects::Unsafe).await;
    let answers = pair.crowd().await;
    assert!(!pair.liar.taken().is_empty(), "the peer was believed: {answers:?}");
    assert!(answers.iter().all(is_of_the_edge), "{answers:?}");
    assert!(answers.iter().any(|answer| answer.status == 200), "{answers:?}");
    pair.calls_stay().await;
    // Who refuses has not run it: that is what the refusal says. Here it ran once.
    let ran = pair.ran().await;
    assert_eq!(ran.iter().collect::<BTreeSet<_>>().len(), ran.len(), "{ran:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn an_unsafe_call_on_a_connection_that_broke_is_ambiguous_and_never_runs_again() {
    let pair = Pair::start(Conduct::Break, Effects::Unsafe).await;
    let first = pair.call().await;
    first.problem(ProblemType::Ambiguous, &["liar, which may have run it", "`unsafe`"]);
    assert_eq!(pair.liar.taken(), [invocation(&first)]);
    let answers = pair.crowd().await;
    let taken = pair.liar.taken();
    for answer in &answers {
        if is_of_the_edge(answer) {
            assert!(!taken.contains(&invocation(answer)), "{answer:?}");
        } else {
            // Given to the connection, seen by the peer or not.
            answer.problem(ProblemType::Ambiguous, &["liar", "`unsafe`"]);
        }
    }
    pair.is_found_out().await;
    pair.calls_stay().await;
    pair.nothing_ran_twice().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_call_without_effects_on_a_connection_that_broke_runs_again_and_is_answered() {
    let pair = Pair::start(Conduct::Break, Effects::None).await;
    let first = pair.call().await;
    assert_eq!(pair.liar.taken(), [invocation(&first)]);
    assert_eq!(first.header("spillway-node"), None);
    first.ok();
    assert!(pair.ran().await.contains(&invocation(&first)), "the peer took it, and it ran here");
    let answers = pair.crowd().await;
    assert!(answers.iter().all(is_of_the_edge), "{answers:?}");
    pair.calls_stay().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_peer_that_is_slower_than_it_says_is_believed_less_with_each_answer() {
    let pair = Pair::start(Conduct::Dawdle(Duration::from_secs(1)), Effects::Unsafe).await;
    let mut there = 0;
    for _ in 0..15 {
        let answer = pair.call().await;
        there += usize::from(answer.header("spillway-node").is_some());
        answer.ok();
    }
    assert!((1..=5).contains(&there), "{there} of 15 calls went to the peer");
    pair.nothing_ran_twice().await;
}
