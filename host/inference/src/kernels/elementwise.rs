//! cast, linear: one element in, one out.

use spillway_types::operator::LinearOptions;
use tract_onnx::prelude::f16;

use super::check::FLOATS;
use super::{Check, Plan, Stop};
use crate::blocks::{Blocks, NEAR};
use crate::element::{Cast, Element, with_dtype};
use crate::layout::map;
use crate::vectors::{Each, widest};
use crate::{DType, RunError, Tensor};

/// One element of whatever type, converted.
const CAST_NANOSECONDS: f64 = 0.4;
/// One element times a number, and a sum.
const LINEAR_NANOSECONDS: f64 = 0.25;

/// `f` of every element, row by row, asking `stop` between blocks of them.
pub(super) fn map_elements<T: Element, U: Element>(
    input: &Tensor,
    stop: &Stop<'_>,
    f: impl Fn(T) -> U + Copy,
) -> Result<Tensor, RunError> {
    let mut finished = Ok(());
    let result = Tensor::filled_until::<U>(stop, input.shape(), |mut target| {
        finished = Blocks::of(input.shape()).try_for_each(|block| {
            stop.check()?;
            let to = target.split_off_mut(..block.len()).expect("blocks are as long as the shape together");
            map(input.stored::<T>(), &block.of(input.layout()), to, f);
            Ok(())
        });
    });
    finished.and(result)
}

/// As [`map_elements`], with the widest vectors where the elements lie row by row: for `float32`, what nets compute with, since
/// each such loop is compiled three times.
pub(super) fn map_floats(input: &Tensor, stop: &Stop<'_>, f: impl Fn(f32) -> f32 + Copy) -> Result<Tensor, RunError> {
    if !input.layout().is_row_major() {
        return map_elements(input, stop, f);
    }
    let source = input.rows::<f32>();
    Tensor::by_blocks(input.shape(), NEAR, |start, to| {
        widest(Each { from: &source[start..][..to.len()], to: &mut *to, f });
        stop.worked(to.len())
    })
}

pub(super) fn cast(dtype: DType, inputs: &[Tensor]) -> Result<Plan, RunError> {
    let check = Check("cast");
    let [input] = check.inputs(inputs)?;
    if input.dtype() == dtype {
        return Ok(Plan::view(check.0, input));
    }
    Ok(Plan::compute(
        check.0,
        dtype,
        input.shape().to_vec(),
        CAST_NANOSECONDS,
        move |stop| with_dtype!(input.dtype(), T => with_dtype!(dtype, U => map_elements(&input, stop, <T as Cast<U>>::cast))),
    ))
}

pub(super) fn linear(LinearOptions { alpha, beta }: LinearOptions, inputs: &[Tensor]) -> Result<Plan, RunError> {
    let check = Check("linear");
    let [input] = check.inputs(inputs)?;
    check.dtype(&input, &FLOATS)?;
    Ok(Plan::compute(check.0, input.dtype(), input.shape().to_vec(), LINEAR_NANOSECONDS, move |stop| {
        let (a, b) = (alpha as f32, beta as f32);
        match input.dtype() {
            DType::Float16 => map_elements(&input, stop, move |x: f16| f16::from_f32(a * x.to_f32() + b)),
            DType::Float64 => map_elements(&input, stop, move |x: f64| alpha * x + beta),
            _ => map_floats(&input, stop, move |x| a * x + b),
        }
    }))
}
