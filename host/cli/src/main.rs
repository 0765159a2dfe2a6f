//! `spillway`: run a node, build functions, deploy them, call them.
//!
//! | module | what |
//! | --- | --- |
//! | `allocator` | memory |
//! | `args` | the command line |
//! | `command` | one file per subcommand |
//! | `build` | from a crate to a bundle: toolchain, cargo, models |
//! | `client` | the control API over HTTP |
//! | `home` | where the user's own files lie |
//! | `signing` | deployments in a cluster, which are signed |
//! | `hardened` | rights that a node takes away from itself |
//! | `failure` | what goes wrong, and the exit code for it |
//! | `output`, `progress` | what goes to stdout, what is drawn on stderr |

mod allocator;
mod args;
mod build;
mod client;
mod command;
mod failure;
mod hardened;
mod home;
mod output;
mod progress;
mod signing;

use std::process::ExitCode;

use clap::Parser as _;

fn main() -> ExitCode {
    allocator::give_back_later();
    let mut cli = args::Cli::parse();
    if let args::Command::CheckModel(check) = &cli.command {
        return check.run();
    }
    // Before there is a thread that would not have it.
    if let args::Command::Up(up) = &mut cli.command
        && let Err(error) = up.harden()
    {
        return failure::report(&error);
    }
    let runtime = match &cli.command {
        args::Command::Up(up) => spillway_node::serving_runtime(up.binds_threads()),
        _ => tokio::runtime::Runtime::new(),
    };
    let result = match runtime {
        Ok(runtime) => runtime.block_on(command::run(cli)),
        Err(error) => Err(anyhow::Error::new(error).context("the async runtime does not start")),
    };
    match result {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => failure::report(&error),
    }
}
