//! Memory of results that a graph no longer needs, for its next ones.
//!
//! It is kept for one run and on one thread: what an earlier result has left there is the same sandbox's, and nobody has to
//! clear it.

use std::cell::RefCell;

use tract_onnx::prelude::DatumType;

use crate::Tensor;
use crate::tensor::Storage;

thread_local! {
    /// `None` outside of runs.
    static FREE: RefCell<Option<Vec<Storage>>> = const { RefCell::new(None) };
}

/// Storages kept at once. A choice: results of one layer of a net differ in as many sizes.
const KEPT: usize = 16;

/// While it lives, what [`put`] gets is what [`take`] gives, on this thread.
pub(crate) struct Recycling(());

impl Recycling {
    pub(crate) fn begin() -> Self {
        FREE.with_borrow_mut(|free| *free = Some(Vec::new()));
        Self(())
    }
}

impl Drop for Recycling {
    fn drop(&mut self) {
        FREE.with_borrow_mut(|free| *free = None);
    }
}

/// A storage of so many elements of this type, if one is there. Its elements are values of that type, whichever.
///
/// If there is none, others go, the oldest first, until they have made room for it: a run takes no more than its plan says,
/// which counts what is no longer needed as gone.
pub(crate) fn take(datum_type: DatumType, elements: usize) -> Option<Storage> {
    FREE.with_borrow_mut(|free| {
        let free = free.as_mut()?;
        let fits = |storage: &Storage| storage.datum_type() == datum_type && storage.len() == elements;
        if let Some(at) = free.iter().rposition(fits) {
            return Some(free.swap_remove(at));
        }
        make_room(free, elements.saturating_mul(datum_type.size_of()));
        None
    })
}

/// Before other memory than that of a tensor is taken, as [`take`] does where it gives none.
pub(crate) fn release(bytes: usize) {
    FREE.with_borrow_mut(|free| {
        if let Some(free) = free {
            make_room(free, bytes);
        }
    });
}

fn make_room(free: &mut Vec<Storage>, bytes: usize) {
    let mut made = 0;
    let goes = |storage: &Storage| {
        let is_needed = made < bytes;
        made += if is_needed { storage.len().saturating_mul(storage.datum_type().size_of()) } else { 0 };
        is_needed
    };
    let gone = free.iter().map(goes).take_while(|goes| *goes).count();
    free.drain(..gone);
}

/// Keeps the memory of `tensor`, if nothing else shows any of it.
pub(crate) fn put(tensor: Tensor) {
    FREE.with_borrow_mut(|free| {
        let Some(free) = free else { return };
        let Some(storage) = tensor.into_storage().filter(|storage| storage.as_plain_ram().is_some()) else { return };
        if free.len() == KEPT {
            free.remove(0);
        }
        free.push(storage);
    });
}
