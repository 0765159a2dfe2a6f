//! Convolution as products: windows laid out as a matrix, a block at a time, so that it stays in the second-level cache.

use std::ops::Range;

use spillway_types::operator::InputOperandLayout;

use super::Convolution;
use crate::RunError;
use crate::kernels::Stop;
use crate::kernels::product::{Matrix, Number, Target, multiply};
use crate::kernels::strips::copy_spaced;

/// Elements of a block, unless its windows are few: 384 KiB of `f32`.
const ELEMENTS: usize = 96 << 10;
/// The most elements of each window in a block: `faer` sums up so many before it writes.
const DEPTH: usize = 512;
/// The fewest windows in a block, where there are so many: rows of `faer`'s innermost product with AVX-512.
const WINDOWS: usize = 96;
/// The most that a block takes, in any type.
pub(super) const SCRATCH_BYTES: usize = ELEMENTS * size_of::<f64>();

/// Copies `length` elements of `from`, each `step`th, and may write over what follows them: a copy of fixed length takes a
/// fraction of the time of a short one that is counted.
#[inline]
fn copy_run<T: Copy>(to: &mut [T], from: &[T], length: usize, step: usize) {
    if step > 1 {
        copy_spaced(&mut to[..length], from, step);
    } else if length <= 8 && to.len() >= 8 && from.len() >= 8 {
        to[..8].copy_from_slice(&from[..8]);
    } else if length <= 16 && to.len() >= 16 && from.len() >= 16 {
        to[..16].copy_from_slice(&from[..16]);
    } else {
        to[..length].copy_from_slice(&from[..length]);
    }
}

/// How many elements of each window, and how many windows, a block has.
fn block_shape(depth: usize, windows: usize) -> (usize, usize) {
    let depth = depth.div_ceil(depth.div_ceil(DEPTH));
    let fitting = (ELEMENTS / depth / WINDOWS).max(1) * WINDOWS;
    (depth, fitting.min(windows))
}

/// Room for a block.
pub(super) fn block<T: Number>(depth: usize, windows: usize) -> Vec<T> {
    let (depth, windows) = block_shape(depth, windows);
    vec![T::default(); depth * windows]
}

impl Convolution {
    /// One group of one image.
    pub(super) fn im2col<T: Number>(
        &self,
        image: &[T],
        filter: Matrix<'_, T>,
        target: Target<'_, T>,
        block: &mut [T],
        stop: &Stop<'_>,
    ) -> Result<(), RunError> {
        let (all, count) = (self.inputs * self.windows.taps(), self.windows.count());
        let (depth, width) = block_shape(all, count);
        let Target { stored, stride, accumulate } = target;
        for first in (0..count).step_by(width) {
            let windows = first..count.min(first + width);
            for from in (0..all).step_by(depth) {
                let part = from..all.min(from + depth);
                let shape = (part.len(), windows.len());
                let block = &mut block[..shape.0 * shape.1];
                let filter = filter.part((0, from), (self.outputs, part.len()));
                let accumulate = accumulate || from > 0;
                match self.layout {
                    InputOperandLayout::Nchw => {
                        self.lay_columns(image, part, windows.clone(), block);
                        let block = Matrix::by_rows(block, shape, shape.1);
                        let target = Target { stored: &mut stored[first..], stride, accumulate };
                        multiply(T::ONE, filter, block, target, stop)?;
                    }
                    InputOperandLayout::Nhwc => {
                        self.lay_rows(image, part, windows.clone(), block);
                        let block = Matrix::by_rows(block, (shape.1, shape.0), shape.0);
                        let target = Target { stored: &mut stored[first * stride..], stride, accumulate };
                        multiply(T::ONE, block, filter.transposed(), target, stop)?;
                    }
                }
                stop.worked(shape.0 * (shape.1 + 8))?;
            }
        }
        Ok(())
    }

    /// `part` of the elements of `windows`, one window a column.
    fn lay_columns<T: Number>(&self, image: &[T], part: Range<usize>, windows: Range<usize>, block: &mut [T]) {
        let (across, taps) = (self.windows.horizontal.taps, self.windows.taps());
        let (elements, step) = (self.windows.elements(), self.windows.horizontal.stride);
        for tap in 0..taps.min(part.end) {
            // One tap of all channels, because its runs are the same in each.
            let indices = (part.start.saturating_sub(tap).div_ceil(taps)..).map(|channel| channel * taps + tap);
            for index in indices.take_while(|index| *index < part.end) {
                let channel = &image[index / taps * elements..][..elements];
                let row = &mut block[(index - part.start) * windows.len()..][..windows.len()];
                let mut end = 0;
                self.windows.each_run((tap / across, tap % across), windows.clone(), |run| {
                    row[end..run.window].fill(T::default());
                    copy_run(&mut row[run.window..], &channel[run.element..], run.length, step);
                    end = run.window + run.length;
                });
                row[end..].fill(T::default());
            }
        }
    }

    /// `part` of the elements of `windows`, one window a row.
    fn lay_rows<T: Number>(&self, image: &[T], part: Range<usize>, windows: Range<usize>, block: &mut [T]) {
        block.fill(T::default());
        let (across, step) = (self.windows.horizontal.taps, self.windows.horizontal.stride);
        let channels = self.inputs * self.groups;
        for tap in part.start / self.inputs..part.end.div_ceil(self.inputs) {
            let start = (tap * self.inputs).max(part.start);
            let length = ((tap + 1) * self.inputs).min(part.end) - start;
            let channel = start - tap * self.inputs;
            self.windows.each_run((tap / across, tap % across), windows.clone(), |run| {
                for index in 0..run.length {
                    let from = &image[(run.element + index * step) * channels + channel..][..length];
                    let to = (run.window + index) * part.len() + start - part.start;
                    block[to..][..length].copy_from_slice(from);
                }
            });
        }
    }
}
