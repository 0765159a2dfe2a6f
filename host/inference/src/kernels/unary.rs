//! WebNN's elementwise operators of one input, and clamp.

use std::convert::Infallible;

use pulp::NullaryFnOnce as _;
use spillway_types::operator::{ClampOptions, UnaryOperator};
use tract_onnx::prelude::f16;

use super::check::{FLOATS, NUMBERS};
use super::elementwise::{map_blocks, map_elements, map_fused};
use super::wide::Wide;
use super::{Check, Plan, Stop, math};
use crate::blank::Blank;
use crate::blocks::place_bytes;
use crate::element::{Element, with_dtype};
use crate::vectors::{Each, Function, InPlace, fuses, widest_if};
use crate::{DType, RunError, Tensor};

/// One element through a sine; where it is no `float32`, through an exponential, a logarithm.
const EXPONENTIAL_NANOSECONDS: f64 = 2.8;
/// One element through a tangent; where it is no `float32`, through a hyperbolic tangent, the error function.
const TRANSCENDENTAL_NANOSECONDS: f64 = 10.0;
/// One `float32` through what vectors compute: an exponential, a logarithm, a hyperbolic tangent, the error function.
const VECTOR_NANOSECONDS: f64 = 0.35;
/// The same where the machine is [`Wide`].
const WIDE_NANOSECONDS: f64 = 0.12;
/// One element rounded, for which baseline x86-64 has no instruction.
const ROUNDING_NANOSECONDS: f64 = 1.5;
/// One element through anything simpler.
const SIMPLE_NANOSECONDS: f64 = 0.2;

/// Floats, and integers that can be negative.
const SIGNED: [DType; 7] =
    [DType::Float16, DType::Float32, DType::Float64, DType::Int8, DType::Int16, DType::Int32, DType::Int64];

pub(super) fn unary(operator: UnaryOperator, inputs: Vec<Tensor>) -> Result<Plan, RunError> {
    use UnaryOperator as Is;
    let logic = [DType::Boolean, DType::Uint8];
    let (name, dtypes, nanoseconds): (_, &[DType], _) = match operator {
        Is::Abs => ("abs", &SIGNED, SIMPLE_NANOSECONDS),
        Is::Ceil => ("ceil", &FLOATS, ROUNDING_NANOSECONDS),
        Is::Cos => ("cos", &FLOATS, EXPONENTIAL_NANOSECONDS),
        Is::Erf => ("erf", &FLOATS, TRANSCENDENTAL_NANOSECONDS),
        Is::Exp => ("exp", &FLOATS, EXPONENTIAL_NANOSECONDS),
        Is::Floor => ("floor", &FLOATS, ROUNDING_NANOSECONDS),
        Is::Gelu => ("gelu", &FLOATS, TRANSCENDENTAL_NANOSECONDS),
        Is::Log => ("log", &FLOATS, EXPONENTIAL_NANOSECONDS),
        Is::LogicalNot => ("logicalNot", &logic, SIMPLE_NANOSECONDS),
        Is::Neg => ("neg", &SIGNED, SIMPLE_NANOSECONDS),
        Is::Reciprocal => ("reciprocal", &FLOATS, SIMPLE_NANOSECONDS),
        Is::Relu => ("relu", &SIGNED, SIMPLE_NANOSECONDS),
        Is::RoundEven => ("roundEven", &FLOATS, ROUNDING_NANOSECONDS),
        Is::Sigmoid => ("sigmoid", &FLOATS, EXPONENTIAL_NANOSECONDS),
        Is::Sign => ("sign", &SIGNED, SIMPLE_NANOSECONDS),
        Is::Sin => ("sin", &FLOATS, EXPONENTIAL_NANOSECONDS),
        Is::Sqrt => ("sqrt", &FLOATS, SIMPLE_NANOSECONDS),
        Is::Tan => ("tan", &FLOATS, TRANSCENDENTAL_NANOSECONDS),
        Is::Tanh => ("tanh", &FLOATS, TRANSCENDENTAL_NANOSECONDS),
        Is::HardSwish => ("hardSwish", &FLOATS, SIMPLE_NANOSECONDS),
        Is::Identity => {
            let check = Check("identity");
            let [input] = check.inputs(inputs)?;
            return Ok(Plan::view(check.0, input));
        }
        Is::IsInfinite => ("isInfinite", &FLOATS, SIMPLE_NANOSECONDS),
        Is::IsNan => ("isNaN", &FLOATS, SIMPLE_NANOSECONDS),
        Is::Softplus => ("softplus", &FLOATS, 3.0 * EXPONENTIAL_NANOSECONDS),
        Is::Softsign => ("softsign", &FLOATS, SIMPLE_NANOSECONDS),
    };
    let check = Check(name);
    let [input] = check.inputs(inputs)?;
    check.dtype(&input, dtypes)?;
    let is_vector = matches!(operator, Is::Exp | Is::Sigmoid | Is::Tanh | Is::Erf | Is::Gelu | Is::Log | Is::Softplus);
    let nanoseconds = match input.dtype() {
        DType::Float32 if Wide::of(operator).is_some() => WIDE_NANOSECONDS,
        DType::Float32 if is_vector => VECTOR_NANOSECONDS,
        _ => nanoseconds,
    };
    let dtype = match operator {
        Is::LogicalNot | Is::IsInfinite | Is::IsNan => DType::Boolean,
        _ => input.dtype(),
    };
    let places = place_bytes(&[&input]);
    if matches!(operator, Is::IsInfinite | Is::IsNan) {
        let plan = Plan::compute(name, dtype, input.layout().shape.clone(), nanoseconds, move |stop| {
            with_dtype!(floats input.dtype(), T => match operator {
                Is::IsNan => map_elements(&input, stop, |x: T| x.is_nan()),
                _ => map_elements(&input, stop, |x: T| x.is_infinite()),
            }, else check.refuse("no such dtype"))
        });
        return Ok(plan.with_scratch(places));
    }
    let plan = Plan::compute(name, dtype, input.layout().shape.clone(), nanoseconds, move |stop| match input.dtype() {
        DType::Boolean => map_elements(&input, stop, |x: bool| !x),
        DType::Uint8 => map_elements(&input, stop, |x: u8| x == 0),
        DType::Float16 => map_blocks(&input, stop, |from, to| halves(operator, from, to)),
        DType::Float32 if let Some(wide) = Wide::of(operator) => {
            map_blocks(&input, stop, |from, to| wide.each(from, to))
        }
        DType::Float32 if fuses() => single::<true, _>(operator, Map::<true> { input: &input, stop }),
        DType::Float32 => single::<false, _>(operator, Map::<false> { input: &input, stop }),
        DType::Float64 => double::<false, _>(operator, Map::<false> { input: &input, stop }),
        DType::Int8 => i8::apply(&input, operator, stop),
        DType::Int16 => i16::apply(&input, operator, stop),
        DType::Int32 => i32::apply(&input, operator, stop),
        DType::Int64 => i64::apply(&input, operator, stop),
        other => check.refuse(format!("the input is {other}")),
    });
    Ok(plan.with_scratch(places))
}

/// What is done with the function of an operator: the compiler sees the loop and the function together.
trait Apply<T> {
    type Output;
    fn apply(self, f: impl Function<T, Output = T>) -> Self::Output;
}

/// Every element of a tensor into another; `FUSED` where the machine [`fuses`].
struct Map<'a, const FUSED: bool> {
    input: &'a Tensor,
    stop: &'a Stop<'a>,
}

impl<const FUSED: bool> Apply<f32> for Map<'_, FUSED> {
    type Output = Result<Tensor, RunError>;

    fn apply(self, f: impl Function<f32, Output = f32>) -> Self::Output {
        map_fused::<FUSED>(self.input, self.stop, f)
    }
}

impl<const FUSED: bool> Apply<f64> for Map<'_, FUSED> {
    type Output = Result<Tensor, RunError>;

    fn apply(self, f: impl Function<f64, Output = f64>) -> Self::Output {
        map_elements(self.input, self.stop, f)
    }
}

/// The operator on each number of a block, in its place.
pub(crate) fn in_place(operator: UnaryOperator, block: &mut [f32]) {
    if let Some(wide) = Wide::of(operator) {
        wide.in_place(block);
    } else if fuses() {
        single::<true, _>(operator, Block::<true>(block));
    } else {
        single::<false, _>(operator, Block::<false>(block));
    }
}

/// `FUSED` where the machine [`fuses`].
struct Block<'a, const FUSED: bool>(&'a mut [f32]);

impl<const FUSED: bool> Apply<f32> for Block<'_, FUSED> {
    type Output = ();

    fn apply(self, f: impl Function<f32, Output = f32>) {
        widest_if::<FUSED, _>(InPlace { of: self.0, f });
    }
}

/// Halves that are widened at once.
const HALVES: usize = 1024;

/// The operator on halves, by way of `f32`.
fn halves<'b>(operator: UnaryOperator, from: &[f16], to: Blank<'b, f16>) -> &'b mut [f16] {
    let mut wide = [0.0; HALVES];
    let written = to.in_parts(HALVES, |index, to| {
        let wide = &mut wide[..to.len()];
        wide.iter_mut().zip(&from[index * HALVES..]).for_each(|(wide, half)| *wide = half.to_f32());
        in_place(operator, wide);
        Ok::<_, Infallible>(Each { from: wide, to, f: f16::from_f32 }.call())
    });
    written.unwrap_or_else(|never| match never {})
}

macro_rules! floats {
    ($name:ident, $F:ident, $math:ident) => {
        /// Hands over the function of `operator`; `FUSED` where the machine [`fuses`].
        fn $name<const FUSED: bool, A: Apply<$F>>(operator: UnaryOperator, apply: A) -> A::Output {
            macro_rules! each {
                (|$x:ident| $body:expr) => {{
                    #[derive(Clone, Copy)]
                    struct Of<const FUSED: bool>;
                    impl<const FUSED: bool> Function<$F> for Of<FUSED> {
                        type Output = $F;

                        #[inline(always)]
                        fn of(self, $x: $F) -> $F {
                            $body
                        }
                    }
                    apply.apply(Of::<FUSED>)
                }};
            }
            use UnaryOperator as Is;
            match operator {
                Is::Abs => each!(|x| x.abs()),
                Is::Ceil => each!(|x| x.ceil()),
                Is::Cos => each!(|x| x.cos()),
                Is::Erf => each!(|x| $math::erf::<FUSED>(x)),
                Is::Exp => each!(|x| $math::exp::<FUSED>(x)),
                Is::Floor => each!(|x| x.floor()),
                Is::Gelu => each!(|x| 0.5 * x * (1.0 + $math::erf::<FUSED>(x * std::$F::consts::FRAC_1_SQRT_2))),
                Is::Log => each!(|x| $math::log::<FUSED>(x)),
                Is::Neg => each!(|x| -x),
                Is::Reciprocal => each!(|x| 1.0 / x),
                Is::Relu => each!(|x| if x < 0.0 { 0.0 } else { x }),
                Is::RoundEven => each!(|x| x.round_ties_even()),
                Is::Sigmoid => each!(|x| $math::sigmoid::<FUSED>(x)),
                Is::Sign => each!(|x| if x == 0.0 || x.is_nan() { x } else { x.signum() }),
                Is::Sin => each!(|x| x.sin()),
                Is::Sqrt => each!(|x| x.sqrt()),
                Is::Tan => each!(|x| x.tan()),
                Is::Tanh => each!(|x| $math::tanh::<FUSED>(x)),
                Is::HardSwish => each!(|x| x * (x + 3.0).clamp(0.0, 6.0) / 6.0),
                Is::Softplus => each!(|x| $math::softplus::<FUSED>(x)),
                Is::Softsign => each!(|x| x / (1.0 + x.abs())),
                // Decided before, or refused for floats.
                Is::Identity | Is::IsInfinite | Is::IsNan | Is::LogicalNot => each!(|x| x),
            }
        }
    };
}

floats!(single, f32, math);
floats!(double, f64, precise);

/// The same functions of `f64`.
mod precise {
    pub(super) fn erf<const FUSED: bool>(x: f64) -> f64 {
        libm::erf(x)
    }

    pub(super) fn exp<const FUSED: bool>(x: f64) -> f64 {
        x.exp()
    }

    pub(super) fn log<const FUSED: bool>(x: f64) -> f64 {
        x.ln()
    }

    pub(super) fn softplus<const FUSED: bool>(x: f64) -> f64 {
        // For large `x` the exponential would overflow, for small ones the sum would lose it.
        x.max(0.0) + (-x.abs()).exp().ln_1p()
    }

    pub(super) fn sigmoid<const FUSED: bool>(x: f64) -> f64 {
        1.0 / (1.0 + (-x).exp())
    }

    pub(super) fn tanh<const FUSED: bool>(x: f64) -> f64 {
        x.tanh()
    }
}

/// The operators that WebNN has for integers. The least number has no opposite and stays, as in NumPy.
trait Integer: Element {
    fn apply(input: &Tensor, operator: UnaryOperator, stop: &Stop<'_>) -> Result<Tensor, RunError>;
}

macro_rules! integers {
    ($($T:ty),*) => {$(
        impl Integer for $T {
            fn apply(input: &Tensor, operator: UnaryOperator, stop: &Stop<'_>) -> Result<Tensor, RunError> {
                match operator {
                    UnaryOperator::Abs => map_elements(input, stop, <$T>::wrapping_abs),
                    UnaryOperator::Neg => map_elements(input, stop, <$T>::wrapping_neg),
                    UnaryOperator::Sign => map_elements(input, stop, <$T>::signum),
                    // The others are refused for integers before.
                    _ => map_elements(input, stop, |x: $T| x.max(0)),
                }
            }
        }
    )*};
}

integers!(i8, i16, i32, i64);

pub(super) fn clamp(options: ClampOptions, inputs: Vec<Tensor>) -> Result<Plan, RunError> {
    let check = Check("clamp");
    let [input] = check.inputs(inputs)?;
    check.dtype(&input, &NUMBERS)?;
    let least = options.min_value.unwrap_or(f64::NEG_INFINITY);
    let greatest = options.max_value.unwrap_or(f64::INFINITY);
    // So written, NaN is refused with the rest.
    check.that(least <= greatest, || format!("`min-value` {least} must not be above `max-value` {greatest}"))?;
    let places = place_bytes(&[&input]);
    let plan = Plan::compute(check.0, input.dtype(), input.layout().shape.clone(), SIMPLE_NANOSECONDS, move |stop| {
        with_dtype!(numbers input.dtype(), T => {
            let is_float = FLOATS.contains(&input.dtype());
            // An integer that is at least 0.5 is at least 1.
            let (least, greatest) = if is_float { (least, greatest) } else { (least.ceil(), greatest.floor()) };
            let (least, greatest) = (<T as Element>::from_f64(least), <T as Element>::from_f64(greatest));
            map_elements(&input, stop, between(least, greatest))
        }, else check.refuse("no such dtype"))
    });
    Ok(plan.with_scratch(places))
}

/// An element held between two bounds; NaN stays.
pub(crate) fn between<T: PartialOrd + Copy>(least: T, greatest: T) -> impl Fn(T) -> T + Copy {
    move |x| {
        if x < least {
            least
        } else if x > greatest {
            greatest
        } else {
            x
        }
    }
}
