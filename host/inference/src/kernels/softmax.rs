//! softmax: exponentials along an axis, divided by their sum.

use pulp::{Simd, WithSimd};
use tract_onnx::prelude::f16;

use super::check::FLOATS;
use super::sample::{Real, Sample};
use super::{Check, Plan, Stop, math};
use crate::blocks::NEAR;
use crate::element::with_dtype;
use crate::vectors::{fuses, widest_if};
use crate::{DType, RunError, Tensor};

/// One `float32`: an exponential, and three passes.
const VECTOR_NANOSECONDS: f64 = 0.22;
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
            along::<T>(&input, axis, &shape, stop)
        }, else check.refuse("no such dtype"))
    });
    Ok(plan.with_scratch(column).after_gathering(&view))
}

fn along<T: Part>(input: &Tensor, axis: usize, shape: &[usize], stop: &Stop<'_>) -> Result<Tensor, RunError> {
    if shape.contains(&0) {
        return Ok(Tensor::filled::<T>(shape, |_| ()));
    }
    let inner: usize = shape[axis + 1..].iter().product();
    let source = input.rows_until::<T>(stop)?;
    let (mut values, mut shares) = (Vec::new(), Vec::new());
    let part = shape[axis] * inner;
    // As many parts as fit the nearest cache, if several do.
    let block = (NEAR / part).max(1) * part;
    Tensor::by_blocks(shape, block, |start, to: &mut [T]| {
        let parts = source[start..][..to.len()].chunks_exact(part).zip(to.chunks_exact_mut(part));
        { parts }.try_for_each(|(from, to)| {
            if inner == 1 {
                T::row(from, to, (&mut values, &mut shares));
                return stop.worked(part);
            }
            // Columns whose elements are apart, each by way of two places of its length.
            shares.resize(shape[axis], T::Real::default());
            for place in 0..inner {
                let column = from[place..].iter().step_by(inner);
                values.clear();
                values.extend(column.map(|x| x.to_real()));
                T::Real::softmax(&values, &mut shares);
                let places = to[place..].iter_mut().step_by(inner);
                places.zip(&shares).for_each(|(to, &from)| *to = T::from_real(from));
                stop.worked(shares.len())?;
            }
            Ok(())
        })
    })
}

/// Numbers of which the softmax is computed.
trait Numbers: Real {
    /// Of `from`, to `to`.
    fn softmax(from: &[Self], to: &mut [Self]);
}

impl Numbers for f32 {
    fn softmax(from: &[Self], to: &mut [Self]) {
        if fuses() {
            widest_if::<true, _>(Column::<true> { from, to });
        } else {
            widest_if::<false, _>(Column::<false> { from, to });
        }
    }
}

impl Numbers for f64 {
    fn softmax(from: &[Self], to: &mut [Self]) {
        let greatest = from.iter().copied().fold(Self::NEG_INFINITY, Self::max);
        to.iter_mut().zip(from).for_each(|(to, x)| *to = (x - greatest).exp());
        let factor = 1.0 / to.iter().sum::<Self>();
        to.iter_mut().for_each(|x| *x *= factor);
    }
}

/// An element, and how a column is computed whose elements are next to each other.
trait Part: Sample<Real: Numbers> {
    /// By way of `places`, where elements are narrower than what is computed with.
    fn row(from: &[Self], to: &mut [Self], places: (&mut Vec<Self::Real>, &mut Vec<Self::Real>));
}

macro_rules! wide_enough {
    ($($T:ty),*) => {$(
        impl Part for $T {
            fn row(from: &[Self], to: &mut [Self], _: (&mut Vec<Self>, &mut Vec<Self>)) {
                Self::softmax(from, to);
            }
        }
    )*};
}

wide_enough!(f32, f64);

impl Part for f16 {
    fn row(from: &[Self], to: &mut [Self], (values, shares): (&mut Vec<f32>, &mut Vec<f32>)) {
        values.clear();
        values.extend(from.iter().map(|x| x.to_f32()));
        shares.resize(from.len(), 0.0);
        f32::softmax(values, shares);
        to.iter_mut().zip(&*shares).for_each(|(to, &from)| *to = Self::from_f32(from));
    }
}

/// All vectors by a function of two, four at a time.
macro_rules! fold {
    ($simd:ident.$function:ident, $vectors:expr, $first:expr) => {{
        let [mut a, mut b, mut c, mut d] = [$first; 4];
        let (fours, others) = $vectors.as_chunks::<4>();
        for [w, x, y, z] in fours {
            a = $simd.$function(*w, a);
            b = $simd.$function(*x, b);
            c = $simd.$function(*y, c);
            d = $simd.$function(*z, d);
        }
        for x in others {
            a = $simd.$function(*x, a);
        }
        $simd.$function($simd.$function(a, b), $simd.$function(c, d))
    }};
}

/// A column of `f32`; `FUSED` where the machine [`fuses`].
struct Column<'a, const FUSED: bool> {
    from: &'a [f32],
    to: &'a mut [f32],
}

impl<const FUSED: bool> WithSimd for Column<'_, FUSED> {
    type Output = ();

    /// In four passes through the nearest cache. What gathers a result is written in vectors, since a compiler may not change its
    /// order; and four at a time, since a machine begins to compute more often than one after another would end. Without
    /// closures, as the loops of [`vectors`](crate::vectors).
    #[inline(always)]
    fn with_simd<S: Simd>(self, simd: S) {
        let Self { from, to } = self;
        let Some(&first) = from.first() else { return };
        let (vectors, rest) = S::as_simd_f32s(from);
        let mut greatest = simd.reduce_max_f32s(fold!(simd.max_f32s, vectors, simd.splat_f32s(first)));
        for &x in rest {
            greatest = if x > greatest { x } else { greatest };
        }
        let count = from.len().min(to.len());
        let (from, to) = (&from[..count], &mut to[..count]);
        let mut index = 0;
        while index < count {
            to[index] = math::exp_to_1::<FUSED>(from[index] - greatest);
            index += 1;
        }
        let (vectors, rest) = S::as_simd_f32s(to);
        let mut sum = simd.reduce_sum_f32s(fold!(simd.add_f32s, vectors, simd.splat_f32s(0.0)));
        for x in rest {
            sum += *x;
        }
        let factor = 1.0 / sum;
        let mut index = 0;
        while index < count {
            to[index] *= factor;
            index += 1;
        }
    }
}
