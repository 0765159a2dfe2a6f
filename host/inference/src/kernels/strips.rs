//! Planes of windows tap by tap: what one tap of neighbouring windows meets, in one piece, so that the compiler can make
//! vectors of it.

use std::ops::Range;

use faer::traits::pulp::Arch;

use super::Stop;
use super::windows::{Axis, Windows};
use crate::RunError;

/// One plane of an image, padded, and taken apart by the strides: rows and columns that windows a stride apart meet are
/// next to each other, so that one tap meets for each row of windows a strip of `width` elements, of which the first are the
/// windows' and the rest means nothing.
pub(super) struct Strips<T> {
    stored: Vec<T>,
    windows: Windows,
    size: Size,
}

/// How much [`Strips`] keep.
#[derive(Clone, Copy)]
pub(super) struct Size {
    /// Strips of one phase of the strides.
    height: usize,
    /// Elements of a strip.
    width: usize,
    /// All elements.
    elements: usize,
}

/// Wider strides than this are not worth taking planes apart.
const STRIDE: usize = 8;
/// Elements folded at once: with what the taps meet they stay in the first-level cache.
const BLOCK: usize = 2048;

impl Size {
    /// `None` where padding or strides would take far more room than the image.
    pub(super) fn of(windows: &Windows) -> Option<Self> {
        let phase = |axis: &Axis| {
            let covered = axis.windows.checked_sub(1)?.checked_mul(axis.stride)?.checked_add(axis.span())?;
            let fits = axis.stride <= STRIDE && covered <= 2 * axis.length + 64;
            fits.then(|| covered.div_ceil(axis.stride))
        };
        let (height, width) = (phase(&windows.vertical)?, phase(&windows.horizontal)?);
        let phases = windows.vertical.stride * windows.horizontal.stride;
        Some(Self { height, width, elements: height.checked_mul(width)?.checked_mul(phases)? })
    }

    /// How many elements are kept, here and where they are folded.
    pub(super) fn elements(self) -> usize {
        self.elements.saturating_add(self.folded())
    }

    /// How many elements are folded at once.
    pub(super) fn folded(self) -> usize {
        self.rows() * self.width
    }

    /// How many rows of windows are folded at once.
    pub(super) fn rows(self) -> usize {
        (BLOCK / self.width).clamp(1, self.height)
    }

    /// How far apart rows of windows are where they are folded.
    pub(super) fn width(self) -> usize {
        self.width
    }
}

impl<T: Copy> Strips<T> {
    /// Room for the planes on which `windows` slide, and `slack` elements after them; `beyond` stands beyond their edges.
    pub(super) fn new(windows: &Windows, size: Size, beyond: T, slack: usize) -> Self {
        Self { stored: vec![beyond; size.elements + slack], windows: *windows, size }
    }

    /// Takes a plane apart.
    ///
    /// # Errors
    /// [`RunError::DeadlineExceeded`].
    pub(super) fn lay(&mut self, plane: &[T], stop: &Stop<'_>) -> Result<(), RunError> {
        let Windows { vertical, horizontal } = self.windows;
        let Size { height, width, .. } = self.size;
        // One without columns is all beyond the edges.
        if plane.is_empty() {
            return Ok(());
        }
        for (row, from) in plane.chunks_exact(horizontal.length).enumerate() {
            let down = vertical.before + row;
            if down / vertical.stride >= height {
                continue;
            }
            for first in 0..horizontal.stride.min(horizontal.length) {
                let across = horizontal.before + first;
                let phase = down % vertical.stride * horizontal.stride + across % horizontal.stride;
                let strip = &mut self.stored[(phase * height + down / vertical.stride) * width..][..width];
                if let Some(strip) = strip.get_mut(across / horizontal.stride..) {
                    copy_spaced(strip, &from[first..], horizontal.stride);
                }
            }
            stop.worked(horizontal.length / 4 + 4)?;
        }
        Ok(())
    }

    /// How far what tap `tap` of any window meets is behind where [`from`](Self::from) its row begins.
    #[inline(always)]
    pub(super) fn offset(&self, tap: usize) -> usize {
        let Windows { vertical, horizontal } = &self.windows;
        let down = tap / horizontal.taps * vertical.dilation;
        let across = tap % horizontal.taps * horizontal.dilation;
        let phase = down % vertical.stride * horizontal.stride + across % horizontal.stride;
        (phase * self.size.height + down / vertical.stride) * self.size.width + across / horizontal.stride
    }

    /// All from row `row` of windows on.
    pub(super) fn from(&self, row: usize) -> &[T] {
        &self.stored[row * self.size.width..]
    }

    /// What tap `tap` of the windows of `rows` meets: a strip for each, the last one only as long as it means something.
    #[inline(always)]
    pub(super) fn tap(&self, rows: &Range<usize>, tap: usize) -> &[T] {
        let length = (rows.len() - 1) * self.size.width + self.windows.horizontal.windows;
        &self.from(rows.start)[self.offset(tap)..][..length]
    }
}

/// Every `step`th element of `from`, as many as there are and `to` has room for.
#[inline]
pub(super) fn copy_spaced<T: Copy>(to: &mut [T], from: &[T], step: usize) {
    match step {
        1 => {
            let length = to.len().min(from.len());
            to[..length].copy_from_slice(&from[..length]);
        }
        // Known to the compiler, the step becomes a shuffle of vectors.
        2 => {
            let pairs = from.chunks_exact(2);
            let rest = pairs.remainder();
            let last = from.len() / 2;
            to.iter_mut().zip(pairs).for_each(|(to, pair)| *to = pair[0]);
            if let (Some(to), Some(from)) = (to.get_mut(last), rest.first()) {
                *to = *from;
            }
        }
        _ => to.iter_mut().zip(from.iter().step_by(step)).for_each(|(to, from)| *to = *from),
    }
}

/// Folds what taps `0..count` meet into `states`, for each place in the order of the taps: `fold(state, factor, element)`
/// with the tap's factor. With AVX2 where there is some; without fused operations, so that results are the same everywhere.
#[inline]
pub(super) fn fold_taps<'a, S: Copy, F: Copy, T: Copy + 'a>(
    states: &mut [S],
    count: usize,
    tap: impl Fn(usize) -> (F, &'a [T]),
    fold: impl Fn(S, F, T) -> S,
) {
    Arch::new().dispatch(
        #[inline(always)]
        || {
            let mut first = 0;
            while first < count {
                // Several at once, so that states are read and written less often.
                first += match count - first {
                    1 => fold_one(states, tap(first), &fold),
                    2 => fold_two(states, tap(first), tap(first + 1), &fold),
                    _ => fold_three(states, tap(first), tap(first + 1), tap(first + 2), &fold),
                };
            }
        },
    );
}

#[inline(always)]
fn fold_one<S: Copy, F: Copy, T: Copy>(states: &mut [S], (f, x): (F, &[T]), fold: &impl Fn(S, F, T) -> S) -> usize {
    states.iter_mut().zip(x).for_each(|(state, &x)| *state = fold(*state, f, x));
    1
}

#[inline(always)]
fn fold_two<S: Copy, F: Copy, T: Copy>(
    states: &mut [S],
    (f, x): (F, &[T]),
    (g, y): (F, &[T]),
    fold: &impl Fn(S, F, T) -> S,
) -> usize {
    let elements = x.iter().zip(y);
    states.iter_mut().zip(elements).for_each(|(state, (&x, &y))| *state = fold(fold(*state, f, x), g, y));
    2
}

#[inline(always)]
fn fold_three<S: Copy, F: Copy, T: Copy>(
    states: &mut [S],
    (f, x): (F, &[T]),
    (g, y): (F, &[T]),
    (h, z): (F, &[T]),
    fold: &impl Fn(S, F, T) -> S,
) -> usize {
    let elements = x.iter().zip(y).zip(z);
    let all = |state, ((&x, &y), &z): ((&T, &T), &T)| fold(fold(fold(state, f, x), g, y), h, z);
    states.iter_mut().zip(elements).for_each(|(state, elements)| *state = all(*state, elements));
    3
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_tap_of_a_plane_of_windows_meets_what_counting_says() {
        let plane: Vec<usize> = (1..=5 * 7).collect();
        let axes = |length| {
            [(3, 1, 1, 1, 7), (3, 2, 1, 1, 4), (2, 3, 4, 2, 3), (1, 2, 1, 0, 4), (3, 2, 3, 9, 9), (1, 8, 1, 0, 1)].map(
                |(taps, stride, dilation, before, windows)| Axis { length, windows, taps, stride, dilation, before },
            )
        };
        let met = |axis: &Axis, window: usize, tap: usize| {
            let place = (window * axis.stride + tap * axis.dilation).checked_sub(axis.before);
            place.filter(|place| *place < axis.length)
        };
        for (vertical, horizontal) in axes(5).into_iter().flat_map(|down| axes(7).map(|across| (down, across))) {
            let windows = Windows { vertical, horizontal };
            let size = Size::of(&windows).unwrap();
            let mut strips = Strips::new(&windows, size, 0, 0);
            strips.lay(&plane, &Stop::new(&|| false)).unwrap();
            for tap in 0..windows.taps() {
                let rows = vertical.windows / 2..vertical.windows;
                let strips = strips.tap(&rows, tap).chunks(size.width());
                assert_eq!(strips.len(), rows.len());
                for (y, strip) in rows.zip(strips) {
                    let expected = (0..horizontal.windows).map(|x| {
                        let down = met(&vertical, y, tap / horizontal.taps);
                        let across = met(&horizontal, x, tap % horizontal.taps);
                        down.zip(across).map_or(0, |(down, across)| plane[down * 7 + across])
                    });
                    assert_eq!(strip[..horizontal.windows], expected.collect::<Vec<_>>(), "{windows:?} {y} {tap}");
                }
            }
        }
    }
}
