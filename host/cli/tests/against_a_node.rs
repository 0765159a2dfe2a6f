//! The binary against a node that answers what the test says and remembers what it was asked.

use std::collections::HashMap;
use std::net::SocketAddr;
use std::path::Path;
use std::process::Output;
use std::sync::{Arc, Mutex};

use axum::Router;
use axum::body::{Body, to_bytes};
use axum::extract::{Request, State};
use axum::http::{Response, StatusCode};
use serde_json::{Value, json};
use spillway_types::{Bundle, Digest};

/// Magic, version and layer of an empty component, which no test runs.
const COMPONENT: &[u8] = b"\0asm\x0d\0\x01\0";
const MODEL: &[u8] = b"weights";

/// Answers by `METHOD path`; what is not there gets 404.
type Answers = HashMap<String, (u16, Value)>;

/// Method with path and query, and body, of a request.
type Seen = (String, Vec<u8>);

#[derive(Clone)]
struct FakeNode {
    address: SocketAddr,
    answers: Arc<Answers>,
    seen: Arc<Mutex<Vec<Seen>>>,
}

impl FakeNode {
    async fn start(answers: &[(&str, u16, Value)]) -> Self {
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let mut answers: Answers =
            answers.iter().map(|(key, status, body)| (key.to_string(), (*status, body.clone()))).collect();
        answers.insert("GET /api/v1/node".to_owned(), (200, node_status(address)));
        let node = Self { address, answers: Arc::new(answers), seen: Arc::default() };
        let router = Router::new().fallback(answer).with_state(node.clone());
        tokio::spawn(async move { axum::serve(listener, router).await });
        node
    }

    async fn spillway(&self, args: &[&str]) -> Output {
        spillway(&format!("http://{}", self.address), args).await
    }

    fn seen(&self) -> Vec<Seen> {
        self.seen.lock().unwrap().clone()
    }
}

async fn answer(State(node): State<FakeNode>, request: Request) -> Response<Body> {
    let key = format!("{} {}", request.method(), request.uri().path());
    let full = format!("{} {}", request.method(), request.uri());
    let body = to_bytes(request.into_body(), usize::MAX).await.unwrap().to_vec();
    node.seen.lock().unwrap().push((full, body));
    let (status, value) = node.answers.get(&key).cloned().unwrap_or((404, Value::Null));
    let text = value.as_str().map_or_else(|| value.to_string(), ToOwned::to_owned);
    let mut response = Response::new(Body::from(text));
    *response.status_mut() = StatusCode::from_u16(status).unwrap();
    response
}

async fn spillway(node: &str, args: &[&str]) -> Output {
    tokio::process::Command::new(env!("CARGO_BIN_EXE_spillway"))
        .args(args)
        .env("SPILLWAY_NODE", node)
        .env_remove("SPILLWAY_TOKEN")
        .env_remove("SPILLWAY_NAMESPACE")
        .stdin(std::process::Stdio::null())
        .output()
        .await
        .unwrap()
}

fn node_status(address: SocketAddr) -> Value {
    json!({
        "version": "0.1.0", "listen": address.to_string(), "kernel_threads": 2, "uptime_seconds": 1,
        "functions": 1, "models": 0, "resident_bytes": 1,
    })
}

fn deployment() -> Value {
    json!({
        "namespace": "default", "name": "sniff", "revision": 2, "previous": 1, "bundle": Digest::of(b""),
        "unchanged": false, "routes": [{ "path": "/sniff", "methods": ["POST"] }], "listen": "127.0.0.1:3000",
        "compile_seconds": 0.05, "compile_cached": false,
    })
}

fn detail(path: &str) -> Value {
    json!({
        "namespace": "default", "name": "hello", "version": "0.1.0", "description": "", "revision": 1,
        "routes": [{ "path": path }], "sandboxes": 0, "invocations": 0, "bundle": Digest::of(b""),
        "interface": "wasi:http@0.3", "imports": [], "effects": "none", "limits": {},
        "sandbox": { "reuse": true, "concurrency": 16 }, "models": [], "keyvalue": [], "revisions": [],
    })
}

/// A bundle that names one model without carrying it.
fn write_bundle(folder: &Path) -> String {
    let manifest = format!(
        "spillway = 1\nname = \"sniff\"\nversion = \"0.1.0\"\n[[routes]]\npath = \"/sniff\"\n\
         [models.magika]\ndigest = \"{}\"\n",
        Digest::of(MODEL)
    );
    let path = folder.join("sniff.wasm");
    std::fs::write(&path, Bundle::write(COMPONENT, &manifest, &[]).unwrap()).unwrap();
    path.to_str().unwrap().to_owned()
}

fn stderr(output: &Output) -> String {
    String::from_utf8_lossy(&output.stderr).into_owned()
}

fn stdout(output: &Output) -> String {
    String::from_utf8_lossy(&output.stdout).into_owned()
}

#[tokio::test]
async fn without_a_node_the_exit_code_is_3_and_the_message_says_how_to_start_one() {
    // The listener's port is free again once it is dropped, and nobody else listens there.
    let free = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap().local_addr().unwrap();
    let output = spillway(&format!("http://{free}"), &["ls"]).await;
    assert_eq!(output.status.code(), Some(3));
    assert!(stderr(&output).contains(&free.to_string()) && stderr(&output).contains("spillway up"), "{output:?}");
}

#[tokio::test]
async fn a_refusal_ends_with_4_and_prints_detail_and_every_error() {
    let problem = json!({
        "type": "urn:spillway:problem:invalid-manifest", "title": "The manifest has errors", "status": 422,
        "detail": "the manifest has 2 errors", "errors": ["spillway.toml:1: one", "spillway.toml:2: two"],
    });
    let node = FakeNode::start(&[("POST /api/v1/functions/default/hello/rollback", 422, problem)]).await;
    let output = node.spillway(&["rollback", "hello"]).await;
    assert_eq!(output.status.code(), Some(4));
    let expected = "error: the manifest has 2 errors\n  spillway.toml:1: one\n  spillway.toml:2: two\n";
    assert_eq!(stderr(&output), expected);
}

#[tokio::test]
async fn deploy_uploads_the_model_that_the_node_lacks_and_then_the_bundle() {
    let folder = tempfile::tempdir().unwrap();
    let bundle = write_bundle(folder.path());
    let model = folder.path().join("m.onnx");
    std::fs::write(&model, MODEL).unwrap();
    let digest = Digest::of(MODEL);
    let note = folder.path().join("sniff.models.json");
    std::fs::write(note, json!({ digest.to_string(): model }).to_string()).unwrap();
    let put = format!("PUT /api/v1/blobs/{digest}");
    let receipt = json!({ "digest": digest, "bytes": MODEL.len() });
    let node = FakeNode::start(&[(&put, 200, receipt), ("POST /api/v1/functions", 200, deployment())]).await;

    let output = node.spillway(&["deploy", &bundle]).await;
    assert!(output.status.success(), "{output:?}");
    assert!(stdout(&output).contains("default/sniff serves revision 2 (was 1)"), "{output:?}");
    assert!(stdout(&output).contains("POST     http://127.0.0.1:3000/sniff"), "{output:?}");
    let seen = node.seen();
    assert_eq!(seen[0].0, format!("HEAD /api/v1/blobs/{digest}"));
    assert_eq!(seen[1], (put, MODEL.to_vec()));
    // Whether it is alone: in a cluster a deployment would be signed.
    assert_eq!(seen[2].0, "GET /api/v1/node");
    assert_eq!(seen[3], ("POST /api/v1/functions?namespace=default".to_owned(), std::fs::read(&bundle).unwrap()));
}

#[tokio::test]
async fn deploy_uploads_no_model_that_the_node_has() {
    let folder = tempfile::tempdir().unwrap();
    let bundle = write_bundle(folder.path());
    let head = format!("HEAD /api/v1/blobs/{}", Digest::of(MODEL));
    let node = FakeNode::start(&[(&head, 200, Value::Null), ("POST /api/v1/functions", 200, deployment())]).await;
    let output = node.spillway(&["deploy", &bundle, "--json"]).await;
    assert!(output.status.success(), "{output:?}");
    assert_eq!(serde_json::from_slice::<Value>(&output.stdout).unwrap()["revision"], 2);
    assert!(node.seen().iter().all(|(request, _)| !request.starts_with("PUT")));
}

#[tokio::test]
async fn a_model_that_is_nowhere_or_another_is_named_with_the_remedies_and_nothing_is_deployed() {
    let folder = tempfile::tempdir().unwrap();
    let bundle = write_bundle(folder.path());
    let other = folder.path().join("other.onnx");
    std::fs::write(&other, b"other").unwrap();
    let given = format!("magika={}", other.display());
    let node = FakeNode::start(&[]).await;
    for (args, offender) in [
        (vec!["deploy", &bundle], "sniff.models.json".to_owned()),
        (vec!["deploy", &bundle, "--model", "magika=/nonexistent"], "/nonexistent".to_owned()),
        (vec!["deploy", &bundle, "--model", &given], Digest::of(b"other").to_string()),
    ] {
        let output = node.spillway(&args).await;
        assert_eq!(output.status.code(), Some(1));
        for part in ["\"magika\"", &Digest::of(MODEL).to_string(), &offender, "--model magika=FILE", "--bundle-models"]
        {
            assert!(stderr(&output).contains(part), "{part}: {output:?}");
        }
    }
    assert!(node.seen().iter().all(|(request, _)| request.starts_with("HEAD")));
}

#[tokio::test]
async fn files_that_cannot_be_deployed_are_refused_before_the_node_is_asked() {
    let folder = tempfile::tempdir().unwrap();
    let node = FakeNode::start(&[]).await;
    for (name, bytes, code, message) in [
        ("text.wasm", &b"hello"[..], 1, "not WebAssembly"),
        ("core.wasm", b"\0asm\x01\0\0\0", 1, "core WebAssembly module"),
        ("plain.wasm", COMPONENT, 2, "--name NAME --route /PATH"),
    ] {
        let path = folder.path().join(name);
        std::fs::write(&path, bytes).unwrap();
        let output = node.spillway(&["deploy", path.to_str().unwrap()]).await;
        assert_eq!(output.status.code(), Some(code), "{output:?}");
        assert!(stderr(&output).contains(name) && stderr(&output).contains(message), "{output:?}");
    }
    assert_eq!(node.seen().len(), 0);
}

#[tokio::test]
async fn invoke_finds_the_route_passes_the_body_on_and_ends_with_5_on_an_error() {
    let node = FakeNode::start(&[
        ("GET /api/v1/functions/default/hello", 200, detail("/hello")),
        ("GET /hello", 200, json!("good day\n")),
        ("POST /hello", 500, json!("broken")),
    ])
    .await;
    let output = node.spillway(&["invoke", "hello", "--path", "?name=Ada"]).await;
    assert!(output.status.success(), "{output:?}");
    assert_eq!(stdout(&output), "good day\n");
    assert_eq!(node.seen().last().unwrap().0, "GET /hello?name=Ada");

    let output = node.spillway(&["invoke", "hello", "-d", "body"]).await;
    assert_eq!(output.status.code(), Some(5));
    assert_eq!(stdout(&output), "broken");
    assert!(stderr(&output).contains("500"), "{output:?}");
    assert_eq!(node.seen().last().unwrap(), &("POST /hello".to_owned(), b"body".to_vec()));
}

#[tokio::test]
async fn rm_without_a_terminal_demands_yes() {
    let node = FakeNode::start(&[("DELETE /api/v1/functions/default/hello", 204, Value::Null)]).await;
    let output = node.spillway(&["rm", "hello"]).await;
    assert_eq!(output.status.code(), Some(2));
    assert!(stderr(&output).contains("--yes"), "{output:?}");
    assert_eq!(node.seen().len(), 0);
    assert!(node.spillway(&["rm", "hello", "--yes"]).await.status.success());
}

fn model_status(digest: &Digest) -> Value {
    json!([{
        "digest": digest.to_string(), "label": "m.onnx", "added_at": "2026-11-24T00:00:00Z", "file_bytes": 7,
        "engine": "tract", "loaded": true, "memory_bytes": 2048, "load_seconds": 0.004, "loads": 2, "hits": 5,
        "runs": 3, "failed_runs": 1, "last_used_at": "2026-11-24T00:01:00Z", "functions": ["default/sniff"],
        "specialization": ["sr = 16000"], "inputs": ["x: float32[?, 4]"], "outputs": ["y: float32[?]"],
    }])
}

#[tokio::test]
async fn models_are_listed_with_and_without_ls_and_inspected() {
    let digest = Digest::of(MODEL);
    let path = format!("GET /api/v1/models/{}", digest.short());
    let node =
        FakeNode::start(&[("GET /api/v1/models", 200, model_status(&digest)), (&path, 200, model_status(&digest))])
            .await;
    let listed = node.spillway(&["models"]).await;
    assert_eq!(stdout(&listed), stdout(&node.spillway(&["models", "ls"]).await));
    for part in [&*digest.short(), "m.onnx", "2.0 KiB", "4.0 ms", "default/sniff", "x: float32[?, 4]"] {
        assert!(stdout(&listed).contains(part), "{part}: {listed:?}");
    }
    let inspected = stdout(&node.spillway(&["models", "inspect", &digest.short()]).await);
    for part in [&*digest.to_string(), "2, 5 more opens", "3, 1 failed", "2026-11-24T00:01:00Z", "sr = 16000"] {
        assert!(inspected.contains(part), "{part}: {inspected}");
    }
    let json = node.spillway(&["models", "inspect", &digest.short(), "--json"]).await;
    assert_eq!(serde_json::from_slice::<Value>(&json.stdout).unwrap()[0]["failed_runs"], 1);
}

#[tokio::test]
async fn adding_a_model_uploads_it_where_the_node_lacks_it_and_names_it_after_its_file() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("m.onnx");
    std::fs::write(&file, MODEL).unwrap();
    let digest = Digest::of(MODEL);
    let blob = format!("PUT /api/v1/blobs/{digest}");
    let receipt = json!({ "digest": digest.to_string(), "bytes": MODEL.len() });
    let node = FakeNode::start(&[(&blob, 201, receipt), ("POST /api/v1/models", 201, model_status(&digest))]).await;
    let output = node.spillway(&["models", "add", file.to_str().unwrap()]).await;
    assert!(output.status.success(), "{output:?}");
    assert!(stdout(&output).contains(&format!("added {} m.onnx (7 B", digest.short())), "{output:?}");
    let seen = node.seen();
    assert!(seen.contains(&(blob, MODEL.to_vec())));
    let (_, posted) = seen.last().unwrap();
    let expected = json!({ "digest": digest.to_string(), "label": "m.onnx" });
    assert_eq!(serde_json::from_slice::<Value>(posted).unwrap(), expected);

    let fixed = ["--shape", "x=1,576", "--shape", "s=", "--constant", "sr=16000", "--constant", "gain=0.5"];
    let output = node.spillway(&[&["models", "add", file.to_str().unwrap()][..], &fixed].concat()).await;
    assert!(output.status.success(), "{output:?}");
    let seen = node.seen();
    let (_, posted) = seen.last().unwrap();
    let posted = serde_json::from_slice::<Value>(posted).unwrap();
    assert_eq!(posted["shapes"], json!({ "x": [1, 576], "s": [] }));
    assert_eq!(posted["constants"], json!({ "sr": 16000, "gain": 0.5 }));

    let absent = node.spillway(&["models", "add", "/nonexistent/m.onnx"]).await;
    assert!(absent.status.code() == Some(1) && stderr(&absent).contains("/nonexistent/m.onnx"), "{absent:?}");
}

#[tokio::test]
async fn a_model_in_use_is_not_removed_and_the_command_says_who_uses_it() {
    let problem = json!({
        "type": "urn:spillway:problem:model-in-use", "title": "The model is in use", "status": 409,
        "detail": "model x is used by function default/sniff",
    });
    let node = FakeNode::start(&[
        ("DELETE /api/v1/models/abc", 204, Value::Null),
        ("DELETE /api/v1/models/def", 409, problem),
    ])
    .await;
    let removed = node.spillway(&["models", "rm", "abc"]).await;
    assert!(removed.status.success() && stdout(&removed).contains("removed abc"), "{removed:?}");
    let refused = node.spillway(&["models", "rm", "def"]).await;
    assert_eq!(refused.status.code(), Some(4));
    assert!(stderr(&refused).contains("default/sniff"), "{refused:?}");
}

const PUBLIC_KEY: &str = "ed25519:Gb9ECWmEzf6FQbrBZ9w7lshQhqowtrbLDFw4rXAxZuE=";
const KEY_ID: &str = "e744c0791320c328";

#[tokio::test]
async fn keys_are_trusted_listed_and_revoked_by_id_or_by_themselves() {
    let key = json!({
        "id": KEY_ID, "key": PUBLIC_KEY, "name": "ada", "trusted_at": "2026-11-25T00:00:00Z",
        "revoked_at": "2026-11-26T00:00:00Z",
    });
    let revoke = format!("POST /api/v1/keys/{KEY_ID}/revoke");
    let node = FakeNode::start(&[
        ("POST /api/v1/keys", 201, key.clone()),
        ("GET /api/v1/keys", 200, json!([key])),
        (&revoke, 200, key),
    ])
    .await;
    let trusted = node.spillway(&["key", "trust", PUBLIC_KEY, "--name", "ada"]).await;
    assert!(
        trusted.status.success() && stdout(&trusted).contains(&format!("trusts key {KEY_ID} (ada)")),
        "{trusted:?}"
    );
    let (_, posted) = node.seen().pop().unwrap();
    let expected = json!({ "key": PUBLIC_KEY, "name": "ada" });
    assert_eq!(serde_json::from_slice::<Value>(&posted).unwrap(), expected);

    let listed = stdout(&node.spillway(&["key", "ls"]).await);
    for part in [KEY_ID, PUBLIC_KEY, "ada", "2026-11-25T00:00:00Z", "2026-11-26T00:00:00Z"] {
        assert!(listed.contains(part), "{part}: {listed}");
    }
    for named in [KEY_ID, PUBLIC_KEY] {
        let revoked = node.spillway(&["key", "revoke", named]).await;
        assert!(
            revoked.status.success() && stdout(&revoked).contains(&format!("no longer trusts key {KEY_ID}")),
            "{revoked:?}"
        );
        assert_eq!(node.seen().pop().unwrap().0, revoke);
    }
}
