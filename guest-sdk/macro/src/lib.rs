//! The attribute of `spillway-sdk`; use it from there.

mod expand;

use proc_macro::TokenStream;

/// Makes an async function the handler of this crate's component.
///
/// It takes the request, something made from it (`Json<T>`, `Bytes`, `String`: whatever implements `FromRequest`) or
/// nothing, and returns whatever implements `IntoResponse`, usually `Result<Response>`. A crate has one.
///
/// On the `wasm32-wasip2` target it exports the function as `wasi:http/handler@0.3`; anywhere else the function stays as
/// it is, so that tests can call it.
#[proc_macro_attribute]
pub fn function(arguments: TokenStream, item: TokenStream) -> TokenStream {
    expand::function(arguments.into(), item.into()).unwrap_or_else(|error| error.to_compile_error()).into()
}
