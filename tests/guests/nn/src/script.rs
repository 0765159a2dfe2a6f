//! What both guests do with `wasi:nn`: written against the standard alone. Includes `bindings` of its includer.

use crate::bindings::wasi::nn::errors::Error;
use crate::bindings::wasi::nn::graph::{ExecutionTarget, Graph, GraphEncoding, load, load_by_name};
use crate::bindings::wasi::nn::tensor::{Tensor, TensorType};

/// Does what the last segment of the path asks for; errors are answered in their own words.
pub(crate) fn answer(what: &str, body: &[u8]) -> String {
    let cpu = ExecutionTarget::Cpu;
    let done = match what {
        "named" => load_by_name("types").and_then(|graph| every_type(&graph)),
        "loaded" => load(&[body.to_vec()], GraphEncoding::Onnx, cpu).and_then(|graph| every_type(&graph)),
        "detected" => load(&[body.to_vec()], GraphEncoding::Autodetect, cpu).and_then(|graph| every_type(&graph)),
        "sum" => load_by_name("add").and_then(|graph| sum(&graph)),
        "bfloat16" => load_by_name("add").and_then(|graph| bfloat16(&graph)),

        "unknown" => load_by_name("unknown").map(|_| "opened".to_owned()),
        "gpu" => load(&[body.to_vec()], GraphEncoding::Onnx, ExecutionTarget::Gpu).map(|_| "opened".to_owned()),
        "ggml" => load(&[body.to_vec()], GraphEncoding::Ggml, cpu).map(|_| "opened".to_owned()),
        "tflite" => load(&[body.to_vec()], GraphEncoding::Tensorflowlite, cpu).map(|_| "opened".to_owned()),
        "parts" => load(&[body.to_vec(), Vec::new()], GraphEncoding::Onnx, cpu).map(|_| "opened".to_owned()),
        "onnx" => load(&[body.to_vec()], GraphEncoding::Onnx, cpu).map(|_| "opened".to_owned()),
        "missing" => load_by_name("add").and_then(|graph| run(&graph, vec![("x", floats(&[2, 2], &[0.0; 4]))])),
        "shape" => load_by_name("add").and_then(|graph| run(&graph, vec![("x", floats(&[4], &[0.0; 4]))])),
        "length" => load_by_name("add").and_then(|graph| run(&graph, vec![("x", floats(&[2, 2], &[0.0; 3]))])),
        "large" => {
            let large = Tensor::new(&[4 << 20], TensorType::U8, &vec![0; 4 << 20]);
            assert!(large.data().is_empty(), "a tensor that could not be made has no data");
            load_by_name("add").and_then(|graph| run(&graph, vec![("x", large)]))
        }
        other => Ok(format!("{other} is unknown")),
    };
    done.unwrap_or_else(|error: Error| format!("{:?}: {}", error.code(), error.data()))
}

/// Names, types, dimensions and bytes of all outputs, a line each.
fn run(graph: &Graph, inputs: Vec<(&str, Tensor)>) -> Result<String, Error> {
    let inputs = inputs.into_iter().map(|(name, tensor)| (name.to_owned(), tensor)).collect();
    let outputs = graph.init_execution_context()?.compute(inputs)?;
    let lines = outputs
        .iter()
        .map(|(name, tensor)| format!("{name} {:?} {:?} {:?}\n", tensor.ty(), tensor.dimensions(), tensor.data()));
    Ok(lines.collect())
}

/// Two elements of each type, through a model that gives them back.
fn every_type(graph: &Graph) -> Result<String, Error> {
    let pair = |ty, data: &[u8]| Tensor::new(&[2], ty, data);
    run(
        graph,
        vec![
            ("fp16", pair(TensorType::Fp16, &[0, 60, 0, 64])),
            ("fp32", pair(TensorType::Fp32, &[0, 0, 128, 63, 0, 0, 0, 64])),
            ("fp64", pair(TensorType::Fp64, &[1, 2, 3, 4, 5, 6, 7, 8, 8, 7, 6, 5, 4, 3, 2, 1])),
            ("u8", pair(TensorType::U8, &[7, 255])),
            ("i32", pair(TensorType::I32, &[1, 2, 3, 4, 255, 255, 255, 255])),
            ("i64", pair(TensorType::I64, &[1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15, 16])),
            // Types that the standard has not: they come and go in the narrowest type that holds them.
            ("bool", pair(TensorType::U8, &[0, 1])),
            ("i8", pair(TensorType::I32, &[251, 255, 255, 255, 5, 0, 0, 0])),
            ("u16", pair(TensorType::I32, &[255, 255, 0, 0, 1, 0, 0, 0])),
        ],
    )
}

fn floats(dimensions: &[u32], values: &[f32]) -> Tensor {
    let bytes: Vec<u8> = values.iter().flat_map(|value| value.to_le_bytes()).collect();
    Tensor::new(dimensions, TensorType::Fp32, &bytes)
}

fn sum(graph: &Graph) -> Result<String, Error> {
    let (x, y) = (floats(&[2, 2], &[1.0, 2.0, 3.0, 4.0]), floats(&[2, 2], &[0.5; 4]));
    run(graph, vec![("y", y), ("x", x)])
}

/// 1, 2, -3 and 0.5 in bfloat16, whose bits are the upper half of a float32, plus themselves.
fn bfloat16(graph: &Graph) -> Result<String, Error> {
    let halves = || Tensor::new(&[2, 2], TensorType::Bf16, &[128, 63, 0, 64, 64, 192, 0, 63]);
    run(graph, vec![("x", halves()), ("y", halves())])
}
