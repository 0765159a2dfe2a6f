//! A watch that survives the store: it lists, watches, lists again.

use std::collections::{BTreeMap, VecDeque};
use std::sync::Arc;
use std::time::Duration;

use futures::stream::{self, BoxStream, StreamExt as _};
use tokio::time::Instant;

use super::{ControlError, ControlKey, ControlStore, Entry, Listing, Version};

/// How long to wait after a failure; doubled with each further one, up to [`BACK_OFF_MAX`].
const BACK_OFF: Duration = Duration::from_millis(100);

/// How long to wait at most. A store that is back is noticed this late.
const BACK_OFF_MAX: Duration = Duration::from_secs(5);

/// What happened below a prefix, or to the connection.
#[derive(Debug)]
pub enum Followed {
    /// Everything that the store has was yielded. Changes follow as they happen.
    Connected,
    /// The store is not heard any more: what was yielded may be out of date from here to the next `Connected`.
    Disconnected(ControlError),
    /// An entry is new, changed or gone.
    Changed(Entry),
}

/// What is below `prefix`, first as it is, then as it changes, until the stream is dropped. It neither ends nor fails.
///
/// The store is listed anew `every` so often and after each failure, because a watch shows only what the store
/// remembers: what was deleted long ago, or lost with the store's data, is missing from a listing and is yielded as a
/// deletion. An entry that was yielded is yielded again only when it has changed.
pub fn follow(store: Arc<dyn ControlStore>, prefix: ControlKey, every: Duration) -> BoxStream<'static, Followed> {
    let follower = Follower {
        store,
        prefix,
        every,
        known: BTreeMap::new(),
        ready: VecDeque::new(),
        watch: None,
        connected: None,
        failures: 0,
    };
    stream::unfold(follower, |mut follower| async move {
        let next = follower.next().await;
        Some((next, follower))
    })
    .boxed()
}

struct Follower {
    store: Arc<dyn ControlStore>,
    prefix: ControlKey,
    every: Duration,
    /// What was yielded and is there: only other versions are news.
    known: BTreeMap<ControlKey, Version>,
    /// What is to be yielded before anything else is looked at.
    ready: VecDeque<Followed>,
    /// The watch, and when to list again; none before a listing.
    watch: Option<(BoxStream<'static, Result<Entry, ControlError>>, Instant)>,
    /// What was said of the connection last.
    connected: Option<bool>,
    /// In a row.
    failures: u32,
}

impl Follower {
    async fn next(&mut self) -> Followed {
        loop {
            if let Some(followed) = self.ready.pop_front() {
                return followed;
            }
            let Some((changes, list_at)) = &mut self.watch else {
                self.list().await;
                continue;
            };
            match tokio::time::timeout_at(*list_at, changes.next()).await {
                Ok(Some(Ok(entry))) => self.changed(entry),
                Ok(Some(Err(error))) => self.failed(error),
                // Time for a listing; or a watch that broke its promise to go on, which a listing makes good.
                Err(_) | Ok(None) => self.watch = None,
            }
        }
    }

    async fn list(&mut self) {
        if self.failures > 0 {
            let doubled = BACK_OFF.saturating_mul(1_u32 << (self.failures - 1).min(16));
            tokio::time::sleep(doubled.min(BACK_OFF_MAX)).await;
        }
        match self.store.list(&self.prefix).await {
            Ok(listing) => {
                self.failures = 0;
                self.watch = Some((self.store.watch(&self.prefix, listing.version), Instant::now() + self.every));
                self.compare(listing);
                if self.connected != Some(true) {
                    self.connected = Some(true);
                    self.ready.push_back(Followed::Connected);
                }
            }
            Err(error) => self.failed(error),
        }
    }

    /// A listing is the truth, even where its versions are lower: then the store has gone back.
    fn compare(&mut self, listing: Listing) {
        let mut gone = std::mem::take(&mut self.known);
        for entry in listing.entries {
            let known = gone.remove(&entry.key);
            self.known.insert(entry.key.clone(), entry.version);
            if known != Some(entry.version) {
                self.ready.push_back(Followed::Changed(entry));
            }
        }
        for key in gone.into_keys() {
            self.ready.push_back(Followed::Changed(Entry { key, value: None, version: listing.version }));
        }
    }

    fn changed(&mut self, entry: Entry) {
        let known = self.known.get(&entry.key);
        if known.is_some_and(|known| *known >= entry.version) {
            return;
        }
        if entry.value.is_some() {
            self.known.insert(entry.key.clone(), entry.version);
        } else if self.known.remove(&entry.key).is_none() {
            // Came and went unseen.
            return;
        }
        self.ready.push_back(Followed::Changed(entry));
    }

    fn failed(&mut self, error: ControlError) {
        self.watch = None;
        self.failures = self.failures.saturating_add(1);
        if self.connected != Some(false) {
            self.connected = Some(false);
            self.ready.push_back(Followed::Disconnected(error));
        }
    }
}
