//! Loops with the widest vectors that this machine has. What is compiled for all of x86-64 may use 4 numbers at a time; most
//! machines have 8 or 16.

#[cfg(target_arch = "x86_64")]
use pulp::Simd;
use pulp::{Arch, NullaryFnOnce, WithSimd};

use crate::blank::Blank;

/// Runs `work` compiled for this machine. What is to be so compiled has to be inlined into its `call`.
pub(crate) fn widest<W: WithSimd>(work: W) -> W::Output {
    Arch::new().dispatch(work)
}

/// Whether this machine adds a product in one instruction, whatever its vectors: work that is compiled for that is done by
/// [`widest_if`]`::<true, _>` there, and nowhere else.
pub(crate) fn fuses() -> bool {
    #[cfg(target_arch = "x86_64")]
    return !matches!(Arch::new(), Arch::Scalar);
    #[cfg(not(target_arch = "x86_64"))]
    return cfg!(target_arch = "aarch64");
}

/// As [`widest`], for work of which there is one version where the machine [`fuses`] and another where it does not.
pub(crate) fn widest_if<const FUSED: bool, W: WithSimd>(work: W) -> W::Output {
    #[cfg(target_arch = "x86_64")]
    return match Arch::new() {
        Arch::V4(machine) if FUSED => Simd::vectorize(machine, work),
        Arch::V3(machine) if FUSED => Simd::vectorize(machine, work),
        _ if FUSED => unreachable!("nobody asks for it on a machine without"),
        _ => work.with_simd(pulp::Scalar),
    };
    #[cfg(not(target_arch = "x86_64"))]
    return widest(work);
}

/// A function of one element. A closure is one, if it is short; of others `of` is put in its place whatever its length: what a
/// compiler leaves apart is compiled for any machine. For the same reason the loops below are written out, and not by closures
/// of iterators.
pub(crate) trait Function<T>: Copy {
    type Output;
    fn of(self, x: T) -> Self::Output;
}

impl<T, U, F: Fn(T) -> U + Copy> Function<T> for F {
    type Output = U;

    #[inline(always)]
    fn of(self, x: T) -> U {
        self(x)
    }
}

/// `f` of each element, into new ones, of which there are as many.
pub(crate) struct Each<'a, 'b, T, U, F> {
    pub(crate) from: &'a [T],
    pub(crate) to: Blank<'b, U>,
    pub(crate) f: F,
}

impl<'b, T: Copy, U: Copy, F: Function<T, Output = U>> NullaryFnOnce for Each<'_, 'b, T, U, F> {
    type Output = &'b mut [U];

    #[inline(always)]
    fn call(self) -> &'b mut [U] {
        let to = self.to.into_places();
        let from = &self.from[..to.len()];
        let mut index = 0;
        while index < to.len() {
            to[index].write(self.f.of(from[index]));
            index += 1;
        }
        #[allow(unsafe_code, reason = "the standard library has no safe way")]
        // SAFETY: the loop has written each.
        unsafe {
            to.assume_init_mut()
        }
    }
}

/// `f` of each pair of elements, into new ones, of which there are as many.
pub(crate) struct EachPair<'a, 'b, T, U, F> {
    pub(crate) a: &'a [T],
    pub(crate) b: &'a [T],
    pub(crate) to: Blank<'b, U>,
    pub(crate) f: F,
}

impl<'b, T: Copy, U: Copy, F: Fn(T, T) -> U> NullaryFnOnce for EachPair<'_, 'b, T, U, F> {
    type Output = &'b mut [U];

    #[inline(always)]
    fn call(self) -> &'b mut [U] {
        let to = self.to.into_places();
        let (a, b) = (&self.a[..to.len()], &self.b[..to.len()]);
        let mut index = 0;
        while index < to.len() {
            to[index].write((self.f)(a[index], b[index]));
            index += 1;
        }
        #[allow(unsafe_code, reason = "the standard library has no safe way")]
        // SAFETY: the loop has written each.
        unsafe {
            to.assume_init_mut()
        }
    }
}

/// `f` of each element in its own place.
pub(crate) struct InPlace<'a, T, F> {
    pub(crate) of: &'a mut [T],
    pub(crate) f: F,
}

impl<T: Copy, F: Function<T, Output = T>> NullaryFnOnce for InPlace<'_, T, F> {
    type Output = ();

    #[inline(always)]
    fn call(self) {
        let of = self.of;
        let mut index = 0;
        while index < of.len() {
            of[index] = self.f.of(of[index]);
            index += 1;
        }
    }
}

/// `f` of each element and one beside it, in the place of the first.
pub(crate) struct InPlaceWith<'a, T, F> {
    pub(crate) of: &'a mut [T],
    pub(crate) with: &'a [T],
    pub(crate) f: F,
}

impl<T: Copy, F: Fn(T, T) -> T> NullaryFnOnce for InPlaceWith<'_, T, F> {
    type Output = ();

    #[inline(always)]
    fn call(self) {
        let count = self.of.len().min(self.with.len());
        let (of, with) = (&mut self.of[..count], &self.with[..count]);
        let mut index = 0;
        while index < count {
            of[index] = (self.f)(of[index], with[index]);
            index += 1;
        }
    }
}
