//! Products of matrices, on the calling thread, as `faer` computes them.
//!
//! How the inputs lie makes no difference to the bits of the result: sums run in an order that the shape alone decides.
//! `faer` keeps to that on processors with AVX2, but for vectors, which are multiplied here, and for small products, whose
//! inputs are laid out row by row before.

use std::borrow::Cow;

use faer::{Accum, MatMut, MatRef, Par};
use pulp::NullaryFnOnce;

use super::Stop;
use super::sample::Real;
use crate::RunError;
use crate::element::Element;
use crate::vectors::widest;

/// A float that products are computed in.
pub(super) trait Number: Element + Real + faer::traits::ComplexField {
    const ONE: Self;
    /// The nearest value.
    fn of(x: f64) -> Self;
}

impl Number for f32 {
    const ONE: Self = 1.0;
    fn of(x: f64) -> Self {
        x as Self
    }
}

impl Number for f64 {
    const ONE: Self = 1.0;
    fn of(x: f64) -> Self {
        x
    }
}

/// A matrix whose rows or columns lie in one piece each.
#[derive(Clone, Copy)]
pub(super) struct Matrix<'a, T> {
    stored: &'a [T],
    rows: usize,
    columns: usize,
    /// From one piece to the next; 0 repeats it.
    stride: usize,
    /// Whether the pieces are rows.
    by_rows: bool,
}

impl<'a, T: Number> Matrix<'a, T> {
    /// Row `i` begins at `i * stride`.
    pub(super) fn by_rows(stored: &'a [T], (rows, columns): (usize, usize), stride: usize) -> Self {
        Self { stored, rows, columns, stride, by_rows: true }
    }

    /// The matrix whose element `(i, j)` is at `i * row + j * column`; `None` where neither rows nor columns lie in one
    /// piece.
    pub(super) fn strided(
        stored: &'a [T],
        (rows, columns): (usize, usize),
        (row, column): (usize, usize),
    ) -> Option<Self> {
        match piecewise((rows, columns), (row, column))? {
            true => Some(Self::by_rows(stored, (rows, columns), row)),
            false => Some(Self::by_rows(stored, (columns, rows), column).transposed()),
        }
    }

    pub(super) fn transposed(self) -> Self {
        Self { rows: self.columns, columns: self.rows, by_rows: !self.by_rows, ..self }
    }

    /// `rows` by `columns` of it, from `(top, left)` on.
    pub(super) fn part(self, (top, left): (usize, usize), (rows, columns): (usize, usize)) -> Self {
        let offset = if self.by_rows { top * self.stride + left } else { top + left * self.stride };
        Self { stored: &self.stored[offset..], rows, columns, ..self }
    }

    /// One of its rows or columns that lie in one piece.
    fn piece(self, index: usize) -> &'a [T] {
        let length = if self.by_rows { self.columns } else { self.rows };
        &self.stored[index * self.stride..][..length]
    }

    /// Its elements row by row, copied unless its rows lie in one piece each and `stride` apart.
    fn in_rows(self, stride: usize) -> Cow<'a, [T]> {
        if self.by_rows && (self.rows == 1 || self.stride == stride) {
            return Cow::Borrowed(&self.stored[..(self.rows - 1) * stride + self.columns]);
        }
        let mut rows = vec![T::default(); self.rows * self.columns];
        if self.by_rows {
            let pieces = rows.chunks_exact_mut(self.columns).enumerate();
            pieces.for_each(|(index, row)| row.copy_from_slice(self.piece(index)));
        } else {
            for column in 0..self.columns {
                let places = rows[column..].iter_mut().step_by(self.columns);
                places.zip(self.piece(column)).for_each(|(to, from)| *to = *from);
            }
        }
        Cow::Owned(rows)
    }

    fn to_faer(self) -> MatRef<'a, T> {
        if self.by_rows {
            MatRef::from_row_major_slice_with_stride(self.stored, self.rows, self.columns, self.stride)
        } else {
            MatRef::from_column_major_slice_with_stride(self.stored, self.rows, self.columns, self.stride)
        }
    }
}

/// Whether the rows (`true`) or columns of a matrix with these strides lie in one piece each; `None` where neither do.
pub(super) fn piecewise((rows, columns): (usize, usize), (row, column): (usize, usize)) -> Option<bool> {
    if column == 1 || columns <= 1 {
        Some(true)
    } else if row == 1 || rows <= 1 {
        Some(false)
    } else {
        None
    }
}

/// Where a product goes: row `i` begins at `i * stride`.
pub(super) struct Target<'a, T> {
    pub(super) stored: &'a mut [T],
    pub(super) stride: usize,
    /// Whether it is added to what is there, instead of written over it.
    pub(super) accumulate: bool,
}

/// Multiplications of one part, between two questions whether to go on: some 4 ms with AVX2, 2 with AVX-512. Three times as many
/// took a tenth longer.
const PART: usize = 200_000_000;
/// The most results of one part: where sums are short, they are what takes time.
const PART_RESULTS: usize = 4 << 20;
/// The most of a sum in one part.
const PART_DEPTH: usize = 2048;
/// The most elements of the right-hand matrix that all its columns are in one part: what the second cache holds.
const PART_INPUT: usize = 256 << 10;
/// The most columns of a part, where they are more: all at once took a quarter longer for 1024, and for each part the rows are
/// rearranged once.
const PART_COLUMNS: usize = 384;

/// `alpha * a * b`. The columns of `a` are as many as the rows of `b`.
pub(super) fn multiply<T: Number>(
    alpha: T,
    a: Matrix<'_, T>,
    b: Matrix<'_, T>,
    target: Target<'_, T>,
    stop: &Stop<'_>,
) -> Result<(), RunError> {
    let (rows, depth, columns) = (a.rows, a.columns, b.columns);
    let Target { stored, stride, accumulate } = target;
    if rows == 0 || columns == 0 {
        return Ok(());
    }
    if depth == 0 && !accumulate {
        stored.chunks_mut(stride.max(1)).take(rows).for_each(|row| row[..columns].fill(T::default()));
    }
    let part_depth = depth.clamp(1, PART_DEPTH);
    let (part_rows, part_columns) = parts(rows, part_depth, columns);
    for from in (0..depth).step_by(part_depth) {
        let length = part_depth.min(depth - from);
        for left in (0..columns).step_by(part_columns) {
            let width = part_columns.min(columns - left);
            for top in (0..rows).step_by(part_rows) {
                let height = part_rows.min(rows - top);
                let (a, b) = (a.part((top, from), (height, length)), b.part((from, left), (length, width)));
                let stored = &mut stored[top * stride + left..];
                multiply_part(alpha, a, b, Target { stored, stride, accumulate: accumulate || from > 0 });
                stop.worked(height * length * width / 64 + 8)?;
            }
        }
    }
    Ok(())
}

/// How many rows and columns make a part, at most.
fn parts(rows: usize, depth: usize, columns: usize) -> (usize, usize) {
    if rows == 1 || columns == 1 {
        // Vectors wait for memory.
        let most = (PART / 16 / depth).clamp(1, PART_RESULTS);
        return (rows.min(most), columns.min(most));
    }
    let widest = if depth.saturating_mul(columns) <= PART_INPUT { PART_RESULTS } else { PART_COLUMNS };
    let part_columns = columns.min(widest);
    let most = (PART / (depth * part_columns)).min(PART_RESULTS / part_columns).max(1);
    // Alike, so that none is left that is hardly worth its beginning; and whole blocks of what is computed at once.
    let part_rows = rows.div_ceil(rows.div_ceil(most)).next_multiple_of(8);
    (part_rows.min(rows), part_columns)
}

/// Products of at most so many multiplications are computed by another part of `faer`, in another order for inputs that
/// lie otherwise (`NANO_GEMM_THRESHOLD`).
const SMALL: usize = 16 * 16 * 16;

fn multiply_part<T: Number>(alpha: T, a: Matrix<'_, T>, b: Matrix<'_, T>, target: Target<'_, T>) {
    let (rows, depth, columns) = (a.rows, a.columns, b.columns);
    if rows == 1 {
        return widest(VectorProduct { alpha, x: &a.in_rows(depth), b, step: 1, target });
    }
    if columns == 1 {
        let step = target.stride;
        return widest(VectorProduct { alpha, x: &b.transposed().in_rows(depth), b: a.transposed(), step, target });
    }
    let accumulate = if target.accumulate { Accum::Add } else { Accum::Replace };
    // faer 0.24's own function for rows gives columns.
    let to = MatMut::from_column_major_slice_with_stride_mut(target.stored, columns, rows, target.stride);
    if depth == 1 || rows * depth * columns <= SMALL {
        let (a, b) = (a.in_rows(depth), b.in_rows(columns));
        let (a, b) = (Matrix::by_rows(&a, (rows, depth), depth), Matrix::by_rows(&b, (depth, columns), columns));
        faer::linalg::matmul::matmul(to.transpose_mut(), accumulate, a.to_faer(), b.to_faer(), alpha, Par::Seq);
    } else {
        faer::linalg::matmul::matmul(to.transpose_mut(), accumulate, a.to_faer(), b.to_faer(), alpha, Par::Seq);
    }
}

/// Parts of a sum: as many as the widest vectors have numbers.
const LANES: usize = 16;
/// Columns whose sums are open at once: as many as the first-level cache holds.
const OPEN: usize = 256;

/// `alpha * x * b`, element `j` to `j * step`. Sums run in [`LANES`] parts, each over every so many-th element, that the compiler
/// can make vectors of them.
struct VectorProduct<'a, T> {
    alpha: T,
    x: &'a [T],
    b: Matrix<'a, T>,
    step: usize,
    target: Target<'a, T>,
}

impl<T: Number> NullaryFnOnce for VectorProduct<'_, T> {
    type Output = ();

    #[inline(always)]
    fn call(self) {
        let Self { alpha, x, b, step, target } = self;
        let mut places = target.stored.iter_mut().step_by(step.max(1));
        let accumulate = target.accumulate;
        let put = move |to: &mut T, sum: T| *to = if accumulate { *to + alpha * sum } else { alpha * sum };
        if !b.by_rows {
            places.take(b.columns).enumerate().for_each(|(column, to)| put(to, dot(x, b.piece(column))));
            return;
        }
        let mut sums = vec![T::default(); LANES * OPEN.min(b.columns)];
        for left in (0..b.columns).step_by(OPEN) {
            let width = OPEN.min(b.columns - left);
            sums.fill(T::default());
            for (row, &x) in x.iter().enumerate() {
                let lane = &mut sums[row % LANES * width..][..width];
                let piece = &b.piece(row)[left..][..width];
                let mut index = 0;
                while index < width {
                    lane[index] += x * piece[index];
                    index += 1;
                }
            }
            let (first, others) = sums.split_at_mut(width);
            for lane in others[..(LANES - 1) * width].chunks_exact(width) {
                first.iter_mut().zip(lane).for_each(|(sum, &more)| *sum += more);
            }
            first.iter().zip(&mut places).for_each(|(&sum, to)| put(to, sum));
        }
    }
}

#[inline(always)]
fn dot<T: Number>(x: &[T], y: &[T]) -> T {
    let mut lanes = [T::default(); LANES];
    let ((xs, x_rest), (ys, y_rest)) = (x.as_chunks::<LANES>(), y.as_chunks::<LANES>());
    // Written out, as the loops of `vectors` are.
    let (count, mut at) = (xs.len().min(ys.len()), 0);
    while at < count {
        let (xs, ys) = (&xs[at], &ys[at]);
        let mut lane = 0;
        while lane < LANES {
            lanes[lane] += xs[lane] * ys[lane];
            lane += 1;
        }
        at += 1;
    }
    lanes.iter_mut().zip(x_rest.iter().zip(y_rest)).for_each(|(sum, (&x, &y))| *sum += x * y);
    lanes[1..].iter().fold(lanes[0], |sum, &more| sum + more)
}
