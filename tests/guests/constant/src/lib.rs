//! A component of `wasi:http/service@0.3`, as any toolchain could make one, that answers with a constant: what HTTP and
//! sandbox cost by themselves. `cargo xtask bench http` has other hosts run it, too.

#![cfg(target_family = "wasm")]

use wasip3::exports::http::handler::Guest;
use wasip3::http::types::{ErrorCode, Fields, Request, Response};
use wasip3::{wit_bindgen, wit_future, wit_stream};

struct Greet;

impl Guest for Greet {
    async fn handle(_: Request) -> Result<Response, ErrorCode> {
        let (mut body, read) = wit_stream::new();
        let (end, ended) = wit_future::new(|| Ok(None));
        let (response, _sent) = Response::new(Fields::new(), Some(read), ended);
        drop(end);
        wit_bindgen::spawn_local(async move {
            // A caller that has hung up does not mind.
            let _ = body.write_all(b"Hello from WASI 0.3\n".to_vec()).await;
        });
        Ok(response)
    }
}

#[allow(unsafe_code, reason = "an export needs an unmangled symbol, which Rust counts as unsafe")]
mod export {
    use super::Greet;

    wasip3::http::service::export!(Greet);
}
