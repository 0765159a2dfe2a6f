//! The streams of a cluster.

use std::time::{Duration, SystemTime, UNIX_EPOCH};

use async_nats::jetstream::stream::{Config, DiscardPolicy, StorageType, Stream};
use tokio::sync::Mutex;
use tokio::time::sleep;

use super::config::NatsConfig;
use super::connection::Connection;
use super::failure::Failure;
use crate::control::TOMBSTONE_TTL;

/// How long to wait for a stream that another node may be making, each time that the server has no room for two.
const PAUSES: [Duration; 4] =
    [Duration::from_millis(50), Duration::from_millis(200), Duration::from_millis(500), Duration::ZERO];

/// One stream, made when it is missing.
pub(super) struct Bucket {
    /// The bucket's name; the stream's has a prefix.
    name: String,
    config: Config,
    /// The stream as it was found, and on which connection: a server may come back without it.
    open: Mutex<Option<(u64, Stream)>>,
}

impl Bucket {
    /// Entries, in the layout of a key-value bucket: https://github.com/nats-io/nats-architecture-and-design, ADR-8.
    pub(super) fn state(config: &NatsConfig) -> Self {
        let name = format!("spillway-{}-state", config.cluster);
        let stream = Config {
            name: format!("KV_{name}"),
            subjects: vec![format!("$KV.{name}.>")],
            max_messages_per_subject: 1,
            max_bytes: bytes(config.state_bytes_max),
            deny_delete: true,
            // An expired lease leaves a marker, so that who watches sees it.
            allow_message_ttl: true,
            subject_delete_marker_ttl: Some(TOMBSTONE_TTL),
            ..common(config)
        };
        Self { name, config: stream, open: Mutex::default() }
    }

    /// Blobs, in the layout of an object store: ADR-20.
    pub(super) fn blobs(config: &NatsConfig) -> Self {
        let name = format!("spillway-{}-blobs", config.cluster);
        let stream = Config {
            name: format!("OBJ_{name}"),
            subjects: vec![format!("$O.{name}.C.>"), format!("$O.{name}.M.>")],
            max_bytes: bytes(config.blob_bytes_max),
            ..common(config)
        };
        Self { name, config: stream, open: Mutex::default() }
    }

    /// The bucket's name.
    pub(super) fn name(&self) -> &str {
        &self.name
    }

    /// The stream's name.
    pub(super) fn stream_name(&self) -> &str {
        &self.config.name
    }

    /// The stream, and the number of the connection on which it was found.
    pub(super) async fn open(&self, connection: &Connection) -> Result<(u64, Stream), Failure> {
        let epoch = connection.ready().await?;
        let mut open = self.open.lock().await;
        if let Some((found_on, stream)) = &*open
            && *found_on == epoch
        {
            return Ok((epoch, stream.clone()));
        }
        let stream = self.find_or_make(connection).await?;
        *open = Some((epoch, stream.clone()));
        Ok((epoch, stream))
    }

    /// Looks for the stream again the next time: somebody has removed it.
    pub(super) async fn forget(&self) {
        *self.open.lock().await = None;
    }

    async fn find_or_make(&self, connection: &Connection) -> Result<Stream, Failure> {
        let context = &connection.context;
        match context.get_stream(&self.config.name).await.map_err(Failure::from) {
            Ok(stream) => return self.checked(stream),
            Err(Failure::NoStream) => {}
            Err(failure) => return Err(failure),
        }
        // The server that has lost its data starts at a later number than it ever had, as long as it takes less than a
        // thousand changes a second: so versions grow on, and nobody takes a new entry for an old one.
        let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
        let first_sequence = Some(u64::try_from(now.as_millis()).unwrap_or(u64::MAX).max(1));
        let config = Config { first_sequence, ..self.config.clone() };
        for pause in PAUSES {
            match context.create_stream(config.clone()).await.map_err(Failure::from) {
                Ok(_) => {
                    tracing::info!(stream = config.name, "made a bucket in NATS");
                    break;
                }
                // Another node was faster, with another first number.
                Err(Failure::Other(text)) if text.contains("already in use") => break,
                Err(Failure::Other(text)) => {
                    return Err(Failure::Other(format!("stream {} cannot be made: {text}", config.name)));
                }
                // Or is at it: the server sets the room aside for each that tries, and lets the rest go with this.
                Err(Failure::Full(text)) => match context.get_stream(&config.name).await.map_err(Failure::from) {
                    Err(Failure::NoStream) if pause.is_zero() => return Err(Failure::Full(text)),
                    Err(Failure::NoStream) => sleep(pause).await,
                    Err(failure) => return Err(failure),
                    Ok(stream) => return self.checked(stream),
                },
                Err(failure) => return Err(failure),
            }
        }
        self.checked(context.get_stream(&config.name).await?)
    }

    /// Refuses a stream that somebody made otherwise: on it, entries would not behave as promised.
    fn checked(&self, stream: Stream) -> Result<Stream, Failure> {
        let found = &stream.cached_info().config;
        // The server says -1 where we say 0: no limit.
        let alike = found.max_messages_per_subject.max(0) == self.config.max_messages_per_subject
            && found.allow_message_ttl == self.config.allow_message_ttl
            && found.subject_delete_marker_ttl.is_some() == self.config.subject_delete_marker_ttl.is_some()
            && found.max_age == self.config.max_age
            && self.config.subjects.iter().all(|subject| found.subjects.contains(subject));
        if !alike {
            let name = &self.config.name;
            return Err(Failure::Other(format!(
                "stream {name} has other settings than Spillway gives it; remove it, or choose another cluster name"
            )));
        }
        Ok(stream)
    }
}

fn common(config: &NatsConfig) -> Config {
    Config {
        storage: StorageType::File,
        num_replicas: config.replicas.max(1),
        // Refuse what is new instead of dropping what is old.
        discard: DiscardPolicy::New,
        allow_rollup: true,
        allow_direct: true,
        ..Config::default()
    }
}

fn bytes(most: u64) -> i64 {
    i64::try_from(most).unwrap_or(i64::MAX)
}
