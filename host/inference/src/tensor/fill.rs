//! New tensors, whose elements a kernel writes.

use std::mem::MaybeUninit;
use std::sync::Arc;

use super::{Storage, Tensor};
use crate::element::Element;
use crate::kernels::Stop;
use crate::{RunError, recycle};

/// Writes a block, which begins there.
type FillBlock<'a, T, E> = dyn FnMut(usize, &mut [T]) -> Result<(), E> + 'a;

/// Bytes cleared between two questions whether to go on.
const PIECE: usize = 4 << 20;

impl Tensor {
    /// A new tensor of `shape`, which has passed [`byte_length`](crate::byte_length), whose elements `fill` writes. They are 0
    /// before, here and below: kernels add to them, and what one forgets to write must not be what another sandbox had
    /// there.
    pub(crate) fn filled<T: Element>(shape: &[usize], fill: impl FnOnce(&mut [T])) -> Self {
        let mut storage = match recycle::take(T::datum_type(), shape.iter().product()) {
            None => Storage::zero_dt(T::datum_type(), shape).expect("tract makes tensors of all our types"),
            Some(mut used) => {
                with_elements(&mut used, |elements| elements.fill(T::default()));
                used
            }
        };
        with_elements(&mut storage, fill);
        Self::of_storage(T::DTYPE, shape, storage)
    }

    /// As [`filled`](Self::filled), but clears memory in pieces and asks between them whether to go on.
    ///
    /// # Errors
    /// [`RunError::DeadlineExceeded`]; then `fill` was not called. And that of `fill`.
    pub(crate) fn filled_until<T: Element>(
        stop: &Stop<'_>,
        shape: &[usize],
        fill: impl FnOnce(&mut [T]) -> Result<(), RunError>,
    ) -> Result<Self, RunError> {
        let bytes = shape.iter().product::<usize>() * size_of::<T>();
        let mut cleared = match bytes {
            ..=PIECE => Self::filled::<T>(shape, |_| ()),
            _ => Self::by_blocks::<T, _>(shape, PIECE / size_of::<T>(), |_, _| stop.check())?,
        };
        let storage = Arc::get_mut(&mut cleared.storage).expect("nobody else has it yet");
        with_elements(storage, fill)?;
        Ok(cleared)
    }

    /// As [`filled`](Self::filled), block by block: `fill` is told where each begins and gets its elements, 0 as well, but still in
    /// the nearest cache; and memory is got from the system as the work goes on, which may stop between blocks.
    ///
    /// # Errors
    /// That of `fill`, which is not called again after it.
    pub(crate) fn by_blocks<T: Element, E>(
        shape: &[usize],
        block: usize,
        mut fill: impl FnMut(usize, &mut [T]) -> Result<(), E>,
    ) -> Result<Self, E> {
        Self::by_blocks_of(shape, block, &mut fill)
    }

    /// Once per type, where what fills the blocks is many functions: it saved 1.8 MB of a release build.
    #[inline(never)]
    fn by_blocks_of<T: Element, E>(shape: &[usize], block: usize, fill: &mut FillBlock<'_, T, E>) -> Result<Self, E> {
        if let Some(mut storage) = recycle::take(T::datum_type(), shape.iter().product()) {
            with_elements(&mut storage, |elements: &mut [T]| {
                elements.chunks_mut(block).enumerate().try_for_each(|(index, elements)| {
                    clear(elements, T::default());
                    fill(index * block, elements)
                })
            })?;
            return Ok(Self::of_storage(T::DTYPE, shape, storage));
        }
        if shape.contains(&0) {
            return Ok(Self::filled::<T>(shape, |_| ()));
        }
        #[allow(
            unsafe_code,
            reason = "filling zeros all at once, as the safe constructors do, costs a pass over memory"
        )]
        // SAFETY: until its blocks are written, elements are seen as `MaybeUninit` alone. Where `fill` fails the storage is
        // dropped, which does not look at elements of such types.
        let storage = unsafe {
            let mut storage =
                Storage::uninitialized_dt(T::datum_type(), shape).expect("byte_length accepted the shape");
            let mut plain = storage.as_plain_ram_mut().expect("it has just been made so");
            let bytes = plain.as_bytes_mut();
            let (first, count) = (bytes.as_mut_ptr().cast::<MaybeUninit<T>>(), bytes.len() / size_of::<T>());
            let elements = std::slice::from_raw_parts_mut(first, count);
            for (index, elements) in elements.chunks_mut(block).enumerate() {
                clear(elements, MaybeUninit::new(T::default()));
                fill(index * block, elements.assume_init_mut())?;
            }
            storage
        };
        Ok(Self::of_storage(T::DTYPE, shape, storage))
    }
}

/// In steps so small that they are stores to the nearest cache: from 2 KiB on the C library uses an instruction that goes past
/// it.
fn clear<T: Copy>(elements: &mut [T], zero: T) {
    elements.chunks_mut((1024 / size_of::<T>()).max(1)).for_each(|step| step.fill(zero));
}

fn with_elements<T: Element, R>(storage: &mut Storage, work: impl FnOnce(&mut [T]) -> R) -> R {
    let mut plain = storage.as_plain_ram_mut().expect("nothing else is made here, or kept");
    work(plain.as_slice_mut::<T>().expect("whoever made or took it said this type"))
}
