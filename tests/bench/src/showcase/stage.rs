//! The cluster of the demo: NATS, two edge nodes of one site, and a cloud node behind a slow way.

use std::net::SocketAddr;
use std::time::{Duration, Instant};

use anyhow::{Context as _, bail, ensure};
use futures::future::try_join_all;
use reqwest::Method;
use serde_json::Value;
use spillway_tests::{Cluster, NATS, Network, Node, Quota, Way, bundle_file};

use super::mix::{Function, Mix};

/// A node as it is to be.
pub(crate) struct Place {
    pub(crate) name: &'static str,
    pub(crate) role: &'static str,
    site: &'static str,
    /// What it gets of the machine's cores. The callers need the rest.
    pub(crate) cores: f64,
    /// What an hour of it costs, in cents.
    price: &'static str,
}

/// The edge nodes first. The cloud has twice what both of them have, and asks four times as much for it.
pub(crate) const NODES: [Place; 3] = [
    Place { name: "kiosk", role: "edge", site: "market", cores: 0.15, price: "2" },
    Place { name: "counter", role: "edge", site: "market", cores: 0.3, price: "2" },
    Place { name: "cloud", role: "cloud", site: "dc-1", cores: 0.9, price: "8" },
];
/// How many of them are edge nodes.
pub(crate) const EDGES: usize = 2;
/// From the edge to the cloud or to NATS, and as long back.
const ONE_WAY: Duration = Duration::from_millis(10);

/// Nothing here takes longer on a machine that does nothing else.
const SERVE_MAX: Duration = Duration::from_secs(120);
/// Longer than a node's own drain.
const STOP_MAX: Duration = Duration::from_secs(20);
const DRAIN: &str = "10s";

/// The cluster, and its nodes while they run.
pub(crate) struct Stage {
    nodes: Vec<Member>,
    cluster: Cluster,
    /// Where the first node listens; the others take any port.
    listen: SocketAddr,
    api: SocketAddr,
    has_quotas: bool,
}

/// A running node. The group goes after the node, which is in it.
struct Member {
    node: Node,
    _quota: Option<Quota>,
}

impl Stage {
    /// Makes certificates and starts NATS, and no node yet.
    pub(crate) async fn set(listen: SocketAddr, api: SocketAddr) -> Self {
        let network = Network::without_chance();
        for edge in &NODES[..EDGES] {
            for far in [NODES[EDGES].name, NATS] {
                for (from, to) in [(edge.name, far), (far, edge.name)] {
                    network.set(from, to, Way { delay: ONE_WAY, ..Way::default() });
                }
            }
        }
        let has_quotas = Quota::cores(NODES[0].cores).is_some();
        Self { nodes: Vec::new(), cluster: Cluster::over(network).await, listen, api, has_quotas }
    }

    /// Whether nodes are held to their shares.
    pub(crate) fn has_quotas(&self) -> bool {
        self.has_quotas
    }

    /// Deploys the functions, and leaves the nodes' folders with all that they need to serve. Without quotas: to compile
    /// at a tenth of a core would take minutes.
    pub(crate) async fn prepare(&mut self) -> anyhow::Result<()> {
        self.start_with(&[], false).await?;
        let first = &self.nodes[0].node;
        for function in Function::ALL {
            let file = bundle_file(function.name()).display().to_string();
            let ran = self.cluster.sign(first, &["deploy", &file]).await;
            ensure!(ran.code == 0, "{} cannot be deployed: {}", function.name(), ran.stderr.trim_end());
        }
        let mix = Mix::read()?;
        try_join_all(self.nodes.iter().map(|member| serves(&member.node, &mix))).await?;
        self.stop().await;
        Ok(())
    }

    /// Starts all nodes with their shares and `more` arguments, and waits until they serve and know each other.
    pub(crate) async fn start(&mut self, more: &[&str]) -> anyhow::Result<()> {
        self.start_with(more, self.has_quotas).await?;
        let mix = Mix::read()?;
        try_join_all(self.nodes.iter().map(|member| serves(&member.node, &mix))).await?;
        Ok(())
    }

    async fn start_with(&mut self, more: &[&str], with_quotas: bool) -> anyhow::Result<()> {
        self.nodes = try_join_all(NODES.iter().map(|place| self.member(place, more, with_quotas))).await?;
        self.cluster.settled(&self.nodes.iter().map(|member| &member.node).collect::<Vec<_>>()).await;
        Ok(())
    }

    async fn member(&self, place: &Place, more: &[&str], with_quota: bool) -> anyhow::Result<Member> {
        let quota = match with_quota {
            true => Some(Quota::cores(place.cores).context("control groups were there before")?),
            false => None,
        };
        let builder = self.cluster.builder(place.name, place.role, place.site).await;
        let mut builder = builder.args(&["--price", place.price, "--drain-timeout", DRAIN]).args(more);
        if place.name == NODES[0].name {
            builder = builder.args(&["--listen", &self.listen.to_string(), "--api", &self.api.to_string()]);
        }
        if let Some(quota) = &quota {
            builder = builder.under(&quota.entrance().each_ref().map(String::as_str));
        }
        match builder.try_start().await {
            Ok(node) => Ok(Member { node, _quota: quota }),
            Err(exit) => bail!("node {} ended ({}):\n{}", place.name, exit.status, exit.stderr.trim_end()),
        }
    }

    /// The running node of [`NODES`] with this number.
    pub(crate) fn node(&self, number: usize) -> &Node {
        &self.nodes[number].node
    }

    /// What nodes use of their shares, from 0 to 1; nothing where they have not said yet.
    pub(crate) async fn utilisation(&self) -> [Option<f64>; NODES.len()] {
        let nodes = self.ask().await.unwrap_or_default();
        let nodes = nodes.as_array().map(Vec::as_slice).unwrap_or_default();
        NODES.each_ref().map(|place| {
            let capacity = &nodes.iter().find(|node| node["identity"]["node"] == place.name)?["capacity"];
            let cores = capacity["cores"].as_f64()?;
            let share = if self.has_quotas { place.cores } else { cores };
            Some((capacity["utilisation"]["cpu_ratio"].as_f64()? * cores / share).min(1.0))
        })
    }

    /// What the cloud knows of all nodes: it has the most room to answer.
    async fn ask(&self) -> reqwest::Result<Value> {
        let request = self.node(EDGES).api(Method::GET, "/nodes").timeout(Duration::from_secs(1));
        request.send().await?.json().await
    }

    /// Stops the nodes, so that they end the calls in flight. NATS goes with the stage.
    pub(crate) async fn stop(&mut self) {
        for member in &self.nodes {
            member.node.interrupt();
        }
        for Member { node, _quota } in self.nodes.drain(..) {
            node.wait(STOP_MAX).await;
        }
    }
}

/// Waits until a node runs all functions itself.
async fn serves(node: &Node, mix: &Mix) -> anyhow::Result<()> {
    let started = Instant::now();
    for function in Function::ALL {
        loop {
            let request = node.request(Method::POST, &format!("/{}", function.name())).body(mix.body(function, 0));
            let answer = request.timeout(SERVE_MAX).send().await?;
            if answer.status() == 200 && !answer.headers().contains_key("spillway-node") {
                break;
            }
            ensure!(
                started.elapsed() < SERVE_MAX,
                "{} does not serve {} after {} s; the machine may have too much else to do",
                node.listen(),
                function.name(),
                SERVE_MAX.as_secs()
            );
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
    }
    Ok(())
}
