//! Two builds of Spillway that meet: in one cluster, and one after the other on one data folder.
//!
//! The other build is that of `SPILLWAY_TEST_PREVIOUS`; `cargo xtask compat` builds the one that was tagged last, and runs
//! these. Without it both are the same build, which has to get along with itself.

use std::path::PathBuf;
use std::process::Command;
use std::time::Duration;

use spillway_tests::{Cluster, Node, bundle_file, spillway, wait_until};

use crate::clusters::{SPREAD_MAX, deploy, greets, state};
use crate::variants::hello_that_says;

fn previous() -> PathBuf {
    std::env::var_os("SPILLWAY_TEST_PREVIOUS").map_or_else(spillway, PathBuf::from)
}

/// What a build calls itself: `0.2.0`.
fn version(program: &std::path::Path) -> String {
    let said = Command::new(program).arg("--version").output().expect("it can be run").stdout;
    let said = String::from_utf8(said).expect("a version is text");
    said.trim().trim_start_matches("spillway ").to_owned()
}

#[tokio::test(flavor = "multi_thread")]
async fn nodes_of_two_builds_are_one_cluster() {
    let cluster = Cluster::start().await;
    let old = cluster.builder("old", "edge", "paris").await.program(&previous()).start().await;
    let new = cluster.join("new", "edge", "paris").await;
    cluster.settled(&[&old, &new]).await;
    for (node, name, program) in [(&new, "old", previous()), (&old, "new", spillway())] {
        let nodes = node.get("/nodes").await;
        let other = nodes.as_array().expect("a list").iter().find(|other| other["identity"]["node"] == name);
        assert_eq!(other.expect("it knows the other")["version"], version(&program));
    }
    assert_eq!(deploy(&cluster, &old, "Salut").await.code, 0);
    greets(&new, "Salut").await;
    assert_eq!(deploy(&cluster, &new, "Ciao").await.code, 0);
    greets(&old, "Ciao").await;
    assert_eq!(cluster.sign(&old, &["rollback", "hello"]).await.code, 0);
    for node in [&old, &new] {
        greets(node, "Salut").await;
    }

    // Calls travel both ways.
    let file = bundle_file("misbehave").display().to_string();
    assert_eq!(cluster.sign(&old, &["deploy", &file]).await.code, 0);
    wait_until("calls go to the owner", SPREAD_MAX, async || {
        let answer = new.call("/misbehave/count").await;
        (answer.status, answer.header("spillway-node")) == (200, Some("old"))
    })
    .await;
    assert_eq!(new.cli(&["drain", "old"]).await.code, 0);
    wait_until("a call goes to the other", SPREAD_MAX, async || {
        old.call("/hello").await.header("spillway-node") == Some("new")
    })
    .await;
    assert_eq!(new.cli(&["uncordon", "old"]).await.code, 0);

    old.kill();
    wait_until("the dead node is noticed", SPREAD_MAX, async || state(&new, "old").await == "dead").await;
    assert_eq!(new.call("/hello").await.ok(), "Salut, world!\n");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_data_folder_goes_from_one_build_to_the_next() {
    let folder = tempfile::tempdir().expect("tests may write temporary files");
    let data = folder.path().join("data");
    let old = Node::builder().data(&data).program(&previous()).start().await;
    let answer = old.post(hello_that_says("Salut"), "").await;
    assert_eq!(answer.status, 201, "{answer:?}");
    old.interrupt();
    assert!(old.wait(Duration::from_secs(30)).await.status.success());

    let new = Node::builder().data(&data).start().await;
    assert_eq!(new.call("/hello").await.ok(), "Salut, world!\n");
    assert_eq!(new.post(hello_that_says("Ciao"), "").await.status, 201);
    new.interrupt();
    assert!(new.wait(Duration::from_secs(30)).await.status.success());

    // Back again: it serves, or says what it cannot read, and touches nothing.
    match Node::builder().data(&data).program(&previous()).try_start().await {
        Ok(old) => assert_eq!(old.call("/hello").await.ok(), "Ciao, world!\n"),
        Err(exit) => assert!(exit.stderr.contains("newer") && exit.stderr.contains("spillway"), "{exit:#?}"),
    }
    let new = Node::builder().data(&data).start().await;
    assert_eq!(new.call("/hello").await.ok(), "Ciao, world!\n");
}
