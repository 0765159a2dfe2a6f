//! One file per subcommand.

pub(crate) mod audit;
pub(crate) mod build;
pub(crate) mod ca;
pub(crate) mod caller;
pub(crate) mod check_model;
pub(crate) mod cost;
pub(crate) mod deploy;
pub(crate) mod drain;
pub(crate) mod gc;
pub(crate) mod inspect;
pub(crate) mod invoke;
pub(crate) mod key;
pub(crate) mod logs;
pub(crate) mod ls;
pub(crate) mod models;
pub(crate) mod nodes;
pub(crate) mod placement;
pub(crate) mod quota;
pub(crate) mod rm;
pub(crate) mod rollback;
pub(crate) mod up;

use crate::args::{Cli, Command};

/// Runs the subcommand.
pub(crate) async fn run(cli: Cli) -> anyhow::Result<()> {
    let global = &cli.global;
    match cli.command {
        Command::Up(args) => args.run(global).await,
        Command::Build(args) => args.run(global).await,
        Command::Deploy(args) => args.run(global).await,
        Command::Invoke(args) => args.run(global).await,
        Command::Ls(args) => args.run(global).await,
        Command::Inspect(args) => args.run(global).await,
        Command::Logs(args) => args.run(global).await,
        Command::Rollback(args) => args.run(global).await,
        Command::Rm(args) => args.run(global).await,
        Command::Models(args) => args.run(global).await,
        Command::Nodes(args) => args.run(global).await,
        Command::Placement(args) => args.run(global).await,
        Command::Cost(args) => args.run(global).await,
        Command::Audit(args) => args.run(global).await,
        Command::Drain(args) => args.run(global).await,
        Command::Cordon(args) => args.run(global).await,
        Command::Uncordon(args) => args.run(global).await,
        Command::Caller(args) => args.run(global),
        Command::Key(args) => args.run(global).await,
        Command::Ca(args) => args.run(global),
        Command::Quota(args) => args.run(global).await,
        Command::Gc(args) => args.run(global).await,
        Command::CheckModel(_) => anyhow::bail!("`main` runs it, without the async runtime"),
    }
}
