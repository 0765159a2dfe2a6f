//! One call of a function, and where its time went.

use std::fmt;
use std::num::ParseIntError;
use std::str::FromStr;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering::Relaxed};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use spillway_inference::{Ledger, Meter, Turn};
use spillway_types::Priority;

/// Identifies an invocation in logs, problems and traces: 16 random bytes as 32 hexadecimal digits, like a trace id.
#[derive(Clone, Copy, PartialEq, Eq, Hash)]
pub struct InvocationId(u128);

impl InvocationId {
    /// A new one.
    pub fn random() -> Self {
        Self(rand::random())
    }

    /// Its digits.
    pub fn hex(&self) -> [u8; 32] {
        let mut digits = [0; 32];
        for (pair, byte) in digits.chunks_exact_mut(2).zip(self.0.to_be_bytes()) {
            pair[0] = DIGITS[usize::from(byte >> 4)];
            pair[1] = DIGITS[usize::from(byte & 15)];
        }
        digits
    }
}

const DIGITS: &[u8; 16] = b"0123456789abcdef";

impl FromStr for InvocationId {
    type Err = ParseIntError;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        u128::from_str_radix(text, 16).map(Self)
    }
}

impl fmt::Display for InvocationId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(std::str::from_utf8(&self.hex()).expect("digits are ASCII"))
    }
}

impl fmt::Debug for InvocationId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

/// One call. Shared by ingress, sandbox and host calls, so its counters are atomic.
#[derive(Debug)]
pub struct Invocation {
    /// Its name in logs.
    pub id: InvocationId,
    /// When the response's headers must be there.
    pub deadline: Instant,
    /// Until when its guest may be at work before its sandbox is lost to the others in it: not for its caller to say.
    pub limit: Instant,
    /// How urgent its native work is.
    pub priority: Priority,
    /// What part of kernel threads its namespace has in relation to others.
    pub kernel_share: u32,
    /// Its headers are there, so that its deadline has no say any more.
    answered: Arc<AtomicBool>,
    /// Its caller has hung up before it was answered.
    abandoned: AtomicBool,
    refusal_told: AtomicBool,
    cold: AtomicBool,
    init_nanos: AtomicU64,
    guest_nanos: AtomicU64,
    infer_nanos: AtomicU64,
    kernel_queue_nanos: AtomicU64,
    /// KiB times microsecond: 64 bits hold a terabyte for months.
    memory: AtomicU64,
    kept: Mutex<Option<Box<dyn Kept>>>,
}

/// What is kept until an invocation has ended in all its parts: its guest, and native work for it.
pub trait Kept: Send + fmt::Debug {
    /// It has, and its time went there.
    fn ended(self: Box<Self>, timing: &Timing);
}

impl Drop for Invocation {
    fn drop(&mut self) {
        let kept = self.kept.get_mut().unwrap_or_else(PoisonError::into_inner).take();
        if let Some(kept) = kept {
            kept.ended(&self.timing());
        }
    }
}

/// Where an invocation's time went, and what it held.
#[derive(Clone, Copy, Debug, Default)]
pub struct Timing {
    /// Whether a sandbox was made for it.
    pub cold: bool,
    /// Making that sandbox.
    pub init: Duration,
    /// A thread running the guest; what several calls in one sandbox take at once is shared among them.
    pub guest: Duration,
    /// Native inference.
    pub infer: Duration,
    /// Waiting for a kernel thread.
    pub kernel_queue: Duration,
    /// Linear memory and host tensors of its sandbox over time, in byte times second; what several calls in one sandbox
    /// hold is shared among them.
    pub memory_byte_seconds: f64,
}

impl Timing {
    /// Time of a core: the guest's and that of native code on its behalf.
    pub fn work(&self) -> Duration {
        self.guest + self.infer
    }
}

impl Invocation {
    /// A call that must answer before `deadline`.
    pub fn new(deadline: Instant) -> Self {
        Self::named(InvocationId::random(), deadline)
    }

    /// A call that has a name already, from the node where it arrived.
    pub fn named(id: InvocationId, deadline: Instant) -> Self {
        Self {
            id,
            deadline,
            limit: deadline,
            priority: Priority::default(),
            kernel_share: 1,
            answered: Arc::default(),
            abandoned: AtomicBool::new(false),
            refusal_told: AtomicBool::new(false),
            cold: AtomicBool::new(false),
            init_nanos: AtomicU64::new(0),
            guest_nanos: AtomicU64::new(0),
            infer_nanos: AtomicU64::new(0),
            kernel_queue_nanos: AtomicU64::new(0),
            memory: AtomicU64::new(0),
            kept: Mutex::default(),
        }
    }

    /// The same, whose guest may be at work until then.
    #[must_use]
    pub fn with_limit(mut self, limit: Instant) -> Self {
        self.limit = limit.max(self.deadline);
        self
    }

    /// Keeps what others have no use of before all that works for it has ended.
    pub fn keep(&self, kept: Box<dyn Kept>) {
        *self.kept.lock().unwrap_or_else(PoisonError::into_inner) = Some(kept);
    }

    /// The same, as urgent as this, with this part of kernel threads.
    #[must_use]
    pub fn with_turn(mut self, priority: Priority, kernel_share: u32) -> Self {
        (self.priority, self.kernel_share) = (priority, kernel_share);
        self
    }

    /// Where its time went so far.
    pub fn timing(&self) -> Timing {
        Timing {
            cold: self.cold.load(Relaxed),
            init: Duration::from_nanos(self.init_nanos.load(Relaxed)),
            guest: Duration::from_nanos(self.guest_nanos.load(Relaxed)),
            infer: Duration::from_nanos(self.infer_nanos.load(Relaxed)),
            kernel_queue: Duration::from_nanos(self.kernel_queue_nanos.load(Relaxed)),
            memory_byte_seconds: self.memory.load(Relaxed) as f64 * 1024.0 / 1e6,
        }
    }

    pub(crate) fn note_answered<T, E>(&self, answer: &Result<T, E>) {
        self.answered.store(answer.is_ok(), Relaxed);
    }

    /// Whether it has been answered; for those who may outlive it.
    pub(crate) fn answered(&self) -> Arc<AtomicBool> {
        self.answered.clone()
    }

    /// Its caller has hung up: native work for it ends.
    pub(crate) fn abandon(&self) {
        self.abandoned.store(true, Relaxed);
    }

    /// Whether a refused request of its guest is to be told of: the first is.
    pub(crate) fn tells_refusal(&self) -> bool {
        !self.refusal_told.swap(true, Relaxed)
    }

    pub(crate) fn note_init(&self, took: Duration) {
        self.cold.store(true, Relaxed);
        self.init_nanos.fetch_add(nanos(took), Relaxed);
    }

    pub(crate) fn note_guest(&self, took: Duration) {
        self.guest_nanos.fetch_add(nanos(took), Relaxed);
    }

    /// So many bytes were held for so long.
    pub(crate) fn note_memory(&self, bytes: u64, held: Duration) {
        let product = u128::from(bytes >> 10).saturating_mul(held.as_nanos()) / 1000;
        self.memory.fetch_add(u64::try_from(product).unwrap_or(u64::MAX), Relaxed);
    }

    /// The turn of its native work, for `owner`, whose memory `ledger` has.
    pub(crate) fn turn(self: &Arc<Self>, owner: Arc<str>, ledger: Arc<dyn Ledger>) -> Turn {
        let Self { priority, kernel_share, deadline, .. } = **self;
        let (deadline, ledger) = (Some(deadline), Some(ledger));
        Turn { owner, weight: kernel_share, priority, deadline, meter: Some(self.clone()), ledger }
    }
}

impl Meter for Invocation {
    fn note(&self, queued: Duration, computed: Duration) {
        self.kernel_queue_nanos.fetch_add(nanos(queued), Relaxed);
        self.infer_nanos.fetch_add(nanos(computed), Relaxed);
    }

    fn is_over(&self) -> bool {
        self.abandoned.load(Relaxed)
    }
}

fn nanos(duration: Duration) -> u64 {
    u64::try_from(duration.as_nanos()).unwrap_or(u64::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_id_has_32_digits_and_is_read_from_them() {
        for (id, text) in
            [(0, "0".repeat(32)), (0xabc << 64, format!("{:032x}", 0xabc_u128 << 64)), (u128::MAX, "f".repeat(32))]
        {
            assert_eq!((InvocationId(id).to_string(), text.parse()), (text.clone(), Ok(InvocationId(id))));
        }
    }
}
