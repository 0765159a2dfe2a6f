//! matmul: matrix products over the last two axes.

use tract_onnx::prelude::f16;
use tract_onnx::prelude::tract_ndarray::linalg::general_mat_mul;
use tract_onnx::prelude::tract_ndarray::{ArrayView2, ArrayViewMut2, LinalgScalar};

use super::binary::broadcast;
use super::check::FLOATS;
use super::elementwise::map_elements;
use super::{Check, Plan, Stop};
use crate::element::Element;
use crate::layout::Odometer;
use crate::{DType, RunError, Tensor};

/// One multiplication and sum.
const NANOSECONDS: f64 = 0.02;
/// Writing out or widening one element of an input.
const COPY_NANOSECONDS: f64 = 0.4;
/// How many of them between two questions whether to go on: some 4 ms.
const BLOCK: usize = 200_000_000;

pub(super) fn matmul(inputs: &[Tensor]) -> Result<Plan, RunError> {
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
                let [a, b] = sides.map(|(tensor, shape)| over_batch(tensor, shape));
                products::<f64>(&a, &b, &shape, stop)
            }
            _ => {
                let [a, b] = sides.map(|(tensor, shape)| over_batch(tensor, shape));
                products::<f32>(&a, &b, &shape, stop)
            }
        }
    });
    let nanoseconds = plan.nanoseconds + COPY_NANOSECONDS * copied as f64;
    Ok(Plan { nanoseconds, ..plan.with_scratch(scratch) })
}

/// `tensor` in `shape`, which has more axes in front at most. A matrix that has to be written out is so before it is
/// repeated: nobody is charged for a copy of it for each matrix of the other side.
fn over_batch(tensor: &Tensor, shape: &[usize]) -> Tensor {
    let tensor = if repeats(tensor) { tensor.copied() } else { tensor.clone() };
    tensor.view(tensor.layout().expand(shape))
}

/// Halves are widened; a matrix that repeats its rows or columns is written out.
fn scratch_bytes(inputs: &[&Tensor], shape: &[usize]) -> usize {
    let copies = inputs.iter().map(|input| match input.dtype() {
        DType::Float16 => input.byte_length().saturating_mul(2),
        _ if repeats(input) => input.byte_length(),
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
    let copied = inputs.iter().filter(|input| input.dtype() == DType::Float16 || repeats(input));
    copied.map(|input| input.layout().len()).fold(0, usize::saturating_add)
}

/// Whether the matrices of `tensor` show one element twice, which `ndarray` may refuse.
fn repeats(tensor: &Tensor) -> bool {
    let layout = tensor.layout();
    let axes = layout.shape.iter().zip(&layout.strides).rev().take(2);
    axes.into_iter().any(|(&length, &stride)| length > 1 && stride == 0)
}

fn products<T: Element + LinalgScalar>(
    a: &Tensor,
    b: &Tensor,
    shape: &[usize],
    stop: &Stop<'_>,
) -> Result<Tensor, RunError> {
    let mut finished = Ok(());
    let result = Tensor::filled::<T>(shape, |target| {
        if !target.is_empty() && a.shape().last() != Some(&0) {
            finished = multiply(&Matrices::<T>::of(a), &Matrices::of(b), target, stop);
        }
    });
    finished.map(|()| result)
}

/// Matrices in a storage, all of one shape.
struct Matrices<'a, T> {
    stored: &'a [T],
    batch: Vec<(usize, usize)>,
    offset: usize,
    shape: (usize, usize),
    strides: (usize, usize),
}

impl<'a, T: Element> Matrices<'a, T> {
    fn of(tensor: &'a Tensor) -> Self {
        let rows = tensor.shape().len() - 2;
        let layout = tensor.layout();
        let axes: Vec<_> = layout.shape.iter().copied().zip(layout.strides.iter().copied()).collect();
        let shape = (axes[rows].0, axes[rows + 1].0);
        let strides = (axes[rows].1, axes[rows + 1].1);
        Self { stored: tensor.stored::<T>(), batch: axes[..rows].to_vec(), offset: layout.offset, shape, strides }
    }

    fn view(&self, offset: usize) -> ArrayView2<'_, T> {
        use tract_onnx::prelude::tract_ndarray::ShapeBuilder;
        let shape = self.shape.strides(self.strides);
        ArrayView2::from_shape(shape, &self.stored[offset..]).expect("a layout lies within its storage")
    }
}

fn multiply<T: Element + LinalgScalar>(
    a: &Matrices<'_, T>,
    b: &Matrices<'_, T>,
    target: &mut [T],
    stop: &Stop<'_>,
) -> Result<(), RunError> {
    use tract_onnx::prelude::tract_ndarray::{Axis, s};
    let ((rows, depth), columns) = (a.shape, b.shape.1);
    let mut offsets_a = Odometer::new(a.batch.clone(), a.offset);
    let mut offsets_b = Odometer::new(b.batch.clone(), b.offset);
    let step = (BLOCK / depth.saturating_mul(columns).max(1)).clamp(1, rows);
    for product in target.chunks_exact_mut(rows * columns) {
        let (a, b) = (a.view(offsets_a.next()), b.view(offsets_b.next()));
        let mut product = ArrayViewMut2::from_shape((rows, columns), product).expect("it has just been cut so");
        for (block, mut product) in product.axis_chunks_iter_mut(Axis(0), step).enumerate() {
            stop.check()?;
            let top = block * step;
            let block = a.slice(s![top..top + product.nrows(), ..]);
            general_mat_mul(T::one(), &block, &b, T::zero(), &mut product);
        }
    }
    Ok(())
}
