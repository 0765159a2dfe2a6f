//! The component's side of `wasi:http`: requests in, responses out, streaming.

use std::future::Future;

use bytes::Bytes;
use http::header::CONTENT_LENGTH;
use http::{HeaderMap, Uri};
use wasip3::http::client;
use wasip3::http::types::{self, ErrorCode, Fields};
use wasip3::wit_bindgen::{FutureReader, FutureWriter, StreamReader, StreamResult};
use wasip3::{wit_future, wit_stream};

use crate::body::{self, Source};
use crate::dispatch::dispatch;
use crate::error::{Error, Result};
use crate::outbound::Timeouts;
use crate::{Body, FromRequest, HostError, HostErrorCode, IntoResponse, Request, Response};

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

/// The body of a request, or of another server's answer, read from the host.
pub(crate) struct Incoming {
    stream: StreamReader<u8>,
    /// Bytes still to come, where the length was announced. Once they are here nothing is left to ask the host for.
    left: Option<u64>,
    /// Resolves after the stream has ended: to trailers, which are dropped, or to why it broke off.
    end: Option<Trailers>,
    /// What it means that it broke off.
    broken_off: fn(ErrorCode) -> Error,
    /// Tells the host at drop that the body is done with.
    _done: FutureWriter<std::result::Result<(), ErrorCode>>,
}

impl Incoming {
    fn body(
        headers: &HeaderMap,
        consume: impl FnOnce(FutureReader<std::result::Result<(), ErrorCode>>) -> (StreamReader<u8>, Trailers),
        broken_off: fn(ErrorCode) -> Error,
    ) -> Body {
        let left = headers.get(CONTENT_LENGTH).and_then(|length| length.to_str().ok()?.parse().ok());
        let (done, done_reader) = wit_future::new(|| Ok(()));
        let (stream, end) = consume(done_reader);
        Body(Source::Incoming(Self { stream, left, end: Some(end), broken_off, _done: done }))
    }

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
                    end.await.map_err(self.broken_off)?;
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

    let body = Incoming::body(&headers, |done| types::Request::consume_body(request, done), broken_off);
    let mut request = Request::new(body);
    *request.method_mut() = method;
    *request.uri_mut() = uri;
    *request.headers_mut() = headers;
    Ok(request)
}

fn outgoing(response: Response) -> std::result::Result<types::Response, ErrorCode> {
    let (mut parts, body) = response.into_parts();
    say_length(&mut parts.headers, &body);
    let headers =
        Fields::try_from(parts.headers).map_err(|error| internal(format!("the response's headers: {error}")))?;
    let (contents, end) = contents(body);
    let (outgoing, _sent) = types::Response::new(headers, contents, end);
    outgoing.set_status_code(parts.status.as_u16()).map_err(|()| internal(format!("the status {}", parts.status)))?;
    Ok(outgoing)
}

fn say_length(headers: &mut HeaderMap, body: &Body) {
    let whole = matches!(&body.0, Source::Whole(bytes) if !bytes.is_empty());
    if let (Source::Whole(bytes), true, false) = (&body.0, whole, headers.contains_key(CONTENT_LENGTH)) {
        headers.insert(CONTENT_LENGTH, bytes.len().into());
    }
}

/// A body as the host takes it.
fn contents(body: Body) -> (Option<StreamReader<u8>>, Trailers) {
    match body.0 {
        Source::Whole(bytes) if bytes.is_empty() => (None, nothing_after()),
        // The host joins both ends of a stream of its own, so the bytes never enter the guest.
        Source::Incoming(Incoming { stream, end: Some(end), .. }) => (Some(stream), end),
        source => {
            let (reader, end) = send(Body(source));
            (Some(reader), end)
        }
    }
}

/// Asks another server.
pub(crate) async fn send_out(request: Request) -> std::result::Result<Response, HostError> {
    let (mut parts, body) = request.into_parts();
    let origin = format!(
        "{}://{}",
        parts.uri.scheme_str().unwrap_or("https"),
        parts.uri.authority().map_or("", |authority| authority.as_str())
    );
    let invalid = |what: &str| HostError::invalid(format!("the {what} of a request to {origin} cannot be sent"));
    say_length(&mut parts.headers, &body);
    let options = parts.extensions.get::<Timeouts>().map(options);
    let headers = Fields::try_from(parts.headers).map_err(|error| invalid(&format!("header ({error})")))?;
    let (contents, end) = contents(body);
    let (request, _sent) = types::Request::new(headers, contents, end, options);
    request.set_method(&parts.method.into()).map_err(|()| invalid("method"))?;
    request.set_scheme(parts.uri.scheme().map(Into::into).as_ref()).map_err(|()| invalid("scheme"))?;
    let authority = parts.uri.authority().map(|authority| authority.as_str());
    request.set_authority(authority).map_err(|()| invalid("authority"))?;
    let path = parts.uri.path_and_query().map_or("/", |path| path.as_str());
    request.set_path_with_query(Some(path)).map_err(|()| invalid("path"))?;

    let answer = client::send(request).await.map_err(|code| unanswered(&origin, &code))?;
    let unreadable = |what: &str| {
        HostError::new(HostErrorCode::Unreachable, format!("the {what} of the answer from {origin} cannot be read"))
    };
    let status = http::StatusCode::from_u16(answer.get_status_code()).map_err(|_| unreadable("status"))?;
    let headers = HeaderMap::try_from(answer.get_headers()).map_err(|_| unreadable("header"))?;
    let body = Incoming::body(&headers, |done| types::Response::consume_body(answer, done), answer_broken_off);
    let mut response = Response::new(body);
    *response.status_mut() = status;
    *response.headers_mut() = headers;
    Ok(response)
}

fn options(timeouts: &Timeouts) -> types::RequestOptions {
    let options = types::RequestOptions::new();
    let nanos = |timeout: std::time::Duration| u64::try_from(timeout.as_nanos()).unwrap_or(u64::MAX);
    // A host that does not support one of them says so; that is no reason not to ask.
    let _ = options.set_connect_timeout(timeouts.connect.map(nanos));
    let _ = options.set_first_byte_timeout(timeouts.first_byte.map(nanos));
    let _ = options.set_between_bytes_timeout(timeouts.between_bytes.map(nanos));
    options
}

fn unanswered(origin: &str, code: &ErrorCode) -> HostError {
    let (kind, what) = match code {
        ErrorCode::HttpRequestDenied => (
            HostErrorCode::NotGranted,
            format!("is not granted; add http = [\"{origin}\"] under [capabilities] in spillway.toml"),
        ),
        ErrorCode::DestinationIpProhibited => (
            HostErrorCode::NotGranted,
            "is refused: its address is not on the public internet; the function's log says what to write".to_owned(),
        ),
        ErrorCode::DnsTimeout
        | ErrorCode::ConnectionTimeout
        | ErrorCode::ConnectionReadTimeout
        | ErrorCode::ConnectionWriteTimeout
        | ErrorCode::ConnectionLimitReached
        | ErrorCode::HttpResponseTimeout => (HostErrorCode::TimedOut, format!("took too long ({code:?})")),
        ErrorCode::HttpRequestUriInvalid | ErrorCode::HttpRequestMethodInvalid => {
            (HostErrorCode::InvalidArgument, format!("is none ({code:?})"))
        }
        code => (HostErrorCode::Unreachable, format!("failed ({code:?})")),
    };
    HostError::new(kind, format!("a request to {origin} {what}"))
}

fn answer_broken_off(code: ErrorCode) -> Error {
    Error::status(http::StatusCode::BAD_GATEWAY, "another server's answer broke off before its end").with_cause(code)
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
