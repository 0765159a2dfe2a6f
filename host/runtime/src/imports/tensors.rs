//! `spillway:tensor/tensors`: tensors in host memory, charged to their sandbox.

use std::sync::Arc;

use spillway_inference::{DType, Tensor, byte_length};
use wasmtime::StoreContextMut;
use wasmtime::component::{Linker, Resource, WasmList};

use super::bindings::tensor::spillway::tensor::tensors::{
    Dtype, Error, ErrorCode, Host, HostTensor as HostTensorFunctions,
};
use crate::limits::TensorCharge;
use crate::sandbox::SandboxState;

/// A guest's handle of a tensor, and its charge.
#[expect(unreachable_pub, reason = "the generated bindings re-export it")]
pub struct HostTensor {
    pub(crate) tensor: Tensor,
    /// Shared by the tensor's views, so that what they keep alive stays charged.
    pub(crate) charge: Arc<TensorCharge>,
}

impl SandboxState {
    /// Gives the guest a handle of a tensor that has been charged already.
    pub(super) fn push_tensor(
        &mut self,
        tensor: Tensor,
        charge: Arc<TensorCharge>,
    ) -> Result<Resource<HostTensor>, Error> {
        self.table.push(HostTensor { tensor, charge }).map_err(|_| {
            let most = crate::limits::HANDLES_MAX;
            error(
                ErrorCode::OutOfMemory,
                format!("the sandbox holds {most} handles already; drop tensors that are no longer needed"),
            )
        })
    }

    /// Charges `bytes` to the sandbox.
    pub(super) fn charge_tensor(&self, bytes: usize) -> Result<TensorCharge, Error> {
        self.tensors.charge(bytes as u64).map_err(|message| error(ErrorCode::OutOfMemory, message))
    }

    /// Charges the copy that it takes to lay out a view row by row; nothing for most tensors. A view may be as large as
    /// it says and rest on one element, so this is what keeps the host from making gigabytes of it.
    pub(super) fn charge_copy(&self, tensor: &Tensor) -> Result<TensorCharge, Error> {
        self.charge_tensor(tensor.bytes_to_copy())
    }

    /// Some of the bytes of `tensor`, row by row: its own memory, but for views whose elements lie elsewhere.
    fn range(&self, tensor: &Tensor, offset: u64, length: u64) -> Result<bytes::Bytes, Error> {
        let have = tensor.byte_length();
        let start = usize::try_from(offset).ok();
        let end = offset.checked_add(length).and_then(|end| usize::try_from(end).ok());
        let Some((start, end)) = start.zip(end).filter(|&(_, end)| end <= have) else {
            let message = format!("{length} bytes from {offset} are past the end: the tensor has {have} bytes");
            return Err(error(ErrorCode::InvalidArgument, message));
        };
        if tensor.as_bytes().is_some() {
            return Ok(bytes_of(tensor).slice(start..end));
        }
        let _copied = self.charge_tensor(end - start)?;
        Ok(tensor.bytes_in(start..end).into())
    }
}

pub(super) fn error(code: ErrorCode, message: impl Into<String>) -> Error {
    Error { code, message: message.into() }
}

impl Host for SandboxState {}

impl HostTensorFunctions for SandboxState {
    fn create(
        &mut self,
        dtype: Dtype,
        shape: Vec<u32>,
        data: Vec<u8>,
    ) -> wasmtime::Result<Result<Resource<HostTensor>, Error>> {
        Ok(create(self, dtype, &shape, data.len(), |dtype, shape| Tensor::from_bytes(dtype, shape, &data)))
    }

    fn dtype(&mut self, tensor: Resource<HostTensor>) -> wasmtime::Result<Dtype> {
        Ok(wit_dtype(self.table.get(&tensor)?.tensor.dtype()))
    }

    fn shape(&mut self, tensor: Resource<HostTensor>) -> wasmtime::Result<Vec<u32>> {
        let shape = self.table.get(&tensor)?.tensor.shape().to_vec();
        Ok(shape.into_iter().map(u32::try_from).collect::<Result<_, _>>()?)
    }

    fn byte_length(&mut self, tensor: Resource<HostTensor>) -> wasmtime::Result<u64> {
        Ok(self.table.get(&tensor)?.tensor.byte_length() as u64)
    }

    fn read(&mut self, tensor: Resource<HostTensor>) -> wasmtime::Result<Vec<u8>> {
        Ok(bytes_of(&self.table.get(&tensor)?.tensor).to_vec())
    }

    fn read_range(
        &mut self,
        tensor: Resource<HostTensor>,
        offset: u64,
        length: u64,
    ) -> wasmtime::Result<Result<Vec<u8>, Error>> {
        Ok(self.range(&self.table.get(&tensor)?.tensor, offset, length).map(|bytes| bytes.to_vec()))
    }

    fn drop(&mut self, tensor: Resource<HostTensor>) -> wasmtime::Result<()> {
        self.table.delete(tensor)?;
        Ok(())
    }
}

/// Replaces the functions whose bytes the generated bindings would copy once more on their way: a list from the guest is
/// read where it lies, and a tensor's bytes are copied straight into the guest.
pub(super) fn link_in_place(linker: &mut Linker<SandboxState>) -> wasmtime::Result<()> {
    linker.allow_shadowing(true);
    let mut tensors = linker.instance("spillway:tensor/tensors@0.1.0")?;
    tensors.func_wrap(
        "[static]tensor.create",
        |mut store: StoreContextMut<'_, SandboxState>, (dtype, shape, data): (Dtype, Vec<u32>, WasmList<u8>)| {
            let made = checked(dtype, &shape, data.len()).and_then(|(dtype, shape, bytes)| {
                let charge = store.data().charge_tensor(bytes)?;
                let tensor = Tensor::from_bytes(dtype, &shape, data.as_le_slice(&store)).map_err(invalid)?;
                store.data_mut().push_tensor(tensor, Arc::new(charge))
            });
            Ok((made,))
        },
    )?;
    tensors.func_wrap(
        "[method]tensor.read",
        |store: StoreContextMut<'_, SandboxState>, (tensor,): (Resource<HostTensor>,)| {
            let tensor = &store.data().table.get(&tensor)?.tensor;
            // The interface has no error here: a guest that reads more than it may hold traps, as it would for memory.
            let copied = store.data().charge_copy(tensor).map_err(|refused| wasmtime::Error::msg(refused.message))?;
            let bytes = bytes_of(tensor);
            drop(copied);
            Ok((bytes,))
        },
    )?;
    tensors.func_wrap(
        "[method]tensor.read-range",
        |store: StoreContextMut<'_, SandboxState>, (tensor, offset, length): (Resource<HostTensor>, u64, u64)| {
            let tensor = &store.data().table.get(&tensor)?.tensor;
            Ok((store.data().range(tensor, offset, length),))
        },
    )?;
    linker.allow_shadowing(false);
    Ok(())
}

/// The tensor's own memory as `Bytes`: no copy until it is lowered into the guest, but for views whose elements lie
/// elsewhere.
pub(super) fn bytes_of(tensor: &Tensor) -> bytes::Bytes {
    struct Owner(Tensor);
    impl AsRef<[u8]> for Owner {
        fn as_ref(&self) -> &[u8] {
            self.0.as_bytes().expect("it was made row-major")
        }
    }
    bytes::Bytes::from_owner(Owner(tensor.to_row_major()))
}

fn create(
    state: &mut SandboxState,
    dtype: Dtype,
    shape: &[u32],
    given: usize,
    make: impl FnOnce(DType, &[usize]) -> Result<Tensor, spillway_inference::TensorError>,
) -> Result<Resource<HostTensor>, Error> {
    let (dtype, shape, bytes) = checked(dtype, shape, given)?;
    let charge = state.charge_tensor(bytes)?;
    let tensor = make(dtype, &shape).map_err(invalid)?;
    state.push_tensor(tensor, Arc::new(charge))
}

/// Shape and length, before anything is charged or allocated.
fn checked(dtype: Dtype, shape: &[u32], given: usize) -> Result<(DType, Vec<usize>, usize), Error> {
    let dtype = host_dtype(dtype);
    let shape: Vec<usize> = shape.iter().map(|axis| *axis as usize).collect();
    let bytes = byte_length(dtype, &shape).map_err(invalid)?;
    if bytes == given {
        Ok((dtype, shape, bytes))
    } else {
        let message = format!("a tensor of {dtype} {shape:?} takes {bytes} bytes, but {given} were given");
        Err(error(ErrorCode::InvalidArgument, message))
    }
}

fn invalid(cause: spillway_inference::TensorError) -> Error {
    error(ErrorCode::InvalidArgument, cause.to_string())
}

macro_rules! dtypes {
    ($($name:ident),*) => {
        /// From the WIT's name to ours.
        pub(super) fn host_dtype(dtype: Dtype) -> DType {
            match dtype { $(Dtype::$name => DType::$name),* }
        }

        /// From our name to the WIT's.
        pub(super) fn wit_dtype(dtype: DType) -> Dtype {
            match dtype { $(DType::$name => Dtype::$name),* }
        }
    };
}

dtypes!(Float16, Float32, Float64, Int8, Int16, Int32, Int64, Uint8, Uint16, Uint32, Uint64, Boolean);
