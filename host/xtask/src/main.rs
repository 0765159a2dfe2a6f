//! Chores of this repository: `cargo xtask setup | demo | test | bench | soak | fuzz | compat`.
//!
//! | module | what |
//! | --- | --- |
//! | `workspace` | where things are |
//! | `step` | runs programs, with progress and their output when they fail |
//! | `setup` | installs what a build needs: guest toolchain, models, tools of the tests |
//! | `demo` | builds, starts a node, deploys and calls the samples |
//! | `test` | sets up and runs every test |
//! | `bench` | builds and runs a benchmark |
//! | `soak` | a node under load for a long time |
//! | `fuzz` | builds and runs the fuzz targets |
//! | `compat` | an older build beside this one |

mod bench;
mod compat;
mod demo;
mod fuzz;
mod setup;
mod soak;
mod step;
mod test;
mod workspace;

use std::process::ExitCode;

use clap::{Parser, Subcommand};

use workspace::Workspace;

/// Chores of this repository.
#[derive(Parser)]
#[command(name = "cargo xtask", bin_name = "cargo xtask", arg_required_else_help = true)]
struct Cli {
    #[command(subcommand)]
    chore: Chore,
}

#[derive(Subcommand)]
enum Chore {
    /// Install what builds need; does nothing where all is there
    Setup(setup::Setup),
    /// Build, start a node, deploy the sample functions, call each on real input, keep serving
    Demo(demo::Demo),
    /// Set up and run every test; arguments go to `cargo test`
    Test(test::Test),
    /// Build and run a benchmark
    Bench(bench::Bench),
    /// Load a node for a long time, and fail if it grew
    Soak(soak::Soak),
    /// Feed parsers and the tensor interface with made-up input, for a while
    Fuzz(fuzz::Fuzz),
    /// Build an older commit, and run it beside this one
    Compat(compat::Compat),
}

#[tokio::main]
async fn main() -> ExitCode {
    match run(Cli::parse()).await {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("error: {error:#}");
            ExitCode::FAILURE
        }
    }
}

async fn run(cli: Cli) -> anyhow::Result<()> {
    let workspace = Workspace::find()?;
    match cli.chore {
        Chore::Setup(args) => args.run(&workspace).await,
        Chore::Demo(args) => args.run(&workspace).await,
        Chore::Test(args) => args.run(&workspace).await,
        Chore::Bench(args) => args.run(&workspace).await,
        Chore::Soak(args) => args.run(&workspace).await,
        Chore::Fuzz(args) => args.run(&workspace).await,
        Chore::Compat(args) => args.run(&workspace).await,
    }
}
