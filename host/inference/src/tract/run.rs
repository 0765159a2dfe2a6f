//! Runs a plan.

use std::sync::Arc;

use tract_onnx::prelude::{DatumType, IntoArcTensor, TValue, TractError};
use tract_onnx::tract_core::internal::{TractErrorContext, TypedNode};
use tract_onnx::tract_core::ops::cast::Cast;
use tract_onnx::tract_core::plan::eval;

use super::budget::place;
use super::plan::Plan;
use super::{explain, lengths, memory};
use crate::{RunError, Tensor};

/// Runs `plan` on the calling thread, asking `stop` before every node.
pub(super) fn run(
    plan: &Plan,
    inputs: Vec<Tensor>,
    stop: &dyn Fn() -> bool,
    limit_bytes: u64,
) -> Result<Vec<Tensor>, RunError> {
    let given = inputs.into_iter().enumerate().map(|(index, tensor)| {
        let elements = tensor.elements();
        let planned = plan.model().input_fact(index).map_or(elements.datum_type(), |fact| fact.datum_type);
        TValue::from_const(relabel(elements, planned))
    });
    let inputs = given.collect();
    let outputs = plan.spawn().and_then(|mut state| {
        state.run_plan_with_eval(inputs, |context, state, node, inputs| {
            if stop() {
                return Err(TractError::new(Stopped));
            }
            memory::admit(node, context.symbols, &inputs, limit_bytes).map_err(TractError::new)?;
            if node.op_as::<Cast>().is_some_and(|cast| cast.to == DatumType::TDim) {
                inputs.iter().try_for_each(|numbers| lengths::check(numbers)).with_context(|| here(node))?;
            }
            eval(context, state, node, inputs).with_context(|| here(node))
        })
    });
    match outputs {
        Ok(outputs) => {
            let outputs = outputs.into_iter().map(|value| {
                let elements = value.into_arc_tensor();
                let stored = elements.datum_type().unquantized();
                Tensor::from_elements(relabel(elements, stored))
            });
            outputs.collect::<Result<_, _>>().map_err(RunError::EngineFailed)
        }
        Err(error) if error.is::<Stopped>() => Err(RunError::DeadlineExceeded),
        Err(error) => Err(match error.downcast_ref::<RunError>() {
            Some(refused) => refused.clone(),
            None => RunError::EngineFailed(explain(&error)),
        }),
    }
}

fn here(node: &TypedNode) -> String {
    place(node.op.name(), &node.name)
}

/// The same integers with or without the scale and zero point that they stand for: callers know quantised tensors as
/// what is stored. A copy, where the label changes.
fn relabel(elements: Arc<tract_onnx::prelude::Tensor>, wanted: DatumType) -> Arc<tract_onnx::prelude::Tensor> {
    let given = elements.datum_type();
    if given == wanted || given.unquantized() != wanted.unquantized() {
        return elements;
    }
    let mut copy = elements.as_ref().clone();
    #[allow(unsafe_code, reason = "tract has no safe way; both types are the same integers, as the line above asserts")]
    unsafe {
        copy.set_datum_type(wanted);
    }
    Arc::new(copy)
}

/// Carries the wish to stop through tract's errors.
#[derive(Debug, thiserror::Error)]
#[error("stopped between two graph nodes")]
struct Stopped;
