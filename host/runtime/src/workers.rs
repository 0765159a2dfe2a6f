//! The async runtime whose threads take calls.
//!
//! There is one thread per core. Each keeps to its core: beside threads of low priority the kernel takes no core for a free
//! one, and left two of these on one core for milliseconds while those had the other
//! (`docs/decisions/0022-threads-keep-to-their-cores.md`). And each is let in soon when something comes for it.
//!
//! A new thread is bound as the one that started it is. So whoever may be started by a call says [`like_any_other`] first.

use std::cell::Cell;
use std::io;
use std::sync::OnceLock;
use std::sync::atomic::{AtomicUsize, Ordering::Relaxed};

use rustix::thread::{CpuSet, sched_getaffinity, sched_setaffinity};
use tokio::runtime::{Builder, Handle, Runtime};
use wasmtime::Engine;

use crate::priority::{turns_by_default, turns_soon};

/// Where threads may run that are not bound, once others are.
static UNBOUND: OnceLock<CpuSet> = OnceLock::new();
static CORES: OnceLock<usize> = OnceLock::new();

thread_local! {
    static TAKES_CALLS: Cell<bool> = const { Cell::new(false) };
}

/// Cores that the process may use by its affinity and its control group, as they were at first; asked from a thread that is
/// bound, the system would say one.
#[must_use]
pub fn cores() -> usize {
    *CORES.get_or_init(|| std::thread::available_parallelism().map_or(1, usize::from))
}

/// Starts the runtime, and binds its threads to a core each if that is wanted and there are as many of both: the cores of a
/// process that may have all but only for a part of the time (a quota of its control group) are not its own.
///
/// # Errors
/// The system refuses threads.
pub fn serving_runtime(binds: bool) -> io::Result<Runtime> {
    // As this thread sees them.
    let _ = cores();
    let all = sched_getaffinity(None).ok().filter(|_| binds);
    let number = AtomicUsize::new(0);
    Builder::new_multi_thread()
        .enable_all()
        // Threads for what may wait are started as those that take calls are, but never do this.
        .on_thread_park(move || {
            if !TAKES_CALLS.replace(true) {
                turns_soon();
                // As on the threads of long calls: at the first call the kernel may have no memory for it.
                Engine::tls_eager_initialize();
                if let Some(all) = &all {
                    bind(number.fetch_add(1, Relaxed), all);
                }
            }
        })
        .on_thread_start(like_any_other)
        .build()
}

/// Binds this thread, the `number`th of those that take calls, to its core.
fn bind(number: usize, all: &CpuSet) {
    let threads = Handle::current().metrics().num_workers();
    let core = (0..CpuSet::MAX_CPU).filter(|core| all.is_set(*core)).nth(number);
    if let Some(core) = core
        && threads > 1
        && threads == all.count() as usize
    {
        let _ = UNBOUND.set(*all);
        let mut only = CpuSet::new();
        only.set(core);
        // Where it is not allowed, it stays as it is.
        let _ = sched_setaffinity(None, &only);
    }
}

/// Frees this thread from the core and the short turns of the thread that started it.
pub fn like_any_other() {
    turns_by_default();
    if let Some(all) = UNBOUND.get() {
        let _ = sched_setaffinity(None, all);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn threads_for_calls_keep_to_a_core_each_and_those_they_start_to_none() {
        let all = sched_getaffinity(None).unwrap();
        let runtime = serving_runtime(true).unwrap();
        let here = || sched_getaffinity(None).unwrap();
        let is_whole = runtime.metrics().num_workers() == all.count() as usize && all.count() > 1;
        let expected = if is_whole { 1 } else { all.count() };
        let (waits, counted) = runtime.block_on(async move {
            let on_worker = tokio::spawn(async move {
                // One that has never waited is not bound yet.
                while here().count() != expected {
                    tokio::time::sleep(std::time::Duration::from_millis(1)).await;
                }
                let counted = cores();
                (tokio::task::spawn_blocking(here).await.unwrap(), counted)
            });
            tokio::time::timeout(std::time::Duration::from_secs(30), on_worker).await.expect("it is bound").unwrap()
        });
        assert_eq!(waits, all, "threads for what may wait run anywhere");
        assert_eq!(counted, cores());
    }
}
