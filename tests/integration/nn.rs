//! `wasi:nn` for components that know nothing of Spillway, on both engines.

use reqwest::Method;
use spillway_tests::{Answer, Node, bundle_file, workspace};

/// The guests, and the interface that each answers through.
const GUESTS: [(&str, &str); 2] = [("nn", "wasi:http@0.2"), ("nn-async", "wasi:http@0.3")];

async fn node() -> Node {
    let node = Node::start().await;
    for (guest, interface) in GUESTS {
        let file = bundle_file(guest).display().to_string();
        node.cli(&["deploy", &file, "--json"]).await.json();
        assert_eq!(node.get(&format!("/functions/default/{guest}")).await["interface"], interface);
    }
    node
}

async fn call(node: &Node, guest: &str, what: &str, body: Vec<u8>) -> Answer {
    Node::send(node.request(Method::POST, &format!("/{guest}/{what}")).body(body)).await
}

fn types_model() -> Vec<u8> {
    std::fs::read(workspace().join("tests/data/nn/types.onnx")).expect("it is kept")
}

#[tokio::test]
async fn every_element_type_goes_in_and_comes_out() {
    let node = node().await;
    let expected = "\
fp16_out TensorType::Fp16 [1, 2] [0, 60, 0, 64]
fp32_out TensorType::Fp32 [1, 2] [0, 0, 128, 63, 0, 0, 0, 64]
fp64_out TensorType::Fp64 [1, 2] [1, 2, 3, 4, 5, 6, 7, 8, 8, 7, 6, 5, 4, 3, 2, 1]
u8_out TensorType::U8 [1, 2] [7, 255]
i32_out TensorType::I32 [1, 2] [1, 2, 3, 4, 255, 255, 255, 255]
i64_out TensorType::I64 [1, 2] [1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15, 16]
bool_out TensorType::U8 [1, 2] [0, 1]
i8_out TensorType::I32 [1, 2] [251, 255, 255, 255, 5, 0, 0, 0]
u16_out TensorType::I32 [1, 2] [255, 255, 0, 0, 1, 0, 0, 0]
";
    for (guest, _) in GUESTS {
        assert_eq!(call(&node, guest, "named", Vec::new()).await.ok(), expected, "{guest}");
        for what in ["loaded", "detected"] {
            assert_eq!(call(&node, guest, what, types_model()).await.ok(), expected, "{guest} {what}");
        }
    }
}

#[tokio::test]
async fn named_inputs_may_come_in_any_order_and_bfloat16_is_widened() {
    let node = node().await;
    for (guest, _) in GUESTS {
        // 1.5, 2.5, 3.5, 4.5 and none, all, all, all greater than 0.5; by hand.
        let sum = "sum TensorType::Fp32 [2, 2] [0, 0, 192, 63, 0, 0, 32, 64, 0, 0, 96, 64, 0, 0, 144, 64]\n\
                   greater TensorType::U8 [2, 2] [1, 1, 1, 1]\n";
        assert_eq!(call(&node, guest, "sum", Vec::new()).await.ok(), sum, "{guest}");
        // 2, 4, -6 and 1.
        let doubled = "sum TensorType::Fp32 [2, 2] [0, 0, 0, 64, 0, 0, 128, 64, 0, 0, 192, 192, 0, 0, 128, 63]\n\
                       greater TensorType::U8 [2, 2] [0, 0, 0, 0]\n";
        assert_eq!(call(&node, guest, "bfloat16", Vec::new()).await.ok(), doubled, "{guest}");
    }
}

#[tokio::test]
async fn each_mistake_has_the_error_code_of_the_standard_and_says_what_to_change() {
    let node = node().await;
    for (guest, _) in GUESTS {
        for (what, body, code, part) in [
            ("unknown", Vec::new(), "NotFound", "add it under [models] in spillway.toml"),
            ("gpu", types_model(), "UnsupportedOperation", "cpu alone"),
            ("ggml", types_model(), "InvalidEncoding", "export the model as ONNX"),
            ("tflite", types_model(), "InvalidEncoding", "tensorflowlite, but the bytes are not that"),
            ("parts", types_model(), "InvalidArgument", "one part, but 2 were given"),
            ("onnx", b"no model".to_vec(), "InvalidEncoding", "not ONNX"),
            ("onnx", vec![0; 2 << 20], "TooLarge", "raise `tensors` under [limits]"),
            ("missing", Vec::new(), "InvalidArgument", "input `y` is missing"),
            ("shape", Vec::new(), "InvalidArgument", "input `x` expects float32 [2, 2], given float32 [4]"),
            ("length", Vec::new(), "InvalidArgument", "takes 16 bytes, but 12 were given"),
            ("large", Vec::new(), "TooLarge", "input `x`: a tensor of 4194304 bytes does not fit"),
        ] {
            let answer = call(&node, guest, what, body).await;
            let text = answer.ok();
            assert!(text.starts_with(&format!("ErrorCode::{code}: ")) && text.contains(part), "{guest} {what}: {text}");
        }
    }
}
