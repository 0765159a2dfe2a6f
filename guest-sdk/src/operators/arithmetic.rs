//! `+`, `-`, `*` and `/`: on operands of graphs as they stand, on tensors when the result is awaited.

use std::future::{Future, IntoFuture};
use std::ops::{Add, Div, Mul, Neg, Sub};
use std::pin::Pin;
use std::rc::Rc;

use super::{BinaryOperator, LinearOptions, Operator, UnaryOperator};
use crate::host::HostError;
use crate::{DType, Operand, Tensor};

/// What `&a + &b` on tensors gives: `.await` computes it.
///
/// ```
/// use spillway_sdk::{HostError, Tensor};
///
/// async fn standardised(x: &Tensor, mean: &Tensor, deviation: &Tensor) -> Result<Tensor, HostError> {
///     let centred = (x - mean).await?;
///     (&centred / deviation).await
/// }
/// ```
#[must_use = "nothing is computed before `.await`"]
#[derive(Debug)]
pub struct Pending<'a> {
    operator: BinaryOperator,
    left: Side<'a, Tensor>,
    right: Side<'a, Tensor>,
}

/// One side of an operator, of which the other is no number.
#[derive(Debug)]
enum Side<'a, T> {
    There(&'a T),
    Number(f64),
}

impl<'a> IntoFuture for Pending<'a> {
    type Output = Result<Tensor, HostError>;
    type IntoFuture = Pin<Box<dyn Future<Output = Self::Output> + 'a>>;

    fn into_future(self) -> Self::IntoFuture {
        Box::pin(self.compute())
    }
}

impl Pending<'_> {
    async fn compute(self) -> Result<Tensor, HostError> {
        let binary = Operator::Binary(self.operator);
        let (x, number, is_left) = match (&self.left, &self.right) {
            (Side::There(left), Side::There(right)) => return Tensor::compute(binary, &[left, right]).await,
            (Side::There(x), Side::Number(number)) => (*x, *number, false),
            (Side::Number(number), Side::There(x)) => (*x, *number, true),
            (Side::Number(_), Side::Number(_)) => unreachable!("numbers alone are Rust's"),
        };
        if let Some(linear) = linear(self.operator, number, is_left, x.dtype()) {
            return Tensor::compute(linear, &[x]).await;
        }
        let mut number = scalar(x.dtype(), number)?;
        if x.dtype() == DType::Float16 {
            number = number.cast(DType::Float16).await?;
        }
        let sides = if is_left { [&number, x] } else { [x, &number] };
        Tensor::compute(binary, &sides).await
    }
}

impl Operand {
    #[track_caller]
    fn with_number(&self, operator: BinaryOperator, number: f64, is_left: bool) -> Self {
        // Of what follows from something that is wrong the type does not matter.
        let dtype = self.dtype_if_known().unwrap_or(DType::Float32);
        if let Some(linear) = linear(operator, number, is_left, dtype) {
            return Self::record(Ok(linear), &[self]);
        }
        match scalar(dtype, number) {
            Ok(number) => {
                let mut number = self.constant_beside(Rc::new(number));
                if dtype == DType::Float16 {
                    number = number.cast(dtype);
                }
                let sides = if is_left { [&number, self] } else { [self, &number] };
                Self::record(Ok(Operator::Binary(operator)), &sides)
            }
            Err(error) => Self::record(Err(error), &[self]),
        }
    }
}

/// The operator with a number on one side as a line, where that is the same to the bit.
fn linear(operator: BinaryOperator, number: f64, is_left: bool, dtype: DType) -> Option<Operator> {
    if !matches!(dtype, DType::Float16 | DType::Float32 | DType::Float64) {
        return None;
    }
    let (alpha, beta) = match (operator, is_left) {
        (BinaryOperator::Add, _) => (1.0, number),
        (BinaryOperator::Sub, false) => (1.0, -number),
        (BinaryOperator::Sub, true) => (-1.0, number),
        // Added to any product, this zero changes none.
        (BinaryOperator::Mul, _) => (number, -0.0),
        _ => return None,
    };
    Some(Operator::Linear(LinearOptions { alpha, beta }))
}

/// `number` as a tensor without axes; for half precision in single, which is to be cast.
fn scalar(dtype: DType, number: f64) -> Result<Tensor, HostError> {
    macro_rules! as_integer {
        ($T:ty) => {{
            let integer = number as $T;
            if integer as f64 != number {
                return Err(HostError::invalid(format!("{number} is no {dtype}; cast the tensor first")));
            }
            Tensor::scalar(integer)
        }};
    }
    match dtype {
        DType::Float64 => Tensor::scalar(number),
        DType::Float32 | DType::Float16 => Tensor::scalar(number as f32),
        DType::Int8 => as_integer!(i8),
        DType::Int16 => as_integer!(i16),
        DType::Int32 => as_integer!(i32),
        DType::Int64 => as_integer!(i64),
        DType::Uint8 => as_integer!(u8),
        DType::Uint16 => as_integer!(u16),
        DType::Uint32 => as_integer!(u32),
        DType::Uint64 => as_integer!(u64),
        DType::Boolean => Err(HostError::invalid("there is no arithmetic on booleans; cast the tensor first")),
    }
}

macro_rules! arithmetic {
    ($($trait:ident $method:ident)*) => {$(
        impl<'a> $trait for &'a Tensor {
            type Output = Pending<'a>;

            fn $method(self, right: Self) -> Pending<'a> {
                Pending { operator: BinaryOperator::$trait, left: Side::There(self), right: Side::There(right) }
            }
        }

        /// With one number for all elements.
        impl<'a> $trait<f64> for &'a Tensor {
            type Output = Pending<'a>;

            fn $method(self, right: f64) -> Pending<'a> {
                Pending { operator: BinaryOperator::$trait, left: Side::There(self), right: Side::Number(right) }
            }
        }

        /// With one number for all elements.
        impl<'a> $trait<&'a Tensor> for f64 {
            type Output = Pending<'a>;

            fn $method(self, right: &'a Tensor) -> Pending<'a> {
                Pending { operator: BinaryOperator::$trait, left: Side::Number(self), right: Side::There(right) }
            }
        }

        impl $trait for &Operand {
            type Output = Operand;

            #[track_caller]
            fn $method(self, right: Self) -> Operand {
                Operand::$method(self, right)
            }
        }

        impl $trait for Operand {
            type Output = Self;

            #[track_caller]
            fn $method(self, right: Self) -> Self {
                Operand::$method(&self, &right)
            }
        }

        impl $trait<Operand> for &Operand {
            type Output = Operand;

            #[track_caller]
            fn $method(self, right: Operand) -> Operand {
                Operand::$method(self, &right)
            }
        }

        impl $trait<&Self> for Operand {
            type Output = Self;

            #[track_caller]
            fn $method(self, right: &Self) -> Self {
                Operand::$method(&self, right)
            }
        }

        /// With one number for all elements.
        impl $trait<f64> for &Operand {
            type Output = Operand;

            #[track_caller]
            fn $method(self, right: f64) -> Operand {
                self.with_number(BinaryOperator::$trait, right, false)
            }
        }

        /// With one number for all elements.
        impl $trait<f64> for Operand {
            type Output = Self;

            #[track_caller]
            fn $method(self, right: f64) -> Self {
                self.with_number(BinaryOperator::$trait, right, false)
            }
        }

        /// With one number for all elements.
        impl $trait<&Operand> for f64 {
            type Output = Operand;

            #[track_caller]
            fn $method(self, right: &Operand) -> Operand {
                right.with_number(BinaryOperator::$trait, self, true)
            }
        }

        /// With one number for all elements.
        impl $trait<Operand> for f64 {
            type Output = Operand;

            #[track_caller]
            fn $method(self, right: Operand) -> Operand {
                right.with_number(BinaryOperator::$trait, self, true)
            }
        }
    )*};
}

arithmetic! { Add add Sub sub Mul mul Div div }

impl<'a> Neg for &'a Tensor {
    type Output = Pending<'a>;

    /// The product with -1.
    fn neg(self) -> Pending<'a> {
        Pending { operator: BinaryOperator::Mul, left: Side::Number(-1.0), right: Side::There(self) }
    }
}

impl Neg for &Operand {
    type Output = Operand;

    #[track_caller]
    fn neg(self) -> Operand {
        self.map(UnaryOperator::Neg)
    }
}

impl Neg for Operand {
    type Output = Self;

    #[track_caller]
    fn neg(self) -> Self {
        self.map(UnaryOperator::Neg)
    }
}
