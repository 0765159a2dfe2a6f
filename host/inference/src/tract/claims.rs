//! What an ONNX file claims about its tensors, held against what it holds: no other file, no shape beyond memory, no more
//! and no less data than the shape wants. In attributes, branches and sparse tensors as well.

use std::collections::BTreeSet;

use tract_onnx::pb::tensor_proto::{DataLocation, DataType};
use tract_onnx::pb::tensor_shape_proto::dimension::Value;
use tract_onnx::pb::{GraphProto, SparseTensorProto, TensorProto, ValueInfoProto, type_proto};

use crate::{DType, LoadError, byte_length};

/// No exporter writes longer names; each is repeated in messages and listings.
const LONGEST_NAME: usize = 4096;

/// Expressions over lengths are parsed by recursion.
const LONGEST_AXIS: usize = 256;

/// Checks `graph` and all that it contains. The recursion is bounded by the depth to which protobuf is decoded.
pub(super) fn check(graph: &GraphProto) -> Result<(), LoadError> {
    check_names([&graph.name])?;
    for tensor in &graph.initializer {
        check_tensor(tensor, &tensor.name)?;
    }
    for tensor in &graph.sparse_initializer {
        check_sparse(tensor)?;
    }
    for value in graph.input.iter().chain(&graph.output).chain(&graph.value_info) {
        check_value(value)?;
    }
    let mut computed = BTreeSet::new();
    for output in graph.node.iter().flat_map(|node| &node.output).filter(|output| !output.is_empty()) {
        if !computed.insert(output) {
            let short: String = output.chars().take(80).collect();
            return Err(LoadError::NotAModel(format!("`{short}` is computed twice in one graph")));
        }
    }
    for node in &graph.node {
        let names = [&node.name, &node.op_type, &node.domain];
        check_names(names.into_iter().chain(&node.input).chain(&node.output))?;
        for attribute in &node.attribute {
            check_names([&attribute.name])?;
            let of = format!("{} of node `{}`", attribute.name, node.name);
            for tensor in attribute.t.iter().chain(&attribute.tensors) {
                check_tensor(tensor, &of)?;
            }
            for tensor in attribute.sparse_tensor.iter().chain(&attribute.sparse_tensors) {
                check_sparse(tensor)?;
            }
            for inner in attribute.g.iter().chain(&attribute.graphs) {
                check(inner)?;
            }
        }
    }
    Ok(())
}

fn check_sparse(tensor: &SparseTensorProto) -> Result<(), LoadError> {
    let parts = tensor.values.iter().chain(&tensor.indices);
    parts.into_iter().try_for_each(|part| check_tensor(part, &part.name))
}

fn check_tensor(tensor: &TensorProto, of: &str) -> Result<(), LoadError> {
    check_names([&tensor.name])?;
    let is_elsewhere = tensor.data_location == Some(DataLocation::External as i32) || !tensor.external_data.is_empty();
    if is_elsewhere {
        return Err(LoadError::Unsupported(format!(
            "the weights `{of}` are in another file; save the model as one file"
        )));
    }
    let refuse = |what: String| Err(LoadError::NotAModel(format!("the weights `{of}` {what}")));
    let Ok(dims) = tensor.dims.iter().map(|length| usize::try_from(*length)).collect::<Result<Vec<_>, _>>() else {
        return refuse(format!("declare an axis of negative length: {:?}", tensor.dims));
    };
    let Ok(data_type) = DataType::try_from(tensor.data_type) else {
        return refuse(format!("are of the type {}, which ONNX does not have", tensor.data_type));
    };
    // The shape of strings and rarer types is checked as if they were bytes: it must fit in memory.
    let dtype = dtype_of(data_type);
    let bytes = match byte_length(dtype.unwrap_or(DType::Uint8), &dims) {
        Ok(bytes) => bytes,
        Err(cause) => return refuse(format!("declare what no memory holds: {cause}")),
    };
    let Some(dtype) = dtype else { return Ok(()) };
    let elements = bytes / dtype.size_bytes();
    let raw = tensor.raw_data.len();
    if raw > 0 && raw != bytes {
        return refuse(format!("are declared as {dtype} {dims:?}, {bytes} bytes, and hold {raw}"));
    }
    let given = match dtype {
        DType::Float32 => tensor.float_data.len(),
        DType::Float64 => tensor.double_data.len(),
        DType::Int64 => tensor.int64_data.len(),
        DType::Uint32 | DType::Uint64 => tensor.uint64_data.len(),
        _ => tensor.int32_data.len(),
    };
    if raw == 0 && given != elements {
        return refuse(format!("are declared as {dtype} {dims:?}, {elements} elements, and hold {given}"));
    }
    Ok(())
}

fn check_value(value: &ValueInfoProto) -> Result<(), LoadError> {
    check_names([&value.name])?;
    let Some(type_proto::Value::TensorType(tensor)) = value.r#type.as_ref().and_then(|of| of.value.as_ref()) else {
        return Ok(());
    };
    let axes = tensor.shape.iter().flat_map(|shape| &shape.dim).filter_map(|axis| axis.value.as_ref());
    let mut fixed = Vec::new();
    for axis in axes {
        match axis {
            Value::DimParam(expression) if expression.len() > LONGEST_AXIS => {
                return Err(LoadError::NotAModel(format!(
                    "the name of an axis of `{}` has {} bytes, more than {LONGEST_AXIS}",
                    value.name,
                    expression.len()
                )));
            }
            Value::DimParam(_) => {}
            // Exporters write -1 for a free axis, which is wrong and harmless.
            Value::DimValue(length) => fixed.extend(usize::try_from(*length).ok().filter(|length| *length > 0)),
        }
    }
    match byte_length(DType::Uint8, &fixed) {
        Ok(_) => Ok(()),
        Err(cause) => Err(LoadError::NotAModel(format!("`{}` declares what no memory holds: {cause}", value.name))),
    }
}

fn check_names<'a>(names: impl IntoIterator<Item = &'a String>) -> Result<(), LoadError> {
    match names.into_iter().find(|name| name.len() > LONGEST_NAME) {
        None => Ok(()),
        Some(name) => {
            let start: String = name.chars().take(40).collect();
            let length = name.len();
            Err(LoadError::NotAModel(format!("the name `{start}…` has {length} bytes, more than {LONGEST_NAME}")))
        }
    }
}

fn dtype_of(data_type: DataType) -> Option<DType> {
    Some(match data_type {
        DataType::Float => DType::Float32,
        DataType::Double => DType::Float64,
        DataType::Float16 => DType::Float16,
        DataType::Int8 => DType::Int8,
        DataType::Int16 => DType::Int16,
        DataType::Int32 => DType::Int32,
        DataType::Int64 => DType::Int64,
        DataType::Uint8 => DType::Uint8,
        DataType::Uint16 => DType::Uint16,
        DataType::Uint32 => DType::Uint32,
        DataType::Uint64 => DType::Uint64,
        DataType::Bool => DType::Boolean,
        _ => return None,
    })
}
