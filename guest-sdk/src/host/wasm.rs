//! The host behind the component's imports.

use log::Level;

use super::{HostError, HostErrorCode, TensorType};
use crate::DType;
use crate::wasi::bindings::spillway::tensor::tensors::ErrorCode as Code;
use crate::wasi::bindings::spillway::tensor::{graph_execution, inference, kernels, models, tensors};
pub(crate) use crate::wasi::bindings::spillway::tensor::{graphs, operators};
use crate::wasi::bindings::wasi::config::store as config_store;
use crate::wasi::bindings::wasi::keyvalue::{atomics, store};
use crate::wasi::bindings::wasi::logging::logging;

pub(crate) struct Tensor(tensors::Tensor);

impl Tensor {
    pub(crate) fn create(dtype: DType, shape: &[u32], bytes: &[u8]) -> Result<Self, HostError> {
        Ok(Self(tensors::Tensor::create(dtype.into(), shape, bytes)?))
    }

    pub(crate) fn read(&self) -> Vec<u8> {
        self.0.read()
    }

    pub(crate) fn read_range(&self, offset: u64, length: u64) -> Result<Vec<u8>, HostError> {
        Ok(self.0.read_range(offset, length)?)
    }

    pub(crate) fn dtype(&self) -> DType {
        self.0.dtype().into()
    }

    pub(crate) fn shape(&self) -> Vec<usize> {
        self.0.shape().into_iter().map(|axis| axis as usize).collect()
    }

    pub(crate) async fn compute(operator: operators::Operator, inputs: &[&crate::Tensor]) -> Result<Self, HostError> {
        // Most have one or two inputs, and are short: for those nothing is allocated here.
        let all = || inputs.iter().map(|tensor| &tensor.handle.0).collect::<Vec<_>>();
        let short = match inputs {
            [x] => kernels::compute_short(&operator, &[&x.handle.0]),
            [a, b] => kernels::compute_short(&operator, &[&a.handle.0, &b.handle.0]),
            _ => kernels::compute_short(&operator, &all()),
        };
        if let Some(computed) = short? {
            return Ok(Self(computed));
        }
        Ok(Self(kernels::compute(operator, all()).await?))
    }
}

fn handles<'a>(tensors: &[&'a Tensor]) -> Vec<&'a tensors::Tensor> {
    tensors.iter().map(|tensor| &tensor.0).collect()
}

pub(crate) struct Model(models::Model);

impl Model {
    pub(crate) async fn open(name: &str) -> Result<Self, HostError> {
        Ok(Self(inference::open(name.to_owned()).await?))
    }

    pub(crate) fn inputs(&self) -> Vec<TensorType> {
        self.0.inputs().into_iter().map(Into::into).collect()
    }

    pub(crate) fn outputs(&self) -> Vec<TensorType> {
        self.0.outputs().into_iter().map(Into::into).collect()
    }

    pub(crate) async fn run(&self, inputs: Vec<(String, &Tensor)>) -> Result<Vec<Tensor>, HostError> {
        let inputs = inputs.into_iter().map(|(name, tensor)| (name, &tensor.0)).collect();
        Ok(inference::run(&self.0, inputs).await?.into_iter().map(Tensor).collect())
    }

    pub(crate) async fn weight(&self, name: &str) -> Result<Tensor, HostError> {
        Ok(Tensor(inference::weight(&self.0, name.to_owned()).await?))
    }
}

pub(crate) fn infer(
    operator: operators::Operator,
    inputs: Vec<graphs::OperandDescriptor>,
) -> Result<graphs::OperandDescriptor, HostError> {
    Ok(graphs::infer(&operator, &inputs)?)
}

pub(crate) struct Graph(graphs::Graph);

impl Graph {
    pub(crate) async fn build(definition: graphs::Definition, constants: &[&Tensor]) -> Result<Self, HostError> {
        Ok(Self(graph_execution::build(definition, handles(constants)).await?))
    }

    pub(crate) async fn dispatch(&self, inputs: &[&Tensor]) -> Result<Vec<Tensor>, HostError> {
        Ok(graph_execution::dispatch(&self.0, handles(inputs)).await?.into_iter().map(Tensor).collect())
    }
}

pub(crate) struct Bucket(store::Bucket);

impl Bucket {
    pub(crate) fn open(name: &str) -> Result<Self, HostError> {
        store::open(name).map(Self).map_err(|error| match error {
            store::Error::NoSuchStore => {
                HostError::new(HostErrorCode::NotGranted, format!("there is no bucket `{name}`"))
            }
            store::Error::AccessDenied => HostError::new(
                HostErrorCode::NotGranted,
                format!("bucket `{name}` is not granted; add it to keyvalue under [capabilities] in spillway.toml"),
            ),
            store::Error::Other(message) => HostError::new(HostErrorCode::Failed, message),
        })
    }

    pub(crate) fn get(&self, key: &str) -> Result<Option<Vec<u8>>, HostError> {
        Ok(self.0.get(key)?)
    }

    pub(crate) fn set(&self, key: &str, value: &[u8]) -> Result<(), HostError> {
        Ok(self.0.set(key, value)?)
    }

    pub(crate) fn delete(&self, key: &str) -> Result<(), HostError> {
        Ok(self.0.delete(key)?)
    }

    pub(crate) fn exists(&self, key: &str) -> Result<bool, HostError> {
        Ok(self.0.exists(key)?)
    }

    pub(crate) fn keys(&self, cursor: Option<u64>) -> Result<(Vec<String>, Option<u64>), HostError> {
        let page = self.0.list_keys(cursor)?;
        Ok((page.keys, page.cursor))
    }

    pub(crate) fn increment(&self, key: &str, delta: u64) -> Result<u64, HostError> {
        Ok(atomics::increment(&self.0, key, delta)?)
    }
}

pub(crate) fn config(key: &str) -> Result<Option<String>, HostError> {
    config_store::get(key).map_err(|error| {
        let (config_store::Error::Upstream(message) | config_store::Error::Io(message)) = error;
        HostError::new(HostErrorCode::Failed, message)
    })
}

pub(crate) fn log(level: Level, target: &str, message: &str) {
    let level = match level {
        Level::Error => logging::Level::Error,
        Level::Warn => logging::Level::Warn,
        Level::Info => logging::Level::Info,
        Level::Debug => logging::Level::Debug,
        Level::Trace => logging::Level::Trace,
    };
    logging::log(level, target, message);
}

impl From<tensors::Error> for HostError {
    fn from(error: tensors::Error) -> Self {
        let code = match error.code {
            Code::InvalidArgument => HostErrorCode::InvalidArgument,
            Code::NotGranted => HostErrorCode::NotGranted,
            Code::OutOfMemory => HostErrorCode::OutOfMemory,
            Code::DeadlineExceeded => HostErrorCode::DeadlineExceeded,
            Code::EngineFailed => HostErrorCode::Failed,
        };
        Self::new(code, error.message)
    }
}

impl From<store::Error> for HostError {
    fn from(error: store::Error) -> Self {
        match error {
            store::Error::NoSuchStore => Self::new(HostErrorCode::NotGranted, "the bucket is gone"),
            store::Error::AccessDenied => Self::new(HostErrorCode::NotGranted, "the bucket is no longer granted"),
            store::Error::Other(message) => Self::new(HostErrorCode::Failed, message),
        }
    }
}

impl From<models::TensorType> for TensorType {
    fn from(ty: models::TensorType) -> Self {
        let shape = ty.shape.into_iter().map(|axis| axis.map(|axis| axis as usize)).collect();
        Self { name: ty.name, dtype: ty.dtype.into(), shape }
    }
}

super::dtypes!(tensors::Dtype);
