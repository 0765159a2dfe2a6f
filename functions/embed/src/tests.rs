//! The handler against token ids of the Python package tokenizers and vectors of an implementation in NumPy
//! (`tests/data/embed`).

use std::fs;
use std::path::{Path, PathBuf};

use serde::Deserialize;
use serde::de::DeserializeOwned;
use serde_json::{Value, json};
use spillway_sdk::testing::{block_on, call};
use spillway_sdk::{StatusCode, http};

use super::*;

#[derive(Deserialize)]
struct Reference {
    text: String,
    ids: Vec<u32>,
    /// Little-endian `f32` in base 64; only of the sentences.
    #[serde(default)]
    vector: String,
}

fn read<T: DeserializeOwned>(path: impl AsRef<Path>) -> T {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("../..").join(path);
    let text = fs::read_to_string(&path);
    let text = text.unwrap_or_else(|error| panic!("{} ({error}); run `cargo xtask setup`", path.display()));
    serde_json::from_str(&text).unwrap()
}

fn references(name: &str) -> Vec<Reference> {
    read(PathBuf::from("tests/data/embed").join(name).with_extension("json"))
}

fn vector(base64: &str) -> Vec<f32> {
    let bytes = STANDARD.decode(base64).unwrap();
    bytes.chunks_exact(4).map(|four| f32::from_le_bytes(four.try_into().unwrap())).collect()
}

fn send(method: &str, path: &str, body: impl Into<String>) -> (StatusCode, Value) {
    let request = http::Request::builder().method(method).uri(path).body(body.into()).unwrap();
    let response = call(handle, request);
    assert_eq!(response.headers()["content-type"], "application/json");
    (response.status(), block_on(response.into_body().json()).unwrap())
}

fn post(body: &Value) -> (StatusCode, Value) {
    send("POST", "/v1/embeddings", body.to_string())
}

#[test]
fn vectors_of_a_hundred_sentences_are_those_of_the_implementation_in_numpy() {
    let references = references("references");
    let texts: Vec<_> = references.iter().map(|reference| reference.text.as_str()).collect();
    let (status, answer) = post(&json!({"model": MODEL, "input": texts, "encoding_format": "base64"}));
    assert_eq!(status, StatusCode::OK, "{answer}");
    let data = answer["data"].as_array().unwrap();
    assert_eq!(data.len(), 100);
    let mut worst = 0.0f32;
    for (index, (entry, reference)) in data.iter().zip(&references).enumerate() {
        assert_eq!((&entry["object"], &entry["index"]), (&json!("embedding"), &json!(index)));
        let (ours, theirs) = (vector(entry["embedding"].as_str().unwrap()), vector(&reference.vector));
        assert_eq!(ours.len(), DIMENSIONS);
        let difference = ours.iter().zip(theirs).map(|(ours, theirs)| (ours - theirs).abs()).fold(0.0, f32::max);
        worst = worst.max(difference);
    }
    println!("furthest apart: {worst:e}");
    // Printed above: 3.3e-7. The numbers of a vector are about 0.05.
    assert!(worst < 1e-5, "{worst:e}");
    let tokens: usize = references.iter().map(|reference| reference.ids.len()).sum();
    assert_eq!(answer["usage"], json!({"prompt_tokens": tokens, "total_tokens": tokens}));
}

#[test]
fn one_text_is_answered_like_a_list_of_one_and_numbers_like_base_64() {
    let (status, answer) = post(&json!({"model": MODEL, "input": "Hello, world!", "user": "somebody"}));
    assert_eq!(status, StatusCode::OK, "{answer}");
    assert_eq!((&answer["object"], &answer["model"]), (&json!("list"), &json!(MODEL)));
    // [CLS] hello , world ! [SEP]
    assert_eq!(answer["usage"], json!({"prompt_tokens": 6, "total_tokens": 6}));
    let numbers: Vec<f32> = serde_json::from_value(answer["data"][0]["embedding"].clone()).unwrap();
    let length: f64 = numbers.iter().map(|number| f64::from(*number).powi(2)).sum();
    assert!((length - 1.0).abs() < 1e-6, "{length}");
    let listed = json!({"model": MODEL, "input": ["Hello, world!"], "encoding_format": "base64", "dimensions": 384});
    let (_, listed) = post(&listed);
    assert_eq!(vector(listed["data"][0]["embedding"].as_str().unwrap()), numbers);
}

#[test]
fn the_model_is_listed_and_found() {
    let card = json!({"id": MODEL, "object": "model", "created": 0, "owned_by": "sentence-transformers"});
    assert_eq!(send("GET", "/v1/models", ""), (StatusCode::OK, json!({"object": "list", "data": [card]})));
    assert_eq!(send("GET", "/v1/models/all-MiniLM-L6-v2", ""), (StatusCode::OK, card));
}

/// A refusal must have the given status, `param`, `code` and a part of the message.
fn assert_refused(answer: &(StatusCode, Value), status: u16, param: Option<&str>, code: Option<&str>, part: &str) {
    let (given, document) = answer;
    let error = &document["error"];
    assert_eq!(given.as_u16(), status, "{part}: {document}");
    assert_eq!(error["type"], "invalid_request_error", "{part}: {document}");
    assert_eq!((&error["param"], &error["code"]), (&json!(param), &json!(code)), "{part}: {document}");
    assert!(error["message"].as_str().unwrap().contains(part), "{part}: {document}");
}

#[test]
fn what_is_wrong_with_a_call_is_named_as_openai_does() {
    let with = |member: &str, value: Value| {
        let mut body = json!({"model": MODEL, "input": "Hello"});
        body[member] = value;
        body
    };
    let cases = [
        (with("input", json!("")), "input", "invalid_value", "string 0 of `input` is empty"),
        (with("input", json!(["a", ""])), "input", "invalid_value", "string 1 of `input` is empty"),
        (with("input", json!([])), "input", "empty_array", "an empty list"),
        (with("input", json!(vec!["a"; 2049])), "input", "array_above_max_length", "2049 strings; 2048 is the most"),
        (with("input", json!([1, 2, 3])), "input", "invalid_type", "token ids; send strings"),
        (with("input", json!([[1, 2], [3]])), "input", "invalid_type", "token ids; send strings"),
        (with("input", json!(["a", 1])), "input", "invalid_type", "no string and no list of strings"),
        (with("input", json!({"text": "a"})), "input", "invalid_type", "no string and no list of strings"),
        (with("input", json!(1.5)), "input", "invalid_type", "no string and no list of strings"),
        (with("input", Value::Null), "input", "missing_required_parameter", "`input` is missing"),
        (json!({"model": MODEL}), "input", "missing_required_parameter", "`input` is missing"),
        (json!({"input": "a"}), "model", "missing_required_parameter", "`model` is missing"),
        (with("model", json!(1)), "model", "invalid_type", "`model` is not a string"),
        (with("encoding_format", json!("hex")), "encoding_format", "invalid_value", "neither \"float\" nor"),
        (with("encoding_format", json!(1)), "encoding_format", "invalid_value", "neither \"float\" nor"),
        (with("dimensions", json!(256)), "dimensions", "invalid_value", "`dimensions` is not 384"),
        (with("dimensions", json!("384")), "dimensions", "invalid_value", "`dimensions` is not 384"),
        (with("dimensions", json!(-1)), "dimensions", "invalid_value", "`dimensions` is not 384"),
        (with("dimension", json!(384)), "dimension", "unknown_parameter", "there is no parameter `dimension`"),
    ];
    for (body, param, code, part) in cases {
        assert_refused(&post(&body), 400, Some(param), Some(code), part);
    }
}

#[test]
fn another_model_is_not_found() {
    let answer = post(&json!({"model": "text-embedding-3-small", "input": "Hello"}));
    assert_refused(&answer, 404, Some("model"), Some("model_not_found"), "`text-embedding-3-small` does not exist");
    let answer = send("GET", "/v1/models/gpt-4", "");
    assert_refused(&answer, 404, Some("model"), Some("model_not_found"), "`gpt-4` does not exist");
}

#[test]
fn a_body_that_is_no_request_is_refused() {
    for body in ["", "{", "[]", "\"Hello\"", r#"{"model":"a","model":"b","input":"c"}"#, "{} {}"] {
        assert_refused(&send("POST", "/v1/embeddings", body), 400, None, None, "the body is not the JSON of a request");
    }
}

#[test]
fn other_paths_and_methods_are_not_found() {
    for (method, path) in
        [("GET", "/v1/embeddings"), ("POST", "/v1/models"), ("GET", "/v2/models"), ("GET", "/v1/modelsx")]
    {
        let part = format!("there is no {method} {path}");
        assert_refused(&send(method, path, ""), 404, None, Some("unknown_url"), &part);
    }
}
