//! Models on the node: listing, inspecting, adding, removing, unloading.

use std::collections::BTreeMap;
use std::sync::{Arc, PoisonError};
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use axum::Json;
use axum::extract::rejection::JsonRejection;
use axum::extract::{Path, State};
use http::StatusCode;
use spillway_cluster::{Fault, ModelRecord};
use spillway_types::api::{AddModel, ModelStatus};
use spillway_types::{Digest, Problem, ProblemType, Scalar, Specialization};

use super::functions::serving;
use super::{Refused, Shared};
use crate::deploy::{blocking, host_problem};
use crate::models::{ModelKey, in_words};
use crate::node::Node;

pub(super) async fn list(State(node): Shared) -> Result<Json<Vec<ModelStatus>>, Refused> {
    Ok(Json(statuses(&node).await?))
}

pub(super) async fn inspect(
    State(node): Shared,
    Path(prefix): Path<String>,
) -> Result<Json<Vec<ModelStatus>>, Refused> {
    let mut models = statuses(&node).await?;
    let digest = find(&models, &prefix)?;
    models.retain(|model| model.digest == digest);
    Ok(Json(models))
}

pub(super) async fn add(
    State(node): Shared,
    body: Result<Json<AddModel>, JsonRejection>,
) -> Result<(StatusCode, Json<Vec<ModelStatus>>), Refused> {
    let Json(request) = body.map_err(|rejection| {
        let detail = format!("{}; send {{\"digest\": \"sha256:…\"}} as application/json", rejection.body_text());
        Problem::new(ProblemType::BadRequest, detail)
    })?;
    let (digest, specialization) = node.add_model(request).await?;
    let fixed = fixed(&specialization);
    let mut models = statuses(&node).await?;
    models.retain(|model| model.digest == digest && model.specialization == fixed);
    Ok((StatusCode::CREATED, Json(models)))
}

pub(super) async fn remove(State(node): Shared, Path(prefix): Path<String>) -> Result<StatusCode, Refused> {
    let digest = find(&statuses(&node).await?, &prefix)?;
    node.remove_model(digest).await?;
    Ok(StatusCode::NO_CONTENT)
}

pub(super) async fn unload(State(node): Shared, Path(prefix): Path<String>) -> Result<StatusCode, Refused> {
    let digest = find(&statuses(&node).await?, &prefix)?;
    node.unload_model(digest)?;
    Ok(StatusCode::NO_CONTENT)
}

/// The one model whose digest begins so.
fn find(models: &[ModelStatus], prefix: &str) -> Result<Digest, Problem> {
    find_digest(models.iter().map(|model| model.digest), prefix)
}

fn find_digest(digests: impl Iterator<Item = Digest>, prefix: &str) -> Result<Digest, Problem> {
    let hex = prefix.strip_prefix("sha256:").unwrap_or(prefix);
    let mut found: Vec<Digest> = digests.filter(|digest| !hex.is_empty() && digest.hex().starts_with(hex)).collect();
    // In order already; one model with two specializations is there twice.
    found.dedup();
    match found.as_slice() {
        [digest] => Ok(*digest),
        [] => {
            let detail = format!("there is no model {prefix}; `spillway models` lists them");
            Err(Problem::new(ProblemType::NotFound, detail))
        }
        several => {
            let several: Vec<String> = several.iter().map(Digest::short).collect();
            let detail = format!("{prefix} may be {}; write more of the digest", several.join(" or "));
            Err(Problem::new(ProblemType::BadRequest, detail))
        }
    }
}

/// Every model that a function names, that was added, or that is in memory; by digest.
async fn statuses(node: &Arc<Node>) -> Result<Vec<ModelStatus>, Problem> {
    let mut users: BTreeMap<ModelKey, Vec<String>> = BTreeMap::new();
    {
        let functions = node.functions.read().unwrap_or_else(PoisonError::into_inner);
        for (id, deployed) in functions.iter() {
            for grant in serving(deployed).0.models.values() {
                let Some(digest) = grant.digest else { continue };
                let users = users.entry((digest, grant.specialization.clone())).or_default();
                // A function may have two names for one model.
                if users.last() != Some(&id.to_string()) {
                    users.push(id.to_string());
                }
            }
        }
    }
    let node = node.clone();
    blocking(move || describe_all(&node, users)).await?.map_err(host_problem)
}

fn describe_all(node: &Node, mut users: BTreeMap<ModelKey, Vec<String>>) -> Result<Vec<ModelStatus>, Fault> {
    let key = |record: &ModelRecord| (record.digest, record.specialization.clone());
    let added: BTreeMap<ModelKey, ModelRecord> =
        node.store.models()?.into_iter().map(|record| (key(&record), record)).collect();
    let known = node.models.known().into_iter().map(|model| ((model.digest, model.specialization.clone()), model));
    let mut known: BTreeMap<_, _> = known.collect();
    for key in known.keys().chain(added.keys()) {
        users.entry(key.clone()).or_default();
    }
    let models = users.into_iter().map(|(key, functions)| {
        let (model, record) = (known.remove(&key), added.get(&key));
        describe(node, key, functions, record, model)
    });
    Ok(models.collect())
}

fn describe(
    node: &Node,
    (digest, specialization): ModelKey,
    functions: Vec<String>,
    added: Option<&ModelRecord>,
    model: Option<spillway_inference::ModelStatus>,
) -> ModelStatus {
    let model = model.as_ref();
    let count = |of: fn(&spillway_inference::ModelStatus) -> u64| model.map_or(0, of);
    // One that nobody holds is remembered as it was when it was added.
    let (engine, inputs, outputs) = match (model, added) {
        (Some(model), _) => (model.engine.to_owned(), in_words(&model.inputs), in_words(&model.outputs)),
        (None, Some(record)) => (record.engine.clone(), record.inputs.clone(), record.outputs.clone()),
        (None, None) => Default::default(),
    };
    ModelStatus {
        digest,
        label: added.map_or_else(String::new, |record| record.label.clone()),
        added_at: added.map(|record| rfc3339(UNIX_EPOCH + Duration::from_millis(record.added_at_ms))),
        specialization: fixed(&specialization),
        // What a guest has brought has no file here.
        file_bytes: node.store.blobs().size(&digest).unwrap_or(0),
        engine,
        loaded: model.is_some_and(|model| model.is_loaded),
        memory_bytes: count(|model| model.memory_bytes as u64),
        load_seconds: model.map_or(0.0, |model| model.load_time.as_secs_f64()),
        loads: count(|model| model.loads),
        hits: count(|model| model.hits),
        runs: count(|model| model.runs),
        failed_runs: count(|model| model.failed_runs),
        last_used_at: model.map(|model| rfc3339(SystemTime::now() - model.last_used.elapsed())),
        functions,
        inputs,
        outputs,
    }
}

fn rfc3339(time: SystemTime) -> String {
    humantime::format_rfc3339_seconds(time).to_string()
}

/// `x: [1, 512]` for a shape, `sr = 16000` for a constant.
fn fixed(specialization: &Specialization) -> Vec<String> {
    let shapes = specialization.shapes.iter().map(|(name, shape)| format!("{name}: {shape:?}"));
    let constants = specialization.constants.iter().map(|(name, value)| {
        let value = match value {
            Scalar::Integer(number) => number.to_string(),
            Scalar::Float(bits) => f64::from_bits(*bits).to_string(),
            Scalar::Boolean(value) => value.to_string(),
        };
        format!("{name} = {value}")
    });
    shapes.chain(constants).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_model_is_found_by_the_beginning_of_its_digest_if_no_other_begins_so() {
        let digest = |bytes: [u8; 2]| {
            let mut whole = [0; 32];
            whole[..2].copy_from_slice(&bytes);
            Digest::from_bytes(whole)
        };
        let (one, other) = (digest([0xab, 0x01]), digest([0xab, 0x02]));
        let find = |prefix: &str| find_digest([one, one, other].into_iter(), prefix);
        for prefix in ["ab01", "sha256:ab010", &one.to_string()] {
            assert_eq!(find(prefix), Ok(one));
        }
        let several = find("ab").unwrap_err();
        assert!(several.is(ProblemType::BadRequest), "{several:?}");
        assert!(several.detail.contains("ab0100000000 or ab0200000000"), "{several:?}");
        for prefix in ["", "sha256:", "cd", "AB01"] {
            assert!(find(prefix).unwrap_err().is(ProblemType::NotFound), "{prefix}");
        }
    }

    #[test]
    fn what_is_fixed_about_a_model_reads_as_in_a_listing() {
        let specialization = Specialization {
            shapes: [("x".to_owned(), vec![1, 512])].into(),
            constants: [("gain", Scalar::Float(0.5_f64.to_bits())), ("sr", Scalar::Integer(16_000))]
                .map(|(name, value)| (name.to_owned(), value))
                .into(),
        };
        assert_eq!(fixed(&specialization), ["x: [1, 512]", "gain = 0.5", "sr = 16000"]);
    }
}
