//! Large shapes in blocks, so that long work can stop between two of them.

use std::borrow::Cow;

use crate::Tensor;
use crate::element::Element;
use crate::layout::{Layout, map};

/// Elements of one block: at 12 ns an element, what the slowest operators take, under a millisecond; at 0.1 ns still
/// a hundred times what it takes to ask a clock.
pub(crate) const BLOCK: usize = 64 << 10;

/// Elements worked on in the nearest cache, of four bytes each.
pub(crate) const NEAR: usize = 4096;

/// One after the other, the parts of a shape that follow each other row by row, of at most so many elements each.
pub(crate) struct Blocks<'a> {
    shape: &'a [usize],
    most: usize,
    /// Elements of those before.
    start: usize,
    /// The axis that is cut; those before it are walked, those after it stay whole.
    axis: usize,
    /// How much of that axis is one part.
    step: usize,
    /// Where the next block begins; `None` after the last.
    next: Option<Vec<usize>>,
}

/// A part of a shape.
pub(crate) struct Block {
    start: usize,
    elements: usize,
    /// Where it begins in each axis, and how long it is there; `None` for the whole shape.
    cut: Option<(Vec<usize>, Vec<usize>)>,
}

impl<'a> Blocks<'a> {
    /// The blocks of `shape`, of at most [`BLOCK`] elements; none if it has no elements.
    pub(crate) fn of(shape: &'a [usize]) -> Self {
        Self::within(shape, BLOCK)
    }

    /// The same, of at most `most` elements.
    pub(crate) fn within(shape: &'a [usize], most: usize) -> Self {
        // The most axes, counted from the last, that fit one block together.
        let (mut axis, mut inner) = (shape.len(), 1_usize);
        while axis > 0 && inner.saturating_mul(shape[axis - 1]) <= most {
            axis -= 1;
            inner *= shape[axis];
        }
        let axis = axis.saturating_sub(1);
        let inner: usize = shape.iter().skip(axis + 1).product();
        let next = if shape.contains(&0) { None } else { Some(Vec::new()) };
        Self { shape, most, start: 0, axis, step: (most / inner.max(1)).max(1), next }
    }
}

impl Iterator for Blocks<'_> {
    type Item = Block;

    fn next(&mut self) -> Option<Block> {
        let mut starts = self.next.take()?;
        if starts.is_empty() {
            let elements = self.shape.iter().try_fold(1_usize, |all, &length| all.checked_mul(length));
            // Most tensors are small, and for them nothing is allocated.
            if let Some(elements) = elements.filter(|elements| *elements <= self.most) {
                return Some(Block { start: 0, elements, cut: None });
            }
            starts = vec![0; self.shape.len()];
        }
        let mut lengths = self.shape.to_vec();
        lengths[..self.axis].fill(1);
        lengths[self.axis] = self.step.min(self.shape[self.axis] - starts[self.axis]);
        let mut after = starts.clone();
        for axis in (0..=self.axis).rev() {
            after[axis] += lengths[axis];
            if after[axis] < self.shape[axis] {
                self.next = Some(after);
                break;
            }
            after[axis] = 0;
        }
        let (start, elements) = (self.start, lengths.iter().product());
        self.start += elements;
        Some(Block { start, elements, cut: Some((starts, lengths)) })
    }
}

impl Block {
    /// How many elements it has.
    pub(crate) fn len(&self) -> usize {
        self.elements
    }

    /// Its elements of a tensor of the shape that was cut, in `place` where they do not lie row by row.
    #[inline(never)]
    pub(crate) fn rows<'a, T: Element>(&self, tensor: &'a Tensor, place: &'a mut Vec<T>) -> &'a [T] {
        let (stored, layout) = (tensor.stored::<T>(), tensor.layout());
        if layout.is_row_major() {
            return &stored[layout.offset + self.start..][..self.elements];
        }
        place.resize(self.elements, T::default());
        map(stored, &self.of(layout), place, |x| x);
        place
    }

    /// The part of `layout`, of the shape that was cut, that this block is.
    pub(crate) fn of<'a>(&self, layout: &'a Layout) -> Cow<'a, Layout> {
        match &self.cut {
            None => Cow::Borrowed(layout),
            Some((starts, lengths)) => Cow::Owned(layout.slice(starts, lengths, &vec![1; starts.len()])),
        }
    }
}

/// Bytes of the places that [`Block::rows`] needs for `operands`, each its own.
pub(crate) fn place_bytes(operands: &[&Tensor]) -> usize {
    let scattered = operands.iter().filter(|operand| !operand.layout().is_row_major());
    scattered.map(|operand| operand.layout().len().min(BLOCK) * operand.dtype().size_bytes()).sum()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn blocks_follow_each_other_row_by_row_and_leave_nothing_out() {
        for shape in [&[][..], &[1], &[5], &[BLOCK], &[BLOCK + 1], &[3, 2 * BLOCK + 5], &[2, 3, 100_000], &[300_000, 3]]
        {
            let layout = Layout::row_major(shape);
            let mut next = 0;
            for block in Blocks::of(shape) {
                assert_eq!((block.of(&layout).offset, block.start), (next, next), "{shape:?}");
                assert!((1..=BLOCK).contains(&block.len()), "{shape:?}");
                next += block.len();
            }
            assert_eq!(next, layout.len(), "{shape:?}");
        }
    }

    #[test]
    fn shapes_without_elements_have_no_blocks() {
        for shape in [&[0][..], &[0, 7], &[usize::MAX, 0, 2]] {
            assert_eq!(Blocks::of(shape).count(), 0, "{shape:?}");
        }
    }
}
