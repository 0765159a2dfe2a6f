//! What must hold of a TFLite file before tract reads it. The verifier of FlatBuffers has looked at offsets and nesting
//! by now: every field that is there can be read, but nothing says that it is there, or that numbers mean something.

use std::collections::BTreeSet;

use tract_tflite::tflite::{Model, Operator, SubGraph, Tensor as FlatTensor};

use super::super::listed;
use super::{dtype_of, main_graph, name, operators};
use crate::{LoadError, byte_length};

/// The graph of `model`, checked.
pub(super) fn check<'a>(model: &Model<'a>) -> Result<SubGraph<'a>, LoadError> {
    let Some(graph) = main_graph(model) else { return refuse("the file holds no TFLite graph") };
    let Some(tensors) = graph.tensors() else { return refuse("the graph has no tensors") };
    name_unknown_operators(model, &graph)?;
    for tensor in tensors {
        check_tensor(model, &tensor)?;
    }
    // What has a value by the time an operator reads it.
    let mut known: BTreeSet<usize> = BTreeSet::new();
    for id in graph.inputs().into_iter().flatten() {
        known.insert(place(&graph, id, || "an input of the graph".into())?);
    }
    for operator in graph.operators().into_iter().flatten() {
        check_operator(model, &graph, &operator, &mut known)?;
    }
    let outputs = graph.outputs().unwrap_or_default();
    if outputs.is_empty() {
        return refuse("the graph has no output");
    }
    for id in outputs {
        let id = place(&graph, id, || "an output of the graph".into())?;
        if !known.contains(&id) {
            return refuse(format!("nothing in the graph computes its output `{}`", name(&tensors.get(id))));
        }
    }
    Ok(graph)
}

fn name_unknown_operators(model: &Model<'_>, graph: &SubGraph<'_>) -> Result<(), LoadError> {
    let codes = model.operator_codes().unwrap_or_default();
    let mut unknown = BTreeSet::new();
    for operator in graph.operators().into_iter().flatten() {
        let index = operator.opcode_index() as usize;
        if index >= codes.len() {
            return refuse(format!("an operator has the code {index}, and there are {} codes", codes.len()));
        }
        let code = codes.get(index);
        if !operators::KNOWN.contains(&operators::builtin(&code)) && !is_half_weight(model, graph, &operator) {
            unknown.insert(format!("`{}`", operators::name(&code)));
        }
    }
    if unknown.is_empty() {
        return Ok(());
    }
    Err(LoadError::Unsupported(format!(
        "the engine `tract` has no TFLite operator {}; export the model as ONNX, or without them",
        listed(&unknown)
    )))
}

/// Whether the operator only widens a weight that is kept in half the bytes; see [`super::patch`].
pub(super) fn is_half_weight(model: &Model<'_>, graph: &SubGraph<'_>, operator: &Operator<'_>) -> bool {
    use tract_tflite::tflite::{BuiltinOperator, TensorType};
    let code = model.operator_codes().filter(|codes| (operator.opcode_index() as usize) < codes.len());
    let is_dequantize = code.is_some_and(|codes| {
        operators::builtin(&codes.get(operator.opcode_index() as usize)) == BuiltinOperator::DEQUANTIZE
    });
    let weight = operator.inputs().filter(|inputs| inputs.len() == 1).and_then(|inputs| {
        let id = usize::try_from(inputs.get(0)).ok()?;
        graph.tensors().filter(|tensors| id < tensors.len()).map(|tensors| tensors.get(id))
    });
    let is_half =
        weight.is_some_and(|tensor| tensor.type_() == TensorType::FLOAT16 && constant(model, &tensor).is_some());
    is_dequantize && is_half && operator.outputs().is_some_and(|outputs| outputs.len() == 1)
}

fn check_tensor(model: &Model<'_>, tensor: &FlatTensor<'_>) -> Result<(), LoadError> {
    let Some(name) = tensor.name() else { return refuse("a tensor has no name") };
    let Some(shape) = tensor.shape() else {
        return unsupported(format!("tensor `{name}` declares no shape; export the model with all shapes"));
    };
    let shape: Result<Vec<usize>, _> = shape.iter().map(usize::try_from).collect();
    let Ok(shape) = shape else { return refuse(format!("tensor `{name}` has an axis of negative length")) };
    let Some(dtype) = dtype_of(tensor.type_()) else {
        let of = tensor.type_().variant_name().unwrap_or("unknown to this version");
        return unsupported(format!("tensor `{name}` is of the type {of}, which tensors do not have"));
    };
    let bytes = match byte_length(dtype, &shape) {
        Ok(bytes) => bytes,
        Err(cause) => return refuse(format!("tensor `{name}`: {cause}")),
    };
    if tensor.sparsity().is_some() {
        return unsupported(format!("tensor `{name}` is sparse; export the model with dense weights"));
    }
    let buffers = model.buffers().unwrap_or_default();
    if tensor.buffer() as usize >= buffers.len().max(1) {
        return refuse(format!("tensor `{name}` is in buffer {}, and there are {}", tensor.buffer(), buffers.len()));
    }
    let held = constant(model, tensor).map(|data| data.len());
    if held.is_some_and(|held| held != bytes) {
        let held = held.unwrap_or_default();
        return refuse(format!("tensor `{name}` is declared as {dtype} {shape:?}, {bytes} bytes, and holds {held}"));
    }
    if let Some(quantization) = tensor.quantization() {
        let scales = quantization.scale().map(|scales| scales.len());
        let zeros = quantization.zero_point().map(|zeros| zeros.len());
        if let (Some(scales), Some(zeros)) = (scales, zeros)
            && (scales != zeros || scales == 0)
        {
            return refuse(format!("tensor `{name}` has {scales} scales and {zeros} zero points"));
        }
    }
    Ok(())
}

/// The bytes of a tensor that the file gives a value.
pub(super) fn constant<'a>(model: &Model<'a>, tensor: &FlatTensor<'a>) -> Option<&'a [u8]> {
    let buffers = model.buffers()?;
    let index = tensor.buffer() as usize;
    let data = (index != 0 && index < buffers.len()).then(|| buffers.get(index).data())??;
    Some(data.bytes()).filter(|bytes| !bytes.is_empty())
}

fn check_operator(
    model: &Model<'_>,
    graph: &SubGraph<'_>,
    operator: &Operator<'_>,
    known: &mut BTreeSet<usize>,
) -> Result<(), LoadError> {
    use tract_tflite::tflite::BuiltinOperator as Op;
    let codes = model.operator_codes().unwrap_or_default();
    let tensors = graph.tensors().unwrap_or_default();
    let code = codes.get(operator.opcode_index() as usize);
    let (inputs, outputs) = (operator.inputs().unwrap_or_default(), operator.outputs().unwrap_or_default());
    let of = || format!("operator `{}`", operators::name(&code));
    if inputs.is_empty() || outputs.is_empty() {
        return refuse(format!("{} has no inputs or no outputs", of()));
    }
    let first = place(graph, outputs.get(0), of)?;
    let this = || format!("operator `{}` that computes `{}`", operators::name(&code), name(&tensors.get(first)));
    let mut values = Vec::new();
    let mut is_quantised = false;
    for id in inputs {
        if id == -1 {
            return unsupported(format!("{} leaves out an input; export it with all inputs", this()));
        }
        let id = place(graph, id, this)?;
        let tensor = tensors.get(id);
        let value = constant(model, &tensor);
        if value.is_none() && !known.contains(&id) {
            return refuse(format!("{} reads `{}`, which nothing before it computes", this(), name(&tensor)));
        }
        is_quantised |= scales(&tensor);
        values.push(value);
    }
    for id in outputs {
        let id = place(graph, id, this)?;
        is_quantised |= scales(&tensors.get(id));
        if !known.insert(id) {
            return refuse(format!("{} computes `{}`, which has a value already", this(), name(&tensors.get(id))));
        }
    }
    let builtin = operators::builtin(&code);
    if is_quantised && !operators::QUANTISED.contains(&builtin) {
        return unsupported(format!(
            "{} works on quantised tensors, for which tract has no such operator; export the model in float32",
            this()
        ));
    }
    // What tract's reader takes for something else, without a word.
    let numbers = |index: usize| {
        let bytes = values.get(index).copied().flatten()?;
        Some(
            bytes
                .chunks_exact(4)
                .map(|four| i32::from_le_bytes([four[0], four[1], four[2], four[3]]))
                .collect::<Vec<_>>(),
        )
    };
    let cannot = |what: &str| unsupported(format!("{} {what}", this()));
    match builtin {
        Op::SLICE if numbers(1).is_none() || numbers(2).is_none() => cannot("computes where to slice"),
        Op::SLICE if numbers(2).is_some_and(|sizes| sizes.iter().any(|size| *size < 0)) => {
            cannot("slices to the end; export it with the lengths written out")
        }
        Op::STRIDED_SLICE
            if operator.builtin_options_as_strided_slice_options().is_some_and(|o| o.ellipsis_mask() != 0) =>
        {
            cannot("slices with an ellipsis; export it with all axes written out")
        }
        Op::SUM | Op::REDUCE_MAX | Op::REDUCE_MIN | Op::REDUCE_PROD
            if numbers(1).is_none_or(|axes| axes.iter().any(|axis| *axis < 0)) =>
        {
            cannot("reduces axes that are computed or counted from the end; export it with their numbers")
        }
        Op::RESHAPE if operator.inputs().is_some_and(|inputs| inputs.len() > 1) && numbers(1).is_none() => {
            cannot("computes the shape; export the model with fixed shapes")
        }
        Op::PAD | Op::PADV2 if numbers(1).is_none_or(|pads| pads.iter().any(|pad| *pad < 0)) => {
            cannot("computes how far to pad, or pads backwards")
        }
        _ => Ok(()),
    }
}

/// Whether the values of a tensor stand for others by scale and zero point.
fn scales(tensor: &FlatTensor<'_>) -> bool {
    tensor.quantization().is_some_and(|of| of.scale().is_some() && of.zero_point().is_some())
}

fn place(graph: &SubGraph<'_>, id: i32, of: impl FnOnce() -> String) -> Result<usize, LoadError> {
    let count = graph.tensors().map_or(0, |tensors| tensors.len());
    match usize::try_from(id).ok().filter(|id| *id < count) {
        Some(id) => Ok(id),
        None => refuse(format!("{} names tensor {id}, and there are {count}", of())),
    }
}

fn refuse<T>(message: impl Into<String>) -> Result<T, LoadError> {
    Err(LoadError::NotAModel(message.into()))
}

fn unsupported<T>(message: String) -> Result<T, LoadError> {
    Err(LoadError::Unsupported(message))
}
