//! reduceSum and its kin: one value in place of all along some axes.

use spillway_types::operator::{ReduceOptions, Reduction};
use tract_onnx::prelude::f16;

use super::check::{FLOATS, NUMBERS};
use super::{Check, Plan, Stop};
use crate::blocks::BLOCK;
use crate::element::{Element, with_dtype};
use crate::{DType, RunError, Tensor};

/// One element of the input, where the reduced axes are the last ones.
const NANOSECONDS: f64 = 0.7;
/// Copying one element to where it lies beside those that are reduced with it.
const GATHER_NANOSECONDS: f64 = 0.4;

/// WebNN's types of `reduceL1`, `reduceProduct`, `reduceSum` and `reduceSumSquare`: smaller integers would overflow at
/// once.
const WIDE: [DType; 7] =
    [DType::Float16, DType::Float32, DType::Float64, DType::Int32, DType::Int64, DType::Uint32, DType::Uint64];

pub(super) fn reduce(options: &ReduceOptions, inputs: Vec<Tensor>) -> Result<Plan, RunError> {
    let (name, dtypes): (_, &[DType]) = match options.reduction {
        Reduction::L1 => ("reduceL1", &WIDE),
        Reduction::L2 => ("reduceL2", &FLOATS),
        Reduction::LogSum => ("reduceLogSum", &FLOATS),
        Reduction::LogSumExp => ("reduceLogSumExp", &FLOATS),
        Reduction::Max => ("reduceMax", &NUMBERS),
        Reduction::Mean => ("reduceMean", &FLOATS),
        Reduction::Min => ("reduceMin", &NUMBERS),
        Reduction::Product => ("reduceProduct", &WIDE),
        Reduction::Sum => ("reduceSum", &WIDE),
        Reduction::SumSquare => ("reduceSumSquare", &WIDE),
    };
    let check = Check(name);
    let [input] = check.inputs(inputs)?;
    check.dtype(&input, dtypes)?;
    let rank = input.shape().len();
    let is_reduced = reduced_axes(check, options.axes.as_deref(), rank)?;
    let (kept, reduced): (Vec<usize>, Vec<usize>) = (0..rank).partition(|&axis| !is_reduced[axis]);
    let count: usize = reduced.iter().map(|&axis| input.shape()[axis]).product();
    let needs_one = matches!(options.reduction, Reduction::Max | Reduction::Min);
    check.that(count >= 1 || !needs_one, || {
        format!("axes {reduced:?} have no elements, {:?}, and nothing is the extreme of nothing", input.shape())
    })?;
    let shape: Vec<usize> = if options.keep_dimensions {
        (0..rank).map(|axis| if is_reduced[axis] { 1 } else { input.shape()[axis] }).collect()
    } else {
        kept.iter().map(|&axis| input.shape()[axis]).collect()
    };
    // What is reduced together stands together, at the end.
    let order: Vec<usize> = kept.into_iter().chain(reduced).collect();
    let ordered = input.view(input.layout().transpose(&order));
    let (copied, gathering) =
        if ordered.layout().is_row_major() { (0, 0.0) } else { (input.byte_length(), GATHER_NANOSECONDS) };
    let reduction = options.reduction;
    let nanoseconds = (NANOSECONDS + gathering) * count as f64;
    let plan = Plan::compute(check.0, input.dtype(), shape.clone(), nanoseconds, move |stop| {
        with_dtype!(numbers ordered.dtype(), T => {
            Tensor::filled_until::<T>(stop, &shape, |target| {
                reduce_rows(&ordered.rows_until::<T>(stop)?, count, reduction, target, stop)
            })
        }, else check.refuse("no such dtype"))
    });
    Ok(plan.with_scratch(copied))
}

/// For each axis, whether it is one of `axes`; without them, all are.
fn reduced_axes(check: Check, axes: Option<&[u32]>, rank: usize) -> Result<Vec<bool>, RunError> {
    let Some(axes) = axes else {
        return Ok(vec![true; rank]);
    };
    let mut is_reduced = vec![false; rank];
    for &axis in axes {
        match is_reduced.get_mut(axis as usize) {
            Some(already) if !*already => *already = true,
            Some(_) => return check.refuse(format!("`axes` names axis {axis} twice")),
            None => return check.refuse(format!("`axes` has {axis}, but the input has {rank} axes, counted from 0")),
        }
    }
    Ok(is_reduced)
}

/// Every `count` elements become one.
fn reduce_rows<T: Reduce>(
    source: &[T],
    count: usize,
    reduction: Reduction,
    target: &mut [T],
    stop: &Stop<'_>,
) -> Result<(), RunError> {
    for (index, to) in target.iter_mut().enumerate() {
        *to = T::reduce(&source[index * count..][..count], reduction, stop)?;
        stop.worked(1)?;
    }
    Ok(())
}

/// An element that can be reduced.
trait Reduce: Element {
    fn reduce(row: &[Self], reduction: Reduction, stop: &Stop<'_>) -> Result<Self, RunError>;
}

/// `f` of one part of a row after another, asking between them whether to go on.
pub(super) fn in_parts<T>(row: &[T], stop: &Stop<'_>, mut f: impl FnMut(&[T])) -> Result<(), RunError> {
    row.chunks(BLOCK).try_for_each(|part| {
        f(part);
        stop.worked(part.len())
    })
}

/// The greatest by `beats`; NaN if there is one, as NumPy and WebNN's other operators have it.
fn extreme<T: Element>(row: &[T], stop: &Stop<'_>, beats: impl Fn(T, T) -> bool) -> Result<T, RunError> {
    #[allow(clippy::eq_op, reason = "only NaN differs from itself")]
    let nan = |x: T| x != x;
    let first = row.first().copied().unwrap_or_default();
    let mut found = (first, first);
    in_parts(row, stop, |part| {
        let next = |(best, any), &x: &T| (if beats(x, best) { x } else { best }, if nan(x) { x } else { any });
        found = part.iter().fold(found, next);
    })?;
    let (best, not_a_number) = found;
    Ok(if nan(not_a_number) { not_a_number } else { best })
}

/// The sum of `f` of each element.
fn sum<T: Element>(row: &[T], stop: &Stop<'_>, f: impl Fn(f64) -> f64) -> Result<f64, RunError> {
    let mut sum = 0.0;
    in_parts(row, stop, |part| sum += part.iter().map(|x| f(x.to_f64())).sum::<f64>())?;
    Ok(sum)
}

fn fold<T: Copy>(row: &[T], stop: &Stop<'_>, first: T, next: impl Fn(T, T) -> T) -> Result<T, RunError> {
    let mut result = first;
    in_parts(row, stop, |part| result = part.iter().fold(result, |result, &x| next(result, x)))?;
    Ok(result)
}

// In `f64`, rounded once: exact enough for sums of any length.
macro_rules! reduce_floats {
    ($($T:ty),*) => {$(
        impl Reduce for $T {
            fn reduce(row: &[Self], reduction: Reduction, stop: &Stop<'_>) -> Result<Self, RunError> {
                let result = match reduction {
                    Reduction::L1 => sum(row, stop, f64::abs)?,
                    Reduction::L2 => sum(row, stop, |x| x * x)?.sqrt(),
                    Reduction::LogSum => sum(row, stop, |x| x)?.ln(),
                    Reduction::LogSumExp => log_sum_exp(extreme(row, stop, |a, b| a > b)?.to_f64(), row, stop)?,
                    Reduction::Max => return extreme(row, stop, |a, b| a > b),
                    Reduction::Mean => sum(row, stop, |x| x)? / row.len() as f64,
                    Reduction::Min => return extreme(row, stop, |a, b| a < b),
                    Reduction::Product => {
                        let mut product = 1.0;
                        in_parts(row, stop, |part| product *= part.iter().map(|x| x.to_f64()).product::<f64>())?;
                        product
                    }
                    Reduction::Sum => sum(row, stop, |x| x)?,
                    Reduction::SumSquare => sum(row, stop, |x| x * x)?,
                };
                Ok(<$T as Element>::from_f64(result))
            }
        }
    )*};
}

reduce_floats!(f16, f32, f64);

/// With the greatest taken out first, so that no exponential overflows.
fn log_sum_exp<T: Element>(greatest: f64, row: &[T], stop: &Stop<'_>) -> Result<f64, RunError> {
    if row.is_empty() {
        return Ok(f64::NEG_INFINITY);
    }
    if !greatest.is_finite() {
        return Ok(greatest);
    }
    Ok(greatest + sum(row, stop, |x| (x - greatest).exp())?.ln())
}

macro_rules! reduce_integers {
    ($($T:ty, $abs:expr;)*) => {$(
        impl Reduce for $T {
            fn reduce(row: &[Self], reduction: Reduction, stop: &Stop<'_>) -> Result<Self, RunError> {
                match reduction {
                    Reduction::Max => extreme(row, stop, |a, b| a > b),
                    Reduction::Min => extreme(row, stop, |a, b| a < b),
                    Reduction::Product => fold(row, stop, 1, <$T>::wrapping_mul),
                    Reduction::SumSquare => fold(row, stop, 0, |sum, x| sum.wrapping_add(x.wrapping_mul(x))),
                    Reduction::L1 => fold(row, stop, 0, |sum, x: $T| sum.wrapping_add(($abs)(x))),
                    // The others are refused for integers before.
                    Reduction::Sum
                    | Reduction::L2
                    | Reduction::LogSum
                    | Reduction::LogSumExp
                    | Reduction::Mean => fold(row, stop, 0, <$T>::wrapping_add),
                }
            }
        }
    )*};
}

reduce_integers! {
    i8, i8::wrapping_abs;
    i16, i16::wrapping_abs;
    i32, i32::wrapping_abs;
    i64, i64::wrapping_abs;
    u8, |x| x;
    u16, |x| x;
    u32, |x| x;
    u64, |x| x;
}
