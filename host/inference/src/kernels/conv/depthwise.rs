//! Convolution of each channel on its own, tap by tap.

use spillway_types::operator::InputOperandLayout;

use super::Convolution;
use super::taps::{GROUP, SumTaps, Tap};
use crate::blank::Blank;
use crate::kernels::Stop;
use crate::kernels::product::Number;
use crate::kernels::strips::{Size, Strips};
use crate::vectors::widest;
use crate::{RunError, Tensor};

/// One multiplication.
pub(super) const NANOSECONDS: f64 = 0.05;
/// Taps that are added up between two questions whether to go on, for some thousand windows.
const TAPS: usize = 1024;
/// Channels of a pixel between two such questions.
const CHANNELS: usize = 1 << 16;

impl Convolution {
    /// Whether a product would be of so thin matrices that laying them out costs more than it saves.
    pub(super) fn is_depthwise(&self) -> bool {
        let fits = self.layout == InputOperandLayout::Nhwc || Size::of(&self.windows).is_some();
        self.inputs == 1 && self.groups > 1 && self.outputs <= 4 && fits
    }

    /// Bytes that it takes beside filter and result.
    pub(super) fn depthwise_bytes(&self) -> usize {
        let size = Size::of(&self.windows).filter(|_| self.is_depthwise());
        let taps = self.windows.taps().saturating_mul(size_of::<Tap<f64>>());
        size.map_or(0, |size| size.elements().saturating_add(2 * GROUP).saturating_mul(size_of::<f64>()) + taps)
    }

    /// Planes that follow one another.
    pub(super) fn planes<T: Number + SumTaps>(
        &self,
        (image, filter, bias): (&[T], &[T], Option<&[T]>),
        shape: &[usize],
        stop: &Stop<'_>,
    ) -> Result<Tensor, RunError> {
        let (outputs, count, elements) = (self.outputs * self.groups, self.windows.count(), self.windows.elements());
        let size = Size::of(&self.windows).expect("is_depthwise has asked");
        // What follows the last window means nothing, but is read.
        let mut strips = Strips::new(&self.windows, size, T::default(), GROUP);
        let mut sums = vec![T::default(); size.folded().next_multiple_of(GROUP)];
        let offsets: Vec<usize> = (0..self.windows.taps()).map(|tap| strips.offset(tap)).collect();
        let mut taps = Vec::with_capacity(offsets.len());
        Tensor::by_blocks::<T, _>(shape, count, |start, plane| {
            let (n, output) = (start / count / outputs, start / count % outputs);
            if output.is_multiple_of(self.outputs) {
                let channel = n * self.groups + output / self.outputs;
                strips.lay(&image[channel * elements..][..elements], stop)?;
            }
            let weights = &filter[output * offsets.len()..][..offsets.len()];
            taps.clear();
            taps.extend(offsets.iter().zip(weights).map(|(&offset, &weight)| Tap { offset, weight }));
            let bias = bias.map_or(T::default(), |bias| bias[output]);
            self.plane((&strips, size), (&taps, bias), &mut sums, plane, stop)
        })
    }

    /// One plane.
    fn plane<'b, T: Number + SumTaps>(
        &self,
        (strips, size): (&Strips<T>, Size),
        (taps, bias): (&[Tap<T>], T),
        sums: &mut [T],
        plane: Blank<'b, T>,
        stop: &Stop<'_>,
    ) -> Result<&'b mut [T], RunError> {
        let width = self.windows.horizontal.windows;
        plane.in_parts(size.rows() * width, |block, target| {
            let strips = strips.from(block * size.rows());
            let rows = target.len() / width;
            let needed = (rows - 1) * size.width() + width;
            for (index, sums) in sums[..needed.next_multiple_of(GROUP)].chunks_mut(32 * GROUP).enumerate() {
                sums.fill(bias);
                for taps in taps.chunks(TAPS) {
                    T::sum_taps(sums, &strips[index * 32 * GROUP..], taps);
                    stop.worked(sums.len() * taps.len() / 16 + 8)?;
                }
            }
            stop.worked(rows + target.len() / 8)?;
            target.in_parts(width, |row, target| Ok(target.copied(&sums[row * size.width()..][..width])))
        })
    }

    /// Pixels that follow one another, each of all channels. Adds to `target`.
    pub(super) fn pixels<T: Number>(
        &self,
        image: &[T],
        filter: &[T],
        target: &mut [T],
        stop: &Stop<'_>,
    ) -> Result<(), RunError> {
        let row = self.windows.horizontal.windows * self.outputs * self.groups;
        target.chunks_exact_mut(row).enumerate().try_for_each(|(index, target)| {
            let (n, y) = (index / self.windows.vertical.windows, index % self.windows.vertical.windows);
            let image = &image[n * self.windows.elements() * self.groups..];
            widest(
                #[inline(always)]
                || self.row_of_pixels(image, filter, (y, target), stop),
            )
        })
    }

    #[inline(always)]
    fn row_of_pixels<T: Number>(
        &self,
        image: &[T],
        filter: &[T],
        (y, target): (usize, &mut [T]),
        stop: &Stop<'_>,
    ) -> Result<(), RunError> {
        let (vertical, horizontal) = (&self.windows.vertical, &self.windows.horizontal);
        let (outputs, channels) = (self.outputs * self.groups, self.groups);
        for (x, pixel) in target.chunks_exact_mut(outputs).enumerate() {
            let columns = horizontal.taps_at(x);
            for down in vertical.taps_at(y).filter(|_| !columns.is_empty()) {
                let first = vertical.element(y, down) * horizontal.length + horizontal.element(x, columns.start);
                let weights = &filter[(down * horizontal.taps + columns.start) * outputs..][..columns.len() * outputs];
                for (tap, weights) in weights.chunks_exact(outputs).enumerate() {
                    let first = (first + tap * horizontal.dilation) * channels;
                    self.add_tap(&image[first..][..channels], weights, pixel, stop)?;
                }
            }
        }
        Ok(())
    }

    /// One tap of all channels.
    #[inline(always)]
    fn add_tap<T: Number>(&self, from: &[T], weights: &[T], pixel: &mut [T], stop: &Stop<'_>) -> Result<(), RunError> {
        let channels = pixel.chunks_mut(CHANNELS * self.outputs).zip(weights.chunks(CHANNELS * self.outputs));
        for ((pixel, weights), from) in channels.zip(from.chunks(CHANNELS)) {
            if self.outputs == 1 {
                let terms = weights.iter().zip(from);
                pixel.iter_mut().zip(terms).for_each(|(to, (&weight, &x))| *to += weight * x);
            } else {
                let groups = pixel.chunks_exact_mut(self.outputs).zip(weights.chunks_exact(self.outputs));
                for ((pixel, weights), &x) in groups.zip(from) {
                    pixel.iter_mut().zip(weights).for_each(|(to, &weight)| *to += weight * x);
                }
            }
            stop.worked(pixel.len() / 8 + 1)?;
        }
        Ok(())
    }
}
