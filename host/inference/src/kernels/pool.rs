//! averagePool2d, l2Pool2d, maxPool2d: one value in place of a window's elements.
//!
//! A window that lies beyond the edges altogether has no elements: its greatest is the least value of its type, its norm
//! 0, and its average 0 / 0.

use spillway_types::operator::{InputOperandLayout, Pool2dOptions, Pooling, RoundingType};

use super::check::{FLOATS, NUMBERS};
use super::sample::{Real, Sample};
use super::strips::{Size, Strips, fold_taps};
use super::windows::{Axis, Windows, at_least_one, image_axes, image_shape, pair, slide};
use super::{Check, Plan, Stop};
use crate::element::{Element, with_dtype};
use crate::{RunError, Tensor};

/// One element of a window.
const NANOSECONDS: f64 = 0.3;
/// What is made of a window.
const FINISH_NANOSECONDS: f64 = 1.0;

pub(super) fn pool2d(options: Pool2dOptions, inputs: Vec<Tensor>) -> Result<Plan, RunError> {
    let name = match options.pooling {
        Pooling::Average => "averagePool2d",
        Pooling::L2 => "l2Pool2d",
        Pooling::Max => "maxPool2d",
    };
    let check = Check(name);
    let [image] = check.inputs(inputs)?;
    check.dtype(&image, if options.pooling == Pooling::Max { &NUMBERS } else { &FLOATS })?;
    let [batch, channels, height, width] = image_axes(check, &image, options.layout)?;
    let strides = at_least_one(check, "strides", options.strides)?;
    let dilations = at_least_one(check, "dilations", options.dilations)?;
    let taps = options.window_dimensions.map_or([height, width], pair);
    let sizes = options.output_sizes.map(pair);
    let (top, bottom, left, right) = options.padding;
    let axis = |what: &str, at: usize, length, before: u32, after: u32| {
        let (stride, dilation) = (strides[at], dilations[at]);
        let axis = Axis { length, windows: 0, taps: taps[at], stride, dilation, before: before as usize };
        let slide = slide(check, what, &axis, after as usize)?;
        let [floor, ceil] = [slide / stride + 1, slide.div_ceil(stride) + 1];
        let rounded = if options.output_shape_rounding == RoundingType::Ceil { ceil } else { floor };
        let windows = sizes.map_or(rounded, |sizes| sizes[at]);
        check.that(windows == floor || windows == ceil, || {
            format!("`output-sizes` says {what} {windows}, but must be {floor} or {ceil}")
        })?;
        Ok::<_, RunError>(Axis { windows, ..axis })
    };
    let windows = Windows {
        vertical: axis("height", 0, height, top, bottom)?,
        horizontal: axis("width", 1, width, left, right)?,
    };
    let shape = image_shape(options.layout, [batch, channels, windows.vertical.windows, windows.horizontal.windows]);
    // Of a window, no more than the image has is looked at.
    let looked_at = taps[0].min(height) as f64 * taps[1].min(width) as f64;
    let (planes, depth) = match options.layout {
        InputOperandLayout::Nchw => (batch.saturating_mul(channels), 1),
        InputOperandLayout::Nhwc => (batch, channels),
    };
    let pools = Pools { windows, planes, depth };
    let scratch = pools.scratch_bytes();
    let (view, result_shape) = (image.clone(), shape.clone());
    let plan =
        Plan::compute(check.0, image.dtype(), shape, NANOSECONDS * looked_at + FINISH_NANOSECONDS, move |stop| {
            let shape = &result_shape;
            match options.pooling {
                Pooling::Max => {
                    with_dtype!(numbers image.dtype(), T => pools.compute::<T, Greatest>(&image, shape, stop),
                else check.refuse("no such dtype"))
                }
                Pooling::Average => {
                    with_dtype!(floats image.dtype(), T => pools.compute::<T, Average>(&image, shape, stop),
                else check.refuse("no such dtype"))
                }
                Pooling::L2 => with_dtype!(floats image.dtype(), T => pools.compute::<T, Norm>(&image, shape, stop),
                else check.refuse("no such dtype")),
            }
        });
    Ok(plan.with_scratch(scratch).after_gathering(&view))
}

/// What becomes of a window of `T`: elements are taken in one by one, and the result is made of how many they were.
trait Pool<T> {
    type State: Copy;
    fn start() -> Self::State;
    /// What may be taken without making a difference.
    fn beyond() -> T;
    fn take(state: Self::State, x: T) -> Self::State;
    fn finish(state: Self::State, count: usize) -> T;
}

/// The greatest; NaN if there is one.
struct Greatest;
struct Average;
/// The root of the sum of squares.
struct Norm;

impl<T: Element> Pool<T> for Greatest {
    type State = T;
    fn start() -> T {
        T::from_f64(f64::NEG_INFINITY)
    }
    fn beyond() -> T {
        T::from_f64(f64::NEG_INFINITY)
    }
    #[inline(always)]
    #[allow(clippy::eq_op, reason = "only NaN differs from itself, and it exists in the floats of this generic only")]
    fn take(state: T, x: T) -> T {
        if x > state || x != x { x } else { state }
    }
    fn finish(state: T, _count: usize) -> T {
        state
    }
}

impl<T: Sample> Pool<T> for Average {
    type State = T::Real;
    fn start() -> T::Real {
        T::Real::default()
    }
    fn beyond() -> T {
        T::default()
    }
    #[inline(always)]
    fn take(state: T::Real, x: T) -> T::Real {
        state + x.to_real()
    }
    fn finish(state: T::Real, count: usize) -> T {
        T::from_real(state / T::Real::from_f64(count as f64))
    }
}

impl<T: Element> Pool<T> for Norm {
    type State = f64;
    fn start() -> f64 {
        0.0
    }
    fn beyond() -> T {
        T::default()
    }
    #[inline(always)]
    fn take(state: f64, x: T) -> f64 {
        state + x.to_f64() * x.to_f64()
    }
    fn finish(state: f64, _count: usize) -> T {
        T::from_f64(state.sqrt())
    }
}

/// Planes of at least so many windows, of at most so many taps each, are pooled tap by tap, which the compiler makes vectors
/// of; others window by window.
const MANY_WINDOWS: usize = 16;
const FEW_TAPS: usize = 128;
/// Windows pooled between two questions whether to go on.
const PIECE: usize = 1 << 16;

/// A pooling whose arguments have been checked.
struct Pools {
    windows: Windows,
    planes: usize,
    /// Elements of a pixel.
    depth: usize,
}

impl Pools {
    fn compute<T: Element, P: Pool<T>>(
        &self,
        image: &Tensor,
        shape: &[usize],
        stop: &Stop<'_>,
    ) -> Result<Tensor, RunError> {
        Tensor::filled_until::<T>(stop, shape, |target| {
            if target.is_empty() {
                return Ok(());
            }
            let image = image.rows_until::<T>(stop)?;
            let size = self.strips();
            let mut strips = size.map(|size| Strips::new(&self.windows, size, P::beyond(), 0));
            let mut states = vec![P::start(); size.map_or(self.depth, Size::folded)];
            let elements = self.windows.elements() * self.depth;
            let planes = target.chunks_exact_mut(self.windows.count() * self.depth).take(self.planes);
            planes.enumerate().try_for_each(|(index, plane)| {
                let image = &image[index * elements..][..elements];
                match strips.as_mut().zip(size) {
                    Some((strips, size)) => {
                        strips.lay(image, stop)?;
                        self.by_tap::<T, P>((strips, size), plane, &mut states, stop)
                    }
                    None => self.by_window::<T, P>(image, plane, &mut states, stop),
                }
            })
        })
    }

    /// If planes are pooled tap by tap, what that takes.
    fn strips(&self) -> Option<Size> {
        let is_worth_it = self.depth == 1 && self.windows.taps_are_at_most(FEW_TAPS);
        let has_many = self.windows.vertical.windows.saturating_mul(self.windows.horizontal.windows) >= MANY_WINDOWS;
        Size::of(&self.windows).filter(|_| is_worth_it && has_many)
    }

    /// Bytes that are needed beside the result.
    fn scratch_bytes(&self) -> usize {
        let elements = self.strips().map_or(self.depth, Size::elements);
        elements.saturating_add(self.windows.horizontal.windows).saturating_mul(size_of::<f64>())
    }

    fn by_tap<T: Element, P: Pool<T>>(
        &self,
        (strips, size): (&Strips<T>, Size),
        plane: &mut [T],
        states: &mut [P::State],
        stop: &Stop<'_>,
    ) -> Result<(), RunError> {
        let (vertical, horizontal) = (&self.windows.vertical, &self.windows.horizontal);
        let width = horizontal.windows;
        let columns: Vec<usize> = (0..width).map(|x| horizontal.taps_at(x).len()).collect();
        for (block, target) in plane.chunks_mut(size.rows() * width).enumerate() {
            let rows = block * size.rows()..block * size.rows() + target.len() / width;
            states.fill(P::start());
            // More than one piece where a row is long.
            for (index, states) in states.chunks_mut(PIECE).enumerate() {
                let tap = |tap: usize| ((), strips.tap(&rows, tap).get(index * PIECE..).unwrap_or_default());
                fold_taps(states, self.windows.taps(), tap, |state, (), x| P::take(state, x));
                stop.worked(states.len() * self.windows.taps() / 8)?;
            }
            for (y, (row, states)) in rows.clone().zip(target.chunks_exact_mut(width).zip(states.chunks(size.width())))
            {
                let height = vertical.taps_at(y).len();
                let windows = states.iter().zip(&columns);
                row.iter_mut().zip(windows).for_each(|(to, (&state, across))| *to = P::finish(state, height * across));
            }
            stop.worked(target.len() + 8)?;
        }
        Ok(())
    }

    fn by_window<T: Element, P: Pool<T>>(
        &self,
        image: &[T],
        plane: &mut [T],
        states: &mut [P::State],
        stop: &Stop<'_>,
    ) -> Result<(), RunError> {
        let (vertical, horizontal) = (&self.windows.vertical, &self.windows.horizontal);
        for (window, pixel) in plane.chunks_exact_mut(self.depth).enumerate() {
            let (y, x) = (window / horizontal.windows, window % horizontal.windows);
            let (rows, columns) = (vertical.taps_at(y), horizontal.taps_at(x));
            states.fill(P::start());
            for down in rows.clone().filter(|_| !columns.is_empty()) {
                let first = vertical.element(y, down) * horizontal.length + horizontal.element(x, columns.start);
                let from = &image[first * self.depth..];
                if self.depth == 1 {
                    for start in (0..columns.len()).step_by(PIECE) {
                        let elements = from[start * horizontal.dilation..].iter().step_by(horizontal.dilation);
                        let elements = elements.take(PIECE.min(columns.len() - start));
                        states[0] = elements.fold(states[0], |state, &x| P::take(state, x));
                        stop.worked(PIECE.min(columns.len() - start))?;
                    }
                } else {
                    for (index, states) in states.chunks_mut(PIECE).enumerate() {
                        let (channel, count) = (index * PIECE, states.len());
                        let pixel =
                            |tap: usize| ((), &from[tap * horizontal.dilation * self.depth + channel..][..count]);
                        fold_taps(states, columns.len(), pixel, |state, (), x| P::take(state, x));
                        stop.worked(columns.len() * count)?;
                    }
                }
            }
            let count = rows.len() * columns.len();
            pixel.iter_mut().zip(&*states).for_each(|(to, &state)| *to = P::finish(state, count));
            stop.worked(self.depth)?;
        }
        Ok(())
    }
}
