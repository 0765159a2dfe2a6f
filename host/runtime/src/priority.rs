//! Threads that let others go first.

use std::time::Duration;

/// Steps of niceness: a tenth of the weight of a thread of usual priority, where both want the same core.
pub(crate) const NICENESS: i32 = 10;
/// Beyond it there is nothing.
const NICEST: i32 = 19;
/// How long such a thread keeps a core once it has it, in nanoseconds, although one of usual priority wants it. The kernel's
/// own measure is some milliseconds, which is as long as a dozen small calls take; its least is this.
const SLICE_NANOS: u64 = 100_000;

/// Lowers the priority of this thread. Everybody may.
pub(crate) fn lower_priority() {
    // Kernels before 6.12 know no slices, and may refuse what they do not know.
    if set_slice().is_err() {
        let _ = rustix::process::nice(NICENESS);
    }
}

fn set_slice() -> std::io::Result<()> {
    let niceness = rustix::process::nice(0)?.saturating_add(NICENESS).min(NICEST);
    let attributes = libc::sched_attr {
        size: size_of::<libc::sched_attr>() as u32,
        sched_policy: libc::SCHED_OTHER as u32,
        sched_flags: 0,
        sched_nice: niceness,
        sched_priority: 0,
        sched_runtime: SLICE_NANOS,
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
}
