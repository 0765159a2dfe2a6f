//! cast, linear: one element in, one out.

use spillway_types::operator::LinearOptions;
use tract_onnx::prelude::f16;

use super::check::FLOATS;
use super::{Check, Plan, Stop};
use crate::blocks::{Blocks, NEAR};
use crate::element::{Cast, Element, with_dtype};
use crate::layout::{Layout, map};
use crate::vectors::{Each, Function, InPlace, widest, widest_if};
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
    each_block(input, stop, |layout, to| map(input.stored::<T>(), layout, to, f))
}

/// Has `write` write each block of a tensor of `input`'s shape, told where the elements of that lie.
fn each_block<U: Element>(
    input: &Tensor,
    stop: &Stop<'_>,
    write: impl Fn(&Layout, &mut [U]),
) -> Result<Tensor, RunError> {
    Tensor::filled_until::<U>(stop, input.shape(), |mut target| {
        Blocks::of(input.shape()).try_for_each(|block| {
            stop.check()?;
            let to = target.split_off_mut(..block.len()).expect("blocks are as long as the shape together");
            write(&block.of(input.layout()), to);
            Ok(())
        })
    })
}

/// As [`map_elements`], with the widest vectors where the elements lie row by row: for `float32`, what nets compute with, since
/// each such loop is compiled three times.
pub(super) fn map_floats(input: &Tensor, stop: &Stop<'_>, f: impl Fn(f32) -> f32 + Copy) -> Result<Tensor, RunError> {
    map_blocks(input, stop, |from, to| widest(Each { from, to, f }), |of| widest(InPlace { of, f }))
}

/// The same for an `f` that is there [twice](super::math).
pub(super) fn map_fused<const FUSED: bool>(
    input: &Tensor,
    stop: &Stop<'_>,
    f: impl Function<f32, Output = f32>,
) -> Result<Tensor, RunError> {
    let in_place = |of: &mut [f32]| widest_if::<FUSED, _>(InPlace { of, f });
    map_blocks(input, stop, |from, to| widest_if::<FUSED, _>(Each { from, to, f }), in_place)
}

/// Each block by `write` where the elements lie row by row; else they are brought together, and go through `in_place`.
fn map_blocks(
    input: &Tensor,
    stop: &Stop<'_>,
    write: impl Fn(&[f32], &mut [f32]),
    in_place: impl Fn(&mut [f32]),
) -> Result<Tensor, RunError> {
    if !input.layout().is_row_major() {
        return each_block(input, stop, |layout, to| {
            map(input.stored::<f32>(), layout, to, |x| x);
            in_place(to);
        });
    }
    let source = input.rows::<f32>();
    Tensor::by_blocks(input.shape(), NEAR, |start, to| {
        write(&source[start..][..to.len()], to);
        stop.worked(to.len())
    })
}

pub(super) fn cast(dtype: DType, inputs: Vec<Tensor>) -> Result<Plan, RunError> {
    let check = Check("cast");
    let [input] = check.inputs(inputs)?;
    if input.dtype() == dtype {
        return Ok(Plan::view(check.0, input));
    }
    Ok(Plan::compute(
        check.0,
        dtype,
        input.layout().shape.clone(),
        CAST_NANOSECONDS,
        move |stop| with_dtype!(input.dtype(), T => with_dtype!(dtype, U => map_elements(&input, stop, <T as Cast<U>>::cast))),
    ))
}

pub(super) fn linear(LinearOptions { alpha, beta }: LinearOptions, inputs: Vec<Tensor>) -> Result<Plan, RunError> {
    let check = Check("linear");
    let [input] = check.inputs(inputs)?;
    check.dtype(&input, &FLOATS)?;
    Ok(Plan::compute(check.0, input.dtype(), input.layout().shape.clone(), LINEAR_NANOSECONDS, move |stop| {
        let (a, b) = (alpha as f32, beta as f32);
        match input.dtype() {
            DType::Float16 => map_elements(&input, stop, move |x: f16| f16::from_f32(a * x.to_f32() + b)),
            DType::Float64 => map_elements(&input, stop, move |x: f64| alpha * x + beta),
            _ => map_floats(&input, stop, move |x| a * x + b),
        }
    }))
}
