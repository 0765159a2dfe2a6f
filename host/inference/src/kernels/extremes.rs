//! argMax, argMin: where along an axis the extreme stands.

use spillway_types::operator::ArgOptions;

use super::check::NUMBERS;
use super::folds::in_parts;
use super::{Check, Plan, Stop};
use crate::blocks::BLOCK;
use crate::element::{Element, with_dtype};
use crate::{DType, RunError, Tensor};

/// One element of the input.
const NANOSECONDS: f64 = 0.5;

/// `name` is `argMax` or `argMin`. NaN counts as the extreme, the first of them, as in NumPy: an answer that hides it would
/// be taken for a result.
pub(super) fn arg(name: &'static str, options: ArgOptions, inputs: Vec<Tensor>) -> Result<Plan, RunError> {
    let check = Check(name);
    let [input] = check.inputs(inputs)?;
    check.dtype(&input, &NUMBERS)?;
    let axis = check.axis(options.axis, &input)?;
    let dtype = options.output_data_type;
    check.that(matches!(dtype, DType::Int32 | DType::Int64), || {
        format!("`output-data-type` must be int32 or int64, is {dtype}")
    })?;
    let length = input.shape()[axis];
    check.that(length >= 1, || format!("axis {axis} has no elements, {:?}", input.shape()))?;
    check.that(dtype == DType::Int64 || i32::try_from(length).is_ok(), || {
        format!("`output-data-type` int32 cannot count the {length} elements of axis {axis}; use int64")
    })?;
    let mut shape = input.shape().to_vec();
    if options.keep_dimensions {
        shape[axis] = 1;
    } else {
        shape.remove(axis);
    }
    let inner: usize = input.shape()[axis + 1..].iter().product();
    let is_max = name == "argMax";
    let view = input.clone();
    let plan = Plan::compute(check.0, dtype, shape.clone(), NANOSECONDS * length as f64, move |stop| {
        let fill = |target: &mut dyn FnMut(usize, usize)| {
            with_dtype!(numbers input.dtype(), T => {
                let rows = input.rows_until::<T>(stop)?;
                if is_max {
                    positions(&rows, length, inner, |a: T, b: T| a > b, target, stop)
                } else {
                    positions(&rows, length, inner, |a: T, b: T| a < b, target, stop)
                }
            }, else check.refuse("no such dtype"))
        };
        if dtype == DType::Int32 {
            Tensor::filled_until::<i32>(stop, &shape, |to| fill(&mut |at, position| to[at] = position as i32))
        } else {
            Tensor::filled_until::<i64>(stop, &shape, |to| fill(&mut |at, position| to[at] = position as i64))
        }
    });
    let best = if view.shape().contains(&0) { 0 } else { inner.saturating_mul(16) };
    Ok(plan.with_scratch(best).after_gathering(&view))
}

/// Tells `found` of every place of the result the position along the axis. `beats` is the strict order.
fn positions<T: Element>(
    source: &[T],
    length: usize,
    inner: usize,
    beats: impl Fn(T, T) -> bool + Copy,
    found: &mut dyn FnMut(usize, usize),
    stop: &Stop<'_>,
) -> Result<(), RunError> {
    if source.is_empty() {
        return Ok(());
    }
    if inner == 1 {
        for (at, row) in source.chunks_exact(length).enumerate() {
            found(at, position(row, beats, stop)?);
            stop.worked(1)?;
        }
        return Ok(());
    }
    let mut best: Vec<(T, usize)> = Vec::with_capacity(inner);
    for (outer, block) in source.chunks_exact(length * inner).enumerate() {
        let mut rows = block.chunks_exact(inner);
        best.clear();
        best.extend(rows.next().into_iter().flatten().map(|&x| (x, 0)));
        for (index, row) in rows.enumerate() {
            for (best, &x) in best.iter_mut().zip(row) {
                if beats(x, best.0) || is_nan(x) && !is_nan(best.0) {
                    *best = (x, index + 1);
                }
            }
            stop.worked(inner)?;
        }
        best.iter().enumerate().for_each(|(place, best)| found(outer * inner + place, best.1));
        stop.worked(inner)?;
    }
    Ok(())
}

/// The extreme first and then where it is: two passes that the compiler makes vectors of, instead of one that it cannot.
fn position<T: Element>(row: &[T], beats: impl Fn(T, T) -> bool + Copy, stop: &Stop<'_>) -> Result<usize, RunError> {
    let (mut best, mut has_nan) = (row[0], false);
    in_parts(row, stop, |part| {
        best = part.iter().fold(best, |best, &x| if beats(x, best) { x } else { best });
        has_nan |= part.iter().fold(false, |has, &x| has | is_nan(x));
    })?;
    let is_it = |&x: &T| if has_nan { is_nan(x) } else { x == best };
    for (index, part) in row.chunks(BLOCK).enumerate() {
        if let Some(at) = part.iter().position(is_it) {
            return Ok(index * BLOCK + at);
        }
        stop.worked(part.len())?;
    }
    Ok(0)
}

#[inline]
#[allow(clippy::eq_op, reason = "only NaN differs from itself, and it exists in the floats of this generic only")]
fn is_nan<T: Element>(x: T) -> bool {
    x != x
}
