//! warp: an image seen through a projective map.

use spillway_types::operator::{InterpolationMode, PaddingMode, WarpOptions};

use super::check::NUMBERS;
use super::sample::{Real, Sample, reflect, tap_count, taps};
use super::{Check, Plan, Stop};
use crate::blocks::BLOCK;
use crate::element::{Element, with_dtype};
use crate::{RunError, Tensor};

/// One element of the result, per tap.
const NANOSECONDS_PER_TAP: f64 = 1.0;
/// The map itself, for one pixel.
const NANOSECONDS_PER_PIXEL: f64 = 5.0;
/// Parts of a pixel that positions are rounded to, as OpenCV does it, whose results models were trained on: a recogniser
/// of text reads its pictures otherwise where a position in the middle is off by as little.
const STEPS: f64 = 32.0;
/// Coordinates beyond are taken for this one: `f64` still tells pixels apart there, and integers do not overflow.
const FAR: f64 = 1e15;

pub(super) fn warp(options: WarpOptions, inputs: Vec<Tensor>) -> Result<Plan, RunError> {
    let check = Check("warp");
    let [input] = check.inputs(inputs)?;
    check.dtype(&input, &NUMBERS)?;
    let matrix = <[f64; 9]>::try_from(options.matrix.as_slice());
    let matrix = matrix.ok().filter(|numbers| numbers.iter().all(|number| number.is_finite()));
    let Some(matrix) = matrix else {
        return check.refuse(format!("`matrix` must be 9 finite numbers, given {:?}", Short(&options.matrix)));
    };
    let (height, width, channels) = match *input.shape() {
        [height, width] => (height, width, 1),
        [height, width, channels] => (height, width, channels),
        _ => {
            let shape = input.shape();
            return check
                .refuse(format!("the input must be [height, width] or [height, width, channels], is {shape:?}"));
        }
    };
    check.that(height >= 1 && width >= 1, || format!("the input has no pixels, {:?}", input.shape()))?;
    let sizes = (options.sizes.0 as usize, options.sizes.1 as usize);
    check.that(sizes.0 >= 1 && sizes.1 >= 1, || format!("`sizes` {:?} must be at least 1 each", options.sizes))?;
    let mut shape = input.shape().to_vec();
    (shape[0], shape[1]) = sizes;
    let taps = tap_count(options.mode).pow(2) as f64;
    let nanoseconds = taps * NANOSECONDS_PER_TAP + NANOSECONDS_PER_PIXEL / channels.max(1) as f64;
    let view = input.clone();
    let plan = Plan::compute(check.0, input.dtype(), shape.clone(), nanoseconds, move |stop| {
        let image = Size { height, width, channels };
        with_dtype!(numbers input.dtype(), T => {
            Tensor::filled_until::<T>(stop, &shape, |target| {
                let source = input.rows_until::<T>(stop)?;
                let (value, border) = (<T as Element>::from_f64(options.value), options.border);
                let image = Image { pixels: &source, size: image, border, value };
                warp_rows(&image, &matrix, options.mode, sizes.1, target, stop)
            })
        }, else check.refuse("no such dtype"))
    });
    Ok(plan.after_gathering(&view))
}

/// Shows no more numbers than fit a message.
struct Short<'a>(&'a [f64]);

impl std::fmt::Debug for Short<'_> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        if self.0.len() > 9 { write!(f, "{} of them", self.0.len()) } else { self.0.fmt(f) }
    }
}

#[derive(Clone, Copy)]
struct Size {
    height: usize,
    width: usize,
    channels: usize,
}

/// A row-major image and what is around it.
struct Image<'a, T> {
    pixels: &'a [T],
    size: Size,
    border: PaddingMode,
    value: T,
}

/// Elements between two questions whether to go on: up to 50 ns each.
const PART: usize = 4096;

fn warp_rows<T: Sample>(
    image: &Image<'_, T>,
    matrix: &[f64; 9],
    mode: InterpolationMode,
    width: usize,
    target: &mut [T],
    stop: &Stop<'_>,
) -> Result<(), RunError> {
    let channels = image.size.channels;
    if target.is_empty() {
        return Ok(());
    }
    let columns = (PART / channels).max(1);
    for (y, row) in target.chunks_exact_mut(width * channels).enumerate() {
        for (part, row) in row.chunks_mut(columns * channels).enumerate() {
            let at = (part * columns, y);
            // The usual numbers of channels known to the compiler, and any other as 0.
            match (mode, channels) {
                (InterpolationMode::NearestNeighbor, _) => warp_row::<T, 1, 0>(image, matrix, at, row),
                (InterpolationMode::Linear, 1) => warp_row::<T, 2, 1>(image, matrix, at, row),
                (InterpolationMode::Linear, 3) => warp_row::<T, 2, 3>(image, matrix, at, row),
                (InterpolationMode::Linear, _) => warp_row::<T, 2, 0>(image, matrix, at, row),
                (InterpolationMode::Cubic, 1) => warp_row::<T, 4, 1>(image, matrix, at, row),
                (InterpolationMode::Cubic, 3) => warp_row::<T, 4, 3>(image, matrix, at, row),
                (InterpolationMode::Cubic, _) => warp_row::<T, 4, 0>(image, matrix, at, row),
            }
            stop.worked(row.len() * (BLOCK / PART))?;
        }
    }
    Ok(())
}

/// Part of a row, which begins at `(left, y)`.
fn warp_row<T: Sample, const N: usize, const C: usize>(
    image: &Image<'_, T>,
    m: &[f64; 9],
    (left, y): (usize, usize),
    row: &mut [T],
) {
    let channels = if C == 0 { image.size.channels } else { C };
    let y = y as f64;
    let (u0, v0, w0) = (m[1] * y + m[2], m[4] * y + m[5], m[7] * y + m[8]);
    for (x, pixel) in (left..).zip(row.chunks_exact_mut(channels)) {
        let x = x as f64;
        let w = m[6] * x + w0;
        let (u, v) = (m[0] * x + u0, m[3] * x + v0);
        let (u, v) = if w == 1.0 { (u, v) } else { (u / w, v / w) };
        let (u, v) = if N == 1 { (u, v) } else { (rounded(u), rounded(v)) };
        // `max` first, which takes NaN, where the map divides 0 by 0, for far away too.
        let (first_column, across) = taps::<N>(u.clamp(-FAR, FAR));
        let (first_row, down) = taps::<N>(v.clamp(-FAR, FAR));
        let (width, height) = (image.size.width as i64, image.size.height as i64);
        let is_inside =
            first_column >= 0 && first_column + N as i64 <= width && first_row >= 0 && first_row + N as i64 <= height;
        if is_inside {
            let start = first_row as usize * image.size.width + first_column as usize;
            let rows: [&[T]; N] =
                std::array::from_fn(|tap| &image.pixels[(start + tap * image.size.width) * channels..][..N * channels]);
            blend::<T, N>(pixel, across, down, |row, column, channel| rows[row][column * channels + channel]);
        } else {
            let columns: [Option<usize>; N] =
                std::array::from_fn(|tap| beyond(first_column + tap as i64, image.size.width, image.border));
            let rows: [Option<usize>; N] =
                std::array::from_fn(|tap| beyond(first_row + tap as i64, image.size.height, image.border));
            blend::<T, N>(pixel, across, down, |row, column, channel| match (rows[row], columns[column]) {
                (Some(row), Some(column)) => image.pixels[(row * image.size.width + column) * channels + channel],
                _ => image.value,
            });
        }
    }
}

#[inline(always)]
fn rounded(position: f64) -> f64 {
    (position * STEPS).round_ties_even() / STEPS
}

/// The element that stands for `index`, or none for the constant.
fn beyond(index: i64, length: usize, border: PaddingMode) -> Option<usize> {
    match border {
        PaddingMode::Constant => usize::try_from(index).ok().filter(|&index| index < length),
        PaddingMode::Edge => Some(index.clamp(0, length as i64 - 1) as usize),
        PaddingMode::Reflection => Some(reflect(index, length)),
    }
}

#[inline(always)]
fn blend<T: Sample, const N: usize>(
    pixel: &mut [T],
    across: [f64; N],
    down: [f64; N],
    at: impl Fn(usize, usize, usize) -> T,
) {
    if N == 1 {
        pixel.iter_mut().enumerate().for_each(|(channel, to)| *to = at(0, 0, channel));
        return;
    }
    let (across, down) = (across.map(T::Real::from_f64), down.map(T::Real::from_f64));
    for (channel, to) in pixel.iter_mut().enumerate() {
        let mut sum = T::Real::default();
        for (row, weight) in down.into_iter().enumerate() {
            let mut part = at(row, 0, channel).to_real() * across[0];
            for (column, weight) in across.into_iter().enumerate().skip(1) {
                part = part + at(row, column, channel).to_real() * weight;
            }
            sum = sum + part * weight;
        }
        *to = T::from_real(sum);
    }
}
