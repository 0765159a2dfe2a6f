//! `cargo xtask demo`: all of Spillway, once, on real input.
//!
//! | module | what |
//! | --- | --- |
//! | `node` | the node as a child process |
//! | `calls` | what is called and what must come back |
//! | `cluster` | with `--cluster`: several nodes, and more calls than some of them can do |

mod calls;
mod cluster;
mod node;

use std::net::SocketAddr;

use clap::Args;
use tokio::process::Command;

use crate::setup::Setup;
use crate::step;
use crate::test::build_guests;
use crate::workspace::Workspace;
use node::Node;

/// Build, start a node, deploy the sample functions, call each on real input, keep serving
#[derive(Args)]
#[command(after_help = "\
Examples:
  cargo xtask demo
  cargo xtask demo --once                                                 end after the table
  cargo xtask demo --listen 127.0.0.1:4000 --api 127.0.0.1:4001           where 3000 or 3001 is taken
  cargo xtask demo --cluster                                              calls spill over from two edge nodes to a cloud
  cargo xtask demo --cluster --once --seconds 120                         with loads of two minutes")]
pub(crate) struct Demo {
    /// Start NATS, two edge nodes and a cloud node instead, and give the edge up to three times what it can do
    ///
    /// The same load runs without and with spilling over; at the end come a table and a plot, target/demo/overflow.svg. As
    /// root, nodes are held to unequal shares of the processor by control groups (version 1).
    #[arg(long)]
    cluster: bool,
    /// With --cluster: how long each of the two loads lasts, in seconds
    #[arg(long, requires = "cluster", default_value_t = 60, value_name = "N", value_parser = clap::value_parser!(u64).range(12..))]
    seconds: u64,
    /// End after the table instead of serving until Ctrl-C
    #[arg(long)]
    once: bool,
    /// Where callers reach functions; with --cluster, at the first edge node
    #[arg(long, default_value = "127.0.0.1:3000", value_name = "ADDRESS:PORT")]
    listen: SocketAddr,
    /// Where the control API listens
    #[arg(long, default_value = "127.0.0.1:3001", value_name = "ADDRESS:PORT")]
    api: SocketAddr,
}

/// The samples, in the order in which they are deployed.
const FUNCTIONS: [&str; 6] = ["hello", "sniff", "ocr", "speech", "embed", "similar"];

impl Demo {
    pub(crate) async fn run(self, workspace: &Workspace) -> anyhow::Result<()> {
        // Before minutes of building, which would be for nothing.
        node::refuse_taken("--listen", self.listen).await?;
        node::refuse_taken("--api", self.api).await?;
        Setup::default().run(workspace).await?;
        let mut build = workspace.cargo();
        // Not the one package alone: Cargo would choose other features of its dependencies, and `cargo xtask test` would
        // compile all of wasmtime again.
        build.args(["build", "--release", "--workspace", "--bins"]);
        step::openly("build", "Spillway (minutes the first time)", &mut build).await?;
        build_guests(workspace, &["functions"]).await?;
        if self.cluster {
            return self.show_cluster(workspace).await;
        }

        let mut node = Node::start(workspace, self.listen, self.api).await?;
        let result = self.show(workspace, &mut node).await;
        let stopped = node.stop().await;
        result.and(stopped)
    }

    async fn show(&self, workspace: &Workspace, node: &mut Node) -> anyhow::Result<()> {
        for function in FUNCTIONS {
            let mut deploy = Command::new(workspace.spillway());
            deploy.arg("deploy").arg(workspace.bundle(function)).arg("--node").arg(format!("http://{}", self.api));
            step::openly("deploy", function, &mut deploy).await?;
        }
        let wrong = calls::show(workspace, self.listen).await?;
        anyhow::ensure!(wrong == 0, "{wrong} wrong answers; the node's log is {}", node.log().display());
        if self.once {
            return Ok(());
        }
        println!("{}", self.hints(workspace));
        node.serve_until_interrupted().await
    }

    fn hints(&self, workspace: &Workspace) -> String {
        let (listen, api) = (self.listen, self.api);
        let spillway = workspace.spillway();
        let spillway = spillway.strip_prefix(workspace.root()).unwrap_or(&spillway).display();
        format!(
            "\nTry:\n  \
             curl 'http://{listen}/hello?name=Ada'\n  \
             curl --data-binary @README.md http://{listen}/sniff\n  \
             curl --data-binary @tests/data/ocr/pictures/receipt.jpg http://{listen}/ocr\n  \
             curl --data-binary @tests/data/speech/recorded-en.wav http://{listen}/speech\n  \
             curl -d '{{\"model\": \"all-MiniLM-L6-v2\", \"input\": \"a cat\"}}' http://{listen}/v1/embeddings\n  \
             curl -d '{{\"text\": \"a sleeping cat\"}}' http://{listen}/similar\n  \
             {spillway} --node http://{api} ls\n  \
             {spillway} --node http://{api} logs sniff\n\n\
             Serving on http://{listen} until Ctrl-C."
        )
    }
}
