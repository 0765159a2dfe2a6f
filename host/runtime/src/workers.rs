//! The async runtime whose threads take calls.
//!
//! There is one thread per core. Each keeps to its core: beside threads of low priority the kernel takes no core for a free
//! one, and left two of these on one core for milliseconds while those had the other
//! (`docs/decisions/0022-threads-keep-to-their-cores.md`). And each is let in soon when something comes for it.
//!
//! A new thread is bound as the one that started it is. So whoever may be started by a call says [`like_any_other`] first.

use std::io;
use std::sync::{OnceLock, mpsc};

use rustix::thread::{CpuSet, Pid, gettid, sched_getaffinity, sched_setaffinity};
use tokio::runtime::{Builder, Runtime};

use crate::priority::{turns_by_default, turns_soon};

/// Where threads may run that are not bound, once others are.
static UNBOUND: OnceLock<CpuSet> = OnceLock::new();
static CORES: OnceLock<usize> = OnceLock::new();

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
    let (tell, told) = mpsc::channel();
    let starts = move || {
        // Nobody listens any more once the threads that take calls are there: this is one that may wait.
        if tell.send(gettid()).is_err() {
            like_any_other();
        }
    };
    let runtime = Builder::new_multi_thread().enable_all().on_thread_start(starts).build()?;
    let workers: Vec<Pid> = told.iter().take(runtime.metrics().num_workers()).collect();
    for worker in &workers {
        turns_soon(*worker);
    }
    if binds && let Ok(all) = sched_getaffinity(None) {
        bind(&workers, all);
    }
    Ok(runtime)
}

fn bind(workers: &[Pid], all: CpuSet) {
    let cores: Vec<usize> = (0..CpuSet::MAX_CPU).filter(|core| all.is_set(*core)).collect();
    if workers.len() < 2 || workers.len() != cores.len() || UNBOUND.set(all).is_err() {
        return;
    }
    for (worker, core) in workers.iter().zip(cores) {
        let mut only = CpuSet::new();
        only.set(core);
        // Where it is not allowed, they stay as they are.
        let _ = sched_setaffinity(Some(*worker), &only);
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
        let seen = runtime.block_on(async move {
            let on_worker = tokio::spawn(async move {
                let waits = tokio::task::spawn_blocking(here).await.unwrap();
                (here(), waits, cores())
            });
            on_worker.await.unwrap()
        });
        let (worker, waits, counted) = seen;
        assert_eq!(waits, all, "threads that wait run anywhere");
        assert_eq!(counted, cores());
        let is_whole = runtime.metrics().num_workers() == all.count() as usize && all.count() > 1;
        assert_eq!(worker.count(), if is_whole { 1 } else { all.count() });
    }
}
