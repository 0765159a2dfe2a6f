//! Graphs: what a builder may hand to the host.
//!
//! | property | where |
//! | --- | --- |
//! | nothing panics | everywhere |
//! | a graph gives what its operators give one by one, to the bit | `run` |
//! | `infer` says what the operator says | `extend` |
//! | a dispatch takes no more memory than it says | `run` |
//! | what is built of the same is one graph, and of a definition that has been tampered with another, or none | `run` |

use std::sync::Arc;

use arbitrary::{Result, Unstructured};
use spillway_inference::{Graphs, Kernel, RunError, Tensor, infer};
use spillway_types::graph::{Definition, OperandDescriptor, Operation};
use spillway_types::operator::Operator;

use crate::budget::measure;
use crate::tensors::{LONGEST_NANOSECONDS, PACKED_BYTES, any_operator, any_tensor, is_same};

const MOST_OPERATIONS: usize = 24;
/// Results larger than this are not made.
const RESULT_BYTES: usize = 1 << 16;
/// What a changed graph may compute of constants when it is built.
const MOST_FOLDED: usize = RESULT_BYTES * 4;
/// What a dispatch may take beyond what it says: places, shapes, messages, plans.
const DISPATCH_BYTES: usize = 256 << 10;

/// A graph, and what each of its operands is when its operators run one by one.
struct Draft {
    definition: Definition,
    inputs: usize,
    operands: Vec<Tensor>,
}

pub(crate) fn run(bytes: &[u8]) {
    let mut u = Unstructured::new(bytes);
    // An error says that the bytes are used up.
    let Ok(Some(draft)) = draft(&mut u) else { return };
    let Draft { definition, inputs, operands } = &draft;
    let given = operands.len() - definition.operations.len();
    let constants = operands[*inputs..given].to_vec();
    let graphs = Graphs::default();
    let build = || {
        let graph = graphs.build(definition.clone(), constants.clone(), &|_| Ok(()), &|| false);
        graph.unwrap_or_else(|error| panic!("{definition:?}: {error}"))
    };
    let graph = build();
    assert!(Arc::ptr_eq(&graph, &build()), "{definition:?}: built of the same, it is another");
    let outputs: usize = graph.output_bytes().iter().sum();
    let most = graph.working_bytes() + outputs + DISPATCH_BYTES + PACKED_BYTES;
    let (computed, peak) = measure(|| graph.compute(operands[..*inputs].to_vec(), &|| false));
    assert!(peak <= most, "{definition:?}: a dispatch took {peak} bytes, and said {most}");
    let computed = computed.unwrap_or_else(|error| panic!("{definition:?}: {error}"));
    for (output, &number) in computed.iter().zip(&definition.outputs) {
        let expected = operands[number as usize].to_row_major();
        assert_eq!((output.dtype(), output.shape()), (expected.dtype(), expected.shape()), "{definition:?}");
        assert!(is_same(output, &expected), "{definition:?}: operand {number} is another");
    }
    let Ok(other) = tamper(&mut u, definition.clone()) else { return };
    // What would be computed of constants alone is charged first.
    let charge = |bytes: usize| match bytes {
        ..=MOST_FOLDED => Ok(()),
        _ => Err(RunError::OutOfMemory("no room".into())),
    };
    if let Ok(built) = graphs.build(other.clone(), constants, &charge, &|| false) {
        let is_same = is_alike(&other, definition);
        assert_eq!(Arc::ptr_eq(&graph, &built), is_same, "{other:?} is not told from {definition:?}");
    }
}

fn draft(u: &mut Unstructured<'_>) -> Result<Option<Draft>> {
    let inputs = u.int_in_range(1..=3)?;
    let given = inputs + u.int_in_range(0..=3)?;
    let mut operands = Vec::new();
    for _ in 0..given {
        let tensor = any_tensor(u, RESULT_BYTES)?;
        let Some(tensor) = tensor.filter(|tensor| tensor.shape().iter().all(|&length| u32::try_from(length).is_ok()))
        else {
            return Ok(None);
        };
        operands.push(tensor);
    }
    let described = operands[..inputs].iter().map(describe).collect();
    let definition = Definition { inputs: described, operations: Vec::new(), outputs: Vec::new() };
    let mut draft = Draft { definition, inputs, operands };
    for _ in 0..u.int_in_range(1..=MOST_OPERATIONS)? {
        extend(u, &mut draft)?;
    }
    let count = draft.operands.len();
    if count == given {
        return Ok(None);
    }
    for _ in 0..u.int_in_range(1..=3)? {
        let output = u.int_in_range(given..=count - 1)?;
        draft.definition.outputs.push(output as u32);
    }
    Ok(Some(draft))
}

/// One operator more, if it suits what is there.
fn extend(u: &mut Unstructured<'_>, draft: &mut Draft) -> Result<()> {
    let first = u.choose_index(draft.operands.len())?;
    let (operator, count) = any_operator(u, &draft.operands[first])?;
    let mut inputs = vec![first];
    for _ in 1..count {
        inputs.push(u.choose_index(draft.operands.len())?);
    }
    if matches!(operator, Operator::DecodeImage(_)) {
        return Ok(());
    }
    // Rows, as a graph's inputs are; views among its own results stay so.
    let tensors: Vec<Tensor> = inputs.iter().map(|&input| draft.operands[input].clone()).collect();
    let descriptors: Vec<_> = tensors.iter().map(describe).collect();
    let (checked, inferred) = (Kernel::new(operator.clone(), tensors), infer(operator.clone(), &descriptors));
    let kernel = match (checked, inferred) {
        (Ok(kernel), Ok(_)) => kernel,
        // A graph's axes have 32 bits.
        (_, Err(error)) if error.to_string().contains("the result is too large") => return Ok(()),
        (Err(one), Err(other)) => {
            assert_eq!(one.to_string(), other.to_string(), "{operator:?}");
            return Ok(());
        }
        (one, other) => panic!("{operator:?} on {descriptors:?}: the check says {one:?}, and `infer` {other:?}"),
    };
    let bytes = kernel.result_bytes().max(kernel.scratch_bytes());
    if bytes > RESULT_BYTES || kernel.predicted_nanoseconds() > LONGEST_NANOSECONDS {
        return Ok(());
    }
    let result = kernel.compute().unwrap_or_else(|error| panic!("{operator:?} on {descriptors:?}: {error}"));
    if result.byte_length() > RESULT_BYTES {
        return Ok(());
    }
    let inputs = inputs.into_iter().map(|input| input as u32).collect();
    draft.definition.operations.push(Operation { operator, inputs });
    draft.operands.push(result);
    Ok(())
}

fn describe(tensor: &Tensor) -> OperandDescriptor {
    let shape = tensor.shape().iter().map(|&length| u32::try_from(length).unwrap_or(u32::MAX)).collect();
    OperandDescriptor { data_type: tensor.dtype(), shape }
}

/// Whether they are the same to the bit: NaN in options is not the same as itself.
fn is_alike(one: &Definition, other: &Definition) -> bool {
    format!("{one:?}") == format!("{other:?}")
}

/// Changes a number.
fn tamper(u: &mut Unstructured<'_>, mut definition: Definition) -> Result<Definition> {
    let number: u32 = if u.arbitrary()? { u.arbitrary()? } else { u.int_in_range(0..=40)? };
    match u.int_in_range(0..=3)? {
        0 => {
            let at = u.choose_index(definition.operations.len())?;
            if let Some(input) = definition.operations[at].inputs.first_mut() {
                *input = number;
            }
        }
        1 => definition.outputs.push(number),
        2 => {
            let at = u.choose_index(definition.inputs.len())?;
            definition.inputs[at].shape.push(number);
        }
        _ => {
            let at = u.choose_index(definition.operations.len())?;
            definition.operations.remove(at);
        }
    }
    Ok(definition)
}
