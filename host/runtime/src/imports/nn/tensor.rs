//! `wasi:nn/tensor`: host tensors, charged to their sandbox.

use std::sync::Arc;

use spillway_inference::{DType, Kernel, Tensor, byte_length};
use spillway_types::operator::Operator;
use wasmtime::StoreContextMut;
use wasmtime::component::{Linker, Resource, WasmList};

use super::NnError;
use crate::imports::bindings::nn::wasi::nn::errors::ErrorCode;
use crate::imports::bindings::nn::wasi::nn::tensor::{Host, HostTensor, TensorType};
use crate::imports::tensors::bytes_of;
use crate::limits::TensorCharge;
use crate::sandbox::SandboxState;

/// A guest's handle of a tensor.
#[expect(unreachable_pub, reason = "the generated bindings re-export it")]
pub struct NnTensor {
    dimensions: Vec<u32>,
    ty: TensorType,
    /// The constructor cannot fail, so a tensor that could not be made says why to whoever uses it.
    made: Result<Made, NnError>,
}

/// Elements, and their charge.
pub(super) struct Made {
    pub(super) tensor: Tensor,
    _charge: Arc<TensorCharge>,
}

impl NnTensor {
    /// A model's output. A type that `wasi:nn` has not becomes the narrowest of its types that holds every value.
    pub(super) fn of_output(state: &SandboxState, name: &str, output: Tensor) -> Result<Self, NnError> {
        let (ty, dtype) = match output.dtype() {
            DType::Float16 => (TensorType::Fp16, DType::Float16),
            DType::Float32 => (TensorType::Fp32, DType::Float32),
            DType::Float64 => (TensorType::Fp64, DType::Float64),
            DType::Uint8 | DType::Boolean => (TensorType::U8, DType::Uint8),
            DType::Int8 | DType::Int16 | DType::Uint16 | DType::Int32 => (TensorType::I32, DType::Int32),
            DType::Uint32 | DType::Int64 => (TensorType::I64, DType::Int64),
            DType::Uint64 => {
                let message = format!("output `{name}` is uint64, which wasi:nn has no type for; use spillway:tensor");
                return Err(NnError::new(ErrorCode::UnsupportedOperation, message));
            }
        };
        let dimensions = output.shape().iter().map(|&axis| u32::try_from(axis)).collect::<Result<_, _>>();
        let dimensions = dimensions.map_err(|_| NnError::invalid(format!("output `{name}` has an axis over 2^32")))?;
        let made = Made::convert(state, output, dtype)?;
        Ok(Self { dimensions, ty, made: Ok(made) })
    }

    /// The elements for a model's input `name` of type `wanted`.
    pub(super) fn into_input(self, state: &SandboxState, name: &str, wanted: Option<DType>) -> Result<Made, NnError> {
        let ty = self.ty;
        let made = self.made.map_err(|error| error.of(format_args!("input `{name}`")))?;
        let Some(wanted) = wanted.filter(|wanted| *wanted != made.tensor.dtype()) else { return Ok(made) };
        // Types that wasi:nn has not come in the type that their outputs go out as; bfloat16 is kept as it came.
        match (ty, wanted) {
            (TensorType::U8, DType::Boolean)
            | (TensorType::I32, DType::Int8 | DType::Int16 | DType::Uint16)
            | (TensorType::I64, DType::Uint32 | DType::Uint64) => Made::convert(state, made.tensor, wanted),
            (TensorType::Bf16, DType::Float32) => Made::widen(state, &made.tensor),
            _ => Ok(made),
        }
    }
}

impl Made {
    fn new(state: &SandboxState, dtype: DType, shape: &[u32], data: &[u8]) -> Result<Self, NnError> {
        let shape: Vec<usize> = shape.iter().map(|&axis| axis as usize).collect();
        let bytes = byte_length(dtype, &shape).map_err(|error| NnError::invalid(error.to_string()))?;
        if bytes != data.len() {
            let given = data.len();
            return Err(NnError::invalid(format!(
                "a tensor of {shape:?} in {} bytes each takes {bytes} bytes, but {given} were given",
                dtype.size_bytes()
            )));
        }
        let charge = Arc::new(state.charge_tensor(bytes)?);
        let tensor = Tensor::from_bytes(dtype, &shape, data).map_err(|error| NnError::invalid(error.to_string()))?;
        Ok(Self { tensor, _charge: charge })
    }

    fn convert(state: &SandboxState, tensor: Tensor, dtype: DType) -> Result<Self, NnError> {
        if tensor.dtype() == dtype {
            let charge = Arc::new(state.charge_tensor(tensor.byte_length())?);
            return Ok(Self { tensor, _charge: charge });
        }
        let kernel = Kernel::new(Operator::Cast(dtype), vec![tensor])?;
        let charge = Arc::new(state.charge_tensor(kernel.result_bytes())?);
        Ok(Self { tensor: kernel.compute()?, _charge: charge })
    }

    /// bfloat16, which is the upper half of a float32, as that.
    fn widen(state: &SandboxState, halves: &Tensor) -> Result<Self, NnError> {
        let charge = Arc::new(state.charge_tensor(halves.byte_length() * 2)?);
        let halves_bytes = bytes_of(halves);
        let wide: Vec<u8> = halves_bytes.chunks_exact(2).flat_map(|half| [0, 0, half[0], half[1]]).collect();
        let tensor = Tensor::from_bytes(DType::Float32, halves.shape(), &wide);
        let tensor = tensor.map_err(|error| NnError::invalid(error.to_string()))?;
        Ok(Self { tensor, _charge: charge })
    }
}

/// How a type is kept in the host. There is no bfloat16: its bits are kept.
fn dtype_of(ty: TensorType) -> DType {
    match ty {
        TensorType::Fp16 => DType::Float16,
        TensorType::Fp32 => DType::Float32,
        TensorType::Fp64 => DType::Float64,
        TensorType::Bf16 => DType::Uint16,
        TensorType::U8 => DType::Uint8,
        TensorType::I32 => DType::Int32,
        TensorType::I64 => DType::Int64,
    }
}

impl Host for SandboxState {}

impl HostTensor for SandboxState {
    fn new(&mut self, dimensions: Vec<u32>, ty: TensorType, data: Vec<u8>) -> wasmtime::Result<Resource<NnTensor>> {
        let made = Made::new(self, dtype_of(ty), &dimensions, &data);
        Ok(self.table.push(NnTensor { dimensions, ty, made })?)
    }

    fn dimensions(&mut self, tensor: Resource<NnTensor>) -> wasmtime::Result<Vec<u32>> {
        Ok(self.table.get(&tensor)?.dimensions.clone())
    }

    fn ty(&mut self, tensor: Resource<NnTensor>) -> wasmtime::Result<TensorType> {
        Ok(self.table.get(&tensor)?.ty)
    }

    fn data(&mut self, tensor: Resource<NnTensor>) -> wasmtime::Result<Vec<u8>> {
        Ok(self.table.get(&tensor)?.made.as_ref().map_or_else(|_| Vec::new(), |made| bytes_of(&made.tensor).into()))
    }

    fn drop(&mut self, tensor: Resource<NnTensor>) -> wasmtime::Result<()> {
        self.table.delete(tensor)?;
        Ok(())
    }
}

/// As for `spillway:tensor`: a list from the guest is read where it lies, and one for it is copied straight there.
pub(super) fn link_in_place(linker: &mut Linker<SandboxState>) -> wasmtime::Result<()> {
    let mut interface = linker.instance("wasi:nn/tensor@0.2.0-rc-2024-10-28")?;
    interface.func_wrap(
        "[constructor]tensor",
        |mut store: StoreContextMut<'_, SandboxState>, (dimensions, ty, data): (Vec<u32>, TensorType, WasmList<u8>)| {
            let made = Made::new(store.data(), dtype_of(ty), &dimensions, data.as_le_slice(&store));
            Ok((store.data_mut().table.push(NnTensor { dimensions, ty, made })?,))
        },
    )?;
    interface.func_wrap(
        "[method]tensor.data",
        |store: StoreContextMut<'_, SandboxState>, (tensor,): (Resource<NnTensor>,)| {
            let made = &store.data().table.get(&tensor)?.made;
            Ok((made.as_ref().map_or_else(|_| bytes::Bytes::new(), |made| bytes_of(&made.tensor)),))
        },
    )?;
    Ok(())
}
