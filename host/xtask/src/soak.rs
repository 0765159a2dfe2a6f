//! `cargo xtask soak`: a node under load and changes for a long time, and whether it grew.

use clap::Args;

use crate::setup::Setup;
use crate::step;
use crate::test::build_guests;
use crate::workspace::Workspace;

/// Load a node to 80 % for a long time, with deployments, traps, loops and hang-ups, and fail if it grew
#[derive(Args)]
#[command(after_help = "\
Examples:
  cargo xtask soak
  cargo xtask soak --minutes 2 --json")]
pub(crate) struct Soak {
    /// How long, in minutes
    #[arg(long, default_value_t = 30, value_name = "N", value_parser = clap::value_parser!(u64).range(1..))]
    minutes: u64,
    /// Print JSON
    #[arg(long)]
    json: bool,
}

impl Soak {
    pub(crate) async fn run(self, workspace: &Workspace) -> anyhow::Result<()> {
        Setup::default().run(workspace).await?;
        let mut build = workspace.cargo();
        build.args(["build", "--release", "--workspace", "--bins"]);
        step::openly("build", "Spillway and its soak", &mut build).await?;
        build_guests(workspace, &["functions", "tests/guests"]).await?;
        let mut soak = tokio::process::Command::new(workspace.spillway().with_file_name("spillway-bench"));
        soak.env("SPILLWAY_BIN", workspace.spillway()).args(["soak", "--minutes", &self.minutes.to_string()]);
        if self.json {
            soak.arg("--json");
        }
        step::openly("soak", &format!("{} min", self.minutes), &mut soak).await
    }
}
