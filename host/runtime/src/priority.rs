//! Which threads let others go first.

use std::time::Duration;

/// Steps of niceness: an eighteenth of the weight of a thread of usual priority, where both want the same core.
pub(crate) const NICENESS: i32 = 13;
/// Beyond it there is nothing.
const NICEST: i32 = 19;
/// What a thread that takes calls asks to have a core for at a time, in nanoseconds. A thread that wakes up is let in at once if it asks for less than
/// the one that runs; else perhaps at the next tick of the kernel, which is 4 ms away as often as not. The least and the
/// most that the kernel gives are 0.1 and 100 ms, its own measure about 3.
const SOON_NANOS: u64 = 100_000;
/// What one of low priority asks for: longer, so that the others are let in, and not by much, since calls may share a sandbox with
/// the guest that it runs.
const LONG_NANOS: u64 = 3_000_000;

/// Lowers the priority of this thread. Everybody may.
pub(crate) fn lower_priority() {
    let niceness = niceness().saturating_add(NICENESS).min(NICEST);
    // Kernels before 6.12 know no slices, and may refuse what they do not know.
    if set(niceness, LONG_NANOS).is_err() {
        let _ = rustix::process::nice(NICENESS);
    }
}

/// Has this thread be let in soon when it wakes up, at its priority.
pub(crate) fn turns_soon() {
    // Where kernels know no slices, they have their own ways.
    let _ = set(niceness(), SOON_NANOS);
}

/// Takes back what [`turns_soon`] gave to the thread that started this one.
pub(crate) fn turns_by_default() {
    let _ = set(niceness(), 0);
}

/// To Linux, this is a question about one thread.
fn niceness() -> i32 {
    rustix::process::getpriority_process(None).unwrap_or_default()
}

fn set(niceness: i32, slice_nanos: u64) -> std::io::Result<()> {
    let attributes = libc::sched_attr {
        size: size_of::<libc::sched_attr>() as u32,
        sched_policy: libc::SCHED_OTHER as u32,
        // An operator may have chosen another.
        sched_flags: libc::SCHED_FLAG_KEEP_POLICY as u64,
        sched_nice: niceness,
        sched_priority: 0,
        sched_runtime: slice_nanos,
        sched_deadline: 0,
        sched_period: 0,
    };
    let (this_thread, flags) = (0_i32, 0_u32);
    #[allow(unsafe_code, reason = "no crate has a safe call for it")]
    // SAFETY: the kernel reads `size` bytes behind the pointer, which is what there is, and writes nothing.
    let result = unsafe { libc::syscall(libc::SYS_sched_setattr, this_thread, &raw const attributes, flags) };
    if result == 0 { Ok(()) } else { Err(std::io::Error::last_os_error()) }
}

/// For how long this thread has had a core so far.
pub(crate) fn time_of_this_thread() -> Duration {
    let mut time = libc::timespec { tv_sec: 0, tv_nsec: 0 };
    #[allow(unsafe_code, reason = "no crate that is used here anyway has a safe call for it")]
    // SAFETY: the kernel writes one `timespec` behind the pointer, which is what there is.
    let result = unsafe { libc::clock_gettime(libc::CLOCK_THREAD_CPUTIME_ID, &raw mut time) };
    if result != 0 {
        return Duration::ZERO;
    }
    Duration::new(time.tv_sec.cast_unsigned(), u32::try_from(time.tv_nsec).unwrap_or_default())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_thread_becomes_nicer_whatever_the_kernel_knows() {
        let nice = || rustix::process::nice(0).unwrap();
        let changed = std::thread::spawn(move || {
            let before = nice();
            lower_priority();
            (before, nice())
        });
        let (before, after) = changed.join().unwrap();
        assert_eq!(after, (before + NICENESS).min(NICEST));
    }

    #[test]
    fn a_thread_that_is_let_in_soon_keeps_its_niceness() {
        let thread = std::thread::spawn(|| {
            lower_priority();
            let before = niceness();
            turns_soon();
            let soon = niceness();
            turns_by_default();
            (before, soon, niceness())
        });
        let (before, soon, after) = thread.join().unwrap();
        assert_eq!((soon, after), (before, before));
    }
}
