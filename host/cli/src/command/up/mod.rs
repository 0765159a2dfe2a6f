//! `spillway up`: starts a node.

mod callers;
mod cluster;
mod process;
mod values;

use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::time::Duration;

use anyhow::Context as _;
use clap::Args;
use ipnet::IpNet;
use spillway_types::{Money, format_bytes, parse_bytes, parse_duration};

use crate::args::Global;
use crate::failure::Failure;
use crate::hardened::{Needs, harden};
use crate::{home, output};
use callers::Callers;
use cluster::Cluster;
use process::{LogFormat, shutdown_signal, start_log};
use values::{Idle, address, network, parse_idle};

/// Start a node and serve until Ctrl-C or SIGTERM
///
/// The node keeps functions, models, key-value data and logs in its data folder and starts again with all of them.
/// On the first Ctrl-C it drains: it takes no further calls and ends those in flight. On the second it stops at once.
#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  spillway up
  spillway up --data /srv/spillway --disk-budget 50GiB --listen 0.0.0.0:80 --auth none
  spillway up --listen 0.0.0.0:443 --tls-cert chain.pem --tls-key key.pem --callers callers.toml
  SPILLWAY_TOKEN=secret spillway up --api 0.0.0.0:3001
  spillway up --join nats://control:4222 --identity /etc/spillway/box-1 --peer 0.0.0.0:3002 --advertise box-1.example.com
  SPILLWAY_LOG=debug spillway up --log-format json")]
pub(crate) struct Up {
    /// Folder of everything that the node keeps [default: spillway in $XDG_DATA_HOME or ~/.local/share]
    #[arg(long, env = "SPILLWAY_DATA", value_name = "DIR")]
    data: Option<PathBuf>,
    /// Where callers reach functions
    #[arg(long, env = "SPILLWAY_LISTEN", default_value = "127.0.0.1:3000", value_name = "ADDRESS:PORT", value_parser = address)]
    listen: SocketAddr,
    /// Where the control API listens; off loopback it demands a token (--token or SPILLWAY_TOKEN)
    #[arg(long, env = "SPILLWAY_API", default_value = "127.0.0.1:3001", value_name = "ADDRESS:PORT", value_parser = address)]
    api: SocketAddr,
    /// Disk that blobs, revisions, compiled code and logs may take
    #[arg(long, env = "SPILLWAY_DISK_BUDGET", default_value = "10GiB", value_parser = parse_bytes, value_name = "SIZE")]
    disk_budget: u64,
    /// Revisions of a function to keep for rollback
    #[arg(long, env = "SPILLWAY_KEEP_REVISIONS", default_value_t = 10, value_name = "N")]
    keep_revisions: usize,
    /// Let the kernel choose cores for the threads that take calls; otherwise each keeps to one
    ///
    /// For machines whose cores others need, too, such as control loops that are bound to some of them.
    #[arg(long, env = "SPILLWAY_NO_CORE_BINDING")]
    no_core_binding: bool,
    /// Threads for inference [default: one per core]
    #[arg(long, env = "SPILLWAY_KERNEL_THREADS", value_name = "N")]
    kernel_threads: Option<usize>,
    /// Memory that loaded models may occupy together [default: half of the machine's, or of the container's]
    ///
    /// Beyond it, models that have not run for longest are unloaded; their next run loads them again.
    #[arg(long, env = "SPILLWAY_MODEL_MEMORY", value_parser = parse_bytes, value_name = "SIZE")]
    model_memory: Option<u64>,
    /// How long a model stays in memory that does not run; `never` keeps all
    #[arg(long, env = "SPILLWAY_MODEL_IDLE", default_value = "10m", value_parser = parse_idle, value_name = "DURATION")]
    model_idle: Idle,
    /// How long a function's code stays in memory that nobody calls; `never` keeps all
    ///
    /// The next call loads it again, which takes a few milliseconds.
    #[arg(long, env = "SPILLWAY_FUNCTION_IDLE", default_value = "1m", value_parser = parse_idle, value_name = "DURATION")]
    function_idle: Idle,
    /// Memory that one run of a model may take beside its inputs
    #[arg(long, env = "SPILLWAY_RUN_MEMORY", default_value = "1GiB", value_parser = parse_bytes, value_name = "SIZE")]
    run_memory: u64,
    /// Memory that the check of a new model file may take [default: 2GiB, or eight times the file]
    #[arg(long, env = "SPILLWAY_MODEL_CHECK_MEMORY", value_parser = parse_bytes, value_name = "SIZE")]
    model_check_memory: Option<u64>,
    /// How long the check of a new model file may take
    #[arg(
        long,
        env = "SPILLWAY_MODEL_CHECK_TIME",
        default_value = "60s",
        value_parser = parse_duration,
        value_name = "DURATION"
    )]
    model_check_time: Duration,
    /// What an hour of this node costs, in whatever currency you count in
    #[arg(long, env = "SPILLWAY_PRICE", default_value = "0", value_name = "AMOUNT")]
    price: Money,
    /// What a GiB costs that this node sends to other nodes
    #[arg(long, env = "SPILLWAY_TRANSFER_PRICE", default_value = "0", value_name = "AMOUNT")]
    transfer_price: Money,
    /// Never send calls to other nodes because this one has too much to do; they are refused instead
    #[arg(long, env = "SPILLWAY_NO_OVERFLOW")]
    no_overflow: bool,
    /// Network off the public internet that functions may send requests to if their manifests name the origin; may be
    /// given several times
    #[arg(
        long,
        env = "SPILLWAY_ALLOW_PRIVATE_EGRESS",
        value_delimiter = ',',
        value_parser = network,
        value_name = "ADDRESS[/BITS]"
    )]
    allow_private_egress: Vec<IpNet>,
    /// How long calls in flight may take to end on shutdown
    #[arg(
        long,
        env = "SPILLWAY_DRAIN_TIMEOUT",
        default_value = "30s",
        value_parser = parse_duration,
        value_name = "DURATION"
    )]
    drain_timeout: Duration,
    /// Give up all rights that a node does not need, for good: other files, other programs, risky system calls
    ///
    /// What it cannot give up on this kernel it says, and does not start.
    #[arg(long, env = "SPILLWAY_HARDENED")]
    hardened: bool,
    /// What holds since then, in words.
    #[arg(skip)]
    held: Option<String>,
    #[command(flatten)]
    callers: Callers,
    #[command(flatten)]
    cluster: Cluster,
    /// Form of the node's own log on stderr; SPILLWAY_LOG filters it, as in `info` or `spillway_node=debug`
    #[arg(long, env = "SPILLWAY_LOG_FORMAT", default_value = "text", value_name = "FORMAT")]
    log_format: LogFormat,
}

impl Up {
    /// Takes away what the node does not need, if it was asked for. To be called before any thread is started.
    ///
    /// # Errors
    /// What is missing for it.
    pub(crate) fn harden(&mut self) -> anyhow::Result<()> {
        if !self.hardened {
            return Ok(());
        }
        let cluster = &self.cluster;
        let named = [&self.callers.tls_cert, &self.callers.tls_key, &self.callers.callers, &cluster.nats_creds];
        // Folders, since a file that is replaced by another is another file, and certificates are replaced so.
        let beside = |file: &Path| match file.parent() {
            Some(folder) if !folder.as_os_str().is_empty() => folder.to_owned(),
            _ => PathBuf::from("."),
        };
        // And where it lies in truth: tools that renew certificates leave links.
        let both = |file: &PathBuf| [Some(beside(file)), file.canonicalize().ok().map(|file| beside(&file))];
        let reads = named.into_iter().flatten().flat_map(both).flatten().chain(cluster.identity.clone()).collect();
        let mut listens = vec![self.listen.port(), self.api.port()];
        if cluster.identity.is_some() {
            listens.push(cluster.peer.port());
        }
        let data = self.data.clone().map_or_else(default_data, Ok)?;
        self.held = Some(harden(&Needs { writes: vec![data], reads, listens })?);
        Ok(())
    }

    /// Whether the threads that take calls keep to a core each.
    pub(crate) fn binds_threads(&self) -> bool {
        !self.no_core_binding
    }

    pub(crate) async fn run(self, global: &Global) -> anyhow::Result<()> {
        refuse_open_api(self.api, global.token()).map_err(Failure::Usage)?;
        let auth = self.callers.auth(self.listen).map_err(Failure::Usage)?;
        let tls = self.callers.tls_cert.zip(self.callers.tls_key);
        let tls = tls.map(|(certificate, key)| spillway_node::TlsFiles { certificate, key });
        let scheme = if tls.is_some() { "https" } else { "http" };
        start_log(self.log_format)?;
        let held = self.held;
        if let Some(held) = &held {
            tracing::info!(held, "hardened");
        }
        let data = self.data.map_or_else(default_data, Ok)?;
        let folder = data.display().to_string();
        let budget = format_bytes(self.disk_budget);
        let json = global.json;
        let config = spillway_node::Config {
            data,
            listen: self.listen,
            api: self.api,
            api_token: global.token().map(ToOwned::to_owned),
            disk_budget_bytes: self.disk_budget,
            keep_revisions: self.keep_revisions,
            kernel_threads: self.kernel_threads,
            model_memory_bytes: self.model_memory,
            model_idle: self.model_idle.0,
            function_idle: self.function_idle.0,
            give_back: crate::allocator::give_back_now,
            run_memory_bytes: self.run_memory,
            model_check_memory_bytes: self.model_check_memory,
            model_check_time: self.model_check_time,
            drain_timeout: self.drain_timeout,
            stall_timeout: self.callers.stall_timeout,
            tls,
            callers: self.callers.callers,
            auth,
            price: self.price,
            transfer_price: self.transfer_price,
            overflow: !self.no_overflow,
            private_egress: self.allow_private_egress,
            cluster: self.cluster.config(),
        };
        let shutdown = shutdown_signal()?;
        spillway_node::run(config, shutdown, move |addresses| {
            let (listen, api) = (format!("{scheme}://{}", addresses.listen), format!("http://{}", addresses.api));
            let peer = addresses.peer.map(|peer| peer.to_string());
            let printed = if json {
                output::line(serde_json::json!({
                    "listen": listen, "api": api, "peer": peer, "data": folder, "hardened": held,
                }))
            } else {
                let mut fields = vec![("functions", listen), ("control", api)];
                fields.extend(peer.map(|peer| ("peers", peer)));
                fields.push(("data", format!("{folder} (up to {budget})")));
                fields.extend(held.map(|held| ("hardened", held)));
                output::line(output::fields(&fields))
            };
            if let Err(error) = printed {
                eprintln!("warning: the addresses cannot be printed: {error}");
            }
        })
        .await
    }
}

/// Anybody who reaches the control API can run code here, so without a token only this machine may.
fn refuse_open_api(api: SocketAddr, token: Option<&str>) -> Result<(), String> {
    if api.ip().is_loopback() || token.is_some() {
        return Ok(());
    }
    Err(format!(
        "the control API on {api} can be reached from other machines and would take code from anybody; \
         set SPILLWAY_TOKEN to a secret, or leave --api on 127.0.0.1"
    ))
}

fn default_data() -> anyhow::Result<PathBuf> {
    home::folder("XDG_DATA_HOME", ".local/share")
        .context("there is no home folder to keep data in; name a folder with --data")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_control_api_off_loopback_needs_a_token() {
        let (open, local) = ("0.0.0.0:3001".parse().unwrap(), "[::1]:3001".parse().unwrap());
        assert!(refuse_open_api(open, None).unwrap_err().contains("SPILLWAY_TOKEN"));
        assert_eq!(refuse_open_api(open, Some("secret")), Ok(()));
        assert_eq!(refuse_open_api(local, None), Ok(()));
    }
}
