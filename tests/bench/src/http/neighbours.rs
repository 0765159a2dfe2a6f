//! What a function's callers notice of others that misbehave.

use std::process::Command;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering::Relaxed};
use std::time::{Duration, Instant};

use anyhow::{Context as _, ensure};
use bytes::Bytes;
use clap::ValueEnum;
use spillway_tests::{Node, bundle, bundle_file, manifest_of, with_manifest};

use super::load::load;
use super::node;
use crate::caller::Caller;

/// Connections, each with at most one call under way.
const CALLERS: u32 = 16;

/// What a neighbour does.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(super) enum Neighbour {
    /// Computes for ever
    Loop,
    /// Takes all memory
    Allocate,
    /// Is being deployed
    Deploy,
}

impl Neighbour {
    pub(super) const ALL: [Self; 3] = [Self::Loop, Self::Allocate, Self::Deploy];
}

/// How the load's own threads get a core.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(super) enum LoadPriority {
    /// At once, as if callers had a machine of their own
    Realtime,
    /// As all others, so that callers' own waits for a core count, too
    Usual,
}

impl LoadPriority {
    /// Gives it to all threads of this process, and to none that they start.
    fn set(self) -> anyhow::Result<()> {
        let policy: &[&str] = match self {
            Self::Realtime => &["--fifo", "--reset-on-fork", "--pid", "1"],
            Self::Usual => &["--other", "--pid", "0"],
        };
        let this = std::process::id().to_string();
        let output = Command::new("chrt").arg("--all-tasks").args(policy).arg(this).output().context("chrt")?;
        let complaint = String::from_utf8_lossy(&output.stderr);
        ensure!(
            output.status.success(),
            "the load cannot have priority {self:?}: {}; run as root, or with --load-priority usual",
            complaint.trim()
        );
        Ok(())
    }
}

/// The 99th percentile of hello at half load beside functions that loop, take all memory and are being deployed, over that of
/// hello alone.
pub(super) async fn ratios(
    under: &[&str],
    seconds: u64,
    rounds: u16,
    which: &[Neighbour],
    priority: LoadPriority,
) -> anyhow::Result<Vec<f64>> {
    let node = Arc::new(node(under).await?);
    node.cli(&["deploy", &bundle_file("misbehave").display().to_string(), "--json"]).await.json();
    let full = load(&[], &format!("{}/constant", node.listen()), seconds).await?;
    priority.set()?;
    let mut ratios = Vec::new();
    for _ in 0..rounds {
        let alone = half_load(&node, full.per_second / 2.0, seconds).await?;
        let neighbours = Neighbours::start(&node, which);
        let beside = half_load(&node, full.per_second / 2.0, seconds).await?;
        neighbours.stop().await?;
        eprintln!("half load: p99 {alone:?} alone, {beside:?} beside others");
        ratios.push(beside.as_secs_f64() / alone.as_secs_f64());
    }
    LoadPriority::Usual.set()?;
    Ok(ratios)
}

/// Calls at an even rate; gives the 99th percentile.
async fn half_load(node: &Node, per_second: f64, seconds: u64) -> anyhow::Result<Duration> {
    let every = Duration::from_secs_f64(f64::from(CALLERS) / per_second);
    let started = Instant::now();
    let mut callers = Vec::new();
    for number in 0..CALLERS {
        let mut caller = Caller::connect(node.listen()).await?;
        callers.push(tokio::spawn(async move {
            let mut times = Vec::new();
            let mut due = started + every * number / CALLERS;
            while due < started + Duration::from_secs(seconds) {
                tokio::time::sleep_until(due.into()).await;
                let (_, took) = caller.post("/constant", Bytes::new()).await?;
                times.push(took);
                due += every;
            }
            anyhow::Ok(times)
        }));
    }
    let mut times = Vec::new();
    for caller in callers {
        times.extend(caller.await??);
    }
    times.sort_unstable();
    Ok(times[(times.len() - 1) * 99 / 100])
}

/// Functions that misbehave until they are stopped.
struct Neighbours {
    stop: Arc<AtomicBool>,
    tasks: Vec<tokio::task::JoinHandle<anyhow::Result<()>>>,
}

impl Neighbours {
    fn start(node: &Arc<Node>, which: &[Neighbour]) -> Self {
        let stop = Arc::new(AtomicBool::new(false));
        let mut tasks = Vec::new();
        for (neighbour, misdeed) in [(Neighbour::Loop, "loop"), (Neighbour::Allocate, "allocate")] {
            if !which.contains(&neighbour) {
                continue;
            }
            let (node, stop) = (node.clone(), stop.clone());
            tasks.push(tokio::spawn(async move {
                while !stop.load(Relaxed) {
                    node.call(&format!("/misbehave/{misdeed}")).await;
                }
                Ok(())
            }));
        }
        if !which.contains(&Neighbour::Deploy) {
            return Self { stop, tasks };
        }
        let (node, stopped) = (node.clone(), stop.clone());
        tasks.push(tokio::spawn(async move {
            let built = bundle("plain");
            for round in 0_u64.. {
                if stopped.load(Relaxed) {
                    break;
                }
                // Another component each time, so that it is compiled.
                let mut manifest = manifest_of(&built);
                manifest.name = "deployed".parse()?;
                manifest.routes[0].pattern =
                    spillway_types::RoutePattern::any_host("/deployed/*").map_err(anyhow::Error::msg)?;
                let other = super::size::other(&built, round)?;
                node.post(with_manifest(&other, &manifest.to_bundle_toml()), "").await;
            }
            Ok(())
        }));
        Self { stop, tasks }
    }

    async fn stop(self) -> anyhow::Result<()> {
        self.stop.store(true, Relaxed);
        for task in self.tasks {
            task.await??;
        }
        Ok(())
    }
}
