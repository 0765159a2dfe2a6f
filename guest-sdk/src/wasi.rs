//! The component's side of `wasi:http`: requests in, responses out, streaming.

use std::future::Future;

use bytes::Bytes;
use http::header::CONTENT_LENGTH;
use http::{HeaderMap, Uri};
use wasip3::http::types::{self, ErrorCode, Fields};
use wasip3::wit_bindgen::{FutureReader, FutureWriter, StreamReader, StreamResult};
use wasip3::{wit_future, wit_stream};

use crate::body::{self, Source};
use crate::dispatch::dispatch;
use crate::error::{Error, Result};
use crate::{Body, FromRequest, IntoResponse, Request, Response};

/// Imports of the world `spillway:tensor/sdk`, generated from `guest-sdk/wit`.
#[allow(unsafe_code, missing_docs, unreachable_pub, clippy::all, reason = "generated")]
pub(crate) mod bindings {
    wit_bindgen::generate!({ path: "wit", world: "spillway:tensor/sdk", generate_all });
}

/// Bytes per read: large enough that the call into the host does not count, small against a sandbox's memory.
const CHUNK: usize = 64 * 1024;

/// Answers one request; `#[function]` exports it.
pub async fn serve<A, R, F>(
    request: types::Request,
    handler: impl FnOnce(A) -> F,
) -> std::result::Result<types::Response, ErrorCode>
where
    A: FromRequest,
    R: IntoResponse,
    F: Future<Output = R>,
{
    // Beside this function lies the section that describes our imports. The linker takes only the objects that somebody
    // refers to, and the imports themselves may have been inlined elsewhere.
    bindings::__link_custom_section_describing_imports();
    let response = match incoming(request) {
        Ok(request) => dispatch(request, handler).await,
        Err(error) => error.into_response(),
    };
    outgoing(response)
}

/// A request's body, read from the host.
pub(crate) struct Incoming {
    stream: StreamReader<u8>,
    /// Bytes still to come, where the length was announced. Once they are here nothing is left to ask the host for.
    left: Option<u64>,
    /// Resolves after the stream has ended: to trailers, which are dropped, or to why it broke off.
    end: Option<FutureReader<std::result::Result<Option<types::Trailers>, ErrorCode>>>,
    /// Tells the host at drop that the body is done with.
    _done: FutureWriter<std::result::Result<(), ErrorCode>>,
}

impl Incoming {
    pub(crate) async fn next(&mut self) -> Result<Option<Bytes>> {
        while self.end.is_some() && self.left != Some(0) {
            let room = self.left.map_or(CHUNK, |left| left.min(CHUNK as u64) as usize);
            let (result, chunk) = self.stream.read(Vec::with_capacity(room)).await;
            match result {
                StreamResult::Complete(_) if chunk.is_empty() => {}
                StreamResult::Complete(_) => {
                    self.left = self.left.map(|left| left.saturating_sub(chunk.len() as u64));
                    return Ok(Some(chunk.into()));
                }
                StreamResult::Dropped | StreamResult::Cancelled => {
                    let Some(end) = self.end.take() else { break };
                    end.await.map_err(broken_off)?;
                }
            }
        }
        Ok(None)
    }
}

fn broken_off(code: ErrorCode) -> Error {
    match code {
        ErrorCode::HttpRequestBodySize(Some(limit)) => body::too_large(format_args!("{limit} bytes")),
        ErrorCode::HttpRequestBodySize(None) => body::too_large("the function allows"),
        code => Error::bad_request("the body broke off before its end").with_cause(code),
    }
}

fn incoming(request: types::Request) -> Result<Request> {
    let unreadable = |what: &str| Error::bad_request(format!("the {what} of the request cannot be read"));
    let method = http::Method::try_from(request.get_method()).map_err(|_| unreadable("method"))?;
    let path = request.get_path_with_query().unwrap_or_else(|| "/".to_owned());
    let mut uri = Uri::builder().path_and_query(path);
    // A scheme without an authority is no URI; HTTP/1.0 has requests without either.
    if let Some(authority) = request.get_authority() {
        let scheme = request.get_scheme().map_or(Ok(http::uri::Scheme::HTTP), TryInto::try_into);
        uri = uri.authority(authority).scheme(scheme.map_err(|_| unreadable("scheme"))?);
    }
    let uri = uri.build().map_err(|_| unreadable("URI"))?;
    let headers = HeaderMap::try_from(request.get_headers()).map_err(|_| unreadable("headers"))?;

    let left = headers.get(CONTENT_LENGTH).and_then(|length| length.to_str().ok()?.parse().ok());
    let (done, done_reader) = wit_future::new(|| Ok(()));
    let (stream, end) = types::Request::consume_body(request, done_reader);
    let body = Body(Source::Incoming(Incoming { stream, left, end: Some(end), _done: done }));
    let mut request = Request::new(body);
    *request.method_mut() = method;
    *request.uri_mut() = uri;
    *request.headers_mut() = headers;
    Ok(request)
}

fn outgoing(response: Response) -> std::result::Result<types::Response, ErrorCode> {
    let (mut parts, body) = response.into_parts();
    let whole = matches!(&body.0, Source::Whole(bytes) if !bytes.is_empty());
    if let (Source::Whole(bytes), true, false) = (&body.0, whole, parts.headers.contains_key(CONTENT_LENGTH)) {
        parts.headers.insert(CONTENT_LENGTH, bytes.len().into());
    }
    let headers =
        Fields::try_from(parts.headers).map_err(|error| internal(format!("the response's headers: {error}")))?;
    let (contents, end) = match body.0 {
        Source::Whole(bytes) if bytes.is_empty() => (None, nothing_after()),
        // The host joins both ends of a stream of its own, so the bytes never enter the guest.
        Source::Incoming(Incoming { stream, end: Some(end), .. }) => (Some(stream), end),
        source => {
            let (reader, end) = send(Body(source));
            (Some(reader), end)
        }
    };
    let (outgoing, _sent) = types::Response::new(headers, contents, end);
    outgoing.set_status_code(parts.status.as_u16()).map_err(|()| internal(format!("the status {}", parts.status)))?;
    Ok(outgoing)
}

type Trailers = FutureReader<std::result::Result<Option<types::Trailers>, ErrorCode>>;

fn nothing_after() -> Trailers {
    // Dropping the writer sends the default.
    wit_future::new(|| Ok(None)).1
}

/// Writes `body` in a task of its own, which goes on after the handler has returned.
fn send(mut body: Body) -> (StreamReader<u8>, Trailers) {
    let (mut writer, reader) = wit_stream::new();
    let (end, end_reader) = wit_future::new(|| Ok(None));
    wasip3::spawn_local(async move {
        loop {
            match body.next().await {
                Ok(Some(chunk)) => {
                    // What is left over was not taken: the caller has hung up.
                    if !writer.write_all(chunk.into()).await.is_empty() {
                        break;
                    }
                }
                Ok(None) => break,
                Err(error) => {
                    log::error!("the response broke off: {error}");
                    // An error in place of the end, and while the stream is open, so that the host cuts the connection.
                    // A failed write means that nobody listens any more.
                    let _ = end.write(Err(internal("the response broke off".to_owned()))).await;
                    return;
                }
            }
        }
    });
    (reader, end_reader)
}

fn internal(message: String) -> ErrorCode {
    ErrorCode::InternalError(Some(message))
}
