//! Disks that fill up or take no more writes: deployed functions are served, what was acknowledged stays, the node says
//! what is wrong and is well again when its disk is.
//!
//! Each node has a disk of its own, a small tmpfs in a mount namespace: it goes with the node, however the test ends.

use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Duration;

use reqwest::Method;
use rustix::process::Signal;
use spillway_tests::{Node, wait_until};
use spillway_types::{Digest, ProblemType};

use crate::variants::hello_that_says;

const SOON: Duration = Duration::from_secs(30);

/// A node on a disk of so many MiB.
async fn node_on_small_disk(data: &Path, mebibytes: usize) -> Node {
    std::fs::create_dir_all(data).expect("tests may write files");
    let mount =
        format!("mount -t tmpfs -o mode=700,size={mebibytes}m tmpfs '{}' && exec \"$0\" \"$@\"", data.display());
    let under = ["unshare", "--map-root-user", "--mount", "sh", "-c", &mount];
    // Where neither root nor user namespaces may mount, this fails, with what `unshare` or `mount` say.
    Node::builder().data(data).under(&under).start().await
}

/// The node's disk, seen from here.
fn disk(node: &Node) -> PathBuf {
    // Absolute paths replace what they are joined to.
    let inside = node.data().strip_prefix("/").expect("temporary folders have absolute paths");
    Path::new("/proc").join(node.pid().to_string()).join("root").join(inside)
}

/// Takes all room that is left on the node's disk.
fn fill(node: &Node) -> PathBuf {
    let filler = disk(node).join("filler");
    let written = std::fs::write(&filler, vec![1; 64 << 20]);
    assert_eq!(written.expect_err("the disk is small").kind(), std::io::ErrorKind::StorageFull);
    filler
}

/// Runs a script where the node sees its disk.
fn inside(node: &Node, script: &str) {
    let pid = node.pid().to_string();
    let ran = Command::new("nsenter")
        .args(["--target", &pid, "--mount", "--user", "--preserve-credentials", "sh", "-ec", script])
        .output()
        .expect("nsenter is part of util-linux");
    assert!(ran.status.success(), "{script}: {ran:?}");
}

/// What `/readyz` says in JSON: its status, and the kinds and details of its conditions.
pub(crate) async fn conditions(node: &Node) -> (u16, Vec<(String, String)>) {
    let asked = node.http().get(format!("{}/readyz", node.api_url())).header("accept", "application/json");
    let answer = Node::send(asked).await;
    let said = answer.json();
    assert_eq!(said["ready"], answer.status == 200, "{said:#}");
    let text = |value: &serde_json::Value| value.as_str().expect("a condition has texts").to_owned();
    let conditions = said["conditions"].as_array().expect("conditions are a list");
    (answer.status, conditions.iter().map(|it| (text(&it["kind"]), text(&it["detail"]))).collect())
}

/// Waits until `/readyz` names this condition and none beside it, while the node is ready; gives what it says.
pub(crate) async fn says(node: &Node, kind: &str) -> String {
    let mut said = String::new();
    wait_until(&format!("`/readyz` says {kind}"), SOON, async || {
        let (status, found) = conditions(node).await;
        assert_eq!(status, 200, "calls are served, so it is ready: {found:?}");
        match &found[..] {
            [(found, detail)] if found == kind => said.clone_from(detail),
            _ => return false,
        }
        true
    })
    .await;
    let plain = Node::send(node.http().get(format!("{}/readyz", node.api_url()))).await.ok();
    assert!(plain.starts_with("ok\n"), "{plain}");
    let log = format!("condition=\"{kind}\"");
    wait_until("the log says so", SOON, async || node.stderr().contains(&log)).await;
    said
}

/// Waits until nothing is wrong.
pub(crate) async fn is_well(node: &Node) {
    wait_until("nothing is wrong", SOON, async || conditions(node).await.1.is_empty()).await;
}

async fn count(node: &Node) -> u64 {
    node.call("/misbehave/count").await.ok().trim().parse().expect("a count is a number")
}

#[tokio::test]
async fn a_disk_that_fills_up_costs_no_call_and_nothing_that_was_acknowledged() {
    let folder = tempfile::tempdir().expect("tests may write temporary files");
    let data = folder.path().join("data");
    let node = node_on_small_disk(&data, 48).await;
    node.deploy("hello").await;
    node.deploy("misbehave").await;
    let counted = count(&node).await;
    is_well(&node).await;

    let filler = fill(&node);
    let said = says(&node, "disk-full").await;
    assert!(said.contains(&data.display().to_string()) && said.contains("--disk-budget"), "{said}");
    assert_eq!(node.call("/hello").await.ok(), "Hello, world!\n");
    // Files that are there and writes to a database both meet the full disk.
    let refused = node.post(hello_that_says("Salut"), "").await;
    refused.problem(ProblemType::StorageUnavailable, &["disk is full", "spillway gc", "try again"]);
    let blob = vec![7; 1 << 20];
    let upload = node.api(Method::PUT, &format!("/blobs/{}", Digest::of(&blob))).body(blob.clone());
    Node::send(upload).await.problem(ProblemType::StorageUnavailable, &["disk is full"]);
    // The database may find room in its own log for a while; each call says truly what became of it.
    let mut acknowledged = counted;
    let mut calls = 0;
    let refused = loop {
        let answer = node.call("/misbehave/count").await;
        if answer.status != 200 {
            break answer;
        }
        acknowledged = answer.text().trim().parse().expect("a count is a number");
        calls += 1;
        assert!(calls < 20_000, "the disk is full, and the database still writes");
    };
    assert_eq!(refused.status, 500, "{refused:?}");
    assert_eq!(node.call("/hello").await.ok(), "Hello, world!\n");
    let cli = node.cli(&["ls"]).await;
    assert_eq!(cli.code, 0, "reading goes on: {cli:#?}");

    std::fs::remove_file(filler).expect("the disk is ours");
    is_well(&node).await;
    assert!(count(&node).await > acknowledged, "what was counted before is counted");
    assert_eq!(node.post(hello_that_says("Salut"), "").await.status, 201);
    assert_eq!(node.call("/hello").await.ok(), "Salut, world!\n");
    assert!(node.stderr().contains("passed condition=\"disk-full\""), "{}", node.stderr());
}

#[tokio::test]
async fn what_was_acknowledged_before_the_disk_was_full_is_there_after_a_kill() {
    let folder = tempfile::tempdir().expect("tests may write temporary files");
    let (data, copy) = (folder.path().join("data"), folder.path().join("copy"));
    let node = node_on_small_disk(&data, 48).await;
    node.deploy("hello").await;
    node.deploy("misbehave").await;
    let filler = fill(&node);
    let mut acknowledged = 0;
    while let answer = node.call("/misbehave/count").await
        && answer.status == 200
    {
        acknowledged = answer.text().trim().parse().expect("a count is a number");
    }
    node.post(hello_that_says("Salut"), "").await.problem(ProblemType::StorageUnavailable, &["disk is full"]);
    // Stopped and copied, as the disk is after a power cut; the disk itself goes with the node.
    node.signal(Signal::STOP);
    std::fs::remove_file(filler).expect("the disk is ours");
    let copied = Command::new("cp").arg("-a").arg(disk(&node)).arg(&copy).status().expect("cp is there");
    assert!(copied.success());
    node.kill();

    let node = Node::builder().data(&copy).start().await;
    assert_eq!(node.call("/hello").await.ok(), "Hello, world!\n");
    assert!(count(&node).await > acknowledged, "{acknowledged} were acknowledged");
    assert_eq!(node.post(hello_that_says("Salut"), "").await.status, 201);
}

#[tokio::test]
async fn a_folder_that_becomes_read_only_serves_what_it_has_and_heals_by_itself() {
    let folder = tempfile::tempdir().expect("tests may write temporary files");
    let data = folder.path().join("data");
    let node = node_on_small_disk(&data, 48).await;
    node.deploy("hello").await;
    node.deploy("misbehave").await;
    // The kernel lets nobody take away from files that are open for writing: the folder becomes read-only for all that is
    // opened from now on, by a second mount above the first.
    let path = data.display();
    inside(&node, &format!("mount --bind '{path}' '{path}'; mount -o remount,bind,ro '{path}'"));
    let said = says(&node, "data-read-only").await;
    assert!(said.contains(&path.to_string()) && said.contains("make it writable"), "{said}");
    assert_eq!(node.call("/hello").await.ok(), "Hello, world!\n");
    let counted = count(&node).await;
    let refused = node.post(hello_that_says("Salut"), "").await;
    refused.problem(ProblemType::StorageUnavailable, &["cannot write to its data folder", "try again"]);
    let status = node.get("/node").await;
    assert_eq!(status["conditions"][0]["kind"], "data-read-only", "{status:#}");
    assert_eq!(node.call("/hello").await.ok(), "Hello, world!\n");

    inside(&node, &format!("umount '{path}'"));
    is_well(&node).await;
    assert_eq!(node.post(hello_that_says("Salut"), "").await.status, 201);
    assert_eq!(node.call("/hello").await.ok(), "Salut, world!\n");
    assert!(count(&node).await > counted);
}

#[tokio::test]
async fn a_start_on_a_disk_that_takes_no_writes_says_what_to_do() {
    let folder = tempfile::tempdir().expect("tests may write temporary files");
    let data = folder.path().join("data");
    let node = Node::builder().data(&data).start().await;
    node.deploy("hello").await;
    node.kill();
    let path = data.display();
    let read_only =
        format!("mount --bind '{path}' '{path}' && mount -o remount,bind,ro '{path}' && exec \"$0\" \"$@\"");
    let full = format!(
        "mount -t tmpfs -o size=1m tmpfs '{path}' && (head -c 2m /dev/zero > '{path}/filler' || true) 2> /dev/null; exec \"$0\" \"$@\""
    );
    for (script, words) in [(read_only, "must be writable for this user"), (full, "its disk is full")] {
        let builder = Node::builder().data(&data);
        let started = builder.under(&["unshare", "--map-root-user", "--mount", "sh", "-c", &script]).try_start().await;
        let exit = started.err().expect("there is nothing to write to");
        assert_eq!(exit.status.code(), Some(1), "{exit:#?}");
        for part in [&path.to_string(), words, "--data"] {
            assert!(exit.stderr.contains(part), "`{part}` is not in {exit:#?}");
        }
    }
    crate::serving::untouched(&Node::builder().data(&data).start().await).await;
}
