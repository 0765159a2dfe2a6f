//! A tensor's elements row by row, wherever they lie.

use std::borrow::Cow;
use std::ops::Range;

use super::Tensor;
use crate::RunError;
use crate::blocks::{BLOCK, Blocks};
use crate::element::{Element, with_dtype};
use crate::kernels::Stop;
use crate::layout::map;

impl Tensor {
    /// The elements row by row, copied only where they lie otherwise.
    ///
    /// # Panics
    /// As [`stored`](Self::stored).
    pub(crate) fn rows<T: Element>(&self) -> Cow<'_, [T]> {
        let (stored, length) = (self.stored::<T>(), self.layout.len());
        if length == 0 {
            return Cow::Borrowed(&[]);
        }
        if self.layout.is_row_major() {
            return Cow::Borrowed(&stored[self.layout.offset..][..length]);
        }
        let mut rows = vec![T::default(); length];
        map(stored, &self.layout, &mut rows, |x| x);
        Cow::Owned(rows)
    }

    /// As [`rows`](Self::rows), asking between blocks whether to go on.
    ///
    /// # Errors
    /// [`RunError::DeadlineExceeded`].
    pub(crate) fn rows_until<T: Element>(&self, stop: &Stop<'_>) -> Result<Cow<'_, [T]>, RunError> {
        if self.layout.len() == 0 || self.layout.is_row_major() {
            return Ok(self.rows());
        }
        let mut rows = vec![T::default(); self.layout.len()];
        self.copy_until(&mut rows, stop)?;
        Ok(Cow::Owned(rows))
    }

    /// A tensor of its own, row by row, asking likewise.
    ///
    /// # Errors
    /// [`RunError::DeadlineExceeded`].
    pub(crate) fn copied_until(&self, stop: &Stop<'_>) -> Result<Self, RunError> {
        with_dtype!(self.dtype(), T => {
            Self::filled_until::<T>(stop, self.shape(), |target| self.copy_until(target, stop))
        })
    }

    fn copy_until<T: Element>(&self, mut to: &mut [T], stop: &Stop<'_>) -> Result<(), RunError> {
        if to.is_empty() {
            return Ok(());
        }
        Blocks::of(self.shape()).try_for_each(|block| {
            stop.check()?;
            let to = to.split_off_mut(..block.len()).expect("blocks are as long as the shape together");
            map(self.stored::<T>(), &block.of(&self.layout), to, |x| x);
            Ok(())
        })
    }

    /// Hands over all elements, row by row and little-endian, a block at a time; copies no more than one.
    ///
    /// # Errors
    /// [`RunError::DeadlineExceeded`] when `stop` said so.
    pub(crate) fn each_block(&self, stop: &Stop<'_>, mut take: impl FnMut(&[u8])) -> Result<(), RunError> {
        if let Some(bytes) = self.as_bytes() {
            return bytes.chunks(BLOCK).try_for_each(|block| {
                take(block);
                stop.worked(block.len())
            });
        }
        Blocks::of(self.shape()).try_for_each(|block| {
            let block = self.view(block.of(self.layout()).into_owned()).copied();
            take(block.as_bytes().expect("a copy lies row by row"));
            stop.check()
        })
    }

    /// The bytes of `range`, counted as in [`as_bytes`](Self::as_bytes) of the [row-major](Self::to_row_major) tensor; copies
    /// little more than these.
    ///
    /// # Panics
    /// When `range` is not within [`byte_length`](Self::byte_length).
    pub fn bytes_in(&self, range: Range<usize>) -> Vec<u8> {
        let size = self.dtype().size_bytes();
        let elements = range.start / size..range.end.div_ceil(size);
        let mut bytes = Vec::with_capacity(elements.len() * size);
        if !range.is_empty() {
            self.append(elements.clone(), &mut bytes);
        }
        bytes.truncate(range.end - elements.start * size);
        bytes.drain(..(range.start - elements.start * size).min(bytes.len()));
        bytes
    }

    /// Appends those elements, of which there are some, counted row by row.
    fn append(&self, elements: Range<usize>, to: &mut Vec<u8>) {
        let (size, axes) = (self.dtype().size_bytes(), self.shape());
        if let Some(bytes) = self.as_bytes() {
            to.extend_from_slice(&bytes[elements.start * size..elements.end * size]);
            return;
        }
        let row: usize = axes[1..].iter().product();
        let part = |from: usize, count: usize| {
            let (mut starts, mut lengths) = (vec![0; axes.len()], axes.to_vec());
            (starts[0], lengths[0]) = (from, count);
            self.view(self.layout().slice(&starts, &lengths, &vec![1; axes.len()]))
        };
        // Rows that are there in part are views of one axis fewer.
        let in_row = |index: usize, elements: Range<usize>, to: &mut Vec<u8>| {
            let mut row = part(index, 1).layout().clone();
            row.shape.remove(0);
            row.strides.remove(0);
            self.view(row).append(elements, to);
        };
        let (mut first, last) = (elements.start / row, elements.end / row);
        let start = elements.start % row;
        if start > 0 {
            let end = if first == last { elements.end % row } else { row };
            in_row(first, start..end, to);
            first += 1;
        }
        if first < last {
            to.extend_from_slice(part(first, last - first).copied().as_bytes().expect("a copy lies row by row"));
        }
        let end = elements.end % row;
        if first <= last && end > 0 {
            in_row(last, 0..end, to);
        }
    }
}

#[cfg(test)]
mod tests {
    use crate::{DType, Tensor};

    #[test]
    fn a_range_of_a_view_is_that_of_its_copy() {
        let numbers: Vec<u8> = (0..=239).collect();
        let tensor = Tensor::from_bytes(DType::Int16, &[2, 3, 4, 5], &numbers).unwrap();
        let turned = tensor.view(tensor.layout().transpose(&[3, 1, 0, 2]));
        let line = tensor.view(tensor.layout().slice(&[1, 2, 0, 3], &[1, 1, 4, 1], &[1; 4]));
        for view in [tensor, turned, line] {
            let copy = view.copied();
            let all = copy.as_bytes().unwrap();
            for start in 0..=all.len() {
                for end in start..=all.len() {
                    assert_eq!(view.bytes_in(start..end), all[start..end], "{start}..{end} of {view:?}");
                }
            }
        }
    }
}
