//! Answers that are ready at about the same time leave one after the other, and not each between two guests.
//!
//! A caller with many connections, be it a proxy, is woken by the first and finds the others there, too. To wake it for each
//! costs both sides more than a small guest does.

use std::cell::Cell;
use std::future::Future;
use std::pin::Pin;
use std::task::{Context, Poll};
use std::time::{Duration, Instant};

/// What an answer may wait for. Where others compute for longer, or are a crowd, it does not wait again soon.
const WAIT_MAX: Duration = Duration::from_millis(1);
/// Answers that leave at once after a wait that was long, at first and at most: twice as many each time.
const AT_ONCE: (u32, u32) = (16, 1024);

thread_local! {
    static HABIT: Cell<Habit> = const { Cell::new(Habit { left: 0, next: AT_ONCE.0 }) };
}

/// Whether answers of a thread wait.
#[derive(Clone, Copy)]
struct Habit {
    /// Answers that leave at once before another waits.
    left: u32,
    /// How many will, after the next long wait.
    next: u32,
}

impl Habit {
    /// Whether the next answer leaves at once.
    fn take_one(&mut self) -> bool {
        let at_once = self.left > 0;
        self.left = self.left.saturating_sub(1);
        at_once
    }

    fn learn(&mut self, waited: Duration) {
        if waited <= WAIT_MAX {
            self.next = AT_ONCE.0;
        } else {
            self.left = self.next;
            self.next = (2 * self.next).min(AT_ONCE.1);
        }
    }
}

/// Lets whoever is ready on this thread go first, once, unless that took long lately.
#[derive(Default)]
pub(super) struct Together {
    since: Option<Instant>,
}

impl Future for Together {
    type Output = ();

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<()> {
        let mut habit = HABIT.get();
        let done = match self.since {
            None => habit.take_one(),
            Some(since) => {
                habit.learn(since.elapsed());
                true
            }
        };
        HABIT.set(habit);
        if done {
            return Poll::Ready(());
        }
        self.since = Some(Instant::now());
        // To the end of this thread's queue. `yield_now` would ask the system for news first.
        cx.waker().wake_by_ref();
        Poll::Pending
    }
}

#[cfg(test)]
mod tests {
    use std::sync::{Arc, Mutex};

    use super::*;

    /// Has calls answered that are ready at once, each of which computes for so long; gives what happened in turn.
    async fn answer(calls: usize, computes: Duration) -> String {
        let seen = Arc::new(Mutex::new(String::new()));
        let tasks: Vec<_> = (0..calls)
            .map(|_| {
                let seen = seen.clone();
                tokio::spawn(async move {
                    let begun = Instant::now();
                    seen.lock().unwrap().push('c');
                    while begun.elapsed() < computes {}
                    Together::default().await;
                    seen.lock().unwrap().push('a');
                })
            })
            .collect();
        for task in tasks {
            task.await.unwrap();
        }
        let seen = seen.lock().unwrap();
        seen.clone()
    }

    #[tokio::test]
    async fn what_is_ready_together_leaves_together() {
        assert_eq!(answer(3, Duration::ZERO).await, "cccaaa");
    }

    #[tokio::test]
    async fn where_others_compute_for_long_answers_do_not_wait_again() {
        assert_eq!(answer(3, WAIT_MAX).await, "cccaaa");
        assert_eq!(answer(3, WAIT_MAX).await, "cacaca");
    }

    #[test]
    fn long_waits_become_seldom_until_one_is_short() {
        let mut habit = HABIT.get();
        let mut until_next = |waited| {
            habit.learn(waited);
            std::iter::repeat_with(|| habit.take_one()).take_while(|at_once| *at_once).count()
        };
        let (short, long) = (WAIT_MAX, 2 * WAIT_MAX);
        assert_eq!([0; 2].map(|_| until_next(short)), [0, 0]);
        assert_eq!([0; 8].map(|_| until_next(long)), [16, 32, 64, 128, 256, 512, 1024, 1024]);
        assert_eq!([until_next(short), until_next(long)], [0, 16]);
    }
}
