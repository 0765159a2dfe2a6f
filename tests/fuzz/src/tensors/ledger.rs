//! A sandbox's tensors and what it is charged for them, as `spillway-runtime` keeps them.

use std::cell::Cell;
use std::rc::Rc;

use spillway_inference::Tensor;

/// Counts what is charged.
#[derive(Clone, Default)]
pub(super) struct Ledger(Rc<Cell<usize>>);

/// What a sandbox may hold.
const LIMIT_BYTES: usize = 1 << 20;

/// Bytes that are charged until this is dropped.
pub(super) struct Charge {
    ledger: Ledger,
    bytes: usize,
}

/// A tensor that a guest would have a handle of. Views share the charge of what they look at.
#[derive(Clone)]
pub(super) struct Held {
    pub(super) tensor: Tensor,
    pub(super) charge: Rc<Charge>,
}

impl Ledger {
    /// Charges `bytes`; `None` past the limit.
    pub(super) fn charge(&self, bytes: usize) -> Option<Charge> {
        let sum = self.0.get().checked_add(bytes).filter(|sum| *sum <= LIMIT_BYTES)?;
        self.0.set(sum);
        Some(Charge { ledger: self.clone(), bytes })
    }

    /// What is charged now.
    pub(super) fn charged(&self) -> usize {
        self.0.get()
    }
}

impl Drop for Charge {
    fn drop(&mut self) {
        self.ledger.0.set(self.ledger.0.get() - self.bytes);
    }
}
