//! Starting, serving and draining.

use std::collections::BTreeMap;
use std::num::NonZeroUsize;
use std::sync::atomic::{AtomicBool, Ordering::Relaxed};
use std::sync::{Arc, Mutex, PoisonError, RwLock};
use std::time::{Duration, Instant, SystemTime};

use anyhow::Context as _;
use arc_swap::ArcSwap;
use http::uri::Scheme;
use spillway_cluster::Store;
use spillway_inference::{AtRest, KernelThreads, ModelPolicy, Models, RunMemory, TractEngine};
use spillway_runtime::{EgressConfig, Runtime, RuntimeConfig};
use spillway_trust::{ServerTls, TrustedKeys};
use spillway_types::{Auth, FunctionId, Problem, ProblemType};
use tokio::sync::{Notify, Semaphore};
use tokio_util::sync::CancellationToken;

use crate::audit::AuditLog;
use crate::capacity::Measured;
use crate::cluster::{self, Cluster, Elsewhere};
use crate::config::{Addresses, Config};
use crate::decisions::Decisions;
use crate::deploy::{Deployed, blocking, host_problem, millis};
use crate::gate::Gate;
use crate::health::{self, Health};
use crate::ingress::{self, Callers, Listener};
use crate::keyvalue::StoreKeyValue;
use crate::logs::Logs;
use crate::metrics::Metrics;
use crate::quotas::Quotas;
use crate::revision::Revision;
use crate::routes::RouteTable;
use crate::screening::ChildProcess;
use crate::{api, books, capacity, collect, idle, models};

/// How long idle sandboxes may take to end when the node stops.
const RETIRE_MAX: Duration = Duration::from_secs(1);
/// How long a kernel thread has nothing to do before what it has freed is given back. Runs that follow one another take the same
/// memory again; if the kernel has it meanwhile, `ocr` takes a third longer.
const RESTS_AFTER: Duration = Duration::from_secs(5);

/// Who answers a route.
#[derive(Clone)]
pub(crate) enum Target {
    /// A revision on this node.
    Here(Arc<Revision>),
    /// A function that is deployed here and cannot serve.
    Broken(FunctionId),
    /// Other nodes.
    Elsewhere(Arc<Elsewhere>),
}

/// What a route leads to.
#[derive(Clone)]
pub(crate) struct Routed {
    pub(crate) target: Target,
    /// Who may call, where the manifest says it.
    pub(crate) auth: Option<Auth>,
}

impl Target {
    /// Whose route it is.
    pub(crate) fn function(&self) -> &FunctionId {
        match self {
            Self::Here(revision) => &revision.id,
            Self::Broken(function) => function,
            Self::Elsewhere(function) => &function.id,
        }
    }
}

/// A running node. Lives as long as the process serves.
pub(crate) struct Node {
    pub(crate) config: Config,
    pub(crate) addresses: Addresses,
    pub(crate) store: Store,
    /// The node's part in its cluster, if it has joined one.
    pub(crate) cluster: Option<Arc<Cluster>>,
    pub(crate) runtime: Runtime,
    pub(crate) models: Arc<Models>,
    pub(crate) started: Instant,
    /// One change of functions and routes at a time: the order in the store is the order in which they are swapped in.
    pub(crate) changes: Arc<Semaphore>,
    /// The deployers' keys that the store has.
    trusted: ArcSwap<TrustedKeys>,
    /// What the node has and what of it is in use.
    pub(crate) measured: Measured,
    /// What is wrong with it.
    pub(crate) health: Health,
    /// Who may call what.
    pub(crate) callers: Callers,
    /// Which calls run now.
    pub(crate) gate: Gate,
    /// What namespaces may take.
    pub(crate) quotas: Quotas,
    /// What was refused and is not written down yet.
    pub(crate) audit: AuditLog,
    /// Where the last calls went, and why.
    pub(crate) decisions: Decisions,
    /// Told after each deployment, for the collector.
    pub(crate) deployed: Notify,
    /// What serves, by function. Never locked across a wait.
    pub(crate) functions: RwLock<BTreeMap<FunctionId, Deployed>>,
    routes: ArcSwap<RouteTable<Routed>>,
    /// Held while `routes` are made anew.
    pub(crate) routing: Mutex<()>,
    metrics: Metrics,
    logs: Logs,
    ready: AtomicBool,
    draining: CancellationToken,
}

impl Node {
    pub(crate) fn routes(&self) -> arc_swap::Guard<Arc<RouteTable<Routed>>> {
        self.routes.load()
    }

    /// Where callers reach functions.
    pub(crate) fn listen_url(&self) -> String {
        format!("{}://{}", self.scheme(), self.addresses.listen)
    }

    /// What callers speak.
    pub(crate) fn scheme(&self) -> Scheme {
        if self.config.tls.is_some() { Scheme::HTTPS } else { Scheme::HTTP }
    }

    pub(crate) fn metrics(&self) -> &Metrics {
        &self.metrics
    }

    pub(crate) fn logs(&self) -> &Logs {
        &self.logs
    }

    /// The deployers' keys that this node believes.
    pub(crate) fn trusted(&self) -> Arc<TrustedKeys> {
        self.trusted.load_full()
    }

    /// Reads the keys again, and hears again what was not believed before.
    ///
    /// # Errors
    /// The store failed.
    pub(crate) async fn trust_changed(self: &Arc<Self>) -> Result<(), Problem> {
        let store = self.store.clone();
        let trusted = blocking(move || store.trusted_keys().map_err(host_problem)).await??;
        self.trusted.store(Arc::new(trusted));
        if let Some(cluster) = &self.cluster {
            cluster.hear_again();
        }
        Ok(())
    }

    /// Has the disk looked at if that is what a request failed for.
    pub(crate) fn suspect(&self, problem: &Problem) {
        if problem.is(ProblemType::StorageUnavailable) {
            self.health.suspect_disk();
        }
    }

    pub(crate) fn is_ready(&self) -> bool {
        self.ready.load(Relaxed) && !self.draining.is_cancelled()
    }

    /// Waits until the node is told to stop.
    pub(crate) async fn stopping(&self) {
        self.draining.cancelled().await;
    }

    /// Lets all functions go, and waits a moment for their sandboxes to end in order.
    async fn retire(&self) {
        self.set_routes(RouteTable::default());
        let functions = std::mem::take(&mut *self.functions.write().unwrap_or_else(PoisonError::into_inner));
        let revisions = |deployed: Deployed| deployed.active.ok().into_iter().chain(deployed.previous);
        // Only the counters are kept; the revisions, and with them their idle sandboxes, go here.
        let usages: Vec<_> = functions.into_values().flat_map(revisions).map(|r| r.function.usage().clone()).collect();
        let until = Instant::now() + RETIRE_MAX;
        while usages.iter().any(|usage| usage.sandboxes() > 0) && Instant::now() < until {
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
    }

    pub(crate) fn set_routes(&self, table: RouteTable<Routed>) {
        self.routes.store(Arc::new(table));
    }
}

/// Runs a node until `shutdown`, then drains it. `ready` is told the addresses as soon as callers can be served.
///
/// # Errors
/// What kept the node from starting, with the remedy.
pub async fn run(
    config: Config,
    shutdown: impl Future<Output = ()> + Send + 'static,
    ready: impl FnOnce(&Addresses) + Send,
) -> anyhow::Result<()> {
    if !config.api.ip().is_loopback() && config.api_token.is_none() {
        anyhow::bail!(
            "the control API on {} can be reached from other machines, so it needs a token; set SPILLWAY_TOKEN, or keep it on 127.0.0.1",
            config.api
        );
    }
    let files = config.tls.clone();
    let tls = tokio::task::spawn_blocking(move || files.map(ServerTls::load).transpose()).await??.map(Arc::new);
    let listener = Listener::bind(config.listen, "--listen").await?;
    let api_listener = Listener::bind(config.api, "--api").await?;
    let mut addresses = Addresses { listen: listener.address()?, api: api_listener.address()?, peer: None };
    let draining = CancellationToken::new();
    let folder = config.data.clone();
    let store = tokio::task::spawn_blocking(move || Store::open(&folder)).await??;
    let joined = match &config.cluster {
        Some(cluster) => Some(cluster::join(cluster, &store, &addresses).await?),
        None => None,
    };
    if let Some(joined) = &joined {
        addresses.peer = Some(joined.listener.address()?);
    }
    let cluster = joined.as_ref().map(|joined| joined.cluster.clone());
    let node = Arc::new(open(config, addresses, store, cluster, draining.clone()).await?);

    // Health can be asked while functions are still being loaded; the data plane's port waits for them.
    let stop_api = CancellationToken::new();
    let api = tokio::spawn(api::serve(node.clone(), api_listener.into_inner(), stop_api.clone()));
    node.restore().await?;
    let mut clustered = joined.map(|joined| joined.start(&node, &stop_api));
    node.ready.store(true, Relaxed);
    let tending = tokio::spawn(models::tend(node.clone(), stop_api.clone()));
    let unloading = tokio::spawn(idle::unload(node.clone(), stop_api.clone()));
    let collector = tokio::spawn(collect::run(node.clone(), stop_api.clone()));
    let keeping = tokio::spawn(books::keep(node.clone(), stop_api.clone()));
    let measuring = tokio::spawn(capacity::measure(node.clone(), stop_api.clone()));
    let watching = tokio::spawn(health::watch(node.clone(), stop_api.clone()));
    let patience = node.config.drain_timeout;
    let following = tokio::spawn(ingress::follow(node.clone(), tls.clone(), stop_api.clone()));
    let serving = tokio::spawn(listener.serve(node.clone(), tls, draining.clone(), patience));
    ready(&addresses);

    shutdown.await;
    tracing::info!("draining: calls in flight may finish, new connections are refused");
    draining.cancel();
    let drained = serving.await.context("the data plane failed")?;
    if !drained {
        tracing::warn!(seconds = patience.as_secs(), "calls were still running after the drain timeout; ending them");
    }
    node.retire().await;
    stop_api.cancel();
    api::ended(api).await.context("the control API failed")?;
    collector.await.context("garbage collection failed")?;
    keeping.await.context("keeping the books failed")?;
    measuring.await.context("measuring failed")?;
    watching.await.context("looking for what is wrong failed")?;
    tending.await.context("unloading idle models failed")?;
    unloading.await.context("unloading idle functions failed")?;
    following.await.context("following the files of certificate and callers failed")?;
    if let Some(tasks) = &mut clustered {
        while let Some(ended) = tasks.join_next().await {
            ended.context("a task of the cluster failed")?;
        }
    }
    let logs = node.logs.clone();
    tokio::task::spawn_blocking(move || logs.flush()).await?;
    tracing::info!(drained, "stopped");
    Ok(())
}

async fn open(
    config: Config,
    addresses: Addresses,
    store: Store,
    cluster: Option<Arc<Cluster>>,
    draining: CancellationToken,
) -> anyhow::Result<Node> {
    tokio::task::spawn_blocking(move || {
        let at_rest = AtRest { after: RESTS_AFTER, then: config.give_back };
        let threads = KernelThreads::with_rest(config.kernel_threads.and_then(NonZeroUsize::new), at_rest);
        let threads = threads.context("kernel threads cannot be started")?;
        let policy = ModelPolicy { memory_bytes: models::budget(config.model_memory_bytes), idle: config.model_idle };
        let (memory, time) = (config.model_check_memory_bytes, config.model_check_time);
        let checked = config.data.join("checked");
        let screening = ChildProcess::new(checked.clone(), memory, time)
            .with_context(|| format!("passed checks of models cannot be kept in {}", checked.display()))?;
        let callers = Callers::load(config.callers.clone(), config.auth)?;
        let engine = Arc::new(RunMemory::new(TractEngine, config.run_memory_bytes));
        let models = Models::with_policy(engine, Arc::new(threads), policy).with_screening(Arc::new(screening));
        let models = Arc::new(models);
        let runtime = Runtime::new(RuntimeConfig {
            code_folder: config.data.join("code"),
            memory_bytes: capacity::memory().map_or(0, |memory| memory.total_bytes),
            compilations: 1,
            after_compiling: config.give_back,
            models: models.clone(),
            keyvalue: Arc::new(StoreKeyValue(store.clone())),
            egress: EgressConfig {
                private: config.private_egress.clone(),
                listeners: [addresses.listen, addresses.api].into_iter().chain(addresses.peer).collect(),
            },
        })?;
        let keys = config.cluster.iter().flat_map(|cluster| &cluster.trust);
        for key in keys {
            store.trust_key(key, "", millis(SystemTime::now()))?;
        }
        let trusted = store.trusted_keys()?;
        let started = Instant::now();
        let quotas = Quotas::new(started, store.quotas()?);
        let metrics = Metrics::new(capacity::tariff(config.price, config.transfer_price));
        let logs = Logs::open(&config.data.join("logs"), metrics.log_records_lost.clone())
            .with_context(|| format!("logs cannot be kept in {}", config.data.join("logs").display()))?;
        Ok(Node {
            config,
            addresses,
            store,
            cluster,
            runtime,
            models,
            started,
            changes: Arc::new(Semaphore::new(1)),
            trusted: ArcSwap::from_pointee(trusted),
            measured: Measured::default(),
            health: Health::new(),
            callers,
            gate: Gate::new(spillway_runtime::cores()),
            quotas,
            audit: AuditLog::default(),
            decisions: Decisions::default(),
            deployed: Notify::new(),
            functions: RwLock::default(),
            routes: ArcSwap::default(),
            routing: Mutex::default(),
            metrics,
            logs,
            ready: AtomicBool::new(false),
            draining,
        })
    })
    .await?
}
