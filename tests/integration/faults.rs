//! Guests that loop, take all memory, trap or do not answer: one call fails, by its own name, and nothing else.

use std::time::Duration;

use reqwest::{Method, RequestBuilder};
use spillway_tests::{Answer, Node, bare, bundle, wait_until, with_manifest};
use spillway_types::Effects;
use spillway_types::ProblemType::{self, Deadline, NoResponse, OutOfMemory, SandboxLost, Trap};

use crate::serving;

/// The guests' deadline is one second; a node that forgets a call keeps it for ever.
const SOON: Duration = Duration::from_secs(20);

/// What each misdeed must come to, and what its detail must name beside the function.
const MISDEEDS: [(&str, ProblemType, &str); 10] = [
    ("/misbehave/loop", Deadline, "`deadline` under [limits]"),
    ("/misbehave/wait", Deadline, "`deadline` under [limits]"),
    ("/misbehave/allocate", OutOfMemory, "16.0 MiB of memory; raise `memory` under [limits]"),
    ("/misbehave/panic", Trap, "`spillway logs default/misbehave`"),
    ("/misbehave/trap", Trap, "`spillway logs default/misbehave`"),
    ("/misbehave/exit", Trap, "`spillway logs default/misbehave`"),
    ("/plain/loop", Deadline, "`deadline` under [limits]"),
    ("/plain/allocate", OutOfMemory, "16.0 MiB of memory; raise `memory` under [limits]"),
    ("/plain/trap", Trap, "`spillway logs default/plain`"),
    ("/plain/silent", NoResponse, "`spillway logs default/plain`"),
];

async fn node() -> Node {
    let node = Node::start().await;
    for guest in ["hello", "misbehave", "plain"] {
        node.deploy(guest).await;
    }
    node
}

async fn soon(call: impl Future<Output = Answer>) -> Answer {
    tokio::time::timeout(SOON, call).await.expect("the node answers by the deadline, with some slack")
}

#[tokio::test]
async fn each_misdeed_has_its_own_problem_and_the_next_call_is_answered() {
    let node = node().await;
    for (path, kind, part) in MISDEEDS {
        let function = path.split('/').nth(1).expect("the first segment is the function");
        let answer = soon(node.call(path)).await;
        let problem = answer.problem(kind, &[&format!("default/{function}"), part]);
        let invocation = problem.invocation.expect("a failed call can be looked up");
        assert_eq!(answer.header("spillway-invocation"), Some(invocation.as_str()));
        let end = node.logs(function).await.into_iter().rfind(|record| record["outcome"].is_string());
        let end = end.expect("the end of each invocation is in the log");
        assert_eq!((&end["outcome"], &end["invocation"]), (&kind.slug().into(), &invocation.into()), "{path}: {end:#}");
        assert!(soon(node.call(&format!("/{function}/greet"))).await.ok().starts_with("Hello from"), "after {path}");
    }
}

#[tokio::test]
async fn each_misdeed_is_counted_by_its_outcome_and_leaves_no_sandbox_behind() {
    let node = node().await;
    for (path, kind, _) in MISDEEDS {
        soon(node.call(path)).await.problem(kind, &[]);
    }
    let metrics = node.metrics().await;
    for function in ["misbehave", "plain"] {
        for kind in [Deadline, OutOfMemory, Trap, NoResponse] {
            let of = |(path, found, _): &&(&str, ProblemType, &str)| {
                *found == kind && path.starts_with(&format!("/{function}/"))
            };
            let expected = MISDEEDS.iter().filter(of).count() as u64;
            assert_eq!(metrics.requests(function, kind.slug()), expected, "{function} {}", kind.slug());
        }
    }
    wait_until("the sandboxes of failed calls are gone", SOON, async || {
        // One of each function may stay, warm for the next call.
        node.metrics().await.sum("spillway_sandboxes", &[]).is_some_and(|alive| alive <= 3.0)
    })
    .await;
}

/// A guest with more time than a test needs, so that what comes before its deadline comes long before it.
fn patient(guest: &str) -> Vec<u8> {
    with_manifest(
        &bundle(guest),
        &serving::changed(guest, |manifest| manifest.limits.deadline = Duration::from_secs(5)),
    )
}

#[tokio::test]
async fn other_functions_answer_while_guests_loop_on_every_core() {
    let node = node().await;
    for guest in ["misbehave", "plain"] {
        assert_eq!(node.post(patient(guest), "").await.status, 201);
        let path = format!("/{guest}/loop");
        let looping: Vec<_> = (0..4).map(|_| tokio::spawn(node.request(Method::GET, &path).send())).collect();
        for _ in 0..3 {
            assert_eq!(soon(node.call("/hello")).await.ok(), "Hello, world!\n");
        }
        assert!(looping.iter().all(|call| !call.is_finished()), "hello answers while {path} runs");
        for call in looping {
            let response = call.await.expect("no panic").expect("an answer");
            Answer::read(response).await.expect("a whole one").problem(Deadline, &[]);
        }
    }
}

#[tokio::test]
async fn a_call_after_one_that_ran_into_its_deadline_does_not_wait_for_the_old_sandbox() {
    let node = Node::start().await;
    for guest in ["misbehave", "plain"] {
        assert_eq!(node.post(patient(guest), "").await.status, 201);
        let within = |path: &str, ms: &str| {
            let path = format!("/{guest}/{path}");
            Node::send(node.request(Method::GET, &path).header("spillway-deadline-ms", ms))
        };
        let stuck = if guest == "misbehave" { "wait" } else { "loop" };
        soon(within(stuck, "100")).await.problem(Deadline, &[]);
        // The old sandbox may live until its function's own deadline, in five seconds.
        for _ in 0..4 {
            assert!(soon(within("greet", "2000")).await.ok().starts_with("Hello from"));
        }
    }
}

#[tokio::test]
async fn a_caller_may_ask_for_less_time_than_the_manifest_gives() {
    let node = Node::start().await;
    // Without a manifest the deadline would be half a minute.
    assert_eq!(node.post(bare(&bundle("plain")), "name=plain&route=/plain/*").await.status, 201);
    let request = node.request(Method::GET, "/plain/loop").header("spillway-deadline-ms", "200");
    soon(Node::send(request)).await.problem(Deadline, &["default/plain"]);
}

/// Has a slow call lose its sandbox to one that misbehaves; gives the answers to both.
async fn lose(node: &Node, slow: RequestBuilder, misdeed: RequestBuilder) -> (Answer, Answer) {
    node.call("/misbehave/greet").await.ok();
    let slow = tokio::spawn(slow.send());
    wait_until("the slow call is in its sandbox", SOON, async || {
        node.logs("misbehave").await.iter().any(|record| record["message"].to_string().contains("slow begins"))
    })
    .await;
    let failed = soon(Node::send(misdeed)).await;
    let slow = Answer::read(slow.await.expect("no panic").expect("an answer")).await.expect("a whole one");
    (failed, slow)
}

async fn with_effects(effects: Effects) -> Node {
    let node = Node::start().await;
    let manifest = serving::changed("misbehave", |manifest| {
        manifest.effects = effects;
        manifest.limits.deadline = Duration::from_secs(20);
    });
    assert_eq!(node.post(with_manifest(&bundle("misbehave"), &manifest), "").await.status, 201);
    node
}

#[tokio::test]
async fn calls_that_shared_the_sandbox_of_a_trap_hear_that_it_was_lost_where_they_may_not_run_twice() {
    let node = with_effects(Effects::Unsafe).await;
    let [slow, trap] = ["slow?ms=900", "trap"].map(|path| node.request(Method::GET, &format!("/misbehave/{path}")));
    let (trapped, lost) = lose(&node, slow, trap).await;
    // Two invocations were alive: which of them it was, the host cannot tell.
    assert!([500, 503].contains(&trapped.status), "{trapped:?}");
    lost.problem(SandboxLost, &["default/misbehave", "try again"]);
    assert_eq!(lost.header("retry-after"), Some("1"));
    assert_eq!(soon(node.call("/misbehave/slow?ms=1")).await.ok(), "waited 1 ms\n");
}

#[tokio::test]
async fn calls_that_lost_their_sandbox_run_again_alone_where_their_effects_allow() {
    for effects in [Effects::None, Effects::Idempotent] {
        let node = with_effects(effects).await;
        let slow = node.request(Method::POST, "/misbehave/slow?ms=900").body("a body that is needed twice");
        let (trapped, again) = lose(&node, slow, node.request(Method::GET, "/misbehave/trap")).await;
        assert_eq!(again.ok(), "waited 900 ms\n");
        // Alone it is plain whose fault it was.
        trapped.problem(Trap, &["default/misbehave"]);
        assert_eq!(node.metrics().await.sum("spillway_reruns_total", &[("function", "misbehave")]), Some(2.0));
        assert_eq!(node.metrics().await.requests("misbehave", "sandbox-lost"), 0);
    }
}

#[tokio::test]
async fn a_loop_ends_its_sandbox_at_its_own_deadline_and_not_at_that_of_the_others() {
    let node = with_effects(Effects::None).await;
    let [slow, endless] = ["slow?ms=900", "loop"].map(|path| node.request(Method::GET, &format!("/misbehave/{path}")));
    let (late, again) = lose(&node, slow, endless.header("spillway-deadline-ms", "100")).await;
    late.problem(Deadline, &["default/misbehave"]);
    // Its own deadline is in twenty seconds, and until then the loop would have kept it waiting.
    assert_eq!(again.ok(), "waited 900 ms\n");
    assert_eq!(node.metrics().await.sum("spillway_reruns_total", &[("function", "misbehave")]), Some(1.0));
}

#[tokio::test]
async fn calls_that_are_caught_as_they_are_answered_run_again_instead_of_breaking_off() {
    const CALLERS: usize = 32;
    const CALLS: usize = 30;
    let node = with_effects(Effects::None).await;
    let request = |path: &str| node.request(Method::GET, &format!("/misbehave/{path}"));
    // One keeps the others from their last steps while it computes, another in a call of the host; a third ends them at once.
    let misdeeds = ["loop", "trap"].map(async |misdeed| {
        loop {
            let answer = Node::send(request(misdeed).header("spillway-deadline-ms", "100")).await;
            assert!([500, 504].contains(&answer.status), "{answer:?}");
        }
    });
    let callers = (0..CALLERS).map(async |caller| {
        let path = if caller % 2 == 0 { "greet" } else { "count" };
        for _ in 0..CALLS {
            let read = async { Answer::read(request(path).send().await?).await };
            assert_eq!(read.await.expect("a whole one").status, 200);
        }
    });
    tokio::select! {
        _ = futures::future::join_all(misdeeds) => unreachable!("they never end"),
        _ = futures::future::join_all(callers) => {}
    }
    assert!(node.metrics().await.sum("spillway_reruns_total", &[("function", "misbehave")]) > Some(0.0));
}

#[tokio::test]
async fn a_response_that_breaks_off_half_way_is_not_taken_for_complete() {
    let node = node().await;
    for (count, path) in [(1, "/misbehave/half"), (2, "/misbehave/broken"), (1, "/plain/half")] {
        let read = async {
            let response = node.request(Method::GET, path).send().await?;
            Answer::read(response).await
        };
        let read = tokio::time::timeout(SOON, read).await.expect("it ends");
        assert!(read.is_err(), "{path}: half of an answer was taken for a whole one: {read:?}");
        let function = path.split('/').nth(1).expect("the first segment is the function");
        wait_until("the broken answer is counted as a trap", SOON, async || {
            node.metrics().await.requests(function, "trap") == count
        })
        .await;
        assert!(soon(node.call(&format!("/{function}/greet"))).await.ok().starts_with("Hello from"));
    }
}

#[tokio::test]
async fn what_a_function_fails_with_is_for_its_log_and_not_for_its_callers() {
    let node = node().await;
    let answer = node.call("/misbehave/fail").await;
    assert_eq!(answer.status, 500, "{answer:?}");
    assert!(!answer.text().contains("secret"), "{answer:?}");
    let log = node.logs("misbehave").await;
    assert!(log.iter().any(|record| record["message"].to_string().contains("a secret of the function")), "{log:#?}");
}
