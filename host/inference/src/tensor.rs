//! Tensors: what functions and engines hand each other.

mod fill;
mod read;

use std::fmt;
use std::sync::Arc;

use tract_onnx::prelude::DatumType;

use crate::DType;
use crate::element::{Element, with_dtype};
use crate::layout::{Layout, map};
use crate::models::Loaded;
use crate::shared_storage::Shared;
use crate::weights::WeightName;

/// The most axes that a tensor may have, as NumPy 2 (`NPY_MAXDIMS`). The byte ledger counts elements, so without a
/// bound a guest could make the host hold a shape of millions of ones free of charge.
pub const MAX_RANK: usize = 64;

/// A tensor, little-endian. Immutable; a clone shares the bytes, and so do views and the engine.
///
/// What [`from_bytes`](Self::from_bytes) makes and models return lies row by row. Views (made by the operators `reshape`,
/// `expand`, `transpose` and `slice`) show elements of another tensor's storage in another order, or a part of them, and
/// keep all of that storage alive.
#[derive(Clone)]
pub struct Tensor {
    dtype: DType,
    layout: Arc<Layout>,
    storage: Arc<Storage>,
    /// The weight whose storage it shows, which stays loaded meanwhile.
    weight: Option<Arc<Weight>>,
}

/// A tensor of a loaded file, and the file, so that it stays in memory.
pub(crate) struct Weight {
    pub(crate) name: WeightName,
    pub(crate) _file: Arc<Loaded>,
}

pub(crate) type Storage = tract_onnx::prelude::Tensor;

impl Tensor {
    /// Copies `data` into a new tensor. `data` has exactly [`byte_length`]`(dtype, shape)` bytes; an empty `shape` is a
    /// scalar.
    ///
    /// # Errors
    /// When the length does not fit, as [`byte_length`], and for booleans other than 0 and 1.
    pub fn from_bytes(dtype: DType, shape: &[usize], data: &[u8]) -> Result<Self, TensorError> {
        let expected = byte_length(dtype, shape)?;
        if data.len() != expected {
            return Err(TensorError::Length { dtype, shape: shape.into(), expected, given: data.len() });
        }
        if dtype == DType::Boolean
            && let Some(index) = data.iter().position(|&byte| byte > 1)
        {
            return Err(TensorError::Boolean { index, value: data[index] });
        }
        #[allow(
            unsafe_code,
            reason = "filling zeros first, as the safe constructors do, costs a pass over every input"
        )]
        // SAFETY: every bit pattern is a value of the numeric types, booleans were checked above, and the call itself
        // checks the length again.
        let storage = unsafe { Storage::from_raw_dt(datum_type(dtype), shape, data) };
        Ok(Self::whole(dtype, storage.expect("byte_length accepted the shape and the length of the data fits it")))
    }

    /// A tensor of this shape without elements: enough to plan with, since plans look at types and layouts alone.
    pub(crate) fn phantom(dtype: DType, shape: &[usize]) -> Self {
        let storage = Storage::zero_dt(datum_type(dtype), &[0]);
        Self::of_storage(dtype, shape, storage.expect("tract makes tensors of all our types"))
    }

    /// Its storage, if nothing else shows any of it.
    pub(crate) fn into_storage(self) -> Option<Storage> {
        if self.weight.is_some() { None } else { Arc::try_unwrap(self.storage).ok() }
    }

    fn of_storage(dtype: DType, shape: &[usize], storage: Storage) -> Self {
        let layout = Arc::new(Layout::row_major(shape));
        Self { dtype, layout, storage: Arc::new(storage), weight: None }
    }

    fn whole(dtype: DType, storage: Storage) -> Self {
        Self { dtype, layout: Arc::new(Layout::row_major(storage.shape())), storage: Arc::new(storage), weight: None }
    }

    /// The element type.
    pub fn dtype(&self) -> DType {
        self.dtype
    }

    /// The length of each axis; empty for a scalar.
    pub fn shape(&self) -> &[usize] {
        &self.layout.shape
    }

    /// Size of the elements in bytes: what [`as_bytes`](Self::as_bytes) of the [row-major](Self::to_row_major) tensor
    /// has, whatever the storage takes.
    pub fn byte_length(&self) -> usize {
        self.layout.len() * self.dtype.size_bytes()
    }

    /// All elements, row by row and little-endian, where they lie so; `None` for a view whose elements do not. Then
    /// [`to_row_major`](Self::to_row_major) first.
    pub fn as_bytes(&self) -> Option<&[u8]> {
        let size = self.dtype.size_bytes();
        if !self.layout.is_row_major() {
            return None;
        }
        match self.layout.len() {
            0 => Some(&[]),
            length => Some(&self.storage.as_bytes()[self.layout.offset * size..][..length * size]),
        }
    }

    /// The same elements lying row by row: this tensor where they do, else a copy of
    /// [`byte_length`](Self::byte_length) bytes.
    pub fn to_row_major(&self) -> Self {
        if self.layout.is_row_major() {
            return self.clone();
        }
        self.copied()
    }

    /// Bytes that a model which is given this tensor copies first: none where it shows all of its storage in order, as
    /// anything but a view does.
    pub fn bytes_to_copy(&self) -> usize {
        if self.is_whole() { 0 } else { self.byte_length() }
    }

    /// Whether both show elements of one storage, so that one of them holds no memory that the other does not.
    pub fn shares_storage_with(&self, other: &Self) -> bool {
        Arc::ptr_eq(&self.storage, &other.storage)
    }

    fn is_whole(&self) -> bool {
        self.layout.is_row_major() && self.layout.len() == self.storage.len()
    }

    /// A tensor of its own, row by row.
    pub(crate) fn copied(&self) -> Self {
        with_dtype!(self.dtype, T => {
            Self::filled::<T>(self.shape(), |target| map(self.stored::<T>(), &self.layout, target, |x| x))
        })
    }

    /// Where the elements lie in [`stored`](Self::stored).
    pub(crate) fn layout(&self) -> &Layout {
        &self.layout
    }

    /// The same storage seen otherwise. `layout` shows no element that this one does not.
    pub(crate) fn view(&self, layout: Layout) -> Self {
        Self { layout: Arc::new(layout), ..self.clone() }
    }

    /// The same, as what it is in a file.
    pub(crate) fn of_weight(self, weight: Weight) -> Self {
        Self { weight: Some(Arc::new(weight)), ..self }
    }

    /// The weight whose storage it shows, perhaps otherwise.
    pub(crate) fn weight(&self) -> Option<&WeightName> {
        self.weight.as_ref().map(|weight| &weight.name)
    }

    /// The storage's elements, more than the tensor's own where it is a view.
    ///
    /// # Panics
    /// When `T` is not the type of the elements.
    pub(crate) fn stored<T: Element>(&self) -> &[T] {
        let plain = self.storage.as_plain_ram().expect("only plain storage is taken over");
        plain.as_slice::<T>().expect("the caller matched on the dtype")
    }

    /// The tensor as the engine has it. Copies only what does not lie row by row from the storage's start to its end.
    pub(crate) fn elements(self) -> Arc<Storage> {
        if !self.is_whole() {
            return self.copied().storage;
        }
        if self.storage.shape() == self.shape() {
            return self.storage;
        }
        let datum_type = self.storage.datum_type();
        Arc::new(Storage::from_storage(datum_type, &self.layout.shape, Shared(self.storage)))
    }

    /// Takes over a tensor that tract computed, without a copy but for the types that only tract has.
    pub(crate) fn from_elements(elements: Arc<Storage>) -> Result<Self, String> {
        let given = elements.datum_type();
        let dtype =
            dtype_of(given).ok_or_else(|| format!("the engine computed {given:?}, which tensors cannot hold"))?;
        let elements = if given == DatumType::TDim {
            // tract computes shapes in a symbolic type; by now they are plain numbers.
            Arc::new(elements.cast_to_dt(DatumType::I64).map_err(|cause| format!("{cause:#}"))?.into_owned())
        } else {
            elements
        };
        let expected = byte_length(dtype, elements.shape()).map_err(|cause| cause.to_string())?;
        if elements.as_plain_ram().is_none() || elements.as_bytes().len() != expected {
            return Err(format!("the engine computed a {dtype} tensor in a layout of its own"));
        }
        Ok(Self { dtype, layout: Arc::new(Layout::row_major(elements.shape())), storage: elements, weight: None })
    }
}

impl fmt::Debug for Tensor {
    /// Type and shape only: elements are the user's data, and do not belong into logs.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} {:?}", self.dtype, self.shape())
    }
}

/// Size in bytes of a tensor of `dtype` and `shape`. All shape arithmetic on input is done here, checked, so that it
/// can be charged before anything is allocated.
///
/// # Errors
/// More than [`MAX_RANK`] axes, and sizes over `isize::MAX`. An axis of length 0 does not excuse the others from that
/// bound, because strides are computed from them.
pub fn byte_length(dtype: DType, shape: &[usize]) -> Result<usize, TensorError> {
    if shape.len() > MAX_RANK {
        return Err(TensorError::Rank(shape.len()));
    }
    let bytes = shape.iter().try_fold(dtype.size_bytes(), |bytes, &axis| bytes.checked_mul(axis.max(1)));
    match bytes.filter(|&bytes| bytes <= isize::MAX as usize) {
        None => Err(TensorError::TooLarge { dtype, shape: shape.into() }),
        Some(_) if shape.contains(&0) => Ok(0),
        Some(bytes) => Ok(bytes),
    }
}

/// Bytes, a shape and an element type that make no tensor.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum TensorError {
    /// The data is longer or shorter than the shape says.
    #[error("a {dtype} tensor of shape {shape:?} takes {expected} bytes, given {given}")]
    Length {
        /// The element type.
        dtype: DType,
        /// The shape that was asked for.
        shape: Box<[usize]>,
        /// What type and shape take, in bytes.
        expected: usize,
        /// What was given, in bytes.
        given: usize,
    },
    /// The shape has more elements than memory has addresses.
    #[error("a {dtype} tensor of shape {shape:?} is larger than any memory")]
    TooLarge {
        /// The element type.
        dtype: DType,
        /// The shape that was asked for.
        shape: Box<[usize]>,
    },
    /// The shape has more than [`MAX_RANK`] axes.
    #[error("a tensor has at most {MAX_RANK} axes, given {0}")]
    Rank(usize),
    /// A boolean that is neither 0 nor 1.
    #[error("element {index} of a boolean tensor is {value}; write 0 or 1")]
    Boolean {
        /// Position of the first such element.
        index: usize,
        /// Its value.
        value: u8,
    },
}

/// tract's word for `dtype`.
pub(crate) fn datum_type(dtype: DType) -> DatumType {
    match dtype {
        DType::Float16 => DatumType::F16,
        DType::Float32 => DatumType::F32,
        DType::Float64 => DatumType::F64,
        DType::Int8 => DatumType::I8,
        DType::Int16 => DatumType::I16,
        DType::Int32 => DatumType::I32,
        DType::Int64 => DatumType::I64,
        DType::Uint8 => DatumType::U8,
        DType::Uint16 => DatumType::U16,
        DType::Uint32 => DatumType::U32,
        DType::Uint64 => DatumType::U64,
        DType::Boolean => DatumType::Bool,
    }
}

/// Our word for tract's type: quantised integers by their storage, symbolic dimensions as the `int64` that ONNX says.
pub(crate) fn dtype_of(datum_type: DatumType) -> Option<DType> {
    Some(match datum_type {
        DatumType::F16 => DType::Float16,
        DatumType::F32 => DType::Float32,
        DatumType::F64 => DType::Float64,
        DatumType::I8 | DatumType::QI8(_) => DType::Int8,
        DatumType::I16 => DType::Int16,
        DatumType::I32 | DatumType::QI32(_) => DType::Int32,
        DatumType::I64 | DatumType::TDim => DType::Int64,
        DatumType::U8 | DatumType::QU8(_) => DType::Uint8,
        DatumType::U16 => DType::Uint16,
        DatumType::U32 => DType::Uint32,
        DatumType::U64 => DType::Uint64,
        DatumType::Bool => DType::Boolean,
        DatumType::Blob | DatumType::String => return None,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_tensor_gives_back_the_bytes_it_was_made_of() {
        let data: Vec<u8> = [1.5_f32, -2.0, 0.25, 8.0, 0.0, 3.0].iter().flat_map(|x| x.to_le_bytes()).collect();
        let tensor = Tensor::from_bytes(DType::Float32, &[2, 3], &data).unwrap();
        assert_eq!((tensor.dtype(), tensor.shape(), tensor.as_bytes()), (DType::Float32, &[2, 3][..], Some(&data[..])));
        assert_eq!(tensor.byte_length(), 24);
        assert_eq!(
            tensor.clone().as_bytes().unwrap().as_ptr(),
            tensor.as_bytes().unwrap().as_ptr(),
            "a clone shares the bytes"
        );
    }

    #[test]
    fn every_dtype_enters_the_engine_and_comes_back_as_itself() {
        use DType::*;
        for dtype in [Float16, Float32, Float64, Int8, Int16, Int32, Int64, Uint8, Uint16, Uint32, Uint64, Boolean] {
            let tensor = Tensor::from_bytes(dtype, &[2], &vec![1; 2 * dtype.size_bytes()]).unwrap();
            let address = tensor.as_bytes().unwrap().as_ptr();
            let back = Tensor::from_elements(tensor.elements()).unwrap();
            assert_eq!((back.dtype(), back.as_bytes().unwrap().as_ptr()), (dtype, address), "{dtype}");
        }
    }

    #[test]
    fn a_scalar_has_one_element_and_an_empty_axis_none() {
        assert_eq!(byte_length(DType::Int64, &[]), Ok(8));
        assert_eq!(Tensor::from_bytes(DType::Int64, &[], &[0; 8]).unwrap().shape(), &[] as &[usize]);
        assert_eq!(Tensor::from_bytes(DType::Float32, &[3, 0], &[]).unwrap().byte_length(), 0);
    }

    #[test]
    fn a_length_that_does_not_fit_names_both() {
        let error = Tensor::from_bytes(DType::Float32, &[2, 3], &[0; 23]).unwrap_err();
        assert_eq!(error.to_string(), "a float32 tensor of shape [2, 3] takes 24 bytes, given 23");
    }

    #[test]
    fn shapes_beyond_memory_are_refused_before_anything_is_allocated() {
        let half = 1 << (usize::BITS / 2);
        for shape in
            [&[usize::MAX][..], &[half, half], &[0, half, half], &[half, half, 0], &[isize::MAX as usize / 4 + 1]]
        {
            let error = Tensor::from_bytes(DType::Float32, shape, &[]).unwrap_err();
            assert!(matches!(error, TensorError::TooLarge { .. }), "{shape:?}: {error}");
        }
        assert_eq!(byte_length(DType::Int8, &[1; MAX_RANK]), Ok(1));
        assert_eq!(byte_length(DType::Int8, &[1; MAX_RANK + 1]), Err(TensorError::Rank(MAX_RANK + 1)));
    }

    #[test]
    fn a_boolean_is_0_or_1() {
        assert!(Tensor::from_bytes(DType::Boolean, &[2], &[0, 1]).is_ok());
        let error = Tensor::from_bytes(DType::Boolean, &[3], &[1, 2, 0]).unwrap_err();
        assert_eq!(error.to_string(), "element 1 of a boolean tensor is 2; write 0 or 1");
    }
}
