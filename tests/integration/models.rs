//! Models on a node: added, inspected, removed; out of memory and back.

use std::path::PathBuf;
use std::time::Duration;

use reqwest::Method;
use serde_json::Value;
use spillway_tests::{Node, bundle_file, wait_until, workspace};
use spillway_types::{Digest, ProblemType};

const SOON: Duration = Duration::from_secs(20);

/// What `blocking` answers when its model runs; worked out by hand in `blocking.rs`.
const SUM: &str = "[3.5, 0.0, 0.0, 4.75] Dtype::Boolean [2, 2] [0, 0, 1, 1]";

fn file(name: &str) -> PathBuf {
    workspace().join(format!("host/inference/tests/data/{name}.onnx"))
}

fn digest(name: &str) -> Digest {
    Digest::of(&std::fs::read(file(name)).expect("the inference crate's tests have it"))
}

async fn add(node: &Node, name: &str) -> Value {
    node.cli(&["models", "add", &file(name).display().to_string(), "--json"]).await.json()
}

/// A node with `blocking`, whose model is `add`.
async fn blocking(args: &[&str]) -> Node {
    let node = Node::builder().args(args).start().await;
    node.cli(&["deploy", &bundle_file("blocking").display().to_string(), "--json"]).await.json();
    node
}

/// What the control API says of the one model that `name` is.
async fn status(node: &Node, name: &str) -> Value {
    let models = node.get(&format!("/models/{}", digest(name).short())).await;
    assert_eq!(models.as_array().expect("a list").len(), 1, "{models:#}");
    models[0].clone()
}

async fn unloads(node: &Node, reason: &str) -> f64 {
    node.metrics().await.sum("spillway_model_unloads_total", &[("reason", reason)]).expect("every reason is there")
}

#[tokio::test]
async fn an_added_model_is_listed_inspected_and_outlives_collection_and_restart_until_it_is_removed() {
    let folder = tempfile::tempdir().expect("tests may write temporary files");
    let node = Node::builder().data(folder.path()).start().await;
    let added = add(&node, "dense").await;
    assert_eq!((&added[0]["label"], &added[0]["loaded"]), (&"dense.onnx".into(), &true.into()), "{added:#}");
    let listed = node.cli(&["models"]).await;
    assert!(listed.stdout.contains(&digest("dense").short()) && listed.stdout.contains("dense.onnx"), "{listed:#?}");
    let inspected = node.cli(&["models", "inspect", &digest("dense").short()]).await;
    assert!(inspected.code == 0 && inspected.stdout.contains(&digest("dense").to_string()), "{inspected:#?}");

    // Older than any grace, and still there.
    let age = |node: &Node| {
        let hex = digest("dense").hex();
        let blob = node.data().join("blobs/sha256").join(&hex[..2]).join(&hex);
        let blob = std::fs::File::open(blob).expect("the blob is there");
        blob.set_modified(std::time::SystemTime::UNIX_EPOCH).expect("tests own their files");
    };
    age(&node);
    assert_eq!(node.cli(&["gc", "--json"]).await.json()["removed_blobs"], 0);
    node.interrupt();
    assert!(node.wait(SOON).await.status.success());

    let node = Node::builder().data(folder.path()).start().await;
    let status = status(&node, "dense").await;
    assert_eq!((&status["label"], &status["loaded"]), (&"dense.onnx".into(), &false.into()), "{status:#}");
    for what_is_known in ["engine", "inputs", "outputs"] {
        assert_eq!(status[what_is_known], added[0][what_is_known], "{what_is_known} stays known: {status:#}");
    }
    assert!(status["inputs"].as_array().is_some_and(|inputs| !inputs.is_empty()), "{status:#}");
    let removed = node.cli(&["models", "rm", &digest("dense").short()]).await;
    assert_eq!(removed.code, 0, "{removed:#?}");
    assert_eq!(node.get("/models").await, serde_json::json!([]));
    age(&node);
    assert_eq!(node.cli(&["gc", "--json"]).await.json()["removed_blobs"], 1);
}

#[tokio::test]
async fn an_unloaded_model_still_tells_its_inputs_and_outputs() {
    let node = Node::start().await;
    let added = add(&node, "dense").await;
    let unload = format!("/models/{}/unload", digest("dense").short());
    assert_eq!(Node::send(node.api(Method::POST, &unload)).await.status, 204);
    let status = status(&node, "dense").await;
    assert_eq!(status["loaded"], false, "{status:#}");
    assert_eq!((&status["inputs"], &status["outputs"]), (&added[0]["inputs"], &added[0]["outputs"]));
    assert_eq!(status["inputs"][0], "x: float32[?, 3]");
    let listed = node.cli(&["models"]).await;
    assert!(listed.stdout.contains("x: float32[?, 3]"), "{listed:#?}");
}

#[tokio::test]
async fn a_model_is_added_with_shapes_and_constants_beside_the_same_file_without() {
    let node = Node::start().await;
    add(&node, "dense").await;
    let file = file("dense").display().to_string();
    let added = node.cli(&["models", "add", &file, "--shape", "x=5,3", "--json"]).await.json();
    assert_eq!(added[0]["specialization"], serde_json::json!(["x: [5, 3]"]), "{added:#}");
    assert_eq!(added[0]["inputs"], serde_json::json!(["x: float32[5, 3]"]), "{added:#}");
    let models = node.get(&format!("/models/{}", digest("dense"))).await;
    assert_eq!(models.as_array().map(Vec::len), Some(2), "{models:#}");
    assert_eq!(node.cli(&["models", "rm", &digest("dense").short()]).await.code, 0);
    assert_eq!(node.get("/models").await, serde_json::json!([]));
}

#[tokio::test]
async fn shapes_and_constants_that_do_not_fit_are_refused_as_at_deployment() {
    let node = Node::start().await;
    let path = file("dense").display().to_string();
    for (option, value, part) in [
        ("--shape", "y=1,3", "`shapes` names `y`, but the model has no such input; its inputs are `x`"),
        ("--shape", "x=4", "input `x` has 2 axes in the model, but `shapes` gives 1"),
        ("--constant", "x=true", "input `x` has free axes; fix them under `shapes` as well"),
    ] {
        let refused = node.cli(&["models", "add", &path, option, value]).await;
        assert_eq!(refused.code, 4, "{refused:#?}");
        assert!(refused.stderr.contains("`shapes` and `constants` do not fit the model: "), "{refused:#?}");
        assert!(refused.stderr.contains(part), "{part}: {refused:#?}");
    }
    assert_eq!(node.get("/models").await, serde_json::json!([]));
    for (body, part) in [
        (r#"{"shapes": {"x": [0, 4]}}"#, "expected a nonzero u32"),
        (r#"{"constants": {"x": "fast"}}"#, "a constant is a number of 64 bits, true or false"),
    ] {
        let mut body: Value = serde_json::from_str(body).expect("it is JSON");
        body["digest"] = digest("dense").to_string().into();
        let answer = Node::send(node.api(Method::POST, "/models").json(&body)).await;
        answer.problem(ProblemType::BadRequest, &[part]);
    }
}

#[tokio::test]
async fn a_model_that_the_engine_cannot_run_is_not_added_and_the_operators_are_named() {
    let node = Node::start().await;
    let refused = node.cli(&["models", "add", &file("exotic").display().to_string()]).await;
    assert_eq!(refused.code, 4, "{refused:#?}");
    assert!(refused.stderr.contains("`com.example.Frobnicate`, `com.example.Wobble`"), "{refused:#?}");
    assert_eq!(node.get("/models").await, serde_json::json!([]));
    let absent = serde_json::json!({ "digest": Digest::of(b"nowhere") });
    let answer = Node::send(node.api(Method::POST, "/models").json(&absent)).await;
    let problem = answer.problem(ProblemType::MissingModel, &["PUT /api/v1/blobs/sha256:"]);
    assert_eq!(problem.missing, [Digest::of(b"nowhere")]);
}

#[tokio::test]
async fn a_model_that_a_function_may_open_is_not_removed_until_the_function_is() {
    let node = blocking(&[]).await;
    add(&node, "add").await;
    let path = format!("/models/{}", digest("add"));
    let refused = Node::send(node.api(Method::DELETE, &path)).await;
    refused.problem(ProblemType::ModelInUse, &["default/blocking"]);
    assert_eq!(node.call("/blocking/add").await.ok(), SUM);
    assert_eq!(node.cli(&["rm", "blocking", "--yes"]).await.code, 0);
    assert_eq!(Node::send(node.api(Method::DELETE, &path)).await.status, 204);
    Node::send(node.api(Method::DELETE, &path)).await.problem(ProblemType::NotFound, &["spillway models"]);
}

#[tokio::test]
async fn an_idle_model_leaves_memory_and_the_next_call_brings_it_back() {
    let node = blocking(&["--model-idle", "1s"]).await;
    assert_eq!(node.call("/blocking/add").await.ok(), SUM);
    wait_until("the model is unloaded", SOON, async || status(&node, "add").await["loaded"] == false).await;
    assert_eq!(status(&node, "add").await["memory_bytes"], 0);
    assert!(unloads(&node, "idle").await >= 1.0);
    assert_eq!(node.call("/blocking/add").await.ok(), SUM);
    let status = status(&node, "add").await;
    assert!(status["loads"].as_u64().is_some_and(|loads| loads >= 2) && status["runs"] == 2, "{status:#}");
    let loads = node.metrics().await.sum("spillway_model_loads_total", &[]);
    assert!(loads.is_some_and(|loads| loads >= 2.0));
}

#[tokio::test]
async fn a_model_unloaded_by_hand_comes_back_with_the_next_call() {
    let node = blocking(&["--model-idle", "never"]).await;
    let unload = format!("/models/{}/unload", digest("add").short());
    assert_eq!(Node::send(node.api(Method::POST, &unload)).await.status, 204);
    assert_eq!(status(&node, "add").await["loaded"], false);
    assert_eq!(node.call("/blocking/add").await.ok(), SUM);
    assert_eq!((status(&node, "add").await["loads"].as_u64(), unloads(&node, "asked").await), (Some(2), 1.0));
}

#[tokio::test]
async fn models_beyond_the_memory_for_them_take_turns() {
    // How much each takes is the engine's estimate; the node tells.
    let probe = Node::start().await;
    let bytes = async |name| add(&probe, name).await[0]["memory_bytes"].as_u64().expect("a number");
    let (first, second) = (bytes("add").await, bytes("dense").await);
    let sizes = ["add", "dense"].map(|name| std::fs::metadata(file(name)).expect("it is there").len());
    let alone = first.max(second).max(sizes[0]).max(sizes[1]);
    assert!(alone < first + second, "either fits alone, and both do not");

    let node = blocking(&["--model-memory", &format!("{alone}B"), "--model-idle", "never"]).await;
    assert_eq!(node.call("/blocking/add").await.ok(), SUM);
    add(&node, "dense").await;
    assert_eq!(status(&node, "add").await["loaded"], false);
    assert_eq!(node.call("/blocking/add").await.ok(), SUM);
    assert_eq!(status(&node, "dense").await["loaded"], false);
    assert_eq!(unloads(&node, "pressure").await, 2.0);
}

#[tokio::test]
async fn a_model_larger_than_the_memory_for_all_is_refused_with_both_sizes_and_the_option() {
    let node = Node::builder().args(&["--model-memory", "10B"]).start().await;
    let refused = node.cli(&["models", "add", &file("dense").display().to_string()]).await;
    assert_eq!(refused.code, 4, "{refused:#?}");
    let size = std::fs::metadata(file("dense")).expect("it is there").len();
    for part in [&*format!("needs {size} bytes"), "may occupy 10 in all", "`--model-memory`"] {
        assert!(refused.stderr.contains(part), "{part}: {refused:#?}");
    }
}
