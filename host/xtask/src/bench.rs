//! `cargo xtask bench`: builds and runs a benchmark.

use clap::{Args, Subcommand};

use crate::setup::Setup;
use crate::step;
use crate::test::build_guests;
use crate::workspace::Workspace;

/// Build and run a benchmark; the machine should do nothing else meanwhile
#[derive(Args)]
#[command(after_help = "\
Examples:
  cargo xtask bench models
  cargo xtask bench models --json --pairs 100
  cargo xtask bench cluster --json
  cargo xtask bench overflow --json --seconds 8
  cargo xtask bench http --json
  cargo xtask bench http --only fresh_over_wasmtime_serve --seconds 2 --rounds 3
  cargo xtask bench http --only idle_function_bytes --components 200
  cargo xtask bench http --only neighbour_p99 --neighbours loop,allocate
  cargo xtask bench http --only neighbour_p99 --load-priority usual
  cargo xtask bench http --only over --one-session
  cargo xtask bench http --only fresh_two --load-anywhere
  cargo xtask bench kernels --json
  cargo xtask bench kernels --only conv2d --rounds 3 --threads 1")]
pub(crate) struct Bench {
    #[command(subcommand)]
    which: Which,
}

#[derive(Subcommand)]
enum Which {
    /// What HTTP, sandbox and host calls add to inference, beside the same work done natively
    Models {
        /// Arguments for the benchmark: --json, --pairs N
        #[arg(trailing_var_arg = true, allow_hyphen_values = true, value_name = "ARGS")]
        arguments: Vec<String>,
    },
    /// What sending calls over gains where a node has too little to do them in time
    Overflow {
        /// Arguments for the benchmark: --json, --seconds N, --runs N
        #[arg(trailing_var_arg = true, allow_hyphen_values = true, value_name = "ARGS")]
        arguments: Vec<String>,
    },
    /// HTTP and sandboxes beside `wasmtime serve`, workerd and plain hyper; memory and sizes
    Http {
        /// Arguments for the benchmark: --json, --seconds N, --rounds N, --components N, --only TEXT, --neighbours LIST,
        /// --load-priority realtime|usual, --one-session, --load-anywhere
        #[arg(trailing_var_arg = true, allow_hyphen_values = true, value_name = "ARGS")]
        arguments: Vec<String>,
    },
    /// Kernels as guests call them, beside native libraries, tract and ONNX Runtime
    Kernels {
        /// Arguments for the benchmark: --json, --rounds N, --milliseconds N, --threads 1|2, --only TEXT
        #[arg(trailing_var_arg = true, allow_hyphen_values = true, value_name = "ARGS")]
        arguments: Vec<String>,
    },
    /// How fast a cluster of three nodes follows: deployments, deaths, calls that are sent on
    Cluster {
        /// Arguments for the benchmark: --json, --rounds N
        #[arg(trailing_var_arg = true, allow_hyphen_values = true, value_name = "ARGS")]
        arguments: Vec<String>,
    },
}

impl Bench {
    pub(crate) async fn run(self, workspace: &Workspace) -> anyhow::Result<()> {
        let (name, arguments) = match self.which {
            Which::Models { arguments } => ("models", arguments),
            Which::Cluster { arguments } => ("cluster", arguments),
            Which::Http { arguments } => ("http", arguments),
            Which::Kernels { arguments } => ("kernels", arguments),
            Which::Overflow { arguments } => ("overflow", arguments),
        };
        // A cluster needs a server of NATS, which the tests need, too.
        let (tests, contenders) = (matches!(name, "cluster" | "overflow"), name == "http");
        Setup { tests, contenders, engines: name == "kernels" }.run(workspace).await?;
        let mut build = workspace.cargo();
        build.args(["build", "--release", "--workspace", "--bins"]);
        step::openly("build", "Spillway and its benchmarks", &mut build).await?;
        build_guests(workspace, &["functions", "tests/guests"]).await?;
        let mut program = workspace.spillway();
        if matches!(name, "http" | "kernels") {
            // What is shipped beside what others ship.
            let mut dist = workspace.cargo();
            dist.args(["build", "--profile", "dist", "--package", "spillway-cli"]);
            step::openly("build", "Spillway as it is shipped (many minutes the first time)", &mut dist).await?;
            program = workspace.target().join("dist/spillway");
        }
        let mut bench = tokio::process::Command::new(workspace.spillway().with_file_name("spillway-bench"));
        bench.env("SPILLWAY_BIN", program).arg(name).args(arguments);
        step::openly("bench", name, &mut bench).await
    }
}
