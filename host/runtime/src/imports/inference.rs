//! `spillway:tensor/inference` and its blocking twin: the same work, waited for in two ways.

use std::sync::Arc;

use spillway_inference::{Model, Run, RunError, Tensor, Turn};
use wasmtime::component::{Access, Accessor, HasSelf, Resource};

use super::bindings::inference::spillway::tensor::inference;
use super::bindings::tensor::spillway::tensor::inference_blocking;
use super::bindings::tensor::spillway::tensor::tensors::{Error, ErrorCode};
use super::models::HostModel;
use super::tensors::{HostTensor, error};
use crate::invocation::Invocation;
use crate::limits::TensorCharge;
use crate::sandbox::{self, SandboxState};

type Inputs = Vec<(String, Resource<HostTensor>)>;
type Outputs = Result<Vec<Resource<HostTensor>>, Error>;

/// A run with everything taken out of the store, so that it can wait without holding it.
struct Job {
    model: Arc<Model>,
    inputs: Vec<(String, Tensor)>,
    /// Of the inputs that are views, which the engine gets as copies.
    copies: Vec<TensorCharge>,
    turn: Turn,
}

impl SandboxState {
    fn open_model(&mut self, name: &str) -> wasmtime::Result<Result<Resource<HostModel>, Error>> {
        // A granted model is loaded when the revision is deployed, so opening never waits.
        let Some(model) = self.grants.models.get(name).cloned() else {
            let message = format!("model \"{name}\" is not granted; add it under [models] in spillway.toml");
            return Ok(Err(error(ErrorCode::NotGranted, message)));
        };
        Ok(self.table.push(HostModel(model)).map_err(|_| {
            error(ErrorCode::OutOfMemory, "the sandbox holds too many handles; open a model once and keep it")
        }))
    }

    fn job(
        &self,
        model: &Resource<HostModel>,
        inputs: &Inputs,
        invocation: Option<Arc<Invocation>>,
    ) -> wasmtime::Result<Result<Job, Error>> {
        let model = self.table.get(model)?.0.clone();
        let inputs: Vec<(String, Tensor)> = inputs
            .iter()
            .map(|(name, tensor)| Ok((name.clone(), self.table.get(tensor)?.tensor.clone())))
            .collect::<wasmtime::Result<_>>()?;
        let copies = inputs.iter().map(|(_, tensor)| self.charge_copy(tensor)).collect::<Result<_, _>>();
        let turn = self.turn(invocation.as_ref());
        Ok(copies.map(|copies| Job { model, inputs, copies, turn }))
    }

    /// A weight, as a tensor that the sandbox is not charged for.
    fn push_weight(&mut self, weight: Result<Tensor, RunError>) -> Result<Resource<HostTensor>, Error> {
        let weight = weight.map_err(refused)?;
        let charge = self.charge_tensor(0)?;
        self.push_tensor(weight, Arc::new(charge))
    }

    fn push_outputs(&mut self, run: Run) -> Outputs {
        let mut handles = Vec::with_capacity(run.outputs.len());
        for tensor in run.outputs {
            let pushed =
                self.charge_tensor(tensor.byte_length()).and_then(|charge| self.push_tensor(tensor, Arc::new(charge)));
            match pushed {
                Ok(handle) => handles.push(handle),
                Err(refused) => {
                    // The guest gets all outputs or none.
                    handles.into_iter().for_each(|handle| drop(self.table.delete(handle)));
                    return Err(refused);
                }
            }
        }
        Ok(handles)
    }
}

impl Job {
    async fn run(self) -> Result<Run, Error> {
        let run = self.model.run(self.inputs, self.turn).await.map_err(refused)?;
        drop(self.copies);
        Ok(run)
    }
}

/// An engine's refusal in the words of the interface.
pub(super) fn refused(cause: RunError) -> Error {
    let message = cause.to_string();
    match cause {
        RunError::InvalidArgument(_) => error(ErrorCode::InvalidArgument, message),
        RunError::DeadlineExceeded => error(ErrorCode::DeadlineExceeded, message),
        RunError::EngineFailed(_) | RunError::LoadFailed(_) => error(ErrorCode::EngineFailed, message),
        RunError::TooMuchMemory { .. } | RunError::OutOfMemory(_) => error(ErrorCode::OutOfMemory, message),
    }
}

impl inference::Host for SandboxState {}

impl inference::HostWithStore<SandboxState> for HasSelf<SandboxState> {
    async fn open(
        store: &Accessor<SandboxState, Self>,
        name: String,
    ) -> wasmtime::Result<Result<Resource<HostModel>, Error>> {
        store.with(|mut store| store.get().open_model(&name))
    }

    async fn run(
        store: &Accessor<SandboxState, Self>,
        model: Resource<HostModel>,
        inputs: Inputs,
    ) -> wasmtime::Result<Outputs> {
        let job = store.with(|mut store| {
            let invocation = sandbox::invocation(&mut store);
            store.get().job(&model, &inputs, invocation)
        })?;
        let run = match job {
            Ok(job) => job.run().await,
            Err(refused) => Err(refused),
        };
        Ok(run.and_then(|run| store.with(|mut store| store.get().push_outputs(run))))
    }

    async fn weight(
        store: &Accessor<SandboxState, Self>,
        model: Resource<HostModel>,
        name: String,
    ) -> wasmtime::Result<Result<Resource<HostTensor>, Error>> {
        let (model, invocation) = store.with(|mut store| {
            let invocation = sandbox::invocation(&mut store);
            Ok::<_, wasmtime::Error>((store.get().table.get(&model)?.0.clone(), invocation))
        })?;
        let weight = weight(model, &name, invocation).await;
        Ok(store.with(|mut store| store.get().push_weight(weight)))
    }
}

async fn weight(model: Arc<Model>, name: &str, invocation: Option<Arc<Invocation>>) -> Result<Tensor, RunError> {
    model.weight(name, invocation.map(|invocation| invocation.deadline)).await
}

impl inference_blocking::Host for SandboxState {}

impl inference_blocking::HostWithStore<SandboxState> for HasSelf<SandboxState> {
    async fn open(
        mut store: Access<'_, SandboxState, Self>,
        name: String,
    ) -> wasmtime::Result<Result<Resource<HostModel>, Error>> {
        store.get().open_model(&name)
    }

    async fn run(
        mut store: Access<'_, SandboxState, Self>,
        model: Resource<HostModel>,
        inputs: Inputs,
    ) -> wasmtime::Result<Outputs> {
        let invocation = sandbox::invocation(&mut store);
        let run = match store.get().job(&model, &inputs, invocation)? {
            Ok(job) => job.run().await,
            Err(refused) => Err(refused),
        };
        Ok(run.and_then(|run| store.get().push_outputs(run)))
    }

    async fn weight(
        mut store: Access<'_, SandboxState, Self>,
        model: Resource<HostModel>,
        name: String,
    ) -> wasmtime::Result<Result<Resource<HostTensor>, Error>> {
        let invocation = sandbox::invocation(&mut store);
        let model = store.get().table.get(&model)?.0.clone();
        let weight = weight(model, &name, invocation).await;
        Ok(store.get().push_weight(weight))
    }
}
