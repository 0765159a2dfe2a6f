//! `spillway:tensor/kernels` and its blocking twin.

use std::sync::Arc;

use spillway_inference::{Kernel, KernelThreads, Tensor, Turn};
use spillway_types::operator as native;
use wasmtime::component::{Access, Accessor, HasSelf, Resource};

use super::bindings::inference::spillway::tensor::kernels;
use super::bindings::tensor::spillway::tensor::tensors::Error;
use super::bindings::tensor::spillway::tensor::{kernels_blocking, operators};
use super::inference::refused;
use super::operators::native_operator;
use super::tensors::HostTensor;
use crate::invocation::Invocation;
use crate::limits::TensorCharge;
use crate::sandbox::{self, SandboxState};

type Inputs = Vec<Resource<HostTensor>>;
type Output = Result<Resource<HostTensor>, Error>;

/// A kernel with everything taken out of the store, and charged.
struct Job {
    kernel: Kernel,
    threads: Arc<KernelThreads>,
    turn: Turn,
    /// The result's, which a view shares with the tensor that it looks at.
    charge: Arc<TensorCharge>,
    /// Of working memory; ends with the job.
    scratch: TensorCharge,
}

impl SandboxState {
    fn kernel_job(
        &self,
        operator: native::Operator,
        inputs: &Inputs,
        invocation: Option<Arc<Invocation>>,
    ) -> wasmtime::Result<Result<Job, Error>> {
        let inputs: Vec<&HostTensor> = inputs.iter().map(|tensor| self.table.get(tensor)).collect::<Result<_, _>>()?;
        let first_charge = inputs.first().map(|tensor| tensor.charge.clone());
        let tensors: Vec<Tensor> = inputs.iter().map(|tensor| tensor.tensor.clone()).collect();
        Ok(Kernel::new(operator, tensors).map_err(refused).and_then(|kernel| {
            let charge = match first_charge.filter(|_| kernel.result_bytes() == 0) {
                Some(shared) => shared,
                None => Arc::new(self.charge_tensor(kernel.result_bytes())?),
            };
            let scratch = self.charge_tensor(kernel.scratch_bytes())?;
            let threads = self.grants.node_models.threads().clone();
            Ok(Job { kernel, threads, turn: self.turn(invocation.as_ref()), charge, scratch })
        }))
    }

    fn push_computed(&mut self, computed: Result<(Tensor, Arc<TensorCharge>), Error>) -> Output {
        computed.and_then(|(tensor, charge)| self.push_tensor(tensor, charge))
    }
}

impl Job {
    async fn run(self) -> Result<(Tensor, Arc<TensorCharge>), Error> {
        let Self { kernel, threads, turn, charge, scratch } = self;
        let computed = kernel.run(&threads, turn).await;
        drop(scratch);
        Ok((computed.map_err(refused)?, charge))
    }
}

impl Job {
    /// On the calling thread, because it is short.
    fn run_short(self) -> Result<(Tensor, Arc<TensorCharge>), Error> {
        let computed = self.kernel.compute_short(&self.turn);
        drop(self.scratch);
        Ok((computed.map_err(refused)?, self.charge))
    }
}

impl operators::Host for SandboxState {}
impl kernels::Host for SandboxState {}
impl kernels_blocking::Host for SandboxState {}

impl kernels::HostWithStore<SandboxState> for HasSelf<SandboxState> {
    async fn compute(
        store: &Accessor<SandboxState, Self>,
        operator: operators::Operator,
        inputs: Inputs,
    ) -> wasmtime::Result<Output> {
        let operator = native_operator(operator);
        let job = store.with(|mut store| {
            let invocation = sandbox::invocation(&mut store);
            store.get().kernel_job(operator, &inputs, invocation)
        })?;
        let computed = match job {
            Ok(job) => job.run().await,
            Err(refused) => Err(refused),
        };
        Ok(store.with(|mut store| store.get().push_computed(computed)))
    }

    fn compute_short(
        mut store: Access<'_, SandboxState, Self>,
        operator: operators::Operator,
        inputs: Inputs,
    ) -> wasmtime::Result<Result<Option<Resource<HostTensor>>, Error>> {
        let operator = native_operator(operator);
        let invocation = sandbox::invocation(&mut store);
        let state = store.get();
        let computed = match state.kernel_job(operator, &inputs, invocation)? {
            Ok(job) if !job.kernel.is_short() => return Ok(Ok(None)),
            Ok(job) => job.run_short(),
            Err(refused) => Err(refused),
        };
        Ok(state.push_computed(computed).map(Some))
    }
}

impl kernels_blocking::HostWithStore<SandboxState> for HasSelf<SandboxState> {
    async fn compute(
        mut store: Access<'_, SandboxState, Self>,
        operator: operators::Operator,
        inputs: Inputs,
    ) -> wasmtime::Result<Output> {
        let operator = native_operator(operator);
        let invocation = sandbox::invocation(&mut store);
        let computed = match store.get().kernel_job(operator, &inputs, invocation)? {
            Ok(job) => job.run().await,
            Err(refused) => Err(refused),
        };
        Ok(store.get().push_computed(computed))
    }
}
