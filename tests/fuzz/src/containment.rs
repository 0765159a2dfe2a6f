//! Which panics are findings.

use std::cell::Cell;
use std::panic::{AssertUnwindSafe, catch_unwind, set_hook, take_hook};

thread_local! {
    static IS_CONTAINED: Cell<bool> = const { Cell::new(false) };
}

/// Where our own code lies: a panic there is a finding even where production contains it.
const OURS: [&str; 2] = ["host/inference/src", "host/types/src"];

/// From now on a panic ends the process, with its trace, unless it is contained and not from our code.
pub fn abort_on_findings() {
    // Without the hook that libFuzzer set before, which ends the process at any panic.
    let _ = take_hook();
    let print = take_hook();
    set_hook(Box::new(move |panic| {
        let is_ours = panic.location().is_some_and(|place| OURS.iter().any(|folder| place.file().contains(folder)));
        if is_ours || !IS_CONTAINED.get() {
            print(panic);
            std::process::abort();
        }
    }));
}

/// Does `work` as production does it: a panic of somebody else's code is an outcome like others, `None`.
pub(crate) fn contain<T>(work: impl FnOnce() -> T) -> Option<T> {
    let before = IS_CONTAINED.replace(true);
    let outcome = catch_unwind(AssertUnwindSafe(work));
    IS_CONTAINED.set(before);
    outcome.ok()
}
