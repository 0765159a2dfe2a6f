//! conv2d.
//!
//! | filter and image | how |
//! | --- | --- |
//! | 1 by 1, stride 1, no padding | one product of the filter and the image |
//! | one input channel per group and few output channels | `depthwise`: tap by tap |
//! | any | `im2col`: blocks of windows laid out as the columns (`nhwc`: rows) of a matrix, times the filter |

mod depthwise;
mod im2col;
mod taps;

use spillway_types::operator::{Conv2dOptions, FilterOperandLayout, InputOperandLayout};

use taps::SumTaps;

use super::check::FLOATS;
use super::halves::{narrowed, widened};
use super::matmul;
use super::product::{Matrix, Number, Target, multiply};
use super::windows::{Axis, Windows, at_least_one, image_axes, image_shape, slide};
use super::{Check, Plan, Stop};
use crate::{DType, RunError, Tensor};

pub(super) fn conv2d(options: Conv2dOptions, inputs: &[Tensor]) -> Result<Plan, RunError> {
    let check = Check("conv2d");
    let operands = Operands::of(check, inputs)?;
    let layout = options.input_layout;
    let [batch, channels, height, width] = image_axes(check, &operands.image, layout)?;
    let order = match options.filter_layout {
        FilterOperandLayout::Oihw => [0, 1, 2, 3],
        FilterOperandLayout::Hwio => [3, 2, 0, 1],
        FilterOperandLayout::Ohwi => [0, 3, 1, 2],
        FilterOperandLayout::Ihwo => [3, 0, 1, 2],
    };
    let (filter, [all_outputs, inputs, taps_down, taps_across]) = operands.filter(check, order)?;
    let groups = options.groups as usize;
    check.that(groups >= 1, || "`groups` must be 1 or more".into())?;
    check.that(inputs.checked_mul(groups) == Some(channels), || {
        format!("the image has {channels} channels, but the filter takes {inputs} for each of {groups} `groups`")
    })?;
    check.that(all_outputs.is_multiple_of(groups), || {
        format!("the filter's {all_outputs} output channels do not fall into {groups} `groups`")
    })?;
    operands.check_bias(check, all_outputs)?;
    let strides = at_least_one(check, "strides", options.strides)?;
    let dilations = at_least_one(check, "dilations", options.dilations)?;
    let (top, bottom, left, right) = options.padding;
    let axis = |what, at: usize, length, taps, before: u32, after: u32| {
        let axis =
            Axis { length, windows: 0, taps, stride: strides[at], dilation: dilations[at], before: before as usize };
        let windows = slide(check, what, &axis, after as usize)? / axis.stride + 1;
        Ok::<_, RunError>(Axis { windows, ..axis })
    };
    let windows = Windows {
        vertical: axis("height", 0, height, taps_down, top, bottom)?,
        horizontal: axis("width", 1, width, taps_across, left, right)?,
    };
    let shape = image_shape(layout, [batch, all_outputs, windows.vertical.windows, windows.horizontal.windows]);
    let convolution = Convolution { batch, groups, inputs, outputs: all_outputs / groups, windows, layout };
    let dtype = operands.image.dtype();
    let depth = inputs.saturating_mul(taps_down).saturating_mul(taps_across);
    let nanoseconds = convolution.nanoseconds() * depth as f64;
    // The filter may have to be laid out in another order.
    let scratch = filter.layout().len().saturating_mul(size_of::<f64>()).saturating_add(im2col::SCRATCH_BYTES);
    let scratch = scratch.saturating_add(convolution.depthwise_bytes());
    let copied = operands.image_and_bias();
    let (image, bias) = (operands.image, operands.bias);
    let result_shape = shape.clone();
    let plan = Plan::compute(check.0, dtype, shape, nanoseconds, move |stop| {
        let (image, filter) = (widened(&image, stop)?, widened(&filter, stop)?);
        let bias = bias.map(|bias| widened(&bias, stop)).transpose()?;
        let result = match dtype {
            DType::Float64 => convolution.compute::<f64>(&image, &filter, bias.as_ref(), &result_shape, stop),
            _ => convolution.compute::<f32>(&image, &filter, bias.as_ref(), &result_shape, stop),
        };
        narrowed(result?, dtype, stop)
    });
    Ok(plan.with_scratch(scratch).after_widening(&copied))
}

/// The inputs of a convolution: an image, a filter and a bias, of one type.
pub(super) struct Operands {
    pub(super) image: Tensor,
    filter: Tensor,
    pub(super) bias: Option<Tensor>,
}

impl Operands {
    pub(super) fn of(check: Check, inputs: &[Tensor]) -> Result<Self, RunError> {
        let (image, filter, bias) = match inputs {
            [image, filter] => (image, filter, None),
            [image, filter, bias] => (image, filter, Some(bias)),
            _ => return check.refuse(format!("takes 2 or 3 inputs, given {}", inputs.len())),
        };
        check.dtype(image, &FLOATS)?;
        for (name, input) in [("filter", Some(filter)), ("bias", bias)] {
            let dtype = input.map_or(image.dtype(), Tensor::dtype);
            check.that(dtype == image.dtype(), || {
                format!("the image is {}, but the {name} {dtype}; cast one of them", image.dtype())
            })?;
        }
        Ok(Self { image: image.clone(), filter: filter.clone(), bias: bias.cloned() })
    }

    /// What may have to be widened, or laid out row by row.
    pub(super) fn image_and_bias(&self) -> Vec<Tensor> {
        [Some(&self.image), self.bias.as_ref()].into_iter().flatten().cloned().collect()
    }

    /// The filter, with its axes in this order, and their lengths.
    pub(super) fn filter(&self, check: Check, order: [usize; 4]) -> Result<(Tensor, [usize; 4]), RunError> {
        let shape = self.filter.shape();
        check.that(shape.len() == 4, || format!("the filter must have four axes, has {shape:?}; reshape it"))?;
        let filter = self.filter.view(self.filter.layout().transpose(&order));
        Ok((filter, order.map(|axis| shape[axis])))
    }

    pub(super) fn check_bias(&self, check: Check, outputs: usize) -> Result<(), RunError> {
        let Some(bias) = &self.bias else { return Ok(()) };
        check.that(bias.shape() == [outputs], || {
            format!("the bias must have one axis of {outputs}, as many as output channels, has {:?}", bias.shape())
        })
    }
}

/// A convolution whose arguments have been checked.
pub(super) struct Convolution {
    batch: usize,
    groups: usize,
    /// Input channels of a group.
    inputs: usize,
    /// Output channels of a group.
    outputs: usize,
    windows: Windows,
    layout: InputOperandLayout,
}

impl Convolution {
    /// What one multiplication costs.
    fn nanoseconds(&self) -> f64 {
        if self.is_depthwise() { depthwise::NANOSECONDS } else { matmul::NANOSECONDS * 1.3 }
    }

    /// Whether the windows are the elements.
    fn is_pointwise(&self) -> bool {
        let is_same =
            |axis: &Axis| axis.taps == 1 && axis.stride == 1 && axis.before == 0 && axis.windows == axis.length;
        is_same(&self.windows.vertical) && is_same(&self.windows.horizontal)
    }

    /// `filter` has the axes output channels, input channels, height, width.
    fn compute<T: Number + SumTaps>(
        &self,
        image: &Tensor,
        filter: &Tensor,
        bias: Option<&Tensor>,
        shape: &[usize],
        stop: &Stop<'_>,
    ) -> Result<Tensor, RunError> {
        let (image, bias) = (image.rows_until::<T>(stop)?, bias.map(Tensor::rows::<T>));
        let is_empty = shape.contains(&0);
        if self.is_depthwise() && self.layout == InputOperandLayout::Nchw && !is_empty {
            return self.planes((&image, &filter.rows_until(stop)?, bias.as_deref()), shape, stop);
        }
        Tensor::filled_until::<T>(stop, shape, |target| {
            if is_empty {
                return Ok(());
            }
            if let Some(bias) = &bias {
                spread(bias, target, self.windows.count(), self.layout, stop)?;
            }
            if self.is_depthwise() {
                // Beside each other, as the channels of a pixel are.
                let filter = filter.view(filter.layout().transpose(&[2, 3, 0, 1]));
                self.pixels(&image, &filter.rows_until(stop)?, target, stop)
            } else {
                self.products(&image, filter, target, bias.is_some(), stop)
            }
        })
    }

    fn products<T: Number>(
        &self,
        image: &[T],
        filter: &Tensor,
        target: &mut [T],
        accumulate: bool,
        stop: &Stop<'_>,
    ) -> Result<(), RunError> {
        let depth = self.inputs * self.windows.taps();
        let outputs = self.outputs * self.groups;
        if depth == 0 {
            return Ok(());
        }
        // The order of a window's elements: that in which most of them lie together.
        let order = match self.layout {
            InputOperandLayout::Nchw => [0, 1, 2, 3],
            InputOperandLayout::Nhwc => [0, 2, 3, 1],
        };
        let columns = filter.view(filter.layout().transpose(&[order[1], order[2], order[3], 0]));
        let rows = filter.view(filter.layout().transpose(&order));
        let (lying, is_turned) = if columns.layout().is_row_major() { (columns, true) } else { (rows, false) };
        let lying = lying.rows_until::<T>(stop)?;
        let filter = if is_turned {
            Matrix::by_rows(&lying, (depth, outputs), outputs).transposed()
        } else {
            Matrix::by_rows(&lying, (outputs, depth), depth)
        };
        let (elements, windows) = (self.windows.elements(), self.windows.count());
        let mut block = if self.is_pointwise() { Vec::new() } else { im2col::block::<T>(depth, windows) };
        for index in 0..self.batch * self.groups {
            let (n, group) = (index / self.groups, index % self.groups);
            let filter = filter.part((group * self.outputs, 0), (self.outputs, depth));
            let (channel, output) = (group * self.inputs, group * self.outputs);
            let inputs = self.inputs * self.groups;
            let (image, target, stride) = match self.layout {
                InputOperandLayout::Nchw => (
                    &image[(n * inputs + channel) * elements..],
                    &mut target[(n * outputs + output) * windows..],
                    windows,
                ),
                InputOperandLayout::Nhwc => {
                    (&image[n * inputs * elements + channel..], &mut target[n * outputs * windows + output..], outputs)
                }
            };
            let target = Target { stored: target, stride, accumulate };
            if !self.is_pointwise() {
                self.im2col(image, filter, target, &mut block, stop)?;
            } else if self.layout == InputOperandLayout::Nchw {
                let image = Matrix::by_rows(image, (depth, elements), elements);
                multiply(T::ONE, filter, image, target, stop)?;
            } else {
                let image = Matrix::by_rows(image, (elements, depth), inputs);
                multiply(T::ONE, image, filter.transposed(), target, stop)?;
            }
        }
        Ok(())
    }
}

/// Elements filled between two questions whether to go on.
const PIECE: usize = 1 << 18;

/// Writes to every pixel of `target` its channel's `bias`.
pub(super) fn spread<T: Copy>(
    bias: &[T],
    target: &mut [T],
    pixels: usize,
    layout: InputOperandLayout,
    stop: &Stop<'_>,
) -> Result<(), RunError> {
    match layout {
        InputOperandLayout::Nchw => {
            target.chunks_exact_mut(pixels).zip(bias.iter().cycle()).try_for_each(|(to, &bias)| {
                to.chunks_mut(PIECE).try_for_each(|to| {
                    to.fill(bias);
                    stop.worked(to.len())
                })
            })
        }
        InputOperandLayout::Nhwc => target.chunks_exact_mut(bias.len()).try_for_each(|pixel| {
            pixel.copy_from_slice(bias);
            stop.worked(bias.len())
        }),
    }
}
