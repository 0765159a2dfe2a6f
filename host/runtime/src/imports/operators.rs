//! `spillway:tensor/operators` in the words of the inference crate.
//!
//! Every match is without `_`, so that an operator that is added to the WIT does not compile until it is decided on here.

use spillway_types::operator as native;

use super::bindings::tensor::spillway::tensor::operators as wit;
use super::tensors::host_dtype;

/// From the WIT's operator to ours; moves the lists.
pub(super) fn native_operator(operator: wit::Operator) -> native::Operator {
    use native::Operator as To;
    use wit::Operator as From;
    match operator {
        From::Cast(dtype) => To::Cast(host_dtype(dtype)),
        From::Reshape(shape) => To::Reshape(shape),
        From::Expand(shape) => To::Expand(shape),
        From::Transpose(permutation) => To::Transpose(permutation),
        From::Slice(wit::SliceOptions { starts, sizes, strides }) => {
            To::Slice(native::SliceOptions { starts, sizes, strides })
        }
        From::Concat(axis) => To::Concat(axis),
        From::Pad(wit::PadOptions { beginning_padding, ending_padding, mode, value }) => {
            To::Pad(native::PadOptions { beginning_padding, ending_padding, mode: padding(mode), value })
        }
        From::Resample2d(wit::Resample2dOptions { mode, sizes, axes }) => {
            To::Resample2d(native::Resample2dOptions { mode: interpolation(mode), sizes, axes })
        }
        From::Warp(wit::WarpOptions { matrix, sizes, mode, border, value }) => {
            let (mode, border) = (interpolation(mode), padding(border));
            To::Warp(native::WarpOptions { matrix, sizes, mode, border, value })
        }
        From::DecodeImage(wit::DecodeImageOptions { color: mode, orient }) => {
            To::DecodeImage(native::DecodeImageOptions { color: color(mode), orient })
        }
        From::Unary(operator) => To::Unary(unary(operator)),
        From::Binary(operator) => To::Binary(binary(operator)),
        From::Linear(wit::LinearOptions { alpha, beta }) => To::Linear(native::LinearOptions { alpha, beta }),
        From::Clamp(wit::ClampOptions { min_value, max_value }) => {
            To::Clamp(native::ClampOptions { min_value, max_value })
        }
        From::Softmax(axis) => To::Softmax(axis),
        From::ArgMax(options) => To::ArgMax(arg(options)),
        From::ArgMin(options) => To::ArgMin(arg(options)),
        From::Reduce(wit::ReduceOptions { reduction: which, axes, keep_dimensions }) => {
            To::Reduce(native::ReduceOptions { reduction: reduction(which), axes, keep_dimensions })
        }
        From::Matmul => To::Matmul,
        From::Where => To::Where,
        From::Gather(axis) => To::Gather(axis),
        From::GatherElements(axis) => To::GatherElements(axis),
        From::GatherNd => To::GatherNd,
        From::ScatterElements(axis) => To::ScatterElements(axis),
        From::ScatterNd => To::ScatterNd,
        From::Triangular(wit::TriangularOptions { upper, diagonal }) => {
            To::Triangular(native::TriangularOptions { upper, diagonal })
        }
        From::Gemm(wit::GemmOptions { alpha, beta, a_transpose, b_transpose }) => {
            To::Gemm(native::GemmOptions { alpha, beta, a_transpose, b_transpose })
        }
        From::Conv2d(options) => To::Conv2d(conv2d(options)),
        From::ConvTranspose2d(options) => To::ConvTranspose2d(conv_transpose2d(options)),
        From::Pool2d(options) => To::Pool2d(pool2d(options)),
        From::BatchNormalization(wit::BatchNormalizationOptions { axis, epsilon, has_scale, has_bias }) => {
            To::BatchNormalization(native::BatchNormalizationOptions { axis, epsilon, has_scale, has_bias })
        }
        From::InstanceNormalization(wit::InstanceNormalizationOptions { epsilon, layout, has_scale, has_bias }) => {
            let layout = input_layout(layout);
            To::InstanceNormalization(native::InstanceNormalizationOptions { epsilon, layout, has_scale, has_bias })
        }
        From::LayerNormalization(wit::LayerNormalizationOptions { axes, epsilon, has_scale, has_bias }) => {
            To::LayerNormalization(native::LayerNormalizationOptions { axes, epsilon, has_scale, has_bias })
        }
        From::Elu(alpha) => To::Elu(alpha),
        From::HardSigmoid(wit::LinearOptions { alpha, beta }) => To::HardSigmoid(native::LinearOptions { alpha, beta }),
        From::LeakyRelu(alpha) => To::LeakyRelu(alpha),
        From::Prelu => To::Prelu,
        From::CumulativeSum(wit::CumulativeSumOptions { axis, exclusive, reversed }) => {
            To::CumulativeSum(native::CumulativeSumOptions { axis, exclusive, reversed })
        }
        From::Reverse(axes) => To::Reverse(axes),
        From::Tile(repetitions) => To::Tile(repetitions),
    }
}

fn conv2d(options: wit::Conv2dOptions) -> native::Conv2dOptions {
    let wit::Conv2dOptions { padding, strides, dilations, groups, input_layout: image, filter_layout: filter } =
        options;
    let (input_layout, filter_layout) = (input_layout(image), filter_layout(filter));
    native::Conv2dOptions { padding, strides, dilations, groups, input_layout, filter_layout }
}

fn conv_transpose2d(options: wit::ConvTranspose2dOptions) -> native::ConvTranspose2dOptions {
    native::ConvTranspose2dOptions {
        padding: options.padding,
        strides: options.strides,
        dilations: options.dilations,
        output_padding: options.output_padding,
        output_sizes: options.output_sizes,
        groups: options.groups,
        input_layout: input_layout(options.input_layout),
        filter_layout: transposed_layout(options.filter_layout),
    }
}

fn pool2d(options: wit::Pool2dOptions) -> native::Pool2dOptions {
    native::Pool2dOptions {
        pooling: pooling(options.pooling),
        window_dimensions: options.window_dimensions,
        padding: options.padding,
        strides: options.strides,
        dilations: options.dilations,
        layout: input_layout(options.layout),
        output_shape_rounding: rounding(options.output_shape_rounding),
        output_sizes: options.output_sizes,
    }
}

fn arg(options: wit::ArgOptions) -> native::ArgOptions {
    let wit::ArgOptions { axis, keep_dimensions, output_data_type } = options;
    native::ArgOptions { axis, keep_dimensions, output_data_type: host_dtype(output_data_type) }
}

macro_rules! by_name {
    ($($function:ident: $name:ident { $($case:ident),* $(,)? })*) => {$(
        fn $function(value: wit::$name) -> native::$name {
            match value { $(wit::$name::$case => native::$name::$case),* }
        }
    )*};
}

by_name! {
    padding: PaddingMode { Constant, Edge, Reflection }
    interpolation: InterpolationMode { NearestNeighbor, Linear, Cubic }
    color: ColorMode { Grayscale, Rgb, Bgr, Rgba }
    unary: UnaryOperator {
        Abs, Ceil, Cos, Erf, Exp, Floor, Gelu, Log, LogicalNot, Neg, Reciprocal, Relu, RoundEven, Sigmoid, Sign, Sin, Sqrt,
        Tan, Tanh, HardSwish, Identity, IsInfinite, IsNan, Softplus, Softsign,
    }
    input_layout: InputOperandLayout { Nchw, Nhwc }
    filter_layout: FilterOperandLayout { Oihw, Hwio, Ohwi, Ihwo }
    transposed_layout: TransposedFilterLayout { Iohw, Hwoi, Ohwi }
    pooling: Pooling { Average, L2, Max }
    rounding: RoundingType { Floor, Ceil }
    binary: BinaryOperator {
        Add, Sub, Mul, Div, Max, Min, Pow, Equal, NotEqual, Greater, GreaterOrEqual, Lesser, LesserOrEqual, LogicalAnd,
        LogicalOr, LogicalXor,
    }
    reduction: Reduction { L1, L2, LogSum, LogSumExp, Max, Mean, Min, Product, Sum, SumSquare }
}
