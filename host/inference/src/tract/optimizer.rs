//! Drives tract's optimiser, and looks between its steps at what they make.
//!
//! The passes are tract's own; the loop around them is its `OptimizerSession::optimize`, which offers no place to stop.
//! One pass computes what depends on constants alone, and looks at the size of a result only when it is there.

use std::collections::HashSet;

use tract_onnx::prelude::{TractResult, TypedModel};
use tract_onnx::tract_core::internal::{TractErrorContext, TypedFact, TypedNode, rctensor0};
use tract_onnx::tract_core::model::typed::{STAGE_OPTIMIZED, TRACT_STAGE};
use tract_onnx::tract_core::ops::konst::Const;
use tract_onnx::tract_core::optim::{Optimizer, OptimizerSession, TypedPass};

use super::budget::{Budget, byte_length, place};

/// `model` in the form that runs fastest: what its `into_optimized` gives.
///
/// # Errors
/// tract's; what the budget refuses.
pub(super) fn optimise(mut model: TypedModel, budget: &Budget) -> TractResult<TypedModel> {
    let mut constants = Constants::of(&model, budget);
    for optimizer in [Optimizer::declutter(), Optimizer::codegen()] {
        apply(&optimizer, &mut model, budget, &mut constants)?;
    }
    // As `TypedModel::optimize` leaves it; operators may ask.
    model.properties.insert(TRACT_STAGE.to_owned(), rctensor0(STAGE_OPTIMIZED.to_owned()));
    Ok(model)
}

/// Every pass in turn, again and again, until none changes anything.
fn apply(optimizer: &Optimizer, model: &mut TypedModel, budget: &Budget, constants: &mut Constants) -> TractResult<()> {
    let _proofs = model.symbols.proof_cache_session();
    let mut session = optimizer.session();
    let mut seen = HashSet::new();
    model.compact()?;
    model.check_names()?;
    loop {
        let mut has_changed = false;
        for mut pass in optimizer.passes.clone() {
            loop {
                check_facts(model, budget)?;
                let applied = apply_pass(pass.as_mut(), &mut session, model, budget, constants, &mut seen)
                    .with_context(|| format!("in the optimiser's pass {pass:?}"))?;
                model.compact()?;
                if !applied {
                    break;
                }
                has_changed = true;
            }
        }
        if !has_changed {
            return Ok(());
        }
    }
}

/// One walk of one pass over the graph; whether it changed anything that counts as a change.
fn apply_pass(
    pass: &mut dyn TypedPass,
    session: &mut OptimizerSession<'_>,
    model: &mut TypedModel,
    budget: &Budget,
    constants: &mut Constants,
    seen: &mut HashSet<String>,
) -> TractResult<bool> {
    let mut applied = false;
    pass.reset()?;
    loop {
        budget.check_time()?;
        let Some(mut patch) = pass.next(session, model)? else { break };
        if patch.dont_apply_twice.take().is_some_and(|mark| !seen.insert(mark)) {
            continue;
        }
        let (added, at) = constants_in(&patch.model);
        patch.apply(model)?;
        applied = true;
        constants.add(added, &at, model, budget)?;
    }
    pass.run_direct(model)?;
    Ok(applied)
}

/// Refuses a result that is larger than the budget, before a pass can compute it.
fn check_facts(model: &TypedModel, budget: &Budget) -> TractResult<()> {
    for node in model.nodes().iter().filter(|_| budget.bytes.is_some()) {
        let bytes = node.outputs.iter().filter_map(|outlet| fact_bytes(&outlet.fact)).fold(0, u64::saturating_add);
        budget.check_bytes(bytes, || place_of(node))?;
    }
    Ok(())
}

/// Bytes of all constants that the graph has held since it was last counted.
struct Constants {
    bytes: u64,
    /// What it held to begin with, which is not planning's doing.
    own_bytes: u64,
}

impl Constants {
    fn of(model: &TypedModel, budget: &Budget) -> Self {
        let own_bytes = if budget.bytes.is_some() { constants_in(model).0 } else { 0 };
        Self { bytes: own_bytes, own_bytes }
    }

    /// Counts what a patch has added. Those that it replaced lie in the graph until the pass ends, so the count is only
    /// held against the graph where it is too high: a pass may write each of the model's own weights anew.
    fn add(&mut self, added: u64, at: &str, model: &TypedModel, budget: &Budget) -> TractResult<()> {
        let Some(limit_bytes) = budget.bytes else { return Ok(()) };
        self.bytes = self.bytes.saturating_add(added);
        let own_bytes = self.own_bytes.saturating_mul(2);
        if self.bytes > own_bytes.saturating_add(limit_bytes) {
            self.bytes = constants_in(model).0;
            budget.check_bytes(self.bytes.saturating_sub(own_bytes), || at.to_owned())?;
        }
        Ok(())
    }
}

/// Bytes of the constants of a graph, and how to name the last of them.
fn constants_in(model: &TypedModel) -> (u64, String) {
    let constants = model.nodes().iter().filter(|node| node.op_is::<Const>());
    let mut bytes = 0_u64;
    let mut last = None;
    for node in constants {
        let own = node.outputs.iter().filter_map(|outlet| fact_bytes(&outlet.fact));
        bytes = own.fold(bytes, u64::saturating_add);
        last = Some(node);
    }
    (bytes, last.map(place_of).unwrap_or_default())
}

fn fact_bytes(fact: &TypedFact) -> Option<u64> {
    byte_length(fact.datum_type, fact.shape.iter())
}

fn place_of(node: &TypedNode) -> String {
    place(node.op.name(), &node.name)
}
