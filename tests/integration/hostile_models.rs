//! Model files made to harm the node that loads them: each is refused in words, what served before serves on, and the
//! node does not grow.

use spillway_tests::{Node, bundle, with_manifest};
use spillway_types::{Digest, ModelGrant, ProblemType};

use crate::serving;

/// A file of the inference crate's tests, which `make.py` beside it makes.
fn file(path: &str) -> Vec<u8> {
    let folder = spillway_tests::workspace().join("host/inference/tests/data");
    std::fs::read(folder.join(path)).expect("the inference crate's tests have it")
}

pub(crate) async fn deploy(node: &Node, model: Vec<u8>) -> spillway_tests::Answer {
    let digest = Digest::of(&model);
    let uploaded = node.api(reqwest::Method::PUT, &format!("/blobs/{digest}")).body(model);
    assert_eq!(Node::send(uploaded).await.status, 201);
    let manifest = serving::changed("hello", |manifest| {
        let name = "scorer".parse().expect("a good name");
        let grant = ModelGrant { digest: Some(digest), path: None, specialization: Default::default() };
        manifest.models.insert(name, grant);
    });
    node.post(with_manifest(&bundle("hello"), &manifest), "").await
}

/// A node with limits low enough to meet, on which `hello` serves.
pub(crate) async fn node() -> Node {
    let limits = ["--model-check-memory", "256MiB", "--model-check-time", "20s"];
    let node = Node::builder().args(&limits).start().await;
    node.deploy("hello").await;
    node
}

#[tokio::test]
async fn files_that_ask_for_gigabytes_are_refused_by_the_limit_that_they_meet_and_the_node_stays_small() {
    let node = node().await;
    let before = node.peak_resident_bytes();
    let mut wrong = Vec::new();
    for name in ["expand", "range", "one_hot"] {
        let answer = deploy(&node, file(&format!("hostile/{name}.onnx"))).await;
        let said = String::from_utf8_lossy(&answer.body);
        let words = ["invalid-model", "scorer", "takes more than 256.0 MiB", "--model-check-memory"];
        if answer.status != 422 || !words.iter().all(|word| said.contains(word)) {
            wrong.push(format!("{name}: {said}"));
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
    serving::untouched(&node).await;
    // The files are a few hundred bytes each, and what they ask for is beyond 8 GiB.
    let grown = node.peak_resident_bytes().saturating_sub(before);
    assert!(grown < 64 << 20, "the node grew by {grown} bytes");
}

#[tokio::test]
async fn files_that_lie_or_point_elsewhere_are_refused_with_the_name_of_what_is_wrong() {
    let node = node().await;
    let before = node.peak_resident_bytes();
    for (name, words) in [
        ("hostile/external_parent.onnx", "in another file"),
        ("hostile/external_attribute.onnx", "in another file"),
        ("hostile/external_branch.onnx", "in another file"),
        ("hostile/dims_huge.onnx", "`w`"),
        ("hostile/raw_short.onnx", "16 bytes, and hold 15"),
        ("hostile/nested.onnx", "nested too deeply"),
        ("hostile/long_name.onnx", "20000 bytes"),
        ("hostile/twice.onnx", "`y` is computed twice"),
        ("hostile/cycle.onnx", "Loop detected"),
        // The child runs out of stack.
        ("stack/deep_length.onnx", "nested too deeply"),
        ("hostile/constant_output.onnx", "operator `ConstantOfShape` (node `huge`)"),
        ("exotic.onnx", "`com.example.Frobnicate`"),
        ("tflite/exotic.tflite", "`com.example.Frobnicate (custom)`"),
        ("tflite/sharp.tflite", "operator `SOFTMAX` that computes `y`"),
        // What the engine reads, but cannot plan, or plans and cannot run.
        ("hostile/mismatch.onnx", "operator `MatMul` (node `product`)"),
        ("hostile/erf_double.onnx", "operator `Erf` (node `bell`)"),
    ] {
        let answer = deploy(&node, file(name)).await;
        let problem = answer.problem(ProblemType::InvalidModel, &["\"scorer\"", words]);
        assert!(!serde_json::to_string(&problem).expect("plain data").contains("root:"), "{name}");
    }
    serving::untouched(&node).await;
    let grown = node.peak_resident_bytes().saturating_sub(before);
    assert!(grown < 64 << 20, "the node grew by {grown} bytes");
}

#[tokio::test]
async fn a_check_past_its_time_is_ended_and_the_option_is_named() {
    // Starting the child alone takes longer than a millisecond.
    let node = Node::builder().args(&["--model-check-time", "1ms"]).start().await;
    let answer = deploy(&node, file("dense.onnx")).await;
    answer.problem(ProblemType::InvalidModel, &["takes longer than 0.001 s", "--model-check-time"]);
}

#[tokio::test]
async fn a_model_is_checked_once_and_after_a_restart_not_again() {
    let folder = tempfile::tempdir().expect("tests may write temporary files");
    let checks = |node: &Node| node.stderr().matches("model passed its check").count();
    let node = Node::builder().data(folder.path()).start().await;
    assert_eq!(deploy(&node, file("dense.onnx")).await.status, 201);
    assert_eq!(checks(&node), 1);
    node.kill();
    let node = Node::builder().data(folder.path()).start().await;
    let models = node.get("/models").await;
    assert!(models.to_string().contains(&Digest::of(&file("dense.onnx")).to_string()), "{models}");
    assert_eq!(checks(&node), 0);
    node.kill();
    // A record that is damaged is no record.
    for record in std::fs::read_dir(folder.path().join("checked")).expect("the node made it") {
        std::fs::write(record.expect("readable").path(), "loads").expect("the folder is ours");
    }
    let node = Node::builder().data(folder.path()).start().await;
    assert_eq!(checks(&node), 1);
}

#[tokio::test]
async fn a_model_that_refuses_the_inputs_of_its_check_is_deployed_all_the_same() {
    // Divides whole numbers by its input, which the check fills with zeros first.
    assert_eq!(deploy(&node().await, file("hostile/divide.onnx")).await.status, 201);
}

#[tokio::test]
async fn a_tflite_model_is_deployed_like_any_other() {
    let node = node().await;
    assert_eq!(deploy(&node, file("tflite/small.tflite")).await.status, 201);
    let models = node.get("/models").await;
    assert!(models.to_string().contains("pixels"), "{models}");
}
