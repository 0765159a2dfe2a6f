//! softmax: exponentials along an axis, divided by their sum.

use pulp::{NullaryFnOnce, Simd, WithSimd};
use tract_onnx::prelude::f16;

use super::check::FLOATS;
use super::sample::{Real, Sample};
#[cfg(target_arch = "x86_64")]
use super::wide;
use super::{Check, Plan, Stop, math};
use crate::blank::Blank;
use crate::blocks::{BLOCK, NEAR};
use crate::element::{Element, with_dtype};
use crate::vectors::{Each, Function, InPlace, fuses, widest, widest_if};
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
    let are_short = inner == 1 && part <= NEAR;
    // As many parts as fit the nearest cache, if several do.
    let block = (if are_short { BLOCK } else { NEAR } / part).max(1) * part;
    Tensor::by_blocks(shape, block, |start, mut to: Blank<'_, T>| {
        if are_short {
            stop.worked(to.len())?;
            match T::rows(&source[start..][..to.len()], part, to) {
                Ok(written) => return Ok(written),
                Err(blank) => to = blank,
            }
        }
        to.in_parts(part, |index, to| {
            let from = &source[start + index * part..][..part];
            if inner == 1 {
                return T::row(from, to, (&mut values, &mut shares), stop);
            }
            // Columns whose elements are apart, each by way of two places of its length.
            let to = to.filled(T::default());
            for place in 0..inner {
                let column = from[place..].iter().step_by(inner);
                values.clear();
                values.extend(column.map(|x| x.to_real()));
                let shares = column_of(&values, &mut shares, stop)?;
                let places = to[place..].iter_mut().step_by(inner);
                places.zip(shares).for_each(|(to, from)| *to = T::from_real(*from));
            }
            Ok(to)
        })
    })
}

/// The softmax of `values`, in `place`.
fn column_of<'a, R: Numbers>(values: &[R], place: &'a mut Vec<R>, stop: &Stop<'_>) -> Result<&'a mut [R], RunError> {
    place.clear();
    place.reserve(values.len());
    column(values, Blank::of(&mut place.spare_capacity_mut()[..values.len()]), stop)
}

/// Of numbers next to each other, in passes of which each may stop between chunks.
fn column<'b, R: Numbers>(from: &[R], to: Blank<'b, R>, stop: &Stop<'_>) -> Result<&'b mut [R], RunError> {
    let mut greatest = from.first().copied().unwrap_or_default();
    for chunk in from.chunks(CHUNK) {
        greatest = R::greatest(chunk, greatest);
        stop.worked(chunk.len())?;
    }
    let mut sum = 0.0;
    let to = to.in_parts(CHUNK, |index, to| {
        stop.worked(to.len())?;
        let (powers, part) = R::powers(&from[index * CHUNK..][..to.len()], greatest, to);
        sum += part.to_f64();
        Ok(powers)
    })?;
    let factor = <R as Real>::from_f64(1.0 / sum);
    for chunk in to.chunks_mut(CHUNK) {
        R::scale(chunk, factor);
        stop.worked(chunk.len())?;
    }
    Ok(to)
}

/// Numbers between two questions whether to go on.
const CHUNK: usize = 4096;

/// Numbers of which the softmax is computed.
trait Numbers: Real + Element {
    /// The greatest of `from` and one before; whether NaN is passed over does not matter.
    fn greatest(from: &[Self], before: Self) -> Self;
    /// The exponentials of how much less each is than `greatest`, and their sum.
    fn powers<'b>(from: &[Self], greatest: Self, to: Blank<'b, Self>) -> (&'b mut [Self], Self);
    /// Multiplies each.
    fn scale(of: &mut [Self], factor: Self);
}

impl Numbers for f32 {
    fn greatest(from: &[Self], before: Self) -> Self {
        widest(Greatest { from, before })
    }

    fn powers<'b>(from: &[Self], greatest: Self, to: Blank<'b, Self>) -> (&'b mut [Self], Self) {
        #[cfg(target_arch = "x86_64")]
        if let pulp::Arch::V4(machine) = pulp::Arch::new() {
            return wide::powers(machine, from, greatest, to);
        }
        if fuses() { powers_of::<true>(from, greatest, to) } else { powers_of::<false>(from, greatest, to) }
    }

    fn scale(of: &mut [Self], factor: Self) {
        widest(InPlace { of, f: move |x| x * factor });
    }
}

impl Numbers for f64 {
    fn greatest(from: &[Self], before: Self) -> Self {
        from.iter().copied().fold(before, Self::max)
    }

    fn powers<'b>(from: &[Self], greatest: Self, to: Blank<'b, Self>) -> (&'b mut [Self], Self) {
        let to = Each { from, to, f: move |x: Self| (x - greatest).exp() }.call();
        let sum = to.iter().sum();
        (to, sum)
    }

    fn scale(of: &mut [Self], factor: Self) {
        of.iter_mut().for_each(|x| *x *= factor);
    }
}

/// An element, and how a column is computed whose elements are next to each other.
trait Part: Sample<Real: Numbers> + Element {
    /// Rows of `length` together, if this type and machine are such that this is faster; else `to` is given back.
    fn rows<'b>(_: &[Self], _length: usize, to: Blank<'b, Self>) -> Result<&'b mut [Self], Blank<'b, Self>> {
        Err(to)
    }

    /// By way of `places`, where elements are narrower than what is computed with.
    fn row<'b>(
        from: &[Self],
        to: Blank<'b, Self>,
        places: (&mut Vec<Self::Real>, &mut Vec<Self::Real>),
        stop: &Stop<'_>,
    ) -> Result<&'b mut [Self], RunError>;
}

macro_rules! wide_enough {
    ($($T:ty $({$($rows:tt)*})?),*) => {$(
        impl Part for $T {
            $($($rows)*)?

            fn row<'b>(
                from: &[Self],
                to: Blank<'b, Self>,
                _: (&mut Vec<Self>, &mut Vec<Self>),
                stop: &Stop<'_>,
            ) -> Result<&'b mut [Self], RunError> {
                column(from, to, stop)
            }
        }
    )*};
}

wide_enough!(f32 {
    #[cfg(target_arch = "x86_64")]
    fn rows<'b>(from: &[f32], length: usize, to: Blank<'b, f32>) -> Result<&'b mut [f32], Blank<'b, f32>> {
        wide::rows(from, length, to)
    }
}, f64);

impl Part for f16 {
    fn row<'b>(
        from: &[Self],
        to: Blank<'b, Self>,
        (values, shares): (&mut Vec<f32>, &mut Vec<f32>),
        stop: &Stop<'_>,
    ) -> Result<&'b mut [Self], RunError> {
        values.clear();
        values.extend(from.iter().map(|x| x.to_f32()));
        let shares = column_of(values, shares, stop)?;
        Ok(Each { from: &*shares, to, f: Self::from_f32 }.call())
    }
}

/// By loops that the compiler makes vectors of; `FUSED` where the machine [`fuses`].
fn powers_of<'b, const FUSED: bool>(from: &[f32], greatest: f32, to: Blank<'b, f32>) -> (&'b mut [f32], f32) {
    let to = widest_if::<FUSED, _>(Each { from, to, f: Power::<FUSED> { greatest } });
    let sum = widest(Sum { of: to });
    (to, sum)
}

/// The exponential of how much less a number is than the greatest; `FUSED` where the machine [`fuses`].
#[derive(Clone, Copy)]
struct Power<const FUSED: bool> {
    greatest: f32,
}

impl<const FUSED: bool> Function<f32> for Power<FUSED> {
    type Output = f32;

    #[inline(always)]
    fn of(self, x: f32) -> f32 {
        math::exp_to_1::<FUSED>(x - self.greatest)
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

struct Greatest<'a> {
    from: &'a [f32],
    before: f32,
}

// What gathers a result is written in vectors, since a compiler may not change its order; and four at a time, since a machine
// begins to compute more often than one after another would end. Without closures, as the loops of `vectors`.
impl WithSimd for Greatest<'_> {
    type Output = f32;

    #[inline(always)]
    fn with_simd<S: Simd>(self, simd: S) -> f32 {
        let (vectors, rest) = S::as_simd_f32s(self.from);
        let mut greatest = simd.reduce_max_f32s(fold!(simd.max_f32s, vectors, simd.splat_f32s(self.before)));
        for &x in rest {
            greatest = if x > greatest { x } else { greatest };
        }
        greatest
    }
}

struct Sum<'a> {
    of: &'a [f32],
}

impl WithSimd for Sum<'_> {
    type Output = f32;

    #[inline(always)]
    fn with_simd<S: Simd>(self, simd: S) -> f32 {
        let (vectors, rest) = S::as_simd_f32s(self.of);
        let mut sum = simd.reduce_sum_f32s(fold!(simd.add_f32s, vectors, simd.splat_f32s(0.0)));
        for x in rest {
            sum += *x;
        }
        sum
    }
}

#[cfg(test)]
mod tests {
    use std::mem::MaybeUninit;

    use super::*;

    fn near<const FUSED: bool>() {
        for length in [1, 15, 16, 17, 100] {
            let from: Vec<f32> = (0..length).map(|index| (index * 37 % 101) as f32 / -3.0).collect();
            let mut places = vec![MaybeUninit::uninit(); length];
            let (powers, sum) = powers_of::<FUSED>(&from, 0.0, Blank::of(&mut places));
            let right: Vec<f64> = from.iter().map(|x| f64::from(*x).exp()).collect();
            for (power, right) in powers.iter().zip(&right) {
                assert!((f64::from(*power) - right).abs() <= 4e-7 * right, "{power} for {right}");
            }
            let right: f64 = right.iter().sum();
            assert!((f64::from(sum) - right).abs() <= 1e-6 * right, "{sum} for {right}");
        }
    }

    /// Where there is AVX-512, nothing else goes this way.
    #[test]
    fn exponentials_and_their_sum_are_right_without_vectors_of_our_own() {
        near::<false>();
        if fuses() {
            near::<true>();
        }
    }
}
