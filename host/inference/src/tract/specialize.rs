//! Fits a model file to what the manifest fixes about it, before tract sees it: lengths of input axes, and inputs that
//! become constants.
//!
//! Done on the file's own terms (ONNX IR, "Static tensor shapes" and "Initializers"), so that everything after it works
//! as if the model had been exported so.

use std::collections::BTreeMap;

use spillway_types::{Scalar, Specialization};
use tract_onnx::pb::tensor_shape_proto::{Dimension, dimension::Value};
use tract_onnx::pb::{GraphProto, ModelProto, TensorProto, TensorShapeProto, tensor_proto, type_proto};
use tract_onnx::prelude::{DatumType, Tensor, tensor0};

use crate::tensor::{datum_type, dtype_of};
use crate::{DType, LoadError, byte_length};

/// The most that one constant may take. It is written out in full, and a manifest of one line should not cost gigabytes.
const LARGEST_CONSTANT: usize = 16 << 20;

/// Fixes in `proto` what `specialization` says.
///
/// # Errors
/// [`LoadError::Specialization`] when it does not fit the model's inputs.
pub(super) fn specialize(proto: &mut ModelProto, specialization: &Specialization) -> Result<(), LoadError> {
    let Some(graph) = proto.graph.as_mut().filter(|_| !specialization.is_empty()) else { return Ok(()) };
    for (key, name) in specialization
        .shapes
        .keys()
        .map(|name| ("shapes", name))
        .chain(specialization.constants.keys().map(|name| ("constants", name)))
    {
        require_input(graph, key, name)?;
    }
    fix_shapes(graph, &specialization.shapes)?;
    for (name, value) in &specialization.constants {
        fix_value(graph, name, *value)?;
    }
    // What the exporter noted about values in between holds for free axes; tract would take it for a contradiction.
    graph.value_info.clear();
    Ok(())
}

fn refuse<T>(message: String) -> Result<T, LoadError> {
    Err(LoadError::Specialization(message))
}

fn require_input(graph: &GraphProto, key: &str, name: &str) -> Result<(), LoadError> {
    let is_given = |name: &str| graph.initializer.iter().any(|tensor| tensor.name == name);
    let inputs: Vec<_> = graph.input.iter().map(|input| &input.name).filter(|input| !is_given(input)).collect();
    if inputs.iter().any(|input| *input == name) {
        return Ok(());
    }
    let inputs = inputs.iter().map(|input| format!("`{input}`")).collect::<Vec<_>>().join(", ");
    refuse(format!("`{key}` names `{name}`, but the model has no such input; its inputs are {inputs}"))
}

/// Axes of one name have one length wherever they are, so fixing one fixes them all.
fn fix_shapes(graph: &mut GraphProto, shapes: &BTreeMap<String, Vec<u32>>) -> Result<(), LoadError> {
    // By the name of a free axis: its length, and the input that said so.
    let mut lengths: BTreeMap<String, (u32, &str)> = BTreeMap::new();
    for (name, shape) in shapes {
        let declared = declared_type(graph, name)?;
        for (axis, dimension) in declared.shape.iter().flat_map(|shape| &shape.dim).enumerate().take(shape.len()) {
            let length = shape[axis];
            match &dimension.value {
                Some(Value::DimValue(declared)) if *declared > 0 && *declared != i64::from(length) => {
                    return refuse(format!(
                        "axis {axis} of input `{name}` is {declared} in the model, but `shapes` says {length}"
                    ));
                }
                Some(Value::DimParam(symbol)) if !symbol.is_empty() => {
                    let (expected, by) = *lengths.entry(symbol.clone()).or_insert((length, name));
                    if expected != length {
                        return refuse(format!(
                            "axis {axis} of input `{name}` is `{symbol}` in the model, and so is an axis of input \
                             `{by}`; `shapes` says {length} here and {expected} there"
                        ));
                    }
                }
                Some(_) | None => {}
            }
        }
        if let Some(axes) = declared.shape.as_ref().map(|shape| shape.dim.len()).filter(|axes| *axes != shape.len()) {
            return refuse(format!("input `{name}` has {axes} axes in the model, but `shapes` gives {}", shape.len()));
        }
        let dtype = dtype(declared, name)?;
        let lengths: Vec<_> = shape.iter().map(|&length| length as usize).collect();
        byte_length(dtype, &lengths)
            .map_err(|error| LoadError::Specialization(format!("`shapes` of input `{name}`: {error}")))?;
        declared.shape = Some(TensorShapeProto { dim: shape.iter().copied().map(fixed).collect() });
    }
    for input in &mut graph.input {
        let Some(type_proto::Value::TensorType(of)) = input.r#type.as_mut().and_then(|of| of.value.as_mut()) else {
            continue;
        };
        for dimension in of.shape.iter_mut().flat_map(|shape| &mut shape.dim) {
            if let Some(Value::DimParam(symbol)) = &dimension.value
                && let Some((length, _)) = lengths.get(symbol)
            {
                *dimension = fixed(*length);
            }
        }
    }
    Ok(())
}

fn fixed(length: u32) -> Dimension {
    Dimension { value: Some(Value::DimValue(i64::from(length))), denotation: String::new() }
}

/// Turns an input into an initializer, filled with `value`.
fn fix_value(graph: &mut GraphProto, name: &str, value: Scalar) -> Result<(), LoadError> {
    let declared = declared_type(graph, name)?;
    let (data_type, dtype) = (declared.elem_type, dtype(declared, name)?);
    let Some(shape) = &declared.shape else {
        return refuse(format!("input `{name}` declares no shape; give it one under `shapes` as well"));
    };
    let dims = shape.dim.iter().map(|dimension| match dimension.value {
        Some(Value::DimValue(length)) => usize::try_from(length).ok(),
        Some(Value::DimParam(_)) | None => None,
    });
    let Some(dims) = dims.collect::<Option<Vec<_>>>() else {
        return refuse(format!("input `{name}` has free axes; fix them under `shapes` as well"));
    };
    let bytes = byte_length(dtype, &dims).ok().filter(|bytes| *bytes <= LARGEST_CONSTANT);
    let Some(bytes) = bytes else {
        return refuse(format!(
            "a constant of type {dtype} and shape {dims:?} is too large for input `{name}`; at most {LARGEST_CONSTANT} \
             bytes are filled"
        ));
    };
    let element = element(value, dtype).ok_or_else(|| {
        let wanted = match dtype {
            DType::Boolean => "true or false",
            DType::Float16 | DType::Float32 | DType::Float64 => "a number in its range",
            _ => "a whole number in its range",
        };
        LoadError::Specialization(format!("input `{name}` is of type {dtype}; its constant must be {wanted}"))
    })?;
    let dims = dims.into_iter().map(|length| length as i64).collect();
    graph.initializer.push(TensorProto {
        name: name.to_owned(),
        data_type,
        dims,
        raw_data: element.as_bytes().iter().copied().cycle().take(bytes).collect(),
        ..TensorProto::default()
    });
    graph.input.retain(|input| input.name != name);
    Ok(())
}

/// `value` as one element of `dtype`: floats are rounded to the nearest, all else must be there exactly.
fn element(value: Scalar, dtype: DType) -> Option<Tensor> {
    let to = datum_type(dtype);
    let is_float = matches!(dtype, DType::Float16 | DType::Float32 | DType::Float64);
    let cast = |tensor: &Tensor| tensor.cast_to_dt(to).ok().map(std::borrow::Cow::into_owned);
    match value {
        Scalar::Boolean(flag) => (dtype == DType::Boolean).then(|| tensor0(flag)),
        Scalar::Integer(_) | Scalar::Float(_) if dtype == DType::Boolean => None,
        Scalar::Integer(number) if is_float => nearest(number as f64, to),
        Scalar::Integer(number) => {
            let element = cast(&tensor0(number))?;
            // An unsigned 64-bit number above the signed range comes back negative, and such cannot be written.
            (!(to == DatumType::U64 && number < 0) && element.cast_to_scalar::<i64>().ok()? == number)
                .then_some(element)
        }
        Scalar::Float(bits) => is_float.then(|| nearest(f64::from_bits(bits), to)).flatten(),
    }
}

fn nearest(number: f64, to: DatumType) -> Option<Tensor> {
    let element = tensor0(number).cast_to_dt(to).ok()?.into_owned();
    (!number.is_finite() || element.cast_to_scalar::<f64>().ok()?.is_finite()).then_some(element)
}

/// What the file says about input `name`, which is there.
fn declared_type<'a>(graph: &'a mut GraphProto, name: &str) -> Result<&'a mut type_proto::Tensor, LoadError> {
    let input = graph.input.iter_mut().find(|input| input.name == name);
    match input.and_then(|input| input.r#type.as_mut()).and_then(|of| of.value.as_mut()) {
        Some(type_proto::Value::TensorType(declared)) => Ok(declared),
        None => refuse(format!("input `{name}` is no tensor")),
    }
}

fn dtype(declared: &type_proto::Tensor, name: &str) -> Result<DType, LoadError> {
    let known = tensor_proto::DataType::try_from(declared.elem_type).ok();
    let known = known.and_then(|data_type| DatumType::try_from(data_type).ok()).and_then(dtype_of);
    match known {
        Some(dtype) => Ok(dtype),
        None => refuse(format!("input `{name}` is of a type that tensors do not have")),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn bytes(value: Scalar, dtype: DType) -> Option<Vec<u8>> {
        element(value, dtype).map(|element| element.as_bytes().to_vec())
    }

    #[test]
    fn a_whole_number_becomes_any_type_that_has_it() {
        let number = Scalar::Integer;
        assert_eq!(bytes(number(16_000), DType::Int64), Some(16_000i64.to_le_bytes().to_vec()));
        assert_eq!(bytes(number(-128), DType::Int8), Some(vec![0x80]));
        assert_eq!(bytes(number(255), DType::Uint8), Some(vec![255]));
        assert_eq!(bytes(number(i64::MAX), DType::Uint64), Some(i64::MAX.to_le_bytes().to_vec()));
        assert_eq!(bytes(number(2), DType::Float32), Some(2.0f32.to_le_bytes().to_vec()));
        // IEEE 754 binary16: sign 0, exponent 15, no fraction.
        assert_eq!(bytes(number(1), DType::Float16), Some(0x3c00u16.to_le_bytes().to_vec()));
        for (value, dtype) in [
            (128, DType::Int8),
            (-1, DType::Uint8),
            (-1, DType::Uint64),
            (1 << 31, DType::Int32),
            (1 << 32, DType::Uint32),
            (1, DType::Boolean),
            (65_536, DType::Float16),
        ] {
            assert_eq!(bytes(number(value), dtype), None, "{value} as {dtype}");
        }
    }

    #[test]
    fn a_float_is_rounded_but_never_made_whole_or_infinite() {
        let number = Scalar::from_f64;
        assert_eq!(bytes(number(0.1), DType::Float32), Some(0.1f32.to_le_bytes().to_vec()));
        assert_eq!(bytes(number(f64::INFINITY), DType::Float32), Some(f32::INFINITY.to_le_bytes().to_vec()));
        for (value, dtype) in
            [(1.0, DType::Int64), (1e39, DType::Float32), (1e5, DType::Float16), (0.0, DType::Boolean)]
        {
            assert_eq!(bytes(number(value), dtype), None, "{value} as {dtype}");
        }
    }

    #[test]
    fn a_truth_value_is_a_boolean_only() {
        assert_eq!(bytes(Scalar::Boolean(true), DType::Boolean), Some(vec![1]));
        assert_eq!(bytes(Scalar::Boolean(true), DType::Uint8), None);
    }
}
