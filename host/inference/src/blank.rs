//! Memory of a new tensor that a kernel is to write.

use std::mem::MaybeUninit;

/// Elements of which none is written yet. Who is given some gives them back written, by a method here or a loop of
/// [`vectors`](crate::vectors).
pub(crate) struct Blank<'a, T>(&'a mut [MaybeUninit<T>]);

impl<'a, T: Copy> Blank<'a, T> {
    pub(crate) fn of(elements: &'a mut [MaybeUninit<T>]) -> Self {
        Self(elements)
    }

    pub(crate) fn len(&self) -> usize {
        self.0.len()
    }

    /// For a loop that writes each of them.
    pub(crate) fn into_places(self) -> &'a mut [MaybeUninit<T>] {
        self.0
    }

    /// All of them `value`.
    ///
    /// In steps so small that they are stores to the nearest cache: from 2 KiB on the C library uses an instruction that goes
    /// past it.
    pub(crate) fn filled(self, value: T) -> &'a mut [T] {
        let step = (1024 / size_of::<T>().max(1)).max(1);
        self.0.chunks_mut(step).for_each(|step| step.fill(MaybeUninit::new(value)));
        #[allow(unsafe_code, reason = "the standard library has no safe way")]
        // SAFETY: the chunks are all of the slice, and each was filled.
        unsafe {
            self.0.assume_init_mut()
        }
    }

    /// A copy of `source`, which is as long.
    pub(crate) fn copied(self, source: &[T]) -> &'a mut [T] {
        self.0.write_copy_of_slice(source)
    }

    /// Has `write` write one part of `length` elements after the other, told which it is; the last may be shorter.
    ///
    /// # Errors
    /// That of `write`, which is not called again after it.
    pub(crate) fn in_parts<E>(
        self,
        length: usize,
        write: impl for<'b> FnMut(usize, Blank<'b, T>) -> Result<&'b mut [T], E>,
    ) -> Result<&'a mut [T], E> {
        let all = self.len();
        let parts = (0..all.div_ceil(length)).map(|index| (length.min(all - index * length), index));
        self.in_parts_of(parts, write)
    }

    /// The same for parts that differ in length, and come with what `write` is told.
    ///
    /// # Errors
    /// That of `write`, which is not called again after it.
    ///
    /// # Panics
    /// If the parts are longer or shorter together.
    pub(crate) fn in_parts_of<P, E>(
        self,
        parts: impl Iterator<Item = (usize, P)>,
        mut write: impl for<'b> FnMut(P, Blank<'b, T>) -> Result<&'b mut [T], E>,
    ) -> Result<&'a mut [T], E> {
        let mut rest = &mut *self.0;
        for (length, told) in parts {
            let part = rest.split_off_mut(..length).expect("the parts are no longer together");
            let place = part.as_mut_ptr_range();
            let written = write(told, Blank(part))?.as_mut_ptr_range();
            // Other elements than it was given would be no proof that those are written.
            assert!(
                written.start == place.start.cast() && written.end == place.end.cast(),
                "a part is given back whole"
            );
        }
        assert!(rest.is_empty(), "the parts are no shorter together");
        #[allow(unsafe_code, reason = "the standard library has no safe way")]
        // SAFETY: the parts are all of the slice, and for each there was a slice of written elements in its place.
        Ok(unsafe { self.0.assume_init_mut() })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn parts_are_written_in_their_order_and_the_last_may_be_shorter() {
        let mut memory = [const { MaybeUninit::<u32>::uninit() }; 7];
        let written = Blank::of(&mut memory).in_parts(3, |index, part| Ok::<_, ()>(part.filled(index as u32)));
        assert_eq!(written.expect("nothing fails"), &[0, 0, 0, 1, 1, 1, 2]);
        let failed = Blank::of(&mut memory).in_parts(3, |index, part| match index {
            0 => Ok(part.copied(&[7, 8, 9])),
            _ => Err(index),
        });
        assert_eq!(failed, Err(1));
    }

    #[test]
    #[should_panic(expected = "no shorter together")]
    fn all_is_written_or_nothing() {
        let mut memory = [const { MaybeUninit::<u32>::uninit() }; 4];
        let _ = Blank::of(&mut memory).in_parts_of([(3, ())].into_iter(), |(), part| Ok::<_, ()>(part.filled(1)));
    }

    #[test]
    #[should_panic(expected = "a part is given back whole")]
    fn other_elements_are_no_proof() {
        let mut memory = [const { MaybeUninit::<u32>::uninit() }; 4];
        let _ = Blank::of(&mut memory).in_parts(2, |_, _| Ok::<_, ()>(Box::leak(Box::new([1, 2]))));
    }
}
