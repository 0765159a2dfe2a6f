//! WebNN's elementwise operators of two inputs, with NumPy's broadcasting.

use pulp::NullaryFnOnce as _;
use spillway_types::operator::BinaryOperator;
use tract_onnx::prelude::{TVec, f16};

use super::check::NUMBERS;
use super::{Check, Plan, Stop};
use crate::blank::Blank;
use crate::blocks::place_bytes;
use crate::element::{Element, with_dtype};
use crate::vectors::{EachPair, widest};
use crate::{DType, RunError, Tensor, byte_length};

/// One element of the result.
const NANOSECONDS: f64 = 0.15;
/// One element raised to a power.
const POWER_NANOSECONDS: f64 = 4.4;

pub(super) fn binary(operator: BinaryOperator, inputs: Vec<Tensor>) -> Result<Plan, RunError> {
    use BinaryOperator as Is;
    let (name, kind) = match operator {
        Is::Add => ("add", Kind::Arithmetic),
        Is::Sub => ("sub", Kind::Arithmetic),
        Is::Mul => ("mul", Kind::Arithmetic),
        Is::Div => ("div", Kind::Arithmetic),
        Is::Max => ("max", Kind::Arithmetic),
        Is::Min => ("min", Kind::Arithmetic),
        Is::Pow => ("pow", Kind::Arithmetic),
        Is::Equal => ("equal", Kind::Comparison),
        Is::NotEqual => ("notEqual", Kind::Comparison),
        Is::Greater => ("greater", Kind::Comparison),
        Is::GreaterOrEqual => ("greaterOrEqual", Kind::Comparison),
        Is::Lesser => ("lesser", Kind::Comparison),
        Is::LesserOrEqual => ("lesserOrEqual", Kind::Comparison),
        Is::LogicalAnd => ("logicalAnd", Kind::Logic),
        Is::LogicalOr => ("logicalOr", Kind::Logic),
        Is::LogicalXor => ("logicalXor", Kind::Logic),
    };
    let check = Check(name);
    let [a, b] = check.inputs(inputs)?;
    check.that(a.dtype() == b.dtype(), || {
        format!("the inputs are {} and {}, but must be of one type; cast one of them", a.dtype(), b.dtype())
    })?;
    match kind {
        Kind::Arithmetic => check.dtype(&a, &NUMBERS)?,
        Kind::Comparison => {}
        Kind::Logic => check.dtype(&a, &[DType::Boolean, DType::Uint8])?,
    }
    let shape = broadcast(check, a.shape(), b.shape())?;
    byte_length(a.dtype(), &shape).or_else(|cause| check.refuse(format!("the result is too large: {cause}")))?;
    let expanded = |x: Tensor| if *x.shape() == *shape { x } else { x.view(x.layout().expand(&shape)) };
    let (a, b) = (expanded(a), expanded(b));
    let dtype = if matches!(kind, Kind::Arithmetic) { a.dtype() } else { DType::Boolean };
    let nanoseconds = if operator == Is::Pow { POWER_NANOSECONDS } else { NANOSECONDS };
    let places = place_bytes(&[&a, &b]);
    let plan = Plan::compute(name, dtype, shape, nanoseconds, move |stop| match kind {
        Kind::Arithmetic => with_dtype!(numbers a.dtype(), T => {
            T::arithmetic(operator, Combine { a: &a, b: &b, stop })
        }, else check.refuse("no such dtype")),
        Kind::Comparison => with_dtype!(a.dtype(), T => compare::<T>(operator, &a, &b, stop)),
        Kind::Logic => match a.dtype() {
            DType::Boolean => logic::<bool>(operator, &a, &b, stop),
            _ => logic::<u8>(operator, &a, &b, stop),
        },
    });
    Ok(plan.with_scratch(places))
}

#[derive(Clone, Copy)]
enum Kind {
    Arithmetic,
    Comparison,
    Logic,
}

/// The shape that both `a` and `b` expand to.
pub(super) fn broadcast(check: Check, a: &[usize], b: &[usize]) -> Result<TVec<usize>, RunError> {
    if a == b {
        return Ok(a.into());
    }
    let rank = a.len().max(b.len());
    let length = |shape: &[usize], axis: usize| (axis + shape.len()).checked_sub(rank).map_or(1, |axis| shape[axis]);
    let axes = (0..rank).map(|axis| match (length(a, axis), length(b, axis)) {
        (a, b) if a == b => Ok(a),
        (1, other) | (other, 1) => Ok(other),
        (one, other) => check.refuse(format!(
            "shapes {a:?} and {b:?} do not broadcast: counted from the last, axes must be as long or 1, not {one} and {other}"
        )),
    });
    axes.collect()
}

/// `f` of every pair of elements, row by row, asking `stop` between blocks of them.
pub(super) fn combine<T: Element, U: Element>(
    a: &Tensor,
    b: &Tensor,
    stop: &Stop<'_>,
    f: impl Fn(T, T) -> U + Copy,
) -> Result<Tensor, RunError> {
    combine_blocks(a, b, stop, |a: &[T], b, to| EachPair { a, b, to, f }.call())
}

/// As [`combine`], with the widest vectors: for `float32`, what nets compute with, since each such loop is compiled three times.
fn combine_floats(
    a: &Tensor,
    b: &Tensor,
    stop: &Stop<'_>,
    f: impl Fn(f32, f32) -> f32 + Copy,
) -> Result<Tensor, RunError> {
    combine_blocks(a, b, stop, |a: &[f32], b, to| widest(EachPair { a, b, to, f }))
}

/// Has `write` write each block of a tensor, given the elements of two of its shape row by row.
fn combine_blocks<T: Element, U: Element>(
    a: &Tensor,
    b: &Tensor,
    stop: &Stop<'_>,
    write: impl for<'b> Fn(&[T], &[T], Blank<'b, U>) -> &'b mut [U],
) -> Result<Tensor, RunError> {
    let (mut place_a, mut place_b) = (Vec::new(), Vec::new());
    Tensor::beside(&[a, b], stop, |block, to| write(block.rows(a, &mut place_a), block.rows(b, &mut place_b), to))
}

fn compare<T: Element>(operator: BinaryOperator, a: &Tensor, b: &Tensor, stop: &Stop<'_>) -> Result<Tensor, RunError> {
    match operator {
        BinaryOperator::NotEqual => combine(a, b, stop, |a: T, b: T| a != b),
        BinaryOperator::Greater => combine(a, b, stop, |a: T, b: T| a > b),
        BinaryOperator::GreaterOrEqual => combine(a, b, stop, |a: T, b: T| a >= b),
        BinaryOperator::Lesser => combine(a, b, stop, |a: T, b: T| a < b),
        BinaryOperator::LesserOrEqual => combine(a, b, stop, |a: T, b: T| a <= b),
        _ => combine(a, b, stop, |a: T, b: T| a == b),
    }
}

fn logic<T: Element>(operator: BinaryOperator, a: &Tensor, b: &Tensor, stop: &Stop<'_>) -> Result<Tensor, RunError> {
    match operator {
        BinaryOperator::LogicalOr => combine(a, b, stop, |a: T, b: T| a.is_true() | b.is_true()),
        BinaryOperator::LogicalXor => combine(a, b, stop, |a: T, b: T| a.is_true() ^ b.is_true()),
        _ => combine(a, b, stop, |a: T, b: T| a.is_true() & b.is_true()),
    }
}

/// A number. Integers wrap around where they overflow, as in NumPy; divided by 0 they are 0, because a tensor has no
/// place for an error; floats follow IEEE 754. The greater and the lesser of a number and NaN is NaN.
pub(crate) trait Arithmetic: Element {
    /// Hands over the function of `operator`.
    fn arithmetic<A: ApplyTwo<Self>>(operator: BinaryOperator, apply: A) -> A::Output;
}

/// What is done with the function of an operator: the compiler sees the loop and the function together.
pub(crate) trait ApplyTwo<T> {
    type Output;
    fn apply(self, f: impl Fn(T, T) -> T + Copy) -> Self::Output;
}

/// Every pair of elements of two tensors into another.
struct Combine<'a> {
    a: &'a Tensor,
    b: &'a Tensor,
    stop: &'a Stop<'a>,
}

macro_rules! combine_with {
    ($($function:ident: $($T:ty)*;)*) => {$($(
        impl ApplyTwo<$T> for Combine<'_> {
            type Output = Result<Tensor, RunError>;

            fn apply(self, f: impl Fn($T, $T) -> $T + Copy) -> Self::Output {
                $function(self.a, self.b, self.stop, f)
            }
        }
    )*)*};
}

combine_with! {
    combine: f16 f64 i8 i16 i32 i64 u8 u16 u32 u64;
    combine_floats: f32;
}

macro_rules! arithmetic {
    ($T:ty, $add:expr, $sub:expr, $mul:expr, $div:expr, $pow:expr) => {
        impl Arithmetic for $T {
            fn arithmetic<A: ApplyTwo<Self>>(operator: BinaryOperator, apply: A) -> A::Output {
                #[allow(clippy::eq_op, reason = "only NaN differs from itself")]
                let nan = |x: $T| x != x;
                match operator {
                    BinaryOperator::Sub => apply.apply($sub),
                    BinaryOperator::Mul => apply.apply($mul),
                    BinaryOperator::Div => apply.apply($div),
                    BinaryOperator::Max => apply.apply(move |a: $T, b: $T| if a > b || nan(a) { a } else { b }),
                    BinaryOperator::Min => apply.apply(move |a: $T, b: $T| if a < b || nan(a) { a } else { b }),
                    BinaryOperator::Pow => apply.apply($pow),
                    _ => apply.apply($add),
                }
            }
        }
    };
    (floats $($T:ty),*) => {$(
        arithmetic!($T, |a: $T, b: $T| a + b, |a: $T, b: $T| a - b, |a: $T, b: $T| a * b, |a: $T, b: $T| a / b,
            <$T>::powf);
    )*};
    (integers $($T:ty),*) => {$(
        arithmetic!($T, <$T>::wrapping_add, <$T>::wrapping_sub, <$T>::wrapping_mul,
            |a: $T, b: $T| if b == 0 { 0 } else { a.wrapping_div(b) },
            |a: $T, b: $T| match u32::try_from(b) {
                Ok(exponent) => a.wrapping_pow(exponent),
                // Negative, or so large that only the bits of few bases survive: by squaring all the same.
                Err(_) => integer_power(a.to_f64(), b.to_f64()) as $T,
            });
    )*};
}

arithmetic!(floats f32, f64);
arithmetic!(integers i8, i16, i32, i64, u8, u16, u32, u64);
arithmetic!(
    f16,
    |a: f16, b: f16| f16::from_f32(a.to_f32() + b.to_f32()),
    |a: f16, b: f16| f16::from_f32(a.to_f32() - b.to_f32()),
    |a: f16, b: f16| f16::from_f32(a.to_f32() * b.to_f32()),
    |a: f16, b: f16| f16::from_f32(a.to_f32() / b.to_f32()),
    |a: f16, b: f16| f16::from_f32(a.to_f32().powf(b.to_f32()))
);

/// Powers of integers whose exponent is negative or beyond 32 bits: rounded towards 0, and 0 for those of 0.
fn integer_power(base: f64, exponent: f64) -> f64 {
    if base == 0.0 { 0.0 } else { base.powf(exponent).trunc() }
}
