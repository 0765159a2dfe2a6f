//! The node of the demo: a child process, started, waited for and stopped.

use std::fs::File;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::process::Stdio;
use std::time::Duration;

use anyhow::Context as _;
use tokio::net::TcpListener;
use tokio::process::{Child, Command};
use tokio::time::{Instant, sleep, timeout};

use crate::step;
use crate::workspace::Workspace;

/// A node that starts has its code in the cache or compiles it: seconds.
const START_LIMIT: Duration = Duration::from_secs(60);
/// Longer than the node's own drain, which ends by itself after 30 s.
const STOP_LIMIT: Duration = Duration::from_secs(40);

/// A running node. It is killed if it is dropped without having been stopped.
pub(crate) struct Node {
    child: Child,
    log: PathBuf,
}

impl Node {
    /// Starts a node and waits until it is ready.
    pub(crate) async fn start(workspace: &Workspace, listen: SocketAddr, api: SocketAddr) -> anyhow::Result<Self> {
        let data = workspace.target().join("demo");
        let log = workspace.target().join("demo.log");
        let file = File::create(&log).with_context(|| format!("{} cannot be written", log.display()))?;
        step::say("start", format!("node, log in {}", log.display()));
        let child = Command::new(workspace.spillway())
            .arg("up")
            .arg("--data")
            .arg(data)
            .args(["--listen", &listen.to_string(), "--api", &api.to_string()])
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(file)
            // Ctrl-C on the terminal is for us; a second signal would make the node stop without draining.
            .process_group(0)
            .kill_on_drop(true)
            .spawn()
            .context("the node does not start")?;
        let mut node = Self { child, log };
        node.wait_until_ready(api).await?;
        Ok(node)
    }

    async fn wait_until_ready(&mut self, api: SocketAddr) -> anyhow::Result<()> {
        let url = format!("http://{api}/readyz");
        let end = Instant::now() + START_LIMIT;
        while Instant::now() < end {
            if let Some(status) = self.child.try_wait()? {
                anyhow::bail!("the node ended ({status}); the end of its log:\n{}", last_lines(&self.log));
            }
            if reqwest::get(&url).await.is_ok_and(|response| response.status().is_success()) {
                return Ok(());
            }
            sleep(Duration::from_millis(20)).await;
        }
        anyhow::bail!(
            "the node is not ready after {} s; the end of its log:\n{}",
            START_LIMIT.as_secs(),
            last_lines(&self.log)
        )
    }

    /// Where it logs.
    pub(crate) fn log(&self) -> &Path {
        &self.log
    }

    /// Returns on Ctrl-C; fails if the node ends before.
    pub(crate) async fn serve_until_interrupted(&mut self) -> anyhow::Result<()> {
        tokio::select! {
            interrupted = tokio::signal::ctrl_c() => Ok(interrupted?),
            status = self.child.wait() => {
                anyhow::bail!("the node ended ({}); the end of its log:\n{}", status?, last_lines(&self.log))
            }
        }
    }

    /// Asks it to drain and end.
    pub(crate) async fn stop(mut self) -> anyhow::Result<()> {
        // Without an id it has ended already.
        let Some(id) = self.child.id() else { return Ok(()) };
        step::say("stop", "node");
        Command::new("kill").args(["-TERM", &id.to_string()]).status().await.context("`kill` does not start")?;
        let status = timeout(STOP_LIMIT, self.child.wait()).await.context("the node does not end; it is killed")??;
        anyhow::ensure!(
            status.success(),
            "the node ended with {status}; the end of its log:\n{}",
            last_lines(&self.log)
        );
        Ok(())
    }
}

/// Fails if somebody listens there.
pub(crate) async fn refuse_taken(option: &str, address: SocketAddr) -> anyhow::Result<()> {
    match TcpListener::bind(address).await {
        Ok(_) => Ok(()),
        Err(error) => anyhow::bail!(
            "{address} cannot be had ({error}); stop what listens there, or choose another with {option} ADDRESS:PORT"
        ),
    }
}

fn last_lines(log: &Path) -> String {
    let text = std::fs::read_to_string(log).unwrap_or_default();
    let lines: Vec<&str> = text.lines().collect();
    lines[lines.len().saturating_sub(20)..].join("\n")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn a_taken_port_is_named_with_the_option_to_choose_another() {
        let taken = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = taken.local_addr().unwrap();
        let error = refuse_taken("--api", address).await.unwrap_err().to_string();
        assert!(error.contains(&address.to_string()) && error.contains("--api"), "{error}");
    }
}
