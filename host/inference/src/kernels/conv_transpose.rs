//! convTranspose2d: each pixel of the image adds a window to the result.
//!
//! The windows of a block of pixels are a product of filter and image, and are then added where they belong (`col2im`).
//! Seen from the result, pixels of the image are positions of windows on it, so [`Windows`] serves with both exchanged.

use std::ops::Range;

use spillway_types::operator::{ConvTranspose2dOptions, InputOperandLayout, TransposedFilterLayout};

use super::conv::{Operands, spread};
use super::halves::{narrowed, widened};
use super::matmul;
use super::product::{Matrix, Number, Target, multiply};
use super::windows::{Axis, Windows, at_least_one, image_axes, image_shape, pair};
use super::{Check, Plan, Stop};
use crate::{DType, RunError, Tensor};

pub(super) fn conv_transpose2d(options: ConvTranspose2dOptions, inputs: &[Tensor]) -> Result<Plan, RunError> {
    let check = Check("convTranspose2d");
    let operands = Operands::of(check, inputs)?;
    let layout = options.input_layout;
    let [batch, channels, height, width] = image_axes(check, &operands.image, layout)?;
    let order = match options.filter_layout {
        TransposedFilterLayout::Iohw => [0, 1, 2, 3],
        TransposedFilterLayout::Hwoi => [3, 2, 0, 1],
        TransposedFilterLayout::Ohwi => [3, 0, 1, 2],
    };
    let (filter, [inputs, outputs, taps_down, taps_across]) = operands.filter(check, order)?;
    let groups = options.groups as usize;
    check.that(groups >= 1, || "`groups` must be 1 or more".into())?;
    check.that(inputs == channels, || {
        format!("the image has {channels} channels, but the filter takes {inputs} input channels")
    })?;
    check.that(channels.is_multiple_of(groups), || {
        format!("the image's {channels} channels do not fall into {groups} `groups`")
    })?;
    let all_outputs = outputs.checked_mul(groups).map_or_else(|| check.refuse("too many output channels"), Ok)?;
    operands.check_bias(check, all_outputs)?;
    let strides = at_least_one(check, "strides", options.strides)?;
    let dilations = at_least_one(check, "dilations", options.dilations)?;
    let added = pair(options.output_padding);
    let sizes = options.output_sizes.map(pair);
    let (top, bottom, left, right) = options.padding;
    let axis = |what: &str, at: usize, windows, taps, before: u32, after: u32| {
        let axis =
            Axis { length: 0, windows, taps, stride: strides[at], dilation: dilations[at], before: before as usize };
        let length = length(check, what, &axis, after as usize, added[at], sizes.map(|sizes| sizes[at]))?;
        Ok::<_, RunError>(Axis { length, ..axis })
    };
    let windows = Windows {
        vertical: axis("height", 0, height, taps_down, top, bottom)?,
        horizontal: axis("width", 1, width, taps_across, left, right)?,
    };
    let shape = image_shape(layout, [batch, all_outputs, windows.vertical.length, windows.horizontal.length]);
    let transposed = Transposed { batch, groups, inputs: channels / groups, outputs, windows, layout };
    let dtype = operands.image.dtype();
    let scratch = filter.layout().len().saturating_mul(size_of::<f64>()).saturating_add(ELEMENTS * size_of::<f64>());
    let products = [operands.image.layout().len(), outputs, taps_down, taps_across];
    let products: f64 = products.iter().map(|&count| count as f64).product();
    let copied = operands.image_and_bias();
    let (image, bias) = (operands.image, operands.bias);
    let result_shape = shape.clone();
    let plan = Plan::compute(check.0, dtype, shape, NANOSECONDS, move |stop| {
        let (image, filter) = (widened(&image, stop)?, widened(&filter, stop)?);
        let bias = bias.map(|bias| widened(&bias, stop)).transpose()?;
        let result = match dtype {
            DType::Float64 => transposed.compute::<f64>(&image, &filter, bias.as_ref(), &result_shape, stop),
            _ => transposed.compute::<f32>(&image, &filter, bias.as_ref(), &result_shape, stop),
        };
        narrowed(result?, dtype, stop)
    });
    let nanoseconds = plan.nanoseconds + products * (matmul::NANOSECONDS + ADD_NANOSECONDS / channels.max(1) as f64);
    Ok(Plan { nanoseconds, ..plan }.with_scratch(scratch).after_widening(&copied))
}

/// One element of the result, before anything is added to it.
const NANOSECONDS: f64 = 0.2;
/// Adding one element of a window.
const ADD_NANOSECONDS: f64 = 0.5;

/// How long the result is along `axis`, whose `length` does not matter.
fn length(
    check: Check,
    what: &str,
    axis: &Axis,
    after: usize,
    added: usize,
    size: Option<usize>,
) -> Result<usize, RunError> {
    check.that(axis.taps >= 1 && axis.windows >= 1, || format!("neither image nor filter may have no {what}"))?;
    check.that(added < axis.stride, || {
        format!("`output-padding` of {what} is {added}, but must be less than the stride, {}", axis.stride)
    })?;
    let whole = (axis.windows - 1).checked_mul(axis.stride).and_then(|slide| slide.checked_add(axis.span()));
    let Some(whole) = whole.filter(|whole| *whole <= isize::MAX as usize) else {
        return check.refuse(format!("the result has more {what} than memory has addresses"));
    };
    let Some(least) = whole.checked_sub(axis.before.saturating_add(after)) else {
        return check.refuse(format!("`padding` takes away more {what} than the {whole} that there is"));
    };
    let length = size.unwrap_or(least + added);
    check.that((least..least + axis.stride).contains(&length), || {
        format!("`output-sizes` says {what} {length}, but must be {least} to {}", least + axis.stride - 1)
    })?;
    check.that(length >= 1, || format!("`padding` takes away all {what} that there is, {whole}"))?;
    Ok(length)
}

/// Elements of a block: 384 KiB of `f32`.
const ELEMENTS: usize = 96 << 10;
/// The most pixels of a block.
const PIXELS: usize = 960;

/// A transposed convolution whose arguments have been checked.
struct Transposed {
    batch: usize,
    groups: usize,
    /// Input channels of a group.
    inputs: usize,
    /// Output channels of a group.
    outputs: usize,
    windows: Windows,
    layout: InputOperandLayout,
}

impl Transposed {
    /// `filter` has the axes input channels, output channels, height, width.
    fn compute<T: Number>(
        &self,
        image: &Tensor,
        filter: &Tensor,
        bias: Option<&Tensor>,
        shape: &[usize],
        stop: &Stop<'_>,
    ) -> Result<Tensor, RunError> {
        Tensor::filled_until::<T>(stop, shape, |target| {
            if target.is_empty() {
                return Ok(());
            }
            if let Some(bias) = bias {
                spread(&bias.rows::<T>(), target, self.windows.elements(), self.layout, stop)?;
            }
            if self.inputs == 0 {
                return Ok(());
            }
            self.add(&image.rows_until::<T>(stop)?, filter, target, stop)
        })
    }

    fn add<T: Number>(&self, image: &[T], filter: &Tensor, target: &mut [T], stop: &Stop<'_>) -> Result<(), RunError> {
        // The order of a window's elements: that in which most of them lie together.
        let order = match self.layout {
            InputOperandLayout::Nchw => [0, 1, 2, 3],
            InputOperandLayout::Nhwc => [0, 2, 3, 1],
        };
        let filter = filter.view(filter.layout().transpose(&order));
        let filter = filter.rows_until::<T>(stop)?;
        let (all, count) = (self.outputs * self.windows.taps(), self.windows.count());
        let (channels, outputs) = (self.inputs * self.groups, self.outputs * self.groups);
        let filter = Matrix::by_rows(&filter, (channels, all), all);
        let width = count.min(PIXELS);
        let depth = (ELEMENTS / width).min(all);
        let mut block = vec![T::default(); width * depth];
        for index in 0..self.batch * self.groups {
            let (n, group) = (index / self.groups, index % self.groups);
            let filter = filter.part((group * self.inputs, 0), (self.inputs, all));
            for first in (0..count).step_by(width) {
                let pixels = first..count.min(first + width);
                for from in (0..all).step_by(depth) {
                    let part = from..all.min(from + depth);
                    let filter = filter.part((0, from), (self.inputs, part.len()));
                    let shape = (part.len(), pixels.len());
                    let block = &mut block[..shape.0 * shape.1];
                    match self.layout {
                        InputOperandLayout::Nchw => {
                            let image = &image[(n * channels + group * self.inputs) * count + first..];
                            let image = Matrix::by_rows(image, (self.inputs, shape.1), count);
                            let to = Target { stored: block, stride: shape.1, accumulate: false };
                            multiply(T::ONE, filter.transposed(), image, to, stop)?;
                            let target = &mut target[(n * outputs + group * self.outputs) * self.windows.elements()..];
                            self.add_columns(block, part, pixels.clone(), target);
                        }
                        InputOperandLayout::Nhwc => {
                            let image = &image[(n * count + first) * channels + group * self.inputs..];
                            let image = Matrix::by_rows(image, (shape.1, self.inputs), channels);
                            let to = Target { stored: block, stride: shape.0, accumulate: false };
                            multiply(T::ONE, image, filter, to, stop)?;
                            let target = &mut target[n * outputs * self.windows.elements() + group * self.outputs..];
                            self.add_rows(block, part, pixels.clone(), target);
                        }
                    }
                    stop.worked(shape.0 * (shape.1 + 8))?;
                }
            }
        }
        Ok(())
    }

    /// Adds `part` of the windows of `pixels`, one window a column of `block`.
    fn add_columns<T: Number>(&self, block: &[T], part: Range<usize>, pixels: Range<usize>, target: &mut [T]) {
        let (across, taps) = (self.windows.horizontal.taps, self.windows.taps());
        let (elements, step) = (self.windows.elements(), self.windows.horizontal.stride);
        for (row, index) in block.chunks_exact(pixels.len()).zip(part) {
            let (channel, tap) = (&mut target[index / taps * elements..][..elements], index % taps);
            self.windows.each_run((tap / across, tap % across), pixels.clone(), |run| {
                let from = &row[run.window..][..run.length];
                let to = channel[run.element..].iter_mut().step_by(step);
                to.zip(from).for_each(|(to, &x)| *to += x);
            });
        }
    }

    /// Adds `part` of the windows of `pixels`, one window a row of `block`.
    fn add_rows<T: Number>(&self, block: &[T], part: Range<usize>, pixels: Range<usize>, target: &mut [T]) {
        let (across, step) = (self.windows.horizontal.taps, self.windows.horizontal.stride);
        let channels = self.outputs * self.groups;
        for tap in part.start / self.outputs..part.end.div_ceil(self.outputs) {
            let start = (tap * self.outputs).max(part.start);
            let length = ((tap + 1) * self.outputs).min(part.end) - start;
            let channel = start - tap * self.outputs;
            self.windows.each_run((tap / across, tap % across), pixels.clone(), |run| {
                for index in 0..run.length {
                    let from = &block[(run.window + index) * part.len() + start - part.start..][..length];
                    let to = &mut target[(run.element + index * step) * channels + channel..][..length];
                    to.iter_mut().zip(from).for_each(|(to, &x)| *to += x);
                }
            });
        }
    }
}
