//! A WASI 0.2 component on `wasi:nn`, and on nothing of Spillway's own; the last segment of the path says what it does.

#![cfg(target_family = "wasm")]

use wasi::exports::http::incoming_handler::Guest;
use wasi::http::types::{Fields, IncomingRequest, OutgoingBody, OutgoingResponse, ResponseOutparam};
use wasi::io::streams::StreamError;

mod script;

/// From the standard's interfaces.
mod bindings {
    wit_bindgen::generate!({ path: "../../../guest-sdk/wit/deps/nn", world: "ml", generate_all });
}

struct Nn;

impl Guest for Nn {
    fn handle(request: IncomingRequest, out: ResponseOutparam) {
        let path = request.path_with_query().unwrap_or_default();
        let body = read(&request);
        respond(out, &script::answer(path.rsplit('/').next().unwrap_or_default(), &body));
    }
}

fn read(request: &IncomingRequest) -> Vec<u8> {
    let body = request.consume().expect("the body has not been taken yet");
    let stream = body.stream().expect("the stream has not been taken yet");
    let mut bytes = Vec::new();
    loop {
        match stream.blocking_read(64 * 1024) {
            Ok(chunk) => bytes.extend(chunk),
            Err(StreamError::Closed) => return bytes,
            Err(error) => panic!("{error}"),
        }
    }
}

fn respond(out: ResponseOutparam, text: &str) {
    let response = OutgoingResponse::new(Fields::new());
    let body = response.body().expect("the body has not been taken yet");
    ResponseOutparam::set(out, Ok(response));
    let stream = body.write().expect("the body is new");
    // A caller that has hung up does not mind.
    let _ = stream.blocking_write_and_flush(text.as_bytes());
    drop(stream);
    let _ = OutgoingBody::finish(body, None);
}

wasi::http::proxy::export!(Nn);
