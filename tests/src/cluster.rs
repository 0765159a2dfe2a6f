//! Several nodes that share a control store.

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Duration;

use tempfile::TempDir;
use tokio::sync::Mutex;

use crate::network::{NATS, Network};
use crate::process::{Ran, clean};
use crate::{NatsServer, Node, NodeBuilder, spillway, wait_until};

/// An authority, a deployer's key and a server of NATS. Nodes that join end with the test; so does everything else.
pub struct Cluster {
    folder: TempDir,
    /// The server of NATS.
    pub nats: NatsServer,
    public_key: String,
    network: Option<Network>,
    doors: Mutex<BTreeMap<String, Door>>,
}

/// Where a node behind relays is.
#[derive(Clone, Copy)]
struct Door {
    /// Where it listens for other nodes.
    peer: SocketAddr,
    /// Where they find it.
    relay: SocketAddr,
    /// Where it finds NATS.
    nats: SocketAddr,
}

impl Cluster {
    /// Makes authority and key with the command line, and starts NATS.
    ///
    /// # Panics
    /// If any of it fails.
    pub async fn start() -> Self {
        Self::with(NatsServer::start(), None).await
    }

    /// As [`start`](Self::start), with the nodes behind relays that can be made bad.
    ///
    /// # Panics
    /// As [`start`](Self::start).
    pub async fn over_network(seed: u64) -> Self {
        Self::over(Network::new(seed)).await
    }

    /// As [`over_network`](Self::over_network), with a network that is there already.
    ///
    /// # Panics
    /// As [`start`](Self::start).
    pub async fn over(network: Network) -> Self {
        Self::with(NatsServer::start(), Some(network)).await
    }

    /// As [`start`](Self::start), with a server of NATS that runs already.
    ///
    /// # Panics
    /// As [`start`](Self::start).
    pub async fn on(nats: NatsServer) -> Self {
        Self::with(nats, None).await
    }

    async fn with(nats: NatsServer, network: Option<Network>) -> Self {
        let folder = tempfile::tempdir().expect("tests may write temporary files");
        let cluster = Self { folder, nats, public_key: String::new(), network, doors: Mutex::default() };
        cluster.run(&["ca", "init", "acme", "--dir", &cluster.path("ca")]).await;
        let key = cluster.run(&["key", "new", "--out", &cluster.path("deployer.pem"), "--json"]).await.json();
        let public_key = key["key"].as_str().expect("a key has a public half").to_owned();
        Self { public_key, ..cluster }
    }

    /// A path below the cluster's folder.
    pub fn path(&self, name: &str) -> String {
        self.folder.path().join(name).display().to_string()
    }

    /// File of the deployer's key, which all nodes trust.
    pub fn key(&self) -> PathBuf {
        self.folder.path().join("deployer.pem")
    }

    /// Where the data of a node is.
    pub fn data(&self, name: &str) -> PathBuf {
        self.folder.path().join(format!("data-{name}"))
    }

    /// Runs the command line without a node; it has to succeed.
    ///
    /// # Panics
    /// If it does not.
    pub async fn run(&self, args: &[&str]) -> Ran {
        let ran = run(args).await;
        assert_eq!(ran.code, 0, "{args:?}: {ran:#?}");
        ran
    }

    /// Runs the command line without a node while its clock shows another time, such as `-10s`.
    pub async fn command_at(&self, clock: &str, args: &[&str]) -> Ran {
        let mut command = Command::new(spillway());
        clean(&mut command).args(args).envs(crate::process::clock(clock));
        Ran::of(command).await
    }

    /// Issues a certificate for a node, unless it has one.
    ///
    /// # Panics
    /// If that fails.
    pub async fn issue(&self, name: &str, role: &str, site: &str) -> String {
        let identity = self.path(name);
        if !Path::new(&identity).is_dir() {
            let ca = self.path("ca");
            self.run(&["ca", "issue", name, "--role", role, "--site", site, "--dir", &ca, "--out", &identity]).await;
        }
        identity
    }

    /// As [`builder`](Self::builder), with an address for other nodes that the test knows before.
    pub async fn builder_at(&self, peer: SocketAddr, name: &str, role: &str, site: &str) -> NodeBuilder {
        let builder = self.identified(name, role, site).await;
        builder.args(&["--join", &self.nats.url(), "--peer", &peer.to_string()])
    }

    async fn identified(&self, name: &str, role: &str, site: &str) -> NodeBuilder {
        let identity = self.issue(name, role, site).await;
        Node::builder().data(&self.data(name)).args(&["--identity", &identity, "--trust", &self.public_key])
    }

    /// How a node of the cluster is to be started. Its data stays until the cluster ends.
    pub async fn builder(&self, name: &str, role: &str, site: &str) -> NodeBuilder {
        let Some(network) = &self.network else {
            return self.builder_at(SocketAddr::from(([127, 0, 0, 1], 0)), name, role, site).await;
        };
        let builder = self.identified(name, role, site).await;
        let mut doors = self.doors.lock().await;
        if !doors.contains_key(name) {
            let peer = free_port();
            let relay = network.relay(None, name, peer).await;
            let nats = network.relay(Some(name), NATS, self.nats.address()).await;
            doors.insert(name.to_owned(), Door { peer, relay, nats });
        }
        let Door { peer, relay, nats } = doors[name];
        let join = format!("nats://{nats}");
        builder.args(&["--join", &join, "--peer", &peer.to_string(), "--advertise", &relay.to_string()])
    }

    /// The ways between the nodes.
    ///
    /// # Panics
    /// If the cluster was not started with [`over_network`](Self::over_network) or [`over`](Self::over).
    pub fn network(&self) -> &Network {
        self.network.as_ref().expect("the cluster was started over a network")
    }

    /// Starts a node of the cluster.
    ///
    /// # Panics
    /// If it does not start.
    pub async fn join(&self, name: &str, role: &str, site: &str) -> Node {
        self.builder(name, role, site).await.start().await
    }

    /// Runs a command that signs, against a node.
    pub async fn sign(&self, node: &Node, args: &[&str]) -> Ran {
        let key = self.key().display().to_string();
        let args: Vec<&str> = args.iter().copied().chain(["--key", &key]).collect();
        node.cli(&args).await
    }

    /// Waits until each of `nodes` knows all the others to be alive.
    ///
    /// # Panics
    /// If that does not come about.
    pub async fn settled(&self, nodes: &[&Node]) {
        for node in nodes {
            wait_until("the nodes know each other", Duration::from_secs(20), async || {
                let known = node.get("/nodes").await;
                let alive = known.as_array().expect("a list").iter().filter(|node| node["state"] == "alive");
                alive.count() + 1 >= nodes.len()
            })
            .await;
        }
    }
}

/// A port that nobody listens on, for a node whose port has to be known before it starts.
///
/// # Panics
/// If there is none.
pub fn free_port() -> SocketAddr {
    let listener = std::net::TcpListener::bind("127.0.0.1:0").expect("a free port");
    listener.local_addr().expect("a listener has an address")
}

/// Runs the command line without a node.
pub async fn run(args: &[&str]) -> Ran {
    let mut command = Command::new(spillway());
    clean(&mut command).args(args);
    Ran::of(command).await
}
