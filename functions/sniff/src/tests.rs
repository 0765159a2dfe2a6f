//! The handler against what the Python package said of the same files (`tests/data/sniff/references.json`).

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::{Path, PathBuf};

use serde::Deserialize;
use spillway_sdk::testing::{block_on, call};
use spillway_sdk::{Request, StatusCode};

use super::*;

#[derive(Deserialize)]
struct Reference {
    label: String,
    score: f32,
    mime: String,
}

#[derive(Deserialize)]
struct Answer {
    label: String,
    score: f32,
    mime: String,
}

fn corpus() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../../tests/data/sniff")
}

fn references() -> BTreeMap<String, Reference> {
    let text = fs::read_to_string(corpus().join("references.json")).unwrap();
    serde_json::from_str(&text).unwrap()
}

fn sniff(file: Vec<u8>) -> Answer {
    let model = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../target/models/magika/model.onnx");
    assert!(model.exists(), "{} is missing; run `cargo xtask setup`", model.display());
    let response = call(handle, Request::new(file.into()));
    assert_eq!(response.status(), StatusCode::OK, "{:?}", block_on(response.into_body().text()));
    block_on(response.into_body().json()).unwrap()
}

#[test]
fn every_file_of_the_corpus_is_named_as_by_the_python_package() {
    for (name, reference) in references() {
        let answer = sniff(fs::read(corpus().join("files").join(&name)).unwrap());
        assert_eq!(answer.label, reference.label, "{name}");
        assert_eq!(answer.mime, reference.mime, "{name}");
        // Measured difference between tract and ONNX Runtime on this model: at most 1e-5.
        assert!((answer.score - reference.score).abs() < 1e-3, "{name}: {} and {}", answer.score, reference.score);
    }
}

#[test]
fn corpus_has_60_files_of_30_types_and_a_reference_for_each() {
    let references = references();
    let labels: BTreeSet<_> = references.values().map(|reference| &reference.label).collect();
    assert!(references.len() >= 60, "{}", references.len());
    assert!(labels.len() >= 30, "{labels:?}");
    let files: BTreeSet<_> = fs::read_dir(corpus().join("files"))
        .unwrap()
        .map(|entry| entry.unwrap().file_name().into_string().unwrap())
        .collect();
    assert_eq!(files, references.into_keys().collect());
}

#[test]
fn doubtful_answers_become_text_or_unknown() {
    let answer = |label| ANSWERS.iter().find(|answer| answer.label == label).unwrap();
    assert_eq!(believe(answer("markdown"), 0.76).label, "markdown");
    assert_eq!(believe(answer("markdown"), 0.74).label, "txt");
    assert_eq!(believe(answer("png"), 0.49).label, "unknown");
    assert_eq!(believe(answer("randomtxt"), 0.99).label, "txt");
    assert_eq!(believe(answer("randombytes"), 0.1).label, "unknown");
}
