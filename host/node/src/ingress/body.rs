//! Bodies on their way in and out.

use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering::Relaxed};
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
    body: Option<Source>,
    left: u64,
    passage: Arc<Passage>,
}

/// What became of a request body, for whoever gave it away.
#[derive(Default)]
pub(super) struct Passage {
    exceeded: AtomicBool,
    bytes: AtomicU64,
}

impl Passage {
    /// Whether it was longer than its limit.
    pub(super) fn is_exceeded(&self) -> bool {
        self.exceeded.load(Relaxed)
    }

    /// How much of it has been read.
    pub(super) fn bytes(&self) -> u64 {
        self.bytes.load(Relaxed)
    }
}

enum Source {
    /// The caller's connection.
    Caller(Incoming),
    /// What was meant for another node, and did not go there.
    Unsent(Body),
}

/// How long and how much a caller may go on sending what nobody reads, before its connection is closed.
const DRAIN_MAX: Duration = Duration::from_secs(2);
const DRAIN_BYTES_MAX: u64 = 16 << 20;

impl Limited {
    /// Without a limit until one is set: who answers decides it.
    pub(super) fn new(body: Incoming) -> Self {
        Self { body: Some(Source::Caller(body)), left: u64::MAX, passage: Arc::default() }
    }

    /// One that did not go out.
    pub(super) fn unsent(body: Body) -> Self {
        Self { body: Some(Source::Unsent(body)), left: u64::MAX, passage: Arc::default() }
    }

    /// Sets the limit in bytes, and gives what tells whether it was exceeded.
    pub(super) fn set_limit(&mut self, limit: u64) -> Arc<Passage> {
        self.left = limit;
        self.passage.clone()
    }
}

impl HttpBody for Limited {
    type Data = Bytes;
    type Error = BodyError;

    fn poll_frame(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, BodyError>>> {
        let Some(body) = &mut self.body else { return Poll::Ready(None) };
        let frame = match body {
            Source::Caller(body) => ready!(Pin::new(body).poll_frame(cx)).map(|frame| frame.map_err(BodyError::from)),
            Source::Unsent(body) => ready!(Pin::new(body).poll_frame(cx)),
        };
        // What did not go out had its limit before.
        if let Some(Err(BodyError::HttpRequestBodySize(_))) = &frame {
            self.passage.exceeded.store(true, Relaxed);
        }
        let Some(frame) = frame else {
            self.body = None;
            return Poll::Ready(None);
        };
        let frame = frame?;
        if let Some(data) = frame.data_ref() {
            let bytes = data.len() as u64;
            self.passage.bytes.fetch_add(bytes, Relaxed);
            match self.left.checked_sub(bytes) {
                Some(left) => self.left = left,
                None => {
                    self.passage.exceeded.store(true, Relaxed);
                    return Poll::Ready(Some(Err(BodyError::HttpRequestBodySize(None))));
                }
            }
        }
        Poll::Ready(Some(Ok(frame)))
    }

    fn is_end_stream(&self) -> bool {
        self.body.as_ref().is_none_or(|body| match body {
            Source::Caller(body) => body.is_end_stream(),
            Source::Unsent(body) => body.is_end_stream(),
        })
    }

    fn size_hint(&self) -> SizeHint {
        match &self.body {
            Some(Source::Caller(body)) => body.size_hint(),
            Some(Source::Unsent(body)) => body.size_hint(),
            None => SizeHint::with_exact(0),
        }
    }
}

impl Drop for Limited {
    fn drop(&mut self) {
        // A connection closed with unread bytes is reset, and the reset overtakes the answer on its way to the caller.
        if let Some(Source::Caller(mut body)) = self.body.take()
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
pub(super) struct Reported<F: FnOnce(BodyEnd, u64)> {
    body: Body,
    /// What has gone through.
    bytes: u64,
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

impl<F: FnOnce(BodyEnd, u64)> Reported<F> {
    /// `length` is the response's `content-length`, if it has one. `report` hears how it ended and how many bytes went
    /// through.
    pub(super) fn new(body: Body, length: Option<u64>, report: F) -> Self {
        let left = length.or_else(|| body.size_hint().exact());
        Self { body, bytes: 0, left, report: Some(report) }
    }

    fn report(&mut self, end: BodyEnd) {
        if let Some(report) = self.report.take() {
            report(end, self.bytes);
        }
    }

    fn is_through(&self) -> bool {
        self.left == Some(0) || self.body.is_end_stream()
    }
}

impl<F: FnOnce(BodyEnd, u64) + Unpin> HttpBody for Reported<F> {
    type Data = Bytes;
    type Error = BodyError;

    fn poll_frame(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, BodyError>>> {
        let frame = ready!(Pin::new(&mut self.body).poll_frame(cx));
        match &frame {
            None => self.report(BodyEnd::Complete),
            Some(Err(_)) => self.report(BodyEnd::Broken),
            Some(Ok(frame)) => {
                let bytes = frame.data_ref().map_or(0, Bytes::len) as u64;
                self.bytes += bytes;
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

impl<F: FnOnce(BodyEnd, u64)> Drop for Reported<F> {
    fn drop(&mut self) {
        let end = if self.is_through() { BodyEnd::Complete } else { BodyEnd::Dropped };
        self.report(end);
    }
}
