//! Loops over vectors of sixteen.

use std::arch::x86_64::__m512;

use pulp::x86::V4;
use pulp::{NullaryFnOnce, Simd, cast};

use crate::blank::Blank;

pub(super) type Lanes = __m512;

/// To the nearest cache: `_MM_HINT_T0`.
pub(super) const FETCH: i32 = 3;
/// Vectors that are fetched before they are needed: 2 KiB. Of its own the machine fetches no further than to a page's end.
const AHEAD: usize = 32;

/// What is computed of sixteen numbers at once.
pub(super) trait Function: Copy {
    fn of(self, machine: V4, x: Lanes) -> Lanes;
}

/// `f` of each number, into new ones, of which there are as many.
pub(super) struct Each<'a, 'b, F> {
    pub(super) machine: V4,
    pub(super) from: &'a [f32],
    pub(super) to: Blank<'b, f32>,
    pub(super) f: F,
}

impl<'b, F: Function> NullaryFnOnce for Each<'_, 'b, F> {
    type Output = &'b mut [f32];

    #[inline(always)]
    fn call(self) -> &'b mut [f32] {
        let (machine, to) = (self.machine, self.to.into_places());
        let (from, rest) = V4::as_simd_f32s(&self.from[..to.len()]);
        let (vectors, places) = V4::as_uninit_mut_simd_f32s(to);
        let mut index = 0;
        while index < vectors.len() {
            machine.sse._mm_prefetch::<FETCH>(from.as_ptr().wrapping_add(index + AHEAD).cast());
            vectors[index].write(cast(self.f.of(machine, cast(from[index]))));
            index += 1;
        }
        if !rest.is_empty() {
            let last: [f32; 16] = cast(self.f.of(machine, lanes(machine, rest, 0.0)));
            let mut index = 0;
            while index < places.len() {
                places[index].write(last[index]);
                index += 1;
            }
        }
        #[allow(unsafe_code, reason = "the standard library has no safe way")]
        // SAFETY: the loops have written each.
        unsafe {
            to.assume_init_mut()
        }
    }
}

/// `f` of each number, in its place.
pub(super) struct InPlace<'a, F> {
    pub(super) machine: V4,
    pub(super) of: &'a mut [f32],
    pub(super) f: F,
}

impl<F: Function> NullaryFnOnce for InPlace<'_, F> {
    type Output = ();

    #[inline(always)]
    fn call(self) {
        let (machine, f) = (self.machine, self.f);
        let (vectors, rest) = V4::as_mut_simd_f32s(self.of);
        let mut index = 0;
        while index < vectors.len() {
            vectors[index] = cast(f.of(machine, cast(vectors[index])));
            index += 1;
        }
        if !rest.is_empty() {
            let last: [f32; 16] = cast(f.of(machine, lanes(machine, rest, 0.0)));
            rest.copy_from_slice(&last[..rest.len()]);
        }
    }
}

/// At most sixteen numbers, and `others` beside them.
#[inline(always)]
pub(super) fn lanes(machine: V4, numbers: &[f32], others: f32) -> Lanes {
    let mut all: [f32; 16] = cast(machine.splat_f32s(others));
    let mut index = 0;
    while index < numbers.len() {
        all[index] = numbers[index];
        index += 1;
    }
    cast(all)
}
