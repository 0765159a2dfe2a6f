//! What all nodes of a cluster have to agree on: small entries under keys, changed by compare-and-set, watched by all.
//!
//! | file | what |
//! | --- | --- |
//! | `embedded` | in the node's own database, for a node that is alone |
//! | `follow` | a watch that survives the store |
//! | `key`, `entry`, `lease`, `durability`, `error` | the nouns |
//!
//! The store over NATS is in [`crate::nats`]; one suite, `tests/conformance`, holds for both.

mod durability;
mod embedded;
mod entry;
mod error;
mod follow;
mod key;
mod lease;

use std::time::Duration;

use bytes::Bytes;
use futures::future::BoxFuture;
use futures::stream::BoxStream;

pub use self::durability::Durability;
pub use self::embedded::{Clock, EmbeddedControl};
pub use self::entry::{Entry, Expected, Listing, Version};
pub use self::error::{ControlError, LeaseError};
pub use self::follow::{Followed, follow};
pub use self::key::{ControlKey, ParseControlKeyError};
pub use self::lease::Lease;
pub(crate) use self::lease::{LeaseState, whole_seconds};

/// The largest value in bytes. It has to fit into a message of NATS (1 MiB unless the server says otherwise) in base64.
pub const CONTROL_VALUE_BYTES_MAX: usize = 512 * 1024;

/// How long a store remembers that a key was deleted. Whoever was away for longer learns of it from a listing.
pub(crate) const TOMBSTONE_TTL: Duration = Duration::from_secs(24 * 3600);

/// A small, consistent store that the nodes of a cluster share.
///
/// All methods answer within a bounded time, whatever has become of the store. Dropping a future that writes leaves open
/// whether it wrote.
pub trait ControlStore: Send + Sync {
    /// The value under `key`, if there is one.
    ///
    /// # Errors
    /// The store cannot be reached, or failed.
    fn get<'a>(&'a self, key: &'a ControlKey) -> BoxFuture<'a, Result<Option<Entry>, ControlError>>;

    /// All values below `prefix` (not the one at `prefix` itself).
    ///
    /// # Errors
    /// The store cannot be reached, or failed.
    fn list<'a>(&'a self, prefix: &'a ControlKey) -> BoxFuture<'a, Result<Listing, ControlError>>;

    /// Stores `value` under `key` if what is there is what is `expected`; returns the version of the change.
    ///
    /// # Errors
    /// Somebody else was faster, the value is too large, or the store is full, cannot be reached, or failed.
    fn compare_and_set<'a>(
        &'a self,
        key: &'a ControlKey,
        value: Bytes,
        expected: Expected,
    ) -> BoxFuture<'a, Result<Version, ControlError>>;

    /// Removes `key` if its last change is the `expected` one.
    ///
    /// # Errors
    /// Somebody else was faster, or the store is full, cannot be reached, or failed.
    fn delete<'a>(&'a self, key: &'a ControlKey, expected: Version) -> BoxFuture<'a, Result<(), ControlError>>;

    /// Every change below `prefix` after `after`, in order, once; of the changes of one key before the stream is polled,
    /// at least the latest. It goes on until it is dropped or fails; after an error it ends.
    ///
    /// Deletions are forgotten after a day: whoever was away for longer lists first. [`follow`] does.
    fn watch(&self, prefix: &ControlKey, after: Version) -> BoxStream<'static, Result<Entry, ControlError>>;

    /// Takes `key` for `ttl` (rounded up to whole seconds), under the name `holder`, which has to be one that nobody else
    /// uses, not even an earlier run of the same node. Until it is released or expires, `key` has `holder` as its value.
    ///
    /// # Errors
    /// Somebody has it (if only under the same name), or the store is full, cannot be reached, or failed.
    fn acquire<'a>(
        &'a self,
        key: &'a ControlKey,
        holder: Bytes,
        ttl: Duration,
    ) -> BoxFuture<'a, Result<Lease, LeaseError>>;

    /// Lets a lease last for its time to live from now. Whoever watches sees it as a change.
    ///
    /// # Errors
    /// It was lost, or the store is full, cannot be reached, or failed; then it still lasts from its last renewal.
    fn renew<'a>(&'a self, lease: &'a Lease) -> BoxFuture<'a, Result<(), LeaseError>>;

    /// Gives a lease back. Giving back one that was lost does nothing.
    ///
    /// # Errors
    /// The store is full, cannot be reached, or failed; then it expires by itself.
    fn release(&self, lease: Lease) -> BoxFuture<'_, Result<(), ControlError>>;

    /// Whether acknowledged writes last.
    fn durability(&self) -> BoxFuture<'_, Durability>;
}

/// Refuses what no store takes.
pub(crate) fn check_value(key: &ControlKey, value: &[u8]) -> Result<(), ControlError> {
    match value.len() {
        0..=CONTROL_VALUE_BYTES_MAX => Ok(()),
        bytes => Err(ControlError::TooLarge { key: key.clone(), bytes, most: CONTROL_VALUE_BYTES_MAX }),
    }
}
