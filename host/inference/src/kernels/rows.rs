//! Short rows of `f32` that are normalised one after the other: what is summed of the next is summed while one is written, so
//! that memory is read all the time, and not in every second pass.

use pulp::{Simd, WithSimd};

use super::lines::{Line, line_from_0, line_from_mean};
use super::{Stop, moments::total};
use crate::blank::Blank;
use crate::vectors::widest;

/// Rows, each as long as `scale` and `bias`, with which what is normalised is multiplied and added.
pub(super) struct Rows<'a> {
    pub(super) from: &'a [f32],
    pub(super) scale: &'a [f32],
    pub(super) bias: &'a [f32],
    pub(super) epsilon: f64,
}

impl Rows<'_> {
    /// Normalises as many of them as `to` has room for.
    pub(super) fn normalise<'b>(&self, to: Blank<'b, f32>) -> &'b mut [f32] {
        widest(Normalise { rows: self, to })
    }

    fn row(&self, index: usize) -> &[f32] {
        &self.from[index * self.scale.len()..][..self.scale.len()]
    }

    fn line(&self, index: usize, sums: [f64; 2]) -> Line<f32> {
        let of_one = sums.map(|sum| sum / self.scale.len() as f64);
        line_from_0(of_one, self.epsilon).unwrap_or_else(|| {
            // A row is short, and nobody waits to stop it.
            let never = Stop::new(&|| false);
            line_from_mean(self.row(index), of_one[0], self.epsilon, &never).expect("it is not stopped")
        })
    }
}

struct Normalise<'a, 'b> {
    rows: &'a Rows<'a>,
    to: Blank<'b, f32>,
}

impl<'b> WithSimd for Normalise<'_, 'b> {
    type Output = &'b mut [f32];

    #[inline(always)]
    fn with_simd<S: Simd>(self, simd: S) -> &'b mut [f32] {
        let (rows, to) = (self.rows, self.to.into_places());
        let length = rows.scale.len();
        let last = to.len() / length - 1;
        let mut line = rows.line(0, sums(simd, rows.row(0)));
        // Two rows ahead, so that the line of the next is known when its turn comes.
        let mut ahead = sums(simd, rows.row(last.min(1)));
        let mut index = 0;
        while index <= last {
            let next = if index < last { rows.line(index + 1, ahead) } else { line };
            let place = Blank::of(&mut to[index * length..(index + 1) * length]);
            ahead = step(simd, rows, [rows.row(index), rows.row(last.min(index + 2))], line, place);
            (line, index) = (next, index + 1);
        }
        #[allow(unsafe_code, reason = "the standard library has no safe way")]
        // SAFETY: `step` has written each row, and the rows are all of it: their number is that of the places.
        unsafe {
            to.assume_init_mut()
        }
    }
}

/// The sums of a row and of its squares.
#[inline(always)]
fn sums<S: Simd>(simd: S, row: &[f32]) -> [f64; 2] {
    let (vectors, rest) = S::as_simd_f32s(row);
    let mut sums = [simd.splat_f32s(0.0); 2];
    let mut index = 0;
    while index < vectors.len() {
        sums = [simd.add_f32s(sums[0], vectors[index]), simd.mul_add_e_f32s(vectors[index], vectors[index], sums[1])];
        index += 1;
    }
    total(simd, sums, rest)
}

/// One row is written by its line, and of another the sums are made.
#[inline(always)]
fn step<S: Simd>(
    simd: S,
    rows: &Rows<'_>,
    [from, ahead]: [&[f32]; 2],
    line: Line<f32>,
    to: Blank<'_, f32>,
) -> [f64; 2] {
    let to = to.into_places();
    let count = to.len();
    let ((from, from_rest), (ahead, ahead_rest)) = (S::as_simd_f32s(&from[..count]), S::as_simd_f32s(&ahead[..count]));
    let ((scale, scale_rest), (bias, bias_rest)) =
        (S::as_simd_f32s(&rows.scale[..count]), S::as_simd_f32s(&rows.bias[..count]));
    let (vectors, places) = S::as_uninit_mut_simd_f32s(to);
    let (mean, factor, shift) = (simd.splat_f32s(line.mean), simd.splat_f32s(line.factor), simd.splat_f32s(line.shift));
    let mut sums = [simd.splat_f32s(0.0); 2];
    let mut index = 0;
    while index < vectors.len() {
        let normal = simd.mul_add_e_f32s(simd.sub_f32s(from[index], mean), factor, shift);
        vectors[index].write(simd.mul_add_e_f32s(normal, scale[index], bias[index]));
        sums = [simd.add_f32s(sums[0], ahead[index]), simd.mul_add_e_f32s(ahead[index], ahead[index], sums[1])];
        index += 1;
    }
    let mut index = 0;
    while index < places.len() {
        places[index].write(line.at(from_rest[index]) * scale_rest[index] + bias_rest[index]);
        index += 1;
    }
    total(simd, sums, ahead_rest)
}

#[cfg(test)]
mod tests {
    use std::mem::MaybeUninit;

    use super::*;

    #[test]
    fn each_row_has_its_own_mean_and_variance() {
        for length in [1, 2, 15, 16, 17, 100, 1024] {
            let scale: Vec<f32> = (0..length).map(|place| 1.0 + place as f32 / 100.0).collect();
            let bias: Vec<f32> = (0..length).map(|place| place as f32 / 50.0 - 1.0).collect();
            // Around 0, and so far from it that one pass does not do.
            let from: Vec<f32> = (0..6 * length)
                .map(|index| (index * 37 % 101) as f32 / 10.0 - 5.0 + [0.0, 1000.0, -20.0][index / length % 3])
                .collect();
            let mut places = vec![MaybeUninit::uninit(); from.len()];
            let rows = Rows { from: &from, scale: &scale, bias: &bias, epsilon: 1e-5 };
            let ours = rows.normalise(Blank::of(&mut places));
            for (ours, row) in ours.chunks(length).zip(from.chunks(length)) {
                let mean = row.iter().copied().map(f64::from).sum::<f64>() / length as f64;
                let variance = row.iter().map(|x| (f64::from(*x) - mean).powi(2)).sum::<f64>() / length as f64;
                for (place, x) in row.iter().enumerate() {
                    let normal = (f64::from(*x) - mean) / (variance + 1e-5).sqrt();
                    let right = normal * f64::from(scale[place]) + f64::from(bias[place]);
                    let off = (f64::from(ours[place]) - right).abs();
                    assert!(off <= 1e-3, "{} for {right} at {place} of {length}", ours[place]);
                }
            }
        }
    }
}
