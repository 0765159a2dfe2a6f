//! Nodes that run out of file handles or of memory areas: what has a connection and a sandbox is served, the rest hears
//! why not, and the node is well again when there are some.

use std::process::{Child, Command, Stdio};
use std::time::Duration;

use reqwest::Method;
use spillway_tests::{Node, wait_until};
use spillway_types::ProblemType;
use tokio::net::TcpStream;

use crate::faults_disk::{is_well, says};
use crate::variants::{hello_that_says, variant};

const SOON: Duration = Duration::from_secs(30);

async fn connect(node: &Node) -> TcpStream {
    let address = node.listen().trim_start_matches("http://");
    TcpStream::connect(address).await.expect("the kernel takes connections before the node does")
}

/// Starts a node with room for so few open files.
async fn node_with_handles(handles: usize) -> Node {
    let limit = format!("--nofile={handles}:{handles}");
    let node = Node::builder().under(&["prlimit", &limit]).start().await;
    node.deploy("hello").await;
    node.deploy("misbehave").await;
    node
}

#[tokio::test]
async fn callers_never_take_the_last_file_handles() {
    let node = node_with_handles(256).await;
    node.call("/hello").await.ok();
    let mut idle = Vec::new();
    for _ in 0..200 {
        // More than the node takes, and fewer than the kernel keeps waiting for it.
        idle.push(connect(&node).await);
    }
    let said = says(&node, "file-handles").await;
    assert!(said.contains("128 connections") && said.contains("ulimit -n"), "{said}");
    // The test's client has a connection already; the control API has handles of its own.
    assert_eq!(node.call("/hello").await.ok(), "Hello, world!\n");
    node.call("/misbehave/count").await.ok();
    assert_eq!(node.post(hello_that_says("Salut"), "").await.status, 201);
    assert_eq!(node.cli(&["ls"]).await.code, 0);
    let late = tokio::spawn(reqwest::Client::new().get(format!("{}/hello", node.listen())).send());
    assert_eq!(node.call("/hello").await.ok(), "Salut, world!\n");
    assert!(!late.is_finished(), "all places are taken");

    drop(idle);
    let late = late.await.expect("no panic").expect("who waited is answered");
    assert_eq!(late.status(), 200);
    is_well(&node).await;
}

#[tokio::test]
async fn a_node_whose_last_file_handle_is_taken_serves_its_connections_and_loses_nothing() {
    let node = node_with_handles(1024).await;
    let counted: u64 = node.call("/misbehave/count").await.ok().trim().parse().expect("a number");
    // From outside, as no program takes all of its own: below what is open already.
    let limit = |handles: u64| {
        let pid = node.pid().to_string();
        let set = Command::new("prlimit").args(["--pid", &pid, &format!("--nofile={handles}:1024")]).status();
        assert!(set.expect("prlimit is part of util-linux").success());
    };
    limit(8);
    let said = says(&node, "file-handles").await;
    assert!(said.contains("8 file handles are open"), "{said}");
    for _ in 0..20 {
        assert_eq!(node.call("/hello").await.ok(), "Hello, world!\n");
    }
    let refused = node.post(hello_that_says("Salut"), "").await;
    refused.problem(ProblemType::HostFault, &["Too many open files"]);
    let waiting = tokio::spawn(reqwest::Client::new().get(format!("{}/hello", node.listen())).send());
    assert_eq!(node.call("/hello").await.ok(), "Hello, world!\n");

    limit(1024);
    assert_eq!(waiting.await.expect("no panic").expect("who waited is answered").status(), 200);
    is_well(&node).await;
    assert_eq!(node.post(hello_that_says("Salut"), "").await.status, 201);
    assert_eq!(node.call("/hello").await.ok(), "Salut, world!\n");
    let counts: u64 = node.call("/misbehave/count").await.ok().trim().parse().expect("a number");
    assert_eq!(counts, counted + 1);
}

/// Makes the kernel refuse a node all memory that it asks for by mmap(2) or mprotect(2), with ENOMEM, which is what it does
/// where `vm.max_map_count` is reached. That limit itself is the whole machine's, so no test may lower it.
struct NoMoreMaps(Child);

impl NoMoreMaps {
    async fn of(node: &Node) -> Self {
        let inject = "inject=mmap,mprotect:error=ENOMEM";
        let pid = node.pid().to_string();
        let strace = Command::new("strace")
            .args(["-f", "-e", "trace=mmap,mprotect", "-e", inject, "-e", "signal=none", "-o", "/dev/null", "-p", &pid])
            .stderr(Stdio::null())
            .spawn();
        let held = Self(strace.expect("strace is missing; run `cargo xtask setup --tests`"));
        wait_until("strace holds all threads of the node", SOON, async || {
            let threads = std::fs::read_dir(format!("/proc/{pid}/task")).expect("the node runs").flatten();
            let mut status = threads.filter_map(|thread| std::fs::read_to_string(thread.path().join("status")).ok());
            status.all(|status| !status.contains("TracerPid:\t0\n"))
        })
        .await;
        held
    }
}

impl Drop for NoMoreMaps {
    fn drop(&mut self) {
        // It lets the node go on as it was.
        let _ = rustix::process::kill_process(rustix::process::Pid::from_child(&self.0), rustix::process::Signal::TERM);
        let _ = self.0.wait();
    }
}

#[tokio::test]
async fn a_node_that_is_given_no_more_memory_areas_serves_from_the_sandboxes_that_it_has() {
    let node = Node::start().await;
    node.deploy("hello").await;
    let one_call_each = variant("misbehave", |manifest| {
        manifest.sandbox.concurrency = 1;
        manifest.limits.deadline = SOON;
    });
    assert_eq!(node.post(one_call_each, "").await.status, 201);
    node.call("/hello").await.ok();
    let counted: u64 = node.call("/misbehave/count").await.ok().trim().parse().expect("a number");

    let starved = NoMoreMaps::of(&node).await;
    for _ in 0..20 {
        assert_eq!(node.call("/hello").await.ok(), "Hello, world!\n");
    }
    // A sandbox whose place another of its kind has had needs no new areas; forty at once have not been there before.
    let calls = futures::future::join_all((0..40).map(|_| node.call("/misbehave/slow?ms=500"))).await;
    let (served, refused): (Vec<_>, Vec<_>) = calls.into_iter().partition(|answer| answer.status == 200);
    assert!(!served.is_empty(), "{refused:#?}");
    let refused = refused.first().expect("not all have been there before");
    refused.problem(ProblemType::NodeBusy, &["no sandbox free for default/misbehave", "try again"]);
    assert_eq!(refused.header("retry-after"), Some("1"));
    let said = says(&node, "memory-maps").await;
    assert!(said.contains("vm.max_map_count"), "{said}");
    let answer = node.api(Method::GET, "/functions").send().await.expect("the control API answers");
    assert_eq!(answer.status(), 200);
    assert_eq!(node.call("/hello").await.ok(), "Hello, world!\n");

    drop(starved);
    let counts: u64 = node.call("/misbehave/count").await.ok().trim().parse().expect("a number");
    assert!(counts > counted, "{counts} after {counted}");
    is_well(&node).await;
    assert_eq!(node.post(hello_that_says("Salut"), "").await.status, 201);
}
