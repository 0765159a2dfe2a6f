//! The samples on real models: right answers, one load of each model, and its time charged to whom it belongs.

use std::collections::BTreeSet;
use std::path::PathBuf;
use std::time::Duration;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD as BASE64;
use futures::future::join_all;
use futures::{StreamExt as _, stream};
use reqwest::Method;
use serde_json::Value;
use spillway_tests::{Answer, Node, bare, bundle, manifest_of, spillway, workspace};

use crate::variants::variant;

/// Ours and the reference's engine add up in different orders: measured, scores of the corpus differ by at most 7.1e-6.
const SCORE_TOLERANCE: f64 = 1e-3;
const COLD_CALLS: usize = 200;
const TIMED_CALLS: usize = 32;

/// The folder that holds what was built beside the binary under test.
pub(crate) fn target() -> PathBuf {
    let binary = spillway();
    binary.parent().and_then(|profile| profile.parent()).expect("the binary lies in a profile's folder").to_owned()
}

/// Deploys `sniff` as people do: the command line uploads the model.
async fn deploy_sniff(node: &Node) {
    let file = target().join("spillway/sniff.wasm").display().to_string();
    node.cli(&["deploy", &file, "--json"]).await.json();
}

async fn sniff(node: &Node, path: &str, body: Vec<u8>) -> Answer {
    Node::send(node.request(Method::POST, path).header("spillway-timing", "1").body(body)).await
}

/// A duration in seconds of the answer's `Server-Timing`; there must be one.
fn timing(answer: &Answer, name: &str) -> f64 {
    let header = answer.header("server-timing").expect("it was asked for");
    let mut metrics = header.split(", ").filter_map(|metric| metric.strip_prefix(name)?.strip_prefix(";dur="));
    let millis = metrics.next().unwrap_or_else(|| panic!("no `{name}` in {header}"));
    millis.parse::<f64>().unwrap_or_else(|_| panic!("`{name}` is no number in {header}")) / 1e3
}

#[tokio::test]
async fn sniff_answers_as_the_python_package_does() {
    let node = Node::start().await;
    deploy_sniff(&node).await;
    let corpus = workspace().join("tests/data/sniff");
    // Written by reference.py, which lies beside them.
    let references = std::fs::read(corpus.join("references.json")).expect("the references are there");
    let references: serde_json::Map<String, Value> = serde_json::from_slice(&references).expect("they are JSON");
    let files: BTreeSet<String> = std::fs::read_dir(corpus.join("files"))
        .expect("the corpus is there")
        .map(|entry| entry.expect("a folder can be read").file_name().to_string_lossy().into_owned())
        .collect();
    assert_eq!(files, references.keys().cloned().collect(), "each file has a reference, and each reference a file");
    let labels: BTreeSet<_> = references.values().map(|reference| reference["label"].to_string()).collect();
    assert!(files.len() >= 60 && labels.len() >= 30, "{} files of {} types", files.len(), labels.len());

    let answers = stream::iter(&references).map(async |(file, reference)| {
        let body = std::fs::read(corpus.join("files").join(file)).expect("a file of the corpus can be read");
        (file, reference, sniff(&node, "/sniff", body).await)
    });
    let wrong: Vec<String> = answers
        .buffer_unordered(16)
        .filter_map(async |(file, reference, answer)| {
            let found: Value = serde_json::from_str(&answer.ok()).expect("sniff answers JSON");
            let score = |value: &Value| value["score"].as_f64().unwrap_or(f64::NAN);
            let is_right = found["label"] == reference["label"]
                && found["mime"] == reference["mime"]
                && (score(&found) - score(reference)).abs() <= SCORE_TOLERANCE;
            (!is_right).then(|| format!("{file}: {found} instead of {reference}"))
        })
        .collect()
        .await;
    assert!(wrong.is_empty(), "{wrong:#?}");
}

#[tokio::test]
async fn sniff_is_right_on_files_of_no_corpus() {
    let node = Node::start().await;
    deploy_sniff(&node).await;
    let read = |path: PathBuf| std::fs::read(&path).unwrap_or_else(|error| panic!("{}: {error}", path.display()));
    let files = [
        ("elf", read("/proc/self/exe".into())),
        ("rust", include_bytes!("samples.rs").to_vec()),
        ("png", png(64, 64)),
        ("onnx", read(target().join("models/magika/model.onnx"))),
        ("wasm", bare(&bundle("hello"))),
        ("python", read(workspace().join("tests/guests/python/app.py"))),
        ("javascript", read(workspace().join("tests/guests/javascript/app.js"))),
        ("toml", read(workspace().join("Cargo.toml"))),
    ];
    for (label, bytes) in files {
        let found = sniff(&node, "/sniff", bytes).await;
        assert_eq!(found.json()["label"], label, "{}", found.ok());
    }
}

/// A grey gradient as a PNG whose pixels are not compressed (RFC 2083, RFC 1950 and RFC 1951).
fn png(width: u32, height: u32) -> Vec<u8> {
    let pixels: Vec<u8> =
        (0..height).flat_map(|y| [0].into_iter().chain((0..width).map(move |x| (x + y) as u8))).collect();
    let length = u16::try_from(pixels.len()).expect("one stored block takes 64 KiB");
    let (low, high) = pixels.iter().fold((1_u32, 0_u32), |(low, high), byte| {
        let low = (low + u32::from(*byte)) % 65521;
        (low, (high + low) % 65521)
    });
    let mut packed = vec![0x78, 0x01, 0x01];
    packed.extend([length.to_le_bytes(), (!length).to_le_bytes()].concat());
    packed.extend(pixels);
    packed.extend((high << 16 | low).to_be_bytes());
    let size = [width.to_be_bytes(), height.to_be_bytes()].concat();
    let header = [&size[..], &[8, 0, 0, 0, 0]].concat();
    let mut file = b"\x89PNG\r\n\x1a\n".to_vec();
    for (kind, content) in [(b"IHDR", header), (b"IDAT", packed), (b"IEND", Vec::new())] {
        let checked = [&kind[..], &content].concat();
        let crc = !checked.iter().fold(!0_u32, |crc, byte| {
            (0..8).fold(crc ^ u32::from(*byte), |crc, _| if crc & 1 == 1 { crc >> 1 ^ 0xEDB8_8320 } else { crc >> 1 })
        });
        file.extend(u32::try_from(content.len()).expect("it is small").to_be_bytes());
        file.extend(checked);
        file.extend(crc.to_be_bytes());
    }
    file
}

/// Two functions that may open the same model: `sniff` and `sniff-too`.
async fn deploy_two_at_once(node: &Node) {
    let too = variant("sniff", |manifest| {
        manifest.name = "sniff-too".parse().expect("it is a name");
        manifest.routes[0].pattern.path = "/sniff-too".to_owned();
    });
    let digest = manifest_of(&too).model_digests()[0];
    let model = std::fs::read(target().join("models/magika/model.onnx")).expect("the model is there");
    let upload = node.api(Method::PUT, &format!("/blobs/{digest}")).body(model);
    assert_eq!(Node::send(upload).await.status, 201);
    let (deployed, _) = tokio::join!(node.post(too, ""), node.deploy("sniff"));
    assert_eq!(deployed.status, 201, "{deployed:?}");
}

#[tokio::test]
async fn a_model_is_loaded_once_for_all_functions_and_all_calls() {
    let folder = tempfile::tempdir().expect("tests may write temporary files");
    let node = Node::builder().data(folder.path()).start().await;
    deploy_two_at_once(&node).await;
    let loads = |stderr: String| stderr.lines().filter(|line| line.contains("model loaded")).count();
    assert_eq!(loads(node.kill()), 1, "two functions that are deployed at once share the load");

    let node = Node::builder().data(folder.path()).start().await;
    let body = include_bytes!("samples.rs");
    let calls = (0..COLD_CALLS).map(|call| {
        let path = if call % 2 == 0 { "/sniff" } else { "/sniff-too" };
        sniff(&node, path, body.to_vec())
    });
    for answer in join_all(calls).await {
        assert_eq!(answer.json()["label"], "rust", "{}", answer.ok());
    }
    let models = node.get("/models").await;
    let models = models.as_array().expect("models are a list");
    assert_eq!(models.len(), 1, "{models:#?}");
    assert_eq!(models[0]["loaded"], true, "{models:#?}");
    assert_eq!(models[0]["runs"], COLD_CALLS, "{models:#?}");
    assert_eq!(models[0]["functions"], serde_json::json!(["default/sniff", "default/sniff-too"]), "{models:#?}");
    assert_eq!(loads(node.kill()), 1, "{COLD_CALLS} cold calls share the load");
}

#[tokio::test]
async fn ocr_reads_the_pictures_that_take_most_memory_within_its_limit() {
    let node = Node::start().await;
    let file = target().join("spillway/ocr.wasm").display().to_string();
    node.cli(&["deploy", &file, "--json"]).await.json();
    // What the detector works with is charged to the sandbox: hundreds of megabytes for these.
    for (name, first) in [("label.png", "Serial"), ("large.png", "City library"), ("banner.png", "Breaking")] {
        let picture = std::fs::read(workspace().join("tests/data/ocr/pictures").join(name)).expect("it is kept");
        let answer = Node::send(node.request(Method::POST, "/ocr").body(picture)).await;
        assert_eq!(answer.json()["lines"][0]["text"], first, "{name}: {}", answer.ok());
    }
}

#[tokio::test]
async fn ocr_loads_its_three_models_once_for_200_cold_calls() {
    let folder = tempfile::tempdir().expect("tests may write temporary files");
    let node = Node::builder().data(folder.path()).start().await;
    let file = target().join("spillway/ocr.wasm").display().to_string();
    // The command line uploads the models. Then with a deadline that all calls meet that wait for two cores.
    node.cli(&["deploy", &file, "--json"]).await.json();
    let patient = variant("ocr", |manifest| manifest.limits.deadline = Duration::from_secs(600));
    assert_eq!(node.post(patient, "").await.status, 201);
    node.kill();

    let node = Node::builder().data(folder.path()).start().await;
    let before = node.resident_bytes();
    let picture = std::fs::read(workspace().join("tests/data/ocr/pictures/sign.jpg")).expect("it is kept");
    let post = || Node::send(node.request(Method::POST, "/ocr").body(picture.clone()));
    for answer in join_all((0..COLD_CALLS).map(|_| post())).await {
        let lines = answer.json();
        assert_eq!(lines["lines"][0]["text"], "Mountainhut", "{}", answer.ok());
    }
    println!(
        "resident: {before} bytes before, {} after, {} at most",
        node.resident_bytes(),
        node.peak_resident_bytes()
    );
    let models = node.get("/models").await;
    let models = models.as_array().expect("models are a list");
    assert_eq!(models.len(), 3, "{models:#?}");
    for model in models {
        assert_eq!(model["loads"], 1, "{model:#?}");
        assert!(model["runs"].as_u64().is_some_and(|runs| runs >= COLD_CALLS as u64), "{model:#?}");
    }
}

#[tokio::test]
async fn speech_finds_the_segments_that_the_python_package_does() {
    let node = Node::start().await;
    let file = target().join("spillway/speech.wasm").display().to_string();
    node.cli(&["deploy", &file, "--json"]).await.json();
    let corpus = workspace().join("tests/data/speech");
    // Written by reference.py, which lies beside them: positions of samples at 16 kHz, by query string.
    let references = std::fs::read(corpus.join("references.json")).expect("the references are there");
    let references: serde_json::Map<String, Value> = serde_json::from_slice(&references).expect("they are JSON");
    let cases = references.iter().flat_map(|(name, reference)| {
        let cases = reference["cases"].as_object().expect("cases by query");
        cases.iter().map(move |(query, segments)| (name, &reference["rate"], query, segments))
    });
    let cases: Vec<_> = cases.collect();
    assert!(cases.len() >= 100, "{} cases", cases.len());

    // Several at once, so that calls of one sandbox each keep their own state between frames.
    let answers = stream::iter(cases).map(async |(name, rate, query, segments)| {
        let body = std::fs::read(corpus.join(name).with_extension("wav")).expect("each reference has its recording");
        let answer = Node::send(node.request(Method::POST, &format!("/speech?{query}")).body(body)).await;
        let found: Value = serde_json::from_str(&answer.ok()).expect("speech answers JSON");
        let sample = |seconds: &Value| (seconds.as_f64().unwrap_or(f64::NAN) * 16_000.0).round() as i64;
        let starts_and_ends = found["segments"].as_array().expect("segments are a list").iter();
        let starts_and_ends: Vec<_> =
            starts_and_ends.map(|segment| [sample(&segment["start"]), sample(&segment["end"])]).collect();
        let is_right = serde_json::json!(starts_and_ends) == *segments && found["sample_rate"] == *rate;
        (!is_right).then(|| format!("{name}?{query}: {found} instead of {segments}"))
    });
    let wrong: Vec<_> = answers.buffer_unordered(8).filter_map(async |wrong| wrong).collect().await;
    assert!(wrong.is_empty(), "{wrong:#?}");
    let models = node.get("/models").await;
    assert_eq!((models[0]["loads"].as_u64(), models.as_array().map(Vec::len)), (Some(1), Some(1)), "{models:#?}");
}

/// A text of the references, and the vector that the implementation in NumPy gives it.
pub(crate) fn embedded() -> Vec<(String, Vec<f32>)> {
    // Written by reference.py, which lies beside them.
    let references = std::fs::read(workspace().join("tests/data/embed/references.json")).expect("they are there");
    let references: Vec<Value> = serde_json::from_slice(&references).expect("they are JSON");
    let text = |reference: &Value| reference["text"].as_str().expect("a text").to_owned();
    references.iter().map(|reference| (text(reference), floats(&reference["vector"]))).collect()
}

/// The numbers of a vector in base 64.
fn floats(vector: &Value) -> Vec<f32> {
    let bytes = BASE64.decode(vector.as_str().expect("a string")).expect("base 64");
    bytes.chunks_exact(4).map(|four| f32::from_le_bytes(four.try_into().expect("four"))).collect()
}

fn cosine(a: &[f32], b: &[f32]) -> f64 {
    let dot = |a: &[f32], b: &[f32]| a.iter().zip(b).map(|(a, b)| f64::from(*a) * f64::from(*b)).sum::<f64>();
    dot(a, b) / (dot(a, a) * dot(b, b)).sqrt()
}

async fn deploy_embed(node: &Node) {
    let file = target().join("spillway/embed.wasm").display().to_string();
    node.cli(&["deploy", &file, "--json"]).await.json();
}

#[tokio::test]
async fn embed_gives_the_vectors_of_the_reference_alone_and_in_batches() {
    let node = Node::start().await;
    deploy_embed(&node).await;
    let references = embedded();
    assert_eq!(references.len(), 100);
    for batch in [1, 7, 100] {
        let calls = references.chunks(batch).map(async |texts| {
            let input: Vec<&str> = texts.iter().map(|(text, _)| text.as_str()).collect();
            let body = serde_json::json!({ "model": "all-MiniLM-L6-v2", "input": input, "encoding_format": "base64" });
            let request = node.request(Method::POST, "/v1/embeddings").header("spillway-timing", "1").json(&body);
            let answer = Node::send(request).await;
            assert!(timing(&answer, "infer") > 0.0, "graphs are charged to the call: {answer:?}");
            let answer: Value = serde_json::from_str(&answer.ok()).expect("embed answers JSON");
            let vectors = answer["data"].as_array().expect("a list").iter().map(|one| floats(&one["embedding"]));
            vectors.zip(texts).map(|(vector, (_, right))| cosine(&vector, right)).collect::<Vec<_>>()
        });
        let cosines: Vec<f64> = stream::iter(calls).buffered(8).concat().await;
        assert_eq!(cosines.len(), 100);
        let worst = cosines.iter().copied().fold(1.0, f64::min);
        assert!(worst >= 0.9999, "in batches of {batch}: {worst}");
    }
    let models = node.get("/models").await;
    assert_eq!((models[0]["loads"].as_u64(), models.as_array().map(Vec::len)), (Some(1), Some(1)), "{models:#?}");
}

#[tokio::test]
async fn openais_own_client_takes_embed_for_openai() {
    let node = Node::start().await;
    deploy_embed(&node).await;
    let script = workspace().join("tests/integration/openai_client.py");
    let python = tokio::process::Command::new("python3")
        .env("PYTHONPATH", workspace().join("target/clients"))
        .arg(script)
        .arg(format!("{}/v1", node.listen()))
        .arg(workspace().join("tests/data/embed/references.json"))
        .output();
    let output = python.await.expect("python3 is there");
    let said = String::from_utf8_lossy(&output.stdout);
    assert!(output.status.success(), "{said}{}", String::from_utf8_lossy(&output.stderr));
    assert_eq!(said.trim(), "6 checks");
}

#[tokio::test]
async fn inference_is_charged_to_the_call_and_the_function_that_asked_for_it() {
    let node = Node::start().await;
    deploy_two_at_once(&node).await;
    node.deploy("hello").await;
    let paths = ["/sniff", "/sniff-too", "/hello"];
    let calls = (0..3 * TIMED_CALLS).map(|call| sniff(&node, paths[call % 3], include_bytes!("samples.rs").to_vec()));
    let answers = join_all(calls).await;
    let mut sums = [0.0; 3];
    for (call, answer) in answers.iter().enumerate() {
        answer.ok();
        let (infer, total) = (timing(answer, "infer"), timing(answer, "total"));
        assert_eq!(infer > 0.0, call % 3 < 2, "{}: {answer:?}", paths[call % 3]);
        assert!(infer <= total, "{answer:?}");
        sums[call % 3] += infer;
    }
    let metrics = node.metrics().await;
    let seconds = |function: &str| metrics.sum("spillway_inference_seconds_total", &[("function", function)]);
    // A header rounds to microseconds.
    let rounding = TIMED_CALLS as f64 * 1e-6;
    for (function, sum) in [("sniff", sums[0]), ("sniff-too", sums[1])] {
        let counted = seconds(function).expect("it has inferred");
        assert!((counted - sum).abs() <= rounding, "{function}: {counted} s counted, {sum} s told");
    }
    assert_eq!(seconds("hello").unwrap_or(0.0), 0.0);
    let kernels = metrics.sum("spillway_kernel_seconds_total", &[]).expect("kernel threads have worked");
    assert!(kernels + rounding >= sums[0] + sums[1], "{kernels} s worked, {sums:?} s told");
}
