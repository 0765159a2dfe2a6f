//! Infers types and shapes as tract does, but looks before each step at what it will compute.
//!
//! Where all inputs of an operator are known, tract's inference computes it at once and looks at the result's size only
//! then: a `Range` of 10^12 elements is tried. So its loop is here once more, with a question before each step. What it
//! has found stays in the graph, and tract's own loop, which runs again when the graph is typed, finds nothing new.

use std::collections::{BTreeSet, HashMap};

use tract_onnx::prelude::{DatumType, TVec, TractResult};
use tract_onnx::tract_core::internal::{OutletId, TractErrorContext};
use tract_onnx::tract_core::ops::konst::Const;
use tract_onnx::tract_hir::infer::{Factoid, InferenceFact, InferenceModel, InferenceNode};

use super::budget::{Budget, byte_length, place};
use super::lengths;

/// Refines the facts of `model` until nothing changes.
///
/// # Errors
/// Facts that contradict each other, named by their node; what the budget refuses.
pub(super) fn analyse(model: &mut InferenceModel, budget: &Budget) -> TractResult<()> {
    let mut waiting: BTreeSet<usize> = (0..model.nodes().len()).collect();
    // Nodes whose rules look at facts beside their own inputs and outputs.
    let mut observers: HashMap<OutletId, Vec<usize>> = HashMap::new();
    for node in model.nodes() {
        for outlet in node.op.observe_outlets(model, node)? {
            observers.entry(outlet).or_default().push(node.id);
        }
    }
    let mut known_bytes = 0_u64;
    while let Some(id) = waiting.pop_first() {
        budget.check_time()?;
        let changed = refine(model, id, budget, &mut known_bytes)
            .with_context(|| format!("inferring {}", place_of(model.node(id))))?;
        for outlet in changed {
            let readers = model.node(outlet.node).outputs[outlet.slot].successors.iter().map(|inlet| inlet.node);
            waiting.extend(readers.chain(observers.get(&outlet).into_iter().flatten().copied()).chain([outlet.node]));
        }
        waiting.remove(&id);
    }
    check_constants(model, budget)
}

/// One step: what the node's rules tell about the facts around it. Returns those that changed.
fn refine(model: &mut InferenceModel, id: usize, budget: &Budget, known_bytes: &mut u64) -> TractResult<Vec<OutletId>> {
    let node = model.node(id);
    let observed_outlets = node.op.observe_outlets(model, node)?;
    let input_outlets = node.inputs.clone();
    let output_outlets = (0..node.outputs.len()).map(|slot| OutletId::new(id, slot));
    let outlets: Vec<OutletId> = input_outlets.iter().copied().chain(output_outlets).chain(observed_outlets).collect();
    let facts = outlets.iter().map(|outlet| model.outlet_fact(*outlet).cloned());
    let facts: Vec<InferenceFact> = facts.collect::<TractResult<_>>()?;
    let (inputs, rest) = facts.split_at(input_outlets.len());
    let (outputs, observed) = rest.split_at(model.node(id).outputs.len());
    fn refs(facts: &[InferenceFact]) -> TVec<&InferenceFact> {
        facts.iter().collect()
    }
    let length_input = lengths::input_of(&model.node(id).op.name()).and_then(|index| inputs.get(index));
    if let Some(numbers) = length_input.and_then(|input| input.value.concretize()) {
        lengths::check(&numbers)?;
    }
    let is_computed = !inputs.is_empty() && inputs.iter().all(|input| input.value.is_concrete());
    if is_computed && budget.bytes.is_some() {
        let (_, results, _) = model.node_mut(id).op.infer_facts(refs(inputs), refs(outputs), refs(observed))?;
        let bytes = results.iter().filter_map(fact_bytes).fold(0, u64::saturating_add);
        budget.check_bytes(bytes, || place_of(model.node(id)))?;
    }
    let inferred = model.node_mut(id).op.infer(refs(inputs), refs(outputs), refs(observed))?;
    let becomes_length = inferred.1.first().is_some_and(|fact| fact.datum_type.concretize() == Some(DatumType::TDim));
    if becomes_length
        && model.node(id).op.name() == lengths::CAST
        && let Some(numbers) = inputs.first().and_then(|input| input.value.concretize())
    {
        lengths::check(&numbers)?;
    }
    let inferred = inferred.0.into_iter().chain(inferred.1).chain(inferred.2);
    let mut changed = Vec::new();
    for ((outlet, old), new) in outlets.into_iter().zip(&facts).zip(inferred) {
        // An outlet may stand here twice, as both inputs of a sum.
        let unified = model.outlet_fact(outlet)?.unify(&new)?;
        if unified != *old {
            if unified.value.is_concrete() && !old.value.is_concrete() {
                *known_bytes = known_bytes.saturating_add(fact_bytes(&unified).unwrap_or(0));
                budget.check_bytes(*known_bytes, || place_of(model.node(id)))?;
            }
            model.set_outlet_fact(outlet, unified)?;
            changed.push(outlet);
        }
    }
    Ok(changed)
}

/// Refuses results that are larger than the budget, and results that depend on nothing but constants and lengths if they
/// are so together: these tract computes while it plans.
fn check_constants(model: &InferenceModel, budget: &Budget) -> TractResult<()> {
    let mut constant = vec![false; model.nodes().len()];
    let mut constant_bytes = 0_u64;
    for id in model.eval_order()? {
        let node = model.node(id);
        let bytes = node.outputs.iter().filter_map(|outlet| fact_bytes(&outlet.fact)).fold(0, u64::saturating_add);
        budget.check_bytes(bytes, || place_of(node))?;
        let is_known = node.outputs.iter().all(|outlet| outlet.fact.value.is_concrete());
        let has_constants = !node.inputs.is_empty() && node.inputs.iter().all(|input| constant[input.node]);
        constant[id] = is_known || has_constants;
        if constant[id] && !node.op_is::<Const>() {
            constant_bytes = constant_bytes.saturating_add(bytes);
            budget.check_bytes(constant_bytes, || place_of(node))?;
        }
    }
    Ok(())
}

fn fact_bytes(fact: &InferenceFact) -> Option<u64> {
    let shape = fact.shape.concretize()?;
    byte_length(fact.datum_type.concretize()?, &shape)
}

fn place_of(node: &InferenceNode) -> String {
    let name = node.op.name();
    // What tract appends to the names of some operators while it infers.
    place(name.strip_suffix("Inference").unwrap_or(&name), &node.name)
}
