//! `spillway:tensor/graphs`, and building and dispatching them in both ways.

use std::sync::{Arc, Mutex, PoisonError};
use std::time::Instant;

use spillway_inference::{Graph, Models, RunError, Tensor, Turn, infer};
use spillway_types::graph as native;
use wasmtime::component::{Access, Accessor, HasSelf, Resource};

use super::bindings::inference::spillway::tensor::graph_execution;
use super::bindings::tensor::spillway::tensor::tensors::{Error, ErrorCode};
use super::bindings::tensor::spillway::tensor::{graph_execution_blocking, graphs, operators};
use super::inference::refused;
use super::operators::native_operator;
use super::tensors::{HostTensor, error, host_dtype, wit_dtype};
use crate::invocation::Invocation;
use crate::limits::{TensorCharge, TensorLedger};
use crate::sandbox::{self, SandboxState};

type Tensors = Vec<Resource<HostTensor>>;
type Built = Result<Resource<HostGraph>, Error>;
type Outputs = Result<Tensors, Error>;

/// A guest's handle of a graph.
#[expect(unreachable_pub, reason = "the generated bindings re-export it")]
pub struct HostGraph {
    graph: Arc<Graph>,
    /// Of its constants, and of what was computed of them.
    _charges: Vec<Arc<TensorCharge>>,
}

/// A graph to be built, with everything taken out of the store.
struct Build {
    definition: native::Definition,
    constants: Vec<Tensor>,
    charges: Vec<Arc<TensorCharge>>,
    ledger: TensorLedger,
    models: Arc<Models>,
    turn: Turn,
}

/// A dispatch, charged.
struct Dispatch {
    graph: Arc<Graph>,
    inputs: Vec<Tensor>,
    models: Arc<Models>,
    turn: Turn,
    outputs: Vec<Arc<TensorCharge>>,
    /// Of what it takes beside its outputs, inputs that have to be laid out row by row among it.
    working: Vec<TensorCharge>,
}

impl SandboxState {
    fn graph_build(
        &self,
        definition: graphs::Definition,
        constants: &Tensors,
        invocation: Option<Arc<Invocation>>,
    ) -> wasmtime::Result<Build> {
        let constants: Vec<&HostTensor> =
            constants.iter().map(|tensor| self.table.get(tensor)).collect::<Result<_, _>>()?;
        Ok(Build {
            definition: native_definition(definition),
            charges: constants.iter().map(|constant| constant.charge.clone()).collect(),
            constants: constants.into_iter().map(|constant| constant.tensor.clone()).collect(),
            ledger: self.tensors.clone(),
            models: self.grants.node_models.clone(),
            turn: self.turn(invocation.as_ref()),
        })
    }

    fn push_built(&mut self, built: Result<HostGraph, Error>) -> Built {
        self.table.push(built?).map_err(|_| {
            error(ErrorCode::OutOfMemory, "the sandbox holds too many handles; build a graph once and keep it")
        })
    }

    fn graph_dispatch(
        &self,
        graph: &Resource<HostGraph>,
        inputs: &Tensors,
        invocation: Option<Arc<Invocation>>,
    ) -> wasmtime::Result<Result<Dispatch, Error>> {
        let graph = self.table.get(graph)?.graph.clone();
        let inputs: Vec<Tensor> =
            inputs.iter().map(|tensor| Ok(self.table.get(tensor)?.tensor.clone())).collect::<wasmtime::Result<_>>()?;
        let (models, turn) = (self.grants.node_models.clone(), self.turn(invocation.as_ref()));
        Ok(graph.check(&inputs).map_err(refused).and_then(|()| {
            let outputs: Vec<_> = graph
                .output_bytes()
                .iter()
                .map(|&bytes| self.charge_tensor(bytes).map(Arc::new))
                .collect::<Result<_, _>>()?;
            let mut working = vec![self.charge_tensor(graph.working_bytes())?];
            for input in &inputs {
                working.push(self.charge_copy(input)?);
            }
            Ok(Dispatch { graph, inputs, models, turn, outputs, working })
        }))
    }

    fn push_results(&mut self, results: Result<Vec<(Tensor, Arc<TensorCharge>)>, Error>) -> Outputs {
        let mut handles = Vec::new();
        for (tensor, charge) in results? {
            match self.push_tensor(tensor, charge) {
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

impl Build {
    /// On a kernel thread, however small: constants are hashed, and what depends on them alone is computed.
    async fn run(self) -> Result<HostGraph, Error> {
        let Self { definition, constants, mut charges, ledger, models, turn } = self;
        let (threads, deadline) = (models.threads().clone(), turn.deadline);
        let job = threads.spawn_in(turn, move |caller| {
            let folded = Mutex::new(Vec::new());
            let charge = |bytes: usize| {
                let charge = ledger.charge(bytes as u64).map_err(RunError::OutOfMemory)?;
                folded.lock().unwrap_or_else(PoisonError::into_inner).push(Arc::new(charge));
                Ok(())
            };
            let has_passed = || deadline.is_some_and(|deadline| Instant::now() >= deadline);
            let graph = models.graphs().build(definition, constants, &charge, &|| caller.is_gone() || has_passed());
            Ok::<_, RunError>((graph?, folded.into_inner().unwrap_or_else(PoisonError::into_inner)))
        });
        let finished = match deadline {
            None => job.await,
            Some(deadline) => {
                tokio::time::timeout_at(deadline.into(), job).await.map_err(|_| refused(RunError::DeadlineExceeded))?
            }
        };
        let built = finished.unwrap_or_else(|error| Err(RunError::EngineFailed(error.to_string())));
        let (graph, folded) = built.map_err(refused)?;
        charges.extend(folded);
        Ok(HostGraph { graph, _charges: charges })
    }
}

impl Dispatch {
    async fn run(self) -> Result<Vec<(Tensor, Arc<TensorCharge>)>, Error> {
        let Self { graph, inputs, models, turn, outputs, working } = self;
        let computed = graph.run(inputs, models.threads(), turn, (working, outputs.clone())).await;
        Ok(computed.map_err(refused)?.into_iter().zip(outputs).collect())
    }
}

impl graphs::Host for SandboxState {
    fn infer(
        &mut self,
        operator: operators::Operator,
        inputs: Vec<graphs::OperandDescriptor>,
    ) -> wasmtime::Result<Result<graphs::OperandDescriptor, Error>> {
        let inputs: Vec<_> = inputs.into_iter().map(native_operand).collect();
        Ok(infer(native_operator(operator), &inputs).map(|result| describe(&result)).map_err(refused))
    }
}

impl graphs::HostGraph for SandboxState {
    fn inputs(&mut self, graph: Resource<HostGraph>) -> wasmtime::Result<Vec<graphs::OperandDescriptor>> {
        Ok(self.table.get(&graph)?.graph.inputs().iter().map(describe).collect())
    }

    fn outputs(&mut self, graph: Resource<HostGraph>) -> wasmtime::Result<Vec<graphs::OperandDescriptor>> {
        Ok(self.table.get(&graph)?.graph.outputs().iter().map(describe).collect())
    }

    fn drop(&mut self, graph: Resource<HostGraph>) -> wasmtime::Result<()> {
        self.table.delete(graph)?;
        Ok(())
    }
}

impl graph_execution::Host for SandboxState {}

impl graph_execution::HostWithStore<SandboxState> for HasSelf<SandboxState> {
    async fn build(
        store: &Accessor<SandboxState, Self>,
        definition: graphs::Definition,
        constants: Tensors,
    ) -> wasmtime::Result<Built> {
        let build = store.with(|mut store| {
            let invocation = sandbox::invocation(&mut store);
            store.get().graph_build(definition, &constants, invocation)
        })?;
        let built = build.run().await;
        Ok(store.with(|mut store| store.get().push_built(built)))
    }

    async fn dispatch(
        store: &Accessor<SandboxState, Self>,
        graph: Resource<HostGraph>,
        inputs: Tensors,
    ) -> wasmtime::Result<Outputs> {
        let dispatch = store.with(|mut store| {
            let invocation = sandbox::invocation(&mut store);
            store.get().graph_dispatch(&graph, &inputs, invocation)
        })?;
        let results = match dispatch {
            Ok(dispatch) => dispatch.run().await,
            Err(refused) => Err(refused),
        };
        Ok(store.with(|mut store| store.get().push_results(results)))
    }
}

impl graph_execution_blocking::Host for SandboxState {}

impl graph_execution_blocking::HostWithStore<SandboxState> for HasSelf<SandboxState> {
    async fn build(
        mut store: Access<'_, SandboxState, Self>,
        definition: graphs::Definition,
        constants: Tensors,
    ) -> wasmtime::Result<Built> {
        let invocation = sandbox::invocation(&mut store);
        let built = store.get().graph_build(definition, &constants, invocation)?.run().await;
        Ok(store.get().push_built(built))
    }

    async fn dispatch(
        mut store: Access<'_, SandboxState, Self>,
        graph: Resource<HostGraph>,
        inputs: Tensors,
    ) -> wasmtime::Result<Outputs> {
        let invocation = sandbox::invocation(&mut store);
        let results = match store.get().graph_dispatch(&graph, &inputs, invocation)? {
            Ok(dispatch) => dispatch.run().await,
            Err(refused) => Err(refused),
        };
        Ok(store.get().push_results(results))
    }
}

fn describe(operand: &native::OperandDescriptor) -> graphs::OperandDescriptor {
    graphs::OperandDescriptor { data_type: wit_dtype(operand.data_type), shape: operand.shape.clone() }
}

fn native_operand(
    graphs::OperandDescriptor { data_type, shape }: graphs::OperandDescriptor,
) -> native::OperandDescriptor {
    native::OperandDescriptor { data_type: host_dtype(data_type), shape }
}

fn native_definition(definition: graphs::Definition) -> native::Definition {
    let graphs::Definition { inputs, operations, outputs } = definition;
    let inputs = inputs.into_iter().map(native_operand);
    let operations = operations.into_iter().map(|graphs::Operation { operator, inputs }| native::Operation {
        operator: native_operator(operator),
        inputs,
    });
    native::Definition { inputs: inputs.collect(), operations: operations.collect(), outputs }
}
