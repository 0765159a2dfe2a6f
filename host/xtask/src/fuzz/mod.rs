//! `cargo xtask fuzz`: runs the fuzz targets for a while each.
//!
//! | module | what |
//! | --- | --- |
//! | `tools` | a nightly compiler, cargo-fuzz |
//! | `target` | what `tests/fuzz/targets.json` says, and the seeds that it names |
//! | `session` | one target under libFuzzer: progress, outcome |

mod session;
mod target;
mod tools;

use std::path::PathBuf;
use std::time::Duration;

use clap::Args;

use crate::step;
use crate::workspace::Workspace;
use session::{Outcome, Session};
use target::Target;

/// Feed parsers and the tensor interface with made-up input, for a while
#[derive(Args)]
#[command(after_help = "\
Examples:
  cargo xtask fuzz                                 every target, a minute each
  cargo xtask fuzz tensors --seconds 600
  cargo xtask fuzz --list
  cargo xtask fuzz onnx --reproduce FILE           once, with the trace of what fails

What a run learns stays in target/fuzz/corpus, and the next one goes on from there. What it finds is in
target/fuzz/findings; a finding that was mended goes to tests/fuzz/findings, where `cargo xtask test` replays it.")]
pub(crate) struct Fuzz {
    /// One target; all if not given
    target: Option<String>,
    /// How long each target runs
    #[arg(long, value_name = "N", default_value_t = 60, value_parser = clap::value_parser!(u64).range(1..))]
    seconds: u64,
    /// Say what targets there are, and do nothing
    #[arg(long, conflicts_with = "reproduce")]
    list: bool,
    /// Run the target on this file only
    #[arg(long, value_name = "FILE", requires = "target")]
    reproduce: Option<PathBuf>,
}

impl Fuzz {
    pub(crate) async fn run(self, workspace: &Workspace) -> anyhow::Result<()> {
        let targets = target::chosen(workspace, self.target.as_deref())?;
        if self.list {
            let rows = targets.iter().map(|target| [target.name.clone(), target.about.clone()]);
            print_table(&["TARGET", "INPUT"], rows);
            return Ok(());
        }
        // Before what takes minutes.
        let reproduce = self.reproduce.map(std::fs::canonicalize).transpose()?;
        tools::provide(workspace).await?;
        build(workspace, self.target.as_deref()).await?;
        if let Some(file) = reproduce {
            let text = format!("{} on {}", targets[0].name, file.display());
            return step::openly("run", &text, &mut session::replay(workspace, &targets[0], &file)).await;
        }
        let mut outcomes = Vec::new();
        for target in &targets {
            outcomes.push(Session::prepare(workspace, target)?.run(Duration::from_secs(self.seconds)).await?);
        }
        report(&targets, &outcomes)
    }
}

async fn build(workspace: &Workspace, target: Option<&str>) -> anyhow::Result<()> {
    let mut build = tools::cargo_fuzz(workspace, "build");
    build.args(target);
    step::openly("build", "fuzz targets; the first time takes minutes", &mut build).await
}

fn report(targets: &[Target], outcomes: &[Outcome]) -> anyhow::Result<()> {
    let rows = targets.iter().zip(outcomes).map(|(target, outcome)| {
        let verdict = match outcome.findings.len() {
            0 => "nothing found".to_owned(),
            1 => "1 finding".to_owned(),
            count => format!("{count} findings"),
        };
        let Outcome { seconds, runs, coverage, corpus, .. } = outcome;
        [target.name.clone(), seconds.to_string(), runs.to_string(), coverage.to_string(), corpus.to_string(), verdict]
    });
    print_table(&["TARGET", "SECONDS", "RUNS", "COVERAGE", "CORPUS", "RESULT"], rows);
    let found = targets.iter().zip(outcomes).flat_map(|(target, outcome)| {
        outcome.findings.iter().map(|file| {
            let (name, file) = (&target.name, file.display());
            format!("{name}: {file}\n    reproduce with `cargo xtask fuzz {name} --reproduce {file}`")
        })
    });
    let found: Vec<String> = found.collect();
    anyhow::ensure!(found.is_empty(), "{} found:\n{}", found.len(), found.join("\n"));
    Ok(())
}

fn print_table<const N: usize>(header: &[&str; N], rows: impl Iterator<Item = [String; N]>) {
    let mut table = comfy_table::Table::new();
    table.load_style(comfy_table::presets::UTF8_FULL_CONDENSED).set_header(header).add_rows(rows);
    println!("{table}");
}
