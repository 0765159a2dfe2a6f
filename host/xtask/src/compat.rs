//! `cargo xtask compat`: an older build and this one, in one cluster and on one data folder.

use std::path::PathBuf;

use clap::Args;

use crate::setup::Setup;
use crate::step;
use crate::test::build_guests;
use crate::workspace::Workspace;

/// The commit of the release before this one, 0.1.0: a clone need not have its tag.
const PREVIOUS: &str = "ffc689a";

/// Build an older commit, and run it beside this one: in one cluster, and on one data folder
#[derive(Args)]
#[command(after_help = "\
Examples:
  cargo xtask compat                     the release before this one
  cargo xtask compat v0.1.0
  cargo xtask compat --program FILE      a program that is there already

The first build of a commit compiles everything, which takes many minutes; it is kept in target/compat.")]
pub(crate) struct Compat {
    /// What to build: a tag, or a commit
    #[arg(default_value = PREVIOUS, conflicts_with = "program")]
    revision: String,
    /// The program `spillway` of another build
    #[arg(long, value_name = "FILE")]
    program: Option<PathBuf>,
}

impl Compat {
    pub(crate) async fn run(self, workspace: &Workspace) -> anyhow::Result<()> {
        Setup { tests: true, ..Setup::default() }.run(workspace).await?;
        let program = match self.program {
            Some(program) => std::fs::canonicalize(program)?,
            None => build(workspace, &self.revision).await?,
        };
        let cargo_test = |more: &[&str]| {
            let mut test = workspace.cargo();
            test.args(["test", "--release", "--workspace", "--all-targets"]).args(more);
            test
        };
        step::openly("build", "this build and its tests", &mut cargo_test(&["--no-run"])).await?;
        build_guests(workspace, &["functions", "tests/guests"]).await?;
        let mut test = cargo_test(&["--test", "integration", "two_builds::"]);
        test.env("SPILLWAY_BIN", workspace.spillway()).env("SPILLWAY_TEST_PREVIOUS", &program);
        step::openly("test", &format!("beside {}", program.display()), &mut test).await
    }
}

/// Checks a commit out beside this one and builds it.
async fn build(workspace: &Workspace, revision: &str) -> anyhow::Result<PathBuf> {
    let git = |args: &[&str]| {
        let mut git = tokio::process::Command::new("git");
        git.current_dir(workspace.root()).args(args);
        git
    };
    let commit = git(&["rev-parse", "--verify", &format!("{revision}^{{commit}}")]).output().await?;
    anyhow::ensure!(
        commit.status.success(),
        "this clone has no commit `{revision}`; fetch it with `git fetch --unshallow --tags`"
    );
    let commit = String::from_utf8(commit.stdout)?.trim().to_owned();
    let folder = workspace.target().join("compat").join(&commit);
    let (source, target) = (folder.join("source"), folder.join("target"));
    if !source.is_dir() {
        let mut checkout = git(&["worktree", "add", "--detach"]);
        step::openly("check out", revision, checkout.arg(&source).arg(&commit)).await?;
    }
    let mut cargo = workspace.cargo();
    cargo.current_dir(&source).args(["build", "--release", "--package", "spillway-cli", "--target-dir"]).arg(&target);
    step::openly("build", &format!("{revision}; the first time takes many minutes"), &mut cargo).await?;
    Ok(target.join("release/spillway"))
}
