//! `spillway models`: what runs in the host.

mod add;
mod fixed;
mod inspect;
mod ls;
mod rm;

use clap::{Args, Subcommand};

use crate::args::Global;

/// List, add, inspect and remove the models on the node
///
/// Models come with the functions that name them. One that is added stays on the node without a function, so that a
/// deployment finds it there. Without a subcommand this lists them, as `ls` does.
#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  spillway models
  spillway models add models/magika.onnx
  spillway models inspect fe2d2eb49c5f
  spillway models rm fe2d2eb49c5f")]
pub(crate) struct Models {
    #[command(subcommand)]
    command: Option<Command>,
}

#[derive(Debug, Subcommand)]
enum Command {
    Ls(ls::Ls),
    Add(add::Add),
    Inspect(inspect::Inspect),
    Rm(rm::Rm),
}

impl Models {
    pub(crate) async fn run(self, global: &Global) -> anyhow::Result<()> {
        match self.command.unwrap_or(Command::Ls(ls::Ls {})) {
            Command::Ls(args) => args.run(global).await,
            Command::Add(args) => args.run(global).await,
            Command::Inspect(args) => args.run(global).await,
            Command::Rm(args) => args.run(global).await,
        }
    }
}
