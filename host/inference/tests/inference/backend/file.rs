//! ONNX's own tests, out of its package.

use std::collections::BTreeMap;
use std::fs::File;
use std::io::Read as _;
use std::path::Path;

use prost::Message as _;
use spillway_inference::{DType, Tensor};
use tract_onnx::pb::{ModelProto, NodeProto, TensorProto};
use zip::ZipArchive;

/// What `cargo xtask setup --tests` fetched.
const WHEEL: &str = "../../target/downloads/onnx-1.19.1-cp311-cp311-manylinux2014_x86_64.manylinux_2_17_x86_64.whl";
const FOLDER: &str = "onnx/backend/test/data/node/";

/// A test: a model, and what it has to give for what it is given.
pub(super) struct Case {
    pub(super) name: String,
    pub(super) nodes: Vec<NodeProto>,
    /// What has a name when the model begins: inputs and constants. What is no tensor of ours has a reason in place of one.
    pub(super) given: BTreeMap<String, Result<Tensor, String>>,
    pub(super) outputs: Vec<(String, Result<Tensor, String>)>,
}

/// All of them, by name.
pub(super) fn cases() -> Vec<Case> {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join(WHEEL);
    let file =
        File::open(&path).unwrap_or_else(|error| panic!("{error}; `cargo xtask setup --tests` fetches {path:?}"));
    let mut archive = ZipArchive::new(file).unwrap();
    let models: Vec<String> = archive.file_names().filter(|name| name.starts_with(FOLDER)).map(String::from).collect();
    let mut names: Vec<&str> = models.iter().filter_map(|name| name.strip_suffix("/model.onnx")).collect();
    names.sort_unstable();
    names.into_iter().map(|folder| read(&mut archive, folder)).collect()
}

fn read(archive: &mut ZipArchive<File>, folder: &str) -> Case {
    let mut bytes = |path: String| {
        let mut bytes = Vec::new();
        archive.by_name(&path).ok()?.read_to_end(&mut bytes).ok().map(|_| bytes)
    };
    let model = ModelProto::decode(&*bytes(format!("{folder}/model.onnx")).unwrap()).unwrap();
    let graph = model.graph.unwrap();
    let constants = graph.initializer.iter().map(|constant| (constant.name.clone(), tensor(constant)));
    let mut given: BTreeMap<_, _> = constants.collect();
    let mut recorded = |kind: &str, index: usize| {
        let bytes = bytes(format!("{folder}/test_data_set_0/{kind}_{index}.pb"));
        let read = bytes.map(|bytes| TensorProto::decode(&*bytes).map_err(|_| "no tensor".to_owned()));
        read.unwrap_or(Err("no tensor".into())).and_then(|read| tensor(&read))
    };
    let inputs = graph.input.iter().filter(|input| !given.contains_key(&input.name)).map(|input| input.name.clone());
    let inputs: Vec<_> = inputs.collect();
    let inputs = inputs.into_iter().enumerate().map(|(index, name)| (name, recorded("input", index)));
    given.extend(inputs.collect::<Vec<_>>());
    let outputs =
        graph.output.iter().enumerate().map(|(index, output)| (output.name.clone(), recorded("output", index)));
    let outputs = outputs.collect();
    Case { name: folder[FOLDER.len() + "test_".len()..].into(), nodes: graph.node, given, outputs }
}

pub(super) fn dtype(number: i32) -> Result<DType, String> {
    Ok(match number {
        1 => DType::Float32,
        2 => DType::Uint8,
        3 => DType::Int8,
        4 => DType::Uint16,
        5 => DType::Int16,
        6 => DType::Int32,
        7 => DType::Int64,
        9 => DType::Boolean,
        10 => DType::Float16,
        11 => DType::Float64,
        12 => DType::Uint32,
        13 => DType::Uint64,
        other => return Err(format!("type {other}")),
    })
}

pub(super) fn tensor(from: &TensorProto) -> Result<Tensor, String> {
    let dtype = dtype(from.data_type)?;
    let shape: Vec<usize> = from.dims.iter().map(|&length| length as usize).collect();
    let bytes = if !from.raw_data.is_empty() {
        from.raw_data.clone()
    } else {
        let small = from.int32_data.iter().flat_map(|x| x.to_le_bytes()[..dtype.size_bytes().min(4)].to_vec());
        let floats = from.float_data.iter().flat_map(|x| x.to_le_bytes());
        let doubles = from.double_data.iter().flat_map(|x| x.to_le_bytes());
        let large = from.int64_data.iter().flat_map(|x| x.to_le_bytes());
        let unsigned = from.uint64_data.iter().flat_map(|x| x.to_le_bytes()[..dtype.size_bytes()].to_vec());
        small.chain(floats).chain(doubles).chain(large).chain(unsigned).collect()
    };
    Tensor::from_bytes(dtype, &shape, &bytes).map_err(|error| error.to_string())
}
