//! Reads TFLite files. tract's own reader trusts a file: it takes fields that may be missing, ignores what it does not
//! know, and knows shapes only as numbers. So three things are done before it sees one.
//!
//! | module | what it does |
//! | --- | --- |
//! | `check` | refuses what the reader would panic on or get wrong, by the operator's or tensor's name |
//! | `operators` | the operators that work, and those of them that also work quantised |
//! | `patch` | writes into a copy of the file: lengths of free axes; weights of `float16` as `float32` |

mod check;
mod operators;
mod patch;

use std::collections::BTreeMap;

use tract_onnx::prelude::{Framework, TractError, TractResult, TypedModel};
use tract_tflite::tflite::{Model, SubGraph, Tensor as FlatTensor, TensorType as FlatType, root_as_model};

use super::explain;
use super::graph::DeclaredOutput;
use crate::job::contain;
use crate::{DType, LoadError, TensorType};

/// A TFLite file that was checked.
pub(super) struct Flat {
    file: Vec<u8>,
    pub(super) inputs: Vec<TensorType>,
    /// Their places among the graph's tensors, in the same order.
    input_ids: Vec<usize>,
}

/// Whether `file` says that it is TFLite: the identifier of the schema, at byte 4.
pub(super) fn is_tflite(file: &[u8]) -> bool {
    file.get(4..8) == Some(b"TFL3")
}

impl Flat {
    pub(super) fn read(file: Vec<u8>) -> Result<(Self, Vec<DeclaredOutput>), LoadError> {
        let model = root_as_model(&file).map_err(|cause| {
            LoadError::NotAModel(format!("the file is not TFLite, is damaged or cut short ({})", short(&cause)))
        })?;
        let graph = check::check(&model)?;
        let tensors = graph.tensors().ok_or_else(|| LoadError::NotAModel("the graph has no tensors".into()))?;
        let (mut inputs, mut input_ids) = (Vec::new(), Vec::new());
        for id in graph.inputs().into_iter().flatten() {
            let id = usize::try_from(id).map_err(|_| LoadError::NotAModel("an input is no tensor".into()))?;
            inputs.push(type_of(&tensors.get(id))?);
            input_ids.push(id);
        }
        let outputs = graph.outputs().into_iter().flatten();
        let outputs = outputs.filter_map(|id| usize::try_from(id).ok()).map(|id| tensors.get(id));
        let outputs: Vec<_> = outputs
            .map(|tensor| DeclaredOutput { name: name(&tensor).to_owned(), shape: Some(lengths(&tensor)) })
            .collect();
        let file = patch::widen_half_weights(file)?;
        Ok((Self { file, inputs, input_ids }, outputs))
    }

    /// Fixes the lengths of inputs that have names in `shapes`.
    pub(super) fn specialize(&mut self, shapes: &BTreeMap<String, Vec<u32>>) -> Result<(), LoadError> {
        for (name, given) in shapes {
            let Some(input) = self.inputs.iter_mut().find(|input| input.name == *name) else {
                return Err(LoadError::Unsupported(format!("the model has no input `{name}`, whose shape is given")));
            };
            let given: Vec<usize> = given.iter().map(|length| *length as usize).collect();
            let fits = given.len() == input.shape.len()
                && input.shape.iter().zip(&given).all(|(declared, given)| declared.is_none_or(|of| of == *given));
            if !fits {
                return Err(LoadError::Unsupported(format!(
                    "input `{name}` is {input}, which the shape {given:?} does not fit"
                )));
            }
            input.shape = given.into_iter().map(Some).collect();
        }
        Ok(())
    }

    /// tract's graph for inputs of these lengths; as many numbers as there are free axes, in the order of the inputs.
    pub(super) fn typed(&self, free: &[usize]) -> TractResult<TypedModel> {
        let mut free = free.iter().copied();
        let mut shapes = Vec::new();
        for (input, id) in self.inputs.iter().zip(&self.input_ids) {
            let shape = input.shape.iter().map(|length| length.or_else(|| free.next()).unwrap_or(1)).collect();
            shapes.push((*id, shape));
        }
        let file = patch::with_shapes(&self.file, &shapes)?;
        let tflite = tract_tflite::tflite();
        contain(|| tflite.model_for_read(&mut file.as_slice()))
            .unwrap_or_else(|panic| Err(TractError::msg(panic)))
            .map_err(|cause| blame(&self.file, &cause))
    }

    /// What is kept of the file, in bytes.
    pub(super) fn bytes(&self) -> usize {
        self.file.len()
    }
}

/// `cause` beginning with the operator at which tract's reader stopped, which it prints somewhere inside, as all of
/// the operator's fields: `… Operator { opcode_index: 2, inputs: …, outputs: Some([7]), … }`.
fn blame(file: &[u8], cause: &TractError) -> TractError {
    let text = format!("{cause:?}");
    let number = |after: &str| {
        let (_, rest) = text.split_once("Operator {")?.1.split_once(after)?;
        let rest = rest.trim_start_matches(|c: char| c.is_whitespace() || c == '[');
        rest.chars().take_while(char::is_ascii_digit).collect::<String>().parse::<usize>().ok()
    };
    let root = cause.root_cause().to_string();
    let named = || {
        let model = root_as_model(file).ok()?;
        let graph = main_graph(&model)?;
        let code = model.operator_codes()?;
        let index = number("opcode_index:").filter(|index| *index < code.len())?;
        let operator = code.get(index);
        let output = number("outputs: Some(");
        let tensors = graph.tensors()?;
        let place =
            output.filter(|id| *id < tensors.len()).map(|id| format!(" that computes `{}`", name(&tensors.get(id))));
        Some(format!("operator `{}`{}", operators::name(&operator), place.unwrap_or_default()))
    };
    match named() {
        Some(named) => TractError::msg(format!("{named}: {root}")),
        None => TractError::msg(root),
    }
}

fn main_graph<'a>(model: &Model<'a>) -> Option<SubGraph<'a>> {
    let graphs = model.subgraphs()?;
    (!graphs.is_empty()).then(|| graphs.get(0))
}

fn type_of(tensor: &FlatTensor<'_>) -> Result<TensorType, LoadError> {
    let name = name(tensor).to_owned();
    let Some(dtype) = dtype_of(tensor.type_()) else {
        return Err(LoadError::Unsupported(format!("input `{name}` is of a type that tensors do not have")));
    };
    Ok(TensorType { name, dtype, shape: lengths(tensor) })
}

/// Free axes are -1 in `shape_signature`, and 1 in `shape`, of which the reference interpreter takes its defaults.
fn lengths(tensor: &FlatTensor<'_>) -> Vec<Option<usize>> {
    let shape = tensor.shape().into_iter().flatten();
    let signature: Vec<i32> = tensor.shape_signature().into_iter().flatten().collect();
    let is_free = |axis: usize| signature.get(axis).is_some_and(|length| *length < 0);
    shape.enumerate().map(|(axis, length)| usize::try_from(length).ok().filter(|_| !is_free(axis))).collect()
}

fn name<'a>(tensor: &FlatTensor<'a>) -> &'a str {
    tensor.name().unwrap_or_default()
}

fn dtype_of(of: FlatType) -> Option<DType> {
    Some(match of {
        FlatType::FLOAT16 => DType::Float16,
        FlatType::FLOAT32 => DType::Float32,
        FlatType::FLOAT64 => DType::Float64,
        FlatType::INT8 => DType::Int8,
        FlatType::INT16 => DType::Int16,
        FlatType::INT32 => DType::Int32,
        FlatType::INT64 => DType::Int64,
        FlatType::UINT8 => DType::Uint8,
        FlatType::UINT16 => DType::Uint16,
        FlatType::UINT32 => DType::Uint32,
        FlatType::UINT64 => DType::Uint64,
        FlatType::BOOL => DType::Boolean,
        _ => return None,
    })
}

fn short(cause: &dyn std::fmt::Display) -> String {
    explain(&TractError::msg(cause.to_string()))
}
