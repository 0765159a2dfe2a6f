//! The program's allocator.

use std::ffi::c_long;

use libmimalloc_sys::{mi_collect, mi_option_set, mi_option_t};

/// Calls begin on one thread and end on another as often as not, and the memory of each is freed where it ends.
#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

/// `mi_option_purge_delay` of `mimalloc.h`, which the bindings have no name for.
const PURGE_DELAY: mi_option_t = 15;

/// Memory that is taken again and again stays: what an inference takes between calls of which each comes seconds after the one
/// before. At 100 ms such calls of `ocr` took a third longer. Threads that come to rest give theirs back at once
/// ([`give_back_now`]). At 0 the memory of each call would be given back and taken again, for which the kernel interrupts the
/// other cores.
const PURGE_DELAY_MS: c_long = 5000;

/// Has memory given back some seconds after it was freed, at a later call of any thread.
///
/// To be called while no other thread runs: setting options is not thread safe.
#[expect(unsafe_code, reason = "the bindings of the allocator's options are C functions")]
pub(crate) fn give_back_later() {
    // SAFETY: the option exists, and no other thread runs.
    unsafe { mi_option_set(PURGE_DELAY, PURGE_DELAY_MS) }
}

/// Has what this thread has freed given back now.
#[expect(unsafe_code, reason = "the bindings of the allocator's options are C functions")]
pub(crate) fn give_back_now() {
    // SAFETY: it looks at the memory of the thread that calls it, and takes the allocator's own locks for the rest.
    unsafe { mi_collect(true) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    #[expect(unsafe_code, reason = "the bindings of the allocator's options are C functions")]
    fn the_number_is_still_that_of_the_option() {
        // SAFETY: the option exists, and nothing sets it here.
        assert_eq!(unsafe { libmimalloc_sys::mi_option_get(PURGE_DELAY) }, 1000, "milliseconds, the default");
    }
}
