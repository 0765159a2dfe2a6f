//! Operators and tensors out of a fuzzer's bytes: mostly nearly right for what is there, sometimes anything.

use arbitrary::{Result, Unstructured};
use spillway_inference::{DType, Tensor};
use spillway_types::operator::*;

use super::nets;

/// All element types.
const DTYPES: [DType; 12] = [
    DType::Float32,
    DType::Uint8,
    DType::Float16,
    DType::Float64,
    DType::Int8,
    DType::Int16,
    DType::Int32,
    DType::Int64,
    DType::Uint16,
    DType::Uint32,
    DType::Uint64,
    DType::Boolean,
];

/// Any element type.
pub(super) fn dtype(u: &mut Unstructured<'_>) -> Result<DType> {
    u.choose(&DTYPES).copied()
}

/// A shape for a new tensor: small, but for one in sixteen.
pub(super) fn shape(u: &mut Unstructured<'_>) -> Result<Vec<usize>> {
    let rank = u.int_in_range(0..=4)?;
    let is_wild = u.ratio(1, 16)?;
    let length = |u: &mut Unstructured<'_>| {
        if is_wild { Ok(number(u, 64)? as usize) } else { u.int_in_range(0_usize..=6) }
    };
    (0..rank).map(|_| length(u)).collect()
}

/// An operator that may suit `first`, its first input; and how many inputs it wants.
pub(super) fn operator(u: &mut Unstructured<'_>, first: &Tensor) -> Result<(Operator, usize)> {
    let rank = first.shape().len();
    let one = |operator| Ok((operator, 1));
    match u.int_in_range(0..=18 + nets::KINDS)? {
        0 => one(Operator::Cast(dtype(u)?)),
        1 => one(Operator::Reshape(regrouped(u, first.shape())?)),
        2 => one(Operator::Expand(expanded(u, first.shape())?)),
        3 => one(Operator::Transpose(permutation(u, rank)?)),
        4 => one(Operator::Slice(slice(u, first.shape())?)),
        5 => Ok((Operator::Concat(axis(u, rank)?), u.int_in_range(1..=3)?)),
        6 => one(Operator::Pad(pad(u, first.shape())?)),
        7 => {
            let (mode, sizes) = (interpolation(u)?, (number(u, 8)?, number(u, 8)?));
            one(Operator::Resample2d(Resample2dOptions { mode, sizes, axes: (axis(u, rank)?, axis(u, rank)?) }))
        }
        8 => one(Operator::Warp(warp(u)?)),
        9 => {
            let color = *u.choose(&[ColorMode::Grayscale, ColorMode::Rgb, ColorMode::Bgr, ColorMode::Rgba])?;
            one(Operator::DecodeImage(DecodeImageOptions { color, orient: u.arbitrary()? }))
        }
        10 => one(Operator::Unary(*u.choose(&UNARY)?)),
        11 => Ok((Operator::Binary(*u.choose(&BINARY)?), 2)),
        12 => one(Operator::Linear(LinearOptions { alpha: float(u)?, beta: float(u)? })),
        13 => {
            let mut bound = || if u.arbitrary()? { float(u).map(Some) } else { Ok(None) };
            one(Operator::Clamp(ClampOptions { min_value: bound()?, max_value: bound()? }))
        }
        14 => one(Operator::Softmax(axis(u, rank)?)),
        15 => one(Operator::ArgMax(arg(u, rank)?)),
        16 => one(Operator::ArgMin(arg(u, rank)?)),
        17 => one(Operator::Reduce(reduce(u, rank)?)),
        18 => Ok((Operator::Matmul, 2)),
        kind => nets::operator(u, kind - 19, first),
    }
}

/// A number: mostly 0 to `near`, sometimes a little more, sometimes any.
pub(super) fn number(u: &mut Unstructured<'_>, near: usize) -> Result<u32> {
    let near = u32::try_from(near).unwrap_or(u32::MAX);
    match u.int_in_range(0..=15)? {
        0 => u.arbitrary(),
        1 => Ok(u32::from(u.arbitrary::<u16>()?)),
        2 => Ok(near.saturating_add(1)),
        3 | 4 => Ok(near),
        _ => u.int_in_range(0..=near),
    }
}

fn numbers(u: &mut Unstructured<'_>, near: &[usize]) -> Result<Vec<u32>> {
    near.iter().map(|near| number(u, *near)).collect()
}

/// Mostly an axis of `rank`.
pub(super) fn axis(u: &mut Unstructured<'_>, rank: usize) -> Result<u32> {
    number(u, rank.saturating_sub(1))
}

pub(super) fn float(u: &mut Unstructured<'_>) -> Result<f64> {
    Ok(match u.int_in_range(0..=11)? {
        0 => f64::from_bits(u.arbitrary()?),
        1 => f64::NAN,
        2 => f64::INFINITY,
        3 => 1e300,
        4 => -0.0,
        5 => 0.5,
        6 | 7 => 1.0,
        8 => f64::from(u.arbitrary::<i8>()?) / 16.0,
        _ => f64::from(u.arbitrary::<i16>()?),
    })
}

/// The axes of `shape`, some of them joined, or one of length 1 put in; or any numbers.
fn regrouped(u: &mut Unstructured<'_>, shape: &[usize]) -> Result<Vec<u32>> {
    if u.ratio(1, 8)? {
        return numbers(u, shape);
    }
    let mut grouped: Vec<u32> = Vec::new();
    for &length in shape {
        let length = u32::try_from(length).unwrap_or(u32::MAX);
        match (u.int_in_range(0..=3)?, grouped.last_mut()) {
            (0, Some(last)) => *last = last.saturating_mul(length),
            (1, _) => grouped.extend([1, length]),
            (2, _) if length % 2 == 0 => grouped.extend([2, length / 2]),
            _ => grouped.push(length),
        }
    }
    Ok(grouped)
}

/// `shape` with other lengths for axes of length 1, and more axes in front.
fn expanded(u: &mut Unstructured<'_>, shape: &[usize]) -> Result<Vec<u32>> {
    let added = u.int_in_range(0..=2)?;
    let mut lengths = numbers(u, &[6, 6][..added])?;
    for &length in shape {
        let same = u32::try_from(length).unwrap_or(u32::MAX);
        lengths.push(if length == 1 { number(u, 6)? } else { same });
    }
    Ok(lengths)
}

fn permutation(u: &mut Unstructured<'_>, rank: usize) -> Result<Vec<u32>> {
    if u.ratio(1, 8)? {
        return numbers(u, &vec![rank; rank]);
    }
    let mut axes: Vec<u32> = (0..).take(rank).collect();
    for last in (1..rank).rev() {
        axes.swap(last, u.int_in_range(0..=last)?);
    }
    Ok(axes)
}

fn slice(u: &mut Unstructured<'_>, shape: &[usize]) -> Result<SliceOptions> {
    let starts: Vec<u32> = shape.iter().map(|length| number(u, length / 2)).collect::<Result<_>>()?;
    let left: Vec<usize> =
        shape.iter().zip(&starts).map(|(length, start)| length.saturating_sub(*start as usize)).collect();
    let sizes = numbers(u, &left)?;
    let strides = if u.arbitrary()? { numbers(u, &vec![3; shape.len()])? } else { Vec::new() };
    Ok(SliceOptions { starts, sizes, strides })
}

fn pad(u: &mut Unstructured<'_>, shape: &[usize]) -> Result<PadOptions> {
    let near = vec![2; shape.len()];
    let (beginning_padding, ending_padding) = (numbers(u, &near)?, numbers(u, &near)?);
    Ok(PadOptions { beginning_padding, ending_padding, mode: padding(u)?, value: float(u)? })
}

fn padding(u: &mut Unstructured<'_>) -> Result<PaddingMode> {
    u.choose(&[PaddingMode::Constant, PaddingMode::Edge, PaddingMode::Reflection]).copied()
}

fn interpolation(u: &mut Unstructured<'_>) -> Result<InterpolationMode> {
    u.choose(&[InterpolationMode::NearestNeighbor, InterpolationMode::Linear, InterpolationMode::Cubic]).copied()
}

fn warp(u: &mut Unstructured<'_>) -> Result<WarpOptions> {
    let mut matrix: Vec<f64> = (0..9).map(|_| float(u)).collect::<Result<_>>()?;
    if u.ratio(3, 4)? {
        matrix[6..].copy_from_slice(&[0.0, 0.0, 1.0]);
    }
    let (sizes, mode) = ((number(u, 8)?, number(u, 8)?), interpolation(u)?);
    Ok(WarpOptions { matrix, sizes, mode, border: padding(u)?, value: float(u)? })
}

fn arg(u: &mut Unstructured<'_>, rank: usize) -> Result<ArgOptions> {
    let output_data_type = if u.ratio(1, 8)? { dtype(u)? } else { DType::Int64 };
    Ok(ArgOptions { axis: axis(u, rank)?, keep_dimensions: u.arbitrary()?, output_data_type })
}

fn reduce(u: &mut Unstructured<'_>, rank: usize) -> Result<ReduceOptions> {
    use Reduction::*;
    let reduction = *u.choose(&[L1, L2, LogSum, LogSumExp, Max, Mean, Min, Product, Sum, SumSquare])?;
    let axes = if u.arbitrary()? { Some(axes(u, rank)?) } else { None };
    Ok(ReduceOptions { reduction, axes, keep_dimensions: u.arbitrary()? })
}

/// Some axes, perhaps one twice.
pub(super) fn axes(u: &mut Unstructured<'_>, rank: usize) -> Result<Vec<u32>> {
    let count = u.int_in_range(0..=rank)?;
    (0..count).map(|_| axis(u, rank)).collect()
}

const UNARY: [UnaryOperator; 25] = {
    use UnaryOperator::*;
    [
        Abs, Ceil, Cos, Erf, Exp, Floor, Gelu, Log, LogicalNot, Neg, Reciprocal, Relu, RoundEven, Sigmoid, Sign, Sin,
        Sqrt, Tan, Tanh, HardSwish, Identity, IsInfinite, IsNan, Softplus, Softsign,
    ]
};

const BINARY: [BinaryOperator; 16] = {
    use BinaryOperator::*;
    [
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
    ]
};
