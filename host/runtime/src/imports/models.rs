//! `spillway:tensor/models`: handles of models that the node has loaded.

use std::sync::Arc;

use spillway_inference::{DType, Model};
use wasmtime::component::Resource;

use super::bindings::tensor::spillway::tensor::models::{Host, HostModel as HostModelFunctions, TensorType};
use super::tensors::wit_dtype;
use crate::sandbox::SandboxState;

/// A guest's handle of a model.
#[expect(unreachable_pub, reason = "the generated bindings re-export it")]
pub struct HostModel(pub(crate) Arc<Model>);

impl Host for SandboxState {}

impl HostModelFunctions for SandboxState {
    fn inputs(&mut self, model: Resource<HostModel>) -> wasmtime::Result<Vec<TensorType>> {
        Ok(self.table.get(&model)?.0.inputs().iter().map(describe).collect())
    }

    fn outputs(&mut self, model: Resource<HostModel>) -> wasmtime::Result<Vec<TensorType>> {
        Ok(self.table.get(&model)?.0.outputs().iter().map(describe).collect())
    }

    fn drop(&mut self, model: Resource<HostModel>) -> wasmtime::Result<()> {
        self.table.delete(model)?;
        Ok(())
    }
}

fn describe(tensor: &spillway_inference::TensorType) -> TensorType {
    let dtype: DType = tensor.dtype;
    // An axis that does not fit 32 bits cannot be one that memory holds; a guest sees it as free.
    let shape = tensor.shape.iter().map(|axis| axis.and_then(|axis| u32::try_from(axis).ok())).collect();
    TensorType { name: tensor.name.clone(), dtype: wit_dtype(dtype), shape }
}
