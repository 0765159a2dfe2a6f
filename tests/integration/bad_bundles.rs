//! Files that are no function: each is refused by name, and the revision before goes on serving.

use spillway_tests::{Node, bundle, with_manifest};
use spillway_types::{Problem, ProblemType};

use crate::serving;

/// Deploys `bytes` as the next revision of `hello`, which must be refused and change nothing.
async fn refused(bytes: Vec<u8>, kind: ProblemType, parts: &[&str]) -> Problem {
    let node = serving::hello().await;
    let problem = node.post(bytes, "").await.problem(kind, parts);
    serving::untouched(&node).await;
    problem
}

/// A component in the text format, with the manifest of `hello`.
fn hello_from(text: &str) -> Vec<u8> {
    with_manifest(&wat::parse_str(text).expect("the test's text is well formed"), &serving::changed("hello", |_| ()))
}

#[tokio::test]
async fn a_file_that_is_not_wasm_is_refused() {
    for bytes in [b"#!/bin/sh\necho hello\n".to_vec(), Vec::new(), b"\0as".to_vec()] {
        refused(bytes, ProblemType::InvalidBundle, &["not WebAssembly", "spillway build"]).await;
    }
}

#[tokio::test]
async fn a_core_module_is_refused_with_the_way_to_a_component() {
    let module = wat::parse_str("(module (func (export \"handle\")))").expect("well formed");
    let parts = ["core WebAssembly module", "wasm32-wasip2", "wasm-tools component new"];
    refused(module, ProblemType::InvalidBundle, &parts).await;
}

#[tokio::test]
async fn a_file_that_was_cut_off_is_refused_with_the_place() {
    let mut bytes = bundle("hello");
    bytes.truncate(bytes.len() / 2);
    refused(bytes, ProblemType::InvalidBundle, &["damaged at byte", "build or download it again"]).await;
}

#[tokio::test]
async fn code_that_is_not_valid_is_refused() {
    let bytes = hello_from(
        r#"(component
            (core module (func (result i32)))
            (instance $handler)
            (export "wasi:http/incoming-handler@0.2.0" (instance $handler)))"#,
    );
    refused(bytes, ProblemType::InvalidBundle, &["not valid"]).await;
}

#[tokio::test]
async fn unknown_imports_are_refused_by_their_names() {
    let bytes = hello_from(
        r#"(component
            (import "acme:db/query@1.0.0" (instance))
            (import "wasi:cli/environment@0.2.0" (instance))
            (import "wasi:nn/graph@0.2.0-rc-2024-08-19" (instance))
            (instance $handler)
            (export "wasi:http/incoming-handler@0.2.0" (instance $handler)))"#,
    );
    let parts = ["acme:db/query@1.0.0", "wasi:nn/graph@0.2.0-rc-2024-08-19", "this node offers"];
    let problem = refused(bytes, ProblemType::UnknownImport, &parts).await;
    assert!(!problem.detail.contains("wasi:cli/environment"), "that one is offered: {problem:?}");
}

#[tokio::test]
async fn an_import_of_another_shape_than_the_node_offers_is_refused_by_its_name() {
    let bytes = hello_from(
        r#"(component
            (import "wasi:config/store@0.2.0-rc.1" (instance (export "forget" (func))))
            (instance $handler)
            (export "wasi:http/incoming-handler@0.2.0" (instance $handler)))"#,
    );
    refused(bytes, ProblemType::UnknownImport, &["wasi:config/store", "forget"]).await;
}

#[tokio::test]
async fn a_component_that_answers_no_http_is_refused_with_what_to_export() {
    let parts =
        ["exports nothing", "wasi:http/handler@0.3", "wasi:http/incoming-handler@0.2", "spillway_sdk::function"];
    refused(hello_from("(component)"), ProblemType::InvalidBundle, &parts).await;
    let other = r#"(component (instance $run) (export "wasi:cli/run@0.2.0" (instance $run)))"#;
    refused(hello_from(other), ProblemType::InvalidBundle, &["wasi:cli/run@0.2.0"]).await;
}

#[tokio::test]
async fn a_handler_without_the_function_is_refused_by_the_name_of_the_export() {
    let bytes = hello_from(
        r#"(component (instance $handler) (export "wasi:http/incoming-handler@0.2.0" (instance $handler)))"#,
    );
    refused(bytes, ProblemType::InvalidBundle, &["wasi:http/incoming-handler", "handle"]).await;
}

#[tokio::test]
async fn a_component_that_needs_more_memory_than_its_limit_is_refused_with_the_limit() {
    let manifest = serving::changed("hello", |manifest| manifest.limits.memory_bytes = 64 << 10);
    let bytes = with_manifest(&bundle("hello"), &manifest);
    refused(bytes, ProblemType::InvalidBundle, &["memory", "65536"]).await;
}

#[tokio::test]
async fn a_component_without_a_manifest_needs_a_name_and_a_route() {
    let node = serving::hello().await;
    let plain = spillway_tests::bare(&bundle("plain"));
    for (query, parts) in [("", ["no manifest", "--name"]), ("name=plain", ["no manifest", "--route /plain"])] {
        node.post(plain.clone(), query).await.problem(ProblemType::InvalidManifest, &parts);
    }
    for (query, parts) in [
        ("name=Plain&route=/plain", ["`Plain`", "lower-case"]),
        ("name=plain&route=plain", ["`plain`", "start with `/`"]),
        ("name=plain&route=/plain&effects=some", ["`some`", "none, idempotent, unsafe"]),
        ("nme=plain", ["`nme`", "known are namespace, name, route, effects"]),
    ] {
        node.post(plain.clone(), query).await.problem(ProblemType::BadRequest, &parts);
    }
    serving::untouched(&node).await;
}

#[tokio::test]
async fn the_command_line_says_what_the_node_says_and_ends_with_exit_code_4() {
    let node = serving::hello().await;
    let folder = tempfile::tempdir().expect("tests may write temporary files");
    let path = folder.path().join("hello.wasm");
    std::fs::write(&path, hello_from("(component)")).expect("the folder is ours");
    let ran = node.cli(&["deploy", &path.display().to_string()]).await;
    assert_eq!(ran.code, 4, "{ran:#?}");
    assert!(ran.stderr.starts_with("error: ") && ran.stderr.contains("spillway_sdk::function"), "{ran:#?}");
    serving::untouched(&node).await;
    let ran = Node::cli(&node, &["deploy", "nowhere.wasm"]).await;
    assert_eq!(ran.code, 1, "{ran:#?}");
    assert!(ran.stderr.contains("nowhere.wasm") && ran.stderr.contains("spillway build"), "{ran:#?}");
}
