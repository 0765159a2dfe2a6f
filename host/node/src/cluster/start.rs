//! Joining a cluster.

use std::sync::atomic::AtomicU64;
use std::sync::{Arc, RwLock};
use std::time::{Duration, Instant, SystemTime};

use anyhow::Context as _;
use spillway_cluster::{
    ControlKey, ControlStore, Durability, EmbeddedControl, Expected, Lease, NatsConfig, NatsControl, Store,
};
use spillway_trust::{IdentityFiles, ReloadingIdentity, key_log_file};
use spillway_types::NodeIdentity;
use tokio::sync::Notify;
use tokio::task::JoinSet;
use tokio_util::sync::CancellationToken;

use super::desired::DesiredState;
use super::elsewhere::ElsewhereFunctions;
use super::orders::KeptOrders;
use super::record::NodeRecord;
use super::{Cluster, ClusterConfig, Link, collect, link, name, reconcile};
use crate::config::Addresses;
use crate::node::Node;
use crate::peers::{self, PeerListener, Peers};

/// How long the control store may take to answer before the node starts without it.
const FIRST_ANSWER: Duration = Duration::from_secs(3);
/// How often to look whether certificates have changed, and whether the control store is safe.
const TEND: Duration = Duration::from_secs(5);
/// A certificate that ends this soon is worth a warning.
const EXPIRY_WARNING: Duration = Duration::from_secs(7 * 24 * 3600);
const EXPIRY_WARNING_EVERY: Duration = Duration::from_secs(3600);

/// What a node has that has joined and not started yet.
pub(crate) struct Joined {
    pub(crate) cluster: Arc<Cluster>,
    pub(crate) listener: PeerListener,
    name: Option<Lease>,
}

/// Reads the identity and what the disk knows, and asks the control store who else is there. A control store that does not
/// answer keeps nobody from starting.
///
/// # Errors
/// What is wrong with identity, address or store, and the remedy.
pub(crate) async fn join(config: &ClusterConfig, store: &Store, addresses: &Addresses) -> anyhow::Result<Joined> {
    let folder = config.identity.clone();
    let identity = tokio::task::spawn_blocking(move || ReloadingIdentity::load(IdentityFiles::new(folder))).await??;
    let identity = Arc::new(identity);
    let own = identity.current().node.clone();
    check_place(config, &own)?;
    if let Some(file) = key_log_file() {
        let file = file.display();
        tracing::warn!(%file, "SSLKEYLOGFILE is set: whoever reads that file can read all that this node and others say to each other; unset it unless you are looking into just that");
    }
    let listener = PeerListener::bind(config.peer).await?;
    let peer = advertised(config, listener.address()?)?;

    let disk = EmbeddedControl::new(store.clone(), Arc::new(SystemTime::now));
    let record = NodeRecord {
        format: peers::wire::WIRE_FORMAT,
        identity: own.clone(),
        peer,
        listen: format!("http://{}", addresses.listen),
        version: env!("CARGO_PKG_VERSION").to_owned(),
        folder: folder_name(&disk).await?,
    };
    let nats = NatsConfig {
        urls: config.join.clone(),
        credentials: config.credentials.clone(),
        monitoring_url: config.monitor.clone(),
        replicas: config.replicas,
        ..NatsConfig::new("", own.cluster.clone())
    };
    let nats = NatsControl::connect(nats).await?;
    let files = Arc::new(nats.blobs());
    let control: Arc<dyn ControlStore> = Arc::new(nats);

    let answer = tokio::time::timeout(FIRST_ANSWER, control.list(&NodeRecord::prefix())).await;
    let trouble = match answer {
        Ok(Ok(_)) => None,
        Ok(Err(error)) => Some(error.to_string()),
        Err(_) => Some(format!("no answer within {FIRST_ANSWER:?}")),
    };
    let durability = match &trouble {
        None => control.durability().await,
        Some(trouble) => Durability::Unknown { why: trouble.clone() },
    };
    if !durability.is_safe() {
        if config.strict {
            anyhow::bail!(
                "the control store may lose what it acknowledged: {durability}; mend that, or start without --strict"
            );
        }
        tracing::warn!(%durability, "the control store may lose what it acknowledged; nodes keep what they know");
    }
    let name = match &trouble {
        None => name::check(control.as_ref(), &own.node, &record.folder, &record.peer).await?,
        Some(trouble) => {
            tracing::warn!(trouble, "the control store does not answer; starting with what this node knows");
            None
        }
    };

    let peers = Arc::new(Peers::new(identity.clone()));
    for entry in disk.list(&NodeRecord::prefix()).await?.entries {
        match entry.value.as_deref().map(NodeRecord::read) {
            Some(Ok(record)) => peers.put(record),
            Some(Err(reason)) => tracing::warn!(key = %entry.key, reason, "a kept record of a node was ignored"),
            None => {}
        }
    }
    let cluster = Cluster {
        identity,
        own,
        record,
        control,
        files,
        desired: DesiredState::open(disk.clone()).await?,
        elsewhere: ElsewhereFunctions::default(),
        orders: KeptOrders::open(disk.clone()).await?,
        disk,
        peers,
        link: RwLock::new(Link { since: Instant::now(), trouble }),
        durability: RwLock::new(durability),
        name_taken: RwLock::default(),
        disbelieved: RwLock::default(),
        applying: std::sync::Mutex::default(),
        too_large: std::sync::Mutex::default(),
        changed: Notify::new(),
        renewed: Arc::default(),
        recheck: Notify::new(),
        changes: AtomicU64::new(0),
    };
    Ok(Joined { cluster: Arc::new(cluster), listener, name })
}

impl Joined {
    /// Starts everything that the node does for and with its cluster; it ends with `stop`.
    pub(crate) fn start(self, node: &Arc<Node>, stop: &CancellationToken) -> JoinSet<()> {
        let Self { cluster, listener, name } = self;
        reconcile::route_elsewhere(node, &cluster);
        let mut tasks = JoinSet::new();
        let patience = node.config.drain_timeout;
        tasks.spawn(listener.serve(
            node.clone(),
            cluster.identity.clone(),
            cluster.renewed.clone(),
            stop.clone(),
            patience,
        ));
        tasks.spawn(peers::probe(cluster.peers.clone(), cluster.record.clone(), stop.clone()));
        tasks.spawn(link::nodes(cluster.clone(), stop.clone()));
        tasks.spawn(link::statements(node.clone(), cluster.clone(), stop.clone()));
        tasks.spawn(reconcile::run(node.clone(), cluster.clone(), stop.clone()));
        tasks.spawn(collect::run(cluster.clone(), stop.clone()));
        tasks.spawn(name::keep(cluster.clone(), name, stop.clone()));
        tasks.spawn(tend(cluster, stop.clone()));
        tasks
    }
}

/// Looks after certificates and after what the control store promises, until told to stop.
async fn tend(cluster: Arc<Cluster>, stop: CancellationToken) {
    let mut warned_at = None;
    loop {
        tokio::select! {
            () = tokio::time::sleep(TEND) => {}
            () = stop.cancelled() => return,
        }
        let identity = cluster.identity.clone();
        match tokio::task::spawn_blocking(move || identity.reload_if_changed()).await {
            Ok(Ok(true)) => {
                tracing::info!("certificate, key and authorities were read again");
                cluster.renewed.notify_waiters();
                cluster.peers.connect_again();
            }
            Ok(Ok(false)) => {}
            Ok(Err(error)) => tracing::warn!(%error, "the new certificate is not good; the old one stays in use"),
            Err(error) => tracing::error!(%error, "reading the certificate failed"),
        }
        let until = cluster.identity.current().not_after;
        let warned = warned_at.is_some_and(|at: Instant| at.elapsed() < EXPIRY_WARNING_EVERY);
        if until < SystemTime::now() + EXPIRY_WARNING && !warned {
            warned_at = Some(Instant::now());
            tracing::warn!(until = %humantime::format_rfc3339_seconds(until), "the certificate ends soon, or has; issue another with `spillway ca issue`");
        }
        if cluster.link().trouble.is_none() {
            cluster.set_durability(cluster.control.durability().await);
        }
    }
}

/// A node is what its certificate says; what else was said has to be the same.
fn check_place(config: &ClusterConfig, own: &NodeIdentity) -> anyhow::Result<()> {
    let wrong = |what: &str, said: &str, is: &str| {
        format!(
            "the certificate in {} makes {} a node of {what} `{is}`, not `{said}`; correct --{what}, or issue another certificate with `spillway ca issue`",
            config.identity.display(),
            own.node
        )
    };
    if let Some(role) = config.role.filter(|role| *role != own.role) {
        anyhow::bail!(wrong("role", role.as_str(), own.role.as_str()));
    }
    if let Some(site) = config.site.as_ref().filter(|site| **site != own.site) {
        anyhow::bail!(wrong("site", site.as_str(), own.site.as_str()));
    }
    Ok(())
}

/// A name for the data folder that no other has, made once.
async fn folder_name(disk: &EmbeddedControl) -> anyhow::Result<String> {
    let key = ControlKey::new(["own", "folder"]).expect("plain words are a key");
    if let Some(value) = disk.get(&key).await?.and_then(|entry| entry.value) {
        return String::from_utf8(value.to_vec()).context("the name of the data folder cannot be read");
    }
    let name = format!("{:032x}", rand::random::<u128>());
    disk.compare_and_set(&key, name.clone().into(), Expected::Absent).await?;
    Ok(name)
}

/// Where other nodes find this one.
fn advertised(config: &ClusterConfig, bound: std::net::SocketAddr) -> anyhow::Result<String> {
    let port = bound.port();
    match &config.advertise {
        Some(text)
            if text.rsplit_once(':').is_some_and(|(host, port)| !host.is_empty() && port.parse::<u16>().is_ok()) =>
        {
            Ok(text.clone())
        }
        Some(host) => Ok(format!("{host}:{port}")),
        None if bound.ip().is_unspecified() => anyhow::bail!(
            "other nodes cannot be told to call {bound}; say under which address they find this one, as in --advertise box1.example.com"
        ),
        None => Ok(bound.to_string()),
    }
}
