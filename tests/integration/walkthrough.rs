//! The README, followed from top to bottom by somebody who copies what it shows and compares what comes.

use std::ffi::OsStr;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use serde_json::Value;
use spillway_tests::{Node, Ran, spillway, workspace};

use crate::markdown::{Block, Page};

/// What is done before the page's commands, or in the shell alone: the demo, the tests, the search path.
const DONE_ALREADY: [&str; 3] = ["cargo xtask ", "rustup ", "export "];
/// What Cargo begins its lines of progress with; pages leave those out.
const PROGRESS: [&str; 9] =
    ["Compiling", "Finished", "Locking", "Updating", "Adding", "Blocking", "Downloaded", "Downloading", "Running"];
/// Scores of a model differ a little between processors.
const NUMBER_TOLERANCE: f64 = 1e-3;
const UNITS: [&str; 8] = ["ns", "µs", "ms", "s", "B", "KiB", "MiB", "GiB"];

/// A checkout of one's own, in which commands may change what they like.
struct Checkout(PathBuf);

impl Checkout {
    /// Copies this repository. The place is always the same and times are kept, so that Cargo builds only what has
    /// changed since the last time.
    fn make() -> Self {
        let root = Path::new(env!("CARGO_TARGET_TMPDIR")).join("readme");
        if root.exists() {
            fs::remove_dir_all(&root).expect("the tests' own folder can be emptied");
        }
        copy(workspace(), &root, &["target", ".git"]);
        // What the demo built. Bundles are the checkout's own, Cargo's files for guests are shared.
        let binary = spillway();
        let built = binary.parent().and_then(Path::parent).expect("the binary lies in a profile's folder");
        fs::create_dir(root.join("target")).expect("there is none yet");
        for shared in ["release", "guests", "models"] {
            let link = root.join("target").join(shared);
            std::os::unix::fs::symlink(built.join(shared), link).expect("the checkout is ours");
        }
        Self(root)
    }

    /// Runs a command as the page has it, against this node. Gives what it printed, stdout first.
    async fn run(&self, node: &Node, command: &str) -> Vec<String> {
        let own = [("localhost:3000", node.listen()), ("localhost:3001", node.api_url())];
        let command_here = own.iter().fold(command.to_owned(), |text, (shown, url)| text.replace(shown, host(url)));
        let binaries = spillway().parent().map(Path::to_owned).unwrap_or_default();
        let path = std::env::var_os("PATH").unwrap_or_default();
        let path = std::env::join_paths([binaries].into_iter().chain(std::env::split_paths(&path)));
        let mut shell = Command::new("bash");
        shell.args(["-c", &command_here]).current_dir(&self.0).env("PATH", path.expect("it was split at its colons"));
        // A developer's own folder would take the place of the checkout's `target`.
        shell.env_remove("CARGO_TARGET_DIR").env("SPILLWAY_NODE", node.api_url());
        let ran = Ran::of(shell).await;
        let is_progress = |line: &&str| PROGRESS.iter().any(|word| line.trim_start().starts_with(word));
        let lines = ran.stdout.lines().chain(ran.stderr.lines().filter(|line| !is_progress(line)));
        let shown = [(host(node.listen()), "127.0.0.1:3000"), (host(node.api_url()), "127.0.0.1:3001")];
        lines.map(|line| shown.iter().fold(line.to_owned(), |line, (own, shown)| line.replace(own, shown))).collect()
    }

    /// Follows what the page says to do with a file: "Replace `PATH` by this:".
    fn write(&self, block: &Block) {
        let Some(path) = block.before.strip_prefix("Replace `").and_then(|rest| rest.strip_suffix("` by this:")) else {
            return;
        };
        fs::write(self.0.join(path), block.lines.join("\n") + "\n").expect("the checkout is ours");
    }
}

fn host(url: &str) -> &str {
    url.trim_start_matches("http://")
}

fn copy(from: &Path, to: &Path, without: &[&str]) {
    fs::create_dir_all(to).expect("the tests' own folder can be written");
    for entry in fs::read_dir(from).expect("the repository can be read") {
        let (path, name) = entry.map(|entry| (entry.path(), entry.file_name())).expect("the repository can be read");
        if without.iter().any(|other| name == *OsStr::new(other)) {
            continue;
        }
        if path.is_dir() {
            copy(&path, &to.join(name), &[]);
        } else {
            let time = path.metadata().and_then(|file| file.modified()).expect("a file has a time");
            fs::copy(&path, to.join(&name)).expect("the repository can be read");
            fs::File::open(to.join(&name)).and_then(|file| file.set_modified(time)).expect("the copy is ours");
        }
    }
}

/// Whether what came is what the page shows, except for what is different each time.
fn is_same(shown: &[String], came: &[String]) -> bool {
    let lines = |text: &[String]| text.iter().filter(|line| !line.trim().is_empty()).cloned().collect::<Vec<_>>();
    let (shown, came) = (lines(shown), lines(came));
    shown.len() == came.len() && shown.iter().zip(&came).all(|(shown, came)| is_same_line(shown, came))
}

fn is_same_line(shown: &str, came: &str) -> bool {
    if let (Ok(shown), Ok(came)) = (serde_json::from_str(shown), serde_json::from_str(came)) {
        return is_same_value(&shown, &came);
    }
    // Columns are as wide as what is in them.
    let words = |line: &str| line.split_whitespace().map(ToOwned::to_owned).collect::<Vec<_>>();
    let (shown, came) = (words(shown), words(came));
    shown.len() == came.len() && (0..shown.len()).all(|at| shown[at] == came[at] || kind(&shown, at) == kind(&came, at))
}

/// What may differ from time to time, by what it is.
#[derive(PartialEq)]
enum Kind {
    /// A number before a unit, or the unit: 800 µs today, 1.1 ms tomorrow.
    Measured,
    Time,
    Invocation,
    /// Everything else.
    Fixed(String),
}

fn kind(words: &[String], at: usize) -> Kind {
    let bare = |word: &str| word.trim_matches(['(', ')', '[', ']', ',']).to_owned();
    let is_unit = |at: usize| words.get(at).is_some_and(|word| UNITS.contains(&bare(word).as_str()));
    let is_number = |at: usize| words.get(at).is_some_and(|word| bare(word).parse::<f64>().is_ok());
    let word = bare(&words[at]);
    if is_number(at) && is_unit(at + 1) || at > 0 && is_number(at - 1) && is_unit(at) {
        Kind::Measured
    } else if word.len() >= 20 && word.starts_with("20") && word.contains('T') && word.ends_with('Z') {
        Kind::Time
    } else if word.len() == 32 && word.bytes().all(|byte| byte.is_ascii_hexdigit()) {
        Kind::Invocation
    } else {
        Kind::Fixed(words[at].clone())
    }
}

fn is_same_value(shown: &Value, came: &Value) -> bool {
    match (shown, came) {
        (Value::Number(shown), Value::Number(came)) => {
            let (shown, came) = (shown.as_f64().unwrap_or(f64::NAN), came.as_f64().unwrap_or(f64::NAN));
            (shown - came).abs() <= NUMBER_TOLERANCE
        }
        (Value::Array(shown), Value::Array(came)) => {
            shown.len() == came.len() && shown.iter().zip(came).all(|(shown, came)| is_same_value(shown, came))
        }
        (Value::Object(shown), Value::Object(came)) => {
            let is_same = |(key, value)| came.get(key).is_some_and(|came| is_same_value(value, came));
            shown.len() == came.len() && shown.iter().all(is_same)
        }
        _ => shown == came,
    }
}

#[tokio::test]
async fn the_readme_shows_what_somebody_who_follows_it_gets() {
    let (page, checkout) = (Page::read("README.md"), Checkout::make());
    // As the demo leaves it.
    let node = Node::start().await;
    for sample in ["hello", "sniff", "ocr", "speech", "embed", "similar"] {
        let file =
            spillway().parent().and_then(Path::parent).map(|built| built.join(format!("spillway/{sample}.wasm")));
        let file = file.expect("the binary lies in a profile's folder").display().to_string();
        node.cli(&["deploy", &file, "--json"]).await.json();
    }
    let mut compared = 0;
    for block in page.blocks() {
        checkout.write(&block);
        for command in block.commands() {
            if DONE_ALREADY.iter().any(|done| command.text.starts_with(done)) {
                continue;
            }
            let came = checkout.run(&node, &command.text).await;
            let (at, text) = (page.at(command.line), &command.text);
            let (shown, came_text) = (command.output.join("\n"), came.join("\n"));
            let is_right = is_same(&command.output, &came);
            assert!(is_right, "{at}: $ {text}\n--- shown\n{shown}\n--- came\n{came_text}");
            compared += 1;
        }
    }
    assert!(compared > 0, "the README has no command to follow");
}

#[test]
fn only_times_sizes_and_names_of_invocations_may_differ() {
    let same = |shown: &str, came: &str| is_same_line(shown, came);
    assert!(same("serves after 803.7 ms, compiled", "serves  after 1.2 s, compiled"));
    assert!(same(
        "2026-01-01T00:00:00.000Z [00000000000000000000000000000000] x",
        "2027-02-01T00:00:00.000Z [0123456789abcdef0123456789abcdef] x"
    ));
    assert!(same(r#"{"label":"png","score":1.0}"#, r#"{"score":0.99999,"label":"png"}"#));
    assert!(!same("serves revision 1", "serves revision 2"));
    assert!(!same(r#"{"label":"png","score":1.0}"#, r#"{"label":"gif","score":1.0}"#));
}
