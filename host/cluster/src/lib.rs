//! What a node remembers, and what the nodes of a cluster agree on.
//!
//! | module | what | kept in |
//! | --- | --- | --- |
//! | `store`, `functions`, `models`, `gc`, `audit`, `quotas` | functions and their revisions | `store.sqlite` |
//! | `keyvalue` | the key-value data of guests | `store.sqlite` |
//! | `blobs` | bundles and models by digest | files |
//! | `control` | [`ControlStore`]: entries that change by compare-and-set, are watched, and lease | `store.sqlite`, or NATS |
//! | `blob_store` | [`BlobStore`]: blobs by digest, wherever they are | files, or NATS |
//! | `nats` | both over JetStream | |
//!
//! ```text
//! DATA/                 0700
//!   layout              version of everything below
//!   lock                held by the one node that uses the folder; contains its process id
//!   store.sqlite        functions, revisions, routes, added models, trusted keys, quotas, key-value pairs, control entries
//!                       (and SQLite's -wal and -shm)
//!   blobs/sha256/ab/…   bundles and models, read-only, named by their digest
//!   staging/            uploads under way; emptied when the folder is opened
//! ```
//!
//! One invariant carries the rest: **the database never refers to a blob that is not durable**. A blob is written and
//! synced, renamed into place, its folder synced, and only then a revision that names it is committed; garbage collection
//! goes the other way, database first, files second. So `kill -9` leaves at worst a blob that nobody refers to.
//!
//! Calls of [`Store`] and what it hands out block: call them where blocking is allowed. The two traits are asynchronous
//! and may be called anywhere within a Tokio runtime. Nothing in the data folder reads a clock; the caller passes the
//! time, to [`EmbeddedControl`] as a [`Clock`].

mod audit;
mod blob_store;
mod blobs;
mod consistency;
mod control;
mod costs;
mod database;
mod fault;
mod folder;
mod functions;
mod gc;
mod keyvalue;
mod models;
mod nats;
mod quotas;
mod store;
mod trusted_keys;

pub use audit::AuditEntry;
pub use blob_store::{BlobContent, BlobStore, BlobStoreError, fetch_blob};
pub use blobs::{Blob, BlobError, BlobWriter, Blobs};
pub use consistency::Consistency;
pub use control::{
    CONTROL_VALUE_BYTES_MAX, Clock, ControlError, ControlKey, ControlStore, Durability, EmbeddedControl, Entry,
    Expected, Followed, Lease, LeaseError, Listing, ParseControlKeyError, Version, follow,
};
pub use fault::Fault;
pub use folder::OpenError;
pub use functions::{CommitError, Committed, FunctionRecord, NewRevision, RevisionRecord};
pub use gc::{GcPolicy, GcReport};
pub use keyvalue::{
    BATCH_BYTES_MAX, BATCH_KEYS_MAX, Bucket, KEY_BYTES_MAX, KeyPage, KeyValue, KeyValueError, PAGE_KEYS_MAX,
    VALUE_BYTES_MAX,
};
pub use models::{ModelError, ModelRecord};
pub use nats::{NatsBlobs, NatsConfig, NatsConfigError, NatsControl};
pub use store::Store;
pub use trusted_keys::TrustedKeyError;
