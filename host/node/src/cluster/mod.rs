//! A node's part in its cluster.
//!
//! ```text
//! deployer ──signed statement──> publish ──> control store (NATS) ──> link ──verified──> desired (on disk) ──> reconcile
//!                                                 ^                     │                                        │
//!                                                 └── what it lost ─────┘                                        v
//!                                                                                          functions of this node, or
//!                                                                                          `elsewhere`: routes to peers
//! ```
//!
//! | file | what |
//! | --- | --- |
//! | `start` | joins: identity, stores, peers |
//! | `record` | what a node says of itself, so that others find it |
//! | `desired` | the statements that hold, on disk |
//! | `link` | hears of statements and nodes from the control store, and tells it what it lacks |
//! | `publish` | takes statements from deployers |
//! | `reconcile` | makes this node run what it shall run |
//! | `files` | brings bundles and models here |
//! | `collect` | takes files out of the store that no function needs |
//! | `elsewhere` | functions that run on other nodes only |
//! | `whereabouts` | how a function is on each node |
//! | `forget` | takes a node away that will not come back |
//! | `orders` | cordon and drain |
//! | `name` | keeps a second node from using the same name |
//! | `status` | what an operator is told |
//!
//! The control store may be gone at any time: everything that serves calls works from `desired` and from peers.

mod collect;
mod costs;
mod desired;
mod elsewhere;
mod files;
mod forget;
mod link;
mod name;
mod orders;
mod publish;
mod reconcile;
mod record;
mod start;
mod status;
mod trial;
mod whereabouts;

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::path::PathBuf;
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};
use std::sync::{Arc, Mutex, PoisonError, RwLock};
use std::time::Instant;

use spillway_cluster::{BlobStore, ControlKey, ControlStore, Durability, EmbeddedControl};
use spillway_trust::{PublicKey, ReloadingIdentity};
use spillway_types::{FunctionId, NodeIdentity, Release, Role, Site};
use tokio::sync::Notify;

pub(crate) use desired::Known;
pub(crate) use elsewhere::Elsewhere;
pub(crate) use orders::Orders;
pub(crate) use record::NodeRecord;
pub(crate) use start::join;

use crate::peers::Peers;
use desired::DesiredState;
use elsewhere::ElsewhereFunctions;
use orders::KeptOrders;

/// How a node joins a cluster.
#[derive(Clone, Debug)]
pub struct ClusterConfig {
    /// Where the control store is: `nats://HOST:PORT`, one or several servers of it.
    pub join: Vec<String>,
    /// Folder with the node's certificate, its key and the authority's certificate.
    pub identity: PathBuf,
    /// What the certificate has to say of the node's role, if it is to be checked.
    pub role: Option<Role>,
    /// What the certificate has to say of the node's site, if it is to be checked.
    pub site: Option<Site>,
    /// Where other nodes reach this one.
    pub peer: SocketAddr,
    /// `HOST` or `HOST:PORT` under which others find it, where that is not the address it listens on.
    pub advertise: Option<String>,
    /// Keys of deployers to trust from the start, beside those that were trusted before.
    pub trust: Vec<PublicKey>,
    /// Where the control store's monitoring is, `http://HOST:PORT`, to ask whether what it acknowledges lasts.
    pub monitor: Option<String>,
    /// File with credentials for the control store.
    pub credentials: Option<PathBuf>,
    /// Copies that the control store keeps of each entry.
    pub replicas: usize,
    /// Whether to refuse a control store of which it is not known that what it acknowledges lasts.
    pub strict: bool,
}

/// A node's part in its cluster. Lives as long as the node.
pub(crate) struct Cluster {
    identity: Arc<ReloadingIdentity>,
    /// Who this node is; certificates change, this does not.
    own: NodeIdentity,
    /// What this node says of itself.
    record: NodeRecord,
    /// The cluster's control store and files; they may be gone.
    control: Arc<dyn ControlStore>,
    files: Arc<dyn BlobStore>,
    /// The node's own small entries: what it knows of others and of itself.
    disk: EmbeddedControl,
    desired: DesiredState,
    elsewhere: ElsewhereFunctions,
    orders: KeptOrders,
    peers: Arc<Peers>,
    /// Never locked across a wait.
    link: RwLock<Link>,
    durability: RwLock<Durability>,
    /// Where the other node is that uses this one's name, if one does.
    name_taken: RwLock<Option<String>>,
    /// Entries of the control store that are not believed, and why.
    disbelieved: RwLock<BTreeMap<ControlKey, String>>,
    /// Functions that are being changed here: one task at a time for each.
    applying: Mutex<BTreeMap<FunctionId, Arc<tokio::sync::Mutex<()>>>>,
    /// Releases whose models do not fit here, by function, and why.
    too_large: Mutex<BTreeMap<FunctionId, (Release, String)>>,
    /// Told when something may have to be made ready or taken away.
    changed: Notify,
    /// Told when certificate, key or authorities were read again.
    renewed: Arc<Notify>,
    /// Told when what was not believed may be believed now.
    recheck: Notify,
    /// Grows with every change of what this node serves.
    changes: AtomicU64,
}

/// Whether the control store answers, and since when.
#[derive(Clone, Debug)]
pub(crate) struct Link {
    pub(crate) since: Instant,
    /// Why it does not answer; `None` while it does.
    pub(crate) trouble: Option<String>,
}

impl Cluster {
    pub(crate) fn identity(&self) -> &NodeIdentity {
        &self.own
    }

    pub(crate) fn peers(&self) -> &Arc<Peers> {
        &self.peers
    }

    pub(crate) fn elsewhere(&self) -> Vec<Arc<Elsewhere>> {
        self.elsewhere.all()
    }

    /// The function, if it runs on other nodes only.
    pub(crate) fn elsewhere_by(&self, id: &FunctionId) -> Option<Arc<Elsewhere>> {
        self.elsewhere.get(id)
    }

    pub(crate) fn orders(&self) -> Orders {
        self.orders.held()
    }

    pub(crate) fn link(&self) -> Link {
        self.link.read().unwrap_or_else(PoisonError::into_inner).clone()
    }

    fn set_link(&self, trouble: Option<String>) {
        let mut link = self.link.write().unwrap_or_else(PoisonError::into_inner);
        match (&link.trouble, &trouble) {
            (None, Some(trouble)) => {
                tracing::warn!(trouble, "the control store is gone; serving what is known");
            }
            (Some(_), None) => tracing::info!("the control store answers"),
            _ => {
                link.trouble = trouble;
                return;
            }
        }
        *link = Link { since: Instant::now(), trouble };
    }

    /// What this node serves has changed: peers shall ask.
    pub(crate) fn note_change(&self) {
        self.changes.fetch_add(1, Relaxed);
    }

    pub(crate) fn changes(&self) -> u64 {
        self.changes.load(Relaxed)
    }
}
