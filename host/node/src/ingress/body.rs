//! Bodies on their way in and out.

use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering::Relaxed};
use std::task::{Context, Poll, ready};
use std::time::Duration;

use bytes::Bytes;
use http_body::{Body as HttpBody, Frame, SizeHint};
use http_body_util::BodyExt;
use hyper::body::Incoming;
use spillway_runtime::{Body, BodyError};

/// A request body with a limit. Past it the guest reads an error, and the flag tells the caller's answer.
pub(super) struct Limited {
    /// Taken when it is at its end.
    body: Option<Incoming>,
    left: u64,
    exceeded: Arc<AtomicBool>,
}

/// How long and how much a caller may go on sending what nobody reads, before its connection is closed.
const DRAIN_MAX: Duration = Duration::from_secs(2);
const DRAIN_BYTES_MAX: u64 = 16 << 20;

impl Limited {
    /// Without a limit until one is set: who answers decides it.
    pub(super) fn new(body: Incoming) -> Self {
        Self { body: Some(body), left: u64::MAX, exceeded: Arc::default() }
    }

    /// Sets the limit in bytes, and gives the flag that tells whether it was exceeded.
    pub(super) fn set_limit(&mut self, limit: u64) -> Arc<AtomicBool> {
        self.left = limit;
        self.exceeded.clone()
    }
}

impl HttpBody for Limited {
    type Data = Bytes;
    type Error = BodyError;

    fn poll_frame(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, BodyError>>> {
        let Some(body) = &mut self.body else { return Poll::Ready(None) };
        let Some(frame) = ready!(Pin::new(body).poll_frame(cx)) else {
            self.body = None;
            return Poll::Ready(None);
        };
        let frame = frame?;
        if let Some(data) = frame.data_ref() {
            match self.left.checked_sub(data.len() as u64) {
                Some(left) => self.left = left,
                None => {
                    self.exceeded.store(true, Relaxed);
                    return Poll::Ready(Some(Err(BodyError::HttpRequestBodySize(None))));
                }
            }
        }
        Poll::Ready(Some(Ok(frame)))
    }

    fn is_end_stream(&self) -> bool {
        self.body.as_ref().is_none_or(Incoming::is_end_stream)
    }

    fn size_hint(&self) -> SizeHint {
        self.body.as_ref().map_or_else(|| SizeHint::with_exact(0), Incoming::size_hint)
    }
}

impl Drop for Limited {
    fn drop(&mut self) {
        // A connection closed with unread bytes is reset, and the reset overtakes the answer on its way to the caller.
        if let Some(mut body) = self.body.take()
            && !body.is_end_stream()
            && let Ok(runtime) = tokio::runtime::Handle::try_current()
        {
            let mut left = DRAIN_BYTES_MAX;
            runtime.spawn(tokio::time::timeout(DRAIN_MAX, async move {
                while let Some(Ok(frame)) = body.frame().await {
                    match left.checked_sub(frame.data_ref().map_or(0, Bytes::len) as u64) {
                        Some(less) => left = less,
                        None => return,
                    }
                }
            }));
        }
    }
}

/// A response body that reports its end: complete, broken off by the function, or dropped by the caller.
pub(super) struct Reported<F: FnOnce(BodyEnd)> {
    body: Body,
    /// What is still to come, where the length was announced: the server stops asking once it is through.
    left: Option<u64>,
    report: Option<F>,
}

/// How a response body ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum BodyEnd {
    /// The caller has all of it.
    Complete,
    /// The function broke off.
    Broken,
    /// The caller hung up.
    Dropped,
}

impl<F: FnOnce(BodyEnd)> Reported<F> {
    /// `length` is the response's `content-length`, if it has one.
    pub(super) fn new(body: Body, length: Option<u64>, report: F) -> Self {
        let left = length.or_else(|| body.size_hint().exact());
        Self { body, left, report: Some(report) }
    }

    fn report(&mut self, end: BodyEnd) {
        if let Some(report) = self.report.take() {
            report(end);
        }
    }

    fn is_through(&self) -> bool {
        self.left == Some(0) || self.body.is_end_stream()
    }
}

impl<F: FnOnce(BodyEnd) + Unpin> HttpBody for Reported<F> {
    type Data = Bytes;
    type Error = BodyError;

    fn poll_frame(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, BodyError>>> {
        let frame = ready!(Pin::new(&mut self.body).poll_frame(cx));
        match &frame {
            None => self.report(BodyEnd::Complete),
            Some(Err(_)) => self.report(BodyEnd::Broken),
            Some(Ok(frame)) => {
                let bytes = frame.data_ref().map_or(0, Bytes::len) as u64;
                self.left = self.left.map(|left| left.saturating_sub(bytes));
            }
        }
        Poll::Ready(frame)
    }

    fn is_end_stream(&self) -> bool {
        self.body.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        self.body.size_hint()
    }
}

impl<F: FnOnce(BodyEnd)> Drop for Reported<F> {
    fn drop(&mut self) {
        let end = if self.is_through() { BodyEnd::Complete } else { BodyEnd::Dropped };
        self.report(end);
    }
}
