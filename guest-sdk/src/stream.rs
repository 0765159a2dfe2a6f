//! A body that its handler writes: a rendezvous of one writer and one reader in one task.
//!
//! The reader polls the writer's future itself, so there is no channel, no second task and at most one chunk in memory.

use std::cell::RefCell;
use std::fmt;
use std::future::{Future, poll_fn};
use std::pin::Pin;
use std::rc::Rc;
use std::task::{Poll, Waker};

use bytes::Bytes;

use crate::error::Result;

/// Writes the body that [`Body::stream`](crate::Body::stream) makes.
pub struct BodyWriter(Rc<RefCell<Slot>>);

#[derive(Default)]
struct Slot {
    chunk: Option<Bytes>,
    /// Wakes a writer that waits for the slot to be empty; needed only where the producer polls it through a combinator
    /// that ignores futures it was not woken for.
    writer: Option<Waker>,
}

impl BodyWriter {
    /// Hands `chunk` over, and waits until the caller's side has taken it. An empty chunk is skipped.
    ///
    /// # Cancel safety
    /// Once polled, the chunk is sent even if the future is dropped.
    pub async fn write(&mut self, chunk: impl Into<Bytes>) {
        let mut chunk = Some(chunk.into()).filter(|chunk| !chunk.is_empty());
        poll_fn(|context| {
            let mut slot = self.0.borrow_mut();
            if slot.chunk.is_none() {
                let Some(chunk) = chunk.take() else { return Poll::Ready(()) };
                slot.chunk = Some(chunk);
            }
            slot.writer = Some(context.waker().clone());
            Poll::Pending
        })
        .await;
    }
}

impl fmt::Debug for BodyWriter {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("BodyWriter")
    }
}

/// The reader's side, which owns and drives the writer's future.
pub(crate) struct Producer {
    slot: Rc<RefCell<Slot>>,
    /// `None` once it has returned.
    future: Option<Pin<Box<dyn Future<Output = Result<()>>>>>,
}

impl Producer {
    pub(crate) fn new<P>(produce: P) -> Self
    where
        P: AsyncFnOnce(BodyWriter) -> Result<()> + 'static,
    {
        let slot = Rc::<RefCell<Slot>>::default();
        let writer = BodyWriter(Rc::clone(&slot));
        Self { slot, future: Some(Box::pin(async move { produce(writer).await })) }
    }

    /// The next chunk, or `None` once the producer has returned.
    pub(crate) async fn next(&mut self) -> Result<Option<Bytes>> {
        poll_fn(|context| {
            // A chunk may already be there if the future of the call before was dropped.
            if let Some(chunk) = self.take() {
                return Poll::Ready(Ok(Some(chunk)));
            }
            let Some(future) = &mut self.future else { return Poll::Ready(Ok(None)) };
            let done = match future.as_mut().poll(context) {
                Poll::Pending => None,
                Poll::Ready(result) => {
                    self.future = None;
                    Some(result)
                }
            };
            match (self.take(), done) {
                // A producer that failed after its last chunk is asked no more: the failure counts, not the chunk.
                (_, Some(Err(error))) => Poll::Ready(Err(error)),
                (Some(chunk), _) => Poll::Ready(Ok(Some(chunk))),
                (None, Some(Ok(()))) => Poll::Ready(Ok(None)),
                (None, None) => Poll::Pending,
            }
        })
        .await
    }

    fn take(&mut self) -> Option<Bytes> {
        let mut slot = self.slot.borrow_mut();
        let chunk = slot.chunk.take();
        if chunk.is_some()
            && let Some(writer) = slot.writer.take()
        {
            writer.wake();
        }
        chunk
    }
}
