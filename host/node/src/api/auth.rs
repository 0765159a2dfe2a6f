//! Who may use the control API.

use axum::extract::{Request, State};
use axum::middleware::Next;
use axum::response::{IntoResponse, Response};
use http::{HeaderMap, HeaderValue, header};
use spillway_types::{Digest, Problem, ProblemType};

use super::{Refused, Shared};

/// With a token: who shows it. Without one (loopback only): anything on this machine but a web page, which could
/// otherwise deploy through the browser of whoever visits it.
pub(super) async fn check(State(node): Shared, request: Request, next: Next) -> Response {
    let Some(detail) = refusal(node.config.api_token.as_deref(), request.headers()) else {
        return next.run(request).await;
    };
    let mut response = Refused(Problem::new(ProblemType::Unauthorized, detail)).into_response();
    response.headers_mut().insert(header::WWW_AUTHENTICATE, HeaderValue::from_static("Bearer"));
    response
}

fn refusal(token: Option<&str>, headers: &HeaderMap) -> Option<&'static str> {
    let Some(token) = token else {
        let is_page = headers.contains_key(header::ORIGIN);
        return is_page.then_some("web pages may not use a control API without a token; start the node with one");
    };
    let shown = headers.get(header::AUTHORIZATION).and_then(|value| value.to_str().ok()?.strip_prefix("Bearer "));
    // Digests compare in a time that says nothing about how much of the token was right.
    let right = shown.is_some_and(|shown| Digest::of(shown.as_bytes()) == Digest::of(token.as_bytes()));
    (!right).then_some("the control API wants the node's token; pass --token or set SPILLWAY_TOKEN")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_token_is_demanded_where_there_is_one_and_pages_are_kept_out_where_there_is_none() {
        let with = |name, value| HeaderMap::from_iter([(name, HeaderValue::from_static(value))]);
        assert_eq!(refusal(None, &HeaderMap::new()), None);
        assert!(refusal(None, &with(header::ORIGIN, "http://example.com")).is_some());
        assert_eq!(refusal(Some("secret"), &with(header::AUTHORIZATION, "Bearer secret")), None);
        for wrong in ["Bearer other", "secret", "Basic secret"] {
            assert!(refusal(Some("secret"), &with(header::AUTHORIZATION, wrong)).is_some(), "{wrong}");
        }
        assert!(refusal(Some("secret"), &HeaderMap::new()).is_some());
    }
}
