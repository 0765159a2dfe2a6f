//! What all sandboxes of a namespace hold together, and the most that they may.

use std::sync::atomic::{AtomicU64, Ordering::Relaxed};

/// No limit.
const UNLIMITED: u64 = u64::MAX;

/// A namespace's memory: linear memory of its guests and what the host holds for them. It is asked before each growth and each
/// allocation, so that calls that began when there was room do not go beyond it together.
#[derive(Debug)]
pub struct NamespaceMemory {
    held_bytes: AtomicU64,
    limit_bytes: AtomicU64,
}

/// Why a namespace gets no more memory.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct NamespaceFull {
    pub(crate) held_bytes: u64,
    pub(crate) limit_bytes: u64,
}

impl Default for NamespaceMemory {
    fn default() -> Self {
        Self { held_bytes: AtomicU64::new(0), limit_bytes: AtomicU64::new(UNLIMITED) }
    }
}

impl NamespaceMemory {
    /// What its sandboxes hold now, in bytes.
    pub fn held_bytes(&self) -> u64 {
        self.held_bytes.load(Relaxed)
    }

    /// Another limit from now on, or none. What is held stays held.
    pub fn set_limit(&self, limit_bytes: Option<u64>) {
        self.limit_bytes.store(limit_bytes.unwrap_or(UNLIMITED), Relaxed);
    }

    /// So many bytes more for a sandbox that holds `own` of them. The only one that holds any may always have them: else a
    /// namespace could be given less than one of its functions needs, and that would never run.
    pub(crate) fn take(&self, bytes: u64, own: u64) -> Result<(), NamespaceFull> {
        let limit_bytes = self.limit_bytes.load(Relaxed);
        let more = |held: u64| {
            let sum = held.saturating_add(bytes);
            (sum <= limit_bytes || held <= own).then_some(sum)
        };
        let taken = self.held_bytes.fetch_update(Relaxed, Relaxed, more);
        taken.map(|_| ()).map_err(|held_bytes| NamespaceFull { held_bytes, limit_bytes })
    }

    /// So many bytes more, whatever the limit: what a sandbox begins with. Whether a call may begin was asked before.
    pub(crate) fn take_anyway(&self, bytes: u64) {
        self.held_bytes.fetch_add(bytes, Relaxed);
    }

    pub(crate) fn give_back(&self, bytes: u64) {
        self.held_bytes.fetch_sub(bytes, Relaxed);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sandboxes_stay_within_the_limit_together_and_the_only_one_may_go_beyond() {
        let memory = NamespaceMemory::default();
        memory.take(1000, 0).unwrap();
        memory.set_limit(Some(100));
        memory.take(1, 1000).unwrap();
        let full = NamespaceFull { held_bytes: 1001, limit_bytes: 100 };
        assert_eq!(memory.take(1, 0), Err(full), "another one holds all");
        memory.give_back(1001);
        memory.take(60, 0).unwrap();
        memory.take(40, 0).unwrap();
        assert!(memory.take(1, 60).is_err() && memory.take(u64::MAX, 40).is_err());
        memory.take_anyway(5);
        assert_eq!(memory.held_bytes(), 105);
        memory.set_limit(None);
        memory.take(1, 60).unwrap();
    }
}
