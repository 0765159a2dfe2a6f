//! The order in which a deploy reaches the disk, as the kernel sees it.

use std::collections::HashMap;
use std::path::{Path, PathBuf};
use std::time::Duration;

use spillway_tests::{Node, bundle, wait_until};
use spillway_types::Digest;

/// One system call that succeeded.
#[derive(Debug)]
struct Call {
    name: String,
    /// As strace prints them, with the path of each descriptor.
    arguments: String,
    /// Number of the line on which it began.
    began: usize,
    /// Number of the line on which it had ended.
    ended: usize,
}

/// A trace of a process that has ended.
struct Trace(Vec<Call>);

impl Trace {
    /// Runs a node under strace for as long as `work` takes.
    async fn of(data: &Path, work: impl AsyncFnOnce(&Node)) -> Self {
        let has_strace = std::process::Command::new("strace").arg("--version").output().is_ok();
        assert!(has_strace, "strace is missing; run `cargo xtask test`, which installs what the tests need");
        let file = data.with_extension("trace");
        let traced = "trace=openat,write,pwrite64,fsync,fdatasync,rename,renameat,renameat2,mkdir,mkdirat";
        let output = file.display().to_string();
        // -D: the node stays our child, and the tracer ends with it. -y: the path of each descriptor.
        let strace = ["strace", "-D", "-f", "-y", "-s", "0", "-e", traced, "-e", "signal=none", "-o", &output];
        let node = Node::builder().data(data).under(&strace).start().await;
        work(&node).await;
        let process = node.pid().to_string();
        node.interrupt();
        node.wait(Duration::from_secs(30)).await;
        let read = || std::fs::read_to_string(&file).expect("strace has written the trace");
        wait_until("the trace is complete", Duration::from_secs(30), async || has_ended(&read(), &process)).await;
        Self(calls(&read()))
    }

    /// The calls of one of these names that began after the line `after`, and whose arguments contain all of `parts`.
    fn find(&self, names: &[&str], parts: &[&str], after: usize) -> Vec<&Call> {
        let is_it = |call: &&Call| {
            let is_named = names.contains(&call.name.as_str());
            is_named && call.began > after && parts.iter().all(|part| call.arguments.contains(part))
        };
        self.0.iter().filter(is_it).collect()
    }

    /// The first of them.
    #[track_caller]
    fn first(&self, names: &[&str], parts: &[&str], after: usize) -> &Call {
        let found = self.find(names, parts, after);
        found.first().unwrap_or_else(|| panic!("no {names:?} with {parts:?} after line {after} in {:#?}", self.0))
    }
}

/// Whether the last line about the process itself, which comes after those about its threads, is there. Numbers are
/// padded to five places.
fn has_ended(trace: &str, process: &str) -> bool {
    trace.lines().any(|line| line.split_whitespace().take(3).eq([process, "+++", "exited"]))
}

/// Reads lines such as `12 fsync(3</path>) = 0`; where another thread came between, a call has two, `12 fsync(3</path>
/// <unfinished ...>` and `12 <... fsync resumed>) = 0`. Failed calls are left out.
fn calls(trace: &str) -> Vec<Call> {
    let mut unfinished: HashMap<&str, (usize, &str)> = HashMap::new();
    let mut calls = Vec::new();
    for (line, text) in trace.lines().enumerate() {
        let Some((thread, text)) = text.split_once(' ') else { continue };
        let text = text.trim_start();
        if let Some(start) = text.strip_suffix(" <unfinished ...>") {
            unfinished.insert(thread, (line, start));
            continue;
        }
        let (began, start, end) = match text.strip_prefix("<... ").and_then(|rest| rest.split_once(" resumed>")) {
            Some((_, end)) => match unfinished.remove(thread) {
                Some((began, start)) => (began, start, end),
                None => continue,
            },
            None => (line, text, ""),
        };
        let whole = format!("{start}{end}");
        let (Some((name, rest)), Some((_, result))) = (whole.split_once('('), whole.rsplit_once(" = ")) else {
            continue;
        };
        if !result.starts_with('-') {
            calls.push(Call { name: name.to_owned(), arguments: rest.to_owned(), began, ended: line });
        }
    }
    calls
}

const WRITE: [&str; 2] = ["write", "pwrite64"];
const SYNC: [&str; 2] = ["fsync", "fdatasync"];
const RENAME: [&str; 3] = ["rename", "renameat", "renameat2"];
const MKDIR: [&str; 2] = ["mkdir", "mkdirat"];

#[tokio::test]
async fn a_bundle_is_written_synced_renamed_and_its_folder_synced_before_the_revision_is_committed() {
    let folder = tempfile::tempdir().expect("tests may write temporary files");
    // As the kernel names it.
    let data: PathBuf = folder.path().canonicalize().expect("it is there").join("data");
    let hex = Digest::of(&bundle("hello")).hex();
    let trace = Trace::of(&data, async |node| {
        node.deploy("hello").await;
    })
    .await;

    let blobs = data.join("blobs/sha256").display().to_string();
    let blob_folder = format!("{blobs}/{}", &hex[..2]);
    let rename = trace.first(&RENAME, &[&format!("\"{blob_folder}/{hex}\"")], 0);
    let staging = data.join("staging/").display().to_string();
    let staged = rename.arguments.split('"').find(|part| part.starts_with(&staging));
    let staged = format!("<{}>", staged.expect("the blob comes from the staging folder"));

    // Written, synced, renamed.
    let writes = trace.find(&WRITE, &[&staged], 0);
    let written = writes.iter().map(|write| write.ended).max().expect("the blob was written in the staging folder");
    let sync = trace.first(&SYNC, &[&staged], written);
    assert!(sync.ended < rename.began, "renamed before it was synced: {sync:?}, {rename:?}");
    // The folder synced, and where the folder is new, its name in the folder above.
    let folder_sync = trace.first(&SYNC, &[&format!("<{blob_folder}>")], rename.ended);
    let made = trace.first(&MKDIR, &[&format!("\"{blob_folder}\"")], 0);
    let above_sync = trace.first(&SYNC, &[&format!("<{blobs}>")], made.ended);
    // And only then the commit: SQLite has written nothing since the upload began.
    let database = data.join("store.sqlite").display().to_string();
    let opened = trace.first(&["openat"], &[&staged[1..staged.len() - 1], "O_CREAT"], 0);
    let commit = trace.first(&WRITE, &[&database], opened.began);
    assert!(commit.arguments.contains(&format!("<{database}-wal>")), "{commit:?}");
    assert!(folder_sync.ended < commit.began, "committed before the folder was synced: {folder_sync:?}, {commit:?}");
    assert!(above_sync.ended < commit.began, "committed before the folder above was: {above_sync:?}, {commit:?}");
    // The commit is synced, too, before the node says in its log that it has deployed.
    let log = format!("<{database}-wal>");
    let said = trace.first(&WRITE, &["<pipe:"], commit.ended);
    let last = trace.find(&WRITE, &[&log], 0).into_iter().rfind(|write| write.began < said.began);
    let synced = trace.first(&SYNC, &[&log], last.expect("the commit is one").ended);
    assert!(synced.ended < said.began, "acknowledged before the commit was synced: {synced:?}, {said:?}");
}

#[test]
fn a_call_that_is_traced_in_two_parts_is_one_call() {
    let trace = "1 fsync(3</a>) = 0\n\
                 2 fsync(4</b> <unfinished ...>\n\
                 1 mkdir(\"/c\", 0700) = -1 EEXIST (File exists)\n\
                 2 <... fsync resumed>) = 0\n\
                 1 +++ exited with 0 +++\n";
    let calls = Trace(calls(trace)).0;
    let told: Vec<_> = calls.iter().map(|call| (call.name.as_str(), call.began, call.ended)).collect();
    assert_eq!(told, [("fsync", 0, 0), ("fsync", 1, 3)]);
    assert!(calls[1].arguments.contains("</b>"), "{calls:?}");
}
