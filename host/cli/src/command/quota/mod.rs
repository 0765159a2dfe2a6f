//! `spillway quota`: what the functions of a namespace may take of a node together.

mod ls;
mod rm;
mod set;

use clap::{Args, Subcommand};

use crate::args::Global;

/// Say what the functions of a namespace may take of a node together
///
/// Calls beyond it are refused with 429 and told when to come again. A quota belongs to one node, name it with --node; it
/// holds at once and outlasts restarts. Namespaces without one are not limited.
#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  spillway quota set shop --calls-per-second 50 --concurrent 20
  spillway quota set shop --memory 512MiB --kernel-time 50%
  spillway quota ls
  spillway quota rm shop")]
pub(crate) struct Quota {
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, Subcommand)]
enum Command {
    Set(set::Set),
    Ls(ls::Ls),
    Rm(rm::Rm),
}

impl Quota {
    pub(crate) async fn run(self, global: &Global) -> anyhow::Result<()> {
        match self.command {
            Command::Set(args) => args.run(global).await,
            Command::Ls(args) => args.run(global).await,
            Command::Rm(args) => args.run(global).await,
        }
    }
}
