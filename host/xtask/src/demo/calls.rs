//! What the demo calls, and what must come back.

use std::net::SocketAddr;
use std::path::Path;
use std::time::{Duration, Instant};

use anyhow::Context as _;
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD as BASE64;
use comfy_table::{ContentArrangement, Table, presets};
use reqwest::{Client, Method};
use serde_json::Value;

use crate::workspace::Workspace;

/// One call: input, and the answer that is right.
struct Call {
    function: &'static str,
    input: String,
    method: Method,
    path: &'static str,
    body: Vec<u8>,
    right: Right,
}

/// Which answer is right.
enum Right {
    /// This text.
    Text(&'static str),
    /// The request's own body.
    Echo,
    /// This many bytes.
    Length(usize),
    /// A file type; reference: the Python package magika 1.0.3 on the same file.
    Label(&'static str),
    /// These lines of text; reference: the Python package rapidocr-onnxruntime 1.4.4 on the same picture.
    Lines(Vec<String>),
    /// A vector for each text, as near as this to the reference, an implementation in NumPy.
    Vectors(Vec<Vec<f32>>),
    /// This text first of those that are found.
    Nearest(&'static str),
    /// Speech from and to these samples at 16 kHz; reference: the Python package silero-vad 6.2.3 on the same recording.
    Segments(Vec<(f64, f64)>),
}

/// Files of every Linux machine and of this repository, with their types.
const FILES: [(&str, &str); 7] = [
    ("host/cli/src/main.rs", "rust"),
    ("functions/sniff/content_types.py", "python"),
    ("Cargo.toml", "toml"),
    (".ci/run", "shell"),
    ("target/models/magika/config.min.json", "json"),
    ("target/models/magika/model.onnx", "onnx"),
    ("/bin/ls", "elf"),
];

/// Pictures and recordings of the tests, whose references lie beside them.
const PICTURES: [&str; 3] = ["receipt.png", "chinese_night.jpg", "tilt_-20.png"];
const RECORDINGS: [&str; 2] = ["recorded-en", "silence"];

/// Makes all calls twice and prints the table; gives the number of wrong answers.
pub(crate) async fn show(workspace: &Workspace, listen: SocketAddr) -> anyhow::Result<usize> {
    let client = Client::builder().timeout(Duration::from_secs(60)).build()?;
    let mut table = Table::new();
    table.load_style(presets::UTF8_FULL_CONDENSED).set_content_arrangement(ContentArrangement::Dynamic);
    table.set_header(["function", "input", "answer", "first", "second"]);
    let mut wrong = Vec::new();
    for call in calls(workspace.root())? {
        let (first, first_took) = call.make(&client, listen).await?;
        let (second, second_took) = call.make(&client, listen).await?;
        for answer in [&first, &second] {
            wrong.extend(
                call.judge(answer).err().map(|reason| format!("{} on {}: {reason}", call.function, call.input)),
            );
        }
        table.add_row([
            call.function.to_owned(),
            call.input.clone(),
            brief(&first),
            took(first_took),
            took(second_took),
        ]);
    }
    println!("\n{table}");
    for line in &wrong {
        eprintln!("wrong: {line}");
    }
    Ok(wrong.len())
}

fn calls(root: &Path) -> anyhow::Result<Vec<Call>> {
    let read = |path: &str| std::fs::read(root.join(path)).with_context(|| format!("{path} cannot be read"));
    let hello = |input: &str, method, path, body, right| Call {
        function: "hello",
        input: input.to_owned(),
        method,
        path,
        body,
        right,
    };
    let mut calls = vec![
        hello("GET ?name=Ada", Method::GET, "/hello?name=Ada", Vec::new(), Right::Text("Hello, Ada!\n")),
        hello("POST Cargo.lock", Method::POST, "/hello", read("Cargo.lock")?, Right::Echo),
        hello(
            "GET /stream, 64 x 64 KiB",
            Method::GET,
            "/hello/stream?chunks=64&bytes=65536",
            Vec::new(),
            Right::Length(64 * 65536),
        ),
    ];
    for (path, label) in FILES {
        let (input, body) = (path.to_owned(), read(path)?);
        calls.push(Call {
            function: "sniff",
            input,
            method: Method::POST,
            path: "/sniff",
            body,
            right: Right::Label(label),
        });
    }
    let references: Value = serde_json::from_slice(&read("tests/data/ocr/references.json")?)?;
    for name in PICTURES {
        let lines = references[name].as_array().with_context(|| format!("{name} has no reference"))?;
        let lines = lines.iter().map(|line| line["text"].as_str().unwrap_or_default().to_owned()).collect();
        calls.push(Call {
            function: "ocr",
            input: name.to_owned(),
            method: Method::POST,
            path: "/ocr",
            body: read(&format!("tests/data/ocr/pictures/{name}"))?,
            right: Right::Lines(lines),
        });
    }
    let references: Value = serde_json::from_slice(&read("tests/data/speech/references.json")?)?;
    for name in RECORDINGS {
        let segments = references[name]["cases"][""].as_array().with_context(|| format!("{name} has no reference"))?;
        let at = |segment: &Value, end: usize| segment[end].as_f64().unwrap_or_default();
        calls.push(Call {
            function: "speech",
            input: format!("{name}.wav"),
            method: Method::POST,
            path: "/speech",
            body: read(&format!("tests/data/speech/{name}.wav"))?,
            right: Right::Segments(segments.iter().map(|segment| (at(segment, 0), at(segment, 1))).collect()),
        });
    }
    let references: Vec<Value> = serde_json::from_slice(&read("tests/data/embed/references.json")?)?;
    let texts: Vec<&Value> = references.iter().take(TEXTS).map(|reference| &reference["text"]).collect();
    let body = serde_json::json!({ "model": "all-MiniLM-L6-v2", "input": texts, "encoding_format": "base64" });
    calls.push(Call {
        function: "embed",
        input: format!("{TEXTS} sentences"),
        method: Method::POST,
        path: "/v1/embeddings",
        body: serde_json::to_vec(&body)?,
        right: Right::Vectors(references.iter().take(TEXTS).map(|reference| vector(&reference["vector"])).collect()),
    });
    let search = serde_json::json!({ "text": "A dog barks at the postman", "count": 3 });
    calls.push(Call {
        function: "similar",
        input: search["text"].to_string(),
        method: Method::POST,
        path: "/similar",
        body: serde_json::to_vec(&search)?,
        right: Right::Nearest("A dog barks at the postman."),
    });
    Ok(calls)
}

/// How many texts are made into vectors at once.
const TEXTS: usize = 10;

/// The numbers of a vector in base 64; none of what is no vector.
fn vector(value: &Value) -> Vec<f32> {
    let bytes = BASE64.decode(value.as_str().unwrap_or_default()).unwrap_or_default();
    bytes.as_chunks::<4>().0.iter().map(|four| f32::from_le_bytes(*four)).collect()
}

fn cosine(a: &[f32], b: &[f32]) -> f64 {
    let dot = |a: &[f32], b: &[f32]| a.iter().zip(b).map(|(a, b)| f64::from(*a) * f64::from(*b)).sum::<f64>();
    dot(a, b) / (dot(a, a) * dot(b, b)).sqrt()
}

/// Status and body.
struct Answer {
    status: reqwest::StatusCode,
    body: Vec<u8>,
}

impl Call {
    async fn make(&self, client: &Client, listen: SocketAddr) -> anyhow::Result<(Answer, Duration)> {
        let url = format!("http://{listen}{}", self.path);
        let start = Instant::now();
        let call = async {
            let response = client.request(self.method.clone(), &url).body(self.body.clone()).send().await?;
            let status = response.status();
            Ok::<_, reqwest::Error>(Answer { status, body: response.bytes().await?.to_vec() })
        };
        let answer = call.await.with_context(|| format!("{} on {} got no answer", self.function, self.input))?;
        Ok((answer, start.elapsed()))
    }

    /// # Errors
    /// What came and what should have come.
    fn judge(&self, answer: &Answer) -> Result<(), String> {
        if !answer.status.is_success() {
            return Err(format!("{}: {}", answer.status, brief(answer)));
        }
        let (right, wanted) = match &self.right {
            Right::Text(text) => (answer.body == text.as_bytes(), format!("{text:?}")),
            Right::Echo => (answer.body == self.body, format!("the {} bytes that were sent", self.body.len())),
            Right::Length(length) => (answer.body.len() == *length, format!("{length} bytes")),
            Right::Label(label) => {
                let found = serde_json::from_slice::<Value>(&answer.body).unwrap_or_default();
                (found["label"] == *label, format!("the label {label}"))
            }
            Right::Lines(lines) => {
                let found = serde_json::from_slice::<Value>(&answer.body).unwrap_or_default();
                let found = found["lines"].as_array().map(Vec::as_slice).unwrap_or_default();
                (found.iter().map(|line| &line["text"]).eq(lines), format!("the lines {lines:?}"))
            }
            Right::Vectors(vectors) => {
                let found = serde_json::from_slice::<Value>(&answer.body).unwrap_or_default();
                let found = found["data"].as_array().map(Vec::as_slice).unwrap_or_default();
                let near = |(found, right): (&Value, &Vec<f32>)| cosine(&vector(&found["embedding"]), right) >= 0.9999;
                let is_right = found.len() == vectors.len() && found.iter().zip(vectors).all(near);
                (is_right, format!("{} vectors of the reference", vectors.len()))
            }
            Right::Nearest(text) => {
                let found = serde_json::from_slice::<Value>(&answer.body).unwrap_or_default();
                (found[0]["text"] == *text, format!("the text {text:?} first"))
            }
            Right::Segments(segments) => {
                let found = serde_json::from_slice::<Value>(&answer.body).unwrap_or_default();
                let found = found["segments"].as_array().map(Vec::as_slice).unwrap_or_default();
                let sample = |segment: &Value, end: &str| (segment[end].as_f64().unwrap_or(-1.0) * 16e3).round();
                let found = found.iter().map(|segment| (sample(segment, "start"), sample(segment, "end")));
                (found.eq(segments.iter().copied()), format!("speech at the samples {segments:?}"))
            }
        };
        if right { Ok(()) } else { Err(format!("{} instead of {wanted}", brief(answer))) }
    }
}

/// An answer in a cell of a table.
fn brief(answer: &Answer) -> String {
    let json = serde_json::from_slice::<Value>(&answer.body).unwrap_or_default();
    if let Some(lines) = json["lines"].as_array() {
        return lines.iter().filter_map(|line| line["text"].as_str()).collect::<Vec<_>>().join(" / ");
    }
    if let Some(text) = json[0]["text"].as_str() {
        return text.to_owned();
    }
    match std::str::from_utf8(&answer.body) {
        Ok(text) if text.len() <= 160 => text.trim_end().to_owned(),
        _ => format!("{} bytes", answer.body.len()),
    }
}

fn took(duration: Duration) -> String {
    format!("{:.1} ms", duration.as_secs_f64() * 1e3)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_answer_is_judged_by_status_and_content() {
        let call = Call {
            function: "sniff",
            input: "a file".to_owned(),
            method: Method::POST,
            path: "/sniff",
            body: Vec::new(),
            right: Right::Label("rust"),
        };
        let answer = |status, body: &str| Answer { status, body: body.as_bytes().to_vec() };
        let (ok, failed) = (reqwest::StatusCode::OK, reqwest::StatusCode::INTERNAL_SERVER_ERROR);
        assert_eq!(call.judge(&answer(ok, r#"{"label":"rust"}"#)), Ok(()));
        for wrong in [answer(ok, r#"{"label":"c"}"#), answer(ok, "rust"), answer(failed, r#"{"label":"rust"}"#)] {
            assert!(call.judge(&wrong).is_err());
        }
    }
}
