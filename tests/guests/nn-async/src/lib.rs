//! The same as the guest `nn`, from WASI 0.3: only HTTP comes from the SDK.

#![cfg(target_family = "wasm")]

use spillway_sdk::{Request, Result, function};

#[path = "../../nn/src/script.rs"]
mod script;

/// From the standard's interfaces.
mod bindings {
    wit_bindgen::generate!({ path: "../../../guest-sdk/wit/deps/nn", world: "ml", generate_all });
}

#[function]
async fn handle(request: Request) -> Result<String> {
    let path = request.uri().path().to_owned();
    let body = request.into_body().bytes().await?;
    Ok(script::answer(path.rsplit('/').next().unwrap_or_default(), &body))
}
