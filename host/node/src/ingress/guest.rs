//! A call as its function gets it: a head made for guests, and a second try where another call took its sandbox.

use std::sync::Arc;

use http::header::{self, HeaderName, HeaderValue};
use http::request::Parts;
use http::uri::{Authority, PathAndQuery, Scheme};
use http::{Request, Response, Uri};
use http_body_util::BodyExt;
use spillway_runtime::{Body, Fault, Invocation, InvocationId};
use spillway_types::Effects;

use super::body::Limited;
use super::replay::Replay;
use super::respond::strip_hop_by_hop;
use super::wishes::Wishes;
use crate::revision::Revision;

/// W3C Trace Context.
const TRACEPARENT: HeaderName = HeaderName::from_static("traceparent");

/// Calls the function, and a second time if another call took its sandbox from it and nothing forbids: then alone, so that
/// it cannot be lost to the same one again.
///
/// # Errors
/// What is wrong with the head.
pub(super) async fn call(
    revision: &Revision,
    invocation: &Arc<Invocation>,
    scheme: Scheme,
    parts: Parts,
    body: Limited,
) -> Result<Result<Response<Body>, Fault>, String> {
    if revision.manifest.effects == Effects::Unsafe || !revision.function.shares_sandboxes() {
        let parts = guest_parts(parts, scheme, invocation)?;
        return Ok(revision.function.call(invocation, Request::from_parts(parts, body.boxed_unsync())).await);
    }
    let replay = Replay::new(body);
    let first = replay.read().expect("nothing has gone through yet");
    // As it came: there it is all in one piece still, and costs less to copy.
    let again = parts.clone();
    let parts = guest_parts(parts, scheme.clone(), invocation)?;
    match revision.function.call(invocation, Request::from_parts(parts, first)).await {
        Err(Fault::SandboxLost(_)) if let Some(body) = replay.read() => {
            revision.metrics.ran_again();
            let parts = guest_parts(again, scheme, invocation)?;
            Ok(revision.function.call_alone(invocation, Request::from_parts(parts, body)).await)
        }
        answered => Ok(answered),
    }
}

/// What the guest sees of the request's head: an absolute URI, no fields of the connection, and a trace to continue.
fn guest_parts(mut parts: Parts, scheme: Scheme, invocation: &Invocation) -> Result<Parts, String> {
    let host = parts.headers.get(header::HOST).and_then(|host| host.to_str().ok());
    let authority = match (parts.uri.authority(), host) {
        (Some(authority), _) => authority.clone(),
        (None, Some(host)) => host.parse().map_err(|_| format!("host `{host}` is not valid"))?,
        // HTTP/1.0 knows no host.
        (None, None) => Authority::from_static("localhost"),
    };
    let mut uri = parts.uri.into_parts();
    uri.scheme = Some(scheme);
    uri.authority = Some(authority);
    uri.path_and_query.get_or_insert(PathAndQuery::from_static("/"));
    parts.uri = Uri::from_parts(uri).map_err(|error| format!("the request's target is not valid: {error}"))?;
    parts.headers.remove(header::HOST);
    strip_hop_by_hop(&mut parts.headers);
    Wishes::strip(&mut parts.headers);
    if !parts.headers.contains_key(TRACEPARENT)
        && let Ok(value) = HeaderValue::from_bytes(&traceparent(&invocation.id))
    {
        parts.headers.insert(TRACEPARENT, value);
    }
    Ok(parts)
}

/// A trace that begins with this call (W3C Trace Context, section 3.2): its trace is named as the call is, and so is its span,
/// in half as many digits.
fn traceparent(id: &InvocationId) -> [u8; 55] {
    let mut text = *b"00-00000000000000000000000000000000-0000000000000000-00";
    let digits = id.hex();
    text[3..35].copy_from_slice(&digits);
    text[36..52].copy_from_slice(&digits[..16]);
    text
}
