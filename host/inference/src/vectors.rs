//! Loops with the widest vectors that this machine has. What is compiled for all of x86-64 may use 4 numbers at a time; most
//! machines have 8 or 16.

use pulp::NullaryFnOnce;

/// Runs `work` compiled for this machine. What is to be so compiled has to be inlined into its `call`.
pub(crate) fn widest<W: NullaryFnOnce>(work: W) -> W::Output {
    pulp::Arch::new().dispatch(work)
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
