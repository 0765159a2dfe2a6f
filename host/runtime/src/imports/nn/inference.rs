//! `wasi:nn/inference`: running a graph off the async threads.

use spillway_inference::{Run, Tensor};
use wasmtime::component::{Access, HasSelf, Resource};

use super::tensor::Made;
use super::{ExecutionContext, Graph, NnError, NnTensor};
use crate::imports::bindings::nn::wasi::nn::inference::{
    Host, HostGraphExecutionContext, HostGraphExecutionContextWithStore,
};
use crate::sandbox::{self, SandboxState};

type Named = (String, Resource<NnTensor>);
type Outputs = Result<Vec<Named>, Resource<NnError>>;

impl SandboxState {
    /// Takes the inputs out of the table: the interface hands them over.
    fn nn_inputs(
        &mut self,
        graph: &Graph,
        inputs: Vec<Named>,
    ) -> wasmtime::Result<Result<Vec<(String, Made)>, NnError>> {
        let taken = inputs.into_iter().map(|(name, tensor)| Ok((name, self.table.delete(tensor)?)));
        let taken: Vec<(String, NnTensor)> = taken.collect::<wasmtime::Result<_>>()?;
        let declared = graph.model.inputs();
        let made = taken.into_iter().map(|(name, tensor)| {
            let wanted = declared.iter().find(|input| input.name == name).map(|input| input.dtype);
            let made = tensor.into_input(self, &name, wanted)?;
            Ok((name, made))
        });
        Ok(made.collect())
    }

    fn push_nn_outputs(&mut self, graph: &Graph, run: Run) -> wasmtime::Result<Result<Vec<Named>, NnError>> {
        let mut outputs = Vec::with_capacity(run.outputs.len());
        // All are made before the first gets a handle, so that the guest gets all outputs or none.
        for (declared, tensor) in graph.model.outputs().iter().zip(run.outputs) {
            match NnTensor::of_output(self, &declared.name, tensor) {
                Ok(tensor) => outputs.push((declared.name.clone(), tensor)),
                Err(error) => return Ok(Err(error)),
            }
        }
        let named = outputs.into_iter().map(|(name, tensor)| Ok((name, self.table.push(tensor)?)));
        Ok(Ok(named.collect::<wasmtime::Result<_>>()?))
    }
}

impl Host for SandboxState {}

impl HostGraphExecutionContext for SandboxState {
    fn drop(&mut self, context: Resource<ExecutionContext>) -> wasmtime::Result<()> {
        self.table.delete(context)?;
        Ok(())
    }
}

impl HostGraphExecutionContextWithStore<SandboxState> for HasSelf<SandboxState> {
    async fn compute(
        mut store: Access<'_, SandboxState, Self>,
        context: Resource<ExecutionContext>,
        inputs: Vec<Named>,
    ) -> wasmtime::Result<Outputs> {
        let invocation = sandbox::invocation(&mut store);
        let state = store.get();
        let turn = state.turn(invocation.as_ref());
        let graph = state.table.get(&context)?.0.clone();
        let computed = match state.nn_inputs(&graph, inputs)? {
            Err(error) => Err(error),
            Ok(made) => {
                // Their charges are held until the run is over.
                let inputs: Vec<(String, Tensor)> =
                    made.iter().map(|(name, made)| (name.clone(), made.tensor.clone())).collect();
                let run = graph.model.run(inputs, turn).await;
                drop(made);
                run.map_err(NnError::from)
            }
        };
        let state = store.get();
        let outputs = match computed {
            Err(error) => Err(error),
            Ok(run) => state.push_nn_outputs(&graph, run)?,
        };
        state.hand_over(outputs)
    }
}
