//! Native operators: checked first, computed where they belong.

use std::time::Instant;

use spillway_types::operator::Operator;

use crate::{KernelThreads, RunError, Tensor};

/// One operator on its inputs, checked.
pub struct Kernel;

impl Kernel {
    /// Checks `operator` against `inputs`; nothing is allocated for the result yet.
    ///
    /// # Errors
    /// [`RunError::InvalidArgument`], naming the operator, the argument and the rule.
    pub fn new(operator: Operator, _inputs: Vec<Tensor>) -> Result<Self, RunError> {
        Err(RunError::InvalidArgument(format!("{operator:?} is not there yet")))
    }

    /// Bytes that the result will hold and its inputs do not share; 0 for a view.
    pub fn result_bytes(&self) -> usize {
        0
    }

    /// Bytes that are needed beside the result while computing.
    pub fn scratch_bytes(&self) -> usize {
        0
    }

    /// Whether computing is predicted to take under 20 µs, so that it is not worth a thread's attention.
    pub fn is_short(&self) -> bool {
        true
    }

    /// Computes on the calling thread.
    ///
    /// # Errors
    /// [`RunError::EngineFailed`].
    pub fn compute(self) -> Result<Tensor, RunError> {
        Err(RunError::EngineFailed("not there yet".into()))
    }

    /// Computes: at once if it [is short](Self::is_short), else on `threads`.
    ///
    /// # Errors
    /// [`RunError`].
    ///
    /// # Cancel safety
    /// As [`Model::run`](crate::Model::run).
    pub async fn run(self, _threads: &KernelThreads, _deadline: Option<Instant>) -> Result<Tensor, RunError> {
        self.compute()
    }
}
