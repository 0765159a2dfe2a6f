//! Control store and blobs on NATS JetStream.
//!
//! | file | what |
//! | --- | --- |
//! | `config`, `connection` | how the server is reached, and how long it may be silent |
//! | `bucket` | the two streams of a cluster, made when they are missing |
//! | `control`, `watch` | entries: one subject each, in the layout of NATS's key-value buckets |
//! | `blobs`, `upload` | blobs: in the layout of NATS's object store |
//! | `durability` | what the server's monitoring endpoint says of its disks |
//! | `failure` | what the client's many errors mean |

mod blobs;
mod bucket;
mod config;
mod connection;
mod control;
mod durability;
mod failure;
mod inventory;
mod upload;
mod watch;

use std::sync::Arc;

pub use self::blobs::NatsBlobs;
pub use self::config::{NatsConfig, NatsConfigError};
pub use self::control::NatsControl;

use self::bucket::Bucket;
use self::connection::Connection;

/// What control store and blobs of one cluster share.
struct Shared {
    connection: Connection,
    /// Entries.
    state: Bucket,
    /// Blobs.
    blobs: Bucket,
    /// Where the server tells of itself.
    monitoring_url: Option<String>,
}

impl Shared {
    async fn connect(config: NatsConfig) -> Result<Arc<Self>, NatsConfigError> {
        let connection = Connection::open(&config).await?;
        let (state, blobs) = (Bucket::state(&config), Bucket::blobs(&config));
        Ok(Arc::new(Self { connection, state, blobs, monitoring_url: config.monitoring_url }))
    }
}
