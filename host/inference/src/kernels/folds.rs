//! Many elements folded into one, along a row or beside each other.

use pulp::NullaryFnOnce;
use tract_onnx::prelude::f16;

use super::Stop;
use crate::blocks::BLOCK;
use crate::element::Element;
use crate::vectors::widest;
use crate::{RunError, Tensor};

/// Which elements become one: of each block of `count * inner`, those that are `inner` apart.
#[derive(Clone, Copy)]
pub(super) struct Folds {
    pub(super) count: usize,
    pub(super) inner: usize,
}

/// Elements of what becomes one that are folded side by side: a compiler may not change the order of sums of floats, but this is
/// one of which it makes vectors. It is the same whether they lie together or apart.
const LANES: usize = 16;
/// How many are made at once where they lie apart: with those of all lanes they stay in the nearest cache.
const COLUMNS: usize = 64;

impl Folds {
    /// Where elements lie row by row, and those that become one are all along some neighbouring axes.
    pub(super) fn in_place(input: &Tensor, is_reduced: &[bool]) -> Option<Self> {
        let shape = input.shape();
        // Axes of one element are in nobody's way.
        let matters = |axis: &usize| shape[*axis] != 1 && is_reduced[*axis];
        let first = (0..shape.len()).find(matters).unwrap_or(shape.len());
        let end = (0..shape.len()).rev().find(matters).map_or(first, |axis| axis + 1);
        let is_one = (first..end).all(|axis| is_reduced[axis] || shape[axis] == 1);
        let product = |axes: &[usize]| axes.iter().product();
        let fits = input.layout().is_row_major() && is_one;
        fits.then(|| Self { count: product(&shape[first..end]), inner: product(&shape[end..]) })
    }

    /// Makes each of `target`: what `take` makes of `start` and one element after the other, brought together by `merge`, which
    /// takes `start` for nothing, and finished.
    pub(super) fn each<T: Looped, S: Copy>(
        self,
        source: &[T],
        target: &mut [T],
        stop: &Stop<'_>,
        start: S,
        (take, merge, finish): (impl Fn(S, T) -> S + Copy, impl Fn(S, S) -> S + Copy, impl Fn(S) -> T),
    ) -> Result<(), RunError> {
        let Self { count, inner } = self;
        if target.is_empty() {
            return Ok(());
        }
        if inner == 1 {
            return target.iter_mut().enumerate().try_for_each(|(index, to)| {
                let mut lanes = [start; LANES];
                in_parts(&source[index * count..][..count], stop, |part| {
                    T::looped(Row { part, lanes: &mut lanes, take })
                })?;
                *to = finish(merged(lanes, merge));
                stop.worked(8)
            });
        }
        for (block, target) in target.chunks_mut(inner).enumerate() {
            for (piece, target) in target.chunks_mut(COLUMNS).enumerate() {
                let mut lanes = [[start; COLUMNS]; LANES];
                let first = block * count * inner + piece * COLUMNS;
                for row in 0..count {
                    let from = &source[first + row * inner..][..target.len()];
                    T::looped(Across { from, to: &mut lanes[row % LANES], take });
                    stop.worked(target.len())?;
                }
                for (column, to) in target.iter_mut().enumerate() {
                    *to = finish(merged(std::array::from_fn(|lane| lanes[lane][column]), merge));
                }
            }
        }
        Ok(())
    }
}

fn merged<S: Copy>(mut lanes: [S; LANES], merge: impl Fn(S, S) -> S) -> S {
    let mut half = LANES / 2;
    while half > 0 {
        for lane in 0..half {
            lanes[lane] = merge(lanes[lane], lanes[lane + half]);
        }
        half /= 2;
    }
    lanes[0]
}

/// Part of what becomes one, whose elements lie together: each into its lane.
struct Row<'a, T, S, F> {
    part: &'a [T],
    lanes: &'a mut [S; LANES],
    take: F,
}

impl<T: Copy, S: Copy, F: Fn(S, T) -> S> NullaryFnOnce for Row<'_, T, S, F> {
    type Output = ();

    #[inline(always)]
    fn call(self) {
        let (chunks, rest) = self.part.as_chunks::<LANES>();
        let mut lanes = *self.lanes;
        for chunk in chunks {
            let mut lane = 0;
            while lane < LANES {
                lanes[lane] = (self.take)(lanes[lane], chunk[lane]);
                lane += 1;
            }
        }
        let mut lane = 0;
        while lane < rest.len() {
            lanes[lane] = (self.take)(lanes[lane], rest[lane]);
            lane += 1;
        }
        *self.lanes = lanes;
    }
}

/// One element of each of several that lie beside each other.
struct Across<'a, T, S, F> {
    from: &'a [T],
    to: &'a mut [S; COLUMNS],
    take: F,
}

impl<T: Copy, S: Copy, F: Fn(S, T) -> S> NullaryFnOnce for Across<'_, T, S, F> {
    type Output = ();

    #[inline(always)]
    fn call(self) {
        let to = &mut self.to[..self.from.len()];
        let mut index = 0;
        while index < to.len() {
            to[index] = (self.take)(to[index], self.from[index]);
            index += 1;
        }
    }
}

/// An element that loops are made for.
pub(super) trait Looped: Element {
    /// Runs one: with the widest vectors for what nets and pictures are of, since each such loop is compiled three times.
    fn looped<W: NullaryFnOnce>(work: W) -> W::Output {
        work.call()
    }
}

macro_rules! looped_widest {
    ($($T:ty),*) => {$(
        impl Looped for $T {
            fn looped<W: NullaryFnOnce>(work: W) -> W::Output {
                widest(work)
            }
        }
    )*};
}

looped_widest!(f32, u8);

macro_rules! looped {
    ($($T:ty),*) => {$(
        impl Looped for $T {}
    )*};
}

looped!(f16, f64, i8, i16, i32, i64, u16, u32, u64);

/// `f` of one part of a row after another, asking between them whether to go on.
pub(super) fn in_parts<T>(row: &[T], stop: &Stop<'_>, mut f: impl FnMut(&[T])) -> Result<(), RunError> {
    row.chunks(BLOCK).try_for_each(|part| {
        f(part);
        stop.worked(part.len())
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    /// More elements than lanes, and than are made at once.
    #[test]
    fn sums_are_the_same_to_the_bit_where_elements_lie_together_and_apart() {
        let (count, inner) = (3 * LANES + 5, 2 * COLUMNS + 7);
        let apart: Vec<f32> = (0..2 * count * inner).map(|index| (index as f32 * 0.37).sin() * 1e3).collect();
        let at = |block: usize, row: usize, column: usize| apart[(block * count + row) * inner + column];
        let places = (0..2).flat_map(|block| (0..inner).map(move |column| (block, column)));
        let together: Vec<f32> =
            places.flat_map(|(block, column)| (0..count).map(move |row| at(block, row, column))).collect();
        let sums = |folds: Folds, source: &[f32]| {
            let mut target = vec![0.0; 2 * inner];
            let loops = (|sum: f64, x: f32| sum + f64::from(x), |a, b| a + b, |sum: f64| sum as f32);
            folds.each(source, &mut target, &Stop::new(&|| false), 0.0, loops).unwrap();
            target
        };
        let one = sums(Folds { count, inner }, &apart);
        assert_eq!(one, sums(Folds { count, inner: 1 }, &together));
        let right: f64 = (0..count).map(|row| f64::from(at(1, row, 70))).sum();
        assert!((f64::from(one[inner + 70]) - right).abs() < 1e-3, "{} for {right}", one[inner + 70]);
    }
}
