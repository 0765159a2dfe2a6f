//! What a sandbox may take, counted as it takes it.

use std::any::Any;
use std::fmt;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};

use spillway_inference::Ledger;
use wasmtime::ResourceLimiter;

use crate::fault::Fault;
use crate::function::FunctionUse;
use crate::namespace_memory::NamespaceFull;

/// Host handles of one sandbox, tensors, buckets and WASI resources together. A guest that leaks runs into this long
/// before the node notices.
pub(crate) const HANDLES_MAX: usize = 10_000;

/// Table elements of one sandbox: a choice. What the Python and JavaScript components of the tests need is below it, and
/// that they deploy shows it (`foreign` in the integration tests).
const TABLE_ELEMENTS_MAX: usize = 100_000;

/// Linear memory and host tensors that one sandbox holds now, in bytes: what its invocations are billed for. Clones are
/// one.
#[derive(Clone, Default)]
pub(crate) struct Held(Arc<AtomicU64>);

impl Held {
    pub(crate) fn bytes(&self) -> u64 {
        self.0.load(Relaxed)
    }

    fn add(&self, bytes: u64) {
        self.0.fetch_add(bytes, Relaxed);
    }

    fn sub(&self, bytes: u64) {
        self.0.fetch_sub(bytes, Relaxed);
    }
}

/// Linear memory of one sandbox, all its memories together.
pub(crate) struct MemoryLimiter {
    limit_bytes: u64,
    used_bytes: u64,
    /// Whether the sandbox is made: what it grows by before was let in with the call that it is made for.
    is_made: bool,
    /// The last growth refused. Turns the trap that follows into "out of memory".
    refused: Option<Refused>,
    held: Held,
    total: Arc<FunctionUse>,
}

/// A growth that was refused.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Refused {
    /// It would have come to so many bytes, and the sandbox may not hold as many.
    Sandbox { wanted_bytes: u64 },
    /// By so many bytes, and the namespace has no room for them.
    Namespace { more_bytes: u64, full: NamespaceFull },
}

impl MemoryLimiter {
    pub(crate) fn new(limit_bytes: u64, held: Held, total: Arc<FunctionUse>) -> Self {
        Self { limit_bytes, used_bytes: 0, is_made: false, refused: None, held, total }
    }

    /// From now on the namespace is asked for what the sandbox grows by.
    pub(crate) fn made(&mut self) {
        self.is_made = true;
    }

    /// What the guest ran out of, if it was refused a growth.
    pub(crate) fn out_of_memory(&self) -> Option<Fault> {
        let (used_bytes, limit_bytes) = (self.used_bytes, self.limit_bytes);
        Some(match self.refused? {
            Refused::Sandbox { wanted_bytes } => Fault::OutOfMemory { used_bytes, wanted_bytes, limit_bytes },
            Refused::Namespace { more_bytes, full: NamespaceFull { held_bytes, limit_bytes } } => {
                Fault::NamespaceOutOfMemory { held_bytes, more_bytes, limit_bytes }
            }
        })
    }

    /// Takes so much more of the namespace's memory.
    fn take(&self, more: u64) -> Result<(), Refused> {
        let namespace = &self.total.namespace;
        if !self.is_made {
            namespace.take_anyway(more);
            return Ok(());
        }
        namespace.take(more, self.held.bytes()).map_err(|full| Refused::Namespace { more_bytes: more, full })
    }
}

impl ResourceLimiter for MemoryLimiter {
    fn memory_growing(&mut self, current: usize, desired: usize, maximum: Option<usize>) -> wasmtime::Result<bool> {
        let more = (desired - current) as u64;
        let wanted_bytes = self.used_bytes.saturating_add(more);
        let is_beyond = wanted_bytes > self.limit_bytes || maximum.is_some_and(|maximum| desired > maximum);
        let taken = if is_beyond { Err(Refused::Sandbox { wanted_bytes }) } else { self.take(more) };
        if let Err(refused) = taken {
            self.refused = Some(refused);
            return Ok(false);
        }
        self.used_bytes = wanted_bytes;
        self.held.add(more);
        self.total.memory_bytes.fetch_add(more, Relaxed);
        Ok(true)
    }

    fn table_growing(&mut self, _current: usize, desired: usize, _maximum: Option<usize>) -> wasmtime::Result<bool> {
        Ok(desired <= TABLE_ELEMENTS_MAX)
    }
}

impl Drop for MemoryLimiter {
    fn drop(&mut self) {
        self.total.memory_bytes.fetch_sub(self.used_bytes, Relaxed);
        self.total.namespace.give_back(self.used_bytes);
    }
}

/// Bytes of host tensors of one sandbox.
#[derive(Clone)]
pub(crate) struct TensorLedger(Arc<LedgerState>);

struct LedgerState {
    limit_bytes: u64,
    used_bytes: AtomicU64,
    namespace_name: Arc<str>,
    held: Held,
    total: Arc<FunctionUse>,
}

impl TensorLedger {
    /// For a sandbox of this namespace.
    pub(crate) fn new(limit_bytes: u64, namespace_name: Arc<str>, held: Held, total: Arc<FunctionUse>) -> Self {
        Self(Arc::new(LedgerState { limit_bytes, used_bytes: AtomicU64::new(0), namespace_name, held, total }))
    }

    /// Charges `bytes` of a tensor before they are allocated; the charge ends with what it returns.
    pub(crate) fn charge(&self, bytes: u64) -> Result<TensorCharge, String> {
        self.charge_for("a tensor", bytes)
    }

    /// The same, for engines.
    pub(crate) fn shared(&self) -> Arc<dyn Ledger> {
        Arc::new(self.clone())
    }

    fn charge_for(&self, what: &str, bytes: u64) -> Result<TensorCharge, String> {
        let state = &*self.0;
        let fits = |used: u64| used.checked_add(bytes).filter(|sum| *sum <= state.limit_bytes);
        state.used_bytes.fetch_update(Relaxed, Relaxed, fits).map_err(|used| {
            let limit = state.limit_bytes;
            format!(
                "{what} of {bytes} bytes does not fit: the sandbox holds {used} bytes of its {limit}; drop tensors, or raise `tensors` under [limits] in spillway.toml"
            )
        })?;
        state.total.namespace.take(bytes, state.held.bytes()).map_err(|full| {
            state.used_bytes.fetch_sub(bytes, Relaxed);
            let (name, NamespaceFull { held_bytes, limit_bytes }) = (&state.namespace_name, full);
            format!(
                "{what} of {bytes} bytes does not fit: the sandboxes of namespace {name} hold {held_bytes} bytes of its {limit_bytes}; try again when others are done, or have the operator raise --memory of `spillway quota set {name}`"
            )
        })?;
        state.held.add(bytes);
        state.total.tensor_bytes.fetch_add(bytes, Relaxed);
        Ok(TensorCharge { ledger: self.clone(), bytes })
    }
}

impl Ledger for TensorLedger {
    fn charge(&self, bytes: u64) -> Result<Box<dyn Any + Send>, String> {
        self.charge_for("working memory of a model", bytes).map(|charge| Box::new(charge) as _)
    }
}

impl fmt::Debug for TensorLedger {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} of {} bytes", self.0.used_bytes.load(Relaxed), self.0.limit_bytes)
    }
}

/// Bytes charged to a ledger until dropped.
pub(crate) struct TensorCharge {
    ledger: TensorLedger,
    bytes: u64,
}

impl Drop for TensorCharge {
    fn drop(&mut self) {
        self.ledger.0.used_bytes.fetch_sub(self.bytes, Relaxed);
        self.ledger.0.held.sub(self.bytes);
        self.ledger.0.total.tensor_bytes.fetch_sub(self.bytes, Relaxed);
        self.ledger.0.total.namespace.give_back(self.bytes);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_ledger_refuses_past_its_limit_and_frees_on_drop() {
        let total = Arc::new(FunctionUse::default());
        let held = Held::default();
        let ledger = TensorLedger::new(100, "shop".into(), held.clone(), total.clone());
        let first = ledger.charge(60).unwrap();
        assert!(ledger.charge(41).err().unwrap().contains("raise `tensors`"));
        assert!(ledger.charge(u64::MAX).is_err());
        let counted = || (total.tensor_bytes.load(Relaxed), held.bytes(), total.namespace.held_bytes());
        assert_eq!(counted(), (60, 60, 60));
        drop(first);
        assert_eq!(counted(), (0, 0, 0));
        assert!(ledger.charge(100).is_ok());
    }

    #[test]
    fn a_namespace_is_asked_for_tensors_and_growth_once_a_sandbox_is_made() {
        let total = Arc::new(FunctionUse::default());
        total.namespace.set_limit(Some(100));
        let sandbox = |total: &Arc<FunctionUse>| {
            let held = Held::default();
            let limiter = MemoryLimiter::new(1000, held.clone(), total.clone());
            (limiter, TensorLedger::new(1000, "shop".into(), held, total.clone()))
        };
        let ((mut first, tensors), (mut second, others)) = (sandbox(&total), sandbox(&total));
        assert!(first.memory_growing(0, 90, None).unwrap());
        assert!(second.memory_growing(0, 90, None).unwrap(), "what a sandbox begins with is let in with its call");
        first.made();
        second.made();
        assert!(!second.memory_growing(90, 100, None).unwrap());
        let fault = second.out_of_memory();
        let expected = (180, 10, 100);
        assert!(
            matches!(fault, Some(Fault::NamespaceOutOfMemory { held_bytes, more_bytes, limit_bytes })
                if (held_bytes, more_bytes, limit_bytes) == expected),
            "{fault:?}"
        );
        let refused = tensors.charge(1).err().unwrap();
        assert!(refused.contains("namespace shop hold 180 bytes of its 100"), "{refused}");
        drop(first);
        let charge = others.charge(500).unwrap();
        assert_eq!(total.namespace.held_bytes(), 590, "alone it has its own limits");
        drop((charge, second));
        assert_eq!((total.namespace.held_bytes(), total.tensor_bytes.load(Relaxed)), (0, 0));
    }

    #[test]
    fn the_memory_limit_counts_all_memories_of_a_sandbox_together() {
        let total = Arc::new(FunctionUse::default());
        let held = Held::default();
        let mut limiter = MemoryLimiter::new(200, held.clone(), total.clone());
        assert!(limiter.memory_growing(0, 120, None).unwrap());
        assert!(!limiter.memory_growing(0, 120, None).unwrap());
        assert_eq!(limiter.refused, Some(Refused::Sandbox { wanted_bytes: 240 }));
        assert!(limiter.memory_growing(0, 80, None).unwrap());
        assert_eq!(held.bytes(), 200);
        drop(limiter);
        assert_eq!(total.memory_bytes.load(Relaxed), 0);
    }
}
