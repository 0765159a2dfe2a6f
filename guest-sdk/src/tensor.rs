//! Tensors that live in the host.

use std::borrow::Cow;
use std::cell::OnceCell;
use std::fmt;
use std::ops::Range;

use crate::host::{self, HostError};

/// The element types, by the names of W3C WebNN's `MLOperandDataType`, and `Float64` and `Boolean` as ONNX has them.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum DType {
    /// IEEE 754 half precision.
    Float16,
    /// IEEE 754 single precision.
    Float32,
    /// IEEE 754 double precision.
    Float64,
    /// Signed, 8 bits.
    Int8,
    /// Signed, 16 bits.
    Int16,
    /// Signed, 32 bits.
    Int32,
    /// Signed, 64 bits.
    Int64,
    /// Unsigned, 8 bits.
    Uint8,
    /// Unsigned, 16 bits.
    Uint16,
    /// Unsigned, 32 bits.
    Uint32,
    /// Unsigned, 64 bits.
    Uint64,
    /// One byte per element, 0 or 1.
    Boolean,
}

impl DType {
    /// Bytes per element.
    pub const fn size(self) -> usize {
        match self {
            Self::Int8 | Self::Uint8 | Self::Boolean => 1,
            Self::Float16 | Self::Int16 | Self::Uint16 => 2,
            Self::Float32 | Self::Int32 | Self::Uint32 => 4,
            Self::Float64 | Self::Int64 | Self::Uint64 => 8,
        }
    }
}

impl fmt::Display for DType {
    /// As in the WIT contract and in WebNN: `float32`.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&format!("{self:?}").to_lowercase())
    }
}

/// A Rust type that stands for a [`DType`]. Sealed; half precision has none, use [`Tensor::from_bytes`].
pub trait Element: Copy + 'static + sealed::Sealed {
    /// Its element type.
    const DTYPE: DType;
    #[doc(hidden)]
    fn to_bytes(elements: &[Self]) -> Cow<'_, [u8]>;
    #[doc(hidden)]
    fn from_bytes(bytes: &[u8]) -> Vec<Self>;
}

mod sealed {
    pub trait Sealed {}
}

macro_rules! elements {
    ($($ty:ty => $dtype:ident),* $(,)?) => {$(
        impl sealed::Sealed for $ty {}

        impl Element for $ty {
            const DTYPE: DType = DType::$dtype;

            // Tensors are little-endian, as Wasm is and as every native target that a node is built for.
            fn to_bytes(elements: &[Self]) -> Cow<'_, [u8]> {
                Cow::Borrowed(bytemuck::cast_slice(elements))
            }

            fn from_bytes(bytes: &[u8]) -> Vec<Self> {
                bytemuck::pod_collect_to_vec(bytes)
            }
        }
    )*};
}

elements! {
    f32 => Float32, f64 => Float64,
    i8 => Int8, i16 => Int16, i32 => Int32, i64 => Int64,
    u8 => Uint8, u16 => Uint16, u32 => Uint32, u64 => Uint64,
}

impl sealed::Sealed for bool {}

impl Element for bool {
    const DTYPE: DType = DType::Boolean;

    fn to_bytes(elements: &[Self]) -> Cow<'_, [u8]> {
        Cow::Borrowed(bytemuck::cast_slice(elements))
    }

    fn from_bytes(bytes: &[u8]) -> Vec<Self> {
        bytes.iter().map(|&byte| byte != 0).collect()
    }
}

/// A dense tensor in the host's memory, row-major; the guest holds a handle.
///
/// Its bytes count against `[limits] tensors` until it is dropped, and cross into the guest only when asked for.
///
/// ```
/// # fn main() -> Result<(), spillway_sdk::HostError> {
/// use spillway_sdk::Tensor;
///
/// let tensor = Tensor::from_slice(&[1.0f32, 2.0, 3.0, 4.0], &[2, 2])?;
/// assert_eq!(tensor.to_vec::<f32>()?, [1.0, 2.0, 3.0, 4.0]);
/// # Ok(())
/// # }
/// ```
pub struct Tensor {
    pub(crate) handle: host::Tensor,
    /// Asked for when it is needed: most results go from one operator to the next.
    described: OnceCell<(DType, Vec<usize>)>,
}

impl Tensor {
    /// Copies `elements` into the host as a tensor of `shape`; an empty shape is a scalar.
    ///
    /// # Errors
    /// The product of `shape` is not the number of elements, or the tensor is over the sandbox's limit.
    pub fn from_slice<T: Element>(elements: &[T], shape: &[usize]) -> Result<Self, HostError> {
        let expected = count(shape)?;
        if expected != elements.len() {
            return Err(HostError::invalid(format!(
                "a tensor of shape {shape:?} has {expected} elements, not {}",
                elements.len()
            )));
        }
        Self::from_bytes(T::DTYPE, &T::to_bytes(elements), shape)
    }

    /// A tensor without axes that holds `element`.
    ///
    /// # Errors
    /// It is over the sandbox's limit.
    pub fn scalar<T: Element>(element: T) -> Result<Self, HostError> {
        Self::from_slice(&[element], &[])
    }

    /// As [`from_slice`](Self::from_slice), from little-endian bytes of any dtype.
    ///
    /// # Errors
    /// `bytes` is not `product(shape) * dtype.size()` long, or the tensor is over the sandbox's limit.
    pub fn from_bytes(dtype: DType, bytes: &[u8], shape: &[usize]) -> Result<Self, HostError> {
        let expected = count(shape)?.checked_mul(dtype.size()).ok_or_else(|| overflow(shape))?;
        if expected != bytes.len() {
            return Err(HostError::invalid(format!(
                "a {dtype} tensor of shape {shape:?} has {expected} bytes, not {}",
                bytes.len()
            )));
        }
        let axes = shape.iter().map(|&axis| u32::try_from(axis)).collect::<Result<Vec<_>, _>>();
        let handle = host::Tensor::create(dtype, &axes.map_err(|_| overflow(shape))?, bytes)?;
        Ok(Self { handle, described: OnceCell::from((dtype, shape.to_vec())) })
    }

    pub(crate) fn from_handle(handle: host::Tensor) -> Self {
        Self { handle, described: OnceCell::new() }
    }

    fn described(&self) -> &(DType, Vec<usize>) {
        self.described.get_or_init(|| (self.handle.dtype(), self.handle.shape()))
    }

    /// The element type.
    pub fn dtype(&self) -> DType {
        self.described().0
    }

    /// The length of each axis.
    pub fn shape(&self) -> &[usize] {
        &self.described().1
    }

    /// How many elements it has.
    pub fn len(&self) -> usize {
        self.shape().iter().product()
    }

    /// Whether an axis has length 0.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// Copies all elements into the guest, row by row.
    ///
    /// # Errors
    /// `T` is not the Rust type of this tensor's dtype.
    pub fn to_vec<T: Element>(&self) -> Result<Vec<T>, HostError> {
        self.expect_dtype(T::DTYPE)?;
        Ok(T::from_bytes(&self.handle.read()))
    }

    /// Copies those of the elements that `range` names, counted row by row.
    ///
    /// # Errors
    /// `T` is not the Rust type of this tensor's dtype, or `range` ends past the last element.
    pub fn to_vec_range<T: Element>(&self, range: Range<usize>) -> Result<Vec<T>, HostError> {
        self.expect_dtype(T::DTYPE)?;
        if range.start > range.end || range.end > self.len() {
            return Err(HostError::invalid(format!(
                "{range:?} is not within the {} elements of the tensor",
                self.len()
            )));
        }
        let size = self.dtype().size() as u64;
        Ok(T::from_bytes(&self.handle.read_range(range.start as u64 * size, range.len() as u64 * size)?))
    }

    /// Copies all elements as little-endian bytes.
    pub fn to_bytes(&self) -> Vec<u8> {
        self.handle.read()
    }

    fn expect_dtype(&self, asked: DType) -> Result<(), HostError> {
        if self.dtype() == asked {
            return Ok(());
        }
        Err(HostError::invalid(format!("the tensor is {}, not {asked}", self.dtype())))
    }
}

impl fmt::Debug for Tensor {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Tensor({} {:?})", self.dtype(), self.shape())
    }
}

fn count(shape: &[usize]) -> Result<usize, HostError> {
    shape.iter().try_fold(1usize, |product, &axis| product.checked_mul(axis)).ok_or_else(|| overflow(shape))
}

fn overflow(shape: &[usize]) -> HostError {
    HostError::invalid(format!("a tensor of shape {shape:?} is larger than any memory"))
}
