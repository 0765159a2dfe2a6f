//! Bodies on their way in and out.

use std::io;
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicU8, AtomicU64, Ordering::Relaxed};
use std::task::{Context, Poll, ready};
use std::time::Duration;

use bytes::Bytes;
use http_body::{Body as HttpBody, Frame, SizeHint};
use http_body_util::BodyExt;
use hyper::body::Incoming;
use spillway_runtime::{Body, BodyError};
use spillway_types::{FunctionId, Problem, ProblemType, format_bytes};
use tokio::time::{Instant, Sleep, sleep_until};

/// A request body with a limit, from a caller that may be slow, but not stand still. Where either is exceeded the guest
/// reads an error, and the passage tells the caller's answer.
pub(super) struct Limited {
    /// Taken when it is at its end.
    body: Option<Source>,
    left: u64,
    /// How long nothing may come.
    patience: Duration,
    /// Until when something must have come, once it was waited for.
    stalled: Option<Pin<Box<Sleep>>>,
    passage: Arc<Passage>,
}

/// What became of a request body, for whoever gave it away.
#[derive(Default)]
pub(super) struct Passage {
    trouble: AtomicU8,
    bytes: AtomicU64,
}

/// What was wrong with a request body.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Trouble {
    /// It was longer than its limit.
    TooLong = 1,
    /// It was no body.
    Malformed,
    /// Nothing came for too long.
    Stalled,
}

impl Trouble {
    /// What the caller is told, whose body was for the function.
    pub(super) fn problem(self, function: &FunctionId, limit_bytes: u64) -> Problem {
        match self {
            Self::TooLong => {
                let limit = format_bytes(limit_bytes);
                let detail = format!("the body is larger than the {limit} that {function} takes");
                Problem::new(ProblemType::BodyTooLarge, detail)
            }
            Self::Malformed => {
                Problem::new(ProblemType::BadRequest, "the body is not what its head announced; send it again")
            }
            Self::Stalled => Problem::new(ProblemType::BodyStalled, "the rest of the body did not come; send it again"),
        }
    }
}

impl Passage {
    /// What was wrong with it, as far as it was read.
    pub(super) fn trouble(&self) -> Option<Trouble> {
        [Trouble::TooLong, Trouble::Malformed, Trouble::Stalled]
            .into_iter()
            .find(|trouble| *trouble as u8 == self.trouble.load(Relaxed))
    }

    fn note(&self, trouble: Trouble) {
        self.trouble.store(trouble as u8, Relaxed);
    }

    /// How much of it has been read.
    pub(super) fn bytes(&self) -> u64 {
        self.bytes.load(Relaxed)
    }
}

enum Source {
    /// The caller's connection, and whether the caller sends only once it is asked to (RFC 9110, section 10.1.1).
    Caller(Incoming, Expects),
    /// What was meant for another node, and did not go there.
    Unsent(Body),
}

/// Whether a caller waits for `100 Continue`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Expects {
    Nothing,
    Continue,
}

impl Expects {
    pub(super) fn of(headers: &http::HeaderMap) -> Self {
        if headers.contains_key(http::header::EXPECT) { Self::Continue } else { Self::Nothing }
    }
}

/// How long and how much a caller may go on sending what nobody reads, before its connection is closed.
const DRAIN_MAX: Duration = Duration::from_secs(2);
const DRAIN_BYTES_MAX: u64 = 16 << 20;

impl Limited {
    /// Without a limit until one is set: who answers decides it.
    pub(super) fn new(body: Incoming, expects: Expects, patience: Duration) -> Self {
        Self::from_source(Source::Caller(body, expects), patience)
    }

    /// One that did not go out.
    pub(super) fn unsent(body: Body) -> Self {
        // It is here, or has a patience of its own.
        Self::from_source(Source::Unsent(body), Duration::MAX)
    }

    fn from_source(source: Source, patience: Duration) -> Self {
        Self { body: Some(source), left: u64::MAX, patience, stalled: None, passage: Arc::default() }
    }

    /// Sets the limit in bytes, and gives what tells whether it was exceeded.
    pub(super) fn set_limit(&mut self, limit: u64) -> Arc<Passage> {
        self.left = limit;
        self.passage.clone()
    }
}

/// Whether a body is none, rather than broken off by a caller that has hung up and reads no answer.
fn is_malformed(error: &hyper::Error) -> bool {
    let mut cause = std::error::Error::source(error);
    while let Some(error) = cause {
        if let Some(error) = error.downcast_ref::<io::Error>() {
            return matches!(error.kind(), io::ErrorKind::InvalidInput | io::ErrorKind::InvalidData);
        }
        cause = error.source();
    }
    false
}

impl HttpBody for Limited {
    type Data = Bytes;
    type Error = BodyError;

    fn poll_frame(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, BodyError>>> {
        let Self { body, patience, stalled, passage, .. } = &mut *self;
        let Some(source) = body else { return Poll::Ready(None) };
        let (frame, from_caller) = match source {
            Source::Caller(body, _) => {
                let frame = Pin::new(body).poll_frame(cx);
                if let Poll::Ready(Some(Err(error))) = &frame
                    && is_malformed(error)
                {
                    passage.note(Trouble::Malformed);
                }
                (frame.map_err(BodyError::from), true)
            }
            Source::Unsent(body) => (Pin::new(body).poll_frame(cx), false),
        };
        let frame = match frame {
            Poll::Ready(frame) => {
                *stalled = None;
                frame
            }
            Poll::Pending if !from_caller => return Poll::Pending,
            Poll::Pending => {
                let timer = stalled.get_or_insert_with(|| Box::pin(sleep_until(Instant::now() + *patience)));
                ready!(timer.as_mut().poll(cx));
                passage.note(Trouble::Stalled);
                *body = None;
                return Poll::Ready(Some(Err(BodyError::ConnectionReadTimeout)));
            }
        };
        // What did not go out had its limit before.
        if let Some(Err(BodyError::HttpRequestBodySize(_))) = &frame {
            passage.note(Trouble::TooLong);
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
                    self.passage.note(Trouble::TooLong);
                    return Poll::Ready(Some(Err(BodyError::HttpRequestBodySize(None))));
                }
            }
        }
        Poll::Ready(Some(Ok(frame)))
    }

    fn is_end_stream(&self) -> bool {
        self.body.as_ref().is_none_or(|body| match body {
            Source::Caller(body, _) => body.is_end_stream(),
            Source::Unsent(body) => body.is_end_stream(),
        })
    }

    fn size_hint(&self) -> SizeHint {
        match &self.body {
            Some(Source::Caller(body, _)) => body.size_hint(),
            Some(Source::Unsent(body)) => body.size_hint(),
            None => SizeHint::with_exact(0),
        }
    }
}

impl Drop for Limited {
    fn drop(&mut self) {
        // A connection closed with unread bytes is reset, and the reset overtakes the answer on its way to the caller.
        // A caller that was not asked to send has nothing under way, and asking would be a lie.
        if let Some(Source::Caller(mut body, expects)) = self.body.take()
            && !body.is_end_stream()
            && (expects == Expects::Nothing || self.passage.bytes() > 0)
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
pub(super) struct Reported<B: HttpBody, F: FnOnce(BodyEnd, u64)> {
    body: B,
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

impl<B: HttpBody, F: FnOnce(BodyEnd, u64)> Reported<B, F> {
    /// `length` is the response's `content-length`, if it has one. `report` hears how it ended and how many bytes went
    /// through.
    pub(super) fn new(body: B, length: Option<u64>, report: F) -> Self {
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

impl<B, F> HttpBody for Reported<B, F>
where
    B: HttpBody<Data = Bytes, Error = BodyError> + Unpin,
    F: FnOnce(BodyEnd, u64) + Unpin,
{
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

impl<B: HttpBody, F: FnOnce(BodyEnd, u64)> Drop for Reported<B, F> {
    fn drop(&mut self) {
        let end = if self.is_through() { BodyEnd::Complete } else { BodyEnd::Dropped };
        self.report(end);
    }
}
