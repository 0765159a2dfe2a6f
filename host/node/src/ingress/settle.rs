//! An answer that is there as a whole when its head is goes out with its length, and not in chunks: one write, and nothing of
//! the sandbox waits for the caller to take it.

use std::future::poll_fn;
use std::mem;
use std::pin::Pin;
use std::task::{Context, Poll};

use bytes::Bytes;
use http::Response;
use http::header::CONTENT_LENGTH;
use http_body::{Body as HttpBody, Frame, SizeHint};
use http_body_util::Full;
use spillway_runtime::{Body, BodyError};

type Step = Option<Result<Frame<Bytes>, BodyError>>;

/// Looks, without waiting, whether a body of unknown length ends with its first frame.
///
/// One whose head announces a length stays as it is: the server takes the word of a body that knows its length, and does not see
/// any more that the head says another.
pub(super) async fn settle(response: Response<Body>) -> Response<Settled> {
    if response.headers().contains_key(CONTENT_LENGTH) || response.body().size_hint().exact().is_some() {
        return response.map(Settled::Open);
    }
    let (head, body) = response.into_parts();
    let mut body = Some(body);
    let body = poll_fn(|cx| Poll::Ready(body.take().map(|body| settled(body, cx)))).await;
    Response::from_parts(head, body.expect("it is polled once"))
}

fn settled(mut body: Body, cx: &mut Context<'_>) -> Settled {
    let Poll::Ready(first) = Pin::new(&mut body).poll_frame(cx) else { return Settled::Open(body) };
    let data = match first {
        Some(Ok(frame)) => match frame.into_data() {
            Ok(data) => data,
            Err(trailers) => return Settled::Begun([Some(Some(Ok(trailers))), None], body),
        },
        None => return Settled::Whole(Full::default()),
        failed => return Settled::Begun([Some(failed), None], body),
    };
    match Pin::new(&mut body).poll_frame(cx) {
        Poll::Ready(None) => Settled::Whole(Full::new(data)),
        Poll::Ready(second) => Settled::Begun([Some(Some(Ok(Frame::data(data)))), Some(second)], body),
        Poll::Pending => Settled::Begun([Some(Some(Ok(Frame::data(data)))), None], body),
    }
}

/// A body of which some may have been read already.
pub(super) enum Settled {
    /// Nothing of it.
    Open(Body),
    /// All of it.
    Whole(Full<Bytes>),
    /// These steps, which come before the rest.
    Begun([Option<Step>; 2], Body),
}

impl HttpBody for Settled {
    type Data = Bytes;
    type Error = BodyError;

    fn poll_frame(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Step> {
        match &mut *self {
            Self::Open(body) => Pin::new(body).poll_frame(cx),
            Self::Whole(body) => Pin::new(body).poll_frame(cx).map_err(|never| match never {}),
            Self::Begun([first, second], body) => match mem::replace(first, second.take()) {
                Some(step) => Poll::Ready(step),
                None => Pin::new(body).poll_frame(cx),
            },
        }
    }

    fn is_end_stream(&self) -> bool {
        match self {
            Self::Open(body) => body.is_end_stream(),
            Self::Whole(body) => body.is_end_stream(),
            Self::Begun([first, _], body) => first.is_none() && body.is_end_stream(),
        }
    }

    fn size_hint(&self) -> SizeHint {
        match self {
            Self::Open(body) => body.size_hint(),
            Self::Whole(body) => body.size_hint(),
            Self::Begun(..) => SizeHint::default(),
        }
    }
}

#[cfg(test)]
mod tests {
    use futures::stream;
    use http::{HeaderMap, HeaderValue};
    use http_body_util::{BodyExt as _, StreamBody};

    use super::*;

    fn body(steps: Vec<Result<Frame<Bytes>, BodyError>>) -> Body {
        StreamBody::new(stream::iter(steps)).boxed_unsync()
    }

    async fn settle(body: Body) -> Settled {
        super::settle(Response::new(body)).await.into_body()
    }

    #[tokio::test]
    async fn a_length_that_the_head_announces_stays_what_is_checked() {
        let mut response = Response::new(body(vec![data("one")]));
        response.headers_mut().insert(CONTENT_LENGTH, HeaderValue::from_static("10"));
        let response = super::settle(response).await;
        assert_eq!(response.body().size_hint().exact(), None);
    }

    fn data(text: &'static str) -> Result<Frame<Bytes>, BodyError> {
        Ok(Frame::data(Bytes::from_static(text.as_bytes())))
    }

    #[tokio::test]
    async fn what_is_whole_has_a_length_and_what_may_go_on_has_none() {
        for (steps, length) in
            [(vec![], Some(0)), (vec![data("one")], Some(3)), (vec![data("one"), data("two"), data("three")], None)]
        {
            let text: String = steps
                .iter()
                .map(|step| String::from_utf8_lossy(step.as_ref().unwrap().data_ref().unwrap()).into_owned())
                .collect();
            let settled = settle(body(steps)).await;
            assert_eq!(settled.size_hint().exact(), length);
            assert_eq!(settled.collect().await.unwrap().to_bytes(), text);
        }
    }

    #[tokio::test]
    async fn trailers_and_failures_come_after_what_came_before_them() {
        let trailers = HeaderMap::from_iter([(http::header::ETAG, HeaderValue::from_static("a"))]);
        for before in [vec![], vec![data("one")], vec![data("one"), data("two")]] {
            let count = before.len();
            let mut steps = before;
            steps.push(Ok(Frame::trailers(trailers.clone())));
            let collected = settle(body(steps)).await.collect().await.unwrap();
            assert_eq!(collected.trailers(), Some(&trailers), "after {count}");
        }
        let mut failing = settle(body(vec![data("one"), Err(BodyError::HttpResponseIncomplete)])).await;
        assert!(failing.frame().await.unwrap().is_ok());
        assert!(failing.frame().await.unwrap().is_err());
    }

    #[tokio::test]
    async fn what_is_not_there_yet_is_not_waited_for() {
        let (mut write, read) = futures::channel::mpsc::channel(1);
        let mut settled = settle(StreamBody::new(read).boxed_unsync()).await;
        write.try_send(data("late")).unwrap();
        drop(write);
        assert_eq!(settled.frame().await.unwrap().unwrap().into_data().unwrap(), "late");
        assert!(settled.frame().await.is_none());
    }
}
