//! `safetensors` files: tensors by name, and no graph.

use std::collections::HashMap;

use safetensors::{Dtype, SafeTensors};
use spillway_types::{Digest, Specialization};

use crate::{DType, LoadError, LoadedModel, RunError, Tensor, TensorType};

/// Bytes of a header's length, which the file begins with.
const LENGTH_BYTES: usize = 8;

/// The tensors of a file, each in memory of its own, where kernels read them.
pub(crate) struct Weights {
    types: Vec<TensorType>,
    tensors: HashMap<String, Tensor>,
    memory_bytes: usize,
}

/// Whether `file` looks like safetensors: after the length of its header comes JSON.
pub(crate) fn is_safetensors(file: &[u8]) -> bool {
    file.get(LENGTH_BYTES) == Some(&b'{')
}

/// Checks the header: lengths, offsets, names, and types that tensors can have. Takes no more memory than the header.
///
/// # Errors
/// [`LoadError`], naming the tensor.
pub(crate) fn examine(file: &[u8]) -> Result<Vec<TensorType>, LoadError> {
    let parsed = parse(file)?;
    let mut types = parsed
        .iter()
        .map(|(name, view)| {
            let dtype = dtype_of(view.dtype()).ok_or_else(|| unsupported(name, view.dtype()))?;
            let shape = view.shape().iter().map(|&length| Some(length)).collect();
            Ok(TensorType { name: name.to_owned(), dtype, shape })
        })
        .collect::<Result<Vec<_>, LoadError>>()?;
    types.sort_by(|a, b| a.name.cmp(&b.name));
    Ok(types)
}

impl Weights {
    /// The tensors of `file`.
    ///
    /// # Errors
    /// As [`examine`], and where the manifest fixes something about it.
    pub(crate) fn load(file: &[u8], specialization: &Specialization) -> Result<Self, LoadError> {
        if *specialization != Specialization::default() {
            let reason = "a safetensors file has no inputs; take `shapes` and `constants` out of [models]";
            return Err(LoadError::Specialization(reason.to_owned()));
        }
        let types = examine(file)?;
        let parsed = parse(file)?;
        let mut tensors = HashMap::with_capacity(types.len());
        for ty in &types {
            let view = parsed.tensor(&ty.name).map_err(|cause| not_a_model(&cause))?;
            let tensor = Tensor::from_bytes(ty.dtype, view.shape(), view.data())
                .map_err(|cause| LoadError::NotAModel(format!("tensor `{}`: {cause}", ty.name)))?;
            tensors.insert(ty.name.clone(), tensor);
        }
        let memory_bytes = tensors.values().map(Tensor::byte_length).sum();
        Ok(Self { types, tensors, memory_bytes })
    }
}

impl LoadedModel for Weights {
    fn inputs(&self) -> &[TensorType] {
        &[]
    }

    fn outputs(&self) -> &[TensorType] {
        &self.types
    }

    fn memory_bytes(&self) -> usize {
        self.memory_bytes
    }

    fn weight(&self, name: &str) -> Option<Tensor> {
        self.tensors.get(name).cloned()
    }

    fn run(&self, _inputs: Vec<Tensor>, _stop: &dyn Fn() -> bool) -> Result<Vec<Tensor>, RunError> {
        Err(RunError::InvalidArgument(
            "a safetensors file holds weights and no graph; take them by `weight`, and build a graph".to_owned(),
        ))
    }
}

fn parse(file: &[u8]) -> Result<SafeTensors<'_>, LoadError> {
    SafeTensors::deserialize(file).map_err(|cause| not_a_model(&cause))
}

fn not_a_model(cause: &safetensors::SafeTensorError) -> LoadError {
    LoadError::NotAModel(format!("the file is not safetensors, is damaged or cut short ({cause})"))
}

fn unsupported(name: &str, dtype: Dtype) -> LoadError {
    LoadError::Unsupported(format!(
        "tensor `{name}` is {dtype}, which kernels do not compute with; convert it to F32 or F16 and add the file again"
    ))
}

fn dtype_of(dtype: Dtype) -> Option<DType> {
    Some(match dtype {
        Dtype::BOOL => DType::Boolean,
        Dtype::F16 => DType::Float16,
        Dtype::F32 => DType::Float32,
        Dtype::F64 => DType::Float64,
        Dtype::I8 => DType::Int8,
        Dtype::I16 => DType::Int16,
        Dtype::I32 => DType::Int32,
        Dtype::I64 => DType::Int64,
        Dtype::U8 => DType::Uint8,
        Dtype::U16 => DType::Uint16,
        Dtype::U32 => DType::Uint32,
        Dtype::U64 => DType::Uint64,
        _ => return None,
    })
}

/// Which weight a tensor is: those of one file and name are one, whoever holds them.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub(crate) struct WeightName {
    pub(crate) file: Digest,
    pub(crate) name: String,
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A file of this header and so many bytes.
    fn file(header: &str, bytes: usize) -> Vec<u8> {
        [&(header.len() as u64).to_le_bytes()[..], header.as_bytes(), &vec![0; bytes]].concat()
    }

    fn refused(file: &[u8]) -> String {
        Weights::load(file, &Specialization::default()).map(drop).unwrap_err().to_string()
    }

    #[test]
    fn what_does_not_hold_is_refused_and_said() {
        let one = |dtype: &str, shape: &str, offsets: &str| {
            format!(r#"{{"a": {{"dtype": "{dtype}", "shape": {shape}, "data_offsets": {offsets}}}}}"#)
        };
        let two = r#"{"a": {"dtype": "F32", "shape": [2], "data_offsets": [0, 8]},
            "b": {"dtype": "F32", "shape": [2], "data_offsets": [4, 12]}}"#;
        let cases = [
            ("overlapping", file(two, 12), "is damaged"),
            ("beyond the end", file(&one("F32", "[2]", "[0, 8]"), 4), "is damaged"),
            ("backwards", file(&one("F32", "[1]", "[8, 4]"), 8), "is damaged"),
            ("after a hole", file(&one("F32", "[1]", "[4, 8]"), 8), "is damaged"),
            ("overflowing", file(&one("F32", "[4294967295, 4294967295, 4294967295]", "[0, 8]"), 8), "is damaged"),
            ("of another size", file(&one("F32", "[3]", "[0, 8]"), 8), "is damaged"),
            ("bytes left over", file(&one("F32", "[1]", "[0, 4]"), 8), "is damaged"),
            ("no header", file("{\"a\":", 0), "is damaged"),
            ("a header without end", [&u64::MAX.to_le_bytes()[..], b"{}"].concat(), "is damaged"),
            (
                "bfloat16",
                file(&one("BF16", "[2]", "[0, 4]"), 4),
                "tensor `a` is BF16, which kernels do not compute with",
            ),
            (
                "no boolean",
                [file(&one("BOOL", "[1]", "[0, 1]"), 0), vec![2]].concat(),
                "tensor `a`: element 0 of a boolean",
            ),
        ];
        for (name, file, expected) in cases {
            let message = refused(&file);
            assert!(message.contains(expected), "{name}: {message:?} does not say {expected:?}");
        }
    }

    #[test]
    fn what_holds_is_there_to_the_bit() {
        let header = r#"{"a": {"dtype": "F32", "shape": [1, 2], "data_offsets": [0, 8]},
            "b": {"dtype": "U8", "shape": [], "data_offsets": [8, 9]}, "c": {"dtype": "I64", "shape": [0], "data_offsets": [9, 9]}}"#;
        let bytes = [1, 0, 0x80, 0xff, 4, 5, 6, 7, 8];
        let weights = Weights::load(&[file(header, 0), bytes.to_vec()].concat(), &Specialization::default()).unwrap();
        let tensor = |name| weights.weight(name).unwrap();
        assert_eq!((tensor("a").shape(), tensor("a").as_bytes().unwrap()), (&[1, 2][..], &bytes[..8]));
        assert_eq!((tensor("b").shape(), tensor("b").as_bytes().unwrap()), (&[][..], &bytes[8..]));
        assert_eq!((tensor("c").shape(), tensor("c").dtype()), (&[0][..], DType::Int64));
        assert!(weights.weight("d").is_none());
    }
}
