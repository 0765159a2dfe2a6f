//! How a node is to run, and where it listens.

use std::net::SocketAddr;
use std::path::PathBuf;
use std::time::Duration;

use spillway_trust::TlsFiles;
use spillway_types::{Auth, Money};

use crate::cluster::ClusterConfig;

/// How a node is to run.
#[derive(Clone, Debug)]
pub struct Config {
    /// Its folder: functions, blobs, compiled code, logs.
    pub data: PathBuf,
    /// Where callers reach functions.
    pub listen: SocketAddr,
    /// Where operators reach the control API.
    pub api: SocketAddr,
    /// The bearer token that the control API demands; needed off loopback.
    pub api_token: Option<String>,
    /// What the folder may take before old things go, in bytes.
    pub disk_budget_bytes: u64,
    /// Revisions kept of each function.
    pub keep_revisions: usize,
    /// Threads for native inference; one per core if not given.
    pub kernel_threads: Option<usize>,
    /// What loaded models may occupy together, in bytes; half of the machine's memory if not given.
    pub model_memory_bytes: Option<u64>,
    /// How long a model stays in memory that does not run; `None` for ever.
    pub model_idle: Option<Duration>,
    /// How long a function's code stays in memory that nobody calls; `None` for ever.
    pub function_idle: Option<Duration>,
    /// Has the allocator give back what the thread that calls it has freed; called where a thread may have freed much that
    /// then waits.
    pub give_back: fn(),
    /// Memory that one run of a model may take beside its inputs.
    pub run_memory_bytes: u64,
    /// Memory that the check of a new model file may take; if not given, as much as the file suggests.
    pub model_check_memory_bytes: Option<u64>,
    /// How long that check may take.
    pub model_check_time: Duration,
    /// How long calls in flight may take when the node stops.
    pub drain_timeout: Duration,
    /// How long a caller may neither send what is awaited nor take what is sent.
    pub stall_timeout: Duration,
    /// Certificate chain and key for callers, in PEM; callers speak plain HTTP if not given.
    pub tls: Option<TlsFiles>,
    /// File of the callers' tokens.
    pub callers: Option<PathBuf>,
    /// Who may call the routes that do not say it.
    pub auth: Auth,
    /// What an hour of the node costs.
    pub price: Money,
    /// What a GiB costs that it sends to other nodes.
    pub transfer_price: Money,
    /// Whether calls that would be late here may be sent to other nodes.
    pub overflow: bool,
    /// Networks off the public internet that functions may reach where their manifests name the origin.
    pub private_egress: Vec<ipnet::IpNet>,
    /// The cluster to join; alone if not given.
    pub cluster: Option<ClusterConfig>,
}

/// Where a node listens.
#[derive(Clone, Copy, Debug)]
pub struct Addresses {
    /// The data plane.
    pub listen: SocketAddr,
    /// The control API.
    pub api: SocketAddr,
    /// Where other nodes reach it, in a cluster.
    pub peer: Option<SocketAddr>,
}
