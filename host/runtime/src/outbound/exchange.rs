//! One request and its answer, on a connection of their own.

use std::future::poll_fn;
use std::pin::{Pin, pin};
use std::task::{Context, Poll};
use std::time::Duration;

use bytes::Bytes;
use http::{Request, Response};
use http_body::{Body as HttpBody, Frame, SizeHint};
use http_body_util::BodyExt as _;
use hyper::body::Incoming;
use hyper::client::conn::http1;
use tokio::sync::OwnedSemaphorePermit;
use wasmtime_wasi_http::io::TokioIo;
use wasmtime_wasi_http::{Error, RequestOptions, WasiBody};

use super::connect::Stream;
use super::hooks::of_hyper;
use super::patience::Patience;
use super::{IoResult, Sent};

/// What the head of an answer may take, and what is read ahead of the guest: as much as callers may send in a head.
const BUFFER_BYTES_MAX: usize = 64 * 1024;

/// Sends a request and waits for the head of the answer. Both bodies stream. `slot` is kept as long as the connection.
pub(super) async fn exchange(
    stream: Box<dyn Stream>,
    request: Request<WasiBody>,
    options: RequestOptions,
    patience: Patience,
    slot: OwnedSemaphorePermit,
) -> Sent {
    let (mut sender, connection) =
        http1::Builder::new().max_buf_size(BUFFER_BYTES_MAX).handshake(TokioIo::new(stream)).await.map_err(of_hyper)?;
    let mut connection = Some(Box::pin(connection));
    let mut late = pin!(patience.out(options.first_byte_timeout));
    let mut head = pin!(sender.send_request(request));
    let response = poll_fn(|cx| {
        // What the connection fails with, the request says as well.
        if connection.as_mut().is_some_and(|connection| connection.as_mut().poll(cx).is_ready()) {
            connection = None;
        }
        match head.as_mut().poll(cx) {
            Poll::Ready(head) => Poll::Ready(head.map_err(of_hyper)),
            Poll::Pending => late.as_mut().poll(cx).map(|()| Err(Error::ConnectionReadTimeout)),
        }
    })
    .await?;
    let gap = options.between_bytes_timeout;
    let response: Response<WasiBody> = response.map(|body| Answer { body, patience, gap, late: None }.boxed_unsync());
    let io: IoResult = Box::new(async move {
        let _slot = slot;
        match connection {
            Some(connection) => connection.await.map_err(of_hyper),
            None => Ok(()),
        }
    });
    Ok((response, io))
}

/// The body of an answer, as it comes.
struct Answer {
    body: Incoming,
    patience: Patience,
    gap: Option<Duration>,
    /// Set while somebody waits for the next piece.
    late: Option<Pin<Box<dyn Future<Output = ()> + Send>>>,
}

impl HttpBody for Answer {
    type Data = Bytes;
    type Error = Error;

    fn poll_frame(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, Error>>> {
        if let Poll::Ready(frame) = Pin::new(&mut self.body).poll_frame(cx) {
            self.late = None;
            return Poll::Ready(frame.map(|frame| frame.map_err(of_hyper)));
        }
        let Self { patience, gap, late, .. } = &mut *self;
        let late = late.get_or_insert_with(|| Box::pin(patience.out(*gap)));
        if late.as_mut().poll(cx).is_pending() {
            return Poll::Pending;
        }
        // A guest that asks again waits again.
        self.late = None;
        Poll::Ready(Some(Err(Error::ConnectionReadTimeout)))
    }

    fn is_end_stream(&self) -> bool {
        self.body.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        self.body.size_hint()
    }
}
