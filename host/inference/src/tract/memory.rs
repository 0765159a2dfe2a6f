//! How much memory a run takes beside its inputs, before it takes it.
//!
//! Two things are counted: before the run, the results that are alive at once, from the shapes that the plan has for
//! these inputs; and in the run, each result whose shape depends on values, as soon as these are known. Panels that a
//! matrix is packed into for a product, and where a convolution looks for its windows, are results of nodes of their own in
//! a plan, and counted as such. What else an operator needs for itself (a tile, a transform's buffer, the body of a loop)
//! tract does not tell: its `eval_tmp_memory_usage` sums results, too. Where it can be more than the results, `scratch`
//! knows it.

use std::collections::HashMap;

use tract_onnx::prelude::{SymbolValues, TDim, TValue, TypedFact, TypedModel};
use tract_onnx::tract_core::internal::{TypedNode, TypedOp};
use tract_onnx::tract_core::ops::konst::Const;

use super::budget::place;
use super::plan::Plan;
use super::scratch;
use crate::RunError;

/// Elements of an input that are looked at to tell the shape of a result: more than any list of lengths has.
const MOST_LENGTHS: usize = 64;

/// What the results of a run that are alive at once take, where the axes have these lengths; refuses it where that is more
/// than `limit_bytes`. What cannot be told counts for nothing here, and is for [`admit`].
pub(super) fn admit_plan(plan: &Plan, symbols: &SymbolValues, limit_bytes: u64) -> Result<u64, RunError> {
    let model = plan.model();
    let order = plan.order_without_consts();
    let mut last_use: HashMap<usize, usize> = HashMap::new();
    for (step, node) in order.iter().enumerate() {
        for input in &model.node(*node).inputs {
            last_use.insert(input.node, step);
        }
    }
    for output in model.output_outlets().into_iter().flatten() {
        last_use.insert(output.node, order.len());
    }
    let mut ending: HashMap<usize, Vec<usize>> = HashMap::new();
    for (node, step) in last_use {
        ending.entry(step).or_default().push(node);
    }
    let bytes = |node: usize| if model.node(node).op_is::<Const>() { 0 } else { node_bytes(model, node, symbols) };
    let (mut alive, mut most, mut first_beyond) = (0_u64, 0_u64, None);
    for (step, node) in order.iter().enumerate() {
        alive = alive.saturating_add(bytes(*node));
        let working = alive.saturating_add(scratch_bytes(model, *node, symbols));
        most = most.max(working);
        if working > limit_bytes {
            first_beyond.get_or_insert(*node);
        }
        for ended in ending.get(&step).into_iter().flatten() {
            alive = alive.saturating_sub(bytes(*ended));
        }
    }
    first_beyond.map_or(Ok(most), |node| Err(too_much(model.node(node), most, limit_bytes)))
}

fn node_bytes(model: &TypedModel, node: usize, symbols: &SymbolValues) -> u64 {
    let sizes = model.node(node).outputs.iter().map(|outlet| fact_bytes(&outlet.fact, symbols).unwrap_or(0));
    sizes.fold(0, u64::saturating_add)
}

/// What a node takes while it runs, and gives back.
fn scratch_bytes(model: &TypedModel, node: usize, symbols: &SymbolValues) -> u64 {
    let Ok(inputs) = model.node_input_facts(node) else { return 0 };
    let node = model.node(node);
    let results: Vec<&TypedFact> = node.outputs.iter().map(|outlet| &outlet.fact).collect();
    scratch::bytes(&node.op.name(), &inputs, &results, symbols).unwrap_or(0)
}

/// With what the elements themselves refer to, such as packed panels. Checked: lengths come from callers and from files.
fn fact_bytes(fact: &TypedFact, symbols: &SymbolValues) -> Option<u64> {
    let number = |length: &TDim| u64::try_from(length.eval(symbols).as_i64()?).ok();
    let elements = fact.shape.iter().try_fold(1_u64, |elements, axis| Some(elements.saturating_mul(number(axis)?)))?;
    let mut buffers = fact.exotic_fact.iter().flat_map(|exotic| exotic.buffer_sizes());
    let own = fact.datum_type.size_of() as u64;
    let size = buffers.try_fold(own, |size, buffer| Some(size.saturating_add(number(&buffer)?)))?;
    Some(elements.saturating_mul(size))
}

/// Refuses a node whose results, of a shape that only its inputs tell, are past `limit_bytes`.
pub(super) fn admit(
    node: &TypedNode,
    symbols: &SymbolValues,
    inputs: &[TValue],
    limit_bytes: u64,
) -> Result<(), RunError> {
    let are_known = node.outputs.iter().all(|outlet| fact_bytes(&outlet.fact, symbols).is_some());
    if are_known {
        return Ok(());
    }
    let facts: Vec<TypedFact> = inputs.iter().map(fact_of).collect();
    let facts: Vec<&TypedFact> = facts.iter().collect();
    let op: &dyn TypedOp = node.op.as_ref();
    // An operator that cannot say its shape by now computes it from values: no more elements than went in, as in
    // `NonZero`, times the rank.
    let Ok(results) = op.output_facts(&facts) else { return Ok(()) };
    let sizes = results.iter().map(|fact| fact_bytes(fact, symbols).unwrap_or(0));
    let results: Vec<&TypedFact> = results.iter().collect();
    let scratch = scratch::bytes(&node.op.name(), &facts, &results, symbols).unwrap_or(0);
    let needed_bytes = sizes.fold(scratch, u64::saturating_add);
    if needed_bytes <= limit_bytes { Ok(()) } else { Err(too_much(node, needed_bytes, limit_bytes)) }
}

/// With the values, where there are few: they may be lengths.
fn fact_of(value: &TValue) -> TypedFact {
    if value.len() <= MOST_LENGTHS
        && let Ok(fact) = TypedFact::try_from((**value).clone())
    {
        return fact;
    }
    TypedFact::dt_shape(value.datum_type(), value.shape())
}

fn too_much(node: &TypedNode, needed_bytes: u64, limit_bytes: u64) -> RunError {
    RunError::TooMuchMemory { place: place(node.op.name(), &node.name), needed_bytes, limit_bytes }
}
