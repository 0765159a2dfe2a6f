//! Listing and watching: both are consumers of the stream.

use std::collections::BTreeMap;
use std::sync::Arc;

use async_nats::jetstream::Message;
use async_nats::jetstream::consumer::DeliverPolicy;
use async_nats::jetstream::consumer::push::{Ordered, OrderedConfig};
use futures::future::BoxFuture;
use futures::stream::{self, BoxStream};
use futures::{FutureExt as _, StreamExt as _};

use super::Shared;
use super::control::value;
use super::failure::Failure;
use crate::control::{ControlError, ControlKey, Entry, Listing, Version};

/// All values below `prefix`.
///
/// The consumer delivers the last message of each subject, then what comes after; once nothing is pending, every change
/// up to the last one delivered is in.
pub(super) async fn list(shared: &Shared, prefix: &ControlKey) -> Result<Listing, Failure> {
    let opened = open(shared, prefix, DeliverPolicy::LastPerSubject);
    let Open { mut messages, mut pending, .. } = shared.connection.answer(opened).await?;
    let (mut entries, mut version) = (BTreeMap::new(), Version::START);
    while pending > 0 {
        let next = async { messages.next().await.ok_or_else(ended)?.map_err(|error| Failure::of(&error)) };
        let delivered = Delivered::read(shared, &shared.connection.answer(next).await?)?;
        (version, pending) = (version.max(delivered.version), delivered.pending);
        let Some(entry) = delivered.entry else { continue };
        if entry.value.is_some() {
            entries.insert(entry.key.clone(), entry);
        } else {
            entries.remove(&entry.key);
        }
    }
    Ok(Listing { entries: entries.into_values().collect(), version })
}

/// Every change below `prefix` after `after`.
pub(super) fn watch(
    shared: Arc<Shared>,
    prefix: ControlKey,
    after: Version,
) -> BoxStream<'static, Result<Entry, ControlError>> {
    let start = Watch::Opening { prefix, after };
    stream::unfold((shared, start), |(shared, watch)| async move {
        let step = match watch {
            Watch::Opening { prefix, after } => {
                let opened = shared.connection.answer(open_after(&shared, &prefix, after)).await;
                match opened {
                    Ok((messages, lost)) => next(&shared, messages, lost).await,
                    Err(failure) => Err(failure),
                }
            }
            Watch::Open { messages, lost } => next(&shared, messages, lost).await,
            Watch::Ended => return None,
        };
        Some(match step {
            Ok((entry, watch)) => (Ok(entry), (shared, watch)),
            Err(failure) => (Err(failure.control(&shared.connection.servers)), (shared, Watch::Ended)),
        })
    })
    .boxed()
}

/// Where a watch stands.
enum Watch {
    Opening { prefix: ControlKey, after: Version },
    Open { messages: Box<Ordered>, lost: BoxFuture<'static, Failure> },
    Ended,
}

async fn next(
    shared: &Shared,
    mut messages: Box<Ordered>,
    mut lost: BoxFuture<'static, Failure>,
) -> Result<(Entry, Watch), Failure> {
    loop {
        // The consumer would go on by itself on the next connection, but silently: whoever watches shall know.
        let message = tokio::select! {
            biased;
            failure = &mut lost => return Err(failure),
            message = messages.next() => message.ok_or_else(ended)?.map_err(|error| Failure::of(&error))?,
        };
        if let Some(entry) = Delivered::read(shared, &message)?.entry {
            return Ok((entry, Watch::Open { messages, lost }));
        }
    }
}

async fn open_after(
    shared: &Shared,
    prefix: &ControlKey,
    after: Version,
) -> Result<(Box<Ordered>, BoxFuture<'static, Failure>), Failure> {
    let start_sequence = after.0.saturating_add(1);
    let open = open(shared, prefix, DeliverPolicy::ByStartSequence { start_sequence }).await?;
    // A watch that waits for the server to come to `after` would be silent until then.
    if open.last < after {
        return Err(Failure::Other(format!("its history ends at {}, before {after}: it has lost data", open.last)));
    }
    Ok((Box::new(open.messages), open.lost))
}

/// A consumer that has begun.
struct Open {
    messages: Ordered,
    /// How many messages it had to deliver when it began.
    pending: u64,
    /// The stream's last message before it began.
    last: Version,
    /// When its connection ends.
    lost: BoxFuture<'static, Failure>,
}

async fn open(shared: &Shared, prefix: &ControlKey, deliver_policy: DeliverPolicy) -> Result<Open, Failure> {
    let (epoch, stream) = shared.state.open(&shared.connection).await?;
    let opened = async {
        let last = stream.get_info().await.map_err(|error| Failure::of(&error))?.state.last_sequence;
        let config = OrderedConfig {
            deliver_subject: shared.connection.inbox(),
            filter_subject: format!("$KV.{}.{prefix}.>", shared.state.name()),
            deliver_policy,
            ..OrderedConfig::default()
        };
        let consumer = stream.create_consumer(config).await.map_err(|error| Failure::of(&error))?;
        let pending = consumer.cached_info().num_pending;
        let messages = consumer.messages().await.map_err(|error| Failure::of(&error))?;
        Ok(Open { messages, pending, last: Version(last), lost: shared.connection.lost(epoch).boxed() })
    };
    let opened: Result<Open, Failure> = opened.await;
    if matches!(opened, Err(Failure::NoStream)) {
        shared.state.forget().await;
    }
    opened
}

/// What a consumer delivers.
struct Delivered {
    version: Version,
    /// How many messages are to come.
    pending: u64,
    /// The change; nothing where somebody else has written under what is no key of ours, which must not stop us.
    entry: Option<Entry>,
}

impl Delivered {
    fn read(shared: &Shared, message: &Message) -> Result<Self, Failure> {
        let place = message.info().map_err(|error| Failure::Other(format!("a message without its place: {error}")))?;
        let (version, pending) = (Version(place.stream_sequence), place.pending);
        let subject = message.subject.as_str();
        let key = subject
            .strip_prefix("$KV.")
            .and_then(|rest| rest.strip_prefix(shared.state.name()))
            .and_then(|rest| rest.strip_prefix('.')?.parse().ok());
        if key.is_none() {
            tracing::warn!(subject, "ignored what somebody else has written into the bucket");
        }
        let value = value(message.headers.as_ref(), message.payload.clone());
        Ok(Self { version, pending, entry: key.map(|key| Entry { key, value, version }) })
    }
}

fn ended() -> Failure {
    Failure::Unreachable("its answer ended early".to_owned())
}
