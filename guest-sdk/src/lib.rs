//! Write a Spillway function: one async function from an HTTP request to a response.
//!
//! A function is a small crate of type `cdylib` (what the node runs) and `rlib` (what its tests link), with a
//! `spillway.toml` beside its `Cargo.toml` that says its routes, limits and grants:
//!
//! ```
//! use spillway_sdk::{Model, Request, Response, Result, Tensor, config, function};
//!
//! /// Scores the numbers in the body.
//! #[function]
//! async fn handle(request: Request) -> Result<Response> {
//!     let numbers: Vec<f32> = request.into_body().json().await?;
//!     let model = Model::open("scorer").await?;
//!     let input = Tensor::from_slice(&numbers, &[1, numbers.len()])?;
//!     let outputs = model.run([("numbers", &input)]).await?;
//!     let scores = outputs[0].to_vec::<f32>()?;
//!     let unit = config::get("unit")?.unwrap_or_default();
//!     Ok(Response::new(format!("{scores:?} {unit}\n").into()))
//! }
//! ```
//!
//! Build it with `cargo build --release --target wasm32-wasip2`: the result is a WASI 0.3 component.
//!
//! # What is where
//!
//! | you want | look at |
//! | --- | --- |
//! | what a handler takes and returns | [`FromRequest`], [`IntoResponse`], [`Json`], [`RequestExt`] |
//! | bodies, whole or streaming | [`Body`] |
//! | errors that callers understand | [`Error`] |
//! | models and tensors | [`Model`], [`Tensor`] with native operators |
//! | operators compiled together | [`Graph`], [`GraphBuilder`] |
//! | settings and state | [`config`], [`keyvalue`] |
//! | asking other servers | [`outbound`] |
//! | pictures: decoding, preparing, boxes, text | [`vision`] |
//! | logs | [`log`]: `log::info!` and its kin, sent to the node; panics are logged too |
//! | tests | [`testing`] |
//!
//! # One sandbox, many requests
//!
//! A sandbox serves up to `[sandbox] concurrency` requests at once on one thread: while one waits for a model, another
//! runs. Statics and thread-locals stay from request to request, and vanish when the node drops the sandbox.

mod body;
mod dispatch;
mod error;
mod graph;
mod host;
mod logging;
mod model;
mod operators;
mod request;
mod response;
mod stream;
mod tensor;
#[cfg(target_family = "wasm")]
mod wasi;

pub mod config;
pub mod keyvalue;
pub mod outbound;
#[cfg(not(target_family = "wasm"))]
pub mod testing;
pub mod vision;

pub use body::Body;
pub use bytes::Bytes;
pub use error::{Error, Result};
pub use graph::{Graph, GraphBuilder, Operand};
pub use host::{HostError, HostErrorCode, TensorType};
pub use http::{self, HeaderMap, HeaderValue, Method, StatusCode, header};
pub use log;
pub use model::{Model, Outputs};
pub use operators::{
    BinaryOperator, ColorMode, Conv2d, ConvTranspose2d, FilterOperandLayout, InputOperandLayout, InterpolationMode,
    PaddingMode, Pending, Pool2d, Pooling, Reduction, RoundingType, TransposedFilterLayout, UnaryOperator,
};
pub use request::{FromRequest, Json, Request, RequestExt};
pub use response::{IntoResponse, Response};
pub use spillway_macro::function;
pub use stream::BodyWriter;
pub use tensor::{DType, Element, Tensor};

/// What the expansion of `#[function]` names.
#[doc(hidden)]
#[cfg(target_family = "wasm")]
pub mod __private {
    pub use crate::wasi::serve;
    pub use wasip3::exports::http::handler::Guest;
    pub use wasip3::http::service::export;
    pub use wasip3::http::types::{ErrorCode, Request, Response};
}
