//! `cargo xtask test`: sets up and runs every test.

use std::path::PathBuf;

use clap::Args;

use crate::setup::Setup;
use crate::step;
use crate::workspace::Workspace;

/// Set up and run every test
#[derive(Args)]
#[command(after_help = "\
Examples:
  cargo xtask test
  cargo xtask test rollback              tests with `rollback` in their names
  cargo xtask test -- --nocapture        what follows -- goes to the tests")]
pub(crate) struct Test {
    /// Arguments for `cargo test`
    #[arg(allow_hyphen_values = true, value_name = "ARGS")]
    cargo: Vec<String>,
    /// Arguments for the tests themselves
    #[arg(last = true, value_name = "TEST ARGS")]
    tests: Vec<String>,
}

impl Test {
    pub(crate) async fn run(self, workspace: &Workspace) -> anyhow::Result<()> {
        Setup { tests: true, ..Setup::default() }.run(workspace).await?;
        let mut build = workspace.cargo();
        build.args(["test", "--release", "--workspace", "--all-targets", "--no-run"]);
        step::openly("build", "Spillway and its tests", &mut build).await?;
        build_guests(workspace, &["functions", "tests/guests"]).await?;
        let cargo_test = |targets: &str| {
            let mut test = workspace.cargo();
            test.env("SPILLWAY_BIN", workspace.spillway()).args(["test", "--release", "--workspace", targets]);
            test
        };
        // Examples in the docs first: crates without any end on "0 passed", which must not be the last word.
        if self.cargo.is_empty() && self.tests.is_empty() {
            step::openly("test", "examples in the docs", &mut cargo_test("--doc")).await?;
        }
        let mut test = cargo_test("--all-targets");
        test.args(&self.cargo);
        if !self.tests.is_empty() {
            test.arg("--").args(&self.tests);
        }
        step::openly("test", "everything", &mut test).await
    }
}

/// Builds each function in the given folders into a bundle.
pub(crate) async fn build_guests(workspace: &Workspace, folders: &[&str]) -> anyhow::Result<()> {
    let mut functions: Vec<PathBuf> = Vec::new();
    for folder in folders {
        let entries = std::fs::read_dir(workspace.root().join(folder))?;
        for entry in entries {
            let path = entry?.path();
            if path.join("spillway.toml").is_file() {
                // Relative, so that messages name files as people know them.
                functions.push(path.strip_prefix(workspace.root()).map(PathBuf::from).unwrap_or(path));
            }
        }
    }
    functions.sort();
    let mut build = tokio::process::Command::new(workspace.spillway());
    build.current_dir(workspace.root()).arg("build").args(&functions).arg("--target-dir").arg(workspace.target());
    // It says what to do next, which is what comes next anyway.
    build.stdout(std::process::Stdio::null());
    step::openly("build", "functions", &mut build).await
}
