//! Several tensors as one, and one as several.

use super::{Operator, index, slices};
use crate::host::HostError;
use crate::{Operand, Tensor};

impl Tensor {
    /// Two or more tensors of one type one after the other along `axis`.
    pub async fn concat(tensors: &[&Self], axis: usize) -> Result<Self, HostError> {
        Self::compute(Operator::Concat(index(axis)?), tensors).await
    }

    /// Parts of these lengths along `axis`, as views.
    pub async fn split(&self, lengths: &[usize], axis: usize) -> Result<Vec<Self>, HostError> {
        let mut parts = Vec::with_capacity(lengths.len());
        for operator in split(self.shape(), lengths, axis)? {
            parts.push(Self::compute(operator, &[self]).await?);
        }
        Ok(parts)
    }
}

impl Operand {
    /// Two or more operands of one type one after the other along `axis`.
    ///
    /// # Panics
    /// Without any: there is nothing that says which graph it would belong to.
    #[track_caller]
    #[must_use]
    pub fn concat(operands: &[&Self], axis: usize) -> Self {
        Self::record(index(axis).map(Operator::Concat), operands)
    }

    /// Parts of these lengths along `axis`.
    ///
    /// # Panics
    /// As [`shape`](Self::shape).
    #[track_caller]
    #[must_use]
    pub fn split(&self, lengths: &[usize], axis: usize) -> Vec<Self> {
        match split(&self.shape(), lengths, axis) {
            Ok(operators) => operators.into_iter().map(|operator| Self::record(Ok(operator), &[self])).collect(),
            Err(error) => lengths.iter().map(|_| Self::record(Err(error.clone()), &[self])).collect(),
        }
    }
}

fn split(shape: &[usize], lengths: &[usize], axis: usize) -> Result<Vec<Operator>, HostError> {
    let whole = *shape.get(axis).ok_or_else(|| {
        HostError::invalid(format!(
            "split: `axis` {axis} is none of the input's {}, which are counted from 0",
            shape.len()
        ))
    })?;
    let total = lengths.iter().try_fold(0_usize, |total, length| total.checked_add(*length));
    if total != Some(whole) {
        return Err(HostError::invalid(format!(
            "split: the lengths {lengths:?} do not add up to axis {axis} of {shape:?}"
        )));
    }
    let mut start = 0;
    let mut operators = Vec::with_capacity(lengths.len());
    for &length in lengths {
        let (mut starts, mut sizes) = (vec![0; shape.len()], shape.to_vec());
        (starts[axis], sizes[axis]) = (start, length);
        operators.push(slices(&starts, &sizes, &[])?);
        start += length;
    }
    Ok(operators)
}
