//! The models of the node: what operators do with them, and how much memory they get.

use std::sync::Arc;
use std::time::SystemTime;

use spillway_cluster::{ModelError, ModelRecord};
use spillway_inference::{ModelSource, OpenError, TensorType, Unloaded};
use spillway_types::api::AddModel;
use spillway_types::{Digest, Manifest, Problem, ProblemType, Specialization, format_bytes};
use tokio_util::sync::CancellationToken;

use crate::capacity::memory;
use crate::deploy::{blocking, host_problem, millis, store_problem};
use crate::node::Node;

/// What makes two models two: the file, and what is fixed about it.
pub(crate) type ModelKey = (Digest, Specialization);

/// Inputs or outputs as `name: dtype[axis, axis]`, free axes as `?`.
pub(crate) fn in_words(tensors: &[TensorType]) -> Vec<String> {
    let axis = |axis: &Option<usize>| axis.map_or_else(|| "?".to_owned(), |length| length.to_string());
    let in_words = |tensor: &TensorType| {
        let axes: Vec<String> = tensor.shape.iter().map(axis).collect();
        format!("{}: {}[{}]", tensor.name, tensor.dtype, axes.join(", "))
    };
    tensors.iter().map(in_words).collect()
}

/// Unloads idle models until told to stop.
pub(crate) async fn tend(node: Arc<Node>, stop: CancellationToken) {
    tokio::select! {
        () = node.models.tend() => {}
        () = stop.cancelled() => {}
    }
}

/// What models may occupy, in bytes: what was asked for, else half of the memory that this process may use. The other
/// half is for sandboxes, tensors, and for what an engine needs beside a model while it loads or runs it.
pub(crate) fn budget(given: Option<u64>) -> usize {
    let bytes = given.or_else(|| Some(memory()?.total_bytes / 2));
    bytes.map_or(usize::MAX, |bytes| usize::try_from(bytes).unwrap_or(usize::MAX))
}

impl Node {
    /// Keeps a model whose blob is there, once the engine has shown that it can run it.
    ///
    /// # Errors
    /// The problem to tell the operator; nothing is kept then.
    pub(crate) async fn add_model(self: &Arc<Self>, request: AddModel) -> Result<ModelKey, Problem> {
        let (digest, specialization) = (request.digest, request.specialization());
        let node = self.clone();
        // So that it is not collected while it is tried.
        let renew = move || node.store.blobs().renew(&digest, SystemTime::now()).map_err(|fault| store_problem(&fault));
        if !blocking(renew).await?? {
            return Err(missing(digest));
        }
        let source =
            ModelSource { digest, specialization: specialization.clone(), file: self.store.blobs().path(&digest) };
        let model = self.models.open(source).await.map_err(|error| open_problem(&error))?;
        let record = ModelRecord {
            digest,
            specialization: specialization.clone(),
            label: request.label,
            added_at_ms: millis(SystemTime::now()),
            engine: self.models.engine().to_owned(),
            inputs: in_words(model.inputs()),
            outputs: in_words(model.outputs()),
        };
        let node = self.clone();
        let add = move || node.store.add_model(&record);
        blocking(add).await?.map_err(|error| model_problem(&error))?;
        tracing::info!(%digest, "model added");
        Ok((digest, specialization))
    }

    /// Whether a function's models fit into the memory for models together, as far as their sizes are known: in memory, as
    /// a file here, or in memory of another node. A lone node lets them take turns instead.
    ///
    /// # Errors
    /// How much they need.
    pub(crate) fn check_models_fit(&self, manifest: &Manifest) -> Result<(), Problem> {
        let budget = self.models.policy().memory_bytes as u64;
        let loaded = self.models.loaded();
        let peers = self.cluster.as_ref().map(|cluster| cluster.peers().all()).unwrap_or_default();
        let mut distinct: Vec<ModelKey> =
            manifest.models.values().filter_map(|grant| Some((grant.digest?, grant.specialization.clone()))).collect();
        distinct.sort();
        distinct.dedup();
        let bytes = |(digest, specialization): &ModelKey| {
            let here = loaded.iter().find(|model| model.digest == *digest && model.specialization == *specialization);
            let file = || self.store.blobs().size(digest).ok();
            let there = || {
                let said = peers.iter().filter_map(|peer| peer.said().capacity);
                said.filter_map(|capacity| Some(capacity.models.iter().find(|model| model.digest == *digest)?.bytes))
                    .max()
            };
            here.map(|model| model.memory_bytes as u64).or_else(there).or_else(file).unwrap_or(0)
        };
        let needed = distinct.iter().map(bytes).sum::<u64>();
        if needed <= budget {
            return Ok(());
        }
        let (needed, budget) = (format_bytes(needed), format_bytes(budget));
        let detail = format!(
            "its models need {needed} of memory together, and those of this node may occupy {budget} in all; raise `--model-memory`, use smaller models, or add a node with more memory to the cluster"
        );
        Err(Problem::new(ProblemType::ModelsTooLarge, detail))
    }

    /// Takes back [`add_model`](Self::add_model), and frees the model's memory.
    ///
    /// # Errors
    /// If a function may open it.
    pub(crate) async fn remove_model(self: &Arc<Self>, digest: Digest) -> Result<(), Problem> {
        let node = self.clone();
        blocking(move || node.store.remove_model(&digest)).await?.map_err(|error| model_problem(&error))?;
        // A call that runs it still, on a revision that has gone, ends on it.
        self.models.unload(digest);
        tracing::info!(%digest, "model removed");
        Ok(())
    }

    /// Frees the model's memory; its next run loads it again.
    ///
    /// # Errors
    /// If it runs now.
    pub(crate) fn unload_model(&self, digest: Digest) -> Result<(), Problem> {
        match self.models.unload(digest) {
            Unloaded::Yes | Unloaded::WasNot => Ok(()),
            Unloaded::InUse => {
                let detail = format!("model {digest} runs or is being loaded; try again when it does not");
                Err(Problem::new(ProblemType::ModelInUse, detail))
            }
        }
    }
}

fn missing(digest: Digest) -> Problem {
    let detail = format!("model {digest} is not on this node; upload it with PUT /api/v1/blobs/{digest}");
    let mut problem = Problem::new(ProblemType::MissingModel, detail);
    problem.missing = vec![digest];
    problem
}

fn open_problem(error: &OpenError) -> Problem {
    match error {
        OpenError::Read { .. } | OpenError::Check { .. } | OpenError::Stopped => host_problem(error),
        OpenError::WrongDigest { .. } | OpenError::Load { .. } | OpenError::EngineFailed { .. } => {
            Problem::new(ProblemType::InvalidModel, error.to_string())
        }
        OpenError::TooLarge { .. } => Problem::new(ProblemType::ModelsTooLarge, error.to_string()),
    }
}

fn model_problem(error: &ModelError) -> Problem {
    match error {
        ModelError::MissingBlob(digest) => missing(*digest),
        ModelError::InUse { .. } => Problem::new(ProblemType::ModelInUse, error.to_string()),
        ModelError::Fault(fault) => store_problem(fault),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_budget_is_what_was_asked_for_or_half_of_what_there_is() {
        assert_eq!(budget(Some(5)), 5);
        let half = memory().expect("Linux tells").total_bytes / 2;
        assert_eq!(budget(None) as u64, half);
    }
}
