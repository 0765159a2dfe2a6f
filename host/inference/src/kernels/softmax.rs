//! softmax: exponentials along an axis, divided by their sum.

use pulp::NullaryFnOnce;
use tract_onnx::prelude::f16;

use super::check::FLOATS;
use super::sample::{Real, Sample};
use super::{Check, Plan, Stop};
use crate::blocks::NEAR;
use crate::element::{Element, with_dtype};
use crate::vectors::{LANES, by_lanes, fuses, widest_if};
use crate::{DType, RunError, Tensor};

/// One `float32`: an exponential, and three passes.
const VECTOR_NANOSECONDS: f64 = 0.4;
/// One element of another type.
const NANOSECONDS: f64 = 4.5;

pub(super) fn softmax(axis: u32, inputs: Vec<Tensor>) -> Result<Plan, RunError> {
    let check = Check("softmax");
    let [input] = check.inputs(inputs)?;
    check.dtype(&input, &FLOATS)?;
    let axis = check.axis(axis, &input)?;
    let shape = input.shape().to_vec();
    // A column's numbers stand apart, so they are taken to one place, and by way of another back.
    let column = if shape.contains(&0) { 0 } else { shape[axis].saturating_mul(2 * size_of::<f64>()) };
    let view = input.clone();
    let nanoseconds = if input.dtype() == DType::Float32 { VECTOR_NANOSECONDS } else { NANOSECONDS };
    let plan = Plan::compute(check.0, input.dtype(), shape.clone(), nanoseconds, move |stop| {
        with_dtype!(floats input.dtype(), T => {
            if fuses() { along::<T, true>(&input, axis, &shape, stop) } else { along::<T, false>(&input, axis, &shape, stop) }
        }, else check.refuse("no such dtype"))
    });
    Ok(plan.with_scratch(column).after_gathering(&view))
}

/// `FUSED` where the machine [`fuses`].
fn along<T: Part, const FUSED: bool>(
    input: &Tensor,
    axis: usize,
    shape: &[usize],
    stop: &Stop<'_>,
) -> Result<Tensor, RunError> {
    if shape.contains(&0) {
        return Ok(Tensor::filled::<T>(shape, |_| ()));
    }
    let inner: usize = shape[axis + 1..].iter().product();
    let source = input.rows_until::<T>(stop)?;
    let (mut values, mut powers) = (Vec::new(), Vec::new());
    let part = shape[axis] * inner;
    // As many parts as fit the nearest cache, if several do.
    let block = (NEAR / part).max(1) * part;
    Tensor::by_blocks(shape, block, |start, to: &mut [T]| {
        let parts = source[start..][..to.len()].chunks_exact(part).zip(to.chunks_exact_mut(part));
        { parts }.try_for_each(|(from, to)| {
            if inner == 1 {
                T::row::<FUSED>(from, to, &mut powers);
                return stop.worked(part);
            }
            values.resize(shape[axis], T::Real::default());
            powers.resize(shape[axis], T::Real::default());
            columns::<T, FUSED>(from, (&mut values, &mut powers), inner, to, stop)
        })
    })
}

/// Columns whose elements are `inner` apart, each by way of two places of its length.
fn columns<T: Part, const FUSED: bool>(
    from: &[T],
    (values, powers): (&mut [T::Real], &mut [T::Real]),
    inner: usize,
    to: &mut [T],
    stop: &Stop<'_>,
) -> Result<(), RunError> {
    for place in 0..inner {
        let column = from[place..].iter().step_by(inner);
        values.iter_mut().zip(column).for_each(|(to, from)| *to = from.to_real());
        let factor = widest_if::<FUSED, _>(Exponentials::<T::Real, FUSED> { from: values, to: powers });
        let places = to[place..].iter_mut().step_by(inner);
        places.zip(&*powers).for_each(|(to, &from)| *to = T::from_real(from * factor));
        stop.worked(powers.len())?;
    }
    Ok(())
}

/// An element, and how a column is computed whose elements are next to each other.
trait Part: Sample<Real: Element + Sample<Real = Self::Real>> {
    /// By way of `powers`, where the elements of the result are too narrow for it.
    fn row<const FUSED: bool>(from: &[Self], to: &mut [Self], powers: &mut Vec<Self::Real>);
}

macro_rules! wide_enough {
    ($($T:ty),*) => {$(
        impl Part for $T {
            fn row<const FUSED: bool>(from: &[Self], to: &mut [Self], _: &mut Vec<Self>) {
                widest_if::<FUSED, _>(Row::<_, FUSED>(Exponentials { from, to }));
            }
        }
    )*};
}

wide_enough!(f32, f64);

impl Part for f16 {
    fn row<const FUSED: bool>(from: &[Self], to: &mut [Self], powers: &mut Vec<f32>) {
        powers.resize(from.len(), 0.0);
        widest_if::<FUSED, _>(Row::<_, FUSED>(Exponentials { from, to: powers }));
        to.iter_mut().zip(&*powers).for_each(|(to, &from)| *to = Self::from_f32(from));
    }
}

/// A column whose elements are next to each other.
struct Row<'a, T: Sample, const FUSED: bool>(Exponentials<'a, T, FUSED>);

impl<T: Sample, const FUSED: bool> NullaryFnOnce for Row<'_, T, FUSED> {
    type Output = ();

    #[inline(always)]
    fn call(self) {
        let Self(Exponentials { from, to }) = self;
        let factor = Exponentials::<T, FUSED> { from, to: &mut *to }.call();
        to.iter_mut().for_each(|x| *x = *x * factor);
    }
}

/// Exponentials of a column, less its greatest number; gives what to multiply them with that their sum is 1.
struct Exponentials<'a, T: Sample, const FUSED: bool> {
    from: &'a [T],
    to: &'a mut [T::Real],
}

impl<T: Sample, const FUSED: bool> NullaryFnOnce for Exponentials<'_, T, FUSED> {
    type Output = T::Real;

    #[inline(always)]
    fn call(self) -> T::Real {
        let Self { from, to } = self;
        let Some(first) = from.first().map(|x| x.to_real()) else { return T::Real::default() };
        let greater = |best: T::Real, x: T::Real| if x > best { x } else { best };
        let lanes = by_lanes(from, first, move |best, x: T| greater(best, x.to_real()), greater);
        let greatest = lanes.into_iter().fold(first, greater);
        let mut sums = [T::Real::default(); LANES];
        let ((blocks, rest), (powers, last)) = (from.as_chunks::<LANES>(), to.as_chunks_mut::<LANES>());
        for (block, powers) in blocks.iter().zip(powers) {
            for ((sum, to), x) in sums.iter_mut().zip(powers).zip(block) {
                *to = (x.to_real() - greatest).exp_to_1::<FUSED>();
                *sum = *sum + *to;
            }
        }
        for ((sum, to), x) in sums.iter_mut().zip(last).zip(rest) {
            *to = (x.to_real() - greatest).exp_to_1::<FUSED>();
            *sum = *sum + *to;
        }
        let sum = sums.into_iter().fold(T::Real::default(), |sum, x| sum + x);
        <T::Real as Real>::from_f64(1.0) / sum
    }
}
