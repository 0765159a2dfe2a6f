//! `cargo xtask demo --cluster`: more calls than the edge can do, with a cloud behind it and without.
//!
//! | module | what |
//! | --- | --- |
//! | `stage` | NATS, two edge nodes, a cloud node, and the way between them |
//! | `mix` | what is called |
//! | `ramp` | how the load rises and falls |
//! | `load` | the calls |
//! | `bill` | what a call cost |
//! | `tally` | what became of calls |
//! | `view` | a load while it runs |
//! | `table`, `plot` | both loads beside each other |
//! | `text` | figures as people read them |

mod bill;
mod load;
mod mix;
mod plot;
mod ramp;
mod stage;
mod table;
mod tally;
mod text;
mod view;

use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use clap::Args;
use futures::future::try_join_all;
use spillway_tests::{spillway, workspace};
use tokio::signal::unix::{SignalKind, signal};

use load::Load;
use mix::Mix;
use ramp::Ramp;
use stage::{EDGES, NODES, Stage};
use table::Comparison;

#[derive(Args)]
pub(crate) struct Showcase {
    /// End after table and plot instead of serving until Ctrl-C
    #[arg(long)]
    once: bool,
    /// How long each of the two loads lasts, in seconds
    #[arg(long, default_value_t = 60, value_parser = clap::value_parser!(u64).range(12..))]
    seconds: u64,
    /// Where callers reach functions at the first edge node
    #[arg(long, default_value = "127.0.0.1:3000", value_name = "ADDRESS:PORT")]
    listen: SocketAddr,
    /// Where the control API of the first edge node listens
    #[arg(long, default_value = "127.0.0.1:3001", value_name = "ADDRESS:PORT")]
    api: SocketAddr,
    /// Where the plot goes
    #[arg(long, value_name = "FILE")]
    plot: PathBuf,
}

impl Showcase {
    pub(crate) async fn run(self) -> anyhow::Result<()> {
        let mut interrupted = std::pin::pin!(interrupted());
        let mut stage = tokio::select! {
            stage = Stage::set(self.listen, self.api) => stage,
            outcome = &mut interrupted => return outcome,
        };
        let outcome = tokio::select! {
            outcome = self.perform(&mut stage) => outcome,
            outcome = &mut interrupted => outcome,
        };
        say("stop", "nodes and NATS");
        stage.stop().await;
        outcome
    }

    async fn perform(&self, stage: &mut Stage) -> anyhow::Result<()> {
        if !stage.has_quotas() {
            say(
                "note",
                "no control groups (version 1, cpu) or no root: all nodes are as large as the machine, and share it",
            );
        }
        say("prepare", "deploy sniff and ocr");
        stage.prepare().await?;
        let mix = Mix::read()?;

        say("start", "kiosk and counter at the edge, cloud 20 ms away, with --no-overflow");
        stage.start(&["--no-overflow"]).await?;
        say("measure", "what each node can do");
        let capacities = learn(stage, &mix).await?;
        for (place, capacity) in NODES.iter().zip(&capacities) {
            say("", format!("{}: {capacity:.1} calls/s", place.name));
        }
        let ramp = Ramp::new(capacities[..EDGES].iter().sum(), Duration::from_secs(self.seconds));
        let without = load(stage, &mix, ramp, "without spilling").await?;
        stage.stop().await;

        say("start", "the same nodes, with spilling");
        stage.start(&[]).await?;
        learn(stage, &mix).await?;
        let with = load(stage, &mix, ramp, "with spilling").await?;

        let comparison = Comparison { with: &with.tally(|_| true), without: &without.tally(|_| true) };
        println!("\n{comparison}\n");
        plot::draw(&self.plot, ramp, &with.records(), &without.records())?;
        println!("Plot: {}", from_workspace(&self.plot).display());
        if self.once {
            return Ok(());
        }
        println!("{}", self.hints(stage));
        std::future::pending().await
    }

    fn hints(&self, stage: &Stage) -> String {
        let (listen, api, counter) = (self.listen, self.api, stage.node(1).listen());
        let spillway = spillway();
        let spillway = format!("{} --node http://{api}", from_workspace(&spillway).display());
        format!(
            "\nTry:\n  \
             curl -i --data-binary @README.md http://{listen}/sniff\n  \
             curl -i --data-binary @tests/data/ocr/pictures/receipt.jpg {counter}/ocr\n  \
             {spillway} nodes\n  \
             {spillway} placement sniff\n  \
             {spillway} inspect ocr\n  \
             {spillway} logs sniff\n\n\
             Serving on http://{listen} until Ctrl-C."
        )
    }
}

/// Lets all nodes learn how long calls take; gives how many each does per second.
async fn learn(stage: &Stage, mix: &Mix) -> anyhow::Result<Vec<f64>> {
    try_join_all((0..NODES.len()).map(|node| load::learn(stage, node, mix))).await
}

/// Runs a load, and shows it meanwhile.
async fn load(stage: &Stage, mix: &Mix, ramp: Ramp, title: &str) -> anyhow::Result<Arc<Load>> {
    say("load", title);
    let load = Load::start(ramp);
    tokio::select! {
        outcome = load.run(stage, mix) => outcome?,
        never = view::follow(&load, stage, title) => match never {},
    }
    view::finish(&load, stage, title).await;
    Ok(load)
}

/// Ctrl-C, a terminal that goes, or a polite end by another process.
async fn interrupted() -> anyhow::Result<()> {
    let [mut ctrl_c, mut hung_up, mut terminated] =
        [signal(SignalKind::interrupt())?, signal(SignalKind::hangup())?, signal(SignalKind::terminate())?];
    tokio::select! {
        _ = ctrl_c.recv() => {}
        _ = hung_up.recv() => {}
        _ = terminated.recv() => {}
    }
    Ok(())
}

/// As the other chores say it.
fn say(what: &str, text: impl std::fmt::Display) {
    eprintln!("{what:>12}  {text}");
}

fn from_workspace(path: &Path) -> &Path {
    path.strip_prefix(workspace()).unwrap_or(path)
}
