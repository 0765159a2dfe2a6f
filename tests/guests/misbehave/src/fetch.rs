//! Asks the server that the caller names, as the caller says.

use std::time::Duration;

use spillway_sdk::outbound::{self, Timeouts};
use spillway_sdk::{HeaderMap, Request, Response, Result, header, http};

/// Tells how it went. `x-url` says where; `x-method`, `x-host`, `x-connect-ms`, `x-first-byte-ms` and
/// `x-between-bytes-ms` how; `x-copy` sends the fields of the caller's request along.
pub(crate) async fn fetch(request: Request) -> Result<String> {
    let fields = request.headers();
    let mut asked = http::Request::builder().uri(field(fields, "x-url").unwrap_or("http://127.0.0.1:1/"));
    if let Some(method) = field(fields, "x-method") {
        asked = asked.method(method);
    }
    if field(fields, "x-copy").is_some() {
        for (name, value) in fields {
            asked = asked.header(name, value);
        }
    }
    if let Some(host) = field(fields, "x-host") {
        asked = asked.header(header::HOST, host);
    }
    let millis = |name: &str| field(fields, name).and_then(|text| text.parse().ok()).map(Duration::from_millis);
    let timeouts = Timeouts {
        connect: millis("x-connect-ms"),
        first_byte: millis("x-first-byte-ms"),
        between_bytes: millis("x-between-bytes-ms"),
    };
    Ok(match outbound::send(asked.extension(timeouts).body("")?).await {
        Ok(answer) => said(answer).await,
        Err(error) => format!("{error}\n"),
    })
}

/// Status, `Location` and body.
async fn said(answer: Response) -> String {
    let location = field(answer.headers(), "location").unwrap_or_default();
    let head = format!("{} {location}\n", answer.status().as_u16());
    match answer.into_body().text().await {
        Ok(text) => head + &text,
        Err(error) => format!("{error}\n"),
    }
}

/// Sends the caller's body on to `x-url`, and the answer back, both as they come.
pub(crate) async fn relay(request: Request) -> Result<Response> {
    let url = field(request.headers(), "x-url").unwrap_or_default().to_owned();
    Ok(outbound::send(http::Request::post(url).body(request.into_body())?).await?)
}

fn field<'a>(fields: &'a HeaderMap, name: &str) -> Option<&'a str> {
    fields.get(name)?.to_str().ok()
}
