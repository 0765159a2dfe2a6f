//! `+`, `-`, `*` and `/`: on operands of graphs as they stand, on tensors when the result is awaited.

use std::future::{Future, IntoFuture};
use std::ops::{Add, Div, Mul, Neg, Sub};
use std::pin::Pin;
use std::rc::Rc;

use super::{BinaryOperator, LinearOptions, Operator, UnaryOperator};
use crate::host::HostError;
use crate::{DType, Operand, Tensor};

/// What `&a + &b` on tensors gives, and whatever is made of that: `.await` computes it, from left to right. Each side is a tensor,
/// a reference to one, a number or such an expression; a tensor that is given away is dropped as soon as it has been used.
///
/// ```
/// use spillway_sdk::{HostError, Tensor};
///
/// async fn standardised(x: &Tensor, mean: &Tensor, deviation: &Tensor) -> Result<Tensor, HostError> {
///     ((x - mean) / deviation).await
/// }
///
/// async fn blended(a: &Tensor, b: &Tensor, share: f64) -> Result<Tensor, HostError> {
///     (share * a.relu().await? + (1.0 - share) * b).await
/// }
/// ```
#[must_use = "nothing is computed before `.await`"]
#[derive(Debug)]
pub struct Pending<'a> {
    operator: BinaryOperator,
    left: Box<Side<'a>>,
    right: Box<Side<'a>>,
}

/// One side of an operator on tensors.
#[derive(Debug)]
#[doc(hidden)]
pub enum Side<'a> {
    /// A tensor that stays.
    There(&'a Tensor),
    /// One that goes.
    Given(Tensor),
    /// One that is still to be computed.
    Pending(Pending<'a>),
    /// The same number for all elements.
    Number(f64),
}

impl<'a> From<&'a Tensor> for Side<'a> {
    fn from(tensor: &'a Tensor) -> Self {
        Self::There(tensor)
    }
}

impl From<Tensor> for Side<'_> {
    fn from(tensor: Tensor) -> Self {
        Self::Given(tensor)
    }
}

impl<'a> From<Pending<'a>> for Side<'a> {
    fn from(pending: Pending<'a>) -> Self {
        Self::Pending(pending)
    }
}

impl From<f64> for Side<'_> {
    fn from(number: f64) -> Self {
        Self::Number(number)
    }
}

impl<'a> IntoFuture for Pending<'a> {
    type Output = Result<Tensor, HostError>;
    type IntoFuture = Pin<Box<dyn Future<Output = Self::Output> + 'a>>;

    fn into_future(self) -> Self::IntoFuture {
        Box::pin(self.compute())
    }
}

impl<'a> Pending<'a> {
    fn of(operator: BinaryOperator, left: impl Into<Side<'a>>, right: impl Into<Side<'a>>) -> Self {
        Self { operator, left: Box::new(left.into()), right: Box::new(right.into()) }
    }

    async fn compute(self) -> Result<Tensor, HostError> {
        let operator = self.operator;
        let (left, right) = (self.left.there().await?, self.right.there().await?);
        let (x, number, is_left) = match (&left, &right) {
            (Side::Number(_), Side::Number(_)) => unreachable!("numbers alone are Rust's"),
            (Side::Number(number), x) => (x.tensor(), *number, true),
            (x, Side::Number(number)) => (x.tensor(), *number, false),
            (left, right) => {
                return Tensor::compute(Operator::Binary(operator), &[left.tensor(), right.tensor()]).await;
            }
        };
        if let Some(linear) = linear(operator, number, is_left, x.dtype()) {
            return Tensor::compute(linear, &[x]).await;
        }
        let mut number = scalar(x.dtype(), number)?;
        if x.dtype() == DType::Float16 {
            number = number.cast(DType::Float16).await?;
        }
        let sides = if is_left { [&number, x] } else { [x, &number] };
        Tensor::compute(Operator::Binary(operator), &sides).await
    }
}

impl Side<'_> {
    /// The same with nothing still to be computed.
    async fn there(self) -> Result<Self, HostError> {
        match self {
            Self::Pending(pending) => Ok(Self::Given(pending.await?)),
            there => Ok(there),
        }
    }

    /// Of what is [there](Self::there), and no number.
    fn tensor(&self) -> &Tensor {
        match self {
            Self::There(tensor) => tensor,
            Self::Given(tensor) => tensor,
            Self::Pending(_) | Self::Number(_) => unreachable!("the caller has looked"),
        }
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
        /// With a tensor, what is still to be computed, or one number for all elements.
        impl<'a, R: Into<Side<'a>>> $trait<R> for &'a Tensor {
            type Output = Pending<'a>;

            fn $method(self, right: R) -> Pending<'a> {
                Pending::of(BinaryOperator::$trait, self, right)
            }
        }

        /// With a tensor, what is still to be computed, or one number for all elements.
        impl<'a, R: Into<Side<'a>>> $trait<R> for Pending<'a> {
            type Output = Self;

            fn $method(self, right: R) -> Self {
                Self::of(BinaryOperator::$trait, self, right)
            }
        }

        impl<'a> $trait<&'a Self> for Tensor {
            type Output = Pending<'a>;

            fn $method(self, right: &'a Self) -> Pending<'a> {
                Pending::of(BinaryOperator::$trait, self, right)
            }
        }

        impl $trait for Tensor {
            type Output = Pending<'static>;

            fn $method(self, right: Self) -> Pending<'static> {
                Pending::of(BinaryOperator::$trait, self, right)
            }
        }

        impl<'a> $trait<Pending<'a>> for Tensor {
            type Output = Pending<'a>;

            fn $method(self, right: Pending<'a>) -> Pending<'a> {
                Pending::of(BinaryOperator::$trait, self, right)
            }
        }

        /// With one number for all elements.
        impl $trait<f64> for Tensor {
            type Output = Pending<'static>;

            fn $method(self, right: f64) -> Pending<'static> {
                Pending::of(BinaryOperator::$trait, self, right)
            }
        }

        /// With one number for all elements.
        impl<'a> $trait<&'a Tensor> for f64 {
            type Output = Pending<'a>;

            fn $method(self, right: &'a Tensor) -> Pending<'a> {
                Pending::of(BinaryOperator::$trait, self, right)
            }
        }

        /// With one number for all elements.
        impl $trait<Tensor> for f64 {
            type Output = Pending<'static>;

            fn $method(self, right: Tensor) -> Pending<'static> {
                Pending::of(BinaryOperator::$trait, self, right)
            }
        }

        /// With one number for all elements.
        impl<'a> $trait<Pending<'a>> for f64 {
            type Output = Pending<'a>;

            fn $method(self, right: Pending<'a>) -> Pending<'a> {
                Pending::of(BinaryOperator::$trait, self, right)
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
        Pending::of(BinaryOperator::Mul, -1.0, self)
    }
}

impl Neg for Tensor {
    type Output = Pending<'static>;

    /// The product with -1.
    fn neg(self) -> Pending<'static> {
        Pending::of(BinaryOperator::Mul, -1.0, self)
    }
}

impl Neg for Pending<'_> {
    type Output = Self;

    /// The product with -1.
    fn neg(self) -> Self {
        Self::of(BinaryOperator::Mul, -1.0, self)
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
