//! The host of a native test: the manifest of the crate under test, the node's inference, and memory.

use std::collections::{BTreeMap, HashMap};
use std::fs;
use std::path::PathBuf;
use std::sync::{Arc, LazyLock, Mutex, MutexGuard};

use log::Level;
use spillway_inference as inference;
use spillway_types::{Digest, Manifest, Origin};

use super::graphs;
use super::operators::Operator;
use super::{HostError, HostErrorCode, TensorType};
use crate::DType;

/// One node's worth of state for the whole test process, so that a model loads once.
static NODE: LazyLock<Result<Node, String>> = LazyLock::new(Node::start);

struct Node {
    /// Where `spillway.toml` stands, which paths in it are relative to.
    folder: PathBuf,
    manifest: Manifest,
    models: inference::Models,
    buckets: Mutex<HashMap<String, Keys>>,
}

type Keys = BTreeMap<String, Vec<u8>>;

impl Node {
    fn start() -> Result<Self, String> {
        let folder =
            std::env::var_os("CARGO_MANIFEST_DIR").ok_or("CARGO_MANIFEST_DIR is not set; run tests with cargo")?;
        let folder = PathBuf::from(folder);
        let file = folder.join("spillway.toml");
        let text = fs::read_to_string(&file).map_err(|error| format!("cannot read {}: {error}", file.display()))?;
        let manifest =
            Manifest::parse(&text, Origin::Source).map_err(|error| format!("{}: {error}", file.display()))?;
        let threads =
            inference::KernelThreads::one_per_core().map_err(|error| format!("cannot start threads: {error}"))?;
        let models = inference::Models::new(Arc::new(inference::TractEngine), Arc::new(threads));
        Ok(Self { folder, manifest, models, buckets: Mutex::default() })
    }
}

fn node() -> Result<&'static Node, HostError> {
    NODE.as_ref().map_err(|message| failed(message.clone()))
}

fn failed(message: impl Into<String>) -> HostError {
    HostError::new(HostErrorCode::Failed, message)
}

pub(crate) struct Tensor(inference::Tensor);

impl Tensor {
    pub(crate) fn create(dtype: DType, shape: &[u32], bytes: &[u8]) -> Result<Self, HostError> {
        let shape: Vec<_> = shape.iter().map(|&axis| axis as usize).collect();
        let tensor = inference::Tensor::from_bytes(dtype.into(), &shape, bytes);
        tensor.map(Self).map_err(|error| HostError::invalid(error.to_string()))
    }

    pub(crate) fn read(&self) -> Vec<u8> {
        self.0.to_row_major().as_bytes().unwrap_or_default().to_vec()
    }

    pub(crate) fn read_range(&self, offset: u64, length: u64) -> Result<Vec<u8>, HostError> {
        let (Ok(start), Ok(length)) = (usize::try_from(offset), usize::try_from(length)) else {
            return Err(HostError::invalid("the range is past the end of the tensor"));
        };
        let range = start..start.saturating_add(length);
        let tensor = self.0.to_row_major();
        let bytes = tensor.as_bytes().and_then(|bytes| bytes.get(range));
        let bytes = bytes.ok_or_else(|| HostError::invalid("the range is past the end of the tensor"))?;
        Ok(bytes.to_vec())
    }

    pub(crate) fn dtype(&self) -> DType {
        self.0.dtype().into()
    }

    pub(crate) fn shape(&self) -> Vec<usize> {
        self.0.shape().to_vec()
    }

    pub(crate) async fn compute(operator: Operator, inputs: &[&crate::Tensor]) -> Result<Self, HostError> {
        let inputs = inputs.iter().map(|tensor| tensor.handle.0.clone()).collect();
        let kernel = inference::Kernel::new(operator, inputs)?;
        Ok(Self(kernel.run(node()?.models.threads(), None).await?))
    }
}

pub(crate) struct Model(Arc<inference::Model>);

impl Model {
    pub(crate) async fn open(name: &str) -> Result<Self, HostError> {
        let node = node()?;
        let grant = node.manifest.models.iter().find(|(granted, _)| granted.as_str() == name).map(|(_, grant)| grant);
        let grant = grant.ok_or_else(|| {
            let words = format!("model `{name}` is not granted; add [models.{name}] to spillway.toml");
            HostError::new(HostErrorCode::NotGranted, words)
        })?;
        let path = grant.path.as_ref().ok_or_else(|| {
            failed(format!("[models.{name}] in spillway.toml has no `path`; a native test needs the file"))
        })?;
        let file = node.folder.join(path);
        let digest = match grant.digest {
            Some(digest) => digest,
            None => {
                let bytes =
                    fs::read(&file).map_err(|error| failed(format!("cannot read {}: {error}", file.display())))?;
                Digest::of(&bytes)
            }
        };
        let source =
            inference::ModelSource { digest, specialization: grant.specialization.clone(), file: file.clone() };
        let model = node.models.open(source).await;
        model.map(Self).map_err(|error| failed(format!("{error} ({})", file.display())))
    }

    pub(crate) fn inputs(&self) -> Vec<TensorType> {
        self.0.inputs().iter().map(Into::into).collect()
    }

    pub(crate) fn outputs(&self) -> Vec<TensorType> {
        self.0.outputs().iter().map(Into::into).collect()
    }

    pub(crate) async fn run(&self, inputs: Vec<(String, &Tensor)>) -> Result<Vec<Tensor>, HostError> {
        let inputs = inputs.into_iter().map(|(name, tensor)| (name, tensor.0.clone())).collect();
        // Without a deadline: a debugger may stop the test anywhere.
        Ok(self.0.run(inputs, None).await?.outputs.into_iter().map(Tensor).collect())
    }

    pub(crate) async fn weight(&self, name: &str) -> Result<Tensor, HostError> {
        Ok(Tensor(self.0.weight(name, None).await?))
    }
}

pub(crate) fn infer(
    operator: Operator,
    inputs: Vec<graphs::OperandDescriptor>,
) -> Result<graphs::OperandDescriptor, HostError> {
    Ok(inference::infer(operator, &inputs)?)
}

pub(crate) struct Graph(Arc<inference::Graph>);

impl Graph {
    pub(crate) async fn build(definition: graphs::Definition, constants: &[&Tensor]) -> Result<Self, HostError> {
        let constants = constants.iter().map(|tensor| tensor.0.clone()).collect();
        let graph = node()?.models.graphs().build(definition, constants, &|_| Ok(()), &|| false);
        Ok(Self(graph?))
    }

    pub(crate) async fn dispatch(&self, inputs: &[&Tensor]) -> Result<Vec<Tensor>, HostError> {
        let inputs: Vec<_> = inputs.iter().map(|tensor| tensor.0.clone()).collect();
        self.0.check(&inputs)?;
        let outputs = self.0.clone().run(inputs, node()?.models.threads(), None, ()).await?;
        Ok(outputs.into_iter().map(Tensor).collect())
    }
}

pub(crate) struct Bucket(String);

impl Bucket {
    pub(crate) fn open(name: &str) -> Result<Self, HostError> {
        if node()?.manifest.capabilities.keyvalue.iter().any(|granted| granted == name) {
            return Ok(Self(name.to_owned()));
        }
        let words = format!("bucket `{name}` is not granted; add it to keyvalue under [capabilities] in spillway.toml");
        Err(HostError::new(HostErrorCode::NotGranted, words))
    }

    pub(crate) fn get(&self, key: &str) -> Result<Option<Vec<u8>>, HostError> {
        self.with(|keys| keys.get(key).cloned())
    }

    pub(crate) fn set(&self, key: &str, value: &[u8]) -> Result<(), HostError> {
        self.with(|keys| {
            keys.insert(key.to_owned(), value.to_vec());
        })
    }

    pub(crate) fn delete(&self, key: &str) -> Result<(), HostError> {
        self.with(|keys| {
            keys.remove(key);
        })
    }

    pub(crate) fn exists(&self, key: &str) -> Result<bool, HostError> {
        self.with(|keys| keys.contains_key(key))
    }

    pub(crate) fn keys(&self, _: Option<u64>) -> Result<(Vec<String>, Option<u64>), HostError> {
        self.with(|keys| (keys.keys().cloned().collect(), None))
    }

    pub(crate) fn increment(&self, key: &str, delta: u64) -> Result<u64, HostError> {
        self.with(|keys| {
            let text = keys.get(key).map_or(Ok("0"), |value| std::str::from_utf8(value));
            let sum = text.ok().and_then(|text| text.parse::<u64>().ok()).and_then(|value| value.checked_add(delta));
            let sum =
                sum.ok_or_else(|| failed(format!("the value under `{key}` is no number that can grow by {delta}")))?;
            keys.insert(key.to_owned(), sum.to_string().into_bytes());
            Ok(sum)
        })?
    }

    fn with<T>(&self, act: impl FnOnce(&mut Keys) -> T) -> Result<T, HostError> {
        let mut buckets: MutexGuard<'_, _> = node()?.buckets.lock().expect("nothing panics while it holds the buckets");
        Ok(act(buckets.entry(self.0.clone()).or_default()))
    }
}

pub(crate) fn config(key: &str) -> Result<Option<String>, HostError> {
    Ok(node()?.manifest.config.get(key).cloned())
}

pub(crate) fn log(level: Level, target: &str, message: &str) {
    // tract tells of each step of each run.
    if !target.starts_with("tract") {
        eprintln!("{level} {target}: {message}");
    }
}

impl From<inference::RunError> for HostError {
    fn from(error: inference::RunError) -> Self {
        let code = match error {
            inference::RunError::InvalidArgument(_) => HostErrorCode::InvalidArgument,
            inference::RunError::DeadlineExceeded => HostErrorCode::DeadlineExceeded,
            inference::RunError::EngineFailed(_) | inference::RunError::LoadFailed(_) => HostErrorCode::Failed,
            inference::RunError::TooMuchMemory { .. } | inference::RunError::OutOfMemory(_) => {
                HostErrorCode::OutOfMemory
            }
        };
        Self::new(code, error.to_string())
    }
}

impl From<&inference::TensorType> for TensorType {
    fn from(ty: &inference::TensorType) -> Self {
        Self { name: ty.name.clone(), dtype: ty.dtype.into(), shape: ty.shape.clone() }
    }
}
