//! What each operation will give, before anything is computed.

use std::fmt::Display;

use spillway_types::graph::{Definition, OperandDescriptor, Operation};
use spillway_types::operator::Operator;

use super::{Charge, invalid};
use crate::job::contain;
use crate::kernels::{Plan, Stop, Work, plan};
use crate::{JobError, RunError, Tensor, byte_length};

/// A graph whose operations have been checked.
pub(super) struct Traced {
    /// Inputs, constants, and results of operations, in the order of their numbers.
    pub(super) operands: Vec<Operand>,
    /// What gives each operand behind the inputs and constants.
    pub(super) operations: Vec<Traceable>,
    /// Numbers of operands.
    pub(super) outputs: Vec<usize>,
    /// Bytes that were computed here.
    pub(super) folded_bytes: usize,
}

/// One operand.
pub(super) struct Operand {
    /// Its type and how its elements will lie; the elements themselves only where it is known.
    pub(super) shown: Tensor,
    /// Whether the elements are there already: it is a constant, or depends on constants alone.
    pub(super) is_known: bool,
}

/// One operation.
pub(super) struct Traceable {
    pub(super) operator: Operator,
    pub(super) inputs: Vec<usize>,
    /// As [`Kernel::result_bytes`](crate::Kernel::result_bytes).
    pub(super) result_bytes: usize,
    pub(super) scratch_bytes: usize,
    pub(super) nanoseconds: f64,
}

pub(super) fn trace(
    definition: Definition,
    constants: Vec<Tensor>,
    charge: Charge<'_>,
    stop: &dyn Fn() -> bool,
) -> Result<Traced, RunError> {
    let Definition { inputs, operations, outputs } = definition;
    let mut operands = Vec::with_capacity(inputs.len() + constants.len() + operations.len());
    for (index, input) in inputs.iter().enumerate() {
        operands.push(Operand { shown: phantom(index, input)?, is_known: false });
    }
    operands.extend(constants.into_iter().map(|shown| Operand { shown, is_known: true }));
    let given = operands.len();
    let mut traced = Traced { operands, operations: Vec::new(), outputs: Vec::new(), folded_bytes: 0 };
    for (number, operation) in operations.into_iter().enumerate() {
        if number % 64 == 0 && stop() {
            return Err(RunError::DeadlineExceeded);
        }
        traced.add(operation, charge, stop).map_err(|error| match error {
            RunError::InvalidArgument(reason) => invalid(format!("operation {number}: {reason}")),
            other => other,
        })?;
    }
    if outputs.is_empty() {
        return Err(invalid("the graph has no output; name at least one operation's result".to_owned()));
    }
    for output in outputs {
        let number = output as usize;
        if number < given || number >= traced.operands.len() {
            let last = traced.operands.len();
            return Err(invalid(format!(
                "output {output} is no result of an operation; those are the operands from {given} to {last}, which is not one"
            )));
        }
        traced.outputs.push(number);
    }
    Ok(traced)
}

/// Bytes of the result, if a descriptor can tell its shape.
pub(super) fn size(planned: &Plan) -> Result<usize, RunError> {
    let too_large = |cause: &dyn Display| invalid(format!("{}: the result is too large: {cause}", planned.name));
    if let Some(length) = planned.shape.iter().find(|&&length| u32::try_from(length).is_err()) {
        return Err(too_large(&format_args!("an axis of a graph is at most {} long, not {length}", u32::MAX)));
    }
    byte_length(planned.dtype, &planned.shape).map_err(|cause| too_large(&cause))
}

/// A tensor of this type without elements.
pub(super) fn phantom(index: usize, input: &OperandDescriptor) -> Result<Tensor, RunError> {
    let shape: Vec<usize> = input.shape.iter().map(|&length| length as usize).collect();
    byte_length(input.data_type, &shape).map_err(|cause| invalid(format!("input {index}: {cause}")))?;
    Ok(Tensor::phantom(input.data_type, &shape))
}

/// Operators whose results have a shape that is not known before.
pub(super) fn refuse_files(operator: &Operator) -> Result<(), RunError> {
    if !matches!(operator, Operator::DecodeImage(_)) {
        return Ok(());
    }
    let reason = "decodeImage: the size of an image is in its file; decode it first, and give the graph its pixels";
    Err(invalid(reason.to_owned()))
}

impl Traced {
    fn add(&mut self, operation: Operation, charge: Charge<'_>, stop: &dyn Fn() -> bool) -> Result<(), RunError> {
        let Operation { operator, inputs } = operation;
        refuse_files(&operator)?;
        let before = self.operands.len();
        let inputs: Vec<usize> = inputs.into_iter().map(|number| number as usize).collect();
        if let Some(missing) = inputs.iter().find(|&&number| number >= before) {
            return Err(invalid(format!("input {missing} is none of the {before} operands before it")));
        }
        let shown: Vec<Tensor> = inputs.iter().map(|&number| self.operands[number].shown.clone()).collect();
        let is_known = inputs.iter().all(|&number| self.operands[number].is_known);
        let planned = plan(operator.clone(), shown)?;
        let bytes = size(&planned)?;
        let (scratch_bytes, nanoseconds) = (planned.scratch_bytes, planned.nanoseconds);
        let (shown, result_bytes) = match planned.work {
            Work::View(view) => (view, 0),
            Work::Compute(_) if !is_known => (Tensor::phantom(planned.dtype, &planned.shape), bytes),
            Work::Compute(work) => {
                charge(bytes.saturating_add(scratch_bytes))?;
                self.folded_bytes += bytes;
                let computed = contain(|| work(&Stop::new(stop)))
                    .unwrap_or_else(|panic| Err(RunError::EngineFailed(JobError::Panicked(panic).to_string())));
                (computed?, bytes)
            }
        };
        self.operands.push(Operand { shown, is_known });
        self.operations.push(Traceable { operator, inputs, result_bytes, scratch_bytes, nanoseconds });
        Ok(())
    }
}
