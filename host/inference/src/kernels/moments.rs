//! Sums of a row and of its squares, in vectors.

use pulp::{Simd, WithSimd};

use super::sample::Real;
use crate::element::Element;
use crate::vectors::widest;

/// Sums of deviations from `mean`, and of their squares.
struct Moments<'a, R> {
    chunk: &'a [R],
    mean: R,
}

/// In vectors, and two at a time: a compiler may not change the order of sums, and a machine begins to compute more often than
/// one after another would end.
macro_rules! moments {
    ($R:ty: $vectors:ident $splat:ident $add:ident $sub:ident $mul_add:ident $sum:ident) => {
        impl WithSimd for Moments<'_, $R> {
            type Output = [f64; 2];

            #[inline(always)]
            fn with_simd<S: Simd>(self, simd: S) -> [f64; 2] {
                let (vectors, rest) = S::$vectors(self.chunk);
                let (zero, mean) = (simd.$splat(0.0), simd.$splat(self.mean));
                // No closures: what a compiler does not put in its place here is compiled for any machine.
                let [mut sums, mut squares, mut more_sums, mut more_squares] = [zero; 4];
                let (pairs, other) = vectors.as_chunks::<2>();
                for [x, y] in pairs {
                    let (x, y) = (simd.$sub(*x, mean), simd.$sub(*y, mean));
                    sums = simd.$add(sums, x);
                    more_sums = simd.$add(more_sums, y);
                    squares = simd.$mul_add(x, x, squares);
                    more_squares = simd.$mul_add(y, y, more_squares);
                }
                for x in other {
                    let x = simd.$sub(*x, mean);
                    sums = simd.$add(sums, x);
                    squares = simd.$mul_add(x, x, squares);
                }
                let mut result = [
                    f64::from(simd.$sum(simd.$add(sums, more_sums))),
                    f64::from(simd.$sum(simd.$add(squares, more_squares))),
                ];
                for x in rest {
                    let deviation = f64::from(x - self.mean);
                    result[0] += deviation;
                    result[1] += deviation * deviation;
                }
                result
            }
        }

        impl Summed for $R {
            fn moments(chunk: &[Self], mean: Self) -> [f64; 2] {
                widest(Moments { chunk, mean })
            }
        }
    };
}

moments!(f32: as_simd_f32s splat_f32s add_f32s sub_f32s mul_add_e_f32s reduce_sum_f32s);
moments!(f64: as_simd_f64s splat_f64s add_f64s sub_f64s mul_add_e_f64s reduce_sum_f64s);

/// Numbers whose mean and variance are computed.
pub(super) trait Summed: Real + Element {
    /// Sums of what is more than `mean`, and of the squares of that.
    fn moments(chunk: &[Self], mean: Self) -> [f64; 2];
}

/// Sums and sums of squares in vectors, together and with those of `rest`.
#[inline(always)]
pub(super) fn total<S: Simd>(simd: S, sums: [S::f32s; 2], rest: &[f32]) -> [f64; 2] {
    let [mut sum, mut squares] = [f64::from(simd.reduce_sum_f32s(sums[0])), f64::from(simd.reduce_sum_f32s(sums[1]))];
    let mut index = 0;
    while index < rest.len() {
        let x = f64::from(rest[index]);
        sum += x;
        squares += x * x;
        index += 1;
    }
    [sum, squares]
}
