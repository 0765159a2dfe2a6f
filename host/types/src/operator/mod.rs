//! Tensor operators as data: what `spillway:tensor/operators` says, in Rust.
//!
//! Names, attributes and semantics are those of W3C WebNN's `MLGraphBuilder` (Candidate Recommendation Draft of 2025),
//! but for [`Operator::Warp`], [`Operator::DecodeImage`], cubic interpolation, `float64` and 64-bit integers, which images
//! and ONNX models need and WebNN has not. Field names and types are the ones that `wit-bindgen` derives from the WIT, so
//! that the SDK builds both from one source.

use crate::DType;

mod nets;

pub use nets::*;

/// One native operator with its attributes; its inputs are given beside it.
#[derive(Clone, Debug, PartialEq)]
#[allow(missing_docs, reason = "variants without a comment are documented on the options that they carry")]
pub enum Operator {
    /// `cast`: each element in another type. Out of range it saturates; to `boolean` anything but 0 is 1.
    Cast(DType),
    /// `reshape`: the same elements, row by row, under another shape of as many elements.
    Reshape(Vec<u32>),
    /// `expand`: axes of length 1, and new leading axes, repeated to the shape given. A view.
    Expand(Vec<u32>),
    /// `transpose`: the axes in another order; empty reverses them. A view.
    Transpose(Vec<u32>),
    Slice(SliceOptions),
    /// `concat`: two or more tensors one after the other along this axis.
    Concat(u32),
    Pad(PadOptions),
    Resample2d(Resample2dOptions),
    Warp(WarpOptions),
    DecodeImage(DecodeImageOptions),
    /// One input, element by element.
    Unary(UnaryOperator),
    /// Two inputs of one type, element by element; shapes are broadcast as NumPy does.
    Binary(BinaryOperator),
    Linear(LinearOptions),
    Clamp(ClampOptions),
    /// `softmax` along this axis, computed after subtracting the greatest element.
    Softmax(u32),
    ArgMax(ArgOptions),
    ArgMin(ArgOptions),
    Reduce(ReduceOptions),
    /// `matmul`: the matrix product of the last two axes; the others are broadcast.
    Matmul,
    /// `where`: three inputs, broadcast: where the first is not 0 the second's elements, else the third's.
    Where,
    /// `gather`: slices of the first input along this axis by the indices of the second, counted from the end where negative.
    Gather(u32),
    /// `gatherElements`: elements of the first input along this axis, by the second, which has as many axes.
    GatherElements(u32),
    /// `gatherND`: slices of the first input by the second, whose last axis holds the leading indices of each.
    GatherNd,
    /// `scatterElements`: the first input with the elements of the third put where the second says, along this axis.
    ScatterElements(u32),
    /// `scatterND`: the first input with the slices of the third put where the second says.
    ScatterNd,
    Triangular(TriangularOptions),
    Gemm(GemmOptions),
    Conv2d(Conv2dOptions),
    ConvTranspose2d(ConvTranspose2dOptions),
    Pool2d(Pool2dOptions),
    BatchNormalization(BatchNormalizationOptions),
    InstanceNormalization(InstanceNormalizationOptions),
    LayerNormalization(LayerNormalizationOptions),
    /// `elu`: `x` where it is positive, else `alpha * (exp(x) - 1)`.
    Elu(f64),
    /// `hardSigmoid`: `alpha * x + beta`, held between 0 and 1.
    HardSigmoid(LinearOptions),
    /// `leakyRelu`: `x` where it is positive, else `alpha * x`.
    LeakyRelu(f64),
    /// `prelu`: `x` where it is positive, else `x` times the second input, broadcast.
    Prelu,
    CumulativeSum(CumulativeSumOptions),
    /// `reverse`: the elements in reverse order along these axes, all if not given.
    Reverse(Option<Vec<u32>>),
    /// `tile`: the tensor repeated so many times along each axis.
    Tile(Vec<u32>),
}

/// Part of a tensor. A view.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SliceOptions {
    /// Where it begins, for each axis.
    pub starts: Vec<u32>,
    /// How long the window on the input is, for each axis, as in WebNN; at least 1.
    pub sizes: Vec<u32>,
    /// Every how many elements of the window are taken, for each axis; empty for every one.
    pub strides: Vec<u32>,
}

/// `pad`: elements added before and after each axis.
#[derive(Clone, Debug, PartialEq)]
pub struct PadOptions {
    /// How many before, for each axis.
    pub beginning_padding: Vec<u32>,
    /// How many after, for each axis.
    pub ending_padding: Vec<u32>,
    /// Which.
    pub mode: PaddingMode,
    /// The element in mode `constant`.
    pub value: f64,
}

/// What stands beyond an edge.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum PaddingMode {
    /// One value.
    Constant,
    /// The nearest element.
    Edge,
    /// The tensor mirrored at its edge, without repeating the edge.
    Reflection,
}

/// `resample2d`: two axes at other lengths. Sample points are at the centres of pixels: output `i` reads at
/// `(i + 0.5) * input / output - 0.5`. Integers are rounded to the nearest.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Resample2dOptions {
    /// How values between elements are found.
    pub mode: InterpolationMode,
    /// The new lengths of the two axes.
    pub sizes: (u32, u32),
    /// The two axes; WebNN's default is the last two of four.
    pub axes: (u32, u32),
}

/// How values between elements are found.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum InterpolationMode {
    /// The nearest element.
    NearestNeighbor,
    /// From the nearest 2 by 2.
    Linear,
    /// From the nearest 4 by 4, by Keys' kernel with a = -0.75, as OpenCV does.
    Cubic,
}

/// An image, `[height, width]` or `[height, width, channels]`, seen through a projective map.
#[derive(Clone, Debug, PartialEq)]
pub struct WarpOptions {
    /// The nine numbers of a 3 by 3 matrix, row by row, that takes `(x, y, 1)` of the output to the input. The last row
    /// of an affine map is 0, 0, 1. Whole numbers are the centres of pixels.
    pub matrix: Vec<f64>,
    /// Height and width of the output.
    pub sizes: (u32, u32),
    /// How values between pixels are found.
    pub mode: InterpolationMode,
    /// What stands beyond the edges of the input.
    pub border: PaddingMode,
    /// The element beyond the edges in mode `constant`.
    pub value: f64,
}

/// A JPEG or PNG file, given as a `uint8` tensor of one axis, as `uint8 [height, width, channels]`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct DecodeImageOptions {
    /// Which channels.
    pub color: ColorMode,
    /// Whether to turn the image upright where its EXIF orientation says how.
    pub orient: bool,
}

/// The channels of an image.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ColorMode {
    /// One: ITU-R BT.601 luma.
    Grayscale,
    /// Red, green, blue.
    Rgb,
    /// Blue, green, red, as models trained with OpenCV expect.
    Bgr,
    /// Red, green, blue, opacity (255 where the file has none).
    Rgba,
}

/// WebNN's elementwise operators of one input.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[allow(missing_docs, reason = "the names say it")]
pub enum UnaryOperator {
    Abs,
    Ceil,
    Cos,
    Erf,
    Exp,
    Floor,
    Gelu,
    Log,
    LogicalNot,
    Neg,
    Reciprocal,
    Relu,
    RoundEven,
    Sigmoid,
    Sign,
    Sin,
    Sqrt,
    Tan,
    Tanh,
    HardSwish,
    Identity,
    IsInfinite,
    IsNan,
    Softplus,
    Softsign,
}

/// WebNN's elementwise operators of two inputs. Comparisons and logic give `boolean`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[allow(missing_docs, reason = "the names say it")]
pub enum BinaryOperator {
    Add,
    Sub,
    Mul,
    Div,
    Max,
    Min,
    Pow,
    Equal,
    NotEqual,
    Greater,
    GreaterOrEqual,
    Lesser,
    LesserOrEqual,
    LogicalAnd,
    LogicalOr,
    LogicalXor,
}

/// `linear`: `alpha * x + beta`, element by element, for floats.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct LinearOptions {
    /// The factor.
    pub alpha: f64,
    /// What is added.
    pub beta: f64,
}

/// `clamp`: each element between two bounds.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct ClampOptions {
    /// The least value, if there is one.
    pub min_value: Option<f64>,
    /// The greatest value, if there is one.
    pub max_value: Option<f64>,
}

/// `argMax` and `argMin`: where along an axis the extreme stands; the first of equals.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ArgOptions {
    /// The axis.
    pub axis: u32,
    /// Whether the axis stays, with length 1.
    pub keep_dimensions: bool,
    /// `int32` or `int64`.
    pub output_data_type: DType,
}

/// `reduceSum` and its kin: one value in place of all along some axes.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ReduceOptions {
    /// Which value.
    pub reduction: Reduction,
    /// Along which axes; all if not given.
    pub axes: Option<Vec<u32>>,
    /// Whether the axes stay, with length 1.
    pub keep_dimensions: bool,
}

/// WebNN's reductions.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[allow(missing_docs, reason = "the names say it")]
pub enum Reduction {
    L1,
    L2,
    LogSum,
    LogSumExp,
    Max,
    Mean,
    Min,
    Product,
    Sum,
    SumSquare,
}
