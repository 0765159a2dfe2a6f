//! The tensor interface: a program that makes tensors, computes with them, reads and drops them, as a guest may.
//!
//! | property | where |
//! | --- | --- |
//! | nothing panics | everywhere |
//! | a tensor is made of exactly the bytes that `byte_length` says | `make` |
//! | a check allocates next to nothing | `compute` |
//! | the result is of the type and shape that the check said; a view shares its input's storage | `compute` |
//! | computing takes no more memory than is charged, and what is called short takes little | `compute` |
//! | views give what copies of them give | `compare` |
//! | when all is dropped nothing is charged | `run` |

mod ledger;
mod nets;
mod operator;

use std::rc::Rc;

use arbitrary::{Result, Unstructured};
use spillway_inference::{DType, Kernel, RunError, Tensor, byte_length};
use spillway_types::operator::Operator;

use crate::budget::measure;
use crate::picture::TABLES_BYTES;
use ledger::{Held, Ledger};

/// Tensors at once, and steps in all.
const MOST_HELD: usize = 16;
const MOST_STEPS: usize = 64;

/// What a check may take, whatever its inputs: shapes, messages.
const CHECK_BYTES: usize = 64 << 10;
/// What computing may take beyond what is charged: shapes, odometers, messages.
const COMPUTE_BYTES: usize = 16 << 10;
/// The blocks in which a product packs its inputs.
pub(crate) const PACKED_BYTES: usize = 4 << 20;
/// Work that is predicted to take longer is not done: it would end at its deadline.
pub(crate) const LONGEST_NANOSECONDS: f64 = 5e6;
/// No memory is written faster than 100 GB/s, so nothing that takes more is done in the 20 µs that short work may take.
const SHORT_BYTES: usize = 2 << 20;
/// Views that show more are not copied to compare.
const COMPARED_BYTES: usize = 1 << 18;

pub(crate) fn run(bytes: &[u8]) {
    let mut u = Unstructured::new(bytes);
    let ledger = Ledger::default();
    let mut held: Vec<Held> = Vec::new();
    for _ in 0..MOST_STEPS {
        // An error says that the bytes are used up.
        if u.is_empty() || step(&mut u, &ledger, &mut held).is_err() {
            break;
        }
    }
    drop(held);
    assert_eq!(ledger.charged(), 0, "all tensors are dropped, and something is charged");
}

fn step(u: &mut Unstructured<'_>, ledger: &Ledger, held: &mut Vec<Held>) -> Result<()> {
    let made = match u.int_in_range(0..=9)? {
        _ if held.is_empty() => make(u, ledger)?,
        0 | 1 => make(u, ledger)?,
        2 => {
            held.remove(u.choose_index(held.len())?);
            None
        }
        3 => {
            read(u.choose(held)?, ledger);
            None
        }
        _ => {
            let first = u.choose(held)?.clone();
            let (operator, count) = operator::operator(u, &first.tensor)?;
            let mut inputs = vec![first];
            for _ in 1..count {
                inputs.push(u.choose(held)?.clone());
            }
            compute(operator, &inputs, ledger)
        }
    };
    if held.len() < MOST_HELD {
        held.extend(made);
    }
    Ok(())
}

/// A tensor of the bytes that are left, or of counted ones.
fn make(u: &mut Unstructured<'_>, ledger: &Ledger) -> Result<Option<Held>> {
    let (dtype, shape) = (operator::dtype(u)?, operator::shape(u)?);
    let Ok(bytes) = byte_length(dtype, &shape) else {
        assert!(Tensor::from_bytes(dtype, &shape, &[]).is_err(), "{dtype} {shape:?} is made of nothing");
        return Ok(None);
    };
    let Some(charge) = ledger.charge(bytes) else { return Ok(None) };
    let is_counted = u.arbitrary()?;
    let mut data: Vec<u8> = if is_counted || bytes > u.len() {
        (0..bytes).map(|index| (index % 251) as u8).collect()
    } else {
        u.bytes(bytes)?.to_vec()
    };
    if dtype == DType::Boolean {
        data.iter_mut().for_each(|byte| *byte &= 1);
    }
    let tensor = Tensor::from_bytes(dtype, &shape, &data).expect("as many bytes as it takes");
    assert_eq!((tensor.byte_length(), tensor.as_bytes()), (bytes, Some(&data[..])));
    data.push(0);
    assert!(Tensor::from_bytes(dtype, &shape, &data).is_err(), "{tensor:?} is made of a byte too much");
    Ok(Some(Held { tensor, charge: Rc::new(charge) }))
}

/// Lays a tensor out, as `read` does for a guest.
fn read(Held { tensor, .. }: &Held, ledger: &Ledger) {
    let Some(_copy) = ledger.charge(tensor.bytes_to_copy()) else { return };
    let rows = tensor.to_row_major();
    let bytes = rows.as_bytes().expect("it was laid out");
    assert_eq!((bytes.len(), rows.shape()), (tensor.byte_length(), tensor.shape()));
    assert!(tensor.as_bytes().is_none_or(|as_it_lies| as_it_lies == bytes));
}

fn compute(operator: Operator, inputs: &[Held], ledger: &Ledger) -> Option<Held> {
    let tensors: Vec<Tensor> = inputs.iter().map(|input| input.tensor.clone()).collect();
    // What is not charged, because no input makes it grow. A picture's header is read by the check.
    let (is_picture, is_product) = (matches!(operator, Operator::DecodeImage(_)), multiplies(&operator));
    let tables = if is_picture { TABLES_BYTES } else { 0 };
    let packed = if is_product { PACKED_BYTES } else { 0 };
    let (checked, peak) = measure(|| Kernel::new(operator.clone(), tensors.clone()));
    assert!(peak <= CHECK_BYTES + tables, "{operator:?}: the check took {peak} bytes");
    let kernel = match checked {
        Ok(kernel) => kernel,
        Err(RunError::InvalidArgument(message)) => {
            compare(&operator, &tensors, Err(&message));
            return None;
        }
        Err(other) => panic!("{operator:?} on {tensors:?}: the check says {other}"),
    };
    let (result_bytes, scratch_bytes, nanoseconds) =
        (kernel.result_bytes(), kernel.scratch_bytes(), kernel.predicted_nanoseconds());
    assert!(nanoseconds >= 0.0, "{operator:?} on {tensors:?} is predicted to take {nanoseconds} ns");
    assert!(
        !kernel.is_short() || result_bytes.saturating_add(scratch_bytes) <= SHORT_BYTES,
        "{operator:?} on {tensors:?} is called short, and takes {result_bytes} and {scratch_bytes} bytes"
    );
    let charge = match inputs.first().filter(|_| result_bytes == 0) {
        Some(first) => first.charge.clone(),
        None => Rc::new(ledger.charge(result_bytes)?),
    };
    let scratch = ledger.charge(scratch_bytes)?;
    if nanoseconds > LONGEST_NANOSECONDS {
        return None;
    }
    let name = format!("{kernel:?}");
    let (computed, peak) = measure(|| kernel.compute());
    drop(scratch);
    let most = result_bytes + scratch_bytes + COMPUTE_BYTES + tables + packed;
    assert!(
        peak <= most,
        "{operator:?} on {tensors:?} took {peak} bytes; charged are {result_bytes} for the result and {scratch_bytes}"
    );
    let tensor = match computed {
        Ok(tensor) => tensor,
        Err(RunError::InvalidArgument(_)) if is_picture => return None,
        Err(other) => panic!("{operator:?} on {tensors:?}: {other}"),
    };
    assert!(name.ends_with(&format!(" to {tensor:?}")), "{operator:?} on {tensors:?}: `{name}` gives {tensor:?}");
    if result_bytes == 0 && tensor.byte_length() > 0 {
        assert!(tensors[0].shares_storage_with(&tensor), "{operator:?} on {tensors:?} is free, and no view");
    } else {
        assert_eq!(tensor.byte_length(), result_bytes, "{operator:?} on {tensors:?}");
    }
    compare(&operator, &tensors, Ok(&tensor));
    Some(Held { tensor, charge })
}

/// Whether it packs blocks for a product.
fn multiplies(operator: &Operator) -> bool {
    use Operator::{Conv2d, ConvTranspose2d, Gemm, Matmul};
    matches!(operator, Matmul | Gemm(_) | Conv2d(_) | ConvTranspose2d(_))
}

/// An operator that may suit `first`, its first input; and how many inputs it wants.
pub(crate) fn any_operator(u: &mut Unstructured<'_>, first: &Tensor) -> Result<(Operator, usize)> {
    operator::operator(u, first)
}

/// A tensor of any type and of at most so many bytes.
pub(crate) fn any_tensor(u: &mut Unstructured<'_>, most_bytes: usize) -> Result<Option<Tensor>> {
    let (dtype, shape) = (operator::dtype(u)?, operator::shape(u)?);
    let Some(bytes) = byte_length(dtype, &shape).ok().filter(|bytes| *bytes <= most_bytes) else { return Ok(None) };
    let counted = (0..bytes).map(|index| if dtype == DType::Boolean { index % 2 } else { index % 251 } as u8);
    Ok(Tensor::from_bytes(dtype, &shape, &counted.collect::<Vec<u8>>()).ok())
}

/// Whether two tensors of one type and shape, row by row, have the same elements to the bit. Which NaN it is that comes of two
/// is nobody's promise.
pub(crate) fn is_same(a: &Tensor, b: &Tensor) -> bool {
    let (Some(bytes_a), Some(bytes_b)) = (a.as_bytes(), b.as_bytes()) else { return false };
    let size = a.dtype().size_bytes();
    let is_nan = |bytes: &[u8]| match a.dtype() {
        DType::Float16 => u16::from_le_bytes(bytes.try_into().expect("two")) & 0x7fff > 0x7c00,
        DType::Float32 => f32::from_le_bytes(bytes.try_into().expect("four")).is_nan(),
        DType::Float64 => f64::from_le_bytes(bytes.try_into().expect("eight")).is_nan(),
        _ => false,
    };
    let pairs = bytes_a.chunks_exact(size).zip(bytes_b.chunks_exact(size));
    bytes_a.len() == bytes_b.len() && { pairs }.all(|(a, b)| a == b || (is_nan(a) && is_nan(b)))
}

/// Does the same with copies of the inputs.
fn compare(operator: &Operator, tensors: &[Tensor], expected: std::result::Result<&Tensor, &str>) {
    // It refuses views by design.
    let is_picture = matches!(operator, Operator::DecodeImage(_));
    let copied: usize = tensors.iter().map(Tensor::bytes_to_copy).fold(0, usize::saturating_add);
    let shown = expected.map_or(0, Tensor::byte_length);
    if is_picture || copied == 0 || copied.max(shown) > COMPARED_BYTES {
        return;
    }
    let copies = tensors.iter().map(|tensor| {
        let rows = tensor.to_row_major();
        let bytes = rows.as_bytes().expect("it was laid out");
        Tensor::from_bytes(tensor.dtype(), tensor.shape(), bytes).expect("it was a tensor before")
    });
    match (expected, Kernel::new(operator.clone(), copies.collect())) {
        (Err(message), Err(RunError::InvalidArgument(other))) => assert_eq!(message, other),
        (Ok(of_views), Ok(kernel)) => {
            let of_copies = kernel.compute().expect("it was computed of views");
            let (of_views, of_copies) = (of_views.to_row_major(), of_copies.to_row_major());
            assert_eq!(of_views.shape(), of_copies.shape(), "{operator:?} on {tensors:?}");
            assert!(is_same(&of_views, &of_copies), "{operator:?} on {tensors:?}: copies give others");
        }
        (of_views, of_copies) => {
            panic!("{operator:?} on {tensors:?}: of views {of_views:?}, of copies {of_copies:?}")
        }
    }
}
