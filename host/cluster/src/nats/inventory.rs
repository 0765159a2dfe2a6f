//! All blobs of a cluster, to find those that nobody needs.

use std::collections::BTreeMap;
use std::time::{Duration, UNIX_EPOCH};

use async_nats::jetstream::consumer::DeliverPolicy;
use async_nats::jetstream::consumer::push::OrderedConfig;
use async_nats::jetstream::object_store::ObjectInfo;
use futures::StreamExt as _;
use spillway_types::Digest;

use super::blobs::NatsBlobs;
use super::failure::Failure;
use crate::blobs::Blob;

/// Lists them. What somebody else has written into the bucket is left alone.
pub(super) async fn list(blobs: &NatsBlobs) -> Result<Vec<Blob>, Failure> {
    let connection = &blobs.shared.connection;
    let opened = connection.answer(async {
        let (_, stream) = blobs.open().await?;
        let config = OrderedConfig {
            deliver_subject: connection.inbox(),
            filter_subject: format!("$O.{}.M.>", blobs.shared.blobs.name()),
            deliver_policy: DeliverPolicy::LastPerSubject,
            ..OrderedConfig::default()
        };
        let consumer = stream.create_consumer(config).await.map_err(|error| Failure::of(&error))?;
        let pending = consumer.cached_info().num_pending;
        let messages = consumer.messages().await.map_err(|error| Failure::of(&error))?;
        Ok((messages, pending))
    });
    let (mut messages, mut pending) = opened.await?;
    let mut found = BTreeMap::new();
    while pending > 0 {
        let next = async {
            let ended = || Failure::Unreachable("its answer ended early".to_owned());
            messages.next().await.ok_or_else(ended)?.map_err(|error| Failure::of(&error))
        };
        let message = connection.answer(next).await?;
        let place = message.info().map_err(|error| Failure::Other(format!("a message without its place: {error}")))?;
        pending = place.pending;
        let Ok(object) = serde_json::from_slice::<ObjectInfo>(&message.payload) else { continue };
        let Ok(digest) = format!("sha256:{}", object.name).parse::<Digest>() else { continue };
        if object.deleted {
            found.remove(&digest);
            continue;
        }
        let seconds = u64::try_from(place.published.unix_timestamp()).unwrap_or(0);
        let renewed = UNIX_EPOCH + Duration::from_secs(seconds);
        found.insert(digest, Blob { digest, bytes: object.size as u64, renewed });
    }
    Ok(found.into_values().collect())
}
