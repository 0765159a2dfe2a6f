//! reshape, expand, transpose, slice: the same storage seen otherwise.

use spillway_types::operator::SliceOptions;

use super::{Check, Plan};
use crate::layout::{Layout, row_major_strides};
use crate::{RunError, Tensor, byte_length};

/// Copying one element to where it lies row by row.
const COPY_NANOSECONDS: f64 = 0.4;

pub(super) fn reshape(shape: &[u32], inputs: Vec<Tensor>) -> Result<Plan, RunError> {
    let check = Check("reshape");
    let [input] = check.inputs(inputs)?;
    let shape = lengths(check, shape)?;
    let bytes = byte_length(input.dtype(), &shape).or_else(|cause| check.refuse(format!("`new-shape`: {cause}")))?;
    check.that(bytes == input.byte_length(), || {
        let elements = |bytes: usize| bytes / input.dtype().size_bytes();
        let (wanted, given) = (elements(bytes), elements(input.byte_length()));
        format!("the new shape {shape:?} has {wanted} elements, but the input has {given}, {:?}", input.shape())
    })?;
    if input.layout().is_row_major() {
        let strides = row_major_strides(&shape);
        let layout = Layout { shape: shape.into(), strides, offset: input.layout().offset };
        return Ok(Plan::view(check.0, input.view(layout)));
    }
    Ok(Plan::compute(check.0, input.dtype(), shape.clone(), COPY_NANOSECONDS, move |stop| {
        let layout = Layout::row_major(&shape);
        Ok(input.copied_until(stop)?.view(layout))
    }))
}

pub(super) fn expand(shape: &[u32], inputs: Vec<Tensor>) -> Result<Plan, RunError> {
    let check = Check("expand");
    let [input] = check.inputs(inputs)?;
    let shape = lengths(check, shape)?;
    byte_length(input.dtype(), &shape).or_else(|cause| check.refuse(format!("`new-shape`: {cause}")))?;
    let fits = shape.len() >= input.shape().len()
        && shape.iter().rev().zip(input.shape().iter().rev()).all(|(&to, &from)| from == to || from == 1);
    check.that(fits, || {
        format!(
            "{:?} does not expand to {shape:?}: counted from the last, each axis must be as long as in the new shape, or 1",
            input.shape()
        )
    })?;
    Ok(Plan::view(check.0, input.view(input.layout().expand(&shape))))
}

pub(super) fn transpose(permutation: &[u32], inputs: Vec<Tensor>) -> Result<Plan, RunError> {
    let check = Check("transpose");
    let [input] = check.inputs(inputs)?;
    let rank = input.shape().len();
    let permutation = match permutation {
        [] => (0..rank).rev().collect(),
        list => check.per_axis("permutation", list, &input)?,
    };
    let is_permutation = (0..rank).all(|axis| permutation.contains(&axis));
    check.that(is_permutation, || {
        format!("`permutation` {permutation:?} must name each of the input's {rank} axes once, counted from 0")
    })?;
    Ok(Plan::view(check.0, input.view(input.layout().transpose(&permutation))))
}

pub(super) fn slice(options: &SliceOptions, inputs: Vec<Tensor>) -> Result<Plan, RunError> {
    let check = Check("slice");
    let [input] = check.inputs(inputs)?;
    let starts = check.per_axis("starts", &options.starts, &input)?;
    let sizes = check.per_axis("sizes", &options.sizes, &input)?;
    let steps = match options.strides.as_slice() {
        [] => vec![1; starts.len()],
        list => check.per_axis("strides", list, &input)?,
    };
    for (axis, &length) in input.shape().iter().enumerate() {
        let (start, size, step) = (starts[axis], sizes[axis], steps[axis]);
        check.that(size >= 1, || format!("`sizes` has 0 for axis {axis}; a window is at least 1 long"))?;
        check.that(step >= 1, || format!("`strides` has 0 for axis {axis}; a step is at least 1"))?;
        check.that(start.checked_add(size).is_some_and(|end| end <= length), || {
            format!("`starts` {start} and `sizes` {size} reach past the end of axis {axis}, which is {length} long")
        })?;
    }
    let lengths: Vec<usize> = sizes.iter().zip(&steps).map(|(size, &step)| size.div_ceil(step)).collect();
    Ok(Plan::view(check.0, input.view(input.layout().slice(&starts, &lengths, &steps))))
}

fn lengths(check: Check, shape: &[u32]) -> Result<Vec<usize>, RunError> {
    check.rank("new-shape", shape.len())?;
    Ok(shape.iter().map(|&length| length as usize).collect())
}
