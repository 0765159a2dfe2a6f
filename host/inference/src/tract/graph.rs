//! Reads an ONNX file into tract's graph, and refuses early what tract would refuse late or in its own words.

use std::collections::BTreeSet;

use spillway_types::Specialization;
use tract_onnx::Onnx;
use tract_onnx::pb::{GraphProto, ModelProto, ValueInfoProto, tensor_shape_proto::dimension::Value, type_proto};
use tract_onnx::prelude::{Framework, InferenceModel};

use super::branches::fold_branches;
use super::defaults::complete;
use super::specialize::specialize;
use super::{claims, explain, listed};
use crate::LoadError;

/// A parsed graph, not yet typed.
pub(super) struct Graph {
    pub(super) model: InferenceModel,
    /// In the model's order, without the inputs that the file itself gives a value.
    pub(super) input_names: Vec<String>,
    pub(super) outputs: Vec<DeclaredOutput>,
}

/// What the file says about an output.
pub(super) struct DeclaredOutput {
    pub(super) name: String,
    /// Often absent, and sometimes wrong: the exporter wrote it, nobody checked it.
    pub(super) shape: Option<Vec<Option<usize>>>,
}

impl Graph {
    pub(super) fn read(file: Vec<u8>, specialization: &Specialization) -> Result<Self, LoadError> {
        let onnx = tract_onnx::onnx();
        let mut proto = decode(&file, &onnx)?;
        drop(file);
        // Before anything is made of the graph, and once more below, when lengths have been fixed.
        if let Some(graph) = &proto.graph {
            claims::check(graph)?;
        }
        proto.graph.iter_mut().for_each(complete);
        specialize(&mut proto, specialization)?;
        fold_branches(&mut proto, &onnx);
        let graph = check(&proto, &onnx)?;
        let is_given = |name: &str| graph.initializer.iter().any(|tensor| tensor.name == name);
        let input_names =
            graph.input.iter().filter(|input| !is_given(&input.name)).map(|input| input.name.clone()).collect();
        let outputs = graph.output.iter().map(DeclaredOutput::read).collect();
        let parsed = onnx.parse(&proto, None).map_err(|cause| LoadError::Unsupported(explain(&cause)))?;
        if let Some(name) = parsed.unresolved_inputs.first() {
            return Err(LoadError::NotAModel(format!("a node reads `{name}`, which nothing in the graph computes")));
        }
        Ok(Self { model: parsed.model, input_names, outputs })
    }
}

/// The file's messages, with claims that hold. Nothing has been made of them yet.
pub(super) fn decode(mut file: &[u8], onnx: &Onnx) -> Result<ModelProto, LoadError> {
    let proto = onnx.proto_model_for_read(&mut file).map_err(|cause| {
        // Deep down in the message, behind one word for each level.
        if format!("{cause:#}").contains("recursion limit") {
            return LoadError::NotAModel("its graphs are nested too deeply (past protobuf's limit)".into());
        }
        LoadError::NotAModel(format!("the file is not ONNX, or is cut short ({})", explain(&cause)))
    })?;
    // Before anything is made of the graph; `check` does it once more, when lengths have been fixed.
    if let Some(graph) = &proto.graph {
        claims::check(graph)?;
    }
    Ok(proto)
}

impl DeclaredOutput {
    fn read(proto: &ValueInfoProto) -> Self {
        let value = proto.r#type.as_ref().and_then(|of| of.value.as_ref());
        let shape = value.and_then(|type_proto::Value::TensorType(tensor)| tensor.shape.as_ref());
        let length = |value: &Option<Value>| match value {
            Some(Value::DimValue(length)) => usize::try_from(*length).ok(),
            Some(Value::DimParam(_)) | None => None,
        };
        let shape = shape.map(|shape| shape.dim.iter().map(|axis| length(&axis.value)).collect());
        Self { name: proto.name.clone(), shape }
    }
}

/// Any bytes at all may parse as protobuf, so what follows must hold before tract relies on it.
fn check<'a>(proto: &'a ModelProto, onnx: &Onnx) -> Result<&'a GraphProto, LoadError> {
    let refuse = |message: String| Err(LoadError::NotAModel(message));
    let Some(graph) = &proto.graph else {
        return refuse("the file holds no ONNX graph".into());
    };
    if graph.output.is_empty() {
        return refuse("the graph has no output".into());
    }
    let computed = graph.node.iter().flat_map(|node| node.output.iter());
    let known: BTreeSet<_> = computed
        .chain(graph.input.iter().map(|input| &input.name))
        .chain(graph.initializer.iter().map(|tensor| &tensor.name))
        .collect();
    if let Some(output) = graph.output.iter().find(|output| !known.contains(&output.name)) {
        return refuse(format!("nothing in the graph computes its output `{}`", output.name));
    }
    claims::check(graph)?;
    let mut missing = BTreeSet::new();
    collect_missing(graph, onnx, &mut missing);
    if !missing.is_empty() {
        return Err(LoadError::Unsupported(format!(
            "the engine `tract` has no operator {}; export the model with standard ONNX operators",
            listed(&missing)
        )));
    }
    Ok(graph)
}

/// Operators that tract does not know, in `graph` and the branches and loops inside it. The recursion is bounded by the
/// depth to which protobuf is decoded.
fn collect_missing(graph: &GraphProto, onnx: &Onnx, missing: &mut BTreeSet<String>) {
    for node in &graph.node {
        if !onnx.op_register.0.contains_key(&node.op_type) {
            let domain = if node.domain.is_empty() { String::new() } else { format!("{}.", node.domain) };
            missing.insert(format!("`{domain}{}`", node.op_type));
        }
        for attribute in &node.attribute {
            for inner in attribute.g.iter().chain(&attribute.graphs) {
                collect_missing(inner, onnx, missing);
            }
        }
    }
}
