//! Options about the cluster.

use std::net::SocketAddr;
use std::path::PathBuf;

use clap::Args;
use spillway_trust::PublicKey;
use spillway_types::{Role, Site};

use super::values::address;

/// How to join a cluster.
#[derive(Debug, Args)]
#[command(next_help_heading = "Cluster")]
pub(super) struct Cluster {
    /// Control store of the cluster to join, nats://HOST:PORT; several for several servers of it [default: alone]
    #[arg(long, env = "SPILLWAY_JOIN", value_delimiter = ',', value_name = "URL", requires = "identity")]
    pub(super) join: Vec<String>,
    /// Folder with the node's certificate, key and authority, as `spillway ca issue` makes it
    #[arg(long, env = "SPILLWAY_IDENTITY", value_name = "DIR", requires = "join")]
    pub(super) identity: Option<PathBuf>,
    /// What the node is for; has to be what its certificate says [default: what its certificate says]
    #[arg(long, env = "SPILLWAY_ROLE", value_name = "edge|cloud", requires = "join")]
    pub(super) role: Option<Role>,
    /// Where the node stands; has to be what its certificate says [default: what its certificate says]
    #[arg(long, env = "SPILLWAY_SITE", value_name = "SITE", requires = "join")]
    pub(super) site: Option<Site>,
    /// Where other nodes reach this one
    #[arg(long, env = "SPILLWAY_PEER", default_value = "127.0.0.1:3002", value_name = "ADDRESS:PORT", value_parser = address)]
    pub(super) peer: SocketAddr,
    /// Under which name or address other nodes find this one [default: that of --peer]
    #[arg(long, env = "SPILLWAY_ADVERTISE", value_name = "HOST[:PORT]", requires = "join")]
    pub(super) advertise: Option<String>,
    /// Deployer's key to trust, as `spillway key show` prints it; may be given several times
    #[arg(long, env = "SPILLWAY_TRUST", value_delimiter = ',', value_name = "PUBLIC KEY", requires = "join")]
    pub(super) trust: Vec<PublicKey>,
    /// Monitoring of the control store, http://HOST:PORT, to learn whether what it acknowledges lasts
    #[arg(long, env = "SPILLWAY_NATS_MONITORING", value_name = "URL", requires = "join")]
    pub(super) nats_monitoring: Option<String>,
    /// File with credentials for the control store
    #[arg(long, env = "SPILLWAY_NATS_CREDS", value_name = "FILE", requires = "join")]
    pub(super) nats_creds: Option<PathBuf>,
    /// Copies that the control store is to keep, where this node is the first
    #[arg(long, env = "SPILLWAY_NATS_REPLICAS", default_value_t = 1, value_name = "N")]
    nats_replicas: usize,
    /// Refuse a control store of which it is not known that what it acknowledges lasts
    #[arg(long, env = "SPILLWAY_STRICT", requires = "join")]
    strict: bool,
}

impl Cluster {
    /// `None` for a node that stays alone.
    pub(super) fn config(self) -> Option<spillway_node::ClusterConfig> {
        let identity = self.identity?;
        if self.join.is_empty() {
            return None;
        }
        Some(spillway_node::ClusterConfig {
            join: self.join,
            identity,
            role: self.role,
            site: self.site,
            peer: self.peer,
            advertise: self.advertise,
            trust: self.trust,
            monitor: self.nats_monitoring,
            credentials: self.nats_creds,
            replicas: self.nats_replicas,
            strict: self.strict,
        })
    }
}
