//! A WASI 0.2 component on `spillway:tensor`; the last segment of the path says what it does.

#![cfg(target_family = "wasm")]

use wasi::exports::http::incoming_handler::Guest;
use wasi::http::types::{Fields, IncomingRequest, OutgoingBody, OutgoingResponse, ResponseOutparam};

/// From the one copy of the contract.
mod bindings {
    wit_bindgen::generate!({ path: "../../../guest-sdk/wit", world: "spillway:tensor/imports-blocking", generate_all });
}

use bindings::spillway::tensor::graph_execution_blocking::{build, dispatch};
use bindings::spillway::tensor::graphs::{Definition, OperandDescriptor, Operation};
use bindings::spillway::tensor::inference_blocking::{open, run};
use bindings::spillway::tensor::kernels_blocking::compute;
use bindings::spillway::tensor::operators::{ArgOptions, BinaryOperator, Operator, SliceOptions, UnaryOperator};
use bindings::spillway::tensor::tensors::{Dtype, Error, Tensor};

struct Blocking;

impl Guest for Blocking {
    fn handle(request: IncomingRequest, out: ResponseOutparam) {
        let path = request.path_with_query().unwrap_or_default();
        let answer = match path.rsplit('/').next().unwrap_or_default() {
            "add" => add(&[1.5, -2.0, 3.0, 4.25], &[2.0, 2.0, -3.0, 0.5]),
            "kernels" => kernels(),
            "graph" => graph(0),
            "refused-graph" => graph(9),
            "refused" => refused(),
            "denied" => open("magika").map(|_| "opened".to_owned()),
            "large" => Tensor::create(Dtype::Uint8, &[2048], &[0; 2048]).map(|_| "made".to_owned()),
            "lies" => Tensor::create(Dtype::Float32, &[2, 2], &[0; 15]).map(|_| "made".to_owned()),
            "range" => Tensor::create(Dtype::Uint8, &[4], &[1, 2, 3, 4])
                .and_then(|tensor| Ok(format!("{:?} {:?}", tensor.read_range(1, 2)?, tensor.read_range(3, 2)))),
            other => Ok(format!("{other} is unknown")),
        };
        respond(out, &answer.unwrap_or_else(|error: Error| format!("{:?}: {}", error.code, error.message)));
    }
}

/// Softmax of the second row of a matrix, and where it is greatest.
fn kernels() -> Result<String, Error> {
    let rows: Vec<u8> = [9.0, 9.0, 0.0, 3.0_f32.ln()].iter().flat_map(|value: &f32| value.to_le_bytes()).collect();
    let matrix = Tensor::create(Dtype::Float32, &[2, 2], &rows)?;
    let row = SliceOptions { starts: vec![1, 0], sizes: vec![1, 2], strides: Vec::new() };
    let row = compute(&Operator::Slice(row), &[&matrix])?;
    let shares = compute(&Operator::Softmax(1), &[&row])?;
    let options = ArgOptions { axis: 1, keep_dimensions: false, output_data_type: Dtype::Int32 };
    let greatest = compute(&Operator::ArgMax(options), &[&shares])?;
    let shares: Vec<f32> = shares
        .read()
        .chunks_exact(4)
        .map(|b| (f32::from_le_bytes([b[0], b[1], b[2], b[3]]) * 1e6).round() / 1e6)
        .collect();
    let greatest: Vec<i32> =
        greatest.read().chunks_exact(4).map(|b| i32::from_le_bytes([b[0], b[1], b[2], b[3]])).collect();
    Ok(format!("{shares:?} {greatest:?}"))
}

/// `relu(x * two - (two - one))` on two numbers; `operand` is what the last operation is given.
fn graph(operand: u32) -> Result<String, Error> {
    let floats = |values: &[f32]| {
        let bytes: Vec<u8> = values.iter().flat_map(|value| value.to_le_bytes()).collect();
        Tensor::create(Dtype::Float32, &[2], &bytes)
    };
    let (two, one) = (floats(&[2.0, 2.0])?, floats(&[1.0, 1.0])?);
    let binary =
        |operator, inputs: [u32; 2]| Operation { operator: Operator::Binary(operator), inputs: inputs.to_vec() };
    // Operand 0 is the input, 1 and 2 are the constants, then come the operations' results.
    let definition = Definition {
        inputs: vec![OperandDescriptor { data_type: Dtype::Float32, shape: vec![2] }],
        operations: vec![
            binary(BinaryOperator::Sub, [1, 2]),
            binary(BinaryOperator::Mul, [operand, 1]),
            binary(BinaryOperator::Sub, [4, 3]),
            Operation { operator: Operator::Unary(UnaryOperator::Relu), inputs: vec![5] },
        ],
        outputs: vec![6],
    };
    let graph = build(&definition, &[&two, &one])?;
    let outputs = dispatch(&graph, &[&floats(&[1.5, -1.0])?])?;
    let bytes = outputs[0].read();
    let numbers = bytes.chunks_exact(4).map(|b| f32::from_le_bytes([b[0], b[1], b[2], b[3]])).collect::<Vec<_>>();
    let shapes =
        |operands: Vec<OperandDescriptor>| operands.into_iter().map(|operand| operand.shape).collect::<Vec<_>>();
    Ok(format!("{numbers:?} {:?} {:?}", shapes(graph.inputs()), shapes(graph.outputs())))
}

/// An axis that the tensor has not.
fn refused() -> Result<String, Error> {
    let row = Tensor::create(Dtype::Float32, &[1], &[0; 4])?;
    compute(&Operator::Softmax(7), &[&row]).map(|_| "computed".to_owned())
}

/// `sum` and `greater` of two 2 by 2 matrices.
fn add(x: &[f32; 4], y: &[f32; 4]) -> Result<String, Error> {
    let matrix = |values: &[f32; 4]| {
        let bytes: Vec<u8> = values.iter().flat_map(|value| value.to_le_bytes()).collect();
        Tensor::create(Dtype::Float32, &[2, 2], &bytes)
    };
    let (x, y) = (matrix(x)?, matrix(y)?);
    let model = open("add")?;
    let outputs = run(&model, &[("y".to_owned(), &y), ("x".to_owned(), &x)])?;
    let sum: Vec<f32> =
        outputs[0].read().chunks_exact(4).map(|b| f32::from_le_bytes([b[0], b[1], b[2], b[3]])).collect();
    let (dtype, shape) = (outputs[1].dtype(), outputs[1].shape());
    Ok(format!("{sum:?} {dtype:?} {shape:?} {:?}", outputs[1].read()))
}

fn respond(out: ResponseOutparam, text: &str) {
    let response = OutgoingResponse::new(Fields::new());
    let body = response.body().expect("the body has not been taken yet");
    ResponseOutparam::set(out, Ok(response));
    let stream = body.write().expect("the body is new");
    // A caller that has hung up does not mind.
    let _ = stream.blocking_write_and_flush(text.as_bytes());
    drop(stream);
    let _ = OutgoingBody::finish(body, None);
}

wasi::http::proxy::export!(Blocking);
