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
        Tan, Tanh,
    }
    binary: BinaryOperator {
        Add, Sub, Mul, Div, Max, Min, Pow, Equal, NotEqual, Greater, GreaterOrEqual, Lesser, LesserOrEqual, LogicalAnd,
        LogicalOr, LogicalXor,
    }
    reduction: Reduction { L1, L2, LogSum, LogSumExp, Max, Mean, Min, Product, Sum, SumSquare }
}
