//! Requests through handlers: what callers see.

use std::cell::Cell;
use std::rc::Rc;

use serde::{Deserialize, Serialize};
use serde_json::{Value, json};
use spillway_sdk::header::CONTENT_TYPE;
use spillway_sdk::testing::{block_on, call};
use spillway_sdk::{
    Body, Bytes, Error, FromRequest, IntoResponse, Json, Request, RequestExt, Response, Result, StatusCode,
};

fn problem(response: Response) -> Value {
    assert_eq!(response.headers()[CONTENT_TYPE], "application/problem+json");
    block_on(response.into_body().json()).unwrap()
}

fn text(response: Response) -> String {
    block_on(response.into_body().text()).unwrap()
}

fn get(uri: &str) -> Request {
    http::Request::get(uri).body(Body::empty()).unwrap()
}

#[test]
fn an_error_is_a_problem_document_with_all_its_members() {
    async fn handle(_: Request) -> Result<Response> {
        Err(Error::status(StatusCode::CONFLICT, "the seat is taken")
            .with_type("https://example.com/problems/seat")
            .with_title("Seat taken")
            .with("seat", "12A"))
    }
    let response = call(handle, get("/"));
    assert_eq!(response.status(), StatusCode::CONFLICT);
    let expected = json!({
        "type": "https://example.com/problems/seat", "title": "Seat taken", "status": 409,
        "detail": "the seat is taken", "seat": "12A",
    });
    assert_eq!(problem(response), expected);
}

#[test]
fn any_other_error_is_a_500_that_keeps_its_cause_to_itself() {
    async fn handle(text: String) -> Result<String> {
        let secret: u32 = text.parse()?;
        Ok(secret.to_string())
    }
    let response = call(handle, Request::new("password".into()));
    assert_eq!(response.status(), StatusCode::INTERNAL_SERVER_ERROR);
    let document = problem(response);
    assert_eq!(document["detail"], "the function failed; its log says why");
    assert_eq!(document["type"], "about:blank");
    assert!(!document.to_string().contains("digit"), "{document}");
}

#[derive(Debug, Serialize, Deserialize)]
struct Order {
    lines: Vec<Line>,
}

#[derive(Debug, Serialize, Deserialize)]
struct Line {
    count: u8,
}

#[test]
fn wrong_json_is_a_400_that_names_line_column_and_field() {
    async fn handle(Json(order): Json<Order>) -> Json<Order> {
        Json(order)
    }
    let refuse = |body: &'static str| {
        let response = call(handle, Request::new(body.into()));
        assert_eq!(response.status(), StatusCode::BAD_REQUEST, "{body}");
        problem(response)
    };
    let document = refuse("{\"lines\": [{\"count\": 1},\n {\"count\": 300}]}");
    assert_eq!((&document["line"], &document["column"]), (&json!(2), &json!(14)));
    assert_eq!(document["field"], "lines[1].count");
    assert!(document["detail"].as_str().unwrap().contains("field `lines[1].count`"), "{document}");
    assert!(refuse("{\"lines\": [").get("line").is_some());
    assert!(refuse("").to_string().contains("EOF"));
    assert!(refuse("{\"lines\": []} x").to_string().contains("more than one JSON value"));

    let accepted = call(handle, Request::new("{\"lines\": [{\"count\": 7}]}\n".into()));
    assert_eq!(accepted.headers()[CONTENT_TYPE], "application/json");
    assert_eq!(text(accepted), "{\"lines\":[{\"count\":7}]}");
}

#[test]
fn text_that_is_not_utf_8_is_refused_with_the_place() {
    async fn handle(text: String) -> String {
        text
    }
    let response = call(handle, Request::new(b"ab\xff".to_vec().into()));
    assert_eq!(response.status(), StatusCode::BAD_REQUEST);
    assert_eq!(problem(response)["detail"], "the body is not UTF-8 from byte 2");
}

#[test]
fn a_query_that_does_not_fit_is_refused_with_the_parameter() {
    #[derive(Deserialize)]
    struct Page {
        size: u8,
    }
    async fn handle(request: Request) -> Result<String> {
        Ok(request.query::<Page>()?.size.to_string())
    }
    assert_eq!(text(call(handle, get("/?size=12&other=x"))), "12");
    assert!(problem(call(handle, get("/")))["detail"].as_str().unwrap().contains("missing field `size`"));
    assert_eq!(call(handle, get("/?size=1000")).status(), StatusCode::BAD_REQUEST);
}

#[test]
fn each_kind_of_answer_has_its_status_and_content_type() {
    fn check(answer: impl IntoResponse, status: u16, content_type: Option<&str>) {
        let response = answer.into_response();
        assert_eq!(response.status(), status);
        assert_eq!(response.headers().get(CONTENT_TYPE).map(|value| value.to_str().unwrap()), content_type);
    }
    check("text", 200, Some("text/plain; charset=utf-8"));
    check(String::new(), 200, Some("text/plain; charset=utf-8"));
    check(vec![1, 2], 200, Some("application/octet-stream"));
    check(Bytes::new(), 200, Some("application/octet-stream"));
    check(Json(1), 200, Some("application/json"));
    check((StatusCode::CREATED, Json(1)), 201, Some("application/json"));
    check(StatusCode::ACCEPTED, 202, None);
    check((), 204, None);
    check(Body::from("x"), 200, None);
    check(http::Response::new("x"), 200, None);
    check(Err::<(), _>(Error::not_found("gone")), 404, Some("application/problem+json"));
}

#[test]
fn a_type_of_ones_own_is_made_from_the_request() {
    struct Token(String);

    impl FromRequest for Token {
        async fn from_request(request: Request) -> Result<Self> {
            let value = request.headers().get("token").and_then(|value| value.to_str().ok());
            value.map(|value| Self(value.to_owned())).ok_or_else(|| Error::bad_request("the header `token` is missing"))
        }
    }
    async fn handle(Token(token): Token) -> String {
        token
    }
    assert_eq!(call(handle, get("/")).status(), StatusCode::BAD_REQUEST);
    let request = http::Request::get("/").header("token", "abc").body(()).unwrap();
    assert_eq!(text(call(handle, request)), "abc");
}

#[test]
fn a_streamed_body_arrives_chunk_by_chunk_as_it_is_written() {
    let written = Rc::new(Cell::new(0));
    let count = Rc::clone(&written);
    let mut body = Body::stream(async move |mut out| {
        for n in 0..3u8 {
            count.set(count.get() + 1);
            out.write(vec![n]).await;
            out.write("").await;
        }
        Ok(())
    });
    assert_eq!(written.get(), 0);
    for n in 0..3u8 {
        assert_eq!(block_on(body.next()).unwrap().unwrap(), [n][..]);
        assert_eq!(written.get(), u32::from(n) + 1);
    }
    assert_eq!(block_on(body.next()).unwrap(), None);
    assert_eq!(block_on(body.next()).unwrap(), None);
}

#[test]
fn a_streamed_body_that_fails_is_not_taken_for_complete() {
    let mut body = Body::stream(async |mut out| {
        out.write("first").await;
        Err(Error::internal("disk gone"))
    });
    assert_eq!(block_on(body.next()).unwrap().unwrap(), "first");
    assert!(block_on(body.next()).unwrap_err().to_string().contains("disk gone"));
    assert_eq!(block_on(body.next()).unwrap(), None);
}

#[test]
fn a_producer_is_dropped_when_nobody_reads_on() {
    struct Guard(Rc<Cell<bool>>);

    impl Drop for Guard {
        fn drop(&mut self) {
            self.0.set(true);
        }
    }
    let dropped = Rc::new(Cell::new(false));
    let guard = Guard(Rc::clone(&dropped));
    let mut body = Body::stream(async move |mut out| {
        let _guard = guard;
        loop {
            out.write("more").await;
        }
    });
    block_on(body.next()).unwrap();
    assert!(!dropped.get());
    drop(body);
    assert!(dropped.get());
}

#[test]
fn a_body_longer_than_the_handler_allows_is_a_413() {
    let whole = Body::from("12345");
    let error = block_on(whole.bytes_up_to(4)).unwrap_err();
    assert_eq!(error.status_code(), StatusCode::PAYLOAD_TOO_LARGE);
    assert_eq!(error.detail(), Some("the body is longer than 4 bytes"));
    let chunks = || {
        Body::stream(async |mut out| {
            out.write("123").await;
            out.write("45").await;
            Ok(())
        })
    };
    assert_eq!(block_on(chunks().bytes_up_to(4)).unwrap_err().status_code(), StatusCode::PAYLOAD_TOO_LARGE);
    assert_eq!(block_on(chunks().bytes_up_to(5)).unwrap(), "12345");
}
