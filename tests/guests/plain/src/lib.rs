//! A component of `wasi:http/proxy@0.2`, as any toolchain could make one; the last segment of the path says what it does.

#![cfg(target_family = "wasm")]

use std::hint::black_box;
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};

use wasi::exports::http::incoming_handler::Guest;
use wasi::http::types::{Fields, IncomingBody, IncomingRequest, OutgoingBody, OutgoingResponse, ResponseOutparam};
use wasi::io::streams::StreamError;

mod fetch;

/// Calls that this sandbox has served.
static CALLS: AtomicU64 = AtomicU64::new(0);

struct Plain;

impl Guest for Plain {
    fn handle(request: IncomingRequest, out: ResponseOutparam) {
        let calls = CALLS.fetch_add(1, Relaxed) + 1;
        let path = request.path_with_query().unwrap_or_default();
        match path.rsplit('/').next().unwrap_or_default() {
            "greet" => respond(out, "Hello from WASI 0.2\n"),
            "calls" => respond(out, &format!("{calls}\n")),
            "echo" => echo(&request, out),
            "body" => body(&request, out),
            "log" => {
                println!("a line on stdout");
                respond(out, "logged\n");
            }
            "loop" => {
                println!("loop begins");
                loop {
                    black_box(calls);
                }
            }
            "allocate" => {
                let mut kept = Vec::new();
                loop {
                    kept.push(black_box(vec![1_u8; 1 << 20]));
                }
            }
            "trap" => std::process::abort(),
            "silent" => {}
            "half" => {
                let body = begin(out);
                let _ = body.write().expect("the body is new").blocking_write_and_flush(b"half of it\n");
                std::process::abort();
            }
            "fetch" => respond(out, &fetch::fetch(&request)),
            "file" => respond(out, &format!("{:?}\n", std::fs::read("/etc/passwd").map(|_| ()))),
            other => respond(out, &format!("{other} is unknown\n")),
        }
    }
}

fn respond(out: ResponseOutparam, text: &str) {
    let body = begin(out);
    let stream = body.write().expect("the body has not been written yet");
    // A caller that has hung up does not mind.
    let _ = stream.blocking_write_and_flush(text.as_bytes());
    drop(stream);
    let _ = OutgoingBody::finish(body, None);
}

fn begin(out: ResponseOutparam) -> OutgoingBody {
    begin_with(out, Fields::new())
}

fn begin_with(out: ResponseOutparam, headers: Fields) -> OutgoingBody {
    let response = OutgoingResponse::new(headers);
    let body = response.body().expect("the body has not been taken yet");
    ResponseOutparam::set(out, Ok(response));
    body
}

/// Sends the body back as it comes, and its trailers after it.
fn echo(request: &IncomingRequest, out: ResponseOutparam) {
    let incoming = request.consume().expect("the body has not been taken yet");
    let from = incoming.stream().expect("the stream has not been taken yet");
    let announced = request.headers().get("trailer");
    let headers =
        Fields::from_list(&announced.into_iter().map(|value| ("trailer".to_owned(), value)).collect::<Vec<_>>());
    let body = begin_with(out, headers.expect("a caller's field is valid"));
    let to = body.write().expect("the body has not been written yet");
    loop {
        match to.blocking_splice(&from, 64 * 1024) {
            Ok(_) => {}
            Err(StreamError::Closed) => break,
            Err(StreamError::LastOperationFailed(_)) => return,
        }
    }
    let _ = to.blocking_flush();
    drop((to, from));
    let trailers = IncomingBody::finish(incoming);
    trailers.subscribe().block();
    let trailers = trailers.get().and_then(Result::ok).and_then(Result::ok).flatten();
    let _ = OutgoingBody::finish(body, trailers.map(|trailers| Fields::from_list(&trailers.entries()).expect("valid")));
}

/// Reads the whole body and says how long it is, or that it broke off.
fn body(request: &IncomingRequest, out: ResponseOutparam) {
    let incoming = request.consume().expect("the body has not been taken yet");
    let from = incoming.stream().expect("the stream has not been taken yet");
    let mut length = 0;
    loop {
        match from.blocking_read(64 * 1024) {
            Ok(chunk) => length += chunk.len(),
            Err(StreamError::Closed) => return respond(out, &format!("{length}\n")),
            Err(StreamError::LastOperationFailed(_)) => return respond(out, "the body broke off\n"),
        }
    }
}

#[allow(unsafe_code, reason = "an export needs an unmangled symbol, which Rust counts as unsafe")]
mod export {
    use super::Plain;

    wasi::http::proxy::export!(Plain);
}
