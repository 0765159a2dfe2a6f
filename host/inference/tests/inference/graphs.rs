//! Graphs mean what their operators mean alone, take what they say, and refuse what does not hold.

use std::cell::Cell;
use std::sync::Arc;

use spillway_inference::{DType, Graph, Graphs, RunError, Tensor};
use spillway_types::graph::{Definition, OperandDescriptor, Operation};
use spillway_types::operator::*;

use DType::{Float32, Int32};

use super::kernels::{bits, compute, tensor_of, values};

fn described(tensor: &Tensor) -> OperandDescriptor {
    let shape = tensor.shape().iter().map(|&length| length as u32).collect();
    OperandDescriptor { data_type: tensor.dtype(), shape }
}

fn operation(operator: Operator, inputs: &[u32]) -> Operation {
    Operation { operator, inputs: inputs.into() }
}

fn build(definition: Definition, constants: Vec<Tensor>) -> Result<Graph, RunError> {
    Graph::build(definition, constants, &|_| Ok(()), &|| false)
}

fn refused(definition: Definition, constants: Vec<Tensor>) -> String {
    build(definition, constants).map(drop).unwrap_err().to_string()
}

fn run(graph: &Graph, inputs: &[Tensor]) -> Vec<Tensor> {
    let outputs = graph.compute(inputs.to_vec(), &|| false).unwrap();
    let sizes: Vec<usize> = outputs.iter().map(Tensor::byte_length).collect();
    assert_eq!(graph.output_bytes(), sizes);
    outputs
}

/// What a graph of just `operator` gives: with its inputs as inputs, with all of them as constants, and where memory of its
/// result's type and size has been used in the same run.
pub(crate) fn alone(operator: &Operator, inputs: &[Tensor]) -> Vec<Tensor> {
    if matches!(operator, Operator::DecodeImage(_)) {
        return Vec::new();
    }
    let all: Vec<u32> = (0..inputs.len() as u32).collect();
    let last = inputs.len() as u32;
    let operations = vec![operation(operator.clone(), &all)];
    let given = Definition { inputs: inputs.iter().map(described).collect(), operations, outputs: vec![last] };
    let known = Definition { inputs: Vec::new(), ..given.clone() };
    let (alone, known) = (build(given.clone(), Vec::new()).unwrap(), build(known, inputs.to_vec()).unwrap());
    let mut results = run(&alone, inputs);
    results.extend(run(&known, &[]));
    results.extend(after_another(given, inputs, &results[0]));
    results
}

/// The result of the one operation of `given` again, after another result of its type and size has come and gone.
fn after_another(given: Definition, inputs: &[Tensor], result: &Tensor) -> Option<Tensor> {
    let bytes = result.byte_length();
    if bytes == 0 || inputs.is_empty() {
        return None;
    }
    let ones = Tensor::from_bytes(result.dtype(), &[bytes / result.dtype().size_bytes()], &vec![1; bytes]).unwrap();
    let first = tensor_of(Int32, &[1], &[0.0]);
    let count = inputs.len() as u32;
    let mut definition = given;
    definition.inputs.extend([described(&ones), described(&first)]);
    let mut operation_itself = definition.operations.remove(0);
    operation_itself.inputs = (0..count).collect();
    // What is reversed goes when its first element is taken.
    definition.operations = vec![
        operation(Operator::Reverse(None), &[count]),
        operation(Operator::Gather(0), &[count + 2, count + 1]),
        operation_itself,
    ];
    definition.outputs = vec![count + 3, count + 4];
    let all: Vec<Tensor> = inputs.iter().cloned().chain([ones, first]).collect();
    run(&build(definition, Vec::new()).unwrap(), &all).pop()
}

fn noise(shape: &[usize], seed: u32) -> Tensor {
    let mut state = seed.wrapping_mul(2_654_435_761).max(1);
    let count = shape.iter().product();
    let numbers: Vec<f64> = (0..count)
        .map(|_| {
            state ^= state << 13;
            state ^= state >> 17;
            state ^= state << 5;
            f64::from(state as i32) / 1e9
        })
        .collect();
    tensor_of(Float32, shape, &numbers)
}

fn binary(operator: BinaryOperator) -> Operator {
    Operator::Binary(operator)
}

const RELU: Operator = Operator::Unary(UnaryOperator::Relu);

#[test]
fn chains_of_elementwise_operators_give_what_the_operators_give_one_by_one() {
    // Long enough for several blocks, with rows that do not divide them.
    let x = noise(&[7, 3, 1000], 1);
    let (row, matrix, one, same) = (noise(&[1000], 2), noise(&[3, 1000], 3), noise(&[1], 4), noise(&[7, 3, 1000], 5));
    let column = noise(&[7, 1, 1], 6);
    let linear = Operator::Linear(LinearOptions { alpha: 0.5, beta: -0.25 });
    let clamp = Operator::Clamp(ClampOptions { min_value: Some(-1.0), max_value: Some(1.5) });
    let constants = [row, matrix, one, same, column];
    // Operand 0 is x, 1 to 5 the constants.
    let steps: Vec<(Operator, Vec<u32>)> = vec![
        (binary(BinaryOperator::Add), vec![0, 1]),
        (binary(BinaryOperator::Sub), vec![2, 6]),
        (Operator::Unary(UnaryOperator::Tanh), vec![7]),
        (binary(BinaryOperator::Div), vec![8, 3]),
        (linear, vec![9]),
        (binary(BinaryOperator::Mul), vec![4, 10]),
        (clamp, vec![11]),
        (binary(BinaryOperator::Max), vec![12, 5]),
        // Of one with itself, and with the first of them all.
        (binary(BinaryOperator::Mul), vec![13, 13]),
        (binary(BinaryOperator::Add), vec![0, 14]),
    ];
    let mut operands = vec![x.clone()];
    operands.extend(constants.iter().cloned());
    for (operator, inputs) in &steps {
        let inputs: Vec<&Tensor> = inputs.iter().map(|&input| &operands[input as usize]).collect();
        operands.push(compute(operator.clone(), &inputs));
    }
    let operations: Vec<Operation> =
        steps.iter().map(|(operator, inputs)| operation(operator.clone(), inputs)).collect();
    for outputs in [vec![15], vec![15, 10], (6..16).collect()] {
        let definition =
            Definition { inputs: vec![described(&x)], operations: operations.clone(), outputs: outputs.clone() };
        let graph = build(definition, constants.to_vec()).unwrap();
        for (result, number) in run(&graph, std::slice::from_ref(&x)).iter().zip(outputs) {
            assert_eq!(bits(result), bits(&operands[number as usize]), "operand {number}");
        }
    }
}

/// A net with views, products, and results that are used twice.
fn net(rows: u32) -> (Definition, Vec<Tensor>) {
    let operations = vec![
        operation(Operator::Matmul, &[0, 1]),                  // 3
        operation(binary(BinaryOperator::Add), &[3, 2]),       // 4
        operation(RELU, &[4]),                                 // 5
        operation(Operator::Reshape(vec![rows, 2, 4]), &[5]),  // 6
        operation(Operator::Transpose(vec![1, 0, 2]), &[6]),   // 7
        operation(Operator::Transpose(vec![1, 2, 0]), &[6]),   // 8, a view of the same
        operation(Operator::Softmax(2), &[7]),                 // 9
        operation(Operator::Reshape(vec![rows, 8]), &[9]),     // 10, of other elements
        operation(binary(BinaryOperator::Add), &[10, 5]),      // 11
        operation(Operator::Unary(UnaryOperator::Exp), &[2]),  // 12, of constants alone
        operation(binary(BinaryOperator::Mul), &[11, 12]),     // 13
        operation(Operator::Unary(UnaryOperator::Sqrt), &[0]), // 14, which nobody needs
    ];
    let inputs = vec![OperandDescriptor { data_type: Float32, shape: vec![rows, 16] }];
    (Definition { inputs, operations, outputs: vec![13, 8, 13] }, vec![noise(&[16, 8], 7), noise(&[8], 8)])
}

fn one_by_one(definition: &Definition, constants: &[Tensor], inputs: &[Tensor]) -> Vec<Tensor> {
    let mut operands: Vec<Tensor> = inputs.iter().chain(constants).cloned().collect();
    for Operation { operator, inputs } in &definition.operations {
        let inputs: Vec<&Tensor> = inputs.iter().map(|&input| &operands[input as usize]).collect();
        operands.push(compute(operator.clone(), &inputs));
    }
    definition.outputs.iter().map(|&output| operands[output as usize].clone()).collect()
}

#[test]
fn a_net_gives_what_its_operators_give_one_by_one_and_each_output_is_its_own() {
    let (definition, constants) = net(50);
    let x = noise(&[50, 16], 9);
    let expected = one_by_one(&definition, &constants, std::slice::from_ref(&x));
    let graph = build(definition, constants).unwrap();
    assert_eq!(graph.folded_bytes(), 32, "the exponentials of the bias");
    // Again and again: what a run leaves in recycled memory is not seen by the next.
    for _ in 0..3 {
        let outputs = run(&graph, std::slice::from_ref(&x));
        for (output, expected) in outputs.iter().zip(&expected) {
            assert_eq!((output.shape(), bits(output)), (expected.shape(), bits(expected)));
        }
        assert!(!outputs[0].shares_storage_with(&outputs[2]) && !outputs[1].shares_storage_with(&x));
    }
    // Views of other tensors are taken as inputs, too.
    let tall = compute(Operator::Transpose(vec![1, 0]), &[&x]).to_row_major();
    let view = compute(Operator::Transpose(vec![1, 0]), &[&tall]);
    assert_eq!(bits(&run(&graph, &[view])[0]), bits(&expected[0]));
}

#[test]
fn a_dispatch_says_beforehand_what_it_takes_at_once() {
    let (definition, constants) = net(1000);
    let graph = build(definition, constants).unwrap();
    let result = 1000 * 8 * 4;
    // The sum while the reshaped softmax and the first result are there, the copies at the end, and less than all results.
    assert!((2 * result..8 * result).contains(&graph.working_bytes()), "{}", graph.working_bytes());
    let step = |number| operation(binary(BinaryOperator::Pow), &[number, number]);
    let long = Definition {
        inputs: vec![OperandDescriptor { data_type: Float32, shape: vec![1000] }],
        operations: (0..100).map(step).collect(),
        outputs: vec![100],
    };
    let graph = build(long, Vec::new()).unwrap();
    assert_eq!(graph.working_bytes(), 4000, "a result goes once the next is there");
}

#[test]
fn what_does_not_hold_is_refused_by_the_number_of_the_operation() {
    let (good, constants) = net(3);
    let with = |change: &dyn Fn(&mut Definition)| {
        let mut definition = good.clone();
        change(&mut definition);
        refused(definition, constants.clone())
    };
    type Change<'a> = &'a dyn Fn(&mut Definition);
    let cases: &[(&str, Change<'_>)] = &[
        ("operation 0: matmul: the last axis of [3, 15]", &|d| d.inputs[0].shape[1] = 15),
        ("operation 0: matmul: the input is int32; it takes float16", &|d| d.inputs[0].data_type = Int32),
        ("operation 4: transpose: `permutation`", &|d| d.operations[4].operator = Operator::Transpose(vec![0, 0, 1])),
        ("operation 1: input 3000000000 is none of the 4 operands before it", &|d| {
            d.operations[1].inputs[1] = 3_000_000_000
        }),
        ("operation 1: input 4 is none of the 4 operands before it", &|d| d.operations[1].inputs[1] = 4),
        ("operation 0: matmul: takes 2 inputs, given 0", &|d| d.operations[0].inputs.clear()),
        ("operation 2: relu: takes 1 input, given 2", &|d| d.operations[2].inputs.push(0)),
        ("the graph has no output", &|d| d.outputs.clear()),
        ("output 2 is no result of an operation", &|d| d.outputs[0] = 2),
        ("output 15 is no result of an operation", &|d| d.outputs[0] = 15),
        ("input 0: a float32 tensor of shape", &|d| d.inputs[0].shape = vec![u32::MAX; 3]),
        ("input 0: a tensor has at most 64 axes", &|d| d.inputs[0].shape = vec![1; 65]),
        ("operation 11: decodeImage", &|d| {
            let options = DecodeImageOptions { color: ColorMode::Rgb, orient: true };
            d.operations[11].operator = Operator::DecodeImage(options);
        }),
        ("a graph has at most 50000 operations, given 1000000", &|d| {
            d.operations = vec![operation(RELU, &[0]); 1_000_000];
        }),
        ("a graph has at most 10000 outputs, given 1000000", &|d| d.outputs = vec![4; 1_000_000]),
        ("a graph has at most 10000 inputs, given 1000000", &|d| d.inputs = vec![d.inputs[0].clone(); 1_000_000]),
    ];
    for (expected, change) in cases {
        let message = with(change);
        assert!(message.contains(expected), "{message:?} does not say {expected:?}");
    }
    let many = refused(good.clone(), vec![constants[0].clone(); 10_001]);
    assert!(many.contains("a graph has at most 10000 constants, given 10001"), "{many}");
    let missing = refused(good.clone(), constants[..1].to_vec());
    assert!(missing.contains("operation 1: "), "{missing}");
    let graph = build(good, constants).unwrap();
    let messages = [
        (vec![], "takes 1 inputs, given 0"),
        (vec![noise(&[2, 16], 1)], "input 0 is float32 [2, 16], but the graph was built for float32 [3, 16]"),
    ];
    for (inputs, expected) in messages {
        let message = graph.compute(inputs, &|| false).unwrap_err().to_string();
        assert!(message.contains(expected), "{message}");
    }
}

#[test]
fn what_constants_come_to_is_charged_before_it_is_computed() {
    let operations = vec![operation(Operator::Tile(vec![1_000_000_000, 1000]), &[0])];
    let definition = Definition { inputs: Vec::new(), operations, outputs: vec![1] };
    let asked = Cell::new(0);
    let charge = |bytes| {
        asked.set(bytes);
        Err(RunError::InvalidArgument("no memory".into()))
    };
    let error = Graph::build(definition, vec![noise(&[1, 1], 1)], &charge, &|| false).unwrap_err();
    assert_eq!((error.to_string().as_str(), asked.get() >= 4_000_000_000_000), ("operation 0: no memory", true));
}

#[test]
fn a_dispatch_ends_between_two_operations_and_within_a_chain() {
    let (definition, constants) = net(100_000);
    let graph = build(definition, constants).unwrap();
    let x = noise(&[100_000, 16], 3);
    let asked = Cell::new(0);
    for limit in [0, 1, 5, 40] {
        asked.set(0);
        let stop = || asked.replace(asked.get() + 1) >= limit;
        assert_eq!(graph.compute(vec![x.clone()], &stop).unwrap_err(), RunError::DeadlineExceeded);
        assert_eq!(asked.get(), limit + 1);
    }
    let all = Cell::new(0);
    graph
        .compute(vec![x], &|| {
            all.set(all.get() + 1);
            false
        })
        .unwrap();
    assert!(all.get() > 40, "{}", all.get());
}

#[test]
fn graphs_that_are_built_of_the_same_are_one_while_they_are_used() {
    let graphs = Graphs::default();
    let build = |rows, seed| {
        let (definition, mut constants) = net(rows);
        constants[1] = noise(&[8], seed);
        graphs.build(definition, constants, &|_| Ok(()), &|| false).unwrap()
    };
    let first = build(3, 1);
    assert!(Arc::ptr_eq(&first, &build(3, 1)), "other tensors with the same elements");
    assert!(!Arc::ptr_eq(&first, &build(4, 1)), "another shape");
    assert!(!Arc::ptr_eq(&first, &build(3, 2)), "another constant");
    for rows in 10..200 {
        build(rows, 1);
    }
    assert!(graphs.count() <= 64);
    assert!(!Arc::ptr_eq(&first, &build(3, 1)), "it was used long ago");
    assert_eq!(
        values(&first.compute(vec![noise(&[3, 16], 1)], &|| false).unwrap()[0]).len(),
        24,
        "who holds it goes on"
    );
}

#[test]
fn a_constant_that_is_a_vast_view_is_neither_copied_nor_hashed_for_ever() {
    let vast = compute(Operator::Expand(vec![1 << 20, 1 << 20, 1 << 20]), &[&tensor_of(DType::Uint8, &[1], &[1.0])]);
    let operations =
        vec![operation(Operator::Slice(SliceOptions { starts: vec![0; 3], sizes: vec![1; 3], strides: vec![] }), &[0])];
    let definition = Definition { inputs: Vec::new(), operations, outputs: vec![1] };
    let asked = Cell::new(0);
    let stop = || asked.replace(asked.get() + 1) >= 10;
    let error = Graphs::default().build(definition.clone(), vec![vast.clone()], &|_| Ok(()), &stop).unwrap_err();
    assert_eq!((error, asked.get()), (RunError::DeadlineExceeded, 11));
    // A small part of it is a constant like others, whatever else is there.
    let part =
        compute(Operator::Slice(SliceOptions { starts: vec![5; 3], sizes: vec![3, 2, 2], strides: vec![] }), &[&vast]);
    let graph = Graphs::default().build(definition, vec![part], &|_| Ok(()), &|| false).unwrap();
    assert_eq!(values(&run(&graph, &[])[0]), [1.0]);
}

#[test]
fn an_output_that_is_named_twice_is_two_tensors() {
    let definition = Definition {
        inputs: vec![OperandDescriptor { data_type: Float32, shape: vec![4] }],
        operations: vec![operation(RELU, &[0])],
        outputs: vec![1, 1],
    };
    let graph = build(definition, Vec::new()).unwrap();
    let outputs = run(&graph, &[noise(&[4], 1)]);
    assert!(bits(&outputs[0]) == bits(&outputs[1]) && !outputs[0].shares_storage_with(&outputs[1]));
    assert_eq!(graph.working_bytes(), 0);
}
