//! Models on the node.

use std::collections::BTreeMap;
use std::sync::PoisonError;

use axum::Json;
use axum::extract::State;
use spillway_inference::TensorType;
use spillway_types::Digest;
use spillway_types::api::ModelStatus;

use super::{Refused, Shared};
use crate::deploy::{blocking, host_problem};

pub(super) async fn list(State(node): Shared) -> Result<Json<Vec<ModelStatus>>, Refused> {
    let mut users: BTreeMap<Digest, Vec<String>> = BTreeMap::new();
    {
        let functions = node.functions.read().unwrap_or_else(PoisonError::into_inner);
        for (id, deployed) in functions.iter() {
            let digests = deployed.active.iter().flat_map(|revision| revision.manifest.model_digests());
            digests.for_each(|digest| users.entry(digest).or_default().push(id.to_string()));
        }
    }
    for status in node.models.loaded() {
        users.entry(status.digest).or_default();
    }
    let models = blocking(move || {
        let blobs = node.store.blobs();
        let mut loaded: BTreeMap<Digest, _> =
            node.models.loaded().into_iter().map(|status| (status.digest, status)).collect();
        let models = users.into_iter().map(|(digest, functions)| {
            let status = loaded.remove(&digest);
            ModelStatus {
                digest,
                file_bytes: blobs.size(&digest).unwrap_or(0),
                engine: status.as_ref().map_or(String::new(), |status| status.engine.to_owned()),
                loaded: status.is_some(),
                memory_bytes: status.as_ref().map_or(0, |status| status.memory_bytes as u64),
                load_seconds: status.as_ref().map_or(0.0, |status| status.load_time.as_secs_f64()),
                runs: status.as_ref().map_or(0, |status| status.runs),
                functions,
                inputs: status.iter().flat_map(|status| status.inputs.iter().map(describe)).collect(),
                outputs: status.iter().flat_map(|status| status.outputs.iter().map(describe)).collect(),
            }
        });
        models.collect::<Vec<_>>()
    })
    .await
    .map_err(host_problem_of)?;
    Ok(Json(models))
}

fn host_problem_of(problem: spillway_types::Problem) -> spillway_types::Problem {
    host_problem(problem.detail)
}

/// `name: dtype[axis, axis]`, free axes as `?`.
fn describe(tensor: &TensorType) -> String {
    let axes: Vec<String> =
        tensor.shape.iter().map(|axis| axis.map_or_else(|| "?".to_owned(), |axis| axis.to_string())).collect();
    format!("{}: {}[{}]", tensor.name, tensor.dtype, axes.join(", "))
}
