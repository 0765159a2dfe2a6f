//! Models that are missing, of another digest, or none at all.

use reqwest::Method;
use spillway_tests::{Node, bundle, with_manifest};
use spillway_types::{Bundle, Digest, ModelGrant, ProblemType};

use crate::serving;

/// `hello` with a grant of the model of this digest.
fn hello_with(digest: Digest) -> Vec<u8> {
    let manifest = serving::changed("hello", |manifest| {
        let name = "scorer".parse().expect("a good name");
        manifest
            .models
            .insert(name, ModelGrant { digest: Some(digest), path: None, specialization: Default::default() });
    });
    with_manifest(&bundle("hello"), &manifest)
}

async fn upload(node: &Node, digest: &Digest, bytes: &[u8]) -> spillway_tests::Answer {
    Node::send(node.api(Method::PUT, &format!("/blobs/{digest}")).body(bytes.to_vec())).await
}

async fn has(node: &Node, digest: &Digest) -> bool {
    Node::send(node.api(Method::HEAD, &format!("/blobs/{digest}"))).await.status == 200
}

#[tokio::test]
async fn a_missing_model_is_named_with_its_digest_and_the_way_to_upload_it() {
    let node = serving::hello().await;
    let digest = Digest::of(b"nobody uploaded this");
    let answer = node.post(hello_with(digest), "").await;
    let parts = ["\"scorer\"", &digest.to_string(), "PUT /api/v1/blobs/", "--bundle-models"];
    let problem = answer.problem(ProblemType::MissingModel, &parts);
    assert_eq!(problem.missing, [digest]);
    serving::untouched(&node).await;
}

#[tokio::test]
async fn a_blob_of_another_digest_than_its_name_is_refused_with_both_and_not_kept() {
    let node = serving::hello().await;
    let (said, real) = (Digest::of(b"the model"), Digest::of(b"the model, changed under way"));
    let answer = upload(&node, &said, b"the model, changed under way").await;
    answer.problem(ProblemType::DigestMismatch, &[&said.to_string(), &real.to_string()]);
    assert!(!has(&node, &said).await && !has(&node, &real).await);
    node.post(hello_with(said), "").await.problem(ProblemType::MissingModel, &[&said.to_string()]);
    serving::untouched(&node).await;
}

#[tokio::test]
async fn a_blob_whose_name_is_no_digest_is_refused_with_the_form_of_one() {
    let node = Node::start().await;
    let answer = Node::send(node.api(Method::PUT, "/blobs/model.onnx").body("weights")).await;
    answer.problem(ProblemType::BadRequest, &["model.onnx", "sha256:"]);
}

#[tokio::test]
async fn a_file_that_is_no_model_is_refused_with_what_the_engine_says_of_it() {
    let node = serving::hello().await;
    // Text, nothing, and the beginning of a model: the last is valid protobuf as far as it goes.
    let real = std::fs::read(spillway_tests::workspace().join("host/inference/tests/data/dense.onnx"));
    let cut = real.expect("the inference crate's tests have it")[..40].to_vec();
    for bytes in [b"# weights\n\nsee the attachment\n".to_vec(), Vec::new(), cut] {
        let digest = Digest::of(&bytes);
        assert_eq!(upload(&node, &digest, &bytes).await.status, 201);
        let answer = node.post(hello_with(digest), "").await;
        answer.problem(ProblemType::InvalidModel, &["\"scorer\"", &digest.to_string()]);
        serving::untouched(&node).await;
    }
}

#[tokio::test]
async fn an_embedded_model_of_another_digest_than_its_section_says_is_refused() {
    let node = serving::hello().await;
    let good = hello_with(Digest::of(b"weights"));
    let text = Bundle::read(&good).expect("well formed").manifest().expect("it has one").to_owned();
    let mut bytes = Bundle::write(&good, &text, &[b"weights"]).expect("well formed");
    // Models come last in a bundle, so this changes the last byte of the weights.
    *bytes.last_mut().expect("not empty") ^= 1;
    let parts = [&*Digest::of(b"weights").to_string(), "build the bundle again"];
    node.post(bytes, "").await.problem(ProblemType::InvalidBundle, &parts);
    serving::untouched(&node).await;
}

#[tokio::test]
async fn a_good_model_is_loaded_listed_and_shared_by_the_functions_that_name_it() {
    let node = serving::hello().await;
    let model = std::fs::read(spillway_tests::workspace().join("host/inference/tests/data/dense.onnx"));
    let model = model.expect("the inference crate's tests have it");
    let digest = Digest::of(&model);
    assert_eq!(upload(&node, &digest, &model).await.status, 201);
    assert_eq!(upload(&node, &digest, &model).await.status, 201, "uploading again changes nothing");
    assert_eq!(node.post(hello_with(digest), "").await.status, 201);
    let other = serving::changed("plain", |manifest| {
        let name = "same".parse().expect("a good name");
        manifest
            .models
            .insert(name, ModelGrant { digest: Some(digest), path: None, specialization: Default::default() });
    });
    assert_eq!(node.post(with_manifest(&bundle("plain"), &other), "").await.status, 201);
    let models = node.cli(&["models", "--json"]).await.json();
    assert_eq!(models.as_array().expect("a list").len(), 1, "{models:#}");
    let model = &models[0];
    assert_eq!((&model["digest"], &model["loaded"]), (&digest.to_string().into(), &true.into()), "{model:#}");
    assert_eq!(model["functions"], serde_json::json!(["default/hello", "default/plain"]), "{model:#}");
    let memory = node.metrics().await.sum("spillway_model_memory_bytes", &[("model", &digest.to_string())]);
    assert!(memory.is_some_and(|bytes| bytes > 0.0));
    assert!(!model["inputs"].as_array().expect("a list").is_empty(), "{model:#}");
}
