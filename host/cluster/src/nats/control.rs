//! Entries: one subject each, of which the stream keeps the last message.

use std::sync::Arc;
use std::time::Duration;

use async_nats::header::{NATS_EXPECTED_LAST_SUBJECT_SEQUENCE, NATS_MARKER_REASON, NATS_MESSAGE_TTL};
use async_nats::{HeaderMap, HeaderValue};
use bytes::Bytes;
use futures::FutureExt as _;
use futures::future::BoxFuture;
use futures::stream::BoxStream;

use super::failure::Failure;
use super::{NatsBlobs, NatsConfig, NatsConfigError, Shared, durability, watch};
use crate::control::{
    ControlError, ControlKey, ControlStore, Durability, Entry, Expected, Lease, LeaseError, LeaseState, Listing,
    TOMBSTONE_TTL, Version, check_value, whole_seconds,
};

/// The header by which a key-value bucket marks a deletion (ADR-8), and its value.
const OPERATION: &str = "KV-Operation";
const DELETE: &str = "DEL";

/// How long to wait for somebody else's write that is on its way to the servers' disks.
const UNDER_WAY: Duration = Duration::from_millis(10);

/// A control store that all nodes of a cluster share, on NATS JetStream. Clones are one.
#[derive(Clone)]
pub struct NatsControl {
    shared: Arc<Shared>,
}

/// What a conditional write came to.
enum Written {
    /// Done.
    Version(Version),
    /// Something else was there.
    Conflict(Option<Entry>),
}

impl NatsControl {
    /// Starts to connect; buckets are made as they are needed. With no server there, calls fail until one is.
    ///
    /// # Errors
    /// A URL or a file in `config` cannot be used.
    pub async fn connect(config: NatsConfig) -> Result<Self, NatsConfigError> {
        Ok(Self { shared: Shared::connect(config).await? })
    }

    /// The blobs of the same cluster, over the same connection.
    pub fn blobs(&self) -> NatsBlobs {
        NatsBlobs::new(Arc::clone(&self.shared))
    }

    fn subject(&self, key: &ControlKey) -> String {
        format!("$KV.{}.{key}", self.shared.state.name())
    }

    fn error(&self, failure: Failure) -> ControlError {
        failure.control(&self.shared.connection.servers)
    }

    /// The last message of `key`. From the stream's leader: a replica might not have it yet.
    async fn last(&self, key: &ControlKey) -> Result<Option<Entry>, Failure> {
        let (_, stream) = self.shared.state.open(&self.shared.connection).await?;
        match stream.get_last_raw_message_by_subject(&self.subject(key)).await.map_err(Failure::from) {
            Ok(message) => {
                let value = value(Some(&message.headers), message.payload);
                Ok(Some(Entry { key: key.clone(), value, version: Version(message.sequence) }))
            }
            Err(Failure::NoMessage) => Ok(None),
            Err(failure) => Err(self.noticed(failure).await),
        }
    }

    /// Publishes on the subject of `key` if its last message has this number; 0 stands for none.
    async fn publish(
        &self,
        key: &ControlKey,
        mut headers: HeaderMap,
        value: Bytes,
        last: Version,
    ) -> Result<Version, Failure> {
        self.shared.state.open(&self.shared.connection).await?;
        headers.insert(NATS_EXPECTED_LAST_SUBJECT_SEQUENCE, HeaderValue::from(last.0));
        let context = &self.shared.connection.context;
        let published = async { context.publish_with_headers(self.subject(key), headers, value).await?.await };
        match published.await.map_err(Failure::from) {
            Ok(ack) => Ok(Version(ack.sequence)),
            Err(failure) => Err(self.noticed(failure).await),
        }
    }

    async fn noticed(&self, failure: Failure) -> Failure {
        if matches!(failure, Failure::NoStream) {
            self.shared.state.forget().await;
        }
        failure
    }

    /// Writes `value`, which expires after `ttl`, if what is there is `expected`.
    async fn write(
        &self,
        key: &ControlKey,
        value: Bytes,
        ttl: Option<Duration>,
        expected: Expected,
    ) -> Result<Written, Failure> {
        let mut headers = HeaderMap::new();
        if let Some(ttl) = ttl {
            headers.insert(NATS_MESSAGE_TTL, HeaderValue::from(ttl.as_secs()));
        }
        self.replace(key, headers, value, expected).await
    }

    async fn remove(&self, key: &ControlKey, expected: Version) -> Result<Written, Failure> {
        let mut headers = HeaderMap::new();
        headers.insert(OPERATION, DELETE);
        headers.insert(NATS_MESSAGE_TTL, HeaderValue::from(TOMBSTONE_TTL.as_secs()));
        self.replace(key, headers, Bytes::new(), Expected::Version(expected)).await
    }

    /// Publishes a message in place of what is `expected`. Tries until that is decided; the caller bounds the time.
    async fn replace(
        &self,
        key: &ControlKey,
        headers: HeaderMap,
        value: Bytes,
        expected: Expected,
    ) -> Result<Written, Failure> {
        let mut last = match expected {
            Expected::Absent => Version::START,
            Expected::Version(version) => version,
        };
        loop {
            match self.publish(key, headers.clone(), value.clone(), last).await {
                Ok(version) => return Ok(Written::Version(version)),
                Err(Failure::WrongSequence) => {}
                Err(failure) => return Err(failure),
            }
            let found = self.last(key).await?;
            let version = found.as_ref().map_or(Version::START, |entry| entry.version);
            let present = found.filter(|entry| entry.value.is_some());
            if version == last {
                // In a cluster a write under way refuses others before it can be read.
                tokio::time::sleep(UNDER_WAY).await;
            } else if expected == Expected::Absent && present.is_none() {
                // To the server a tombstone is a message like others; to us the key is absent.
                last = version;
            } else {
                return Ok(Written::Conflict(present));
            }
        }
    }

    /// Publishes a lease again; its version afterwards, or nothing if it was lost.
    async fn extend(&self, lease: &Lease) -> Result<Option<Version>, Failure> {
        let state = lease.state();
        // Until there is an answer: it may be the answer that gets lost.
        lease.set_state(LeaseState { in_doubt: true, ..state });
        let write = |last| self.write(lease.key(), lease.holder().clone(), Some(lease.ttl()), Expected::Version(last));
        match write(state.version).await? {
            Written::Version(version) => Ok(Some(version)),
            // Ours still: an earlier renewal went through, and its answer did not.
            Written::Conflict(Some(found)) if state.in_doubt && found.value.as_ref() == Some(lease.holder()) => {
                match write(found.version).await? {
                    Written::Version(version) => Ok(Some(version)),
                    Written::Conflict(_) => Ok(None),
                }
            }
            Written::Conflict(_) => Ok(None),
        }
    }
}

impl ControlStore for NatsControl {
    fn get<'a>(&'a self, key: &'a ControlKey) -> BoxFuture<'a, Result<Option<Entry>, ControlError>> {
        async move {
            let last = self.shared.connection.answer(self.last(key)).await;
            Ok(last.map_err(|failure| self.error(failure))?.filter(|entry| entry.value.is_some()))
        }
        .boxed()
    }

    fn list<'a>(&'a self, prefix: &'a ControlKey) -> BoxFuture<'a, Result<Listing, ControlError>> {
        async move { watch::list(&self.shared, prefix).await.map_err(|failure| self.error(failure)) }.boxed()
    }

    fn compare_and_set<'a>(
        &'a self,
        key: &'a ControlKey,
        value: Bytes,
        expected: Expected,
    ) -> BoxFuture<'a, Result<Version, ControlError>> {
        async move {
            check_value(key, &value)?;
            let written = self.shared.connection.answer(self.write(key, value, None, expected)).await;
            done(key, written.map_err(|failure| self.error(failure))?)
        }
        .boxed()
    }

    fn delete<'a>(&'a self, key: &'a ControlKey, expected: Version) -> BoxFuture<'a, Result<(), ControlError>> {
        async move {
            let written = self.shared.connection.answer(self.remove(key, expected)).await;
            done(key, written.map_err(|failure| self.error(failure))?).map(drop)
        }
        .boxed()
    }

    fn watch(&self, prefix: &ControlKey, after: Version) -> BoxStream<'static, Result<Entry, ControlError>> {
        watch::watch(Arc::clone(&self.shared), prefix.clone(), after)
    }

    fn acquire<'a>(
        &'a self,
        key: &'a ControlKey,
        holder: Bytes,
        ttl: Duration,
    ) -> BoxFuture<'a, Result<Lease, LeaseError>> {
        async move {
            check_value(key, &holder)?;
            let ttl = whole_seconds(ttl);
            let write = self.write(key, holder.clone(), Some(ttl), Expected::Absent);
            match self.shared.connection.answer(write).await.map_err(|failure| self.error(failure))? {
                Written::Version(version) => Ok(Lease::new(key.clone(), holder, ttl, version)),
                Written::Conflict(found) => {
                    let by = found.and_then(|entry| entry.value).unwrap_or_default();
                    Err(LeaseError::Held { key: key.clone(), by })
                }
            }
        }
        .boxed()
    }

    fn renew<'a>(&'a self, lease: &'a Lease) -> BoxFuture<'a, Result<(), LeaseError>> {
        async move {
            let extended = self.shared.connection.answer(self.extend(lease)).await;
            match extended.map_err(|failure| self.error(failure))? {
                Some(version) => {
                    lease.set_state(LeaseState { version, in_doubt: false });
                    Ok(())
                }
                None => Err(LeaseError::Lost(lease.key().clone())),
            }
        }
        .boxed()
    }

    fn release(&self, lease: Lease) -> BoxFuture<'_, Result<(), ControlError>> {
        async move {
            let state = lease.state();
            let remove = async {
                match self.remove(lease.key(), state.version).await? {
                    Written::Conflict(Some(found))
                        if state.in_doubt && found.value.as_ref() == Some(lease.holder()) =>
                    {
                        self.remove(lease.key(), found.version).await.map(drop)
                    }
                    Written::Version(_) | Written::Conflict(_) => Ok(()),
                }
            };
            self.shared.connection.answer(remove).await.map_err(|failure| self.error(failure))
        }
        .boxed()
    }

    fn durability(&self) -> BoxFuture<'_, Durability> {
        durability::read(&self.shared).boxed()
    }
}

fn done(key: &ControlKey, written: Written) -> Result<Version, ControlError> {
    match written {
        Written::Version(version) => Ok(version),
        Written::Conflict(found) => {
            Err(ControlError::Conflict { key: key.clone(), found: found.map(|entry| entry.version) })
        }
    }
}

/// What a message brings: nothing if it marks that a value was deleted or expired.
pub(super) fn value(headers: Option<&HeaderMap>, payload: Bytes) -> Option<Bytes> {
    let marks = |headers: &HeaderMap| headers.get(OPERATION).is_some() || headers.get(NATS_MARKER_REASON).is_some();
    (!headers.is_some_and(marks)).then_some(payload)
}
