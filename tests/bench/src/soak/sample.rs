//! What the node holds, once a second.

use std::fs;
use std::path::Path;
use std::time::Duration;

use spillway_tests::Node;

use super::load::WAITING_MAX;

/// What a node holds at one moment.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Sample {
    pub(super) resident_mebibytes: f64,
    pub(super) handles: f64,
    pub(super) threads: f64,
    pub(super) maps: f64,
    pub(super) files: f64,
}

/// Samples until dropped.
pub(super) async fn each_second(node: &Node, samples: &mut Vec<Sample>) {
    let mut second = tokio::time::interval(Duration::from_secs(1));
    loop {
        second.tick().await;
        samples.push(take(node));
    }
}

/// What the node holds when nobody has called it for a while, and nobody's connection waits any more: calls that were under
/// way are done soon, and the client looks for connections that have waited too long just as often as they may, so that one
/// goes after twice that time at the latest.
pub(super) async fn at_rest(node: &Node) -> Sample {
    tokio::time::sleep(3 * WAITING_MAX).await;
    take(node)
}

/// See proc(5).
fn take(node: &Node) -> Sample {
    let of_process = |name: &str| format!("/proc/{}/{name}", node.pid());
    let entries = |folder: String| fs::read_dir(folder).map_or(0, Iterator::count) as f64;
    Sample {
        resident_mebibytes: node.resident_bytes() as f64 / f64::from(1 << 20),
        handles: entries(of_process("fd")),
        threads: entries(of_process("task")),
        maps: fs::read_to_string(of_process("maps")).map_or(0, |maps| maps.lines().count()) as f64,
        files: files(node.data()) as f64,
    }
}

/// Files below a folder. What goes while it is counted does not count.
fn files(folder: &Path) -> usize {
    let entries = fs::read_dir(folder).into_iter().flatten().flatten();
    entries
        .map(|entry| match entry.file_type() {
            Ok(kind) if kind.is_dir() => files(&entry.path()),
            Ok(_) => 1,
            Err(_) => 0,
        })
        .sum()
}
