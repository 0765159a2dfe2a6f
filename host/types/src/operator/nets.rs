//! Options of the operators that neural nets are made of.

/// `triangular`: elements of matrices, the last two axes, on one side of a diagonal; the others become 0.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct TriangularOptions {
    /// Whether what is above the diagonal stays, else what is below.
    pub upper: bool,
    /// Which diagonal: 0 is the main one, 1 the one above it.
    pub diagonal: i32,
}

/// `gemm`: `alpha * A * B + beta * C` of matrices; inputs A, B and, if there is one, C, which is broadcast.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct GemmOptions {
    /// The factor of the product.
    pub alpha: f64,
    /// The factor of C.
    pub beta: f64,
    /// Whether the first matrix is transposed first.
    pub a_transpose: bool,
    /// Whether the second one is.
    pub b_transpose: bool,
}

/// The order of an image's axes.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum InputOperandLayout {
    /// Batch, channels, height, width.
    Nchw,
    /// Batch, height, width, channels.
    Nhwc,
}

/// The order of a convolution's filter: `o`utput channels, `i`nput channels of a group, `h`eight, `w`idth.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[allow(missing_docs, reason = "the names say it")]
pub enum FilterOperandLayout {
    Oihw,
    Hwio,
    Ohwi,
    Ihwo,
}

/// `conv2d`. Inputs: the image, the filter and, if there is one, the bias of as many elements as there are output channels.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Conv2dOptions {
    /// Before and after the height, before and after the width.
    pub padding: (u32, u32, u32, u32),
    /// Of height and width.
    pub strides: (u32, u32),
    /// Of height and width.
    pub dilations: (u32, u32),
    /// Into how many parts the channels fall.
    pub groups: u32,
    /// The order of the image's axes, and of the output's.
    pub input_layout: InputOperandLayout,
    /// The order of the filter's axes.
    pub filter_layout: FilterOperandLayout,
}

/// The order of a transposed convolution's filter: `i`nput channels, `o`utput channels of a group, `h`eight, `w`idth.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[allow(missing_docs, reason = "the names say it")]
pub enum TransposedFilterLayout {
    Iohw,
    Hwoi,
    Ohwi,
}

/// `convTranspose2d`. Inputs as of `conv2d`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ConvTranspose2dOptions {
    /// Before and after the height, before and after the width, of the output.
    pub padding: (u32, u32, u32, u32),
    /// Of height and width.
    pub strides: (u32, u32),
    /// Of height and width.
    pub dilations: (u32, u32),
    /// Added to the end of height and width of the output; smaller than the strides.
    pub output_padding: (u32, u32),
    /// Height and width of the output, in place of `output_padding`.
    pub output_sizes: Option<(u32, u32)>,
    /// Into how many parts the channels fall.
    pub groups: u32,
    /// The order of the image's axes, and of the output's.
    pub input_layout: InputOperandLayout,
    /// The order of the filter's axes.
    pub filter_layout: TransposedFilterLayout,
}

/// What a pooling makes of its window.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[allow(missing_docs, reason = "the names say it")]
pub enum Pooling {
    Average,
    L2,
    Max,
}

/// How the number of windows is rounded where the last one is not whole.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[allow(missing_docs, reason = "the names say it")]
pub enum RoundingType {
    Floor,
    Ceil,
}

/// `averagePool2d`, `l2Pool2d`, `maxPool2d`. What is beyond the edges counts for nothing, not even for the average.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Pool2dOptions {
    /// Which of them.
    pub pooling: Pooling,
    /// Height and width of the window; those of the input if not given.
    pub window_dimensions: Option<(u32, u32)>,
    /// Before and after the height, before and after the width.
    pub padding: (u32, u32, u32, u32),
    /// Of height and width.
    pub strides: (u32, u32),
    /// Of height and width.
    pub dilations: (u32, u32),
    /// The order of the axes.
    pub layout: InputOperandLayout,
    /// How the number of windows is rounded.
    pub output_shape_rounding: RoundingType,
    /// Height and width of the output, in place of what rounding gives.
    pub output_sizes: Option<(u32, u32)>,
}

/// `batchNormalization`: `(x - mean) / sqrt(variance + epsilon) * scale + bias` along an axis. Inputs: x, mean, variance, and
/// scale and bias, those that there are; all but x have one axis.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct BatchNormalizationOptions {
    /// The axis of the channels.
    pub axis: u32,
    /// What keeps it from dividing by 0.
    pub epsilon: f64,
    /// Whether there is a scale.
    pub has_scale: bool,
    /// Whether there is a bias.
    pub has_bias: bool,
}

/// `instanceNormalization`: the same with the mean and variance of each channel of each image. Inputs: x, and scale and bias
/// of one axis, those that there are.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct InstanceNormalizationOptions {
    /// What keeps it from dividing by 0.
    pub epsilon: f64,
    /// The order of the axes.
    pub layout: InputOperandLayout,
    /// Whether there is a scale.
    pub has_scale: bool,
    /// Whether there is a bias.
    pub has_bias: bool,
}

/// `layerNormalization`: the same with the mean and variance over some axes. Inputs: x, and scale and bias of these axes'
/// shape, those that there are.
#[derive(Clone, Debug, PartialEq)]
pub struct LayerNormalizationOptions {
    /// All but the first if not given.
    pub axes: Option<Vec<u32>>,
    /// What keeps it from dividing by 0.
    pub epsilon: f64,
    /// Whether there is a scale.
    pub has_scale: bool,
    /// Whether there is a bias.
    pub has_bias: bool,
}

/// `cumulativeSum`: each element the sum of those up to it along an axis.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct CumulativeSumOptions {
    /// The axis.
    pub axis: u32,
    /// Whether without itself.
    pub exclusive: bool,
    /// Whether from the end.
    pub reversed: bool,
}
