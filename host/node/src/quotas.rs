//! Quotas of namespaces: which calls may begin, and what those that run have taken.
//!
//! A call of a namespace without a quota costs one load more: no lock, and nothing is allocated.

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicU32, Ordering::Relaxed};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use arc_swap::ArcSwapOption;
use spillway_placement::Time;
use spillway_placement::quota::{Account, Exceeded};
use spillway_runtime::NamespaceMemory;
use spillway_types::{FunctionId, Namespace, NamespaceQuota, Problem, ProblemType, Quota, format_bytes};

use crate::deploy::store_problem;
use crate::estimates::Expected;
use crate::ingress::{known_seconds, whole_seconds};
use crate::metrics::QuotaReading;
use crate::node::Node;
use crate::revision::Revision;

/// The quotas of a node.
pub(crate) struct Quotas {
    started: Instant,
    /// Of each namespace that ever had a function or a quota, since the node started.
    places: Mutex<BTreeMap<Namespace, Arc<QuotaPlace>>>,
    /// Held while a quota is written and put in force, by who may block: both happen in one order.
    changing: Mutex<()>,
}

/// Where a namespace's quota is, if it has one.
pub(crate) struct QuotaPlace {
    started: Instant,
    account: ArcSwapOption<Mutex<Account>>,
    /// See [`Quota::kernel_share`].
    kernel_share: AtomicU32,
    /// What its sandboxes hold: asked before they take more.
    memory: Arc<NamespaceMemory>,
}

/// A call that counts, until this is dropped.
pub(crate) struct Counted {
    started: Instant,
    account: Arc<Mutex<Account>>,
    /// Native inference that it has taken.
    pub(crate) kernel: Duration,
}

impl Quotas {
    /// Those that were kept.
    pub(crate) fn new(started: Instant, kept: Vec<(Namespace, Quota)>) -> Self {
        let quotas = Self { started, places: Mutex::default(), changing: Mutex::default() };
        for (namespace, quota) in kept {
            quotas.of(&namespace).put(Some(quota));
        }
        quotas
    }

    /// Where the quota of a namespace is, now and later.
    pub(crate) fn of(&self, namespace: &Namespace) -> Arc<QuotaPlace> {
        let make = || {
            let (started, account, memory) = (self.started, ArcSwapOption::empty(), Arc::default());
            Arc::new(QuotaPlace { started, account, kernel_share: AtomicU32::new(1), memory })
        };
        lock(&self.places).entry(namespace.clone()).or_insert_with(make).clone()
    }

    fn all(&self) -> Vec<(Namespace, Arc<QuotaPlace>, Arc<Mutex<Account>>)> {
        let places = lock(&self.places);
        let with_quota = |(name, place): (&Namespace, &Arc<QuotaPlace>)| {
            Some((name.clone(), place.clone(), place.account.load_full()?))
        };
        places.iter().filter_map(with_quota).collect()
    }
}

impl QuotaPlace {
    /// Puts another quota in force, or none. Calls under way stay counted, those apart that began without any.
    fn put(&self, quota: Option<Quota>) {
        self.memory.set_limit(quota.and_then(|quota| quota.memory_bytes));
        self.kernel_share.store(quota.and_then(|quota| quota.kernel_share).unwrap_or(1), Relaxed);
        match (quota, self.account.load_full()) {
            (Some(quota), Some(account)) => lock(&account).set_quota(quota, now(self.started)),
            (Some(quota), None) => {
                self.account.store(Some(Arc::new(Mutex::new(Account::new(quota, now(self.started))))));
            }
            (None, _) => self.account.store(None),
        }
    }
}

impl QuotaPlace {
    /// The namespace's memory.
    pub(crate) fn memory(&self) -> &Arc<NamespaceMemory> {
        &self.memory
    }

    /// The namespace's part of kernel threads in relation to others'.
    pub(crate) fn kernel_share(&self) -> u32 {
        self.kernel_share.load(Relaxed)
    }
}

impl Drop for Counted {
    fn drop(&mut self) {
        lock(&self.account).end(self.kernel, now(self.started));
    }
}

fn now(started: Instant) -> Time {
    Time::from_start(started.elapsed())
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

impl Node {
    /// Counts a call of which this is expected, if its namespace has a quota.
    ///
    /// # Errors
    /// The quota is used up, which part of it, and when to try again.
    pub(crate) fn count(&self, revision: &Revision, expected: &Expected) -> Result<Option<Counted>, Box<Problem>> {
        let place = &revision.quota;
        let loaded = place.account.load();
        let Some(account) = &*loaded else { return Ok(None) };
        let held = place.memory.held_bytes();
        let (begun, quota, running) = {
            let mut account = lock(account);
            (account.begin(held, now(place.started)), *account.quota(), account.running())
        };
        let Err(exceeded) = begun else {
            let account = account.clone();
            return Ok(Some(Counted { started: place.started, account, kernel: Duration::ZERO }));
        };
        self.metrics().quota_refused(&revision.id.namespace, kind(exceeded));
        Err(Box::new(refusal(&revision.id, &quota, exceeded, one_ends_in(expected, running))))
    }

    /// Sets the quota of a namespace, or removes it, and has it hold at once. Says whether there was one. Blocks on the disk.
    ///
    /// # Errors
    /// It could not be written; then the old one holds.
    pub(crate) fn set_quota(&self, namespace: &Namespace, quota: Option<Quota>) -> Result<bool, Problem> {
        let _changing = lock(&self.quotas.changing);
        self.store.set_quota(namespace, quota.as_ref()).map_err(|fault| store_problem(&fault))?;
        let place = self.quotas.of(namespace);
        let was = place.account.load().is_some();
        place.put(quota);
        Ok(was)
    }

    /// All quotas, and what is used of them.
    pub(crate) fn quotas(&self) -> Vec<NamespaceQuota> {
        let describe = |(namespace, place, account): (Namespace, Arc<QuotaPlace>, Arc<Mutex<Account>>)| {
            let used_memory_bytes = place.memory.held_bytes();
            let refused = self.metrics().quota_refusals(&namespace);
            let account = lock(&account);
            let (quota, running) = (*account.quota(), account.running());
            NamespaceQuota { namespace, quota, running, used_memory_bytes, refused }
        };
        self.quotas.all().into_iter().map(describe).collect()
    }

    /// What a scrape reads of each quota.
    pub(crate) fn quota_readings(&self) -> Vec<QuotaReading> {
        let read = |quota: NamespaceQuota| QuotaReading {
            namespace: quota.namespace,
            running: quota.running,
            memory_bytes: quota.used_memory_bytes,
        };
        self.quotas().into_iter().map(read).collect()
    }
}

/// When the first of so many calls is expected to end. Zero where nobody knows yet how long they take.
fn one_ends_in(expected: &Expected, running: u32) -> Duration {
    expected.run.map(|run| run.p50).unwrap_or_default() / running.max(1)
}

/// The word for a part of a quota in metrics.
fn kind(exceeded: Exceeded) -> &'static str {
    match exceeded {
        Exceeded::CallsPerSecond(_) => "calls-per-second",
        Exceeded::Concurrent => "concurrent",
        Exceeded::Memory => "memory",
        Exceeded::KernelTime(_) => "kernel-time",
    }
}

fn refusal(id: &FunctionId, quota: &Quota, exceeded: Exceeded, one_ends: Duration) -> Problem {
    let (what, again) = match exceeded {
        Exceeded::CallsPerSecond(wait) => {
            (format!("{} calls per second", quota.calls_per_second.unwrap_or_default()), known_seconds(wait))
        }
        Exceeded::Concurrent => {
            (format!("{} calls at once", quota.concurrent.unwrap_or_default()), whole_seconds(one_ends))
        }
        Exceeded::Memory => {
            let memory = format_bytes(quota.memory_bytes.unwrap_or_default());
            (format!("{memory} of sandboxes' memory"), whole_seconds(one_ends))
        }
        Exceeded::KernelTime(wait) => {
            let ms = quota.kernel_time.unwrap_or_default() * 1000.0;
            (format!("{ms:.0} ms of native inference per second"), known_seconds(wait))
        }
    };
    let namespace = &id.namespace;
    let detail = format!(
        "namespace {namespace} may take {what}, and has; try again in {again} s, or have the operator raise --{} of `spillway quota set {namespace}`",
        kind(exceeded)
    );
    let mut problem = Problem::new(ProblemType::QuotaExceeded, detail);
    problem.retry_after_seconds = Some(again);
    problem
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_refusal_names_the_quota_the_remedy_and_when_to_come_again() {
        let quota = Quota { concurrent: Some(5), kernel_time: Some(0.5), ..Quota::default() };
        let id: FunctionId = "shop/cart".parse().unwrap();
        let problem = refusal(&id, &quota, Exceeded::Concurrent, Duration::from_millis(2500));
        assert_eq!((problem.status, problem.retry_after_seconds.map(|s| s.get())), (429, Some(3)));
        assert!(problem.detail.contains("shop may take 5 calls at once"), "{problem:?}");
        assert!(problem.detail.contains("--concurrent of `spillway quota set shop`"), "{problem:?}");
        let problem = refusal(&id, &quota, Exceeded::KernelTime(Duration::from_secs(900)), Duration::ZERO);
        assert_eq!(problem.retry_after_seconds.map(|s| s.get()), Some(900));
        assert!(problem.detail.contains("500 ms of native inference per second"), "{problem:?}");
    }

    #[test]
    fn calls_count_until_they_are_dropped_and_a_quota_set_anew_keeps_them() {
        let quotas = Quotas::new(Instant::now(), Vec::new());
        let shop: Namespace = "shop".parse().unwrap();
        let place = quotas.of(&shop);
        assert!(place.account.load().is_none() && quotas.all().is_empty());
        let two = Quota { concurrent: Some(2), ..Quota::default() };
        quotas.of(&shop).put(Some(two));
        let account = place.account.load_full().expect("it has one");
        lock(&account).begin(0, Time::START).unwrap();
        let counted = Counted { started: quotas.started, account: account.clone(), kernel: Duration::ZERO };
        place.put(Some(Quota { concurrent: Some(1), ..Quota::default() }));
        assert_eq!(lock(&account).begin(0, Time::START), Err(Exceeded::Concurrent));
        drop(counted);
        assert_eq!(lock(&account).begin(0, Time::START), Ok(()));
        place.put(Some(Quota { kernel_share: Some(7), ..Quota::default() }));
        assert_eq!(place.kernel_share(), 7);
        place.put(None);
        assert_eq!(place.kernel_share(), 1);
        assert!(quotas.all().is_empty());
    }
}
