//! Timers of a connection that cost nothing at each request: the clock is looked at when something wakes the connection anyway,
//! or its [`Beat`] does.

use std::future::Future;
use std::pin::Pin;
use std::task::{Context, Poll};
use std::time::{Duration, Instant};

use hyper::rt::{Sleep, Timer};

/// Looks of a beat within the time that it is for.
const LOOKS: u32 = 4;

/// The timer of heads for a server whose connections have a [`Beat`]. Its sleeps wake nobody.
#[derive(Clone, Copy, Debug)]
pub(super) struct HeadTimer;

impl Timer for HeadTimer {
    fn sleep(&self, duration: Duration) -> Pin<Box<dyn Sleep>> {
        self.sleep_until(self.now() + duration)
    }

    fn sleep_until(&self, deadline: Instant) -> Pin<Box<dyn Sleep>> {
        Box::pin(Until(deadline))
    }

    fn reset(&self, sleep: &mut Pin<Box<dyn Sleep>>, new_deadline: Instant) {
        match sleep.as_mut().downcast_mut_pin::<Until>() {
            Some(until) => until.get_mut().0 = new_deadline,
            None => *sleep = self.sleep_until(new_deadline),
        }
    }
}

/// Ready once it is polled after this.
struct Until(Instant);

impl Future for Until {
    type Output = ();

    fn poll(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<()> {
        if self.0 <= Instant::now() { Poll::Ready(()) } else { Poll::Pending }
    }
}

impl Sleep for Until {}

/// Wakes a connection that waits, now and then.
pub(super) struct Beat {
    every: Duration,
    next: Option<Pin<Box<tokio::time::Sleep>>>,
}

impl Beat {
    /// What takes `most` is noticed a quarter of it later at the latest.
    pub(super) fn within(most: Duration) -> Self {
        Self { every: most / LOOKS, next: None }
    }

    /// Wakes this task at the next beat. It stays set whatever comes before, which then costs nothing.
    pub(super) fn wait(&mut self, cx: &mut Context<'_>) {
        let every = self.every;
        let next = self.next.get_or_insert_with(|| Box::pin(tokio::time::sleep(every)));
        while next.as_mut().poll(cx).is_ready() {
            next.as_mut().reset(tokio::time::Instant::now() + every);
        }
    }
}

#[cfg(test)]
mod tests {
    use std::future::poll_fn;

    use super::*;

    #[tokio::test(start_paused = true)]
    async fn a_beat_wakes_who_waits_again_and_again() {
        let (mut beat, mut wakes) = (Beat::within(Duration::from_secs(40)), 0);
        let start = tokio::time::Instant::now();
        poll_fn(|cx| {
            beat.wait(cx);
            wakes += 1;
            if wakes > 4 { Poll::Ready(()) } else { Poll::Pending }
        })
        .await;
        assert_eq!(start.elapsed().as_secs(), 40);
    }

    #[tokio::test]
    async fn a_sleep_is_over_at_its_deadline_and_can_be_set_anew() {
        let mut sleep = HeadTimer.sleep(Duration::from_secs(3600));
        let is_over =
            async |sleep: &mut Pin<Box<dyn Sleep>>| poll_fn(|cx| Poll::Ready(sleep.as_mut().poll(cx).is_ready())).await;
        assert!(!is_over(&mut sleep).await);
        HeadTimer.reset(&mut sleep, Instant::now());
        assert!(is_over(&mut sleep).await);
    }
}
