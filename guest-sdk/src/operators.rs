//! Native operators, by the names of W3C WebNN: one table, for tensors at once and for the operands of graphs.

mod arithmetic;
mod nets;
mod parts;
mod shapes;

pub use arithmetic::Pending;
pub use nets::{
    Conv2d, ConvTranspose2d, FilterOperandLayout, InputOperandLayout, Pool2d, Pooling, RoundingType,
    TransposedFilterLayout,
};

use crate::host::operators::{
    ArgOptions, BatchNormalizationOptions, ClampOptions, CumulativeSumOptions, DecodeImageOptions, GemmOptions,
    InstanceNormalizationOptions, LayerNormalizationOptions, LinearOptions, Operator, PadOptions, ReduceOptions,
    Resample2dOptions, SliceOptions, TriangularOptions, WarpOptions,
};
pub use crate::host::operators::{BinaryOperator, ColorMode, InterpolationMode, PaddingMode, Reduction, UnaryOperator};
use crate::host::{self, HostError};
use crate::{DType, Operand, Tensor};

/// For each operator: its name, other inputs in brackets, inputs that may be left out in braces, then its attributes, and
/// what the host gets of it.
macro_rules! operators {
    ($make:ident) => {
        $make! {
            /// Each element in another type. Out of range it saturates; to [`DType::Boolean`] anything but 0 is true.
            cast [] {} (dtype: DType) => Ok(Operator::Cast(dtype.into()));
            /// The same elements, row by row, under another shape of as many elements.
            reshape [] {} (shape: &[usize]) => axes(shape).map(Operator::Reshape);
            /// Axes of length 1, and new leading axes, repeated to `shape`.
            expand [] {} (shape: &[usize]) => axes(shape).map(Operator::Expand);
            /// The axes in another order: axis `i` of the result is axis `permutation[i]`. Empty reverses them.
            transpose [] {} (permutation: &[usize]) => axes(permutation).map(Operator::Transpose);
            /// The window of `sizes` that begins at `starts`.
            slice [] {} (starts: &[usize], sizes: &[usize]) => slices(starts, sizes, &[]);
            /// Every `strides`-th element of the window of `sizes` that begins at `starts`.
            slice_every [] {} (starts: &[usize], sizes: &[usize], strides: &[usize]) => slices(starts, sizes, strides);
            /// Elements added before and after each axis; `value` is what they are in mode
            /// [`Constant`](PaddingMode::Constant).
            pad [] {} (before: &[usize], after: &[usize], mode: PaddingMode, value: f64) => axes(before).and_then(|before| {
                Ok(Operator::Pad(PadOptions { beginning_padding: before, ending_padding: axes(after)?, mode, value }))
            });
            /// Two axes resampled to `sizes`, with sample points at the centres of pixels.
            resample2d [] {} (axes: [usize; 2], sizes: [usize; 2], mode: InterpolationMode) => pair(axes).and_then(|axes| {
                Ok(Operator::Resample2d(Resample2dOptions { mode, sizes: pair(sizes)?, axes }))
            });
            /// An image, `[height, width]` or `[height, width, channels]`, through the 3 by 3 `matrix` that takes `(x, y, 1)` of
            /// the output to the input. Beyond its edges the image goes on as `border` says; `Constant` is 0.
            warp [] {} (matrix: &[f64; 9], sizes: [usize; 2], mode: InterpolationMode, border: PaddingMode) =>
                pair(sizes).map(|sizes| {
                    Operator::Warp(WarpOptions { matrix: matrix.to_vec(), sizes, mode, border, value: 0.0 })
                });
            /// An operator on each element.
            map [] {} (operator: UnaryOperator) => Ok(Operator::Unary(operator));
            /// An operator on each pair of elements; shapes are broadcast as NumPy does.
            zip [right] {} (operator: BinaryOperator) => Ok(Operator::Binary(operator));
            /// `alpha * x + beta` for each element, of floats.
            linear [] {} (alpha: f64, beta: f64) => Ok(Operator::Linear(LinearOptions { alpha, beta }));
            /// Each element between two bounds.
            clamp [] {} (min: Option<f64>, max: Option<f64>) =>
                Ok(Operator::Clamp(ClampOptions { min_value: min, max_value: max }));
            /// Softmax along `axis`, of floats.
            softmax [] {} (axis: usize) => index(axis).map(Operator::Softmax);
            /// Where along `axis` the greatest element stands, the first of equals, as `int32`; the axis goes.
            arg_max [] {} (axis: usize) => arg_options(axis).map(Operator::ArgMax);
            /// Where along `axis` the least element stands, the first of equals, as `int32`; the axis goes.
            arg_min [] {} (axis: usize) => arg_options(axis).map(Operator::ArgMin);
            /// One value in place of all along `over`; these axes go.
            reduce [] {} (reduction: Reduction, over: &[usize]) => reduction_of(reduction, over, false);
            /// One value in place of all along `over`; these axes stay, with length 1.
            reduce_kept [] {} (reduction: Reduction, over: &[usize]) => reduction_of(reduction, over, true);
            /// The sum of all along `over`, in their place; these axes go.
            sum [] {} (over: &[usize]) => reduction_of(Reduction::Sum, over, false);
            /// The mean of all along `over`, of floats, in their place; these axes go.
            mean [] {} (over: &[usize]) => reduction_of(Reduction::Mean, over, false);
            /// The greatest of all along `over`, in their place; these axes go.
            amax [] {} (over: &[usize]) => reduction_of(Reduction::Max, over, false);
            /// The least of all along `over`, in their place; these axes go.
            amin [] {} (over: &[usize]) => reduction_of(Reduction::Min, over, false);
            /// The matrix product over the last two axes; the others are broadcast.
            matmul [right] {} () => Ok(Operator::Matmul);
            /// `alpha * self * b + beta * c` of matrices, each of the first two transposed before if so said; `c` is broadcast.
            gemm [b] {c} (alpha: f64, beta: f64, a_transpose: bool, b_transpose: bool) =>
                Ok(Operator::Gemm(GemmOptions { alpha, beta, a_transpose, b_transpose }));
            /// Where this (of booleans, or `uint8` that is not 0) is true the elements of `yes`, else those of `no`; all three are
            /// broadcast.
            select [yes, no] {} () => Ok(Operator::Where);
            /// Slices along `axis` by `indices`, which are counted from the end where negative.
            gather [indices] {} (axis: usize) => index(axis).map(Operator::Gather);
            /// Elements along `axis` by `indices`, which has as many axes.
            gather_elements [indices] {} (axis: usize) => index(axis).map(Operator::GatherElements);
            /// Slices by `indices`, whose last axis holds the leading indices of each.
            gather_nd [indices] {} () => Ok(Operator::GatherNd);
            /// This with the elements of `updates` put where `indices` says, along `axis`.
            scatter_elements [indices, updates] {} (axis: usize) => index(axis).map(Operator::ScatterElements);
            /// This with the slices of `updates` put where `indices` says.
            scatter_nd [indices, updates] {} () => Ok(Operator::ScatterNd);
            /// Of matrices what is on and above the diagonal (`upper`), or on and below it; the rest becomes 0.
            triangular [] {} (upper: bool, diagonal: i32) => Ok(Operator::Triangular(TriangularOptions { upper, diagonal }));
            /// A convolution of images with `filter`.
            conv2d [filter] {bias} (options: Conv2d) => options.host().map(Operator::Conv2d);
            /// A transposed convolution of images with `filter`.
            conv_transpose2d [filter] {bias} (options: ConvTranspose2d) => options.host().map(Operator::ConvTranspose2d);
            /// One value for each window of images.
            pool2d [] {} (pooling: Pooling, options: Pool2d) => options.host(pooling).map(Operator::Pool2d);
            /// `(x - mean) / sqrt(variance + epsilon) * scale + bias` along `axis`.
            batch_normalization [mean, variance] {scale, bias} (axis: usize, epsilon: f64) => index(axis).map(|axis| {
                let (has_scale, has_bias) = (scale.is_some(), bias.is_some());
                Operator::BatchNormalization(BatchNormalizationOptions { axis, epsilon, has_scale, has_bias })
            });
            /// The same with mean and variance of each channel of each image.
            instance_normalization [] {scale, bias} (layout: InputOperandLayout, epsilon: f64) => {
                let (has_scale, has_bias) = (scale.is_some(), bias.is_some());
                Ok(Operator::InstanceNormalization(InstanceNormalizationOptions { epsilon, layout, has_scale, has_bias }))
            };
            /// The same with mean and variance over the axes `over`.
            layer_normalization [] {scale, bias} (over: &[usize], epsilon: f64) => axes(over).map(|over| {
                let (axes, has_scale, has_bias) = (Some(over), scale.is_some(), bias.is_some());
                Operator::LayerNormalization(LayerNormalizationOptions { axes, epsilon, has_scale, has_bias })
            });
            /// `x` where it is positive, else `alpha * (exp(x) - 1)`.
            elu [] {} (alpha: f64) => Ok(Operator::Elu(alpha));
            /// `alpha * x + beta`, held between 0 and 1.
            hard_sigmoid [] {} (alpha: f64, beta: f64) => Ok(Operator::HardSigmoid(LinearOptions { alpha, beta }));
            /// `x` where it is positive, else `alpha * x`.
            leaky_relu [] {} (alpha: f64) => Ok(Operator::LeakyRelu(alpha));
            /// `x` where it is positive, else `x * slope`.
            prelu [slope] {} () => Ok(Operator::Prelu);
            /// Each element the sum of those up to it along `axis`; without itself if `exclusive`, from the end if `reversed`.
            cumulative_sum [] {} (axis: usize, exclusive: bool, reversed: bool) => index(axis).map(|axis| {
                Operator::CumulativeSum(CumulativeSumOptions { axis, exclusive, reversed })
            });
            /// The elements in reverse order along the axes `over`.
            reverse [] {} (over: &[usize]) => axes(over).map(|over| Operator::Reverse(Some(over)));
            /// The tensor repeated so many times along each axis.
            tile [] {} (repetitions: &[usize]) => axes(repetitions).map(Operator::Tile);
        }
    };
}

/// The same for operators of one and two inputs without attributes.
macro_rules! elementwise {
    ($unary:ident, $binary:ident) => {
        $unary! {
            /// The absolute value.
            abs => Abs;
            /// Rounded up.
            ceil => Ceil;
            /// The cosine.
            cos => Cos;
            /// The error function.
            erf => Erf;
            /// The exponential.
            exp => Exp;
            /// Rounded down.
            floor => Floor;
            /// GELU, by the error function.
            gelu => Gelu;
            /// The natural logarithm.
            log => Log;
            /// The opposite.
            neg => Neg;
            /// `x * relu6(x + 3) / 6`.
            hard_swish => HardSwish;
            /// Whether it is false.
            logical_not => LogicalNot;
            /// `1 / x`.
            reciprocal => Reciprocal;
            /// `x` where it is positive, else 0.
            relu => Relu;
            /// The logistic function.
            sigmoid => Sigmoid;
            /// The sine.
            sin => Sin;
            /// `ln(1 + exp(x))`.
            softplus => Softplus;
            /// The square root.
            sqrt => Sqrt;
            /// The hyperbolic tangent.
            tanh => Tanh;
        }
        $binary! {
            /// The sum; integers wrap around.
            add => Add;
            /// The difference; integers wrap around.
            sub => Sub;
            /// The product; integers wrap around.
            mul => Mul;
            /// The quotient; an integer divided by 0 is 0.
            div => Div;
            /// The greater.
            max => Max;
            /// The lesser.
            min => Min;
            /// The power.
            pow => Pow;
            /// Whether they are equal.
            equal => Equal;
            /// Whether they are not equal.
            not_equal => NotEqual;
            /// Whether the left is greater.
            greater => Greater;
            /// Whether the left is greater or equal.
            greater_or_equal => GreaterOrEqual;
            /// Whether the left is lesser.
            lesser => Lesser;
            /// Whether the left is lesser or equal.
            lesser_or_equal => LesserOrEqual;
            /// Whether both are true, of booleans.
            logical_and => LogicalAnd;
            /// Whether one or both are true, of booleans.
            logical_or => LogicalOr;
            /// Whether just one is true, of booleans.
            logical_xor => LogicalXor;
        }
    };
}

macro_rules! at_once {
    ($($(#[$doc:meta])* $name:ident [$($other:ident),*] {$($optional:ident),*} ($($argument:ident: $type:ty),*) => $operator:expr;)*) => {
        /// Operators run natively in the host. Short ones are done when the call returns; while a long one computes, the sandbox
        /// serves other requests. Each may fail with [`InvalidArgument`](crate::HostErrorCode::InvalidArgument), naming the
        /// operator, the argument and the rule, or with [`OutOfMemory`](crate::HostErrorCode::OutOfMemory).
        ///
        /// [`reshape`](Self::reshape), [`expand`](Self::expand), [`transpose`](Self::transpose) and [`slice`](Self::slice) copy
        /// nothing: they are views of the tensor that they are taken from, and keep it charged.
        impl Tensor {$(
            $(#[$doc])*
            #[allow(clippy::too_many_arguments, reason = "as many as the operator has")]
            pub async fn $name(
                &self, $($other: &Self,)* $($optional: Option<&Self>,)* $($argument: $type),*
            ) -> Result<Self, HostError> {
                let operator: Result<Operator, HostError> = $operator;
                #[allow(unused_mut, reason = "only some have inputs that may be left out")]
                let mut inputs = vec![self, $($other),*];
                $(inputs.extend($optional);)*
                Self::compute(operator?, &inputs).await
            }
        )*}
    };
}
operators!(at_once);

macro_rules! in_graphs {
    ($($(#[$doc:meta])* $name:ident [$($other:ident),*] {$($optional:ident),*} ($($argument:ident: $type:ty),*) => $operator:expr;)*) => {
        /// Operators on operands mean what they do on [`Tensor`]s. What is wrong with one is said when the graph is built, with
        /// the place of the call; what follows from it is passed over.
        impl Operand {$(
            $(#[$doc])*
            #[track_caller]
            #[must_use]
            #[allow(clippy::too_many_arguments, reason = "as many as the operator has")]
            pub fn $name(&self, $($other: &Self,)* $($optional: Option<&Self>,)* $($argument: $type),*) -> Self {
                let operator: Result<Operator, HostError> = $operator;
                #[allow(unused_mut, reason = "only some have inputs that may be left out")]
                let mut inputs = vec![self, $($other),*];
                $(inputs.extend($optional);)*
                Self::record(operator, &inputs)
            }
        )*}
    };
}
operators!(in_graphs);

macro_rules! unary_at_once {
    ($($(#[$doc:meta])* $name:ident => $operator:ident;)*) => {
        /// Operators on each element.
        impl Tensor {$(
            $(#[$doc])*
            pub async fn $name(&self) -> Result<Self, HostError> {
                Self::compute(Operator::Unary(UnaryOperator::$operator), &[self]).await
            }
        )*}
    };
}

macro_rules! binary_at_once {
    ($($(#[$doc:meta])* $name:ident => $operator:ident;)*) => {
        /// Operators on two tensors of one type, element by element; shapes are broadcast as NumPy does.
        impl Tensor {$(
            $(#[$doc])*
            pub async fn $name(&self, right: &Self) -> Result<Self, HostError> {
                Self::compute(Operator::Binary(BinaryOperator::$operator), &[self, right]).await
            }
        )*}
    };
}
elementwise!(unary_at_once, binary_at_once);

macro_rules! unary_in_graphs {
    ($($(#[$doc:meta])* $name:ident => $operator:ident;)*) => {
        /// Operators on each element.
        impl Operand {$(
            $(#[$doc])*
            #[track_caller]
            #[must_use]
            pub fn $name(&self) -> Self {
                Self::record(Ok(Operator::Unary(UnaryOperator::$operator)), &[self])
            }
        )*}
    };
}

macro_rules! binary_in_graphs {
    ($($(#[$doc:meta])* $name:ident => $operator:ident;)*) => {
        /// Operators on two operands of one type, element by element; shapes are broadcast as NumPy does.
        impl Operand {$(
            $(#[$doc])*
            #[track_caller]
            #[must_use]
            #[allow(clippy::should_implement_trait, reason = "the operators are there, too, for references")]
            pub fn $name(&self, right: &Self) -> Self {
                Self::record(Ok(Operator::Binary(BinaryOperator::$operator)), &[self, right])
            }
        )*}
    };
}
elementwise!(unary_in_graphs, binary_in_graphs);

impl Tensor {
    /// Decodes a JPEG or PNG file to `uint8 [height, width, channels]`, upright where its EXIF orientation says how.
    pub async fn decode_image(file: &[u8], color: ColorMode) -> Result<Self, HostError> {
        let file = Self::from_slice(file, &[file.len()])?;
        Self::compute(Operator::DecodeImage(DecodeImageOptions { color, orient: true }), &[&file]).await
    }

    async fn compute(operator: Operator, inputs: &[&Self]) -> Result<Self, HostError> {
        Ok(Self::from_handle(host::Tensor::compute(operator, inputs).await?))
    }
}

fn slices(starts: &[usize], sizes: &[usize], strides: &[usize]) -> Result<Operator, HostError> {
    Ok(Operator::Slice(SliceOptions { starts: axes(starts)?, sizes: axes(sizes)?, strides: axes(strides)? }))
}

fn reduction_of(reduction: Reduction, over: &[usize], keep_dimensions: bool) -> Result<Operator, HostError> {
    Ok(Operator::Reduce(ReduceOptions { reduction, axes: Some(axes(over)?), keep_dimensions }))
}

fn arg_options(axis: usize) -> Result<ArgOptions, HostError> {
    Ok(ArgOptions { axis: index(axis)?, keep_dimensions: false, output_data_type: DType::Int32.into() })
}

fn axes(values: &[usize]) -> Result<Vec<u32>, HostError> {
    values.iter().map(|&value| index(value)).collect()
}

fn pair([first, second]: [usize; 2]) -> Result<(u32, u32), HostError> {
    Ok((index(first)?, index(second)?))
}

fn index(value: usize) -> Result<u32, HostError> {
    u32::try_from(value).map_err(|_| HostError::invalid(format!("{value} is more than an axis may have")))
}
