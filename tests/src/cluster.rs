//! Several nodes that share a control store.

use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Duration;

use tempfile::TempDir;

use crate::process::{Ran, clean};
use crate::{NatsServer, Node, NodeBuilder, spillway, wait_until};

/// An authority, a deployer's key and a server of NATS. Nodes that join end with the test; so does everything else.
pub struct Cluster {
    folder: TempDir,
    /// The server of NATS.
    pub nats: NatsServer,
    public_key: String,
}

impl Cluster {
    /// Makes authority and key with the command line, and starts NATS.
    ///
    /// # Panics
    /// If any of it fails.
    pub async fn start() -> Self {
        let folder = tempfile::tempdir().expect("tests may write temporary files");
        let cluster = Self { folder, nats: NatsServer::start(), public_key: String::new() };
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

    /// How a node of the cluster is to be started. Its data stays until the cluster ends.
    pub async fn builder(&self, name: &str, role: &str, site: &str) -> NodeBuilder {
        let identity = self.issue(name, role, site).await;
        let (url, key) = (self.nats.url(), self.public_key.clone());
        Node::builder().data(&self.data(name)).args(&[
            "--join",
            &url,
            "--identity",
            &identity,
            "--peer",
            "127.0.0.1:0",
            "--trust",
            &key,
        ])
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

async fn run(args: &[&str]) -> Ran {
    let mut command = Command::new(spillway());
    clean(&mut command).args(args);
    Ran::of(command).await
}
