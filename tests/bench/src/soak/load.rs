//! Calls: as fast as they are answered, to see what the node can do, and on a schedule, whatever becomes of them.

use std::sync::atomic::{AtomicBool, AtomicU64, AtomicUsize, Ordering::Relaxed};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use anyhow::ensure;
use serde::Serialize;
use spillway_tests::Node;
use tokio::sync::Semaphore;

use super::mix::Kind;

/// How long, and with how many callers, the capacity is measured; the first seconds warm up and do not count. The operator's
/// changes go on meanwhile, a whole round of them: what they take, calls cannot have later either.
const WARM_UP: Duration = Duration::from_secs(5);
const MEASURED: Duration = Duration::from_secs(18);
const CALLERS: usize = 16;
/// Calls under way at once. Callers beyond wait: on a machine that stalls, a backlog without end would be what is measured.
const UNDER_WAY_MAX: usize = 512;
/// Connections that wait for longer are closed, so that the node's handles tell of the calls under way, and not of the most
/// there were in a minute and a half.
pub(super) const WAITING_MAX: Duration = Duration::from_secs(5);

/// What became of the calls so far.
#[derive(Clone, Copy, Debug, Default, Serialize)]
pub(super) struct Tally {
    pub(super) answered: u64,
    /// Refused with 503, as a node may that has too much to do.
    pub(super) shed: u64,
    /// Failed as they should.
    pub(super) misbehaved: u64,
    pub(super) hung_up: u64,
    /// Neither: of well-behaved functions that failed, and of misdeeds that succeeded.
    pub(super) unexpected: u64,
}

impl Tally {
    /// What came after `before`.
    pub(super) fn since(self, before: Self) -> Self {
        Self {
            answered: self.answered - before.answered,
            shed: self.shed - before.shed,
            misbehaved: self.misbehaved - before.misbehaved,
            hung_up: self.hung_up - before.hung_up,
            unexpected: self.unexpected - before.unexpected,
        }
    }
}

#[derive(Default)]
struct Counts {
    answered: AtomicU64,
    shed: AtomicU64,
    misbehaved: AtomicU64,
    hung_up: AtomicU64,
    unexpected: AtomicU64,
}

/// A load on a node.
#[derive(Clone)]
pub(super) struct Load(Arc<Shared>);

struct Shared {
    node: Arc<Node>,
    client: reqwest::Client,
    next: AtomicUsize,
    counts: Counts,
    /// What the first unexpected one was.
    first: Mutex<Option<String>>,
    places: Arc<Semaphore>,
}

impl Load {
    /// # Errors
    /// No client can be made.
    pub(super) fn new(node: Arc<Node>) -> anyhow::Result<Self> {
        let places = Arc::new(Semaphore::new(UNDER_WAY_MAX));
        Ok(Self(Arc::new(Shared {
            node,
            client: reqwest::Client::builder().pool_idle_timeout(WAITING_MAX).build()?,
            next: AtomicUsize::new(0),
            counts: Counts::default(),
            first: Mutex::default(),
            places,
        })))
    }

    pub(super) fn tally(&self) -> Tally {
        let counts = &self.0.counts;
        Tally {
            answered: counts.answered.load(Relaxed),
            shed: counts.shed.load(Relaxed),
            misbehaved: counts.misbehaved.load(Relaxed),
            hung_up: counts.hung_up.load(Relaxed),
            unexpected: counts.unexpected.load(Relaxed),
        }
    }

    /// What the first unexpected call was.
    pub(super) fn first(&self) -> String {
        let first = self.0.first.lock().unwrap_or_else(PoisonError::into_inner).clone();
        first.map_or_else(String::new, |first| format!("the first: {first}"))
    }

    /// Calls of the mix per second that the node does, as fast as it answers.
    ///
    /// # Errors
    /// It answers none.
    pub(super) async fn capacity(&self) -> anyhow::Result<f64> {
        let (stop, done) = (Arc::new(AtomicBool::new(false)), Arc::new(AtomicU64::new(0)));
        let callers: Vec<_> = (0..CALLERS)
            .map(|_| {
                let (load, stop, done) = (self.clone(), stop.clone(), done.clone());
                tokio::spawn(async move {
                    while !stop.load(Relaxed) {
                        load.call(load.0.next.fetch_add(1, Relaxed)).await;
                        done.fetch_add(1, Relaxed);
                    }
                })
            })
            .collect();
        tokio::time::sleep(WARM_UP).await;
        let (begun, before) = (Instant::now(), done.load(Relaxed));
        tokio::time::sleep(MEASURED).await;
        let per_second = (done.load(Relaxed) - before) as f64 / begun.elapsed().as_secs_f64();
        stop.store(true, Relaxed);
        for caller in callers {
            caller.await?;
        }
        ensure!(per_second > 0.0, "the node answers nothing");
        Ok(per_second)
    }

    /// Sends each call when it is due, until dropped.
    pub(super) async fn offer(&self, per_second: f64) {
        let (begun, mut sent) = (Instant::now(), 0_u64);
        loop {
            let due = begun + Duration::from_secs_f64(sent as f64 / per_second);
            tokio::time::sleep_until(due.into()).await;
            let place = self.0.places.clone().acquire_owned().await.expect("the semaphore is never closed");
            let (load, number) = (self.clone(), self.0.next.fetch_add(1, Relaxed));
            tokio::spawn(async move {
                load.call(number).await;
                drop(place);
            });
            sent += 1;
        }
    }

    async fn call(&self, number: usize) {
        let kind = Kind::of(number);
        let sent = kind.request(&self.0.client, self.0.node.listen()).send().await;
        let ended = match sent {
            Ok(answer) => {
                let status = answer.status().as_u16();
                answer.text().await.map(|text| (status, text))
            }
            Err(error) => Err(error),
        };
        let counts = &self.0.counts;
        let count = match (kind, &ended) {
            (Kind::Good(_) | Kind::Model, Ok((200, _))) => &counts.answered,
            (Kind::HungUp, Err(error)) if error.is_timeout() => &counts.hung_up,
            (_, Ok((503, _))) => &counts.shed,
            (Kind::Misdeed(_), Ok((500 | 504, _))) => &counts.misbehaved,
            _ => {
                let mut first = self.0.first.lock().unwrap_or_else(PoisonError::into_inner);
                first.get_or_insert_with(|| format!("{kind:?}: {ended:?}"));
                &counts.unexpected
            }
        };
        count.fetch_add(1, Relaxed);
    }
}
