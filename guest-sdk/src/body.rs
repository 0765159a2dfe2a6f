//! Bodies of requests and responses, whole or chunk by chunk.

use std::fmt;

use bytes::{Bytes, BytesMut};
use http::StatusCode;
use serde::de::DeserializeOwned;

use crate::error::{Error, Result};
use crate::stream::{BodyWriter, Producer};

/// The body of a [`Request`](crate::Request) or a [`Response`](crate::Response).
///
/// Nothing is read ahead: a request's body stays in the host until the handler asks for it, and a handler that returns
/// the body of its request as the body of its response never sees the bytes.
pub struct Body(pub(crate) Source);

pub(crate) enum Source {
    /// All of it, or what is left of it.
    Whole(Bytes),
    /// Written by the handler while the caller reads.
    Produced(Producer),
    /// A request's, read from the host.
    #[cfg(target_family = "wasm")]
    Incoming(crate::wasi::Incoming),
}

impl Body {
    /// A body of no bytes.
    pub const fn empty() -> Self {
        Self(Source::Whole(Bytes::new()))
    }

    /// A body that `produce` writes while the caller reads it. Memory stays flat whatever the length: a
    /// [`write`](BodyWriter::write) waits until the chunk before it has left.
    ///
    /// An error from `produce` breaks the answer off, so that the caller does not take it for complete. When the caller
    /// hangs up, `produce` is dropped where it waits.
    ///
    /// ```
    /// use spillway_sdk::Body;
    ///
    /// let body = Body::stream(async |mut out| {
    ///     for n in 0..3 {
    ///         out.write(format!("line {n}\n")).await;
    ///     }
    ///     Ok(())
    /// });
    /// # let text = spillway_sdk::testing::block_on(body.text()).unwrap();
    /// # assert_eq!(text, "line 0\nline 1\nline 2\n");
    /// ```
    pub fn stream<P>(produce: P) -> Self
    where
        P: AsyncFnOnce(BodyWriter) -> Result<()> + 'static,
    {
        Self(Source::Produced(Producer::new(produce)))
    }

    /// The next chunk, never empty, or `None` at the end.
    ///
    /// # Errors
    /// The body is longer than the function's limit (413), or broke off (400), or its producer failed.
    ///
    /// # Cancel safety
    /// Dropping the future may lose a chunk.
    pub async fn next(&mut self) -> Result<Option<Bytes>> {
        match &mut self.0 {
            Source::Whole(bytes) if bytes.is_empty() => Ok(None),
            Source::Whole(bytes) => Ok(Some(std::mem::take(bytes))),
            Source::Produced(producer) => producer.next().await,
            #[cfg(target_family = "wasm")]
            Source::Incoming(incoming) => incoming.next().await,
        }
    }

    /// All bytes. The function's own `[limits] body` bounds them; [`bytes_up_to`](Self::bytes_up_to) bounds them further.
    ///
    /// # Errors
    /// As [`next`](Self::next).
    pub async fn bytes(self) -> Result<Bytes> {
        self.bytes_up_to(usize::MAX).await
    }

    /// All bytes, if there are at most `limit` of them.
    ///
    /// # Errors
    /// As [`next`](Self::next), and 413 when there are more.
    pub async fn bytes_up_to(mut self, limit: usize) -> Result<Bytes> {
        let Some(first) = self.next().await? else { return Ok(Bytes::new()) };
        let within =
            |length: usize| if length > limit { Err(too_large(format_args!("{limit} bytes"))) } else { Ok(()) };
        within(first.len())?;
        let Some(second) = self.next().await? else { return Ok(first) };
        let mut bytes = BytesMut::from(first);
        let mut next = Some(second);
        while let Some(chunk) = next {
            within(bytes.len() + chunk.len())?;
            bytes.extend_from_slice(&chunk);
            next = self.next().await?;
        }
        Ok(bytes.freeze())
    }

    /// All of it as text.
    ///
    /// # Errors
    /// As [`next`](Self::next), and 400 when it is not UTF-8.
    pub async fn text(self) -> Result<String> {
        String::from_utf8(self.bytes().await?.into()).map_err(|error| {
            Error::bad_request(format!("the body is not UTF-8 from byte {}", error.utf8_error().valid_up_to()))
        })
    }

    /// All of it as JSON.
    ///
    /// # Errors
    /// As [`next`](Self::next), and 400 that names line, column and field when it is not the JSON of a `T`.
    pub async fn json<T: DeserializeOwned>(self) -> Result<T> {
        let bytes = self.bytes().await?;
        let mut deserializer = serde_json::Deserializer::from_slice(&bytes);
        let value = serde_path_to_error::deserialize(&mut deserializer).map_err(Error::json)?;
        deserializer
            .end()
            .map_err(|error| Error::bad_request(format!("the body is more than one JSON value: {error}")))?;
        Ok(value)
    }
}

/// 413, from the handler's own limit or the host's.
pub(crate) fn too_large(limit: impl fmt::Display) -> Error {
    Error::status(StatusCode::PAYLOAD_TOO_LARGE, format!("the body is longer than {limit}"))
        .with_type("urn:spillway:problem:body-too-large")
}

impl Default for Body {
    fn default() -> Self {
        Self::empty()
    }
}

impl fmt::Debug for Body {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.0 {
            Source::Whole(bytes) => write!(f, "Body({} bytes)", bytes.len()),
            _ => write!(f, "Body(streaming)"),
        }
    }
}

impl From<Bytes> for Body {
    fn from(bytes: Bytes) -> Self {
        Self(Source::Whole(bytes))
    }
}

impl From<Vec<u8>> for Body {
    fn from(bytes: Vec<u8>) -> Self {
        Bytes::from(bytes).into()
    }
}

impl From<&'static [u8]> for Body {
    fn from(bytes: &'static [u8]) -> Self {
        Bytes::from_static(bytes).into()
    }
}

impl From<String> for Body {
    fn from(text: String) -> Self {
        Bytes::from(text).into()
    }
}

impl From<&'static str> for Body {
    fn from(text: &'static str) -> Self {
        Bytes::from_static(text.as_bytes()).into()
    }
}

impl From<()> for Body {
    fn from((): ()) -> Self {
        Self::empty()
    }
}
