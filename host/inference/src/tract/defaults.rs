//! Writes into a graph what ONNX says is meant where nothing is written, and tract takes for something else.

use tract_onnx::pb::{AttributeProto, GraphProto, TensorProto, attribute_proto::AttributeType, tensor_proto::DataType};

/// Completes `graph` and the branches and loops inside it. The recursion is bounded by the depth to which protobuf is
/// decoded.
///
/// `ConstantOfShape` without a value is full of zeros of `float32` (ONNX, operator set 9); in tract 0.23.9 they are
/// `float64`.
pub(super) fn complete(graph: &mut GraphProto) {
    for node in &mut graph.node {
        if node.op_type == "ConstantOfShape" && node.attribute.iter().all(|attribute| attribute.name != "value") {
            let zero = TensorProto {
                data_type: DataType::Float as i32,
                dims: vec![1],
                float_data: vec![0.0],
                ..TensorProto::default()
            };
            node.attribute.push(AttributeProto {
                name: "value".into(),
                r#type: AttributeType::Tensor as i32,
                t: Some(zero),
                ..AttributeProto::default()
            });
        }
        for attribute in &mut node.attribute {
            attribute.g.iter_mut().chain(&mut attribute.graphs).for_each(complete);
        }
    }
}
