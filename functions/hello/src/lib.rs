//! Greets, echoes and streams: each way to answer, in one small function.
//!
//! ```text
//! curl 'localhost:3000/hello?name=Ada'
//! curl --data-binary @FILE localhost:3000/hello
//! curl 'localhost:3000/hello/stream?chunks=3&bytes=10'
//! ```

use serde::Deserialize;
use spillway_sdk::header::CONTENT_TYPE;
use spillway_sdk::{
    Body, Bytes, Error, IntoResponse, Method, Request, RequestExt, Response, Result, StatusCode, config, function, log,
};

/// The longest chunk that a caller may ask for: a sandbox holds one for each request that it serves.
const MAX_CHUNK_BYTES: usize = 1024 * 1024;

#[function]
async fn handle(request: Request) -> Result<Response> {
    match (request.method(), request.uri().path()) {
        (&Method::GET | &Method::HEAD, "/hello/stream") => stream(&request),
        (&Method::GET | &Method::HEAD, _) => greet(&request),
        (&Method::POST | &Method::PUT, _) => Ok(echo(request)),
        (method, _) => Err(Error::status(
            StatusCode::METHOD_NOT_ALLOWED,
            format!("{method} is not served here; GET, POST and PUT are"),
        )),
    }
}

#[derive(Deserialize)]
struct Greeted {
    #[serde(default = "world")]
    name: String,
}

fn world() -> String {
    "world".to_owned()
}

/// `GET /hello?name=NAME`: the word of greeting comes from `[config]`.
fn greet(request: &Request) -> Result<Response> {
    let Greeted { name } = request.query()?;
    let greeting = config::get("greeting")?.unwrap_or_else(|| "Hello".to_owned());
    log::info!("greeting {name}");
    Ok(format!("{greeting}, {name}!\n").into_response())
}

/// `POST` or `PUT /hello`: the body comes back as it arrives, however long it is.
fn echo(request: Request) -> Response {
    let (parts, body) = request.into_parts();
    let mut response = Response::new(body);
    if let Some(content_type) = parts.headers.get(CONTENT_TYPE) {
        response.headers_mut().insert(CONTENT_TYPE, content_type.clone());
    }
    response
}

#[derive(Deserialize)]
struct Streamed {
    chunks: u64,
    bytes: usize,
}

/// `GET /hello/stream?chunks=N&bytes=M`: N chunks of M bytes, made while the caller reads.
fn stream(request: &Request) -> Result<Response> {
    let Streamed { chunks, bytes } = request.query()?;
    if bytes > MAX_CHUNK_BYTES {
        return Err(Error::bad_request(format!("bytes={bytes} is more than {MAX_CHUNK_BYTES}; ask for more chunks")));
    }
    let chunk = Bytes::from(vec![b'.'; bytes]);
    Ok(Response::new(Body::stream(async move |mut out| {
        for _ in 0..chunks {
            out.write(chunk.clone()).await;
        }
        Ok(())
    })))
}

#[cfg(test)]
mod tests {
    use spillway_sdk::http;
    use spillway_sdk::testing::{block_on, call};

    use super::*;

    fn text(response: Response) -> String {
        block_on(response.into_body().text()).unwrap()
    }

    fn get(uri: &str) -> Response {
        call(handle, http::Request::get(uri).body(Body::empty()).unwrap())
    }

    #[test]
    fn greeting_comes_from_the_manifest_and_the_name_from_the_query() {
        assert_eq!(text(get("/hello?name=Ada%20L.")), "Hello, Ada L.!\n");
        assert_eq!(text(get("/hello")), "Hello, world!\n");
    }

    #[test]
    fn echo_keeps_body_and_content_type() {
        let request = http::Request::post("/hello").header(CONTENT_TYPE, "image/png").body("not really").unwrap();
        let response = call(handle, request);
        assert_eq!(response.headers()[CONTENT_TYPE], "image/png");
        assert_eq!(text(response), "not really");
    }

    #[test]
    fn stream_has_as_many_chunks_as_asked_for() {
        let mut body = get("/hello/stream?chunks=3&bytes=5").into_body();
        let mut chunks = Vec::new();
        while let Some(chunk) = block_on(body.next()).unwrap() {
            chunks.push(chunk);
        }
        assert_eq!(chunks, ["....."; 3]);
    }

    #[test]
    fn what_it_cannot_do_is_refused_with_the_remedy() {
        let response = get("/hello/stream?chunks=1&bytes=1048577");
        assert_eq!(response.status(), StatusCode::BAD_REQUEST);
        assert!(text(response).contains("ask for more chunks"));
        let response = get("/hello/stream?chunks=1");
        assert_eq!(response.status(), StatusCode::BAD_REQUEST);
        assert!(text(response).contains("missing field `bytes`"));
        let response = call(handle, http::Request::delete("/hello").body(()).unwrap());
        assert_eq!(response.status(), StatusCode::METHOD_NOT_ALLOWED);
    }
}
