//! Responses that the node itself makes, and headers that it adds or removes.

use bytes::Bytes;
use http::header::{self, HeaderMap, HeaderName, HeaderValue};
use http::{Response, StatusCode};
use http_body_util::{BodyExt, Full};
use spillway_runtime::{Body, InvocationId, Timing};
use spillway_types::{Bill, NodeIdentity, Problem, ProblemType};
use std::num::NonZeroU32;
use std::time::Duration;

use super::wishes::BILL;

/// Fields that belong to one connection and not to the message (RFC 9110, section 7.6.1).
const HOP_BY_HOP: [HeaderName; 7] = [
    header::CONNECTION,
    HeaderName::from_static("keep-alive"),
    HeaderName::from_static("proxy-connection"),
    header::PROXY_AUTHENTICATE,
    header::TE,
    header::TRANSFER_ENCODING,
    header::UPGRADE,
];

/// The invocation's name, on every response.
pub(super) const INVOCATION: HeaderName = HeaderName::from_static("spillway-invocation");
const SERVER_TIMING: HeaderName = HeaderName::from_static("server-timing");

/// A problem document as a response.
pub(crate) fn problem_response(problem: &Problem) -> Response<Body> {
    let text = serde_json::to_vec(problem).unwrap_or_default();
    let body = Full::new(Bytes::from(text)).map_err(|never| match never {}).boxed_unsync();
    let mut response = Response::new(body);
    *response.status_mut() = StatusCode::from_u16(problem.status).unwrap_or(StatusCode::INTERNAL_SERVER_ERROR);
    response.headers_mut().insert(header::CONTENT_TYPE, HeaderValue::from_static(Problem::MEDIA_TYPE));
    // A price is as high later.
    if matches!(problem.status, 429 | 503) && !problem.is(ProblemType::TooDear) {
        // A queue drains or a sandbox is made within a second; a caller that waits less only finds the same again.
        let seconds = problem.retry_after_seconds.map_or(1, NonZeroU32::get);
        response.headers_mut().insert(header::RETRY_AFTER, HeaderValue::from(seconds));
    }
    response
}

/// For `Retry-After`, of an estimate: rounded up, so that nobody comes too early, and a minute at most, since nobody foresees
/// more.
pub(crate) fn whole_seconds(wait: Duration) -> NonZeroU32 {
    known_seconds(wait.min(Duration::from_secs(60)))
}

/// For `Retry-After`, where it is known: rounded up.
pub(crate) fn known_seconds(wait: Duration) -> NonZeroU32 {
    NonZeroU32::new(wait.as_secs_f64().ceil() as u32).unwrap_or(NonZeroU32::MIN)
}

/// Whether there is any field of the platform's own, all of which begin alike. Most messages have none, and to look for each by its
/// name costs more than to look at all.
pub(super) fn has_own(headers: &HeaderMap) -> bool {
    headers.keys().any(|name| name.as_str().starts_with("spillway-"))
}

/// Removes what belongs to the connection.
pub(super) fn strip_hop_by_hop(headers: &mut HeaderMap) {
    if !headers.keys().any(|name| HOP_BY_HOP.contains(name)) {
        return;
    }
    // `Connection` may name further fields that go no further than this hop.
    let named: Vec<HeaderName> = headers
        .get_all(header::CONNECTION)
        .iter()
        .filter_map(|value| value.to_str().ok())
        .flat_map(|value| value.split(','))
        .filter_map(|name| name.trim().parse().ok())
        .collect();
    for name in named.iter().chain(&HOP_BY_HOP) {
        headers.remove(name);
    }
}

/// Names the invocation.
pub(super) fn add_invocation(headers: &mut HeaderMap, id: &InvocationId) {
    if let Ok(value) = HeaderValue::from_bytes(&id.hex()) {
        headers.insert(INVOCATION, value);
    }
}

/// Says where the time went (W3C Server Timing), in milliseconds.
pub(super) fn add_server_timing(headers: &mut HeaderMap, queued: Duration, timing: &Timing, total: Duration) {
    let millis = |duration: Duration| duration.as_secs_f64() * 1000.0;
    let mut text = format!("queue;dur={:.3}", millis(queued + timing.kernel_queue));
    if timing.cold {
        text += &format!(", init;dur={:.3}", millis(timing.init));
    }
    text += &format!(", infer;dur={:.3}, total;dur={:.3}", millis(timing.infer), millis(total));
    if let Ok(value) = HeaderValue::from_str(&text) {
        headers.insert(SERVER_TIMING, value);
    }
}

/// Says what the call has taken of this node when its answer began: a member of a list (RFC 9651), one for each node.
pub(super) fn add_bill(headers: &mut HeaderMap, node: Option<&NodeIdentity>, bill: &Bill) {
    let name = node.map_or("here", |node| node.node.as_str());
    if let Ok(value) = HeaderValue::from_str(&format!("{name};{bill}")) {
        headers.append(BILL, value);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_wait_is_rounded_up_to_seconds_between_one_and_sixty() {
        for (ms, seconds) in [(0, 1), (1000, 1), (1001, 2), (59_500, 60), (3_600_000, 60)] {
            assert_eq!(whole_seconds(Duration::from_millis(ms)).get(), seconds, "{ms} ms");
        }
    }

    #[test]
    fn fields_of_the_connection_go_and_those_of_the_message_stay() {
        let mut headers = HeaderMap::new();
        for (name, value) in [("connection", "close, x-hop"), ("x-hop", "1"), ("te", "trailers"), ("x-end", "2")] {
            headers.insert(HeaderName::from_static(name), HeaderValue::from_static(value));
        }
        strip_hop_by_hop(&mut headers);
        assert_eq!(headers.keys().map(HeaderName::as_str).collect::<Vec<_>>(), ["x-end"]);
    }
}
