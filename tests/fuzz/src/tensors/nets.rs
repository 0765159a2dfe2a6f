//! The operators of nets out of a fuzzer's bytes.

use arbitrary::{Result, Unstructured};
use spillway_inference::Tensor;
use spillway_types::operator::*;

use super::operator::{axes, axis, float, number};

/// How many kinds there are.
pub(super) const KINDS: usize = 20;

/// One of them, which may suit `first`, its first input; and how many inputs it wants.
pub(super) fn operator(u: &mut Unstructured<'_>, kind: usize, first: &Tensor) -> Result<(Operator, usize)> {
    let rank = first.shape().len();
    let (has_scale, has_bias) = (u.arbitrary()?, u.arbitrary()?);
    let affine = usize::from(has_scale) + usize::from(has_bias);
    let layout = *u.choose(&[InputOperandLayout::Nchw, InputOperandLayout::Nhwc])?;
    let epsilon = 1e-5;
    Ok(match kind {
        0 => (Operator::Where, 3),
        1 => (Operator::Gather(axis(u, rank)?), 2),
        2 => (Operator::GatherElements(axis(u, rank)?), 2),
        3 => (Operator::GatherNd, 2),
        4 => (Operator::ScatterElements(axis(u, rank)?), 3),
        5 => (Operator::ScatterNd, 3),
        6 => {
            let diagonal = if u.ratio(1, 8)? { u.arbitrary()? } else { u.int_in_range(-3..=3)? };
            (Operator::Triangular(TriangularOptions { upper: u.arbitrary()?, diagonal }), 1)
        }
        7 => {
            let (alpha, beta) = (float(u)?, float(u)?);
            let options = GemmOptions { alpha, beta, a_transpose: u.arbitrary()?, b_transpose: u.arbitrary()? };
            (Operator::Gemm(options), u.int_in_range(2..=3)?)
        }
        8 => (Operator::Conv2d(conv2d(u, layout)?), u.int_in_range(2..=3)?),
        9 => (Operator::ConvTranspose2d(conv_transpose2d(u, layout)?), u.int_in_range(2..=3)?),
        10 => (Operator::Pool2d(pool2d(u, layout)?), 1),
        11 => {
            let axis = axis(u, rank)?;
            let options = BatchNormalizationOptions { axis, epsilon, has_scale, has_bias };
            (Operator::BatchNormalization(options), 3 + affine)
        }
        12 => {
            let options = InstanceNormalizationOptions { epsilon, layout, has_scale, has_bias };
            (Operator::InstanceNormalization(options), 1 + affine)
        }
        13 => {
            let axes = if u.arbitrary()? { Some(axes(u, rank)?) } else { None };
            let options = LayerNormalizationOptions { axes, epsilon, has_scale, has_bias };
            (Operator::LayerNormalization(options), 1 + affine)
        }
        14 => (Operator::Elu(float(u)?), 1),
        15 => (Operator::HardSigmoid(LinearOptions { alpha: float(u)?, beta: float(u)? }), 1),
        16 => (Operator::LeakyRelu(float(u)?), 1),
        17 => (Operator::Prelu, 2),
        18 => {
            let (axis, exclusive, reversed) = (axis(u, rank)?, u.arbitrary()?, u.arbitrary()?);
            (Operator::CumulativeSum(CumulativeSumOptions { axis, exclusive, reversed }), 1)
        }
        _ if u.arbitrary()? => (Operator::Reverse(if u.arbitrary()? { Some(axes(u, rank)?) } else { None }), 1),
        _ => (Operator::Tile((0..rank).map(|_| number(u, 2)).collect::<Result<_>>()?), 1),
    })
}

fn pair(u: &mut Unstructured<'_>, near: usize) -> Result<(u32, u32)> {
    Ok((number(u, near)?, number(u, near)?))
}

fn padding(u: &mut Unstructured<'_>) -> Result<(u32, u32, u32, u32)> {
    let ((a, b), (c, d)) = (pair(u, 2)?, pair(u, 2)?);
    Ok((a, b, c, d))
}

fn conv2d(u: &mut Unstructured<'_>, input_layout: InputOperandLayout) -> Result<Conv2dOptions> {
    use FilterOperandLayout::{Hwio, Ihwo, Ohwi, Oihw};
    Ok(Conv2dOptions {
        padding: padding(u)?,
        strides: pair(u, 2)?,
        dilations: pair(u, 2)?,
        groups: number(u, 2)?,
        input_layout,
        filter_layout: *u.choose(&[Oihw, Hwio, Ohwi, Ihwo])?,
    })
}

fn conv_transpose2d(u: &mut Unstructured<'_>, input_layout: InputOperandLayout) -> Result<ConvTranspose2dOptions> {
    use TransposedFilterLayout::{Hwoi, Iohw, Ohwi};
    Ok(ConvTranspose2dOptions {
        padding: padding(u)?,
        strides: pair(u, 2)?,
        dilations: pair(u, 2)?,
        output_padding: pair(u, 1)?,
        output_sizes: if u.arbitrary()? { Some(pair(u, 6)?) } else { None },
        groups: number(u, 2)?,
        input_layout,
        filter_layout: *u.choose(&[Iohw, Hwoi, Ohwi])?,
    })
}

fn pool2d(u: &mut Unstructured<'_>, layout: InputOperandLayout) -> Result<Pool2dOptions> {
    Ok(Pool2dOptions {
        pooling: *u.choose(&[Pooling::Average, Pooling::L2, Pooling::Max])?,
        window_dimensions: if u.arbitrary()? { Some(pair(u, 3)?) } else { None },
        padding: padding(u)?,
        strides: pair(u, 2)?,
        dilations: pair(u, 2)?,
        layout,
        output_shape_rounding: *u.choose(&[RoundingType::Floor, RoundingType::Ceil])?,
        output_sizes: if u.ratio(1, 4)? { Some(pair(u, 4)?) } else { None },
    })
}
