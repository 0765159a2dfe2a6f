//! softmax: exponentials along an axis, divided by their sum.

use pulp::NullaryFnOnce;

use super::check::FLOATS;
use super::sample::{Real, Sample};
use super::{Check, Plan, Stop};
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
    let inner: usize = shape[axis + 1..].iter().product();
    // A column's numbers stand apart, so they are taken to one place and back.
    let column = if shape.contains(&0) { 0 } else { shape[axis].saturating_mul(size_of::<f64>()) };
    let view = input.clone();
    let nanoseconds = if input.dtype() == DType::Float32 { VECTOR_NANOSECONDS } else { NANOSECONDS };
    let plan = Plan::compute(check.0, input.dtype(), shape.clone(), nanoseconds, move |stop| {
        with_dtype!(floats input.dtype(), T => {
            let mut finished = Ok(());
            let result = Tensor::filled::<T>(&shape, |target| {
                finished = columns(&input.rows::<T>(), shape[axis], inner, target, stop);
            });
            finished.map(|()| result)
        }, else check.refuse("no such dtype"))
    });
    Ok(plan.with_scratch(column).after_gathering(&view))
}

fn columns<T: Sample>(
    source: &[T],
    length: usize,
    inner: usize,
    target: &mut [T],
    stop: &Stop<'_>,
) -> Result<(), RunError> {
    if target.is_empty() {
        return Ok(());
    }
    let mut column = vec![T::Real::default(); length];
    let blocks = source.chunks_exact(length * inner).zip(target.chunks_exact_mut(length * inner));
    for (from, to) in blocks {
        for place in 0..inner {
            let values = from[place..].iter().step_by(inner);
            column.iter_mut().zip(values).for_each(|(to, from)| *to = from.to_real());
            widest(Normalise(&mut column));
            let places = to[place..].iter_mut().step_by(inner);
            places.zip(&column).for_each(|(to, &from)| *to = T::from_real(from));
            stop.worked(length)?;
        }
    }
    Ok(())
}

/// Numbers that are summed side by side, so that vectors can.
const LANES: usize = 16;

/// Exponentials of a column, less its greatest number, divided by their sum.
struct Normalise<'a, R>(&'a mut [R]);

impl<R: Real> NullaryFnOnce for Normalise<'_, R> {
    type Output = ();

    #[inline(always)]
    fn call(self) {
        let Self(column) = self;
        let greater = |best: R, x: R| if x > best { x } else { best };
        let mut lanes = [column[0]; LANES];
        let (chunks, rest) = column.as_chunks::<LANES>();
        for chunk in chunks {
            lanes.iter_mut().zip(chunk).for_each(|(best, &x)| *best = greater(*best, x));
        }
        let greatest = lanes.iter().chain(rest).fold(column[0], |best, &x| greater(best, x));
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
        column.iter_mut().for_each(|x| *x = *x / sum);
    }
}
