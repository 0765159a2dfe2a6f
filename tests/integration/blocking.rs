//! Models from WASI 0.2: the blocking twin of the inference interface, on the other engine.

use spillway_tests::{Node, bundle, bundle_file};

/// A node with the function, whose model the command line uploads.
async fn node() -> Node {
    let node = Node::start().await;
    let file = bundle_file("blocking").display().to_string();
    node.cli(&["deploy", &file, "--json"]).await.json();
    node
}

#[tokio::test]
async fn a_component_of_wasi_0_2_runs_a_model() {
    let node = node().await;
    assert_eq!(node.get("/functions/default/blocking").await["interface"], "wasi:http@0.2");
    // By hand: [1.5, -2, 3, 4.25] and [2, 2, -3, 0.5].
    let expected = "[3.5, 0.0, 0.0, 4.75] Dtype::Boolean [2, 2] [0, 0, 1, 1]";
    for _ in 0..3 {
        assert_eq!(node.call("/blocking/add").await.ok(), expected);
    }
}

#[tokio::test]
async fn what_a_tensor_may_not_be_is_told_by_code_and_remedy() {
    let node = node().await;
    for (path, code, part) in [
        ("denied", "ErrorCode::NotGranted", "add it under [models] in spillway.toml"),
        ("large", "ErrorCode::OutOfMemory", "raise `tensors` under [limits] in spillway.toml"),
        ("lies", "ErrorCode::InvalidArgument", "takes 16 bytes, but 15 were given"),
        ("range", "[2, 3]", "2 bytes from 3 are past the end: the tensor has 4 bytes"),
    ] {
        let answer = node.call(&format!("/blocking/{path}")).await;
        let text = answer.ok();
        assert!(text.starts_with(code) && text.contains(part), "{path}: {text}");
    }
}

#[tokio::test]
async fn a_bundle_with_its_model_embedded_needs_nothing_else() {
    let node = Node::start().await;
    let model =
        std::fs::read(spillway_tests::workspace().join("host/inference/tests/data/add.onnx")).expect("it is kept");
    let plain = bundle("blocking");
    let manifest = spillway_types::Bundle::read(&plain).expect("it was built").manifest().expect("with one").to_owned();
    let embedded = spillway_types::Bundle::write(&plain, &manifest, &[&model]).expect("it is a component");
    let answer = node.post(embedded, "").await;
    assert_eq!(answer.status, 201, "{answer:?}");
    assert!(node.call("/blocking/add").await.ok().starts_with("[3.5, 0.0, 0.0, 4.75]"));
}
