//! resample2d: two axes at other lengths.

use pulp::NullaryFnOnce;
use spillway_types::operator::{InterpolationMode, Resample2dOptions};

use super::check::NUMBERS;
use super::folds::Looped;
use super::sample::{Real, Sample, tap_count, taps};
use super::{Check, Plan, Stop};
use crate::element::{Element, with_dtype};
use crate::{RunError, Tensor};

/// One element of the result, per tap along both axes.
const NANOSECONDS_PER_TAP: f64 = 0.3;

/// Elements made between two questions whether to go on, at most.
const PIECE: usize = 1 << 16;

pub(super) fn resample2d(options: Resample2dOptions, inputs: Vec<Tensor>) -> Result<Plan, RunError> {
    let check = Check("resample2d");
    let [input] = check.inputs(inputs)?;
    check.dtype(&input, &NUMBERS)?;
    let (first, second) = (options.axes.0 as usize, options.axes.1 as usize);
    let rank = input.shape().len();
    check.that(first != second && first < rank && second < rank, || {
        format!("`axes` {:?} must be two different axes of the input's {rank}, counted from 0", options.axes)
    })?;
    let (wanted_first, wanted_second) = (options.sizes.0 as usize, options.sizes.1 as usize);
    check.that(wanted_first >= 1 && wanted_second >= 1, || {
        format!("`sizes` {:?} must be at least 1 each", options.sizes)
    })?;
    check.that(input.shape()[first] >= 1 && input.shape()[second] >= 1, || {
        format!("the axes to resample have no elements, {:?}", input.shape())
    })?;
    let (rows, columns) = if first < second {
        ((first, wanted_first), (second, wanted_second))
    } else {
        ((second, wanted_second), (first, wanted_first))
    };
    let mut shape = input.shape().to_vec();
    (shape[rows.0], shape[columns.0]) = (rows.1, columns.1);
    let count = tap_count(options.mode);
    let geometry = Geometry {
        rows: (input.shape()[rows.0], rows.1),
        middle: input.shape()[rows.0 + 1..columns.0].iter().product(),
        columns: (input.shape()[columns.0], columns.1),
        inner: input.shape()[columns.0 + 1..].iter().product(),
    };
    let view = input.clone();
    let elements = shape.iter().fold(1, |elements: usize, axis| elements.saturating_mul(*axis));
    let nanoseconds = NANOSECONDS_PER_TAP * (2 * count) as f64;
    let plan = Plan::compute(check.0, input.dtype(), shape.clone(), nanoseconds, move |stop| {
        with_dtype!(numbers input.dtype(), T => {
            resample::<T>(&input, &shape, geometry, options.mode, stop)
        }, else check.refuse("no such dtype"))
    });
    Ok(plan.with_scratch(geometry.scratch_bytes(count, elements)).after_gathering(&view))
}

fn resample<T: Sample + Looped>(
    input: &Tensor,
    shape: &[usize],
    geometry: Geometry,
    mode: InterpolationMode,
    stop: &Stop<'_>,
) -> Result<Tensor, RunError> {
    Tensor::filled_until::<T>(stop, shape, |target| {
        if target.is_empty() {
            return Ok(());
        }
        let source = input.rows_until::<T>(stop)?;
        match mode {
            InterpolationMode::NearestNeighbor => pick(&source, target, &geometry, stop),
            InterpolationMode::Linear => interpolate::<T, 2>(&source, target, &geometry, stop),
            InterpolationMode::Cubic => interpolate::<T, 4>(&source, target, &geometry, stop),
        }
    })
}

/// A row-major tensor seen as five axes, of which two change their lengths: `(from, to)`.
#[derive(Clone, Copy)]
struct Geometry {
    rows: (usize, usize),
    middle: usize,
    columns: (usize, usize),
    inner: usize,
}

impl Geometry {
    /// Elements of one row, before and after.
    fn row(&self) -> (usize, usize) {
        (self.middle * self.columns.0 * self.inner, self.middle * self.columns.1 * self.inner)
    }

    /// How many columns are some 65,536 elements, or one that is more.
    fn piece(&self) -> usize {
        (PIECE / self.inner).max(1)
    }

    /// Taps of both axes, and as many rows as a value is made of, in at most `f64`. Nothing where there is no value to make.
    fn scratch_bytes(&self, taps: usize, elements: usize) -> usize {
        if elements == 0 {
            return 0;
        }
        let tap_bytes = size_of::<Tap<f64, 4>>();
        let tables = self.rows.1.saturating_add(self.columns.1).saturating_mul(tap_bytes);
        let row = self.middle.saturating_mul(self.columns.1).saturating_mul(self.inner);
        tables.saturating_add(row.saturating_mul(taps * size_of::<f64>()))
    }
}

/// Which elements along an axis make one of the result.
#[derive(Clone, Copy)]
struct Tap<R, const N: usize> {
    index: [usize; N],
    weight: [R; N],
}

/// The taps of an axis that goes `from` a length `to` another. Beyond the ends the last element is repeated.
fn taps_of<R: Real, const N: usize>((from, to): (usize, usize)) -> Vec<Tap<R, N>> {
    let last = from as i64 - 1;
    let tap = |position: usize| {
        let (first, weights) = taps::<N>((position as f64 + 0.5) * from as f64 / to as f64 - 0.5);
        let index = std::array::from_fn(|tap| (first + tap as i64).clamp(0, last) as usize);
        Tap { index, weight: weights.map(R::from_f64) }
    };
    (0..to).map(tap).collect()
}

/// Nearest neighbours: no arithmetic on values.
fn pick<T: Element>(source: &[T], target: &mut [T], geometry: &Geometry, stop: &Stop<'_>) -> Result<(), RunError> {
    let (rows, columns) = (taps_of::<f32, 1>(geometry.rows), taps_of::<f32, 1>(geometry.columns));
    let (row_from, row_to) = geometry.row();
    let inner = geometry.inner;
    for (index, to) in target.chunks_exact_mut(row_to).enumerate() {
        let (outer, row) = (index / geometry.rows.1, index % geometry.rows.1);
        let start = (outer * geometry.rows.0 + rows[row].index[0]) * row_from;
        let from = source[start..][..row_from].chunks_exact(geometry.columns.0 * inner);
        for (from, to) in from.zip(to.chunks_exact_mut(geometry.columns.1 * inner)) {
            let piece = geometry.piece();
            for (columns, to) in columns.chunks(piece).zip(to.chunks_mut(piece * inner)) {
                for (tap, to) in columns.iter().zip(to.chunks_exact_mut(inner)) {
                    let from = &from[tap.index[0] * inner..][..inner];
                    let parts = to.chunks_mut(PIECE).zip(from.chunks(PIECE));
                    { parts }.try_for_each(|(to, from)| {
                        to.copy_from_slice(from);
                        if inner < PIECE { Ok(()) } else { stop.worked(to.len()) }
                    })?;
                }
                stop.worked(to.len())?;
            }
        }
    }
    Ok(())
}

/// First along rows, then across them, with the last `N` rows kept: each row of the input is interpolated once, and rows
/// that no output reads never are.
fn interpolate<T: Sample + Looped, const N: usize>(
    source: &[T],
    target: &mut [T],
    geometry: &Geometry,
    stop: &Stop<'_>,
) -> Result<(), RunError> {
    let (rows, columns) = (taps_of::<T::Real, N>(geometry.rows), taps_of::<T::Real, N>(geometry.columns));
    let (row_from, row_to) = geometry.row();
    let mut kept: [Vec<T::Real>; N] = std::array::from_fn(|_| vec![T::Real::default(); row_to]);
    for (outer, target) in target.chunks_exact_mut(row_to * geometry.rows.1).enumerate() {
        // Taps are neighbours, so that row `i` in place `i % N` never pushes out one that is needed with it.
        let mut held = [usize::MAX; N];
        for (tap, to) in rows.iter().zip(target.chunks_exact_mut(row_to)) {
            for row in tap.index {
                if held[row % N] != row {
                    let from = &source[(outer * geometry.rows.0 + row) * row_from..][..row_from];
                    along(from, &mut kept[row % N], &columns, geometry, stop)?;
                    held[row % N] = row;
                }
            }
            for (index, to) in to.chunks_mut(PIECE).enumerate() {
                let rows = tap.index.map(|row| &kept[row % N][index * PIECE..]);
                stop.worked(to.len())?;
                T::looped(Across { rows, weights: tap.weight, to });
            }
        }
    }
    Ok(())
}

/// One row of the input at the columns of the result.
fn along<T: Sample + Looped, const N: usize>(
    from: &[T],
    to: &mut [T::Real],
    columns: &[Tap<T::Real, N>],
    geometry: &Geometry,
    stop: &Stop<'_>,
) -> Result<(), RunError> {
    let (inner, piece) = (geometry.inner, geometry.piece());
    let from = from.chunks_exact(geometry.columns.0 * inner);
    for (from, to) in from.zip(to.chunks_exact_mut(geometry.columns.1 * inner)) {
        for (columns, to) in columns.chunks(piece).zip(to.chunks_mut(piece * inner)) {
            // The usual numbers of channels known to the compiler make this loop three times as fast.
            match inner {
                1 => T::looped(Along::<T, N, 1> { from, to, columns }),
                3 => T::looped(Along::<T, N, 3> { from, to, columns }),
                4 => T::looped(Along::<T, N, 4> { from, to, columns }),
                _ => along_channels(from, to, columns, inner, stop)?,
            }
            stop.worked(to.len())?;
        }
    }
    Ok(())
}

/// The same for any number of channels.
fn along_channels<T: Sample, const N: usize>(
    from: &[T],
    to: &mut [T::Real],
    columns: &[Tap<T::Real, N>],
    inner: usize,
    stop: &Stop<'_>,
) -> Result<(), RunError> {
    for (tap, to) in columns.iter().zip(to.chunks_exact_mut(inner)) {
        for (index, to) in to.chunks_mut(PIECE).enumerate() {
            for (channel, to) in to.iter_mut().enumerate() {
                let channel = index * PIECE + channel;
                *to = weigh(tap, |pixel| from[pixel * inner + channel]);
            }
            if inner >= PIECE {
                stop.worked(to.len())?;
            }
        }
    }
    Ok(())
}

/// Pixels of `C` channels.
struct Along<'a, T: Sample, const N: usize, const C: usize> {
    from: &'a [T],
    to: &'a mut [T::Real],
    columns: &'a [Tap<T::Real, N>],
}

impl<T: Sample, const N: usize, const C: usize> NullaryFnOnce for Along<'_, T, N, C> {
    type Output = ();

    #[inline(always)]
    fn call(self) {
        let (from, _) = self.from.as_chunks::<C>();
        let (to, _) = self.to.as_chunks_mut::<C>();
        for (tap, to) in self.columns.iter().zip(to) {
            let mut channel = 0;
            while channel < C {
                let mut sum = from[tap.index[0]][channel].to_real() * tap.weight[0];
                let mut other = 1;
                while other < N {
                    sum = sum + from[tap.index[other]][channel].to_real() * tap.weight[other];
                    other += 1;
                }
                to[channel] = sum;
                channel += 1;
            }
        }
    }
}

fn weigh<T: Sample, const N: usize>(tap: &Tap<T::Real, N>, at: impl Fn(usize) -> T) -> T::Real {
    let mut sum = at(tap.index[0]).to_real() * tap.weight[0];
    for other in 1..N {
        sum = sum + at(tap.index[other]).to_real() * tap.weight[other];
    }
    sum
}

/// The weighted sum of rows.
struct Across<'a, T: Sample, const N: usize> {
    rows: [&'a [T::Real]; N],
    weights: [T::Real; N],
    to: &'a mut [T],
}

impl<T: Sample, const N: usize> NullaryFnOnce for Across<'_, T, N> {
    type Output = ();

    #[inline(always)]
    fn call(self) {
        let Self { rows, weights, to } = self;
        let rows = rows.map(|row| &row[..to.len()]);
        let mut index = 0;
        while index < to.len() {
            let mut sum = rows[0][index] * weights[0];
            let mut other = 1;
            while other < N {
                sum = sum + rows[other][index] * weights[other];
                other += 1;
            }
            to[index] = T::from_real(sum);
            index += 1;
        }
    }
}
