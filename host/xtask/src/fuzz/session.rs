//! One target under libFuzzer.

use std::path::{Path, PathBuf};
use std::process::Stdio;
use std::time::{Duration, Instant};

use anyhow::Context as _;
use indicatif::{ProgressBar, ProgressStyle};
use tokio::io::{AsyncBufReadExt as _, AsyncWriteExt as _, BufReader};
use tokio::process::Command;

use super::target::Target;
use super::tools;
use crate::step;
use crate::workspace::Workspace;

/// Memory of the whole process. Four times what the targets allow tract, because the address sanitizer keeps what was
/// freed for a while.
const RSS_MIB: u32 = 2048;
/// One allocation: above the targets' own budget, so that only what escapes the budget meets it.
const MALLOC_MIB: u32 = 512;
/// One input. The targets' budgets are 2 seconds, and a loop that allocates nothing escapes those.
const INPUT_SECONDS: u32 = 30;

/// A target with its folders.
pub(super) struct Session<'a> {
    workspace: &'a Workspace,
    target: &'a Target,
    corpus: PathBuf,
    seeds: PathBuf,
    findings: PathBuf,
    log: PathBuf,
}

/// What became of it.
#[derive(Debug, Default, PartialEq)]
pub(super) struct Outcome {
    /// How long it ran.
    pub(super) seconds: u64,
    /// Inputs tried.
    pub(super) runs: u64,
    /// Branches taken, as libFuzzer counts them.
    pub(super) coverage: u64,
    /// Inputs kept, each for a branch that only it takes.
    pub(super) corpus: u64,
    /// Inputs that broke something.
    pub(super) findings: Vec<PathBuf>,
}

impl<'a> Session<'a> {
    /// Lays seeds and folders out.
    pub(super) fn prepare(workspace: &'a Workspace, target: &'a Target) -> anyhow::Result<Self> {
        let folder = |kind: &str| workspace.target().join("fuzz").join(kind).join(&target.name);
        let (corpus, seeds, findings) = (folder("corpus"), folder("seeds"), folder("findings"));
        std::fs::create_dir_all(&corpus)?;
        std::fs::create_dir_all(&findings)?;
        target.gather(workspace, &seeds)?;
        let log = folder("log").with_extension("txt");
        Ok(Self { workspace, target, corpus, seeds, findings, log })
    }

    /// Runs for `time`, or until something is found.
    pub(super) async fn run(self, time: Duration) -> anyhow::Result<Outcome> {
        step::say("fuzz", format!("{} for {} s", self.target.name, time.as_secs()));
        let before = files(&self.findings)?;
        let mut command = tools::cargo_fuzz(self.workspace, "run");
        command.arg(&self.target.name).arg(&self.corpus).arg(&self.seeds).args(["--jobs", "1", "--"]);
        command.args(limits(self.target)).arg(format!("-max_total_time={}", time.as_secs()));
        command.arg(format!("-artifact_prefix={}/", self.findings.display()));
        if let Some(dictionary) = self.target.dictionary(self.workspace) {
            command.arg(format!("-dict={}", dictionary.display()));
        }
        let started = Instant::now();
        let (mut outcome, has_succeeded) = self.follow(&mut command, time).await?;
        outcome.seconds = started.elapsed().as_secs();
        outcome.findings = files(&self.findings)?.into_iter().filter(|file| !before.contains(file)).collect();
        let log = self.log.display();
        anyhow::ensure!(has_succeeded || !outcome.findings.is_empty(), "libFuzzer failed; what it said is in {log}");
        if !outcome.findings.is_empty() {
            step::say("found", format!("{}; the trace is in {log}", outcome.findings[0].display()));
        }
        Ok(outcome)
    }

    /// Shows libFuzzer's lines as progress, and keeps them.
    async fn follow(&self, command: &mut Command, time: Duration) -> anyhow::Result<(Outcome, bool)> {
        command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::piped()).kill_on_drop(true);
        let mut child = command.spawn().context("cargo-fuzz does not start")?;
        let stderr = child.stderr.take().context("it was asked for")?;
        if let Some(folder) = self.log.parent() {
            std::fs::create_dir_all(folder)?;
        }
        let mut log = tokio::fs::File::create(&self.log).await?;
        let style = ProgressStyle::with_template("{bar:24} {elapsed} {msg}")?;
        let bar = ProgressBar::new(time.as_secs()).with_style(style);
        let mut outcome = Outcome::default();
        let mut reader = BufReader::new(stderr);
        let mut line = Vec::new();
        // Traces may quote any bytes.
        while reader.read_until(b'\n', &mut line).await? > 0 {
            log.write_all(&line).await?;
            if outcome.read(&String::from_utf8_lossy(&line)) {
                bar.set_position(bar.elapsed().as_secs());
                bar.set_message(format!("{} runs, coverage {}", outcome.runs, outcome.coverage));
            }
            line.clear();
        }
        log.flush().await?;
        bar.finish_and_clear();
        Ok((outcome, child.wait().await?.success()))
    }
}

impl Outcome {
    /// Takes over what a line of libFuzzer's says: `#4096 pulse  cov: 812 ft: 2011 corp: 97/12Kb …`. Whether it is one.
    fn read(&mut self, line: &str) -> bool {
        let Some(runs) = line.strip_prefix('#').and_then(number) else { return false };
        self.runs = runs;
        let after = |word: &str| line.split_once(word).and_then(|(_, rest)| number(rest.trim_start()));
        self.coverage = after(" cov:").unwrap_or(self.coverage);
        self.corpus = after(" corp:").unwrap_or(self.corpus);
        true
    }
}

/// The number at the start of `text`.
fn number(text: &str) -> Option<u64> {
    let digits = text.find(|c: char| !c.is_ascii_digit()).map_or(text, |end| &text[..end]);
    digits.parse().ok()
}

/// The target on one file.
pub(super) fn replay(workspace: &Workspace, target: &Target, file: &Path) -> Command {
    let mut command = tools::cargo_fuzz(workspace, "run");
    command.arg(&target.name).arg(file).arg("--").args(limits(target));
    command
}

fn limits(target: &Target) -> [String; 6] {
    [
        format!("-max_len={}", target.max_bytes),
        format!("-rss_limit_mb={RSS_MIB}"),
        format!("-malloc_limit_mb={MALLOC_MIB}"),
        format!("-timeout={INPUT_SECONDS}"),
        // Slow inputs are no findings of their own.
        format!("-report_slow_units={INPUT_SECONDS}"),
        // A panic that is contained leaves what tract held half-way.
        "-detect_leaks=0".into(),
    ]
}

fn files(folder: &Path) -> anyhow::Result<Vec<PathBuf>> {
    let entries = std::fs::read_dir(folder).with_context(|| folder.display().to_string())?;
    let mut files = entries.map(|entry| Ok(entry?.path())).collect::<anyhow::Result<Vec<_>>>()?;
    files.sort();
    Ok(files)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn libfuzzers_lines_are_read_and_others_are_not() {
        let mut outcome = Outcome::default();
        assert!(!outcome.read("INFO: Seed: 1234"));
        assert!(outcome.read("#2\tINITED cov: 12 ft: 13 corp: 1/1b exec/s: 0 rss: 41Mb"));
        assert!(outcome.read("#4096\tpulse  cov: 812 ft: 2011 corp: 97/12Kb lim: 43 exec/s: 2048 rss: 60Mb"));
        assert_eq!(outcome, Outcome { runs: 4096, coverage: 812, corpus: 97, ..Outcome::default() });
    }
}
