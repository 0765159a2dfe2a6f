//! elu, hardSigmoid, leakyRelu, prelu.

use spillway_types::operator::LinearOptions;
use tract_onnx::prelude::f16;

use super::binary::combine;
use super::check::FLOATS;
use super::elementwise::{map_elements, map_floats, map_fused};
use super::{Check, Plan, math};
use crate::blocks::place_bytes;
use crate::vectors::{Function, fuses};
use crate::{DType, RunError, Tensor};

/// One `float64` through an exponential, less 1.
const EXPONENTIAL_NANOSECONDS: f64 = 5.0;
/// One `float32` or half through it, by vectors.
const VECTOR_NANOSECONDS: f64 = 0.35;
/// One element through anything simpler.
const SIMPLE_NANOSECONDS: f64 = 0.25;

pub(super) fn elu(alpha: f64, inputs: Vec<Tensor>) -> Result<Plan, RunError> {
    let check = Check("elu");
    let [input] = check.inputs(inputs)?;
    check.dtype(&input, &FLOATS)?;
    let places = place_bytes(&[&input]);
    let is_double = input.dtype() == DType::Float64;
    let nanoseconds = if is_double { EXPONENTIAL_NANOSECONDS } else { VECTOR_NANOSECONDS };
    let narrow = alpha as f32;
    let shape = input.layout().shape.clone();
    let plan = Plan::compute(check.0, input.dtype(), shape, nanoseconds, move |stop| match input.dtype() {
        DType::Float64 => map_elements(&input, stop, |x: f64| if x > 0.0 { x } else { alpha * x.exp_m1() }),
        DType::Float16 => map_elements(&input, stop, |x: f16| f16::from_f32(math::elu::<false>(x.to_f32(), narrow))),
        _ if fuses() => map_fused::<true>(&input, stop, Elu::<true> { alpha: narrow }),
        _ => map_fused::<false>(&input, stop, Elu::<false> { alpha: narrow }),
    });
    Ok(plan.with_scratch(places))
}

#[derive(Clone, Copy)]
struct Elu<const FUSED: bool> {
    alpha: f32,
}

impl<const FUSED: bool> Function<f32> for Elu<FUSED> {
    type Output = f32;

    #[inline(always)]
    fn of(self, x: f32) -> f32 {
        math::elu::<FUSED>(x, self.alpha)
    }
}

pub(super) fn hard_sigmoid(
    LinearOptions { alpha, beta }: LinearOptions,
    inputs: Vec<Tensor>,
) -> Result<Plan, RunError> {
    let (a, b) = (alpha as f32, beta as f32);
    activation(
        Check("hardSigmoid"),
        inputs,
        move |x: f32| (a * x + b).clamp(0.0, 1.0),
        move |x: f64| (alpha * x + beta).clamp(0.0, 1.0),
    )
}

pub(super) fn leaky_relu(alpha: f64, inputs: Vec<Tensor>) -> Result<Plan, RunError> {
    let narrow = alpha as f32;
    activation(
        Check("leakyRelu"),
        inputs,
        move |x: f32| if x < 0.0 { narrow * x } else { x },
        move |x: f64| if x < 0.0 { alpha * x } else { x },
    )
}

/// `single` of each `float32` or `float16`, `double` of each `float64`.
fn activation(
    check: Check,
    inputs: Vec<Tensor>,
    single: impl Fn(f32) -> f32 + Copy + Send + 'static,
    double: impl Fn(f64) -> f64 + Copy + Send + 'static,
) -> Result<Plan, RunError> {
    let [input] = check.inputs(inputs)?;
    check.dtype(&input, &FLOATS)?;
    let places = place_bytes(&[&input]);
    let plan =
        Plan::compute(
            check.0,
            input.dtype(),
            input.layout().shape.clone(),
            SIMPLE_NANOSECONDS,
            move |stop| match input.dtype() {
                DType::Float16 => map_elements(&input, stop, move |x: f16| f16::from_f32(single(x.to_f32()))),
                DType::Float64 => map_elements(&input, stop, double),
                _ => map_floats(&input, stop, single),
            },
        );
    Ok(plan.with_scratch(places))
}

/// WebNN's types, and `float64`.
const PRELU: [DType; 6] = [DType::Float16, DType::Float32, DType::Float64, DType::Int8, DType::Int32, DType::Int64];

/// Integers wrap around where the product overflows, as in `mul`.
pub(super) fn prelu(inputs: Vec<Tensor>) -> Result<Plan, RunError> {
    let check = Check("prelu");
    let [input, slope] = check.inputs(inputs)?;
    check.dtype(&input, &PRELU)?;
    check.that(slope.dtype() == input.dtype(), || {
        format!("the slope is {}, but the input is {}; cast one of them", slope.dtype(), input.dtype())
    })?;
    let (shape, given) = (input.shape().to_vec(), slope.shape());
    let fits = given.len() <= shape.len()
        && given.iter().rev().zip(shape.iter().rev()).all(|(&from, &to)| from == to || from == 1);
    check.that(fits, || {
        format!(
            "the slope, {given:?}, does not expand to the input's shape {shape:?}: counted from the last, each axis must \
             be as long, or 1"
        )
    })?;
    let slope = slope.view(slope.layout().expand(&shape));
    let places = place_bytes(&[&input, &slope]);
    let plan = Plan::compute(check.0, input.dtype(), shape, SIMPLE_NANOSECONDS, move |stop| {
        let single = |x: f32, slope: f32| if x < 0.0 { slope * x } else { x };
        match input.dtype() {
            DType::Float16 => combine(&input, &slope, stop, move |x: f16, slope: f16| {
                f16::from_f32(single(x.to_f32(), slope.to_f32()))
            }),
            DType::Float64 => combine(&input, &slope, stop, |x: f64, slope: f64| if x < 0.0 { slope * x } else { x }),
            DType::Int8 => combine(&input, &slope, stop, |x: i8, slope| if x < 0 { x.wrapping_mul(slope) } else { x }),
            DType::Int32 => {
                combine(&input, &slope, stop, |x: i32, slope| if x < 0 { x.wrapping_mul(slope) } else { x })
            }
            DType::Int64 => {
                combine(&input, &slope, stop, |x: i64, slope| if x < 0 { x.wrapping_mul(slope) } else { x })
            }
            _ => combine(&input, &slope, stop, single),
        }
    });
    Ok(plan.with_scratch(places))
}
