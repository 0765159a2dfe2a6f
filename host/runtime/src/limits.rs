//! What a sandbox may take, counted as it takes it.

use std::any::Any;
use std::fmt;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};

use spillway_inference::Ledger;
use wasmtime::ResourceLimiter;

use crate::function::FunctionUse;

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
    /// The last growth refused: what it would have come to. Turns the trap that follows into "out of memory".
    pub(crate) refused_bytes: Option<u64>,
    held: Held,
    total: Arc<FunctionUse>,
}

impl MemoryLimiter {
    pub(crate) fn new(limit_bytes: u64, held: Held, total: Arc<FunctionUse>) -> Self {
        Self { limit_bytes, used_bytes: 0, refused_bytes: None, held, total }
    }

    pub(crate) fn limit_bytes(&self) -> u64 {
        self.limit_bytes
    }

    pub(crate) fn used_bytes(&self) -> u64 {
        self.used_bytes
    }
}

impl ResourceLimiter for MemoryLimiter {
    fn memory_growing(&mut self, current: usize, desired: usize, maximum: Option<usize>) -> wasmtime::Result<bool> {
        let more = (desired - current) as u64;
        let wanted = self.used_bytes.saturating_add(more);
        if wanted > self.limit_bytes || maximum.is_some_and(|maximum| desired > maximum) {
            self.refused_bytes = Some(wanted);
            return Ok(false);
        }
        self.used_bytes = wanted;
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
    }
}

/// Bytes of host tensors of one sandbox.
#[derive(Clone)]
pub(crate) struct TensorLedger(Arc<LedgerState>);

struct LedgerState {
    limit_bytes: u64,
    used_bytes: AtomicU64,
    held: Held,
    total: Arc<FunctionUse>,
}

impl TensorLedger {
    pub(crate) fn new(limit_bytes: u64, held: Held, total: Arc<FunctionUse>) -> Self {
        Self(Arc::new(LedgerState { limit_bytes, used_bytes: AtomicU64::new(0), held, total }))
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
        let state = &self.0;
        let fits = |used: u64| used.checked_add(bytes).filter(|sum| *sum <= state.limit_bytes);
        match state.used_bytes.fetch_update(Relaxed, Relaxed, fits) {
            Ok(_) => {
                state.held.add(bytes);
                state.total.tensor_bytes.fetch_add(bytes, Relaxed);
                Ok(TensorCharge { ledger: self.clone(), bytes })
            }
            Err(used) => Err(format!(
                "{what} of {bytes} bytes does not fit: the sandbox holds {used} bytes of its {}; drop tensors, or raise `tensors` under [limits] in spillway.toml",
                state.limit_bytes
            )),
        }
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
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_ledger_refuses_past_its_limit_and_frees_on_drop() {
        let total = Arc::new(FunctionUse::default());
        let held = Held::default();
        let ledger = TensorLedger::new(100, held.clone(), total.clone());
        let first = ledger.charge(60).unwrap();
        assert!(ledger.charge(41).err().unwrap().contains("raise `tensors`"));
        assert!(ledger.charge(u64::MAX).is_err());
        assert_eq!((total.tensor_bytes.load(Relaxed), held.bytes()), (60, 60));
        drop(first);
        assert_eq!((total.tensor_bytes.load(Relaxed), held.bytes()), (0, 0));
        assert!(ledger.charge(100).is_ok());
    }

    #[test]
    fn the_memory_limit_counts_all_memories_of_a_sandbox_together() {
        let total = Arc::new(FunctionUse::default());
        let held = Held::default();
        let mut limiter = MemoryLimiter::new(200, held.clone(), total.clone());
        assert!(limiter.memory_growing(0, 120, None).unwrap());
        assert!(!limiter.memory_growing(0, 120, None).unwrap());
        assert_eq!(limiter.refused_bytes, Some(240));
        assert!(limiter.memory_growing(0, 80, None).unwrap());
        assert_eq!(held.bytes(), 200);
        drop(limiter);
        assert_eq!(total.memory_bytes.load(Relaxed), 0);
    }
}
