//! Loops with the widest vectors that this machine has. What is compiled for all of x86-64 may use 4 numbers at a time; most
//! machines have 8 or 16.

#[cfg(target_arch = "x86_64")]
use pulp::Simd;
use pulp::{Arch, NullaryFnOnce, WithSimd};

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

/// `f` of each element, into another slice.
pub(crate) struct Each<'a, T, U, F> {
    pub(crate) from: &'a [T],
    pub(crate) to: &'a mut [U],
    pub(crate) f: F,
}

impl<T: Copy, U, F: Fn(T) -> U> NullaryFnOnce for Each<'_, T, U, F> {
    type Output = ();

    #[inline(always)]
    fn call(self) {
        let Self { from, to, f } = self;
        to.iter_mut().zip(from).for_each(|(to, from)| *to = f(*from));
    }
}

/// `f` of each pair of elements, into a third slice.
pub(crate) struct EachPair<'a, T, U, F> {
    pub(crate) a: &'a [T],
    pub(crate) b: &'a [T],
    pub(crate) to: &'a mut [U],
    pub(crate) f: F,
}

impl<T: Copy, U, F: Fn(T, T) -> U> NullaryFnOnce for EachPair<'_, T, U, F> {
    type Output = ();

    #[inline(always)]
    fn call(self) {
        let Self { a, b, to, f } = self;
        to.iter_mut().zip(a).zip(b).for_each(|((to, a), b)| *to = f(*a, *b));
    }
}

/// `f` of each element in its own place.
pub(crate) struct InPlace<'a, T, F> {
    pub(crate) of: &'a mut [T],
    pub(crate) f: F,
}

impl<T: Copy, F: Fn(T) -> T> NullaryFnOnce for InPlace<'_, T, F> {
    type Output = ();

    #[inline(always)]
    fn call(self) {
        let Self { of, f } = self;
        of.iter_mut().for_each(|x| *x = f(*x));
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
        let Self { of, with, f } = self;
        of.iter_mut().zip(with).for_each(|(x, y)| *x = f(*x, *y));
    }
}
