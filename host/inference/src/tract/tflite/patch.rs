//! Changes in a TFLite file, in place or behind its end. Offsets in FlatBuffers point forwards only, so whatever is added
//! goes to the end, and what points to it is changed where it stands.

use tract_onnx::prelude::{TractResult, f16};
use tract_onnx::tract_hir::internal::{TractErrorContext as _, ensure};
use tract_tflite::tflite::{Buffer, Operator, SubGraph, Tensor as FlatTensor, TensorType, root_as_model};

use super::check::{constant, is_half_weight};
use super::main_graph;
use crate::LoadError;

/// Where a field of a table lies in the file; `None` where the table leaves it out. A macro, because tables have a type of
/// a crate that tract uses and we do not.
macro_rules! field {
    ($table:expr, $field:expr) => {{
        let table = $table;
        let offset = usize::from(table.vtable().get($field));
        (offset != 0).then(|| table.loc() + offset)
    }};
}

/// A copy of `file` in which the tensors have these shapes.
pub(super) fn with_shapes(file: &[u8], shapes: &[(usize, Vec<usize>)]) -> TractResult<Vec<u8>> {
    let mut patched = file.to_vec();
    let model = root_as_model(file)?;
    let tensors = main_graph(&model).and_then(|graph| graph.tensors()).context("no tensors")?;
    for (id, shape) in shapes {
        let tensor = tensors.get(*id);
        if tensor.shape().is_some_and(|old| old.iter().map(i64::from).eq(shape.iter().map(|length| *length as i64))) {
            continue;
        }
        let mut vector = (shape.len() as u32).to_le_bytes().to_vec();
        for length in shape {
            vector.extend(i32::try_from(*length).context("an axis is longer than TFLite knows")?.to_le_bytes());
        }
        let field = field!(&tensor._tab, FlatTensor::VT_SHAPE).context("a tensor without a shape")?;
        point(&mut patched, field, &vector)?;
    }
    Ok(patched)
}

/// `file` with its `float16` weights as `float32`, and without the operators that would widen them at each run: what the
/// reference interpreter does on a processor, too. tract's reader has no `DEQUANTIZE`.
pub(super) fn widen_half_weights(file: Vec<u8>) -> Result<Vec<u8>, LoadError> {
    try_widen(file).map_err(|cause| LoadError::Unsupported(format!("float16 weights cannot be widened ({cause})")))
}

fn try_widen(file: Vec<u8>) -> TractResult<Vec<u8>> {
    let model = root_as_model(&file)?;
    let graph = main_graph(&model).context("no graph")?;
    let (tensors, operators) = (graph.tensors().context("no tensors")?, graph.operators().unwrap_or_default());
    let widening: Vec<_> = operators.iter().map(|operator| is_half_weight(&model, &graph, &operator)).collect();
    if !widening.contains(&true) {
        return Ok(file);
    }
    let mut patched = file.clone();
    // Per tensor that a widening computes: the weight that it is.
    let mut weights = std::collections::BTreeMap::new();
    let mut done = std::collections::BTreeSet::new();
    for (operator, _) in operators.iter().zip(&widening).filter(|(_, widens)| **widens) {
        let (from, to) = (first(operator.inputs())?, first(operator.outputs())?);
        weights.insert(to, from);
        let tensor = tensors.get(from as usize);
        if !done.insert(tensor.buffer()) {
            ensure!(weights.values().filter(|known| **known == from).count() > 1, "two weights share a buffer");
            continue;
        }
        let halves = constant(&model, &tensor).context("no weight")?.chunks_exact(2);
        let mut vector = (2 * 2 * halves.len() as u32).to_le_bytes().to_vec();
        vector.extend(halves.flat_map(|two| f16::from_le_bytes([two[0], two[1]]).to_f32().to_le_bytes()));
        let buffer = model.buffers().context("no buffers")?.get(tensor.buffer() as usize);
        point(&mut patched, field!(&buffer._tab, Buffer::VT_DATA).context("no data")?, &vector)?;
        let kind = field!(&tensor._tab, FlatTensor::VT_TYPE_).context("a type by default")?;
        patched[kind] = TensorType::FLOAT32.0 as u8;
    }
    for tensor in tensors.iter().filter(|tensor| tensor.type_() == TensorType::FLOAT16) {
        let is_weight = weights.values().any(|id| tensors.get(*id as usize)._tab.loc() == tensor._tab.loc());
        ensure!(is_weight || !done.contains(&tensor.buffer()), "a weight is also read as float16");
    }
    for operator in operators {
        let inputs = field!(&operator._tab, Operator::VT_INPUTS).context("no inputs")?;
        for (index, id) in operator.inputs().into_iter().flatten().enumerate() {
            if let Some(weight) = weights.get(&id) {
                put(&mut patched, element(&file, inputs, index), &weight.to_le_bytes());
            }
        }
    }
    let vector = field!(&graph._tab, SubGraph::VT_OPERATORS).context("no operators")?;
    let kept: Vec<_> = operators.iter().zip(widening).filter(|(_, widens)| !widens).map(|(kept, _)| kept).collect();
    for (index, operator) in kept.iter().enumerate() {
        let at = element(&file, vector, index);
        put(&mut patched, at, &((operator._tab.loc() - at) as u32).to_le_bytes());
    }
    let length = element(&file, vector, 0) - 4;
    put(&mut patched, length, &(kept.len() as u32).to_le_bytes());
    Ok(patched)
}

fn first(vector: Option<impl IntoIterator<Item = i32>>) -> TractResult<i32> {
    vector.and_then(|vector| vector.into_iter().next()).context("an empty list")
}

/// Appends a vector, its length first, and lets the offset at `field` point to it.
fn point(file: &mut Vec<u8>, field: usize, vector: &[u8]) -> TractResult<()> {
    // Lengths and elements want their alignment; tensors, as much as the format ever gives them.
    while file.len() % 16 != 12 {
        file.push(0);
    }
    let offset = u32::try_from(file.len() - field).context("the file is too large for its format")?;
    put(file, field, &offset.to_le_bytes());
    file.extend_from_slice(vector);
    Ok(())
}

/// Where element `index` of the vector lies that the offset at `field` points to; elements have four bytes.
fn element(file: &[u8], field: usize, index: usize) -> usize {
    let offset = u32::from_le_bytes([file[field], file[field + 1], file[field + 2], file[field + 3]]);
    field + offset as usize + 4 + 4 * index
}

fn put(file: &mut [u8], at: usize, bytes: &[u8]) {
    file[at..at + bytes.len()].copy_from_slice(bytes);
}
