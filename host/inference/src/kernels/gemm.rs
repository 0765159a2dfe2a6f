//! gemm: a matrix product, scaled and added to.

use spillway_types::operator::GemmOptions;

use super::check::FLOATS;
use super::halves::{narrowed, widened};
use super::matmul::{self, is_scattered, last_two};
use super::product::{Matrix, Number, Target, multiply};
use super::{Check, Plan, Stop};
use crate::blocks::Blocks;
use crate::layout::map;
use crate::{DType, RunError, Tensor};

pub(super) fn gemm(options: GemmOptions, inputs: &[Tensor]) -> Result<Plan, RunError> {
    let check = Check("gemm");
    let (a, b, c) = match inputs {
        [a, b] => (a, b, None),
        [a, b, c] => (a, b, Some(c)),
        _ => return check.refuse(format!("takes 2 or 3 inputs, given {}", inputs.len())),
    };
    let matrix = |name: &str, input: &Tensor, is_transposed: bool| {
        check.dtype(input, &FLOATS)?;
        let shape = input.shape();
        check.that(shape.len() == 2, || format!("{name} must have two axes, has {shape:?}"))?;
        let order = if is_transposed { [1, 0] } else { [0, 1] };
        Ok::<_, RunError>(input.view(input.layout().transpose(&order)))
    };
    let (a, b) = (matrix("A", a, options.a_transpose)?, matrix("B", b, options.b_transpose)?);
    let (depth, depth_b) = (a.shape()[1], b.shape()[0]);
    check.that(depth == depth_b, || {
        format!(
            "A has {depth} columns and B {depth_b} rows, transposed where the options say so, but both must be as many"
        )
    })?;
    let shape = [a.shape()[0], b.shape()[1]];
    let c = c.map(|c| addend(check, c, shape)).transpose()?;
    for input in [Some(&b), c.as_ref()].into_iter().flatten() {
        check.that(input.dtype() == a.dtype(), || {
            format!("the inputs are {} and {}, but must be of one type; cast one of them", a.dtype(), input.dtype())
        })?;
    }
    let dtype = a.dtype();
    let nanoseconds = matmul::NANOSECONDS * depth as f64;
    let inputs = [a.clone(), b.clone()];
    let c_bytes = c.as_ref().map_or(0, Tensor::byte_length);
    let plan = Plan::compute(check.0, dtype, &shape[..], nanoseconds, move |stop| {
        let (a, b) = (in_pieces(&a, stop)?, in_pieces(&b, stop)?);
        let c = c.map(|c| widened(&c, stop)).transpose()?;
        let result = match dtype {
            DType::Float64 => sum::<f64>(options, &a, &b, c.as_ref(), &shape, stop),
            _ => sum::<f32>(options, &a, &b, c.as_ref(), &shape, stop),
        };
        narrowed(result?, dtype, stop)
    });
    if dtype == DType::Float16 {
        return Ok(plan.with_scratch(c_bytes.saturating_mul(2)).after_widening(&inputs));
    }
    Ok(inputs.iter().filter(|input| is_scattered(input)).fold(plan, |plan, input| plan.after_gathering(input)))
}

/// C, broadcast to the product's shape.
fn addend(check: Check, c: &Tensor, shape: [usize; 2]) -> Result<Tensor, RunError> {
    check.dtype(c, &FLOATS)?;
    let fits = |(&length, &whole): (&usize, &usize)| length == whole || length == 1;
    check.that(c.shape().len() <= 2 && c.shape().iter().rev().zip(shape.iter().rev()).all(fits), || {
        format!("C, of shape {:?}, does not broadcast to the product's {shape:?}", c.shape())
    })?;
    crate::byte_length(c.dtype(), &shape).or_else(|cause| check.refuse(format!("the result is too large: {cause}")))?;
    Ok(c.view(c.layout().expand(&shape)))
}

/// Widened if it is of halves, and written out if neither its rows nor its columns lie in one piece.
fn in_pieces(tensor: &Tensor, stop: &Stop<'_>) -> Result<Tensor, RunError> {
    let wide = widened(tensor, stop)?;
    if is_scattered(&wide) { wide.copied_until(stop) } else { Ok(wide) }
}

fn sum<T: Number>(
    GemmOptions { alpha, beta, .. }: GemmOptions,
    a: &Tensor,
    b: &Tensor,
    c: Option<&Tensor>,
    shape: &[usize],
    stop: &Stop<'_>,
) -> Result<Tensor, RunError> {
    Tensor::filled_until::<T>(stop, shape, |target| {
        if target.is_empty() {
            return Ok(());
        }
        if let Some(c) = c {
            scale(c, <T as Number>::of(beta), target, stop)?;
        }
        if a.shape()[1] == 0 {
            return Ok(());
        }
        let target = Target { stored: target, stride: shape[1], accumulate: c.is_some() };
        multiply(<T as Number>::of(alpha), matrix(a), matrix(b), target, stop)
    })
}

/// Writes `beta * c`.
fn scale<T: Number>(c: &Tensor, beta: T, mut target: &mut [T], stop: &Stop<'_>) -> Result<(), RunError> {
    Blocks::of(c.shape()).try_for_each(|block| {
        stop.check()?;
        let to = target.split_off_mut(..block.len()).expect("blocks are as long as the shape together");
        map(c.stored::<T>(), &block.of(c.layout()), to, |x: T| beta * x);
        Ok(())
    })
}

fn matrix<T: Number>(tensor: &Tensor) -> Matrix<'_, T> {
    let (shape, strides) = last_two(tensor);
    let stored = &tensor.stored::<T>()[tensor.layout().offset..];
    Matrix::strided(stored, shape, strides).expect("what is scattered has been written out")
}
