//! Graphs: operators compiled together, built once and dispatched any number of times.
//!
//! | module | what it does |
//! | --- | --- |
//! | `symbolic` | checks every operation against what the ones before will give; computes what depends on constants alone |
//! | `chain` | elementwise operations one after the other, as one pass over memory |
//! | `plan` | leaves out what no output needs, joins chains, and says when each result can go and what all of it takes |
//! | `run` | one dispatch |
//! | `cache` | [`Graphs`]: one graph for all who build the same |
//!
//! An operation means what the operator means alone, to the bit: both are planned by the same function of `kernels`, and
//! chains apply the same functions to the same elements.

mod cache;
mod chain;
mod plan;
mod run;
mod symbolic;

use spillway_types::graph::{Definition, OperandDescriptor};
use spillway_types::operator::Operator;

use crate::kernel::{Extent, in_turn};
use crate::{KernelThreads, RunError, Tensor, Turn, kernels};
pub use cache::Graphs;
use plan::Plan;

/// The most operations that a graph may have: a choice, far above what nets have. All of them are planned before any is
/// computed, on one thread.
const OPERATIONS_MAX: usize = 50_000;
/// The most inputs, constants and outputs that it may have of each: a choice, likewise.
const OPERANDS_MAX: usize = 10_000;

/// Asked before memory is taken for so many bytes.
pub(crate) type Charge<'a> = &'a dyn Fn(usize) -> Result<(), RunError>;

/// A compiled graph. Immutable: any number of threads run it at once.
pub struct Graph {
    inputs: Vec<OperandDescriptor>,
    outputs: Vec<OperandDescriptor>,
    plan: Plan,
}

impl Graph {
    /// Compiles `definition` with `constants`, on the calling thread. What depends on constants alone is computed here, after
    /// `charge` has been asked for its memory.
    ///
    /// # Errors
    /// [`RunError::InvalidArgument`], naming the operation by its number, the operator and the rule; what `charge` says;
    /// [`RunError::DeadlineExceeded`] when `stop` said so.
    pub fn build(
        definition: Definition,
        constants: Vec<Tensor>,
        charge: Charge<'_>,
        stop: &dyn Fn() -> bool,
    ) -> Result<Self, RunError> {
        check_size(&definition, &constants)?;
        let inputs = definition.inputs.clone();
        let traced = symbolic::trace(definition, constants, charge, stop)?;
        let outputs = traced.outputs.iter().map(|&output| describe(&traced.operands[output].shown)).collect();
        Ok(Self { inputs, outputs, plan: Plan::new(traced) })
    }

    /// What a dispatch takes, in its order.
    pub fn inputs(&self) -> &[OperandDescriptor] {
        &self.inputs
    }

    /// What it gives, in its order.
    pub fn outputs(&self) -> &[OperandDescriptor] {
        &self.outputs
    }

    /// Bytes of each output, which others may hold on.
    pub fn output_bytes(&self) -> &[usize] {
        &self.plan.output_bytes
    }

    /// The most bytes that a dispatch takes at once beside its outputs; an upper bound, as
    /// [`Kernel::scratch_bytes`](crate::Kernel::scratch_bytes) is.
    pub fn working_bytes(&self) -> usize {
        self.plan.working_bytes
    }

    /// Bytes that the graph itself holds and its constants do not: what was computed when it was built.
    pub fn folded_bytes(&self) -> usize {
        self.plan.folded_bytes
    }

    /// Checks that `inputs` are what the graph was built for.
    ///
    /// # Errors
    /// [`RunError::InvalidArgument`], naming the input.
    pub fn check(&self, inputs: &[Tensor]) -> Result<(), RunError> {
        if inputs.len() != self.inputs.len() {
            let (takes, given) = (self.inputs.len(), inputs.len());
            return Err(invalid(format!("the graph takes {takes} inputs, given {given}")));
        }
        for (index, (input, expected)) in inputs.iter().zip(&self.inputs).enumerate() {
            let fits = input.dtype() == expected.data_type
                && input.shape().len() == expected.shape.len()
                && input.shape().iter().zip(&expected.shape).all(|(&is, &be)| is == be as usize);
            if !fits {
                let OperandDescriptor { data_type, shape } = expected;
                return Err(invalid(format!(
                    "input {index} is {input:?}, but the graph was built for {data_type} {shape:?}; build another for this shape"
                )));
            }
        }
        Ok(())
    }

    /// Computes on the calling thread. `inputs` have passed [`check`](Self::check).
    ///
    /// # Errors
    /// [`RunError`].
    pub fn compute(&self, inputs: Vec<Tensor>, stop: &dyn Fn() -> bool) -> Result<Vec<Tensor>, RunError> {
        self.check(&inputs)?;
        run::run(&self.plan, inputs, stop)
    }

    /// Computes: at once if that is predicted to take under 20 µs, or 250 while a thread is idle; else on `threads`. Drops
    /// `held`, such as charges for its memory, when the work has ended, which may be after its caller has gone.
    ///
    /// # Errors
    /// [`RunError`].
    ///
    /// # Cancel safety
    /// As [`Kernel::run`](crate::Kernel::run).
    pub async fn run(
        self: std::sync::Arc<Self>,
        inputs: Vec<Tensor>,
        threads: &KernelThreads,
        turn: impl Into<Turn>,
        held: impl Send + 'static,
    ) -> Result<Vec<Tensor>, RunError> {
        let copied = inputs.iter().map(Tensor::bytes_to_copy).chain(self.plan.output_bytes.iter().copied());
        let bytes = copied.fold(self.plan.working_bytes, usize::saturating_add);
        let extent = Extent { nanoseconds: self.plan.nanoseconds, bytes };
        let work = move |stop: &dyn Fn() -> bool| {
            let results = self.compute(inputs, stop);
            drop(held);
            results
        };
        in_turn(threads, turn.into(), extent, work).await
    }
}

impl std::fmt::Debug for Graph {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "a graph of {} steps", self.plan.steps.len())
    }
}

/// The type that `operator` gives for inputs of these types.
///
/// # Errors
/// [`RunError::InvalidArgument`], as the operator itself would say.
pub fn infer(operator: Operator, inputs: &[OperandDescriptor]) -> Result<OperandDescriptor, RunError> {
    symbolic::refuse_files(&operator)?;
    let shown = inputs.iter().enumerate().map(|(index, input)| symbolic::phantom(index, input));
    let planned = kernels::plan(operator, shown.collect::<Result<Vec<_>, _>>()?)?;
    symbolic::size(&planned)?;
    Ok(describe(&Tensor::phantom(planned.dtype, &planned.shape)))
}

/// Before anything is made of it.
fn check_size(definition: &Definition, constants: &[Tensor]) -> Result<(), RunError> {
    let Definition { inputs, operations, outputs } = definition;
    let counts = [
        ("operations", operations.len(), OPERATIONS_MAX),
        ("inputs", inputs.len(), OPERANDS_MAX),
        ("constants", constants.len(), OPERANDS_MAX),
        ("outputs", outputs.len(), OPERANDS_MAX),
    ];
    match counts.into_iter().find(|(_, given, most)| given > most) {
        None => Ok(()),
        Some((what, given, most)) => {
            Err(invalid(format!("a graph has at most {most} {what}, given {given}; build several")))
        }
    }
}

fn invalid(reason: String) -> RunError {
    RunError::InvalidArgument(reason)
}

fn describe(tensor: &Tensor) -> OperandDescriptor {
    let shape = tensor.shape().iter().map(|&length| u32::try_from(length).unwrap_or(u32::MAX)).collect();
    OperandDescriptor { data_type: tensor.dtype(), shape }
}
