//! The command line.

use clap::{Args, Parser, Subcommand};
use spillway_types::FunctionId;

use crate::command::{
    audit, build, ca, caller, check_model, cost, deploy, drain, gc, inspect, invoke, key, logs, ls, models, nodes,
    placement, quota, rm, rollback, up,
};

/// Serverless inference at the edge: write a function, deploy one `.wasm` file, call it over HTTP.
#[derive(Debug, Parser)]
#[command(name = "spillway", version, after_help = AFTER_HELP, arg_required_else_help = true)]
pub(crate) struct Cli {
    #[command(flatten)]
    pub(crate) global: Global,
    #[command(subcommand)]
    pub(crate) command: Command,
}

/// What every subcommand takes.
#[derive(Debug, Args)]
pub(crate) struct Global {
    /// Control API of the node to talk to
    #[arg(
        long,
        global = true,
        env = "SPILLWAY_NODE",
        default_value = "http://127.0.0.1:3001",
        value_name = "URL",
        help_heading = "Global options"
    )]
    pub(crate) node: String,
    /// Bearer token of the control API; prefer the environment variable, which other users cannot see
    #[arg(
        long,
        global = true,
        env = "SPILLWAY_TOKEN",
        hide_env_values = true,
        value_name = "TOKEN",
        help_heading = "Global options"
    )]
    pub(crate) token: Option<String>,
    /// Print JSON for programs instead of text for people
    #[arg(long, global = true, help_heading = "Global options")]
    pub(crate) json: bool,
}

/// The subcommands, in the order in which a newcomer meets them.
#[derive(Debug, Subcommand)]
pub(crate) enum Command {
    Up(Box<up::Up>),
    Build(build::Build),
    Deploy(deploy::Deploy),
    Invoke(invoke::Invoke),
    Ls(ls::Ls),
    Inspect(inspect::Inspect),
    Logs(logs::Logs),
    Rollback(rollback::Rollback),
    Rm(rm::Rm),
    Models(models::Models),
    Nodes(nodes::Nodes),
    Placement(placement::Placement),
    Cost(cost::Cost),
    Audit(audit::Audit),
    Drain(drain::Drain),
    Cordon(drain::Cordon),
    Uncordon(drain::Uncordon),
    Caller(caller::Caller),
    Key(key::Key),
    Ca(ca::Ca),
    Quota(quota::Quota),
    Gc(gc::Gc),
    #[command(hide = true)]
    CheckModel(check_model::CheckModel),
}

/// The function that a subcommand is about.
#[derive(Debug, Args)]
pub(crate) struct Function {
    /// Name of the function, or NAMESPACE/NAME
    #[arg(value_name = "NAME")]
    pub(crate) id: FunctionId,
}

impl Global {
    /// The token, unless the variable is set but empty.
    pub(crate) fn token(&self) -> Option<&str> {
        self.token.as_deref().filter(|token| !token.is_empty())
    }
}

const AFTER_HELP: &str = "\
First steps:
  spillway up                                     start a node (leave it running)
  spillway build functions/hello                  make target/spillway/hello.wasm
  spillway deploy target/spillway/hello.wasm      put it on the node
  curl http://127.0.0.1:3000/hello                call it

Exit codes:
  0  done                        3  no node answers
  1  failed                      4  the node refused
  2  wrong usage                 5  the function answered with an error (invoke)";

#[cfg(test)]
mod tests {
    use clap::CommandFactory as _;

    use super::*;

    #[test]
    fn the_command_line_is_consistent_and_every_subcommand_shows_an_example() {
        let mut command = Cli::command();
        command.build();
        command.clone().debug_assert();
        for sub in command.get_subcommands().filter(|sub| sub.get_name() != "help" && !sub.is_hide_set()) {
            let help = sub.get_after_help().map(ToString::to_string).unwrap_or_default();
            assert!(help.contains(&format!("  spillway {}", sub.get_name())), "{} has no example", sub.get_name());
            for inner in sub.get_subcommands().filter(|inner| inner.get_name() != "help") {
                let help = inner.get_after_help().map(ToString::to_string).unwrap_or_default();
                let call = format!("  spillway {} {}", sub.get_name(), inner.get_name());
                assert!(help.contains(&call), "`{call}` has no example");
            }
        }
    }
}
