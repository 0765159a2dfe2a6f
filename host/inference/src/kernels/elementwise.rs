//! cast, linear: one element in, one out.

use pulp::NullaryFnOnce as _;
use spillway_types::operator::LinearOptions;
use tract_onnx::prelude::f16;

use super::check::FLOATS;
use super::{Check, Plan, Stop};
use crate::blank::Blank;
use crate::blocks::place_bytes;
use crate::element::{Cast, Element, with_dtype};
use crate::vectors::{Each, Function, widest, widest_if};
use crate::{DType, RunError, Tensor};

/// One element of whatever type, converted.
const CAST_NANOSECONDS: f64 = 0.4;
/// One element times a number, and a sum.
const LINEAR_NANOSECONDS: f64 = 0.25;

/// `f` of every element, row by row, asking `stop` between blocks of them.
pub(super) fn map_elements<T: Element, U: Element>(
    input: &Tensor,
    stop: &Stop<'_>,
    f: impl Function<T, Output = U>,
) -> Result<Tensor, RunError> {
    map_blocks(input, stop, |from: &[T], to| Each { from, to, f }.call())
}

/// As [`map_elements`], with the widest vectors: for `float32`, what nets compute with, since each such loop is compiled three
/// times.
pub(super) fn map_floats(
    input: &Tensor,
    stop: &Stop<'_>,
    f: impl Function<f32, Output = f32>,
) -> Result<Tensor, RunError> {
    map_blocks(input, stop, |from: &[f32], to| widest(Each { from, to, f }))
}

/// The same for an `f` that is there [twice](super::math).
pub(super) fn map_fused<const FUSED: bool>(
    input: &Tensor,
    stop: &Stop<'_>,
    f: impl Function<f32, Output = f32>,
) -> Result<Tensor, RunError> {
    map_blocks(input, stop, |from: &[f32], to| widest_if::<FUSED, _>(Each { from, to, f }))
}

/// Has `write` write each block of a tensor of `input`'s shape, given the elements of that row by row.
pub(super) fn map_blocks<T: Element, U: Element>(
    input: &Tensor,
    stop: &Stop<'_>,
    write: impl for<'b> Fn(&[T], Blank<'b, U>) -> &'b mut [U],
) -> Result<Tensor, RunError> {
    let mut place = Vec::new();
    Tensor::beside(&[input], stop, |block, to| write(block.rows(input, &mut place), to))
}

pub(super) fn cast(dtype: DType, inputs: Vec<Tensor>) -> Result<Plan, RunError> {
    let check = Check("cast");
    let [input] = check.inputs(inputs)?;
    if input.dtype() == dtype {
        return Ok(Plan::view(check.0, input));
    }
    let places = place_bytes(&[&input]);
    let plan = Plan::compute(
        check.0,
        dtype,
        input.layout().shape.clone(),
        CAST_NANOSECONDS,
        move |stop| with_dtype!(input.dtype(), T => with_dtype!(dtype, U => map_elements(&input, stop, <T as Cast<U>>::cast))),
    );
    Ok(plan.with_scratch(places))
}

pub(super) fn linear(LinearOptions { alpha, beta }: LinearOptions, inputs: Vec<Tensor>) -> Result<Plan, RunError> {
    let check = Check("linear");
    let [input] = check.inputs(inputs)?;
    check.dtype(&input, &FLOATS)?;
    let places = place_bytes(&[&input]);
    let plan = Plan::compute(check.0, input.dtype(), input.layout().shape.clone(), LINEAR_NANOSECONDS, move |stop| {
        let (a, b) = (alpha as f32, beta as f32);
        match input.dtype() {
            DType::Float16 => map_elements(&input, stop, move |x: f16| f16::from_f32(a * x.to_f32() + b)),
            DType::Float64 => map_elements(&input, stop, move |x: f64| alpha * x + beta),
            _ => map_floats(&input, stop, move |x| a * x + b),
        }
    });
    Ok(plan.with_scratch(places))
}
