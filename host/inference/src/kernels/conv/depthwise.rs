//! Convolution of each channel on its own, tap by tap.

use spillway_types::operator::InputOperandLayout;

use super::Convolution;
use crate::kernels::Stop;
use crate::kernels::product::Number;
use crate::kernels::strips::{Size, Strips, fold_taps};
use crate::{RunError, Tensor};

/// One multiplication.
pub(super) const NANOSECONDS: f64 = 0.1;

impl Convolution {
    /// Whether a product would be of so thin matrices that laying them out costs more than it saves.
    pub(super) fn is_depthwise(&self) -> bool {
        let fits = self.layout == InputOperandLayout::Nhwc || Size::of(&self.windows).is_some();
        self.inputs == 1 && self.groups > 1 && self.outputs <= 4 && fits
    }

    /// Bytes that it takes beside filter and result.
    pub(super) fn depthwise_bytes(&self) -> usize {
        let size = Size::of(&self.windows).filter(|_| self.is_depthwise());
        size.map_or(0, |size| size.elements().saturating_mul(size_of::<f64>()))
    }

    /// Adds to `target`.
    pub(super) fn depthwise<T: Number>(
        &self,
        image: &[T],
        filter: &Tensor,
        target: &mut [T],
        stop: &Stop<'_>,
    ) -> Result<(), RunError> {
        match self.layout {
            InputOperandLayout::Nchw => self.planes(image, &filter.rows(), target, stop),
            InputOperandLayout::Nhwc => {
                // Beside each other, as the channels of a pixel are.
                let filter = filter.view(filter.layout().transpose(&[2, 3, 0, 1]));
                self.pixels(image, &filter.rows(), target, stop)
            }
        }
    }

    fn planes<T: Number>(&self, image: &[T], filter: &[T], target: &mut [T], stop: &Stop<'_>) -> Result<(), RunError> {
        let (outputs, taps, elements) = (self.outputs * self.groups, self.windows.taps(), self.windows.elements());
        let width = self.windows.horizontal.windows;
        let size = Size::of(&self.windows).expect("is_depthwise has asked");
        let mut strips = Strips::new(&self.windows, size, T::default());
        let mut sums = vec![T::default(); size.folded()];
        for (index, plane) in target.chunks_exact_mut(self.windows.count()).enumerate() {
            let (n, output) = (index / outputs, index % outputs);
            if output.is_multiple_of(self.outputs) {
                let channel = n * self.groups + output / self.outputs;
                strips.lay(&image[channel * elements..][..elements]);
            }
            let weights = &filter[output * taps..][..taps];
            for (block, target) in plane.chunks_mut(size.rows() * width).enumerate() {
                let rows = block * size.rows()..block * size.rows() + target.len() / width;
                // The bias is everywhere the same.
                sums.fill(target[0]);
                let tap = |tap: usize| (weights[tap], strips.tap(&rows, tap));
                fold_taps(&mut sums, taps, tap, |sum, weight, x| sum + weight * x);
                let strips = sums.chunks(size.width());
                target.chunks_exact_mut(width).zip(strips).for_each(|(row, sums)| row.copy_from_slice(&sums[..width]));
                stop.worked(target.len() * taps / 8 + 8)?;
            }
        }
        Ok(())
    }

    fn pixels<T: Number>(&self, image: &[T], filter: &[T], target: &mut [T], stop: &Stop<'_>) -> Result<(), RunError> {
        let (vertical, horizontal) = (&self.windows.vertical, &self.windows.horizontal);
        let (outputs, channels) = (self.outputs * self.groups, self.groups);
        for (index, pixel) in target.chunks_exact_mut(outputs).enumerate() {
            let (n, window) = (index / self.windows.count(), index % self.windows.count());
            let (y, x) = (window / horizontal.windows, window % horizontal.windows);
            let image = &image[n * self.windows.elements() * channels..];
            let columns = horizontal.taps_at(x);
            for down in vertical.taps_at(y).filter(|_| !columns.is_empty()) {
                let first = vertical.element(y, down) * horizontal.length + horizontal.element(x, columns.start);
                let weights = &filter[(down * horizontal.taps + columns.start) * outputs..][..columns.len() * outputs];
                for (tap, weights) in weights.chunks_exact(outputs).enumerate() {
                    let first = (first + tap * horizontal.dilation) * channels;
                    self.add_tap(&image[first..][..channels], weights, pixel);
                }
                stop.worked(outputs * columns.len() / 8 + 8)?;
            }
        }
        Ok(())
    }

    /// One tap of all channels.
    fn add_tap<T: Number>(&self, from: &[T], weights: &[T], pixel: &mut [T]) {
        if self.outputs == 1 {
            let terms = weights.iter().zip(from);
            pixel.iter_mut().zip(terms).for_each(|(to, (&weight, &x))| *to += weight * x);
            return;
        }
        let groups = pixel.chunks_exact_mut(self.outputs).zip(weights.chunks_exact(self.outputs));
        for ((pixel, weights), &x) in groups.zip(from) {
            pixel.iter_mut().zip(weights).for_each(|(to, &weight)| *to += weight * x);
        }
    }
}
