//! Options of convolutions and poolings, with the values that WebNN has where nothing else is said.

use crate::host::HostError;
use crate::host::operators::{Conv2dOptions, ConvTranspose2dOptions, Pool2dOptions};
pub use crate::host::operators::{
    FilterOperandLayout, InputOperandLayout, Pooling, RoundingType, TransposedFilterLayout,
};

use super::pair;

/// How a convolution goes over its image. Lengths are those of height and width.
#[derive(Clone, Copy, Debug)]
pub struct Conv2d {
    /// Before and after the height, before and after the width.
    pub padding: [usize; 4],
    /// From one window to the next.
    pub strides: [usize; 2],
    /// From one element of a window to the next.
    pub dilations: [usize; 2],
    /// Into how many parts the channels fall.
    pub groups: u32,
    /// The order of the image's axes.
    pub input_layout: InputOperandLayout,
    /// The order of the filter's axes.
    pub filter_layout: FilterOperandLayout,
}

impl Default for Conv2d {
    fn default() -> Self {
        Self {
            padding: [0; 4],
            strides: [1; 2],
            dilations: [1; 2],
            groups: 1,
            input_layout: InputOperandLayout::Nchw,
            filter_layout: FilterOperandLayout::Oihw,
        }
    }
}

impl Conv2d {
    pub(super) fn host(self) -> Result<Conv2dOptions, HostError> {
        Ok(Conv2dOptions {
            padding: four(self.padding)?,
            strides: pair(self.strides)?,
            dilations: pair(self.dilations)?,
            groups: self.groups,
            input_layout: self.input_layout,
            filter_layout: self.filter_layout,
        })
    }
}

/// How a transposed convolution goes over its image. Lengths are those of height and width.
#[derive(Clone, Copy, Debug)]
pub struct ConvTranspose2d {
    /// Before and after the height, before and after the width, of the output.
    pub padding: [usize; 4],
    /// From one window to the next.
    pub strides: [usize; 2],
    /// From one element of a window to the next.
    pub dilations: [usize; 2],
    /// Added to the ends of the output; smaller than the strides.
    pub output_padding: [usize; 2],
    /// The lengths of the output, in place of `output_padding`.
    pub output_sizes: Option<[usize; 2]>,
    /// Into how many parts the channels fall.
    pub groups: u32,
    /// The order of the image's axes.
    pub input_layout: InputOperandLayout,
    /// The order of the filter's axes.
    pub filter_layout: TransposedFilterLayout,
}

impl Default for ConvTranspose2d {
    fn default() -> Self {
        Self {
            padding: [0; 4],
            strides: [1; 2],
            dilations: [1; 2],
            output_padding: [0; 2],
            output_sizes: None,
            groups: 1,
            input_layout: InputOperandLayout::Nchw,
            filter_layout: TransposedFilterLayout::Iohw,
        }
    }
}

impl ConvTranspose2d {
    pub(super) fn host(self) -> Result<ConvTranspose2dOptions, HostError> {
        Ok(ConvTranspose2dOptions {
            padding: four(self.padding)?,
            strides: pair(self.strides)?,
            dilations: pair(self.dilations)?,
            output_padding: pair(self.output_padding)?,
            output_sizes: self.output_sizes.map(pair).transpose()?,
            groups: self.groups,
            input_layout: self.input_layout,
            filter_layout: self.filter_layout,
        })
    }
}

/// How a pooling goes over its image. Lengths are those of height and width.
#[derive(Clone, Copy, Debug)]
pub struct Pool2d {
    /// Of a window; those of the image if not given.
    pub window_dimensions: Option<[usize; 2]>,
    /// Before and after the height, before and after the width. It counts for nothing, not even for an average.
    pub padding: [usize; 4],
    /// From one window to the next.
    pub strides: [usize; 2],
    /// From one element of a window to the next.
    pub dilations: [usize; 2],
    /// The order of the image's axes.
    pub layout: InputOperandLayout,
    /// How the number of windows is rounded where the last one is not whole.
    pub output_shape_rounding: RoundingType,
    /// The lengths of the output, in place of what rounding gives.
    pub output_sizes: Option<[usize; 2]>,
}

impl Default for Pool2d {
    fn default() -> Self {
        Self {
            window_dimensions: None,
            padding: [0; 4],
            strides: [1; 2],
            dilations: [1; 2],
            layout: InputOperandLayout::Nchw,
            output_shape_rounding: RoundingType::Floor,
            output_sizes: None,
        }
    }
}

impl Pool2d {
    pub(super) fn host(self, pooling: Pooling) -> Result<Pool2dOptions, HostError> {
        Ok(Pool2dOptions {
            pooling,
            window_dimensions: self.window_dimensions.map(pair).transpose()?,
            padding: four(self.padding)?,
            strides: pair(self.strides)?,
            dilations: pair(self.dilations)?,
            layout: self.layout,
            output_shape_rounding: self.output_shape_rounding,
            output_sizes: self.output_sizes.map(pair).transpose()?,
        })
    }
}

fn four([a, b, c, d]: [usize; 4]) -> Result<(u32, u32, u32, u32), HostError> {
    let ((a, b), (c, d)) = (pair([a, b])?, pair([c, d])?);
    Ok((a, b, c, d))
}
