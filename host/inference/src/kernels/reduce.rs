//! reduceSum and its kin: one value in place of all along some axes.

use spillway_types::operator::{ReduceOptions, Reduction};
use tract_onnx::prelude::f16;

use super::check::{FLOATS, NUMBERS};
use super::{Check, Plan, Stop};
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

pub(super) fn reduce(options: &ReduceOptions, inputs: &[Tensor]) -> Result<Plan, RunError> {
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
            let mut finished = Ok(());
            let result = Tensor::filled_until::<T>(stop, &shape, |target| {
                finished = reduce_rows(&ordered.rows::<T>(), count, reduction, target, stop);
            });
            finished.and(result)
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
        *to = T::reduce(&source[index * count..][..count], reduction);
        stop.worked(count)?;
    }
    Ok(())
}

/// An element that can be reduced.
trait Reduce: Element {
    fn reduce(row: &[Self], reduction: Reduction) -> Self;
}

/// The greatest by `beats`; NaN if there is one, as NumPy and WebNN's other operators have it.
fn extreme<T: Element>(row: &[T], beats: impl Fn(T, T) -> bool) -> T {
    #[allow(clippy::eq_op, reason = "only NaN differs from itself")]
    let nan = |x: T| x != x;
    let mut rest = row.iter();
    let first = rest.next().copied().unwrap_or_default();
    let (best, not_a_number) = rest
        .fold((first, first), |(best, any), &x| (if beats(x, best) { x } else { best }, if nan(x) { x } else { any }));
    if nan(not_a_number) { not_a_number } else { best }
}

// In `f64`, rounded once: exact enough for sums of any length.
macro_rules! reduce_floats {
    ($($T:ty),*) => {$(
        impl Reduce for $T {
            fn reduce(row: &[Self], reduction: Reduction) -> Self {
                let values = || row.iter().map(|x| x.to_f64());
                let result = match reduction {
                    Reduction::L1 => values().map(f64::abs).sum::<f64>(),
                    Reduction::L2 => values().map(|x| x * x).sum::<f64>().sqrt(),
                    Reduction::LogSum => values().sum::<f64>().ln(),
                    Reduction::LogSumExp => log_sum_exp(extreme(row, |a, b| a > b).to_f64(), values()),
                    Reduction::Max => return extreme(row, |a, b| a > b),
                    Reduction::Mean => values().sum::<f64>() / row.len() as f64,
                    Reduction::Min => return extreme(row, |a, b| a < b),
                    Reduction::Product => values().product(),
                    Reduction::Sum => values().sum::<f64>(),
                    Reduction::SumSquare => values().map(|x| x * x).sum::<f64>(),
                };
                <$T as Element>::from_f64(result)
            }
        }
    )*};
}

reduce_floats!(f16, f32, f64);

/// With the greatest taken out first, so that no exponential overflows.
fn log_sum_exp(greatest: f64, values: impl ExactSizeIterator<Item = f64>) -> f64 {
    if values.len() == 0 {
        return f64::NEG_INFINITY;
    }
    if !greatest.is_finite() {
        return greatest;
    }
    greatest + values.map(|x| (x - greatest).exp()).sum::<f64>().ln()
}

macro_rules! reduce_integers {
    ($($T:ty, $abs:expr;)*) => {$(
        impl Reduce for $T {
            fn reduce(row: &[Self], reduction: Reduction) -> Self {
                let values = row.iter().copied();
                match reduction {
                    Reduction::Max => extreme(row, |a, b| a > b),
                    Reduction::Min => extreme(row, |a, b| a < b),
                    Reduction::Product => values.fold(1, <$T>::wrapping_mul),
                    Reduction::SumSquare => values.fold(0, |sum, x| sum.wrapping_add(x.wrapping_mul(x))),
                    Reduction::L1 => values.fold(0, |sum, x: $T| sum.wrapping_add(($abs)(x))),
                    // The others are refused for integers before.
                    Reduction::Sum
                    | Reduction::L2
                    | Reduction::LogSum
                    | Reduction::LogSumExp
                    | Reduction::Mean => values.fold(0, <$T>::wrapping_add),
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
