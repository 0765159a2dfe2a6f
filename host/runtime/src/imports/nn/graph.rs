//! `wasi:nn/graph`: the node's models, and models that a guest brings.

use std::sync::Arc;

use spillway_inference::{Model, OpenError};
use wasmtime::StoreContextMut;
use wasmtime::component::{Linker, Resource, WasmList};

use super::NnError;
use crate::imports::bindings::nn::wasi::nn::errors::ErrorCode;
use crate::imports::bindings::nn::wasi::nn::graph::{ExecutionTarget, GraphEncoding, Host, HostGraph};
use crate::limits::{TensorCharge, TensorLedger};
use crate::sandbox::{self, SandboxState};

/// A guest's handle of a model.
#[derive(Clone)]
#[expect(unreachable_pub, reason = "the generated bindings re-export it")]
pub struct Graph {
    pub(super) model: Arc<Model>,
    /// Of a model that the guest brought; a granted one is the node's own.
    _charge: Option<Arc<TensorCharge>>,
}

/// What computes: the model again. The standard may do away with it (WebAssembly/wasi-nn issue 43).
#[expect(unreachable_pub, reason = "the generated bindings re-export it")]
pub struct ExecutionContext(pub(super) Graph);

type Loaded<T> = Result<Resource<T>, Resource<NnError>>;

/// Whether this node has a reader for the encoding, and the target.
fn check(parts: usize, encoding: GraphEncoding, target: ExecutionTarget) -> Result<(), NnError> {
    match target {
        ExecutionTarget::Cpu => {}
        ExecutionTarget::Gpu | ExecutionTarget::Tpu => {
            let message = "this node has the execution target cpu alone";
            return Err(NnError::new(ErrorCode::UnsupportedOperation, message));
        }
    }
    match encoding {
        GraphEncoding::Onnx | GraphEncoding::Tensorflowlite | GraphEncoding::Autodetect => {}
        GraphEncoding::Openvino | GraphEncoding::Tensorflow | GraphEncoding::Pytorch | GraphEncoding::Ggml => {
            let message = "this node reads the encodings onnx, tensorflowlite and autodetect; export the model as ONNX";
            return Err(NnError::new(ErrorCode::InvalidEncoding, message));
        }
    }
    if parts == 1 {
        return Ok(());
    }
    Err(NnError::invalid(format!("a model of this encoding has one part, but {parts} were given")))
}

/// The encoding that the guest names must be the file's: a mix-up is easier to find here than in a parser's words.
fn check_magic(file: &[u8], encoding: GraphEncoding) -> Result<(), NnError> {
    let is_tflite = file.get(4..8) == Some(b"TFL3");
    let named = match encoding {
        GraphEncoding::Onnx if is_tflite => "onnx, but the bytes are TensorFlow Lite's",
        GraphEncoding::Tensorflowlite if !is_tflite => "tensorflowlite, but the bytes are not that",
        _ => return Ok(()),
    };
    Err(NnError::new(ErrorCode::InvalidEncoding, format!("the encoding given is {named}")))
}

/// A model that the guest brings. `charge` is for its bytes, and grows to what the engine makes of them.
async fn load(
    models: Arc<spillway_inference::Models>,
    charged: Result<(Vec<u8>, TensorCharge), NnError>,
    deadline: Option<std::time::Instant>,
    ledger: TensorLedger,
) -> Result<Graph, NnError> {
    let (file, bytes_charge) = charged?;
    let opening = models.open_bytes(file);
    let opened = match deadline {
        None => opening.await,
        Some(deadline) => tokio::time::timeout_at(deadline.into(), opening)
            .await
            .map_err(|_| NnError::new(ErrorCode::Timeout, "the deadline passed before the model was loaded"))?,
    };
    let model = opened.map_err(|error: OpenError| NnError::from(error))?;
    drop(bytes_charge);
    let charge = charge(&ledger, model.memory_bytes())?;
    Ok(Graph { model, _charge: Some(Arc::new(charge)) })
}

fn charge(ledger: &TensorLedger, bytes: usize) -> Result<TensorCharge, NnError> {
    ledger.charge(bytes as u64).map_err(|message| NnError::new(ErrorCode::TooLarge, message))
}

impl SandboxState {
    fn graph_by_name(&self, name: &str) -> Result<Graph, NnError> {
        match self.grants.models.get(name) {
            Some(model) => Ok(Graph { model: model.clone(), _charge: None }),
            None => {
                let message = format!("model \"{name}\" is not granted; add it under [models] in spillway.toml");
                Err(NnError::new(ErrorCode::NotFound, message))
            }
        }
    }

    fn push_graph(&mut self, graph: Result<Graph, NnError>) -> wasmtime::Result<Loaded<Graph>> {
        match graph {
            Ok(graph) => Ok(Ok(self.table.push(graph)?)),
            Err(error) => self.hand_over(Err(error)),
        }
    }
}

impl Host for SandboxState {
    async fn load(&mut self, _: Vec<Vec<u8>>, _: GraphEncoding, _: ExecutionTarget) -> wasmtime::Result<Loaded<Graph>> {
        // `link_in_place` replaces it: models are large, and this one would copy them before they are charged.
        self.hand_over(Err(NnError::new(ErrorCode::Unknown, "graph.load is not linked; this is a bug in Spillway")))
    }

    async fn load_by_name(&mut self, name: String) -> wasmtime::Result<Loaded<Graph>> {
        let graph = self.graph_by_name(&name);
        self.push_graph(graph)
    }
}

impl HostGraph for SandboxState {
    fn init_execution_context(&mut self, graph: Resource<Graph>) -> wasmtime::Result<Loaded<ExecutionContext>> {
        let context = ExecutionContext(self.table.get(&graph)?.clone());
        Ok(Ok(self.table.push(context)?))
    }

    fn drop(&mut self, graph: Resource<Graph>) -> wasmtime::Result<()> {
        self.table.delete(graph)?;
        Ok(())
    }
}

/// `load` with the model read where it lies in the guest, once it is charged.
pub(super) fn link_in_place(linker: &mut Linker<SandboxState>) -> wasmtime::Result<()> {
    type Arguments = (WasmList<WasmList<u8>>, GraphEncoding, ExecutionTarget);
    let mut interface = linker.instance("wasi:nn/graph@0.2.0-rc-2024-10-28")?;
    interface.func_wrap_async(
        "load",
        |mut store: StoreContextMut<'_, SandboxState>, (parts, encoding, target): Arguments| {
            let read = (|| {
                check(parts.len(), encoding, target)?;
                let Some(Ok(part)) = parts.get(&mut store, 0) else {
                    return Err(NnError::invalid("the model's bytes are not in the guest's memory"));
                };
                let charge = charge(&store.data().tensors, part.len())?;
                let file = part.as_le_slice(&store);
                check_magic(file, encoding)?;
                Ok((file.to_vec(), charge))
            })();
            let models = store.data().grants.node_models.clone();
            let ledger = store.data().tensors.clone();
            let deadline = sandbox::invocation(&mut store).map(|invocation| invocation.deadline);
            Box::new(async move {
                let graph = load(models, read, deadline, ledger).await;
                Ok((store.data_mut().push_graph(graph)?,))
            })
        },
    )
}
