//! Records under way to the writer: a list that whoever records adds to, and that the writer takes as a whole.
//!
//! The two lists change places, so that in the long run nothing is allocated, and what is written next is still in the cache.

use std::mem;
use std::sync::{Mutex, MutexGuard, OnceLock, PoisonError};
use std::thread::{self, Thread};

/// Entries under way; what comes beyond is lost.
const MOST: usize = 16 * 1024;
/// So many wake the writer before its rest is over: some hundred kilobytes.
const MANY: usize = 1024;

#[derive(Debug)]
pub(super) struct Queue<T> {
    waiting: Mutex<Waiting<T>>,
    /// Who takes; known once it does.
    writer: OnceLock<Thread>,
}

#[derive(Debug)]
struct Waiting<T> {
    entries: Vec<T>,
    /// The writer waits for the first of them.
    is_awaited: bool,
    is_closed: bool,
}

impl<T> Queue<T> {
    pub(super) fn new() -> Self {
        let waiting = Waiting { entries: Vec::new(), is_awaited: false, is_closed: false };
        Self { waiting: Mutex::new(waiting), writer: OnceLock::new() }
    }

    /// Adds an entry without waiting. Says whether there was room.
    pub(super) fn offer(&self, entry: T) -> bool {
        let mut waiting = self.lock();
        if waiting.entries.len() >= MOST {
            return false;
        }
        waiting.entries.push(entry);
        if mem::take(&mut waiting.is_awaited) || waiting.entries.len() == MANY {
            drop(waiting);
            self.wake();
        }
        true
    }

    /// Adds an entry, whether there is room or not, and has it looked at soon.
    pub(super) fn demand(&self, entry: T) {
        let mut waiting = self.lock();
        waiting.entries.push(entry);
        waiting.is_awaited = false;
        drop(waiting);
        self.wake();
    }

    /// Nothing more comes.
    pub(super) fn close(&self) {
        self.lock().is_closed = true;
        self.wake();
    }

    /// Exchanges the empty `taken` for what has come, and waits for it where there is nothing. Says whether there was something
    /// before the end. For one thread, which [`offer`](Self::offer) wakes from its rests where much has come.
    pub(super) fn take(&self, taken: &mut Vec<T>) -> bool {
        self.writer.get_or_init(thread::current);
        // One large burst need not be remembered.
        taken.shrink_to(2 * MANY);
        loop {
            let mut waiting = self.lock();
            if !waiting.entries.is_empty() {
                mem::swap(&mut waiting.entries, taken);
                return true;
            }
            if waiting.is_closed {
                return false;
            }
            waiting.is_awaited = true;
            drop(waiting);
            thread::park();
        }
    }

    fn wake(&self) {
        if let Some(writer) = self.writer.get() {
            writer.unpark();
        }
    }

    fn lock(&self) -> MutexGuard<'_, Waiting<T>> {
        self.waiting.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use super::*;

    #[test]
    fn all_that_there_was_room_for_comes_in_order_and_then_the_end() {
        const EACH: usize = 50_000;
        let queue = Arc::new(Queue::new());
        let writer = {
            let queue = queue.clone();
            thread::spawn(move || {
                let (mut all, mut taken) = (Vec::new(), Vec::new());
                while queue.take(&mut taken) {
                    all.append(&mut taken);
                }
                all
            })
        };
        let offered: Vec<_> = (0..2)
            .map(|which| {
                let queue = queue.clone();
                thread::spawn(move || (0..EACH).filter(|number| queue.offer((which, *number))).collect::<Vec<_>>())
            })
            .map(|thread| thread.join().unwrap())
            .collect();
        queue.demand((2, 0));
        queue.close();
        let all = writer.join().unwrap();
        for (which, offered) in offered.into_iter().enumerate() {
            let come: Vec<_> = all.iter().filter(|(of, _)| *of == which).map(|(_, number)| *number).collect();
            assert_eq!(come, offered);
        }
        assert_eq!(all.last(), Some(&(2, 0)));
    }

    #[test]
    fn what_comes_beyond_the_most_is_refused_unless_it_is_demanded() {
        let queue = Queue::new();
        assert!((0..MOST).all(|number| queue.offer(number)));
        assert!(!queue.offer(MOST));
        queue.demand(MOST);
        let mut taken = Vec::new();
        assert!(queue.take(&mut taken));
        assert_eq!(taken.len(), MOST + 1);
        assert!(queue.offer(0));
    }
}
