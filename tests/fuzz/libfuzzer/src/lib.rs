//! libFuzzer for [`spillway_fuzz`]: each file of `fuzz_targets/` is one of its targets.

#![feature(alloc_error_hook)]

use spillway_fuzz::budget::{self, Allocator};
use spillway_fuzz::containment;

/// Prepares this process, once, after libFuzzer has done so.
pub fn prepare() {
    containment::abort_on_findings();
    // Past its budget an allocation fails, and what could be contained in production is not to end the fuzzer.
    std::alloc::set_alloc_error_hook(|layout| panic!("memory allocation of {} bytes failed", layout.size()));
    budget::enforce();
}

#[doc(hidden)]
pub use libfuzzer_sys;
#[doc(hidden)]
pub use spillway_fuzz;

#[global_allocator]
static ALLOCATOR: Allocator = Allocator;

/// A target of `spillway_fuzz`, by its name, as a fuzz target.
#[macro_export]
macro_rules! target {
    ($name:literal) => {
        use $crate::libfuzzer_sys;

        $crate::libfuzzer_sys::fuzz_target!(init: $crate::prepare(), |input: &[u8]| {
            $crate::spillway_fuzz::run($name, input)
        });
    };
}
