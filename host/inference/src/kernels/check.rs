//! What several operators ask of their arguments. Each refusal names the operator, the argument and the rule.

use crate::{DType, RunError, Tensor};

/// Checks for the operator of this name.
#[derive(Clone, Copy)]
pub(super) struct Check(pub(super) &'static str);

impl Check {
    /// Refuses, for this reason.
    pub(super) fn refuse<T>(self, reason: impl std::fmt::Display) -> Result<T, RunError> {
        Err(RunError::InvalidArgument(format!("{}: {reason}", self.0)))
    }

    /// Refuses unless `holds`.
    pub(super) fn that(self, holds: bool, reason: impl FnOnce() -> String) -> Result<(), RunError> {
        if holds { Ok(()) } else { self.refuse(reason()) }
    }

    /// The inputs of an operator that takes `N`.
    pub(super) fn inputs<const N: usize>(self, inputs: Vec<Tensor>) -> Result<[Tensor; N], RunError> {
        <[Tensor; N]>::try_from(inputs).or_else(|given| {
            let plural = if N == 1 { "" } else { "s" };
            self.refuse(format!("takes {N} input{plural}, given {}", given.len()))
        })
    }

    /// That `tensor` has one of `dtypes`.
    pub(super) fn dtype(self, tensor: &Tensor, dtypes: &[DType]) -> Result<(), RunError> {
        self.that(dtypes.contains(&tensor.dtype()), || {
            let names: Vec<_> = dtypes.iter().map(|dtype| dtype.name()).collect();
            format!("the input is {}; it takes {}; cast it first", tensor.dtype(), names.join(", "))
        })
    }

    /// The list `name` with one number for each axis of `tensor`.
    pub(super) fn per_axis(self, name: &str, list: &[u32], tensor: &Tensor) -> Result<Vec<usize>, RunError> {
        let rank = tensor.shape().len();
        self.that(list.len() == rank, || {
            format!("`{name}` has {} numbers, but the input has {rank} axes, {:?}", list.len(), tensor.shape())
        })?;
        Ok(list.iter().map(|&number| number as usize).collect())
    }

    /// The axis `axis` of `tensor`.
    pub(super) fn axis(self, axis: u32, tensor: &Tensor) -> Result<usize, RunError> {
        let rank = tensor.shape().len();
        self.that((axis as usize) < rank, || {
            format!("`axis` {axis} is none of the input's {rank}, which are counted from 0")
        })?;
        Ok(axis as usize)
    }

    /// That a tensor may have so many axes, before a list of them is walked.
    pub(super) fn rank(self, name: &str, rank: usize) -> Result<(), RunError> {
        self.that(rank <= crate::MAX_RANK, || {
            format!("`{name}` has {rank} axes; a tensor has at most {}", crate::MAX_RANK)
        })
    }
}

/// The types that interpolate.
pub(super) const FLOATS: [DType; 3] = [DType::Float16, DType::Float32, DType::Float64];

/// All but `boolean`.
pub(super) const NUMBERS: [DType; 11] = [
    DType::Float16,
    DType::Float32,
    DType::Float64,
    DType::Int8,
    DType::Int16,
    DType::Int32,
    DType::Int64,
    DType::Uint8,
    DType::Uint16,
    DType::Uint32,
    DType::Uint64,
];
