//! Native operators on tensors, by the names of W3C WebNN.

use crate::host::operators::{
    ArgOptions, BinaryOperator, ClampOptions, DecodeImageOptions, LinearOptions, Operator, PadOptions, ReduceOptions,
    Resample2dOptions, SliceOptions, WarpOptions,
};
pub use crate::host::operators::{ColorMode, InterpolationMode, PaddingMode, Reduction, UnaryOperator};
use crate::host::{self, HostError};
use crate::{DType, Tensor};

/// Operators run natively in the host. Short ones are done when the call returns; while a long one computes, the sandbox
/// serves other requests. Each may fail with [`InvalidArgument`](crate::HostErrorCode::InvalidArgument), naming the
/// operator, the argument and the rule, or with [`OutOfMemory`](crate::HostErrorCode::OutOfMemory).
///
/// [`reshape`](Self::reshape), [`expand`](Self::expand), [`transpose`](Self::transpose) and [`slice`](Self::slice) copy
/// nothing: they are views of the tensor that they are taken from, and keep it charged.
impl Tensor {
    /// Each element in another type. Out of range it saturates; to [`DType::Boolean`] anything but 0 is true.
    pub async fn cast(&self, dtype: DType) -> Result<Self, HostError> {
        self.apply(Operator::Cast(dtype.into())).await
    }

    /// The same elements, row by row, under another shape of as many elements.
    pub async fn reshape(&self, shape: &[usize]) -> Result<Self, HostError> {
        self.apply(Operator::Reshape(axes(shape)?)).await
    }

    /// Axes of length 1, and new leading axes, repeated to `shape`.
    pub async fn expand(&self, shape: &[usize]) -> Result<Self, HostError> {
        self.apply(Operator::Expand(axes(shape)?)).await
    }

    /// The axes in another order: axis `i` of the result is axis `permutation[i]`. Empty reverses them.
    pub async fn transpose(&self, permutation: &[usize]) -> Result<Self, HostError> {
        self.apply(Operator::Transpose(axes(permutation)?)).await
    }

    /// The window of `sizes` that begins at `starts`.
    pub async fn slice(&self, starts: &[usize], sizes: &[usize]) -> Result<Self, HostError> {
        self.slice_every(starts, sizes, &[]).await
    }

    /// Every `strides`-th element of the window of `sizes` that begins at `starts`.
    pub async fn slice_every(&self, starts: &[usize], sizes: &[usize], strides: &[usize]) -> Result<Self, HostError> {
        let (starts, sizes, strides) = (axes(starts)?, axes(sizes)?, axes(strides)?);
        self.apply(Operator::Slice(SliceOptions { starts, sizes, strides })).await
    }

    /// Two or more tensors of one type one after the other along `axis`.
    pub async fn concat(tensors: &[&Self], axis: usize) -> Result<Self, HostError> {
        Self::compute(Operator::Concat(index(axis)?), tensors).await
    }

    /// Elements added before and after each axis; `value` is what they are in mode
    /// [`Constant`](PaddingMode::Constant).
    pub async fn pad(
        &self,
        before: &[usize],
        after: &[usize],
        mode: PaddingMode,
        value: f64,
    ) -> Result<Self, HostError> {
        let (beginning_padding, ending_padding) = (axes(before)?, axes(after)?);
        self.apply(Operator::Pad(PadOptions { beginning_padding, ending_padding, mode, value })).await
    }

    /// Two axes resampled to `sizes`, with sample points at the centres of pixels.
    pub async fn resample2d(
        &self,
        axes: [usize; 2],
        sizes: [usize; 2],
        mode: InterpolationMode,
    ) -> Result<Self, HostError> {
        let (sizes, axes) = (pair(sizes)?, pair(axes)?);
        self.apply(Operator::Resample2d(Resample2dOptions { mode, sizes, axes })).await
    }

    /// An image, `[height, width]` or `[height, width, channels]`, through the 3 by 3 `matrix` that takes `(x, y, 1)` of
    /// the output to the input. Beyond its edges the image goes on as `border` says; `Constant` is 0.
    pub async fn warp(
        &self,
        matrix: &[f64; 9],
        sizes: [usize; 2],
        mode: InterpolationMode,
        border: PaddingMode,
    ) -> Result<Self, HostError> {
        let options = WarpOptions { matrix: matrix.to_vec(), sizes: pair(sizes)?, mode, border, value: 0.0 };
        self.apply(Operator::Warp(options)).await
    }

    /// Decodes a JPEG or PNG file to `uint8 [height, width, channels]`, upright where its EXIF orientation says how.
    pub async fn decode_image(file: &[u8], color: ColorMode) -> Result<Self, HostError> {
        let file = Self::from_slice(file, &[file.len()])?;
        file.apply(Operator::DecodeImage(DecodeImageOptions { color, orient: true })).await
    }

    /// An operator on each element.
    pub async fn map(&self, operator: UnaryOperator) -> Result<Self, HostError> {
        self.apply(Operator::Unary(operator)).await
    }

    /// `alpha * x + beta` for each element, of floats.
    pub async fn linear(&self, alpha: f64, beta: f64) -> Result<Self, HostError> {
        self.apply(Operator::Linear(LinearOptions { alpha, beta })).await
    }

    /// Each element between two bounds.
    pub async fn clamp(&self, min: Option<f64>, max: Option<f64>) -> Result<Self, HostError> {
        self.apply(Operator::Clamp(ClampOptions { min_value: min, max_value: max })).await
    }

    /// Softmax along `axis`, of floats.
    pub async fn softmax(&self, axis: usize) -> Result<Self, HostError> {
        self.apply(Operator::Softmax(index(axis)?)).await
    }

    /// Where along `axis` the greatest element stands, the first of equals, as `int32`; the axis goes.
    pub async fn arg_max(&self, axis: usize) -> Result<Self, HostError> {
        self.apply(Operator::ArgMax(arg_options(axis)?)).await
    }

    /// Where along `axis` the least element stands, the first of equals, as `int32`; the axis goes.
    pub async fn arg_min(&self, axis: usize) -> Result<Self, HostError> {
        self.apply(Operator::ArgMin(arg_options(axis)?)).await
    }

    /// One value in place of all along `over`; these axes go.
    pub async fn reduce(&self, reduction: Reduction, over: &[usize]) -> Result<Self, HostError> {
        let options = ReduceOptions { reduction, axes: Some(axes(over)?), keep_dimensions: false };
        self.apply(Operator::Reduce(options)).await
    }

    /// The matrix product over the last two axes; the others are broadcast.
    pub async fn matmul(&self, right: &Self) -> Result<Self, HostError> {
        Self::compute(Operator::Matmul, &[self, right]).await
    }

    async fn apply(&self, operator: Operator) -> Result<Self, HostError> {
        Self::compute(operator, &[self]).await
    }

    async fn compute(operator: Operator, inputs: &[&Self]) -> Result<Self, HostError> {
        let handles: Vec<_> = inputs.iter().map(|tensor| &tensor.handle).collect();
        Ok(Self::from_handle(host::Tensor::compute(operator, &handles).await?))
    }
}

macro_rules! binary {
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

binary! {
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
