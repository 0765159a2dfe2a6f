//! Whether a caller with HTTP/2 takes what it has asked for, and asks for anything.
//!
//! On a connection of HTTP/1.1 the socket itself tells: what is not taken cannot be written. With HTTP/2 each stream has a
//! window of its own that its caller may leave shut while it answers every ping, so that nothing moves and nothing waits for
//! the socket. What is looked at here once in a while is bodies that nobody asks for more of, bytes that have been handed over
//! and not written, and connections without a stream.

use std::pin::Pin;
use std::sync::atomic::{AtomicBool, AtomicU64, AtomicUsize, Ordering::Relaxed};
use std::sync::{Arc, Mutex, PoisonError, Weak};
use std::task::{Context, Poll};
use std::time::{Duration, Instant};

use bytes::Bytes;
use http_body::{Body as HttpBody, Frame, SizeHint};
use http_body_util::BodyExt as _;
use spillway_runtime::{Body, BodyError};
use tokio::time::Sleep;

/// Looks within the time that a caller may stand still.
const LOOKS: u32 = 4;
/// Bytes written between two looks that are more than answers to pings.
const MOVED: u64 = 256;

/// What moves on one connection.
#[derive(Clone)]
pub(super) struct Standing(Arc<Shared>);

struct Shared {
    start: Instant,
    is_http2: AtomicBool,
    /// Requests that are not answered to the end.
    streams: AtomicUsize,
    /// Bytes of bodies that the server has, and bytes that it has written.
    handed: AtomicU64,
    written: AtomicU64,
    bodies: Mutex<Vec<Weak<AtomicU64>>>,
}

/// In place of a time: the body's guest is waited for.
const ASKED: u64 = u64::MAX;

impl Default for Standing {
    fn default() -> Self {
        Self(Arc::new(Shared {
            start: Instant::now(),
            is_http2: AtomicBool::new(false),
            streams: AtomicUsize::new(0),
            handed: AtomicU64::new(0),
            written: AtomicU64::new(0),
            bodies: Mutex::default(),
        }))
    }
}

impl Standing {
    /// The caller speaks HTTP/2.
    pub(super) fn note_http2(&self) {
        self.0.is_http2.store(true, Relaxed);
    }

    pub(super) fn is_http2(&self) -> bool {
        self.0.is_http2.load(Relaxed)
    }

    /// So many bytes have gone out.
    pub(super) fn note_written(&self, bytes: usize) {
        self.0.written.fetch_add(bytes as u64, Relaxed);
    }

    /// A request has come: a stream is open until what is returned, or the body that it follows, is dropped.
    pub(super) fn open(&self) -> Stream {
        self.0.streams.fetch_add(1, Relaxed);
        Stream(self.clone())
    }

    fn now(&self) -> u64 {
        u64::try_from(self.0.start.elapsed().as_millis()).unwrap_or(u64::MAX - 1)
    }

    /// Whether a body has not been asked for more since so long.
    fn has_body_left(&self, patience: Duration) -> bool {
        let now = self.now();
        let mut bodies = self.0.bodies.lock().unwrap_or_else(PoisonError::into_inner);
        bodies.retain(|body| body.strong_count() > 0);
        let since = |body: &Weak<AtomicU64>| body.upgrade().map_or(ASKED, |since| since.load(Relaxed));
        bodies
            .iter()
            .map(since)
            .any(|since| Duration::from_millis(now.saturating_sub(since)) >= patience && since != ASKED)
    }
}

/// An open stream.
pub(super) struct Stream(Standing);

impl Stream {
    /// The body of its answer.
    pub(super) fn follow(self, body: Body) -> Body {
        let since = Arc::new(AtomicU64::new(self.0.now()));
        let mut bodies = self.0.0.bodies.lock().unwrap_or_else(PoisonError::into_inner);
        // Those that are gone are swept now and then, so that as many are kept as twice those that are there.
        if bodies.len() == bodies.capacity() {
            bodies.retain(|body| body.strong_count() > 0);
        }
        bodies.push(Arc::downgrade(&since));
        drop(bodies);
        Followed { body, since, stream: self }.boxed_unsync()
    }
}

impl Drop for Stream {
    fn drop(&mut self) {
        self.0.0.streams.fetch_sub(1, Relaxed);
    }
}

struct Followed {
    body: Body,
    /// When its last piece was taken, in milliseconds.
    since: Arc<AtomicU64>,
    stream: Stream,
}

impl HttpBody for Followed {
    type Data = Bytes;
    type Error = BodyError;

    fn poll_frame(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, BodyError>>> {
        let polled = Pin::new(&mut self.body).poll_frame(cx);
        let standing = &self.stream.0;
        match &polled {
            Poll::Pending => self.since.store(ASKED, Relaxed),
            Poll::Ready(frame) => {
                self.since.store(standing.now(), Relaxed);
                let data = frame.as_ref().and_then(|frame| frame.as_ref().ok()).and_then(|frame| frame.data_ref());
                standing.0.handed.fetch_add(data.map_or(0, |data| data.len() as u64), Relaxed);
            }
        }
        polled
    }

    fn is_end_stream(&self) -> bool {
        self.body.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        self.body.size_hint()
    }
}

/// What a look has found.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Found {
    /// Nothing has been asked for so long.
    Idle,
    /// Something has not been taken for so long.
    Stuck,
}

/// Looks at a connection now and then.
pub(super) struct Looks {
    standing: Standing,
    patience: Duration,
    /// Once it is known to be HTTP/2.
    next: Option<Pin<Box<Sleep>>>,
    /// At the last look.
    written: u64,
    queued_since: Option<Instant>,
    idle_since: Option<Instant>,
    /// It has been found idle, and is being closed.
    is_told: bool,
}

impl Looks {
    /// A caller may stand still for so long.
    pub(super) fn new(standing: Standing, patience: Duration) -> Self {
        Self { standing, patience, next: None, written: 0, queued_since: None, idle_since: None, is_told: false }
    }

    /// Ready when the connection is to be closed. Costs nothing with HTTP/1.1.
    pub(super) fn poll(&mut self, cx: &mut Context<'_>) -> Poll<Found> {
        if !self.standing.is_http2() {
            return Poll::Pending;
        }
        let every = self.patience / LOOKS;
        loop {
            let next = self.next.get_or_insert_with(|| Box::pin(tokio::time::sleep(every)));
            if next.as_mut().poll(cx).is_pending() {
                return Poll::Pending;
            }
            next.as_mut().reset(tokio::time::Instant::now() + every);
            if let Some(found) = self.look() {
                return Poll::Ready(found);
            }
        }
    }

    fn look(&mut self) -> Option<Found> {
        let now = Instant::now();
        let shared = &self.standing.0;
        let (streams, written) = (shared.streams.load(Relaxed), shared.written.load(Relaxed));
        let moved = written - std::mem::replace(&mut self.written, written) >= MOVED;
        let is_queued = shared.handed.load(Relaxed) > written;
        let long = |since: &mut Option<Instant>, still: bool| match still {
            true => now - *since.get_or_insert(now) >= self.patience,
            false => {
                *since = None;
                false
            }
        };
        if long(&mut self.queued_since, is_queued && !moved) || self.standing.has_body_left(self.patience) {
            return Some(Found::Stuck);
        }
        if !long(&mut self.idle_since, streams == 0 && !is_queued && !moved) {
            return None;
        }
        // Once more as long: what is left is the end of an answer, too little to be told from what frames add to it.
        self.idle_since = None;
        Some(if std::mem::replace(&mut self.is_told, true) { Found::Stuck } else { Found::Idle })
    }
}
