//! A control store in the node's own database.

mod rows;

use std::sync::Arc;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use bytes::Bytes;
use futures::FutureExt as _;
use futures::future::BoxFuture;
use futures::stream::{self, BoxStream, StreamExt as _, TryStreamExt as _};
use rusqlite::Transaction;

use super::{
    ControlError, ControlKey, ControlStore, Durability, Entry, Expected, Lease, LeaseError, LeaseState, Listing,
    Version, check_value, whole_seconds,
};
use crate::store::Store;

/// What tells the time. The machine's clock in a node, another one in tests.
pub type Clock = Arc<dyn Fn() -> SystemTime + Send + Sync>;

/// How many changes a watch reads at once: each may be as large as a value may be.
const WATCH_PAGE: usize = 16;

/// How long a watch sleeps at most while leases are out: the clock may be set meanwhile.
const EXPIRY_CHECK: Duration = Duration::from_secs(1);

/// The control store of a node that is alone: a table of its database. All clones, and all made from one [`Store`], are one.
#[derive(Clone)]
pub struct EmbeddedControl {
    /// Where it lies.
    store: Store,
    /// By which leases expire.
    clock: Clock,
}

impl EmbeddedControl {
    /// The control store within `store`; leases expire by `clock`.
    pub fn new(store: Store, clock: Clock) -> Self {
        Self { store, clock }
    }

    /// Milliseconds since 1970, as the database has times.
    fn now_ms(&self) -> i64 {
        let since = (self.clock)().duration_since(UNIX_EPOCH).unwrap_or_default();
        i64::try_from(since.as_millis()).unwrap_or(i64::MAX)
    }

    /// Runs `work` where blocking is allowed.
    fn blocking<T: Send + 'static>(&self, work: impl FnOnce(&Self) -> T + Send + 'static) -> BoxFuture<'static, T> {
        let this = self.clone();
        async move {
            match tokio::task::spawn_blocking(move || work(&this)).await {
                Ok(answer) => answer,
                // Cancelled only with the runtime, and this future with it.
                Err(panic) => std::panic::resume_unwind(panic.into_panic()),
            }
        }
        .boxed()
    }

    /// Runs `work` as the only writer, after leases have expired, and wakes who watches.
    fn change<T, E: From<rusqlite::Error>>(
        &self,
        work: impl FnOnce(&Transaction<'_>, i64) -> Result<T, E>,
    ) -> Result<T, E> {
        let now_ms = self.now_ms();
        // Apart, so that what expired has expired whether `work` succeeds or not.
        self.expire(now_ms)?;
        let answer = self.store.shared.database.write(|transaction| work(transaction, now_ms))?;
        self.store.shared.control_changed.send_replace(());
        Ok(answer)
    }

    /// Reads after leases have expired.
    fn read<T>(&self, work: impl FnOnce(&Transaction<'_>) -> Result<T, rusqlite::Error>) -> Result<T, ControlError> {
        self.expire(self.now_ms())?;
        Ok(self.store.shared.database.read(work)?)
    }

    fn expire(&self, now_ms: i64) -> Result<(), rusqlite::Error> {
        let next = self.store.shared.database.read(|snapshot| rows::next_expiry(snapshot))?;
        if next.is_some_and(|next| next <= now_ms) {
            self.store.shared.database.write(|transaction| rows::expire(transaction, now_ms))?;
            self.store.shared.control_changed.send_replace(());
        }
        Ok(())
    }

    /// The next changes of a watch, and how long until a lease expires.
    fn page(&self, prefix: &ControlKey, after: Version) -> Result<(Vec<Entry>, Option<Duration>), ControlError> {
        let page = self
            .read(|snapshot| Ok((rows::changes(snapshot, prefix, after, WATCH_PAGE)?, rows::next_expiry(snapshot)?)));
        let (entries, next) = page?;
        let wait = next.map(|next| Duration::from_millis(next.saturating_sub(self.now_ms()).max(1).unsigned_abs()));
        Ok((entries, wait))
    }
}

impl ControlStore for EmbeddedControl {
    fn get<'a>(&'a self, key: &'a ControlKey) -> BoxFuture<'a, Result<Option<Entry>, ControlError>> {
        let key = key.clone();
        self.blocking(move |this| {
            let last = this.read(|snapshot| rows::last(snapshot, &key))?;
            Ok(last.filter(|entry| entry.value.is_some()))
        })
    }

    fn list<'a>(&'a self, prefix: &'a ControlKey) -> BoxFuture<'a, Result<Listing, ControlError>> {
        let prefix = prefix.clone();
        self.blocking(move |this| this.read(|snapshot| rows::list(snapshot, &prefix)))
    }

    fn compare_and_set<'a>(
        &'a self,
        key: &'a ControlKey,
        value: Bytes,
        expected: Expected,
    ) -> BoxFuture<'a, Result<Version, ControlError>> {
        let key = key.clone();
        self.blocking(move |this| {
            check_value(&key, &value)?;
            this.change(|transaction, now_ms| {
                let last = rows::last(transaction, &key)?;
                let as_expected = match (expected, &last) {
                    (Expected::Absent, last) => last.as_ref().is_none_or(|entry| entry.value.is_none()),
                    (Expected::Version(version), Some(entry)) => entry.version == version,
                    (Expected::Version(_), None) => false,
                };
                if !as_expected {
                    return Err(conflict(key, last));
                }
                Ok(rows::put(transaction, &key, Some(&value), None, now_ms)?)
            })
        })
    }

    fn delete<'a>(&'a self, key: &'a ControlKey, expected: Version) -> BoxFuture<'a, Result<(), ControlError>> {
        let key = key.clone();
        self.blocking(move |this| {
            this.change(|transaction, now_ms| {
                let last = rows::last(transaction, &key)?;
                if last.as_ref().is_none_or(|entry| entry.version != expected) {
                    return Err(conflict(key, last));
                }
                rows::put(transaction, &key, None, None, now_ms)?;
                Ok(rows::forget_tombstones(transaction, now_ms)?)
            })
        })
    }

    fn watch(&self, prefix: &ControlKey, after: Version) -> BoxStream<'static, Result<Entry, ControlError>> {
        let (this, prefix) = (self.clone(), prefix.clone());
        // Subscribed before the first look, so that no change falls between a look and the wait for the next.
        let changed = this.store.shared.control_changed.subscribe();
        stream::try_unfold((this, prefix, after, changed), |(this, prefix, after, mut changed)| async move {
            loop {
                changed.mark_unchanged();
                let below = prefix.clone();
                let (entries, wait) = this.blocking(move |this| this.page(&below, after)).await?;
                if let Some(last) = entries.last() {
                    let next = last.version;
                    let entries = stream::iter(entries).map(Ok);
                    return Ok::<_, ControlError>(Some((entries, (this, prefix, next, changed))));
                }
                let expired = async move {
                    match wait {
                        Some(wait) => tokio::time::sleep(wait.min(EXPIRY_CHECK)).await,
                        None => std::future::pending().await,
                    }
                };
                tokio::select! {
                    open = changed.changed() => open.expect("the store, which has the sender, is held here"),
                    () = expired => {}
                }
            }
        })
        .try_flatten()
        .boxed()
    }

    fn acquire<'a>(
        &'a self,
        key: &'a ControlKey,
        holder: Bytes,
        ttl: Duration,
    ) -> BoxFuture<'a, Result<Lease, LeaseError>> {
        let key = key.clone();
        self.blocking(move |this| {
            check_value(&key, &holder)?;
            let ttl = whole_seconds(ttl);
            let version = this.change(|transaction, now_ms| {
                match rows::last(transaction, &key)?.and_then(|entry| entry.value) {
                    Some(by) => Err(LeaseError::Held { key: key.clone(), by }),
                    None => Ok(rows::put(transaction, &key, Some(&holder), Some(ttl), now_ms)?),
                }
            })?;
            Ok(Lease::new(key, holder, ttl, version))
        })
    }

    fn renew<'a>(&'a self, lease: &'a Lease) -> BoxFuture<'a, Result<(), LeaseError>> {
        let (key, holder, ttl, version) =
            (lease.key().clone(), lease.holder().clone(), lease.ttl(), lease.state().version);
        let renewed = self.blocking(move |this| {
            this.change(|transaction, now_ms| match rows::last(transaction, &key)? {
                Some(entry) if entry.version == version => {
                    Ok(rows::put(transaction, &key, Some(&holder), Some(ttl), now_ms)?)
                }
                _ => Err(LeaseError::Lost(key)),
            })
        });
        async move {
            lease.set_state(LeaseState { version: renewed.await?, in_doubt: false });
            Ok(())
        }
        .boxed()
    }

    fn release(&self, lease: Lease) -> BoxFuture<'_, Result<(), ControlError>> {
        async move {
            match self.delete(lease.key(), lease.state().version).await {
                Ok(()) | Err(ControlError::Conflict { .. }) => Ok(()),
                Err(error) => Err(error),
            }
        }
        .boxed()
    }

    fn durability(&self) -> BoxFuture<'_, Durability> {
        let how = "SQLite with a write-ahead log and synchronous=FULL, on the disk of this node alone".to_owned();
        async move { Durability::Safe { how } }.boxed()
    }
}

fn conflict(key: ControlKey, last: Option<Entry>) -> ControlError {
    let found = last.filter(|entry| entry.value.is_some()).map(|entry| entry.version);
    ControlError::Conflict { key, found }
}
