//! Loops with the widest vectors that this machine has. What is compiled for all of x86-64 may use 4 numbers at a time; most
//! machines have 8 or 16.

use pulp::{Arch, NullaryFnOnce};

/// Runs `work` compiled for this machine. What is to be so compiled has to be inlined into its `call`.
pub(crate) fn widest<W: NullaryFnOnce>(work: W) -> W::Output {
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
pub(crate) fn widest_if<const FUSED: bool, W: NullaryFnOnce>(work: W) -> W::Output {
    #[cfg(target_arch = "x86_64")]
    return match Arch::new() {
        Arch::V4(machine) if FUSED => machine.vectorize(work),
        Arch::V3(machine) if FUSED => machine.vectorize(work),
        _ if FUSED => unreachable!("nobody asks for it on a machine without"),
        _ => work.call(),
    };
    #[cfg(not(target_arch = "x86_64"))]
    return widest(work);
}

/// Results that are gathered side by side, so that the compiler gathers vectors of them.
pub(crate) const LANES: usize = 16;

/// Gathers `of` by `f` to [`LANES`] results, each of which begins as `first`, which `join` joins. Four times as many are gathered
/// meanwhile: a machine begins to compute more often than one after another would end.
#[inline(always)]
pub(crate) fn by_lanes<T: Copy, R: Copy>(
    of: &[T],
    first: R,
    f: impl Fn(R, T) -> R + Copy,
    join: impl Fn(R, R) -> R + Copy,
) -> [R; LANES] {
    let add = move |lanes: &mut [R; LANES], block: &[T]| {
        lanes.iter_mut().zip(block).for_each(|(lane, x)| *lane = f(*lane, *x));
    };
    let [mut a, mut b, mut c, mut d] = [[first; LANES]; 4];
    let (blocks, rest) = of.as_chunks::<{ 4 * LANES }>();
    for block in blocks {
        add(&mut a, &block[..LANES]);
        add(&mut b, &block[LANES..2 * LANES]);
        add(&mut c, &block[2 * LANES..3 * LANES]);
        add(&mut d, &block[3 * LANES..]);
    }
    let (blocks, rest) = rest.as_chunks::<LANES>();
    blocks.iter().for_each(|block| add(&mut a, block));
    add(&mut b, rest);
    std::array::from_fn(|lane| join(join(a[lane], b[lane]), join(c[lane], d[lane])))
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
