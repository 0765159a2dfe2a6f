//! How far a result may be from what it should be: what the conformance tests of WebNN allow.
//!
//! Their numbers are units in the last place of the expected element, one for each operation that rounds, or an absolute
//! distance for functions that hardware approximates. Where terms cancel, an error of that size in a term is many units of what
//! is left; so the units are those of the greatest number that the sum may have passed, by [`magnitude`].

use spillway_inference::{DType, Tensor};
use spillway_types::operator::*;

use super::kernels::{compute, values};

/// What is allowed.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Tolerance {
    /// So many units in the last place.
    Ulps(u64),
    /// So far, whatever the number.
    Absolute(f64),
    /// This share of the number, or of 1 where it is less.
    Share(f64),
}

use Tolerance::{Absolute, Share, Ulps};

/// What WebNN allows for `operator`, whose result is of this type; `None` where it says nothing.
pub(crate) fn of(operator: &Operator, inputs: &[Tensor], dtype: DType) -> Option<Tolerance> {
    let tolerance = of_single(operator, inputs, dtype == DType::Float16)?;
    match dtype {
        DType::Float16 | DType::Float32 => Some(tolerance),
        // Beyond WebNN; what only moves elements is exact in any type.
        DType::Float64 => matches!(tolerance, Ulps(0)).then_some(tolerance),
        _ => Some(Ulps(0)),
    }
}

fn of_single(operator: &Operator, inputs: &[Tensor], is_half: bool) -> Option<Tolerance> {
    let shape = || inputs[0].shape();
    Some(match operator {
        Operator::Unary(operator) => return unary(*operator, is_half),
        Operator::Binary(operator) => binary(*operator, is_half),
        Operator::Cast(_) => Ulps(1),
        Operator::Elu(_) => Ulps(18),
        Operator::HardSigmoid(_) | Operator::Linear(_) => Ulps(2),
        Operator::LeakyRelu(_) | Operator::Prelu => Ulps(1),
        Operator::Softmax(axis) => Ulps(3 * shape()[*axis as usize] as u64 + 3),
        Operator::Reduce(options) => reduction(options, shape()),
        Operator::CumulativeSum(options) => Ulps(shape()[options.axis as usize] as u64),
        Operator::Matmul => Ulps(2 * *shape().last()? as u64),
        Operator::Gemm(options) => gemm(options, inputs),
        Operator::Conv2d(options) => Ulps(2 * convolution(options.filter_layout, inputs[1].shape())),
        Operator::ConvTranspose2d(options) => Ulps(2 * transposed(options, inputs)),
        Operator::Pool2d(options) => pool(options, shape()),
        Operator::BatchNormalization(_) => Ulps(6),
        Operator::LayerNormalization(_) => Ulps(14),
        Operator::InstanceNormalization(_) => Ulps(if is_half { 8400 } else { 840 }),
        // Said in a way that is about pictures of whole numbers.
        Operator::Resample2d(_) | Operator::Warp(_) => return None,
        // What only moves elements.
        _ => Ulps(0),
    })
}

fn unary(operator: UnaryOperator, is_half: bool) -> Option<Tolerance> {
    use UnaryOperator as U;
    let near = Absolute(if is_half { 1.0 / 512.0 } else { 1.0 / 1024.0 });
    Some(match operator {
        U::Cos | U::Sin | U::Tan | U::Tanh | U::Erf => near,
        U::Log => Absolute(1.0 / 1024.0),
        U::Exp => Ulps(if is_half { 1 } else { 32 }),
        U::Sigmoid => Ulps(if is_half { 3 } else { 34 }),
        U::Gelu | U::Softplus => Ulps(18),
        U::HardSwish => Ulps(4),
        U::Softsign => Ulps(3),
        U::Reciprocal => Ulps(2),
        U::Sqrt => Ulps(1),
        _ => Ulps(0),
    })
}

fn binary(operator: BinaryOperator, is_half: bool) -> Tolerance {
    use BinaryOperator as B;
    Ulps(match operator {
        B::Add | B::Sub | B::Mul => 1,
        B::Div => 2,
        B::Pow if is_half => 2,
        B::Pow => 32,
        _ => 0,
    })
}

fn reduction(options: &ReduceOptions, shape: &[usize]) -> Tolerance {
    let all = || (0..shape.len() as u32).collect();
    let axes = options.axes.clone().unwrap_or_else(all);
    let count: u64 = axes.iter().map(|&axis| shape[axis as usize] as u64).product();
    Ulps(match options.reduction {
        Reduction::L1 | Reduction::Product | Reduction::Sum => count,
        Reduction::L2 => 2 * count + 1,
        Reduction::Mean => count + 2,
        Reduction::LogSum => count + 18,
        Reduction::LogSumExp => 2 * count + 18,
        Reduction::SumSquare => 2 * count,
        Reduction::Max | Reduction::Min => 0,
    })
}

fn gemm(options: &GemmOptions, inputs: &[Tensor]) -> Tolerance {
    let shape = inputs[0].shape();
    let width = if options.a_transpose { shape[0] } else { shape[1] };
    let factors =
        u64::from(options.alpha != 1.0) + if inputs.len() == 3 { u64::from(options.beta != 1.0) + 1 } else { 0 };
    Ulps(2 * width as u64 + factors)
}

/// How many products are added up for an element.
fn convolution(layout: FilterOperandLayout, filter: &[usize]) -> u64 {
    let outputs = match layout {
        FilterOperandLayout::Oihw | FilterOperandLayout::Ohwi => filter[0],
        FilterOperandLayout::Hwio | FilterOperandLayout::Ihwo => filter[3],
    };
    (filter.iter().product::<usize>() / outputs.max(1)) as u64
}

fn transposed(options: &ConvTranspose2dOptions, inputs: &[Tensor]) -> u64 {
    let (image, filter) = (inputs[0].shape(), inputs[1].shape());
    let (window, channels) = (
        match options.filter_layout {
            TransposedFilterLayout::Iohw => filter[2] * filter[3],
            TransposedFilterLayout::Hwoi => filter[0] * filter[1],
            TransposedFilterLayout::Ohwi => filter[1] * filter[2],
        },
        if options.input_layout == InputOperandLayout::Nchw { image[1] } else { image[3] },
    );
    // One for a bias.
    (window * channels / options.groups as usize + 1) as u64
}

fn pool(options: &Pool2dOptions, shape: &[usize]) -> Tolerance {
    let (height, width) = match options.layout {
        InputOperandLayout::Nchw => (shape[2], shape[3]),
        InputOperandLayout::Nhwc => (shape[1], shape[2]),
    };
    let window = options.window_dimensions.map_or((height * width) as u64, |(a, b)| u64::from(a) * u64::from(b));
    Ulps(match options.pooling {
        Pooling::Average => window + 2,
        // As `reduceL2`.
        Pooling::L2 => 2 * window + 1,
        Pooling::Max => 0,
    })
}

/// What each element of the result would be were nothing to cancel, for operators that add up: the greatest number that the sum
/// may have passed on its way.
fn magnitude(operator: &Operator, inputs: &[Tensor], result: &Tensor) -> Option<Vec<f64>> {
    if let Operator::Unary(UnaryOperator::Gelu | UnaryOperator::HardSwish) = operator {
        // Half of it, and about as much with the other sign.
        return Some(values(&inputs[0]).into_iter().map(f64::abs).collect());
    }
    let is_sum = match operator {
        Operator::Reduce(options) => {
            matches!(options.reduction, Reduction::Sum | Reduction::Mean | Reduction::LogSum | Reduction::LogSumExp)
        }
        Operator::Pool2d(options) => options.pooling == Pooling::Average,
        Operator::Matmul
        | Operator::Gemm(_)
        | Operator::Conv2d(_)
        | Operator::ConvTranspose2d(_)
        | Operator::CumulativeSum(_)
        | Operator::Linear(_)
        | Operator::HardSigmoid(_) => true,
        _ => false,
    };
    let is_normalisation = matches!(
        operator,
        Operator::BatchNormalization(_) | Operator::LayerNormalization(_) | Operator::InstanceNormalization(_)
    );
    if is_normalisation {
        // `(x - mean) * factor + bias`, of terms about as large as the greatest element.
        let greatest = values(result).into_iter().map(f64::abs).fold(1.0, f64::max);
        return Some(vec![greatest; result.shape().iter().product()]);
    }
    if let Operator::Elu(alpha) = operator {
        // `alpha * exp(x)` before `alpha` is taken from it.
        return Some(vec![alpha.abs(); result.shape().iter().product()]);
    }
    let positive = |input: &Tensor| compute(Operator::Unary(UnaryOperator::Abs), &[input]);
    let positive_options = match operator {
        Operator::Gemm(options) => {
            Operator::Gemm(GemmOptions { alpha: options.alpha.abs(), beta: options.beta.abs(), ..*options })
        }
        Operator::Linear(options) => {
            Operator::Linear(LinearOptions { alpha: options.alpha.abs(), beta: options.beta.abs() })
        }
        other => other.clone(),
    };
    is_sum.then(|| {
        let inputs: Vec<Tensor> = inputs.iter().map(positive).collect();
        values(&compute(positive_options, &inputs.iter().collect::<Vec<_>>()))
    })
}

/// The distance from this number of the type to the next.
fn unit(dtype: DType, number: f64) -> f64 {
    let (bits, least) = match dtype {
        DType::Float16 => (10, -14),
        DType::Float32 => (23, -126),
        _ => (52, -1022),
    };
    let exponent = if number == 0.0 { least } else { (number.abs().log2().floor() as i32).max(least) };
    2f64.powi(exponent - bits)
}

/// Where `result` is further from `expected` than allowed: the element, what it is and what it should be.
pub(crate) fn beyond(
    tolerance: Tolerance,
    operator: &Operator,
    inputs: &[Tensor],
    result: &Tensor,
    expected: &Tensor,
) -> Option<String> {
    let is_counted = matches!(tolerance, Ulps(1..));
    let magnitude = is_counted.then(|| magnitude(operator, inputs, result)).flatten();
    let (actual, wanted) = (values(result), values(expected));
    let is_near = |at: usize| {
        let (actual, wanted) = (actual[at], wanted[at]);
        if actual == wanted || (actual.is_nan() && wanted.is_nan()) {
            return true;
        }
        let passed = magnitude.as_ref().map_or(wanted.abs(), |magnitude| magnitude[at].abs().max(wanted.abs()));
        (actual - wanted).abs()
            <= match tolerance {
                Absolute(distance) => distance,
                Share(share) => share * wanted.abs().max(1.0),
                Ulps(0) => 0.0,
                Ulps(units) => units as f64 * unit(result.dtype(), passed),
            }
    };
    let at = (0..wanted.len()).find(|&at| !is_near(at))?;
    Some(format!("element {at} is {}, expected {} within {tolerance:?}", actual[at], wanted[at]))
}
