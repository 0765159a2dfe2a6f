//! A tensor's storage under another shape, as the engine takes it: without a copy.

use std::fmt;
use std::hash::Hasher;
use std::sync::Arc;

use tract_onnx::prelude::{PlainStorage, Tensor, TensorStorage, TractResult};
use tract_onnx::tract_core::internal::ExoticFact;

/// The storage of a tensor that others hold too. tract sees plain memory; where it would write (it does so to inputs that
/// nobody else holds), it gets a copy of its own.
#[derive(PartialEq, Eq)]
pub(crate) struct Shared(pub(crate) Arc<Tensor>);

impl Shared {
    fn plain(&self) -> &PlainStorage {
        self.0.as_plain_ram_storage().expect("tensors take over plain storage only")
    }
}

impl TensorStorage for Shared {
    fn byte_len(&self) -> usize {
        self.plain().len()
    }

    fn is_empty(&self) -> bool {
        self.plain().is_empty()
    }

    fn deep_clone(&self) -> Box<dyn TensorStorage> {
        self.plain().deep_clone()
    }

    fn as_plain_ram(&self) -> Option<&PlainStorage> {
        Some(self.plain())
    }

    fn as_plain_ram_mut(&mut self) -> Option<&mut PlainStorage> {
        Arc::make_mut(&mut self.0).as_plain_ram_storage_mut()
    }

    fn into_plain_ram(self: Box<Self>) -> Option<PlainStorage> {
        Some(self.plain().clone())
    }

    fn dyn_hash(&self, state: &mut dyn Hasher) {
        self.plain().dyn_hash(state);
    }

    fn exotic_fact(&self, _shape: &[usize]) -> TractResult<Option<Box<dyn ExoticFact>>> {
        Ok(None)
    }

    fn is_exotic(&self) -> bool {
        false
    }
}

impl fmt::Debug for Shared {
    /// Not the elements: they are the user's data.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("shared storage")
    }
}

impl fmt::Display for Shared {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Debug::fmt(self, f)
    }
}
