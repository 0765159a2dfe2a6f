//! What the runtime needs from the node, declared here and implemented above.

use std::sync::Arc;

use spillway_types::Namespace;

use crate::InvocationId;

/// Key-value storage behind `wasi:keyvalue`. Calls may block; the runtime makes them off the async threads.
pub trait KeyValue: Send + Sync + 'static {
    /// The value under `key`, if there is one.
    ///
    /// # Errors
    /// What the store failed with, for all of these.
    fn get(&self, namespace: &Namespace, bucket: &str, key: &str) -> Result<Option<Vec<u8>>, KeyValueError>;
    /// Stores `value` under `key`.
    ///
    /// # Errors
    /// As [`KeyValue::get`], and for keys or values that are too long.
    fn set(&self, namespace: &Namespace, bucket: &str, key: &str, value: &[u8]) -> Result<(), KeyValueError>;
    /// Removes `key`; removing what is not there succeeds.
    ///
    /// # Errors
    /// As [`KeyValue::get`].
    fn delete(&self, namespace: &Namespace, bucket: &str, key: &str) -> Result<(), KeyValueError>;
    /// Whether `key` is there.
    ///
    /// # Errors
    /// As [`KeyValue::get`].
    fn exists(&self, namespace: &Namespace, bucket: &str, key: &str) -> Result<bool, KeyValueError>;
    /// A page of keys in the order they were first set, from `cursor` on, and the cursor of the next page.
    ///
    /// # Errors
    /// As [`KeyValue::get`].
    fn list_keys(
        &self,
        namespace: &Namespace,
        bucket: &str,
        cursor: Option<u64>,
    ) -> Result<(Vec<String>, Option<u64>), KeyValueError>;
    /// Adds `delta` to the decimal number under `key` in one step and returns the sum.
    ///
    /// # Errors
    /// As [`KeyValue::get`], and if the value is no number or the sum does not fit.
    fn increment(&self, namespace: &Namespace, bucket: &str, key: &str, delta: u64) -> Result<u64, KeyValueError>;
}

/// Why a key-value call failed, in words that the guest may see.
#[derive(Debug, Clone, thiserror::Error)]
#[error("{0}")]
pub struct KeyValueError(pub String);

/// Where the log records of one function go. Must not block.
pub trait LogSink: Send + Sync + 'static {
    /// Takes one record.
    fn record(&self, record: GuestRecord<'_>);
}

/// A record that a guest wrote.
#[derive(Debug)]
pub struct GuestRecord<'a> {
    /// `trace` to `critical`, or `stdout` and `stderr` for plain output.
    pub level: &'static str,
    /// The invocation, where it is known: a line of plain output in a shared sandbox may be anyone's.
    pub invocation: Option<&'a InvocationId>,
    /// The text, without its line end.
    pub message: &'a str,
}

impl<T: LogSink + ?Sized> LogSink for Arc<T> {
    fn record(&self, record: GuestRecord<'_>) {
        (**self).record(record);
    }
}

/// Counts the requests that one function sends. Must not block.
pub trait OutboundSink: Send + Sync + 'static {
    /// One has come to its end, or to the head of its answer.
    fn count(&self, end: OutboundEnd);
}

/// What an outbound request came to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum OutboundEnd {
    /// An answer, whatever its status.
    Answered,
    /// Not sent: the manifest or the operator does not allow it.
    Refused,
    /// No answer: it could not be sent, took too long, or was given up.
    Failed,
}

impl OutboundEnd {
    /// All of them.
    pub const ALL: [Self; 3] = [Self::Answered, Self::Refused, Self::Failed];

    /// The word in metrics.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Answered => "answered",
            Self::Refused => "refused",
            Self::Failed => "failed",
        }
    }
}
