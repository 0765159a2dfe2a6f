//! Where a tensor's elements lie in its storage: shape, strides, and where the first one is.

use tract_onnx::prelude::TVec;

/// A view on the elements of a storage. All numbers count elements; strides are never negative, and 0 repeats.
///
/// Whoever makes one sees to it that every element lies inside the storage, so that walking it needs no checks but those
/// of slices.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Layout {
    // Those of most tensors are kept in place.
    pub(crate) shape: TVec<usize>,
    pub(crate) strides: TVec<usize>,
    pub(crate) offset: usize,
}

impl Layout {
    /// All of a storage, row by row. `shape` has passed [`byte_length`](crate::byte_length), so no product overflows.
    pub(crate) fn row_major(shape: &[usize]) -> Self {
        Self { shape: shape.into(), strides: row_major_strides(shape), offset: 0 }
    }

    /// How many elements it shows.
    pub(crate) fn len(&self) -> usize {
        self.shape.iter().product()
    }

    /// Whether elements of one row lie side by side, or are one.
    pub(crate) fn is_along_rows(&self) -> bool {
        let row = self.shape.iter().zip(&self.strides).rfind(|(length, _)| **length > 1);
        row.is_none_or(|(_, stride)| *stride <= 1)
    }

    /// Whether its elements lie one after the other, row by row. Strides of axes of length 1 mean nothing.
    pub(crate) fn is_row_major(&self) -> bool {
        let mut expected = 1;
        let mut axes = self.shape.iter().zip(&self.strides).rev();
        self.len() == 0
            || axes.all(|(&length, &stride)| {
                let fits = length == 1 || stride == expected;
                expected *= length;
                fits
            })
    }

    /// The axes in the order that `permutation` says.
    pub(crate) fn transpose(&self, permutation: &[usize]) -> Self {
        let pick = |of: &[usize]| permutation.iter().map(|&axis| of[axis]).collect();
        Self { shape: pick(&self.shape), strides: pick(&self.strides), offset: self.offset }
    }

    /// Axes of length 1 repeated to `shape`, which may have more axes in front.
    pub(crate) fn expand(&self, shape: &[usize]) -> Self {
        let mut strides: TVec<usize> = shape.iter().map(|_| 0).collect();
        let added = shape.len() - self.shape.len();
        for (axis, (&length, &stride)) in self.shape.iter().zip(&self.strides).enumerate() {
            strides[added + axis] = if length == 1 { 0 } else { stride };
        }
        Self { shape: shape.into(), strides, offset: self.offset }
    }

    /// From `starts`, every `steps`th element, `lengths` of them.
    pub(crate) fn slice(&self, starts: &[usize], lengths: &[usize], steps: &[usize]) -> Self {
        let offset = starts.iter().zip(&self.strides).map(|(start, stride)| start * stride).sum::<usize>();
        // An axis of one element goes nowhere, however wide a step the caller gave.
        let strides = self.strides.iter().zip(steps).zip(lengths);
        let strides = strides.map(|((stride, step), &length)| if length == 1 { 0 } else { stride * step }).collect();
        Self { shape: lengths.into(), strides, offset: self.offset + offset }
    }

    /// The fewest axes that walk the same elements in the same order, at least two: `(length, stride)` each.
    fn coalesced(&self) -> Vec<(usize, usize)> {
        let mut axes: Vec<(usize, usize)> = Vec::new();
        for (&length, &stride) in self.shape.iter().zip(&self.strides) {
            match axes.last_mut() {
                _ if length == 1 => {}
                Some((before, wide)) if *wide == stride * length => (*before, *wide) = (*before * length, stride),
                _ => axes.push((length, stride)),
            }
        }
        while axes.len() < 2 {
            axes.insert(0, (1, 0));
        }
        axes
    }
}

/// Writes `f` of every element that `layout` shows of `source` to `target`, row by row.
pub(crate) fn map<T: Copy, U>(source: &[T], layout: &Layout, target: &mut [U], f: impl Fn(T) -> U + Copy) {
    if target.is_empty() {
        return;
    }
    let mut axes = layout.coalesced();
    let columns = axes.pop().expect("there are at least two axes");
    let rows = axes.pop().expect("there are at least two axes");
    let mut planes = Odometer::new(axes, layout.offset);
    for plane in target.chunks_exact_mut(rows.0 * columns.0) {
        map_plane(&source[planes.next()..], rows, columns, plane, f);
    }
}

/// Rows shorter than this are walked column by column: a loop of three elements costs more to enter than to run.
const SHORT_ROW: usize = 8;
/// Edge of the square tiles in which both sides of a transposition stay in the first-level cache.
const TILE: usize = 32;

fn map_plane<T: Copy, U>(
    source: &[T],
    (rows, row_stride): (usize, usize),
    (columns, stride): (usize, usize),
    target: &mut [U],
    f: impl Fn(T) -> U + Copy,
) {
    if columns < SHORT_ROW && rows >= SHORT_ROW && row_stride > 0 {
        for column in 0..columns {
            let from = source[column * stride..].iter().step_by(row_stride);
            target[column..].iter_mut().step_by(columns).zip(from).for_each(|(to, from)| *to = f(*from));
        }
    } else if stride > row_stride && row_stride > 0 && rows >= SHORT_ROW {
        for top in (0..rows).step_by(TILE) {
            for left in (0..columns).step_by(TILE) {
                let width = TILE.min(columns - left);
                for row in top..(top + TILE).min(rows) {
                    let from = source[row * row_stride + left * stride..].iter().step_by(stride);
                    let to = &mut target[row * columns + left..][..width];
                    to.iter_mut().zip(from).for_each(|(to, from)| *to = f(*from));
                }
            }
        }
    } else {
        for (row, to) in target.chunks_exact_mut(columns).enumerate() {
            map_row(&source[row * row_stride..], stride, to, f);
        }
    }
}

fn map_row<T: Copy, U>(source: &[T], stride: usize, target: &mut [U], f: impl Fn(T) -> U + Copy) {
    match stride {
        0 => target.iter_mut().for_each(|to| *to = f(source[0])),
        1 => target.iter_mut().zip(source).for_each(|(to, from)| *to = f(*from)),
        _ => target.iter_mut().zip(source.iter().step_by(stride)).for_each(|(to, from)| *to = f(*from)),
    }
}

/// Counts through all positions of some axes, row by row, and says where each begins.
pub(crate) struct Odometer {
    axes: Vec<(usize, usize)>,
    position: Vec<usize>,
    offset: usize,
}

impl Odometer {
    /// Through `axes`, each `(length, stride)`.
    pub(crate) fn new(axes: Vec<(usize, usize)>, offset: usize) -> Self {
        Self { position: vec![0; axes.len()], axes, offset }
    }

    /// The offset of this position; moves on to the next, and after the last to the first.
    pub(crate) fn next(&mut self) -> usize {
        let offset = self.offset;
        for (position, (length, stride)) in self.position.iter_mut().zip(&self.axes).rev() {
            *position += 1;
            self.offset += stride;
            if *position < *length {
                break;
            }
            self.offset -= stride * length;
            *position = 0;
        }
        offset
    }
}

/// The strides of a row-major tensor of `shape`.
pub(crate) fn row_major_strides(shape: &[usize]) -> TVec<usize> {
    let mut strides: TVec<usize> = shape.iter().map(|_| 1).collect();
    for axis in (1..shape.len()).rev() {
        strides[axis - 1] = strides[axis] * shape[axis].max(1);
    }
    strides
}
