//! New tensors, whose elements a kernel writes.

use std::mem::MaybeUninit;
use std::sync::Arc;

use super::{Storage, Tensor};
use crate::blank::Blank;
use crate::blocks::{BLOCK, Block, Blocks, NEAR};
use crate::element::Element;
use crate::kernels::Stop;
use crate::layout::Layout;
use crate::{RunError, recycle};

/// Writes a block, which begins there.
type FillBlock<'a, T, E> = dyn for<'b> FnMut(usize, Blank<'b, T>) -> Result<&'b mut [T], E> + 'a;

/// The same, told what block of the shape it is.
type FillOf<'a, T, E> = dyn for<'b> FnMut(&Block, Blank<'b, T>) -> Result<&'b mut [T], E> + 'a;

/// Bytes cleared between two questions whether to go on.
const PIECE: usize = 4 << 20;

impl Tensor {
    /// A new tensor of `shape`, which has passed [`byte_length`](crate::byte_length), whose elements `fill` writes. They are 0
    /// before: kernels add to them, and what one forgets to write must not be what another sandbox had there.
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
            _ => Self::by_blocks::<T, _>(shape, PIECE / size_of::<T>(), |_, to| {
                stop.check().map(|()| to.filled(T::default()))
            })?,
        };
        let storage = Arc::get_mut(&mut cleared.storage).expect("nobody else has it yet");
        with_elements(storage, fill)?;
        Ok(cleared)
    }

    /// A new tensor as well, block by block: `fill` is told where each begins, and writes it in the nearest cache. Memory is got
    /// from the system as the work goes on, which may stop between blocks.
    ///
    /// # Errors
    /// That of `fill`, which is not called again after it.
    pub(crate) fn by_blocks<T: Element, E>(
        shape: &[usize],
        block: usize,
        mut fill: impl for<'b> FnMut(usize, Blank<'b, T>) -> Result<&'b mut [T], E>,
    ) -> Result<Self, E> {
        Self::by_blocks_of(shape, block, &mut fill)
    }

    /// Once per type, where what fills the blocks is many functions: it saved 1.8 MB of a release build.
    #[inline(never)]
    fn by_blocks_of<T: Element, E>(shape: &[usize], block: usize, fill: &mut FillBlock<'_, T, E>) -> Result<Self, E> {
        Self::written(shape, |all| all.in_parts(block, |index, part| fill(index * block, part)))
    }

    /// The same in blocks that operands of that shape have too, however they lie, asking `stop` between them.
    ///
    /// # Errors
    /// [`RunError::DeadlineExceeded`].
    pub(crate) fn beside<T: Element>(
        operands: &[&Tensor],
        stop: &Stop<'_>,
        mut fill: impl for<'b> FnMut(&Block, Blank<'b, T>) -> &'b mut [T],
    ) -> Result<Self, RunError> {
        // Smaller where some are brought together first, so that they stay in the nearest cache; but not where they are turned, so
        // that more is taken of each line that is read.
        let all = |is: fn(&Layout) -> bool| operands.iter().all(|operand| is(&operand.layout));
        let most = if all(Layout::is_row_major) || !all(Layout::is_along_rows) { BLOCK } else { NEAR };
        Self::beside_of(operands[0].shape(), most, &mut |block: &Block, to| {
            // Large ones are somewhat smaller than the number of elements between two questions.
            if block.len() > BLOCK / 2 {
                stop.check()?
            } else {
                stop.worked(block.len())?
            }
            Ok(fill(block, to))
        })
    }

    /// Once per type as well.
    #[inline(never)]
    fn beside_of<T: Element, E>(shape: &[usize], most: usize, fill: &mut FillOf<'_, T, E>) -> Result<Self, E> {
        let blocks = Blocks::within(shape, most).map(|block| (block.len(), block));
        Self::written(shape, |all| all.in_parts_of(blocks, |block, part| fill(&block, part)))
    }

    /// A new tensor that `write` writes as a whole.
    fn written<T: Element, E>(
        shape: &[usize],
        write: impl for<'b> FnOnce(Blank<'b, T>) -> Result<&'b mut [T], E>,
    ) -> Result<Self, E> {
        if shape.contains(&0) {
            return Ok(Self::filled::<T>(shape, |_| ()));
        }
        let used = recycle::take(T::datum_type(), shape.iter().product());
        #[allow(
            unsafe_code,
            reason = "filling zeros all at once, as the safe constructors do, costs a pass over memory"
        )]
        // SAFETY: elements are seen as `MaybeUninit` alone until `in_parts_of` makes sure that all are written. Where `write` fails
        // the storage is dropped, which does not look at elements of such types.
        let storage = unsafe {
            let mut storage = used.unwrap_or_else(|| {
                Storage::uninitialized_dt(T::datum_type(), shape).expect("byte_length accepted the shape")
            });
            let mut plain = storage.as_plain_ram_mut().expect("nothing else is made here, or kept");
            let bytes = plain.as_bytes_mut();
            let (first, count) = (bytes.as_mut_ptr().cast::<MaybeUninit<T>>(), bytes.len() / size_of::<T>());
            let mut write = Some(write);
            let elements = std::slice::from_raw_parts_mut(first, count);
            Blank::of(elements)
                .in_parts_of(std::iter::once((count, ())), |(), all| write.take().expect("there is one part")(all))?;
            storage
        };
        Ok(Self::of_storage(T::DTYPE, shape, storage))
    }
}

fn with_elements<T: Element, R>(storage: &mut Storage, work: impl FnOnce(&mut [T]) -> R) -> R {
    let mut plain = storage.as_plain_ram_mut().expect("nothing else is made here, or kept");
    work(plain.as_slice_mut::<T>().expect("whoever made or took it said this type"))
}
