//! What normalisations have in common: a row's mean and variance, the line through them, and rows that are written by it.

use pulp::NullaryFnOnce;
use tract_onnx::prelude::f16;

use super::Stop;
use super::moments::Summed;
use super::rows::Rows;
use super::sample::{Real, Sample};
use crate::blank::Blank;
use crate::layout::map;
use crate::vectors::{Each, widest};
use crate::{DType, RunError, Tensor};

/// The size of the numbers in which elements of this type are computed.
pub(super) fn real_bytes(dtype: DType) -> usize {
    dtype.size_bytes().max(size_of::<f32>())
}

/// `(x - mean) * factor + shift`.
#[derive(Clone, Copy)]
pub(super) struct Line<R> {
    pub(super) mean: R,
    pub(super) factor: R,
    pub(super) shift: R,
}

impl<R: Real> Line<R> {
    #[inline(always)]
    pub(super) fn at(self, x: R) -> R {
        (x - self.mean) * self.factor + self.shift
    }

    /// As [`at`](Self::at), where the mean is 0.
    #[inline(always)]
    pub(super) fn at_from_0(self, x: R) -> R {
        x * self.factor + self.shift
    }
}

/// `count` numbers that `tensor` shows, or as many of `default`.
pub(super) fn numbers<T: Sample>(tensor: Option<&Tensor>, count: usize, default: f64) -> Vec<T::Real> {
    let mut numbers = vec![<T::Real as Real>::from_f64(default); count];
    if let Some(tensor) = tensor {
        map(tensor.stored::<T>(), tensor.layout(), &mut numbers, T::to_real);
    }
    numbers
}

/// Elements that are summed at once in their own precision, before the sum goes on in `f64`.
const CHUNK: usize = 1024;

/// Writes `f` of each element of `from`, which may be wider than those of `to`.
pub(super) fn write<'b, S: Sample, T: Sample<Real = S::Real>>(
    from: &[S],
    to: Blank<'b, T>,
    stop: &Stop<'_>,
    f: impl Fn(S::Real) -> S::Real + Copy,
) -> Result<&'b mut [T], RunError> {
    to.in_parts(CHUNK, |index, to| {
        stop.worked(to.len())?;
        Ok(widest(Each { from: &from[index * CHUNK..], to, f: move |x: S| T::from_real(f(x.to_real())) }))
    })
}

/// As [`write`], with a scale and a bias for each place.
pub(super) fn write_scaled<'b, T: Sample>(
    row: &[T::Real],
    (scale, bias): (&[T::Real], &[T::Real]),
    to: Blank<'b, T>,
    stop: &Stop<'_>,
    f: impl Fn(T::Real) -> T::Real + Copy,
) -> Result<&'b mut [T], RunError> {
    to.in_parts(CHUNK, |index, to| {
        stop.worked(to.len())?;
        let part = index * CHUNK..index * CHUNK + to.len();
        let (from, scale, bias) = (&row[part.clone()], &scale[part.clone()], &bias[part]);
        Ok(widest(Scaled { from, scale, bias, to, f: move |x, scale, bias| T::from_real(f(x) * scale + bias) }))
    })
}

struct Scaled<'a, 'b, R, T, F> {
    from: &'a [R],
    scale: &'a [R],
    bias: &'a [R],
    to: Blank<'b, T>,
    f: F,
}

impl<'b, R: Copy, T: Copy, F: Fn(R, R, R) -> T> NullaryFnOnce for Scaled<'_, 'b, R, T, F> {
    type Output = &'b mut [T];

    #[inline(always)]
    fn call(self) -> &'b mut [T] {
        let to = self.to.into_places();
        let (from, scale, bias) = (&self.from[..to.len()], &self.scale[..to.len()], &self.bias[..to.len()]);
        let mut index = 0;
        while index < to.len() {
            to[index].write((self.f)(from[index], scale[index], bias[index]));
            index += 1;
        }
        #[allow(unsafe_code, reason = "the standard library has no safe way")]
        // SAFETY: the loop has written each.
        unsafe {
            to.assume_init_mut()
        }
    }
}

/// The line that takes `row` to a mean of 0 and a variance of 1.
///
/// Sums and sums of squares say both at once, but lose what the mean has more digits than the deviations. Where that is much,
/// a second pass goes from the mean, and also finds how far off that was, so that sums of 32 bits are enough in both.
pub(super) fn standard<R: Summed>(row: &[R], epsilon: f64, stop: &Stop<'_>) -> Result<Line<R>, RunError> {
    let count = row.len() as f64;
    let of_one = moments(row, R::default(), stop)?.map(|sum| sum / count);
    match line_from_0(of_one, epsilon) {
        Some(line) => Ok(line),
        None => line_from_mean(row, of_one[0], epsilon, stop),
    }
}

/// The line that a mean and a mean of squares say, if they say it exactly enough: the variance keeps all but three bits.
pub(super) fn line_from_0<R: Real>([mean, square]: [f64; 2], epsilon: f64) -> Option<Line<R>> {
    // So written, NaN has a line of NaN after another look.
    (mean * mean < 0.9 * square).then(|| line(R::default(), [mean, square], epsilon))
}

/// That of a row whose mean is about `mean`, after another pass.
pub(super) fn line_from_mean<R: Summed>(
    row: &[R],
    mean: f64,
    epsilon: f64,
    stop: &Stop<'_>,
) -> Result<Line<R>, RunError> {
    let (mean, count) = (<R as Real>::from_f64(mean), row.len() as f64);
    Ok(line(mean, moments(row, mean, stop)?.map(|sum| sum / count), epsilon))
}

/// The line of a row whose numbers are on average `off` more than `mean`, and the squares of what they are more `square`.
fn line<R: Real>(mean: R, [off, square]: [f64; 2], epsilon: f64) -> Line<R> {
    let variance = square - off * off;
    // Rounding may make a variance of 0 negative; so written, NaN stays.
    let variance = if variance < 0.0 { 0.0 } else { variance };
    let factor = 1.0 / (variance + epsilon).sqrt();
    Line { mean, factor: Real::from_f64(factor), shift: Real::from_f64(-off * factor) }
}

fn moments<R: Summed>(row: &[R], mean: R, stop: &Stop<'_>) -> Result<[f64; 2], RunError> {
    let mut sums = [0.0; 2];
    for chunk in row.chunks(CHUNK) {
        let part = R::moments(chunk, mean);
        sums.iter_mut().zip(part).for_each(|(sum, part)| *sum += part);
        stop.worked(chunk.len())?;
    }
    Ok(sums)
}

/// A float, and its rows as the numbers in which they are computed.
pub(super) trait Float: Sample<Real: Summed + Sample<Real = Self::Real>> {
    /// `row`, in `wide` where it has to be widened.
    fn widen<'a>(row: &'a [Self], wide: &'a mut Vec<Self::Real>) -> &'a [Self::Real];

    /// Normalises rows together, each as long as `scale` and `bias`, if this type is one of which that is faster; else `to` is
    /// given back.
    fn normalise<'b>(
        _: &[Self],
        (_scale, _bias): (&[Self::Real], &[Self::Real]),
        _epsilon: f64,
        to: Blank<'b, Self>,
    ) -> Result<&'b mut [Self], Blank<'b, Self>> {
        Err(to)
    }
}

impl Float for f16 {
    fn widen<'a>(row: &'a [Self], wide: &'a mut Vec<f32>) -> &'a [f32] {
        wide.clear();
        wide.extend(row.iter().map(|x| x.to_f32()));
        wide
    }
}

impl Float for f32 {
    fn widen<'a>(row: &'a [Self], _: &'a mut Vec<f32>) -> &'a [f32] {
        row
    }

    fn normalise<'b>(
        from: &[Self],
        (scale, bias): (&[Self], &[Self]),
        epsilon: f64,
        to: Blank<'b, Self>,
    ) -> Result<&'b mut [Self], Blank<'b, Self>> {
        Ok(Rows { from, scale, bias, epsilon }.normalise(to))
    }
}

impl Float for f64 {
    fn widen<'a>(row: &'a [Self], _: &'a mut Vec<f64>) -> &'a [f64] {
        row
    }
}
