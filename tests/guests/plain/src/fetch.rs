//! Asks the server that the caller names, as the caller says, and tells how that went.

use wasi::http::outgoing_handler;
use wasi::http::types::{
    ErrorCode, Fields, IncomingRequest, IncomingResponse, Method, OutgoingRequest, RequestOptions, Scheme,
};
use wasi::io::streams::StreamError;

/// `x-url` says where; `x-method`, `x-host`, `x-connect-ms`, `x-first-byte-ms` and `x-between-bytes-ms` how; `x-copy`
/// sends the fields of the caller's request along.
pub(crate) fn fetch(incoming: &IncomingRequest) -> String {
    match try_fetch(incoming) {
        Ok(said) => said,
        Err(why) => format!("{why}\n"),
    }
}

fn try_fetch(incoming: &IncomingRequest) -> Result<String, String> {
    let fields = incoming.headers();
    let field = |name: &str| fields.get(name).first().map(|value| String::from_utf8_lossy(value).into_owned());
    let url = field("x-url").unwrap_or_else(|| "http://127.0.0.1:1/".to_owned());
    let (scheme, rest) = url.split_once("://").ok_or("no scheme")?;
    let (authority, path) = rest.split_at(rest.find('/').unwrap_or(rest.len()));

    let sent = Fields::new();
    if field("x-copy").is_some() {
        for (name, value) in fields.entries() {
            sent.append(&name, &value).map_err(|error| format!("{name}: {error:?}"))?;
        }
    }
    if let Some(host) = field("x-host") {
        sent.set("host", &[host.into_bytes()]).map_err(|error| format!("host: {error:?}"))?;
    }
    let request = OutgoingRequest::new(sent);
    let scheme = match scheme {
        "http" => Scheme::Http,
        "https" => Scheme::Https,
        other => Scheme::Other(other.to_owned()),
    };
    let set = request.set_scheme(Some(&scheme)).and_then(|()| request.set_authority(Some(authority)));
    let set = set.and_then(|()| request.set_path_with_query(Some(path)));
    let set = set.and_then(|()| match field("x-method").as_deref() {
        None => Ok(()),
        Some("CONNECT") => request.set_method(&Method::Connect),
        Some(other) => request.set_method(&Method::Other(other.to_owned())),
    });
    set.map_err(|()| format!("`{url}` is no URL"))?;
    let millis = |name: &str| field(name).and_then(|text| text.parse::<u64>().ok()).map(|ms| ms * 1_000_000);
    let options = RequestOptions::new();
    let _ = options.set_connect_timeout(millis("x-connect-ms"));
    let _ = options.set_first_byte_timeout(millis("x-first-byte-ms"));
    let _ = options.set_between_bytes_timeout(millis("x-between-bytes-ms"));

    let named = |code: ErrorCode| format!("{code:?}");
    let future = outgoing_handler::handle(request, Some(options)).map_err(named)?;
    future.subscribe().block();
    let answer = future.get().ok_or("not ready")?.map_err(|()| "taken")?.map_err(named)?;
    said(&answer)
}

/// Status, `Location` and body.
fn said(answer: &IncomingResponse) -> Result<String, String> {
    let location = answer.headers().get("location").pop().unwrap_or_default();
    let head = format!("{} {}\n", answer.status(), String::from_utf8_lossy(&location));
    let body = answer.consume().map_err(|()| "taken")?;
    let from = body.stream().map_err(|()| "taken")?;
    let mut bytes = Vec::new();
    loop {
        match from.blocking_read(64 * 1024) {
            Ok(chunk) => bytes.extend(chunk),
            Err(StreamError::Closed) => return Ok(head + &String::from_utf8_lossy(&bytes)),
            Err(StreamError::LastOperationFailed(error)) => {
                return Err(format!("after {} bytes {}", bytes.len(), error.to_debug_string()));
            }
        }
    }
}
