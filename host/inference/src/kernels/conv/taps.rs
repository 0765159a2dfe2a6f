//! What the taps of many windows meet, times their weights, added up in registers.

use pulp::{Simd, WithSimd};

use crate::vectors::widest;

/// A tap: how far what it meets is from what the first one may meet, and its weight.
#[derive(Clone, Copy)]
pub(super) struct Tap<T> {
    pub(super) offset: usize,
    pub(super) weight: T,
}

/// Elements whose sums are in registers at once, at most: four vectors of sixteen.
pub(super) const GROUP: usize = 64;

pub(super) trait SumTaps: Sized {
    /// Adds to each element of `sums` the `weight * from[offset + its index]` of the taps, in their order, without fused
    /// operations, so that results are the same everywhere. `sums` has whole groups, and `from` an element for each tap of each.
    fn sum_taps(sums: &mut [Self], from: &[Self], taps: &[Tap<Self>]);
}

struct Sum<'a, T> {
    sums: &'a mut [T],
    from: &'a [T],
    taps: &'a [Tap<T>],
}

macro_rules! sum_taps {
    ($($T:ident: $lanes:ident $as_mut:ident $as:ident $splat:ident $add:ident $mul:ident),*) => {$(
        impl SumTaps for $T {
            fn sum_taps(sums: &mut [Self], from: &[Self], taps: &[Tap<Self>]) {
                widest(Sum { sums, from, taps });
            }
        }

        impl WithSimd for Sum<'_, $T> {
            type Output = ();

            #[inline(always)]
            fn with_simd<S: Simd>(self, simd: S) {
                let Self { sums, from, taps } = self;
                let group = 4 * S::$lanes;
                let mut start = 0;
                while start < sums.len() {
                    let (places, _) = S::$as_mut(&mut sums[start..start + group]);
                    let [mut a, mut b, mut c, mut d] = [places[0], places[1], places[2], places[3]];
                    let mut index = 0;
                    while index < taps.len() {
                        let Tap { offset, weight } = taps[index];
                        let (met, _) = S::$as(&from[start + offset..][..group]);
                        let weight = simd.$splat(weight);
                        a = simd.$add(a, simd.$mul(weight, met[0]));
                        b = simd.$add(b, simd.$mul(weight, met[1]));
                        c = simd.$add(c, simd.$mul(weight, met[2]));
                        d = simd.$add(d, simd.$mul(weight, met[3]));
                        index += 1;
                    }
                    [places[0], places[1], places[2], places[3]] = [a, b, c, d];
                    start += group;
                }
            }
        }
    )*};
}

sum_taps! {
    f32: F32_LANES as_mut_simd_f32s as_simd_f32s splat_f32s add_f32s mul_f32s,
    f64: F64_LANES as_mut_simd_f64s as_simd_f64s splat_f64s add_f64s mul_f64s
}

#[cfg(test)]
mod tests {
    use super::*;

    fn sums<T: SumTaps + Copy>(of: impl Fn(usize) -> T) -> Vec<T> {
        let from: Vec<T> = (0..3 * GROUP + 7).map(&of).collect();
        let taps = [(0, 3), (7, 1), (1, 5)].map(|(offset, weight)| Tap { offset, weight: of(weight) });
        let mut sums = vec![of(1); 3 * GROUP];
        T::sum_taps(&mut sums, &from, &taps);
        sums
    }

    #[test]
    fn every_element_has_its_own_sum_whatever_the_vectors() {
        let right = |index: usize| 1 + 3 * index + (index + 7) + 5 * (index + 1);
        let right: Vec<f64> = (0..3 * GROUP).map(|index| right(index) as f64).collect();
        assert_eq!(sums(|x| x as f64), right);
        assert_eq!(sums(|x| x as f32).into_iter().map(f64::from).collect::<Vec<_>>(), right);
    }
}
