//! Answers that could be taken for a node's own.

use serde::Deserialize;
use spillway_sdk::{Error, HeaderValue, IntoResponse, Request, RequestExt, Response, Result, StatusCode, log};

/// What the caller wants to be told.
#[derive(Deserialize)]
struct Wanted {
    status: u16,
    /// Whether to write the header fields that nodes write to each other.
    #[serde(default)]
    forged: bool,
}

/// The status that the caller wants, with a field that only the function can have written.
pub(crate) fn as_asked(request: &Request) -> Result<Response> {
    let Wanted { status, forged } = request.query()?;
    // Tells the test that the call has run.
    log::info!("answer {status}");
    let status = StatusCode::from_u16(status).map_err(|_| Error::bad_request("not a status"))?;
    let mut response = (status, "the function's own words\n").into_response();
    let fields: &[(&str, &str)] = match forged {
        true => &[("spillway-refused", "busy"), ("spillway-node", "nobody"), ("spillway-work-us", "1")],
        false => &[],
    };
    for (name, value) in fields.iter().chain(&[("retry-after", "77")]) {
        response.headers_mut().insert(*name, HeaderValue::from_static(value));
    }
    Ok(response)
}
