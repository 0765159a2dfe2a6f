//! Processes: how they end and what they write.

use std::io::{BufRead as _, BufReader, Read};
use std::path::Path;
use std::process::{Command, ExitStatus};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use serde_json::Value;

/// No run of the command line in a test takes this long; one that does hangs.
const RUN_MAX: Duration = Duration::from_secs(120);

/// How a node ended.
#[derive(Debug)]
pub struct Exit {
    /// Its exit status.
    pub status: ExitStatus,
    /// What it wrote to stderr.
    pub stderr: String,
}

/// What a run of the command line gave.
#[derive(Debug)]
pub struct Ran {
    /// The exit code; -1 if a signal ended it.
    pub code: i32,
    /// What it wrote to stdout.
    pub stdout: String,
    /// What it wrote to stderr.
    pub stderr: String,
}

impl Ran {
    /// Runs a command to its end.
    ///
    /// # Panics
    /// If it does not start, or does not end within two minutes.
    pub async fn of(command: Command) -> Self {
        let mut command = tokio::process::Command::from(command);
        let output = tokio::time::timeout(RUN_MAX, command.kill_on_drop(true).output()).await;
        let output = output.expect("the command ends").expect("the command starts");
        let text = |bytes: Vec<u8>| String::from_utf8_lossy(&bytes).into_owned();
        Self { code: output.status.code().unwrap_or(-1), stdout: text(output.stdout), stderr: text(output.stderr) }
    }

    /// The JSON on stdout of a run that must have succeeded.
    ///
    /// # Panics
    /// If it has not.
    #[track_caller]
    pub fn json(&self) -> Value {
        assert_eq!(self.code, 0, "{self:#?}");
        serde_json::from_str(&self.stdout).unwrap_or_else(|error| panic!("{error}: {self:#?}"))
    }
}

/// Takes away what the developer's own shell says.
pub(crate) fn clean(command: &mut Command) -> &mut Command {
    for (name, _) in std::env::vars_os() {
        if name.to_string_lossy().starts_with("SPILLWAY_") {
            command.env_remove(name);
        }
    }
    command
}

/// The environment that gives a program another clock. The program `faketime` would stay between it and its signals.
///
/// # Panics
/// If that is not installed, or does not work.
pub(crate) fn clock(offset: &str) -> Vec<(String, String)> {
    sweep();
    let faketime = Command::new("faketime").args(["-f", offset, "env"]).output();
    let faketime = faketime.expect("faketime is missing; run `cargo xtask setup --tests`");
    let said = String::from_utf8_lossy(&faketime.stdout).into_owned();
    let named = said.lines().filter_map(|line| line.split_once('='));
    let named = named.filter(|(name, _)| ["LD_PRELOAD", "FAKETIME"].contains(name));
    let named: Vec<_> = named.map(|(name, value)| (name.to_owned(), value.to_owned())).collect();
    // Without them a node would run by the machine's clock, and its test would fail far from here.
    assert_eq!(named.len(), 2, "faketime does not work: {faketime:?}");
    named.into_iter().chain([("FAKETIME_DONT_FAKE_MONOTONIC".to_owned(), "1".to_owned())]).collect()
}

/// As [`clock`], with the offset in a file, so that it may change while the program runs.
pub(crate) fn clock_of(file: &Path) -> Vec<(String, String)> {
    let preload = clock("+0").into_iter().filter(|(name, _)| name != "FAKETIME");
    let file = [("FAKETIME_TIMESTAMP_FILE", file.display().to_string()), ("FAKETIME_NO_CACHE", "1".to_owned())];
    preload.chain(file.map(|(name, value)| (name.to_owned(), value))).collect()
}

/// Takes away the shared memory of programs that ran with another clock and were killed. It is named by their process, and
/// `faketime` fails where its own number has been theirs: numbers come round.
fn sweep() {
    const PREFIXES: [&str; 2] = ["sem.faketime_sem_", "faketime_shm_"];
    let Ok(shared) = std::fs::read_dir("/dev/shm") else { return };
    for file in shared.flatten() {
        let name = file.file_name().to_string_lossy().into_owned();
        let process = PREFIXES.iter().find_map(|prefix| name.strip_prefix(prefix)?.parse::<u32>().ok());
        if process.is_some_and(|process| !Path::new("/proc").join(process.to_string()).exists()) {
            // Another test may have been faster.
            let _ = std::fs::remove_file(file.path());
        }
    }
}

/// What a process writes, kept as it comes.
pub(crate) struct Output {
    text: Arc<Mutex<String>>,
    reader: Option<JoinHandle<()>>,
}

impl Output {
    pub(crate) fn collect(pipe: impl Read + Send + 'static) -> Self {
        let text = Arc::<Mutex<String>>::default();
        let kept = text.clone();
        let reader = std::thread::spawn(move || {
            let mut lines = BufReader::new(pipe);
            let mut line = Vec::new();
            while lines.read_until(b'\n', &mut line).is_ok_and(|length| length > 0) {
                kept.lock().unwrap_or_else(PoisonError::into_inner).push_str(&String::from_utf8_lossy(&line));
                line.clear();
            }
        });
        Self { text, reader: Some(reader) }
    }

    pub(crate) fn text(&self) -> String {
        self.text.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// All of it, once the process has ended.
    pub(crate) fn finish(&mut self) -> String {
        // A process that the node started could hold the pipe open; there is none, but a test must end.
        let start = Instant::now();
        while self.reader.as_ref().is_some_and(|reader| !reader.is_finished()) && start.elapsed() < RUN_MAX {
            std::thread::yield_now();
        }
        self.text()
    }
}
