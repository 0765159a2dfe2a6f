//! A caller's connection as the server sees it: followed, and cut where the caller stands still.

use std::io::{self, ErrorKind, IoSlice};
use std::pin::Pin;
use std::task::{Context, Poll};
use std::time::Duration;

use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::time::{Instant, Sleep, sleep};

use super::beat::Beat;
use super::framing::Framing;
use super::standing::Standing;

/// An answer of no more bytes is copied together: that costs less than to have the kernel collect its parts.
const SMALL: usize = 1024;

/// A connection that is looked after. Only what waits costs a timer.
pub(super) struct Guarded<S> {
    stream: S,
    framing: Framing,
    reading: Patience,
    writing: Patience,
    beat: Beat,
    standing: Standing,
}

impl<S> Guarded<S> {
    /// The other end may neither begin a request nor take anything of an answer for so long. Tells `standing` what moves.
    pub(super) fn new(stream: S, patience: Duration, standing: Standing) -> Self {
        let waits = || Patience { most: patience, timer: None, waits: false };
        let beat = Beat::within(patience);
        Self { stream, framing: Framing::default(), reading: waits(), writing: waits(), beat, standing }
    }
}

/// How much longer one waits for the other end.
struct Patience {
    most: Duration,
    /// Kept for the next time, once it has been needed.
    timer: Option<Pin<Box<Sleep>>>,
    waits: bool,
}

impl Patience {
    /// It came.
    fn met(&mut self) {
        self.waits = false;
    }

    /// It did not come yet.
    ///
    /// # Errors
    /// It has not come for too long.
    fn wait(&mut self, cx: &mut Context<'_>) -> io::Result<()> {
        let most = self.most;
        let timer = self.timer.get_or_insert_with(|| Box::pin(sleep(most)));
        if !std::mem::replace(&mut self.waits, true) {
            timer.as_mut().reset(Instant::now() + most);
        }
        match timer.as_mut().poll(cx) {
            Poll::Ready(()) => Err(io::Error::new(ErrorKind::TimedOut, format!("nothing moved for {most:?}"))),
            Poll::Pending => Ok(()),
        }
    }
}

impl<S: AsyncRead + Unpin> AsyncRead for Guarded<S> {
    fn poll_read(mut self: Pin<&mut Self>, cx: &mut Context<'_>, buffer: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        let Self { stream, framing, reading, beat, standing, .. } = &mut *self;
        let before = buffer.filled().len();
        match Pin::new(stream).poll_read(cx, buffer) {
            Poll::Ready(result) => {
                reading.met();
                framing.follow(&mut buffer.filled_mut()[before..]);
                if framing.is_other() {
                    standing.note_http2();
                }
                Poll::Ready(result)
            }
            // Until the server knows which protocol it is, it has no timer.
            Poll::Pending if framing.is_untouched() => match reading.wait(cx) {
                Ok(()) => Poll::Pending,
                Err(error) => Poll::Ready(Err(error)),
            },
            // For a head it has one, also for the next: only the server knows whether it waits for one.
            Poll::Pending => {
                beat.wait(cx);
                Poll::Pending
            }
        }
    }
}

impl<S: AsyncWrite + Unpin> Guarded<S> {
    fn note(&self, written: &Poll<io::Result<usize>>) {
        if let Poll::Ready(Ok(bytes)) = written {
            self.standing.note_written(*bytes);
        }
    }

    fn written<T>(&mut self, result: Poll<io::Result<T>>, cx: &mut Context<'_>) -> Poll<io::Result<T>> {
        if result.is_ready() {
            self.writing.met();
            return result;
        }
        match self.writing.wait(cx) {
            Ok(()) => Poll::Pending,
            Err(error) => Poll::Ready(Err(error)),
        }
    }
}

impl<S: AsyncWrite + Unpin> AsyncWrite for Guarded<S> {
    fn poll_write(mut self: Pin<&mut Self>, cx: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        let result = Pin::new(&mut self.stream).poll_write(cx, bytes);
        self.note(&result);
        self.written(result, cx)
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        parts: &[IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        let length = parts.iter().map(|part| part.len()).sum::<usize>();
        if length <= SMALL {
            let mut small = [0; SMALL];
            let mut rest = &mut small[..];
            for part in parts {
                let (place, after) = rest.split_at_mut(part.len());
                place.copy_from_slice(part);
                rest = after;
            }
            return self.poll_write(cx, &small[..length]);
        }
        let result = Pin::new(&mut self.stream).poll_write_vectored(cx, parts);
        self.note(&result);
        self.written(result, cx)
    }

    fn is_write_vectored(&self) -> bool {
        self.stream.is_write_vectored()
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        let result = Pin::new(&mut self.stream).poll_flush(cx);
        self.written(result, cx)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        let result = Pin::new(&mut self.stream).poll_shutdown(cx);
        self.written(result, cx)
    }
}
