//! reduceSum and its kin: one value in place of all along some axes.

use spillway_types::operator::{ReduceOptions, Reduction};
use tract_onnx::prelude::f16;

use super::check::{FLOATS, NUMBERS};
use super::folds::{Folds, Looped, in_parts};
use super::{Check, Plan, Stop};
use crate::element::{Element, with_dtype};
use crate::{DType, RunError, Tensor};

/// One element of the input.
const NANOSECONDS: f64 = 0.7;
/// One `float32`, by vectors.
const VECTOR_NANOSECONDS: f64 = 0.15;
/// One through an exponential.
const EXPONENTIAL_NANOSECONDS: f64 = 4.0;
/// One of the result, beside its elements.
const ROW_NANOSECONDS: f64 = 10.0;
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
    let reduction = options.reduction;
    let (ordered, folds, copied) = match Folds::in_place(&input, &is_reduced) {
        // The exponentials of a row are of what is less than its greatest, which has to be known before.
        Some(folds) if reduction != Reduction::LogSumExp || folds.inner == 1 => (input.clone(), folds, 0),
        _ => {
            // What is reduced together is brought together, at the end.
            let order: Vec<usize> = kept.into_iter().chain(reduced).collect();
            (input.view(input.layout().transpose(&order)), Folds { count, inner: 1 }, input.byte_length())
        }
    };
    let gathering = if copied > 0 { GATHER_NANOSECONDS } else { 0.0 };
    let each = match (input.dtype(), reduction) {
        (_, Reduction::LogSumExp) => EXPONENTIAL_NANOSECONDS,
        (DType::Float32, _) => VECTOR_NANOSECONDS,
        _ => NANOSECONDS,
    };
    let nanoseconds = (each + gathering) * count as f64 + ROW_NANOSECONDS;
    let plan = Plan::compute(check.0, input.dtype(), shape.clone(), nanoseconds, move |stop| {
        with_dtype!(numbers ordered.dtype(), T => {
            Tensor::filled_until::<T>(stop, &shape, |target| {
                T::reduce(&ordered.rows_until::<T>(stop)?, folds, reduction, target, stop)
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

/// An element that can be reduced.
trait Reduce: Looped {
    /// Makes all of `target`.
    fn reduce(
        source: &[Self],
        folds: Folds,
        reduction: Reduction,
        target: &mut [Self],
        stop: &Stop<'_>,
    ) -> Result<(), RunError>;
}

/// The greatest by `beats`; NaN if there is one, as NumPy and WebNN's other operators have it.
#[allow(clippy::eq_op, reason = "only NaN differs from itself")]
fn extreme<T: Reduce>(
    source: &[T],
    folds: Folds,
    target: &mut [T],
    stop: &Stop<'_>,
    (least, beats): (f64, impl Fn(T, T) -> bool + Copy),
) -> Result<(), RunError> {
    // What is not beaten stays, NaN among it.
    let better = move |best: T, x: T| if beats(x, best) || x != x { x } else { best };
    folds.each(source, target, stop, T::from_f64(least), (better, better, |best| best))
}

/// The greatest of a row that is not empty.
fn greatest<T: Reduce>(row: &[T], stop: &Stop<'_>) -> Result<f64, RunError> {
    let mut greatest = [T::default()];
    let folds = Folds { count: row.len(), inner: 1 };
    extreme(row, folds, &mut greatest, stop, (f64::NEG_INFINITY, |a, b| a > b))?;
    Ok(greatest[0].to_f64())
}

// In `f64`, rounded once: exact enough for sums of any length.
macro_rules! reduce_floats {
    ($($T:ty),*) => {$(
        impl Reduce for $T {
            fn reduce(
                source: &[Self],
                folds: Folds,
                reduction: Reduction,
                target: &mut [Self],
                stop: &Stop<'_>,
            ) -> Result<(), RunError> {
                let add = |a: f64, b: f64| a + b;
                let count = folds.count as f64;
                let of = <$T as Element>::from_f64;
                // One loop for those that end alike.
                let finish = move |sum: f64| match reduction {
                    Reduction::L2 => of(sum.sqrt()),
                    Reduction::LogSum => of(sum.ln()),
                    Reduction::Mean => of(sum / count),
                    _ => of(sum),
                };
                match reduction {
                    Reduction::L1 => {
                        folds.each(source, target, stop, 0.0, (|sum, x: $T| sum + x.to_f64().abs(), add, finish))
                    }
                    Reduction::L2 | Reduction::SumSquare => {
                        let take = |sum, x: $T| sum + x.to_f64() * x.to_f64();
                        folds.each(source, target, stop, 0.0, (take, add, finish))
                    }
                    Reduction::LogSum | Reduction::Mean | Reduction::Sum => {
                        folds.each(source, target, stop, 0.0, (|sum, x: $T| sum + x.to_f64(), add, finish))
                    }
                    Reduction::Product => {
                        let (take, merge) = (|product, x: $T| product * x.to_f64(), |a, b| a * b);
                        folds.each(source, target, stop, 1.0, (take, merge, finish))
                    }
                    Reduction::Max => extreme(source, folds, target, stop, (f64::NEG_INFINITY, |a, b| a > b)),
                    Reduction::Min => extreme(source, folds, target, stop, (f64::INFINITY, |a, b| a < b)),
                    Reduction::LogSumExp => {
                        target.iter_mut().enumerate().try_for_each(|(index, to)| {
                            let row = &source[index * folds.count..][..folds.count];
                            *to = of(log_sum_exp(row, stop)?);
                            stop.worked(1)
                        })
                    }
                }
            }
        }
    )*};
}

reduce_floats!(f16, f32, f64);

/// With the greatest taken out first, so that no exponential overflows.
fn log_sum_exp<T: Reduce>(row: &[T], stop: &Stop<'_>) -> Result<f64, RunError> {
    if row.is_empty() {
        return Ok(f64::NEG_INFINITY);
    }
    let greatest = greatest(row, stop)?;
    if !greatest.is_finite() {
        return Ok(greatest);
    }
    let mut sum = 0.0;
    in_parts(row, stop, |part| sum += part.iter().map(|x| (x.to_f64() - greatest).exp()).sum::<f64>())?;
    Ok(greatest + sum.ln())
}

macro_rules! reduce_integers {
    ($($T:ty, $abs:expr;)*) => {$(
        impl Reduce for $T {
            fn reduce(
                source: &[Self],
                folds: Folds,
                reduction: Reduction,
                target: &mut [Self],
                stop: &Stop<'_>,
            ) -> Result<(), RunError> {
                let (add, done) = (<$T>::wrapping_add, |sum| sum);
                match reduction {
                    Reduction::Max => extreme(source, folds, target, stop, (f64::NEG_INFINITY, |a, b| a > b)),
                    Reduction::Min => extreme(source, folds, target, stop, (f64::INFINITY, |a, b| a < b)),
                    Reduction::Product => {
                        folds.each(source, target, stop, 1, (<$T>::wrapping_mul, <$T>::wrapping_mul, done))
                    }
                    Reduction::SumSquare => {
                        let take = |sum: $T, x: $T| sum.wrapping_add(x.wrapping_mul(x));
                        folds.each(source, target, stop, 0, (take, add, done))
                    }
                    Reduction::L1 => {
                        let take = |sum: $T, x: $T| sum.wrapping_add(($abs)(x));
                        folds.each(source, target, stop, 0, (take, add, done))
                    }
                    // The others are refused for integers before.
                    Reduction::Sum
                    | Reduction::L2
                    | Reduction::LogSum
                    | Reduction::LogSumExp
                    | Reduction::Mean => folds.each(source, target, stop, 0, (add, add, done)),
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
