//! `cargo xtask demo --cluster`: a program of its own does the work, with the harness of the tests.

use std::process::Stdio;
use std::time::Duration;

use anyhow::Context as _;
use tokio::process::{Child, Command};
use tokio::signal::unix::{Signal, SignalKind, signal};
use tokio::time::timeout;

use super::Demo;
use crate::setup::nats;
use crate::step;
use crate::workspace::Workspace;

/// Longer than it takes to stop all nodes, one that hangs included.
const STOP_LIMIT: Duration = Duration::from_secs(80);

impl Demo {
    /// Runs it to its end, or until Ctrl-C.
    pub(super) async fn show_cluster(&self, workspace: &Workspace) -> anyhow::Result<()> {
        nats::provide(workspace).await?;
        let mut showcase = Command::new(workspace.spillway().with_file_name("spillway-bench"));
        showcase
            .env("SPILLWAY_BIN", workspace.spillway())
            .arg("showcase")
            .args(["--listen", &self.listen.to_string(), "--api", &self.api.to_string()])
            .args(["--seconds", &self.seconds.to_string()])
            .arg("--plot")
            .arg(workspace.target().join("demo/overflow.svg"))
            .args(self.once.then_some("--once"))
            .stdin(Stdio::null())
            // Ctrl-C on the terminal is for us: nodes and NATS would end under the calls, each at its own time.
            .process_group(0);
        step::say("demo", "NATS, two edge nodes, one cloud node");
        // Heard from before it starts, or it would go on alone.
        let mut signals =
            [signal(SignalKind::interrupt())?, signal(SignalKind::hangup())?, signal(SignalKind::terminate())?];
        let mut showcase = showcase.spawn().context("`spillway-bench` does not start")?;
        let status = tokio::select! {
            status = showcase.wait() => status?,
            () = interrupted(&mut signals) => stop(&mut showcase).await?,
        };
        anyhow::ensure!(status.success(), "the demo ended with {status}");
        Ok(())
    }
}

/// Returns at the first signal.
async fn interrupted([ctrl_c, hung_up, terminated]: &mut [Signal; 3]) {
    tokio::select! {
        _ = ctrl_c.recv() => {}
        _ = hung_up.recv() => {}
        _ = terminated.recv() => {}
    }
}

/// Lets it stop what it has started.
async fn stop(showcase: &mut Child) -> anyhow::Result<std::process::ExitStatus> {
    if let Some(id) = showcase.id() {
        Command::new("kill").args(["-INT", &id.to_string()]).status().await.context("`kill` does not start")?;
    }
    let status = timeout(STOP_LIMIT, showcase.wait()).await;
    Ok(status.context("the demo does not end; look for processes named spillway and nats-server")??)
}
