//! The handler on the index of the sentences, and the index that it makes of them.

use std::fs;
use std::path::Path;

use serde_json::{Value, json};
use spillway_sdk::testing::{block_on, call};
use spillway_sdk::{StatusCode, http};

use super::*;

fn send(method: &str, path: &str, body: impl Into<Vec<u8>>) -> Response {
    let body = spillway_sdk::Bytes::from(body.into());
    call(handle, http::Request::builder().method(method).uri(path).body(body).unwrap())
}

fn search(body: &Value) -> (StatusCode, Value) {
    let response = send("POST", "/similar", body.to_string());
    (response.status(), block_on(response.into_body().json()).unwrap())
}

fn near(path: &str) -> Vec<u8> {
    fs::read(Path::new(env!("CARGO_MANIFEST_DIR")).join(path)).unwrap()
}

#[test]
fn what_means_much_the_same_is_found_first() {
    let (status, found) = search(&json!({ "text": "A cat is sleeping in the sun on a window sill.", "count": 2 }));
    assert_eq!(status, StatusCode::OK, "{found}");
    assert_eq!(found[0]["text"], "A cat sleeps on the warm window sill.");
    assert_eq!(found[1]["text"], "The cat is asleep by the window, where it is warm.");
    let (_, found) = search(&json!({ "text": "A dog barks at the postman." }));
    assert_eq!(found.as_array().unwrap().len(), 5);
    assert_eq!(found[0]["text"], "A dog barks at the postman.");
    assert!((found[0]["score"].as_f64().unwrap() - 1.0).abs() < 1e-5, "{found}");
    let scores: Vec<_> = found.as_array().unwrap().iter().map(|one| one["score"].as_f64().unwrap()).collect();
    assert!(scores.is_sorted_by(|one, other| one >= other), "{scores:?}");
}

#[test]
fn an_index_of_the_sentences_is_the_one_that_lies_beside_the_manifest() {
    let response = send("POST", "/similar/index", near("../../tests/data/embed/sentences.txt"));
    assert_eq!(response.status(), StatusCode::OK);
    let made = block_on(response.into_body().bytes()).unwrap();
    let there = near("index.safetensors");
    let (made, there) = (read(&made), read(&there));
    assert_eq!((&made.1, &made.2), (&there.1, &there.2));
    let apart = made.0.iter().zip(&there.0).map(|(one, other)| (one - other).abs());
    assert!(made.0.len() == there.0.len() && apart.fold(0.0, f32::max) < 1e-5);
}

/// Vectors, ends and texts.
fn read(file: &[u8]) -> (Vec<f32>, Vec<u8>, Vec<u8>) {
    let file = safetensors::SafeTensors::deserialize(file).unwrap();
    let data = |name| file.tensor(name).unwrap().data().to_vec();
    let vectors = data("vectors").chunks_exact(4).map(|four| f32::from_le_bytes(four.try_into().unwrap())).collect();
    (vectors, data("ends"), data("texts"))
}

#[test]
fn what_is_no_search_and_what_has_no_texts_is_refused_by_name() {
    for (body, reason) in [
        (json!({ "text": "" }), "`text` is empty"),
        (json!({ "text": "a", "count": 0 }), "`count` is 0; it is from 1 to 1000"),
        (json!({ "text": "a", "k": 3 }), "unknown field `k`"),
        (json!({ "count": 3 }), "missing field `text`"),
    ] {
        let (status, problem) = search(&body);
        assert_eq!(status, StatusCode::BAD_REQUEST);
        assert!(problem["detail"].as_str().unwrap().contains(reason), "{problem}");
    }
    for (body, reason) in [(&b"\n\n"[..], "no texts"), (b"one\n\xff\n", "line 2 of the body is not UTF-8")] {
        let response = send("POST", "/similar/index", body);
        assert_eq!(response.status(), StatusCode::BAD_REQUEST);
        let problem: Value = block_on(response.into_body().json()).unwrap();
        assert!(problem["detail"].as_str().unwrap().contains(reason), "{problem}");
    }
}

#[test]
fn it_says_what_there_is_to_search() {
    let response = send("GET", "/similar", "");
    let about: Value = block_on(response.into_body().json()).unwrap();
    assert_eq!(about, json!({ "texts": 100, "dimensions": 384 }));
}
