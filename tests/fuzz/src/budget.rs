//! What a piece of work allocates, measured and limited: the child's `RLIMIT_DATA` and clock, inside this process.
//!
//! A fuzzer that ends at each file on which tract asks for gigabytes finds nothing else. So an allocation past a budget
//! fails as it does in the child, but becomes a panic, which is contained; so does one past the budget's time. Only work
//! that neither ends nor allocates is left to libFuzzer's own clock.

use std::alloc::{GlobalAlloc, Layout, System};
use std::cell::Cell;
use std::sync::atomic::{AtomicBool, Ordering::Relaxed};
use std::time::{Duration, Instant};

/// The system's allocator, which counts for each thread, and refuses past a budget. For `#[global_allocator]`; without
/// it everything measures as 0.
#[derive(Debug)]
pub struct Allocator;

thread_local! {
    static HELD: Cell<isize> = const { Cell::new(0) };
    static PEAK: Cell<isize> = const { Cell::new(0) };
    static LIMIT: Cell<isize> = const { Cell::new(isize::MAX) };
    static DEADLINE: Cell<Option<Instant>> = const { Cell::new(None) };
    static COUNT: Cell<u32> = const { Cell::new(0) };
}

/// Whether failing allocations panic; else they would end the process, so that nothing is refused.
static ENFORCED: AtomicBool = AtomicBool::new(false);

/// How many allocations pass between two looks at the clock.
const CLOCK_EVERY: u32 = 64;

/// From now on allocations past a budget fail. Only for a process where that is a panic.
pub fn enforce() {
    ENFORCED.store(true, Relaxed);
}

/// Does `work`, and says how many bytes it held at most beyond those held before.
pub fn measure<T>(work: impl FnOnce() -> T) -> (T, usize) {
    let (start, before) = (HELD.get(), PEAK.get());
    PEAK.set(start);
    let result = work();
    let peak = PEAK.get();
    PEAK.set(before.max(peak));
    (result, usize::try_from(peak - start).unwrap_or_default())
}

/// Does `work` within `bytes` and `time`, where that is [enforced](enforce).
pub fn within<T>(bytes: usize, time: Duration, work: impl FnOnce() -> T) -> T {
    /// Also where `work` panics.
    struct Lift;
    impl Drop for Lift {
        fn drop(&mut self) {
            LIMIT.set(isize::MAX);
            DEADLINE.set(None);
        }
    }
    if !ENFORCED.load(Relaxed) {
        return work();
    }
    LIMIT.set(HELD.get().saturating_add_unsigned(bytes));
    DEADLINE.set(Some(Instant::now() + time));
    let _lift = Lift;
    work()
}

/// Whether so much more may be held now. What a panic takes while it unwinds is not refused.
fn admits(bytes: usize) -> bool {
    let held = HELD.get().saturating_add_unsigned(bytes);
    let is_late = || {
        COUNT.set(COUNT.get().wrapping_add(1));
        COUNT.get().is_multiple_of(CLOCK_EVERY) && DEADLINE.get().is_some_and(|deadline| Instant::now() > deadline)
    };
    (held <= LIMIT.get() && !is_late()) || std::thread::panicking()
}

fn count(change: isize) {
    let held = HELD.get().saturating_add(change);
    HELD.set(held);
    PEAK.set(PEAK.get().max(held));
}

#[allow(unsafe_code, reason = "an allocator is unsafe; this one passes everything on to the system's")]
// SAFETY: memory comes from `System` and goes back to it with the same layout; the cells need no destructor, so that they
// can be used while a thread ends, and allocate nothing.
unsafe impl GlobalAlloc for Allocator {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        if !admits(layout.size()) {
            return std::ptr::null_mut();
        }
        count(layout.size() as isize);
        unsafe { System.alloc(layout) }
    }

    unsafe fn alloc_zeroed(&self, layout: Layout) -> *mut u8 {
        if !admits(layout.size()) {
            return std::ptr::null_mut();
        }
        count(layout.size() as isize);
        unsafe { System.alloc_zeroed(layout) }
    }

    unsafe fn dealloc(&self, pointer: *mut u8, layout: Layout) {
        count(-(layout.size() as isize));
        unsafe { System.dealloc(pointer, layout) }
    }

    unsafe fn realloc(&self, pointer: *mut u8, layout: Layout, size: usize) -> *mut u8 {
        if !admits(size.saturating_sub(layout.size())) {
            return std::ptr::null_mut();
        }
        count(size as isize - layout.size() as isize);
        unsafe { System.realloc(pointer, layout, size) }
    }
}
