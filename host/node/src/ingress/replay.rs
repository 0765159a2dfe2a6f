//! A request's body that can be read again from its beginning, as long as it is short.
//!
//! A call that lost its sandbox to another may run again, if its effects allow, and then needs its body again. What goes
//! through is kept by reference; nothing is copied.

use std::pin::Pin;
use std::sync::{Arc, Mutex, PoisonError};
use std::task::{Context, Poll, ready};

use bytes::Bytes;
use http_body::{Body as HttpBody, Frame, SizeHint};
use http_body_util::{BodyExt as _, Empty};
use spillway_runtime::{Body, BodyError};

use super::body::Limited;

/// What is kept of a body at most. A choice: most JSON, and most pictures that are asked about.
const KEPT_BYTES_MAX: usize = 256 << 10;

/// The body of a call that may run again.
pub(super) struct Replay {
    /// `None` where there is no body.
    source: Option<Arc<Mutex<Source>>>,
}

struct Source {
    body: Limited,
    /// What has gone through; `None` once that was too much.
    kept: Option<Vec<Bytes>>,
    kept_bytes: usize,
    /// Readers so far: only the last one may read.
    readers: usize,
}

impl Replay {
    pub(super) fn new(body: Limited) -> Self {
        let source = Source { body, kept: Some(Vec::new()), kept_bytes: 0, readers: 0 };
        let source = (!source.body.is_end_stream()).then(|| Arc::new(Mutex::new(source)));
        Self { source }
    }

    /// The body from its beginning, unless too much of it has gone through. Ends whoever has read it before.
    pub(super) fn read(&self) -> Option<Body> {
        let Some(shared) = &self.source else {
            return Some(Empty::new().map_err(|never| match never {}).boxed_unsync());
        };
        let mut source = shared.lock().unwrap_or_else(PoisonError::into_inner);
        source.kept.as_ref()?;
        source.readers += 1;
        let number = source.readers;
        Some(Reader { source: shared.clone(), number, next: 0 }.boxed_unsync())
    }
}

struct Reader {
    source: Arc<Mutex<Source>>,
    number: usize,
    /// The first kept piece that it has not had.
    next: usize,
}

impl HttpBody for Reader {
    type Data = Bytes;
    type Error = BodyError;

    fn poll_frame(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, BodyError>>> {
        let Self { source, number, next } = &mut *self;
        let mut source = source.lock().unwrap_or_else(PoisonError::into_inner);
        if source.readers != *number {
            return Poll::Ready(Some(Err(BodyError::HttpRequestBodySize(None))));
        }
        if let Some(piece) = source.kept.as_ref().and_then(|kept| kept.get(*next)) {
            *next += 1;
            return Poll::Ready(Some(Ok(Frame::data(piece.clone()))));
        }
        let frame = ready!(Pin::new(&mut source.body).poll_frame(cx));
        match frame.as_ref().map(|frame| frame.as_ref().map(Frame::data_ref)) {
            Some(Ok(Some(piece))) if source.kept_bytes + piece.len() <= KEPT_BYTES_MAX => {
                source.kept_bytes += piece.len();
                *next += 1;
                source.kept.as_mut().into_iter().for_each(|kept| kept.push(piece.clone()));
            }
            // Too much, or trailers, or broken: it cannot be read again.
            Some(_) => source.kept = None,
            None => {}
        }
        Poll::Ready(frame)
    }

    fn size_hint(&self) -> SizeHint {
        let source = self.source.lock().unwrap_or_else(PoisonError::into_inner);
        let had = |piece: &Bytes| piece.len() as u64;
        let again: u64 = source.kept.iter().flatten().skip(self.next).map(had).sum();
        let rest = source.body.size_hint();
        let mut hint = SizeHint::new();
        hint.set_lower(rest.lower() + again);
        if let Some(upper) = rest.upper() {
            hint.set_upper(upper + again);
        }
        hint
    }
}

#[cfg(test)]
mod tests {
    use std::collections::VecDeque;

    use http_body_util::StreamBody;

    use super::*;

    fn body(pieces: &[usize]) -> Limited {
        let pieces: VecDeque<_> =
            pieces.iter().map(|length| Ok(Frame::data(Bytes::from(vec![b'a'; *length])))).collect();
        Limited::unsent(StreamBody::new(futures::stream::iter(pieces)).boxed_unsync())
    }

    async fn length(body: Body) -> usize {
        body.collect().await.unwrap().to_bytes().len()
    }

    #[tokio::test]
    async fn a_short_body_is_read_again_from_wherever_the_first_reader_stopped() {
        let replay = Replay::new(body(&[3, 4, 5]));
        let mut first = replay.read().unwrap();
        assert_eq!(first.frame().await.unwrap().unwrap().into_data().unwrap().len(), 3);
        let second = replay.read().unwrap();
        assert!(first.frame().await.unwrap().is_err(), "whoever read before reads no more");
        assert_eq!(length(second).await, 12);
        assert_eq!(length(replay.read().unwrap()).await, 12);
    }

    #[tokio::test]
    async fn a_long_one_is_not_kept_and_none_is_always_there() {
        let replay = Replay::new(body(&[KEPT_BYTES_MAX, 1]));
        assert_eq!(length(replay.read().unwrap()).await, KEPT_BYTES_MAX + 1);
        assert!(replay.read().is_none());
        let none = Replay::new(Limited::unsent(Empty::new().map_err(|never| match never {}).boxed_unsync()));
        assert_eq!((length(none.read().unwrap()).await, length(none.read().unwrap()).await), (0, 0));
    }
}
