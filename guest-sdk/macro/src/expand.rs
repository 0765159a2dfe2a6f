//! What `#[function]` expands to, over `proc_macro2` so that tests can look at it.

use proc_macro2::TokenStream;
use quote::{quote, quote_spanned};
use syn::spanned::Spanned;
use syn::{Error, FnArg, ItemFn, Result, ReturnType, Signature, Type};

/// Checks the function and appends its export.
pub(crate) fn function(arguments: TokenStream, item: TokenStream) -> Result<TokenStream> {
    if !arguments.is_empty() {
        return Err(Error::new_spanned(
            arguments,
            "`#[function]` takes no arguments; routes and limits stand in spillway.toml",
        ));
    }
    let item: ItemFn =
        syn::parse2(item).map_err(|error| Error::new(error.span(), "`#[function]` goes on an `async fn`"))?;
    let argument = check(&item.sig)?;

    let assertions = assertions(argument, &item.sig.output);
    let name = &item.sig.ident;
    let handler = if argument.is_some() { quote!(#name) } else { quote!(|()| #name()) };
    Ok(quote! {
        #item

        const _: fn() = || {
            #assertions
            // Keeps a private handler from being reported as dead where nothing exports it.
            let _ = #name;
        };

        #[cfg(target_family = "wasm")]
        #[allow(unsafe_code, reason = "an export needs an unmangled symbol, which Rust counts as unsafe")]
        const _: () = {
            struct Function;

            impl ::spillway_sdk::__private::Guest for Function {
                async fn handle(
                    request: ::spillway_sdk::__private::Request,
                ) -> ::core::result::Result<::spillway_sdk::__private::Response, ::spillway_sdk::__private::ErrorCode> {
                    ::spillway_sdk::__private::serve(request, #handler).await
                }
            }

            ::spillway_sdk::__private::export!(Function);
        };
    })
}

/// The type of the one argument, if there is one.
fn check(signature: &Signature) -> Result<Option<&Type>> {
    if signature.asyncness.is_none() {
        return Err(Error::new(signature.fn_token.span, "a function handler is async: write `async fn`"));
    }
    if let Some(constness) = signature.constness {
        return Err(Error::new(constness.span, "a function handler cannot be `const`"));
    }
    if let Some(unsafety) = signature.unsafety {
        return Err(Error::new(unsafety.span, "a function handler cannot be `unsafe`"));
    }
    if let Some(abi) = &signature.abi {
        return Err(Error::new_spanned(abi, "a function handler has no `extern` ABI; the attribute exports it"));
    }
    if !signature.generics.params.is_empty() {
        return Err(Error::new_spanned(
            &signature.generics,
            "a function handler cannot be generic: the component exports one concrete function",
        ));
    }
    if let Some(variadic) = &signature.variadic {
        return Err(Error::new_spanned(variadic, "a function handler cannot be variadic"));
    }
    if let Some(second) = signature.inputs.iter().nth(1) {
        return Err(Error::new_spanned(
            second,
            "a function handler takes one argument: the `Request`, or one thing made from it such as `Json<T>`",
        ));
    }
    match signature.inputs.first() {
        None => Ok(None),
        Some(FnArg::Receiver(receiver)) => {
            Err(Error::new_spanned(receiver, "a function handler is a free function, without `self`"))
        }
        Some(FnArg::Typed(argument)) => match &*argument.ty {
            Type::ImplTrait(ty) => Err(Error::new_spanned(ty, "name a concrete type, such as `Request`")),
            ty => Ok(Some(ty)),
        },
    }
}

/// Trait checks that carry the user's own spans, so that a missing impl is reported at the type and not at the attribute.
fn assertions(argument: Option<&Type>, output: &ReturnType) -> TokenStream {
    let argument = argument.map(|ty| {
        quote_spanned! {ty.span()=>
            fn argument<T: ::spillway_sdk::FromRequest>() {}
            argument::<#ty>();
        }
    });
    let answer = match output {
        // `impl IntoResponse` cannot be named, and the call itself checks it.
        ReturnType::Default => None,
        ReturnType::Type(_, ty) if matches!(**ty, Type::ImplTrait(_)) => None,
        ReturnType::Type(_, ty) => Some(quote_spanned! {ty.span()=>
            fn answer<T: ::spillway_sdk::IntoResponse>() {}
            answer::<#ty>();
        }),
    };
    quote!(#argument #answer)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The column and the message of the error that `source` gives.
    fn refusal(source: &str) -> (usize, String) {
        let error = function(TokenStream::new(), source.parse().expect("tokens")).expect_err(source);
        (error.span().start().column, error.to_string())
    }

    #[test]
    fn each_refusal_points_at_the_offending_token() {
        for (source, column, words) in [
            ("fn handle(r: Request) -> Response {}", 0, "write `async fn`"),
            ("async fn handle<T>(r: T) -> Response {}", 15, "cannot be generic"),
            ("async fn handle(r: Request, s: State) -> Response {}", 28, "takes one argument"),
            ("async fn handle(&self) -> Response {}", 16, "without `self`"),
            ("async fn handle(r: impl Into<Request>) -> Response {}", 19, "concrete type"),
            ("async unsafe fn handle(r: Request) {}", 6, "cannot be `unsafe`"),
            ("struct Handler;", 0, "goes on an `async fn`"),
        ] {
            let (at, message) = refusal(source);
            assert!(message.contains(words), "{source}: {message}");
            assert_eq!(at, column, "{source}: {message}");
        }
    }

    #[test]
    fn arguments_of_the_attribute_are_refused_with_the_place_where_they_belong() {
        let error = function(
            quote!(route = "/x"),
            quote!(
                async fn handle() {}
            ),
        )
        .expect_err("arguments");
        assert!(error.to_string().contains("spillway.toml"), "{error}");
    }

    #[test]
    fn a_handler_with_one_argument_or_none_is_accepted() {
        for source in [
            "async fn handle(request: Request) -> Result<Response> { todo() }",
            "async fn handle(Json(order): Json<Order>) -> impl IntoResponse { order }",
            "async fn handle() {}",
        ] {
            let expanded = function(TokenStream::new(), source.parse().expect("tokens")).expect(source);
            syn::parse2::<syn::File>(expanded).expect("the expansion is a list of items");
        }
    }
}
