//! The handler against what the Python package read in the same pictures (`tests/data/ocr/references.json`).

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::{Path, PathBuf};

use serde::Deserialize;
use spillway_sdk::testing::{block_on, call};
use spillway_sdk::{Request, Response, StatusCode};

use super::*;

#[derive(Debug, Deserialize)]
struct Answer {
    lines: Vec<Found>,
}

/// A line of the answer, and of the references.
#[derive(Debug, Deserialize)]
struct Found {
    text: String,
    score: f64,
    #[serde(rename = "box")]
    corners: [[f64; 2]; 4],
}

fn corpus() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../../tests/data/ocr")
}

fn references() -> BTreeMap<String, Vec<Found>> {
    let text = fs::read_to_string(corpus().join("references.json")).unwrap();
    serde_json::from_str(&text).unwrap()
}

fn post(file: Vec<u8>) -> Response {
    let model = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../target/models/ppocr/detector.onnx");
    assert!(model.exists(), "{} is missing; run `cargo xtask setup`", model.display());
    call(handle, Request::new(file.into()))
}

fn read(file: Vec<u8>) -> Vec<Found> {
    let response = post(file);
    assert_eq!(response.status(), StatusCode::OK, "{:?}", block_on(response.into_body().text()));
    block_on(response.into_body().json::<Answer>()).unwrap().lines
}

/// Status and detail.
fn refusal(file: Vec<u8>) -> (StatusCode, String) {
    let response = post(file);
    let status = response.status();
    let problem: serde_json::Value = block_on(response.into_body().json()).unwrap();
    (status, problem["detail"].as_str().unwrap_or_default().to_owned())
}

#[test]
fn every_picture_of_the_corpus_is_read_as_by_the_python_package() {
    let (mut misread, mut worst_score, mut worst_corner) = (Vec::new(), 0.0f64, 0.0f64);
    for (name, reference) in references() {
        let lines = read(fs::read(corpus().join("pictures").join(&name)).unwrap());
        let texts = |lines: &[Found]| lines.iter().map(|line| line.text.clone()).collect::<Vec<_>>();
        if texts(&lines) != texts(&reference) {
            misread.push((name, texts(&lines), texts(&reference)));
            continue;
        }
        for (line, reference) in lines.iter().zip(&reference) {
            let corners = line.corners.as_flattened().iter().zip(reference.corners.as_flattened());
            let corner = corners.map(|(ours, theirs)| (ours - theirs).abs()).fold(0.0, f64::max);
            let score = (line.score - reference.score).abs();
            println!("{name}: score {score:.4}, corner {corner}: {}", line.text);
            worst_score = worst_score.max(score);
            worst_corner = worst_corner.max(corner);
        }
    }
    println!("furthest apart: scores {worst_score:.4}, corners {worst_corner}");
    assert!(misread.is_empty(), "{misread:#?}");
    // Printed above: 0.0137 and 1. Scores differ by what one level more or less in a pixel does, corners by rounding. How
    // far the package's own scores move when each level moves by one is what `steadiness.py` beside the pictures prints.
    assert!(worst_score < 0.02, "{worst_score}");
    assert!(worst_corner <= 2.0, "{worst_corner}");
}

#[test]
fn corpus_has_20_pictures_and_a_reference_for_each() {
    let references: BTreeSet<_> = references().into_keys().collect();
    let files = fs::read_dir(corpus().join("pictures")).unwrap();
    let files: BTreeSet<_> = files.map(|entry| entry.unwrap().file_name().into_string().unwrap()).collect();
    assert!(files.len() >= 20, "{}", files.len());
    assert_eq!(files, references);
}

#[test]
fn what_is_no_picture_is_refused_with_the_formats_that_are() {
    let (status, detail) = refusal(Vec::new());
    assert_eq!(status, StatusCode::BAD_REQUEST);
    assert!(detail.contains("JPEG or PNG"), "{detail}");
    for file in [&b"Hello"[..], b"GIF89a\x01\x00\x01\x00", b"\xff\xd8", &[0; 5000]] {
        let (status, detail) = refusal(file.to_vec());
        assert_eq!(status, StatusCode::UNSUPPORTED_MEDIA_TYPE);
        assert!(detail.contains("JPEG nor a PNG"), "{detail}");
    }
}

#[test]
fn damaged_pictures_are_refused() {
    for name in ["receipt.png", "receipt.jpg"] {
        let file = fs::read(corpus().join("pictures").join(name)).unwrap();
        let (status, detail) = refusal(file[..200].to_vec());
        assert_eq!(status, StatusCode::UNPROCESSABLE_ENTITY, "{name}: {detail}");
        assert!(detail.contains("cannot be decoded"), "{detail}");
    }
}
