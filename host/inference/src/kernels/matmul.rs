//! matmul: matrix products over the last two axes.

use tract_onnx::prelude::f16;

use super::binary::broadcast;
use super::check::FLOATS;
use super::elementwise::map_elements;
use super::product::{Matrix, Number, Target, multiply, piecewise};
use super::{Check, Plan, Stop};
use crate::layout::Odometer;
use crate::{DType, RunError, Tensor};

/// One multiplication and sum, with AVX-512; with AVX2 it is twice as much.
pub(super) const NANOSECONDS: f64 = 0.01;
/// Writing out or widening one element of an input.
pub(super) const COPY_NANOSECONDS: f64 = 0.4;

pub(super) fn matmul(inputs: Vec<Tensor>) -> Result<Plan, RunError> {
    let check = Check("matmul");
    let [a, b] = check.inputs(inputs)?;
    check.dtype(&a, &FLOATS)?;
    check.that(a.dtype() == b.dtype(), || {
        format!("the inputs are {} and {}, but must be of one type; cast one of them", a.dtype(), b.dtype())
    })?;
    let ([batch_a @ .., rows, depth], [batch_b @ .., depth_b, columns]) = (a.shape(), b.shape()) else {
        let (a, b) = (a.shape(), b.shape());
        return check.refuse(format!("the inputs must have two axes at least, are {a:?} and {b:?}"));
    };
    let (rows, depth, columns) = (*rows, *depth, *columns);
    check.that(depth == *depth_b, || {
        let (a, b) = (a.shape(), b.shape());
        format!(
            "the last axis of {a:?} must be as long as the last but one of {b:?}, but they are {depth} and {depth_b}"
        )
    })?;
    let batch = broadcast(check, batch_a, batch_b)?;
    let with = |tail: [usize; 2]| batch.iter().copied().chain(tail).collect::<Vec<_>>();
    let (shape_a, shape_b, shape) = (with([rows, depth]), with([depth, columns]), with([rows, columns]));
    for shape in [&shape_a, &shape_b] {
        crate::byte_length(a.dtype(), shape)
            .or_else(|cause| check.refuse(format!("the inputs, broadcast, are too large: {cause}")))?;
    }
    let dtype = a.dtype();
    let (scratch, copied) = (scratch_bytes(&[&a, &b], &shape), copied_elements(&[&a, &b]));
    let plan = Plan::compute(check.0, dtype, shape.clone(), NANOSECONDS * depth as f64, move |stop| {
        let sides = [(&a, &shape_a), (&b, &shape_b)];
        match dtype {
            DType::Float16 => {
                // Widened and rounded once: products of halves summed as halves lose all meaning.
                let widen = |(tensor, shape): (&Tensor, &Vec<usize>)| {
                    let wide = map_elements(tensor, stop, |x: f16| x.to_f32())?;
                    Ok::<_, RunError>(wide.view(wide.layout().expand(shape)))
                };
                let [a, b] = sides.map(widen);
                let wide = products::<f32>(&a?, &b?, &shape, stop)?;
                map_elements(&wide, stop, f16::from_f32)
            }
            DType::Float64 => {
                let [a, b] = sides.map(|(tensor, shape)| over_batch(tensor, shape, stop));
                products::<f64>(&a?, &b?, &shape, stop)
            }
            _ => {
                let [a, b] = sides.map(|(tensor, shape)| over_batch(tensor, shape, stop));
                products::<f32>(&a?, &b?, &shape, stop)
            }
        }
    });
    let nanoseconds = plan.nanoseconds + COPY_NANOSECONDS * copied as f64;
    Ok(Plan { nanoseconds, ..plan.with_scratch(scratch) })
}

/// `tensor` in `shape`, which has more axes in front at most. A matrix that has to be written out is so before it is
/// repeated: nobody is charged for a copy of it for each matrix of the other side.
fn over_batch(tensor: &Tensor, shape: &[usize], stop: &Stop<'_>) -> Result<Tensor, RunError> {
    let tensor = if is_scattered(tensor) { tensor.copied_until(stop)? } else { tensor.clone() };
    Ok(tensor.view(tensor.layout().expand(shape)))
}

/// Halves are widened; a matrix of which neither rows nor columns lie in one piece is written out.
fn scratch_bytes(inputs: &[&Tensor], shape: &[usize]) -> usize {
    let copies = inputs.iter().map(|input| match input.dtype() {
        DType::Float16 => input.byte_length().saturating_mul(2),
        _ if is_scattered(input) => input.byte_length(),
        _ => 0,
    });
    let wide = if inputs[0].dtype() == DType::Float16 {
        shape.iter().fold(size_of::<f32>(), |bytes, &length| bytes.saturating_mul(length))
    } else {
        0
    };
    copies.fold(wide, usize::saturating_add)
}

/// How many elements are written out or widened before anything is multiplied.
fn copied_elements(inputs: &[&Tensor]) -> usize {
    let copied = inputs.iter().filter(|input| input.dtype() == DType::Float16 || is_scattered(input));
    copied.map(|input| input.layout().len()).fold(0, usize::saturating_add)
}

/// Whether neither the rows nor the columns of the matrices of `tensor` lie in one piece each.
pub(super) fn is_scattered(tensor: &Tensor) -> bool {
    let (shape, strides) = last_two(tensor);
    piecewise(shape, strides).is_none()
}

/// Lengths and strides of the last two axes.
pub(super) fn last_two(tensor: &Tensor) -> ((usize, usize), (usize, usize)) {
    let layout = tensor.layout();
    let row = layout.shape.len() - 2;
    ((layout.shape[row], layout.shape[row + 1]), (layout.strides[row], layout.strides[row + 1]))
}

fn products<T: Number>(a: &Tensor, b: &Tensor, shape: &[usize], stop: &Stop<'_>) -> Result<Tensor, RunError> {
    Tensor::filled_until::<T>(stop, shape, |target| {
        if target.is_empty() || a.shape().last() == Some(&0) {
            return Ok(());
        }
        fill(&mut Matrices::<T>::of(a), &mut Matrices::of(b), target, stop)
    })
}

fn fill<T: Number>(
    a: &mut Matrices<'_, T>,
    b: &mut Matrices<'_, T>,
    target: &mut [T],
    stop: &Stop<'_>,
) -> Result<(), RunError> {
    let (rows, columns) = (a.shape.0, b.shape.1);
    for product in target.chunks_exact_mut(rows * columns) {
        multiply(T::ONE, a.next(), b.next(), Target { stored: product, stride: columns, accumulate: false }, stop)?;
    }
    Ok(())
}

/// Matrices in a storage, all of one shape, one after the other.
struct Matrices<'a, T> {
    stored: &'a [T],
    offsets: Odometer,
    shape: (usize, usize),
    strides: (usize, usize),
}

impl<'a, T: Number> Matrices<'a, T> {
    fn of(tensor: &'a Tensor) -> Self {
        let layout = tensor.layout();
        let batch = layout.shape.iter().copied().zip(layout.strides.iter().copied());
        let batch = batch.take(layout.shape.len() - 2).collect();
        let (shape, strides) = last_two(tensor);
        Self { stored: tensor.stored::<T>(), offsets: Odometer::new(batch, layout.offset), shape, strides }
    }

    fn next(&mut self) -> Matrix<'a, T> {
        let stored = &self.stored[self.offsets.next()..];
        Matrix::strided(stored, self.shape, self.strides).expect("what is scattered has been written out")
    }
}
