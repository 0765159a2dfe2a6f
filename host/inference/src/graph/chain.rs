//! Elementwise operations one after the other: each block of elements goes through all of them while it is in the cache.

use spillway_types::operator::{BinaryOperator, ClampOptions, LinearOptions, Operator, UnaryOperator};

use crate::kernels::{ApplyTwo, Arithmetic, Stop, between, in_place};
use crate::vectors::{InPlace, InPlaceWith, widest};
use crate::{DType, RunError, Tensor};

/// Elements that go through a chain together: 16 KiB of them, so that they and those of another operand stay in the
/// first-level cache.
const BLOCK: usize = 4096;

const ARITHMETIC: [BinaryOperator; 7] = {
    use BinaryOperator::{Add, Div, Max, Min, Mul, Pow, Sub};
    [Add, Sub, Mul, Div, Max, Min, Pow]
};

/// A chain on `float32`.
pub(super) struct Chain {
    /// Of what begins it, and of every result.
    pub(super) shape: Vec<usize>,
    /// The operand that begins it.
    pub(super) start: usize,
    pub(super) links: Vec<Link>,
}

/// One operation on what the one before gave.
pub(super) enum Link {
    Unary(UnaryOperator),
    Linear(LinearOptions),
    Clamp {
        least: f32,
        greatest: f32,
    },
    /// With another operand.
    Binary {
        operator: BinaryOperator,
        other: usize,
        access: Access,
        is_left: bool,
    },
}

/// The tensors of operands, by their numbers.
pub(super) type Operands<'a> = &'a dyn Fn(usize) -> &'a Tensor;

/// How the elements of the other operand go with those of the chain.
#[derive(Clone, Copy)]
pub(super) enum Access {
    /// One for each.
    Each,
    /// One for all.
    One,
    /// A row of so many elements, again and again.
    Row(usize),
}

impl Link {
    /// The link that an operation is, and the operand that goes along the chain: the first that can, of two the one that
    /// `is_tail` says so of. None where it is no such operation.
    pub(super) fn of(
        operator: &Operator,
        inputs: &[usize],
        shown: &[&Tensor],
        result: usize,
        is_tail: impl Fn(usize) -> bool,
    ) -> Option<(Self, usize)> {
        let is_along = |number: usize| {
            let tensor = shown[number];
            tensor.dtype() == DType::Float32
                && tensor.shape() == shown[result].shape()
                && tensor.layout().is_row_major()
                && tensor.layout().len() > 0
        };
        if shown[result].dtype() != DType::Float32 {
            return None;
        }
        let along = *inputs.first()?;
        let link = match operator {
            // A view.
            Operator::Unary(UnaryOperator::Identity) => return None,
            Operator::Unary(operator) => Self::Unary(*operator),
            Operator::Linear(options) => Self::Linear(*options),
            Operator::Clamp(ClampOptions { min_value, max_value }) => Self::Clamp {
                least: min_value.unwrap_or(f64::NEG_INFINITY) as f32,
                greatest: max_value.unwrap_or(f64::INFINITY) as f32,
            },
            Operator::Binary(operator) => {
                let [a, b] = *inputs else { return None };
                let is_left = !is_along(a) || (is_along(b) && is_tail(b) && !is_tail(a));
                let (along, other) = if is_left { (b, a) } else { (a, b) };
                let access = access(shown[other], shown[result].shape())?;
                if !ARITHMETIC.contains(operator) {
                    return None;
                }
                let link = Self::Binary { operator: *operator, other, access, is_left };
                return is_along(along).then_some((link, along));
            }
            _ => return None,
        };
        is_along(along).then_some((link, along))
    }

    fn apply(&self, block: &mut [f32], start: usize, others: Operands<'_>) {
        match self {
            Self::Unary(operator) => in_place(*operator, block),
            Self::Linear(LinearOptions { alpha, beta }) => {
                let (alpha, beta) = (*alpha as f32, *beta as f32);
                widest(InPlace { of: block, f: move |x| alpha * x + beta });
            }
            Self::Clamp { least, greatest } => widest(InPlace { of: block, f: between(*least, *greatest) }),
            Self::Binary { operator, other, access, is_left } => {
                let other = others(*other);
                let other = &other.stored::<f32>()[other.layout().offset..];
                let with = With { block, other, start, access: *access, is_left: *is_left };
                f32::arithmetic(*operator, with);
            }
        }
    }
}

/// How `other` is read beside a tensor of `shape`; none where it takes more than one stride.
fn access(other: &Tensor, shape: &[usize]) -> Option<Access> {
    if !other.layout().is_row_major() {
        return None;
    }
    if other.layout().len() == 1 {
        return Some(Access::One);
    }
    if other.shape() == shape {
        return Some(Access::Each);
    }
    let ones = other.shape().iter().take_while(|&&length| length == 1).count();
    let row = &other.shape()[ones..];
    let fits = shape.ends_with(row) && other.shape().len() <= shape.len();
    fits.then(|| Access::Row(row.iter().product()))
}

impl Chain {
    /// All operands that it reads.
    pub(super) fn inputs(&self) -> Vec<usize> {
        let others = self.links.iter().filter_map(|link| match link {
            Link::Binary { other, .. } => Some(*other),
            Link::Unary(_) | Link::Linear(_) | Link::Clamp { .. } => None,
        });
        std::iter::once(self.start).chain(others).collect()
    }

    /// Computes it; `operand` gives the tensor of a number.
    pub(super) fn run(&self, operand: Operands<'_>, stop: &Stop<'_>) -> Result<Tensor, RunError> {
        let start = operand(self.start);
        let source = &start.stored::<f32>()[start.layout().offset..];
        Tensor::by_blocks(&self.shape, BLOCK, |at, block| {
            let source = &source[at..][..block.len()];
            let block = block.copied(source);
            self.links.iter().for_each(|link| link.apply(block, at, operand));
            stop.worked(block.len() * self.links.len())?;
            Ok(block)
        })
    }
}

/// A block with the elements of another operand beside it.
struct With<'a> {
    block: &'a mut [f32],
    other: &'a [f32],
    /// Where the block begins, counted from the tensor's first element.
    start: usize,
    access: Access,
    /// Whether the other operand stands on the left.
    is_left: bool,
}

impl ApplyTwo<f32> for With<'_> {
    type Output = ();

    fn apply(self, f: impl Fn(f32, f32) -> f32 + Copy) {
        if self.is_left { self.each(|x, y| f(y, x)) } else { self.each(f) }
    }
}

impl With<'_> {
    fn each(self, f: impl Fn(f32, f32) -> f32 + Copy) {
        let Self { block, other, start, access, .. } = self;
        let pairs = |of: &mut [f32], with: &[f32]| widest(InPlaceWith { of, with, f });
        match access {
            Access::Each => pairs(block, &other[start..]),
            Access::One => {
                let y = other[0];
                widest(InPlace { of: block, f: move |x| f(x, y) });
            }
            Access::Row(length) => {
                // The block may begin and end within a row.
                let (first, rest) = block.split_at_mut(((length - start % length) % length).min(block.len()));
                pairs(first, &other[start % length..length]);
                rest.chunks_mut(length).for_each(|row| pairs(row, &other[..length]));
            }
        }
    }
}
