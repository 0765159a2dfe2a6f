//! Threads that take calls keep to a core each, and nobody else does.

use std::collections::BTreeSet;
use std::fs;
use std::time::Duration;

use reqwest::Method;
use spillway_tests::{Node, bundle_file, onnx, workspace};

const CORES: &str = "Cpus_allowed_list:";

fn value<'s>(status: &'s str, name: &str) -> &'s str {
    status.lines().find_map(|line| line.strip_prefix(name)).expect("Linux lists it").trim()
}

fn all_cores() -> String {
    value(&fs::read_to_string("/proc/self/status").expect("Linux"), CORES).to_owned()
}

/// Which cores each thread of the node may run on, of those that may not run on all.
fn bound(node: &Node) -> Vec<String> {
    let all = all_cores();
    let threads = fs::read_dir(format!("/proc/{}/task", node.pid())).expect("it runs");
    // One that has ended meanwhile has no core.
    let statuses = threads.filter_map(|thread| fs::read_to_string(thread.ok()?.path().join("status")).ok());
    statuses.map(|status| value(&status, CORES).to_owned()).filter(|cores| *cores != all).collect()
}

/// Has all kinds of threads started: for code, for guests that compute for long, for models, for files.
async fn busy(args: &[&str]) -> Node {
    let node = Node::builder().args(args).start().await;
    for guest in ["hello", "misbehave", "nn"] {
        let deployed = node.cli(&["deploy", &bundle_file(guest).display().to_string(), "--json"]).await;
        deployed.json();
    }
    node.call("/nn/named").await.ok();
    node.request(Method::GET, "/misbehave/loop").header("spillway-deadline-ms", "50").send().await.expect("an answer");
    let calls: Vec<_> = (0..20).map(|_| tokio::spawn(node.request(Method::GET, "/hello").send())).collect();
    for call in calls {
        assert_eq!(call.await.expect("no panic").expect("an answer").status(), 200);
    }
    node
}

#[tokio::test]
async fn threads_that_take_calls_keep_to_a_core_each_and_no_others_do() {
    let cores = rustix::thread::sched_getaffinity(None).expect("Linux").count() as usize;
    // A control group may grant the time of fewer: then there are fewer threads than cores, and all run anywhere.
    let is_whole = std::thread::available_parallelism().expect("Linux").get() == cores;
    let bound = bound(&busy(&[]).await);
    let expected = if is_whole && cores > 1 { cores } else { 0 };
    assert_eq!(bound.len(), expected, "{bound:?}");
    assert_eq!(bound.iter().collect::<BTreeSet<_>>().len(), expected, "each has its own: {bound:?}");
    assert!(bound.iter().all(|core| core.parse::<u32>().is_ok()), "one core: {bound:?}");
}

#[tokio::test]
async fn an_operator_may_leave_cores_to_the_kernel() {
    assert_eq!(bound(&busy(&["--no-core-binding"]).await), Vec::<String>::new());
}

/// Cores of the processes that the node has started and that run now.
fn cores_of_children(node: &Node) -> Vec<String> {
    let parent = node.pid().to_string();
    let processes = fs::read_dir("/proc")
        .expect("Linux")
        .filter_map(|process| fs::read_to_string(process.ok()?.path().join("status")).ok());
    processes
        .filter(|status| status.contains("PPid:") && value(status, "PPid:") == parent)
        .map(|status| value(&status, CORES).to_owned())
        .collect()
}

#[tokio::test]
async fn the_child_that_checks_a_model_for_a_call_may_run_anywhere() {
    let node = busy(&[]).await;
    let model = fs::read(workspace().join("tests/data/nn/types.onnx")).expect("it is kept");
    let mut seen = Vec::new();
    // A child is there for some milliseconds, and only for a model that is new: each has another documentation string.
    for number in 0..20_u8 {
        let other = [model.clone(), onnx::field(6, &[b'a' + number])].concat();
        let call = tokio::spawn(Node::send(node.request(Method::POST, "/nn/loaded").body(other)));
        while !call.is_finished() {
            seen.extend(cores_of_children(&node));
            tokio::time::sleep(Duration::from_millis(1)).await;
        }
        call.await.expect("no panic").ok();
    }
    assert!(!seen.is_empty(), "no child was seen");
    assert!(seen.iter().all(|cores| *cores == all_cores()), "{seen:?}");
}
