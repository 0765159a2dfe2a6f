//! Softmax of rows, by AVX-512.

use pulp::x86::V4;
use pulp::{Arch, NullaryFnOnce, Simd, cast, f32x16};

use super::functions::exp_to_1;
use super::loops::{FETCH, lanes};
use crate::blank::Blank;

/// The exponentials of how much less each is than `greatest`, and their sum.
pub(in super::super) fn powers<'b>(
    machine: V4,
    from: &[f32],
    greatest: f32,
    to: Blank<'b, f32>,
) -> (&'b mut [f32], f32) {
    machine.vectorize(Powers { machine, from, greatest, to })
}

/// The softmax of each row of `length`, where the machine has AVX-512; else `to` is given back.
pub(in super::super) fn rows<'b>(
    from: &[f32],
    length: usize,
    to: Blank<'b, f32>,
) -> Result<&'b mut [f32], Blank<'b, f32>> {
    match Arch::new() {
        Arch::V4(machine) => Ok(machine.vectorize(Rows { machine, from, length, to })),
        _ => Err(to),
    }
}

struct Powers<'a, 'b> {
    machine: V4,
    from: &'a [f32],
    greatest: f32,
    to: Blank<'b, f32>,
}

impl<'b> NullaryFnOnce for Powers<'_, 'b> {
    type Output = (&'b mut [f32], f32);

    #[inline(always)]
    fn call(self) -> Self::Output {
        let Self { machine, from, greatest, to } = self;
        step(machine, [from, from], greatest, to, &mut [], 1.0)
    }
}

/// Numbers of a row whose greatest is taken for that of the row at first.
const LOOKED_AT: usize = 64;
/// A sum above it says that the greatest of a row is by more than 11 greater than that, or there is NaN. By less, a difference
/// from the one has as many digits as one from the other.
const SUM_MAX: f32 = 65_536.0;

/// In one pass: the exponentials of a row are divided by their sum while those of the next are computed, and from which number the
/// differences are taken does not matter to the result, so that the greatest need not be known.
struct Rows<'a, 'b> {
    machine: V4,
    from: &'a [f32],
    length: usize,
    to: Blank<'b, f32>,
}

impl<'b> NullaryFnOnce for Rows<'_, 'b> {
    type Output = &'b mut [f32];

    #[inline(always)]
    fn call(self) -> &'b mut [f32] {
        let (machine, from, length, to) = (self.machine, self.from, self.length, self.to.into_places());
        let mut before: &mut [f32] = &mut [];
        let mut factor = 1.0;
        let mut start = 0;
        let mut near = greatest(machine, &from[..length.min(LOOKED_AT)]);
        let mut rest = &mut *to;
        while start < from.len() {
            let row = &from[start..start + length];
            let (places, others) = rest.split_at_mut(length);
            rest = others;
            let next = &from[(start + length).min(from.len() - length)..][..length];
            // A row ahead, so that nothing waits for it.
            let near_next = greatest(machine, &next[..length.min(LOOKED_AT)]);
            let (powers, mut sum) = step(machine, [row, next], near, Blank::of(places), before, factor);
            near = near_next;
            // NaN is not, and what overflowed may have any sign.
            let is_near = (0.0..=SUM_MAX).contains(&sum);
            if !is_near {
                sum = again(machine, row, powers);
            }
            (before, factor) = (powers, 1.0 / sum);
            start += length;
        }
        scale(machine, before, factor);
        #[allow(unsafe_code, reason = "the standard library has no safe way")]
        // SAFETY: `step` has written each row.
        unsafe {
            to.assume_init_mut()
        }
    }
}

/// One row's exponentials, less `near`, and their sum; multiplies the row before with `factor`, and has the next brought to the
/// nearest cache.
#[inline(always)]
fn step<'b>(
    machine: V4,
    [row, next]: [&[f32]; 2],
    near: f32,
    to: Blank<'b, f32>,
    before: &mut [f32],
    factor: f32,
) -> (&'b mut [f32], f32) {
    let (avx, to) = (machine.avx512f, to.into_places());
    let (factors, near) = (avx._mm512_set1_ps(factor), avx._mm512_set1_ps(near));
    let (from, rest) = V4::as_simd_f32s(&row[..to.len()]);
    let (vectors, places) = V4::as_uninit_mut_simd_f32s(to);
    let (next, _) = V4::as_simd_f32s(&next[..row.len()]);
    let (done, done_rest) = V4::as_mut_simd_f32s(before);
    let mut sum = avx._mm512_set1_ps(0.0);
    let mut index = 0;
    if done.len() == vectors.len() {
        while index < vectors.len() {
            let power = exp_to_1(machine, avx._mm512_sub_ps(cast(from[index]), near));
            sum = avx._mm512_add_ps(sum, power);
            vectors[index].write(cast(power));
            done[index] = cast(avx._mm512_mul_ps(cast(done[index]), factors));
            machine.sse._mm_prefetch::<FETCH>(std::ptr::from_ref(&next[index]).cast());
            index += 1;
        }
    } else {
        while index < vectors.len() {
            let power = exp_to_1(machine, avx._mm512_sub_ps(cast(from[index]), near));
            sum = avx._mm512_add_ps(sum, power);
            vectors[index].write(cast(power));
            index += 1;
        }
    }
    if !rest.is_empty() {
        let numbers = lanes(machine, rest, f32::NEG_INFINITY);
        let power = exp_to_1(machine, avx._mm512_sub_ps(numbers, near));
        sum = avx._mm512_add_ps(sum, power);
        let all: [f32; 16] = cast(power);
        let mut index = 0;
        while index < places.len() {
            places[index].write(all[index]);
            index += 1;
        }
        let mut index = 0;
        while index < done_rest.len() {
            done_rest[index] *= factor;
            index += 1;
        }
    }
    #[allow(unsafe_code, reason = "the standard library has no safe way")]
    // SAFETY: the loops have written each.
    let to = unsafe { to.assume_init_mut() };
    (to, machine.reduce_sum_f32s(cast(sum)))
}

/// A row whose greatest was elsewhere, or that has NaN: from the greatest of all. Gives the sum.
#[inline(always)]
fn again(machine: V4, row: &[f32], to: &mut [f32]) -> f32 {
    let (avx, greatest) = (machine.avx512f, greatest(machine, row));
    let greatest = avx._mm512_set1_ps(greatest);
    let mut sum = avx._mm512_set1_ps(0.0);
    for (from, to) in row.chunks(16).zip(to.chunks_mut(16)) {
        let power = exp_to_1(machine, avx._mm512_sub_ps(lanes(machine, from, f32::NEG_INFINITY), greatest));
        sum = avx._mm512_add_ps(sum, power);
        let all: [f32; 16] = cast(power);
        to.copy_from_slice(&all[..to.len()]);
    }
    machine.reduce_sum_f32s(cast(sum))
}

/// The greatest of some numbers; NaN if there is one among those that are looked at last, or not.
#[inline(always)]
fn greatest(machine: V4, numbers: &[f32]) -> f32 {
    let avx = machine.avx512f;
    let (vectors, rest) = V4::as_simd_f32s(numbers);
    let mut greatest = lanes(machine, rest, f32::NEG_INFINITY);
    let mut index = 0;
    while index < vectors.len() {
        greatest = avx._mm512_max_ps(cast(vectors[index]), greatest);
        index += 1;
    }
    machine.reduce_max_f32s(cast(greatest))
}

#[inline(always)]
fn scale(machine: V4, of: &mut [f32], factor: f32) {
    let avx = machine.avx512f;
    let factors: f32x16 = cast(avx._mm512_set1_ps(factor));
    let (vectors, rest) = V4::as_mut_simd_f32s(of);
    let mut index = 0;
    while index < vectors.len() {
        vectors[index] = machine.mul_f32s(vectors[index], factors);
        index += 1;
    }
    let mut index = 0;
    while index < rest.len() {
        rest[index] *= factor;
        index += 1;
    }
}

#[cfg(test)]
mod tests {
    use std::mem::MaybeUninit;

    use super::*;

    fn right(row: &[f32]) -> Vec<f64> {
        let greatest = row.iter().copied().fold(f32::NEG_INFINITY, f32::max);
        let powers: Vec<f64> = row.iter().map(|x| (f64::from(*x) - f64::from(greatest)).exp()).collect();
        let sum: f64 = powers.iter().sum();
        powers.iter().map(|power| power / sum).collect()
    }

    #[test]
    fn rows_of_all_lengths_are_near_whatever_comes_where() {
        const INF: f32 = f32::INFINITY;
        for length in [1, 2, 15, 16, 17, 63, 64, 65, 100, 257] {
            for odd in [0.0, 30.0, 45.0, 88.5, 200.0, 1e4, 1e10, 1e30, -1e4, -1e30, -INF, f32::NAN, INF] {
                let mut numbers: Vec<f32> = (0..5 * length).map(|index| (index * 37 % 101) as f32 / 10.0).collect();
                // In the second and the fourth row, and there at the end and at the beginning.
                numbers[2 * length - 1] = odd;
                numbers[3 * length] = odd;
                let mut places = vec![MaybeUninit::uninit(); numbers.len()];
                let Ok(ours) = rows(&numbers, length, Blank::of(&mut places)) else { return };
                for (index, (ours, row)) in ours.chunks(length).zip(numbers.chunks(length)).enumerate() {
                    for (ours, right) in ours.iter().zip(right(row)) {
                        // A difference has half a unit of the last place, of which the exponential makes a part.
                        let allowed = (3e-7 - 6e-8 * right.max(1e-38).ln()) * right + 1e-30;
                        let is_near = (f64::from(*ours) - right).abs() <= allowed;
                        let said = format!("{ours} for {right} in row {index} of {length}, with {odd}");
                        assert!(is_near || right.is_nan() && ours.is_nan(), "{said}");
                    }
                }
            }
        }
    }
}
