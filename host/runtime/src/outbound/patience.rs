//! How long a request may wait for something.

use std::future::Future;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering::Relaxed};
use std::time::{Duration, Instant};

use wasmtime_wasi_http::Error;

use crate::invocation::Invocation;

/// The time of a call: until it has answered its deadline is the last moment for all that it waits for. Afterwards its
/// body may take as long as bytes move, and so each wait for itself has a limit.
#[derive(Clone)]
pub(super) struct Patience {
    deadline: Instant,
    answered: Arc<AtomicBool>,
    most: Duration,
}

impl Patience {
    pub(super) fn of(invocation: &Invocation, most: Duration) -> Self {
        Self { deadline: invocation.deadline, answered: invocation.answered(), most }
    }

    /// Of a request that belongs to no call, or to one of several.
    pub(super) fn alone(most: Duration) -> Self {
        Self { deadline: Instant::now(), answered: Arc::new(AtomicBool::new(true)), most }
    }

    /// Waits until `wanted` has passed, or what is allowed if that is less.
    pub(super) fn out(&self, wanted: Option<Duration>) -> impl Future<Output = ()> + Send + use<> {
        let Self { deadline, answered, most } = self.clone();
        async move {
            let limit = Instant::now() + wanted.map_or(most, |wanted| wanted.min(most));
            if deadline < limit && !answered.load(Relaxed) {
                tokio::time::sleep_until(deadline.into()).await;
                if !answered.load(Relaxed) {
                    return;
                }
            }
            tokio::time::sleep_until(limit.into()).await;
        }
    }
}

/// Does some of the work that has to be done before it is `late`.
pub(super) async fn within<T>(
    late: &mut (impl Future<Output = ()> + Unpin),
    error: Error,
    work: impl Future<Output = Result<T, Error>>,
) -> Result<T, Error> {
    tokio::select! {
        biased;
        done = work => done,
        () = late => Err(error),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const HOUR: Duration = Duration::from_secs(3600);

    fn until(deadline: Duration, answered: bool, most: Duration) -> Patience {
        Patience { deadline: Instant::now() + deadline, answered: Arc::new(AtomicBool::new(answered)), most }
    }

    async fn waits(patience: &Patience, wanted: Option<Duration>) -> Duration {
        let start = tokio::time::Instant::now();
        patience.out(wanted).await;
        start.elapsed()
    }

    #[tokio::test(start_paused = true)]
    async fn the_deadline_ends_every_wait_until_the_call_has_answered() {
        let second = Duration::from_secs(1);
        assert!(waits(&until(second, false, HOUR), None).await <= 2 * second);
        assert!(waits(&until(second, false, HOUR), Some(HOUR)).await <= 2 * second);
        assert!(waits(&until(HOUR, false, HOUR), Some(second)).await <= 2 * second);
        assert!(waits(&until(second, true, HOUR), None).await >= HOUR - second);
        assert!(waits(&until(second, true, HOUR), Some(2 * HOUR)).await <= HOUR + second);
    }

    #[tokio::test(start_paused = true)]
    async fn a_call_that_answers_meanwhile_gets_the_rest_of_its_time() {
        let patience = until(Duration::from_secs(2), false, HOUR);
        let answered = patience.answered.clone();
        let wait = tokio::spawn(async move { waits(&patience, None).await });
        tokio::time::sleep(Duration::from_secs(1)).await;
        answered.store(true, Relaxed);
        assert!(wait.await.unwrap() >= HOUR - Duration::from_secs(2));
    }
}
