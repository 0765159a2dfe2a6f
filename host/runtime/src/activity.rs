//! When a sandbox last moved bytes, so that a response may take its time but not stall.

use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};
use std::task::{Context, Poll, ready};
use std::time::{Duration, Instant};

use bytes::Bytes;
use http_body::{Body as HttpBody, Frame, SizeHint};
use tokio::time::Sleep;

use crate::{Body, BodyError};

/// The moment of the last body frame, in or out, of any invocation of a sandbox.
#[derive(Clone)]
pub(crate) struct Activity(Arc<ActivityState>);

struct ActivityState {
    start: Instant,
    /// Milliseconds after `start`.
    last: AtomicU64,
}

impl Activity {
    pub(crate) fn new() -> Self {
        Self(Arc::new(ActivityState { start: Instant::now(), last: AtomicU64::new(0) }))
    }

    pub(crate) fn touch(&self) {
        self.0.last.store(u64::try_from(self.0.start.elapsed().as_millis()).unwrap_or(u64::MAX), Relaxed);
    }

    pub(crate) fn last(&self) -> Instant {
        self.0.start + Duration::from_millis(self.0.last.load(Relaxed))
    }

    /// Waits until nothing has moved for `patience`.
    pub(crate) async fn stalled(&self, patience: Duration) {
        loop {
            let until = self.last() + patience;
            if until <= Instant::now() {
                return;
            }
            tokio::time::sleep_until(until.into()).await;
        }
    }

    /// A body that notes each frame, breaks off where nothing comes for `patience`, if there is a limit, while it is waited for, and
    /// keeps `keep` until it is dropped.
    pub(crate) fn watch<K: Keep>(&self, body: Body, keep: K, patience: Option<Duration>) -> Body {
        http_body_util::BodyExt::boxed_unsync(Watched { body, activity: self.clone(), keep, patience, late: None })
    }
}

/// What a body holds on to.
pub(crate) trait Keep: Send + Unpin + 'static {
    /// Asked at the end of the body: whether it ended because its sandbox did, and not because the guest was done.
    fn broke_off(&self) -> bool {
        false
    }
}

/// Nothing.
impl Keep for () {}

struct Watched<K> {
    body: Body,
    activity: Activity,
    keep: K,
    patience: Option<Duration>,
    /// Set while it is waited for.
    late: Option<Pin<Box<Sleep>>>,
}

impl<K: Keep> HttpBody for Watched<K> {
    type Data = Bytes;
    type Error = BodyError;

    fn poll_frame(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, BodyError>>> {
        let Poll::Ready(frame) = Pin::new(&mut self.body).poll_frame(cx) else {
            let Some(patience) = self.patience else { return Poll::Pending };
            let late = self.late.get_or_insert_with(|| Box::pin(tokio::time::sleep(patience)));
            ready!(late.as_mut().poll(cx));
            return Poll::Ready(Some(Err(BodyError::HttpResponseIncomplete)));
        };
        self.late = None;
        if frame.is_some() {
            self.activity.touch();
        } else if self.keep.broke_off() {
            // Without this the caller would take the half that it has for the whole.
            return Poll::Ready(Some(Err(BodyError::HttpResponseIncomplete)));
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
