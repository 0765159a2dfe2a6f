//! `spillway:tensor/kernels` and its blocking twin.

use std::sync::Arc;

use spillway_inference::{Kernel, KernelThreads, Meter, Tensor, Turn};
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

/// A kernel with its inputs taken out of the store, and charged.
struct Charged {
    kernel: Kernel,
    /// The result's, which a view shares with the tensor that it looks at.
    charge: Arc<TensorCharge>,
    /// Of working memory, if there is any; ends when the work does.
    scratch: Option<TensorCharge>,
}

/// The same, and where and in whose turn it is to be computed.
struct Job {
    charged: Charged,
    threads: Arc<KernelThreads>,
    turn: Turn,
}

type Computed = Result<(Tensor, Arc<TensorCharge>), Error>;

impl SandboxState {
    fn charged_kernel(&self, operator: native::Operator, inputs: &Inputs) -> wasmtime::Result<Result<Charged, Error>> {
        let tensors = inputs.iter().map(|input| self.table.get(input).map(|input| input.tensor.clone()));
        let tensors: Vec<Tensor> = tensors.collect::<Result<_, _>>()?;
        let first = inputs.first().map(|first| self.table.get(first)).transpose()?;
        Ok(Kernel::new(operator, tensors).map_err(refused).and_then(|kernel| {
            let charge = match first.filter(|_| kernel.result_bytes() == 0) {
                Some(shown) => shown.charge.clone(),
                None => Arc::new(self.charge_tensor(kernel.result_bytes())?),
            };
            let scratch = match kernel.scratch_bytes() {
                0 => None,
                bytes => Some(self.charge_tensor(bytes)?),
            };
            Ok(Charged { kernel, charge, scratch })
        }))
    }

    fn kernel_job(
        &self,
        operator: native::Operator,
        inputs: &Inputs,
        invocation: Option<Arc<Invocation>>,
    ) -> wasmtime::Result<Result<Job, Error>> {
        let charged = self.charged_kernel(operator, inputs)?;
        let threads = self.grants.node_models.threads().clone();
        Ok(charged.map(|charged| Job { charged, threads, turn: self.turn(invocation.as_ref()) }))
    }

    fn push_computed(&mut self, computed: Computed) -> Output {
        computed.and_then(|(tensor, charge)| self.push_tensor(tensor, charge))
    }
}

impl Job {
    async fn run(self) -> Computed {
        let Self { charged: Charged { kernel, charge, scratch }, threads, turn } = self;
        let computed = kernel.run_holding(&threads, turn, (scratch, charge.clone())).await;
        Ok((computed.map_err(refused)?, charge))
    }
}

impl Charged {
    /// On the calling thread, because it is short.
    fn compute_short(self, invocation: Option<&Invocation>) -> Computed {
        let computed = self.kernel.compute_short(invocation.map(|invocation| invocation as &dyn Meter));
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
        let charged = match store.get().charged_kernel(native_operator(operator), &inputs)? {
            Ok(charged) => charged,
            Err(refused) => return Ok(Err(refused)),
        };
        if !charged.kernel.is_short() {
            return Ok(Ok(None));
        }
        let invocation = sandbox::invocation(&mut store);
        let computed = charged.compute_short(invocation.as_deref());
        Ok(store.get().push_computed(computed).map(Some))
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
