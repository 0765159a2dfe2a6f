//! softmax: exponentials along an axis, divided by their sum.

use pulp::NullaryFnOnce;

use super::check::FLOATS;
use super::sample::{Real, Sample};
use super::{Check, Plan, Stop};
use crate::blocks::NEAR;
use crate::element::with_dtype;
use crate::vectors::widest;
use crate::{DType, RunError, Tensor};

/// One `float32`: an exponential, and three passes.
const VECTOR_NANOSECONDS: f64 = 0.7;
/// One element of another type.
const NANOSECONDS: f64 = 4.5;

pub(super) fn softmax(axis: u32, inputs: &[Tensor]) -> Result<Plan, RunError> {
    let check = Check("softmax");
    let [input] = check.inputs(inputs)?;
    check.dtype(&input, &FLOATS)?;
    let axis = check.axis(axis, &input)?;
    let shape = input.shape().to_vec();
    // A column's numbers stand apart, so they are taken to one place and back.
    let column = if shape.contains(&0) { 0 } else { shape[axis].saturating_mul(size_of::<f64>()) };
    let view = input.clone();
    let nanoseconds = if input.dtype() == DType::Float32 { VECTOR_NANOSECONDS } else { NANOSECONDS };
    let plan = Plan::compute(check.0, input.dtype(), shape.clone(), nanoseconds, move |stop| {
        with_dtype!(floats input.dtype(), T => {
            along::<T>(&input, axis, &shape, stop)
        }, else check.refuse("no such dtype"))
    });
    Ok(plan.with_scratch(column).after_gathering(&view))
}

fn along<T: Sample>(input: &Tensor, axis: usize, shape: &[usize], stop: &Stop<'_>) -> Result<Tensor, RunError> {
    if shape.contains(&0) {
        return Ok(Tensor::filled::<T>(shape, |_| ()));
    }
    let inner: usize = shape[axis + 1..].iter().product();
    let source = input.rows_until::<T>(stop)?;
    let mut column = vec![T::Real::default(); shape[axis]];
    let part = shape[axis] * inner;
    // As many parts as fit the nearest cache, if several do.
    let block = (NEAR / part).max(1) * part;
    Tensor::by_blocks(shape, block, |start, to: &mut [T]| {
        let parts = source[start..][..to.len()].chunks_exact(part).zip(to.chunks_exact_mut(part));
        { parts }.try_for_each(|(from, to)| {
            if inner == 1 {
                widest(Row { from, column: &mut column, to });
                return stop.worked(part);
            }
            columns(from, &mut column, inner, to, stop)
        })
    })
}

/// Columns whose elements are `inner` apart, each by way of `column`.
fn columns<T: Sample>(
    from: &[T],
    column: &mut [T::Real],
    inner: usize,
    to: &mut [T],
    stop: &Stop<'_>,
) -> Result<(), RunError> {
    for place in 0..inner {
        let values = from[place..].iter().step_by(inner);
        column.iter_mut().zip(values).for_each(|(to, from)| *to = from.to_real());
        let factor = widest(Exponentials(column));
        let places = to[place..].iter_mut().step_by(inner);
        places.zip(&*column).for_each(|(to, &from)| *to = T::from_real(from * factor));
        stop.worked(column.len())?;
    }
    Ok(())
}

/// A column whose elements are next to each other.
struct Row<'a, T: Sample> {
    from: &'a [T],
    column: &'a mut [T::Real],
    to: &'a mut [T],
}

impl<T: Sample> NullaryFnOnce for Row<'_, T> {
    type Output = ();

    #[inline(always)]
    fn call(self) {
        let Self { from, column, to } = self;
        column.iter_mut().zip(from).for_each(|(to, from)| *to = from.to_real());
        let factor = Exponentials(column).call();
        to.iter_mut().zip(&*column).for_each(|(to, &x)| *to = T::from_real(x * factor));
    }
}

/// Numbers that are summed side by side, so that vectors can.
const LANES: usize = 16;

/// Exponentials of a column, less its greatest number; gives what to multiply them with that their sum is 1.
struct Exponentials<'a, R>(&'a mut [R]);

impl<R: Real> NullaryFnOnce for Exponentials<'_, R> {
    type Output = R;

    #[inline(always)]
    fn call(self) -> R {
        let Self(column) = self;
        let Some(&first) = column.first() else { return R::default() };
        let greater = |best: R, x: R| if x > best { x } else { best };
        let mut lanes = [first; LANES];
        let (chunks, rest) = column.as_chunks::<LANES>();
        for chunk in chunks {
            lanes.iter_mut().zip(chunk).for_each(|(best, &x)| *best = greater(*best, x));
        }
        let greatest = lanes.iter().chain(rest).fold(first, |best, &x| greater(best, x));
        let mut sums = [R::default(); LANES];
        let (chunks, rest) = column.as_chunks_mut::<LANES>();
        for chunk in chunks {
            for (sum, x) in sums.iter_mut().zip(chunk) {
                *x = (*x - greatest).exp();
                *sum = *sum + *x;
            }
        }
        for (sum, x) in sums.iter_mut().zip(rest) {
            *x = (*x - greatest).exp();
            *sum = *sum + *x;
        }
        let sum = sums.into_iter().fold(R::default(), |sum, x| sum + x);
        R::from_f64(1.0) / sum
    }
}
