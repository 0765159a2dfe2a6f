//! Clocks that jump by hours while a node serves: deadlines, queues and what is stored do not care, since what measures
//! spans of time is the clock that never jumps.

use std::path::Path;
use std::process::Command;
use std::time::{Duration, Instant};

use reqwest::Method;
use spillway_tests::{Node, wait_until};
use spillway_types::ProblemType;

use crate::variants::hello_that_says;

const SOON: Duration = Duration::from_secs(30);

/// Sets the node's clock, as an operator or a time server would, while it runs.
fn jump(clock: &Path, offset: &str) {
    // Renamed into place, so that nobody reads half of it.
    let new = clock.with_extension("new");
    std::fs::write(&new, format!("{offset}\n"))
        .and_then(|()| std::fs::rename(&new, clock))
        .expect("the folder is ours");
}

/// A node whose clock is what the file says, now and later.
async fn node(folder: &Path, clock: &Path) -> Node {
    jump(clock, "+0");
    Node::builder().data(&folder.join("data")).clock_of(clock).start().await
}

/// The time of the newest record in the log of `misbehave`, in seconds since 1970.
async fn clock_of(node: &Node) -> i64 {
    let log = node.logs("misbehave").await;
    let time = log.last().and_then(|record| record["time"].as_str()).expect("each call leaves a record");
    let said = Command::new("date").args(["--utc", "--date", time, "+%s"]).output().expect("date is part of coreutils");
    String::from_utf8_lossy(&said.stdout).trim().parse().unwrap_or_else(|_| panic!("{time} is no time: {said:?}"))
}

/// Deadlines, deployments and data are as they should be.
async fn holds(node: &Node, word: &str, counted: u64) {
    let begun = Instant::now();
    node.call("/misbehave/loop").await.problem(ProblemType::Deadline, &["default/misbehave"]);
    // It has a second; a clock that is hours off would give it none, or hours.
    let took = begun.elapsed();
    assert!(took >= Duration::from_millis(900) && took < SOON, "{took:?}");
    let within = node.request(Method::GET, "/misbehave/slow?ms=5000").header("spillway-deadline-ms", "100");
    Node::send(within).await.problem(ProblemType::Deadline, &["default/misbehave"]);
    assert_eq!(node.call("/misbehave/slow?ms=50").await.ok(), "waited 50 ms\n");
    assert_eq!(node.post(hello_that_says(word), "").await.status, 201);
    assert_eq!(node.call("/hello").await.ok(), format!("{word}, world!\n"));
    Node::send(node.api(Method::POST, "/gc")).await.ok();
    assert_eq!(node.call("/misbehave/count").await.ok(), format!("{counted}\n"));
}

#[tokio::test]
async fn a_clock_that_jumps_by_hours_changes_no_deadline_and_loses_nothing() {
    let folder = tempfile::tempdir().expect("tests may write temporary files");
    let clock = folder.path().join("clock");
    let node = node(folder.path(), &clock).await;
    node.deploy("misbehave").await;
    node.deploy("hello").await;
    holds(&node, "Hello", 1).await;
    let before = clock_of(&node).await;

    // A call that is under way when the clock jumps ends as it would have.
    for (counted, offset, hours) in [(2, "+6h", 6), (3, "-6h", -6), (4, "+0", 0)] {
        let running = tokio::spawn(node.request(Method::GET, "/misbehave/slow?ms=700").send());
        let begun = format!("a call runs before {offset}");
        wait_until(&begun, SOON, async || node.metrics().await.sum("spillway_sandboxes", &[]) > Some(0.0)).await;
        jump(&clock, offset);
        wait_until("the node's clock has jumped", SOON, async || {
            node.call("/misbehave/greet").await.ok();
            let apart = clock_of(&node).await - before - hours * 3600;
            (0..600).contains(&apart)
        })
        .await;
        assert_eq!(running.await.expect("no panic").expect("an answer").status(), 200, "{offset}");
        holds(&node, &format!("Word {counted}"), counted).await;
    }
    let back = Node::send(node.api(Method::POST, "/functions/default/hello/rollback").body("{}")).await;
    assert_eq!(back.status, 200, "{back:?}");
    assert_eq!(node.call("/hello").await.ok(), "Word 3, world!\n");

    // Nor does it matter that the folder is from the future.
    node.kill();
    jump(&clock, "-1d");
    let node = Node::builder().data(&folder.path().join("data")).clock_of(&clock).start().await;
    assert_eq!(node.call("/hello").await.ok(), "Word 3, world!\n");
    assert_eq!(node.call("/misbehave/count").await.ok(), "5\n");
}
