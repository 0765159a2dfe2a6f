//! Models that an operator has added: they stay whether a function names them or not.

use rusqlite::types::Type;
use rusqlite::{Connection, Row, params};
use serde::Serialize;
use serde::de::DeserializeOwned;
use spillway_types::{Digest, FunctionId, Specialization};

use crate::database::{from_sql, parsed, to_sql};
use crate::fault::Fault;
use crate::store::Store;

/// A model that was added.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ModelRecord {
    /// Its file, a blob.
    pub digest: Digest,
    /// What is fixed about it.
    pub specialization: Specialization,
    /// What the operator calls it.
    pub label: String,
    /// Milliseconds since 1970, by the clock of whoever added it.
    pub added_at_ms: u64,
    /// What ran it when it was added; empty if that was before this was kept.
    pub engine: String,
    /// Its inputs then, in words.
    pub inputs: Vec<String>,
    /// Its outputs then, in words.
    pub outputs: Vec<String>,
}

/// Why a model was not added or removed. Nothing was written.
#[derive(Debug, thiserror::Error)]
pub enum ModelError {
    /// Its file is not there.
    #[error("blob {0} is not on this node; upload it first")]
    MissingBlob(Digest),
    /// A function may open it: its serving revision, or the one that it would be rolled back to.
    #[error("model {digest} is used by {}; remove it there first, or remove the function", Names(functions))]
    InUse {
        /// The model.
        digest: Digest,
        /// By whom.
        functions: Vec<FunctionId>,
    },
    /// The store failed.
    #[error(transparent)]
    Fault(#[from] Fault),
}

impl From<rusqlite::Error> for ModelError {
    fn from(error: rusqlite::Error) -> Self {
        Self::Fault(error.into())
    }
}

impl Store {
    /// Keeps a model's file from garbage collection until it is [removed](Self::remove_model). Added again with the same
    /// specialization it gets the new label and description, and keeps its time.
    ///
    /// # Errors
    /// The blob is not there, or the store failed.
    pub fn add_model(&self, model: &ModelRecord) -> Result<(), ModelError> {
        let blobs = self.blobs();
        self.shared.database.write(|transaction| {
            // Inside the transaction, because garbage collection deletes only inside one.
            if !blobs.contains(&model.digest)? {
                return Err(ModelError::MissingBlob(model.digest));
            }
            transaction.execute(
                "INSERT INTO models (digest, specialization, label, added_at_ms, engine, inputs, outputs)
                 VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7)
                 ON CONFLICT (digest, specialization) DO UPDATE
                 SET label = excluded.label, engine = excluded.engine, inputs = excluded.inputs,
                     outputs = excluded.outputs",
                params![
                    model.digest.to_string(),
                    json(&model.specialization)?,
                    model.label,
                    to_sql(model.added_at_ms),
                    model.engine,
                    json(&model.inputs)?,
                    json(&model.outputs)?,
                ],
            )?;
            Ok(())
        })
    }

    /// Takes back [`add_model`](Self::add_model), whatever was fixed, and says whether the model had been added. Its file
    /// goes with a later garbage collection.
    ///
    /// # Errors
    /// A function may open it, or the store failed.
    pub fn remove_model(&self, digest: &Digest) -> Result<bool, ModelError> {
        self.shared.database.write(|transaction| {
            let functions = users(transaction, digest)?;
            if !functions.is_empty() {
                return Err(ModelError::InUse { digest: *digest, functions });
            }
            let removed = transaction.execute("DELETE FROM models WHERE digest = ?1", [digest.to_string()])?;
            Ok(removed > 0)
        })
    }

    /// The models that were added, by digest.
    ///
    /// # Errors
    /// The database failed.
    pub fn models(&self) -> Result<Vec<ModelRecord>, Fault> {
        self.shared.database.read(|snapshot| {
            let mut query = snapshot.prepare(
                "SELECT digest, specialization, label, added_at_ms, engine, inputs, outputs FROM models
                 ORDER BY digest, specialization",
            )?;
            Ok(query.query_map([], record)?.collect::<Result<_, _>>()?)
        })
    }
}

fn record(row: &Row<'_>) -> rusqlite::Result<ModelRecord> {
    Ok(ModelRecord {
        digest: parsed(row, 0)?,
        specialization: from_json(row, 1)?,
        label: row.get(2)?,
        added_at_ms: from_sql(row.get(3)?),
        engine: row.get(4)?,
        inputs: from_json(row, 5)?,
        outputs: from_json(row, 6)?,
    })
}

fn json(value: &impl Serialize) -> rusqlite::Result<String> {
    serde_json::to_string(value).map_err(|error| rusqlite::Error::ToSqlConversionFailure(Box::new(error)))
}

fn from_json<T: DeserializeOwned>(row: &Row<'_>, column: usize) -> rusqlite::Result<T> {
    let text = row.get_ref(column)?.as_str()?;
    serde_json::from_str(text)
        .map_err(|error| rusqlite::Error::FromSqlConversionFailure(column, Type::Text, Box::new(error)))
}

/// The functions whose active revision, or the one before, names the model.
fn users(connection: &Connection, digest: &Digest) -> rusqlite::Result<Vec<FunctionId>> {
    let mut query = connection.prepare(
        "SELECT DISTINCT namespace, name FROM revision_models
         JOIN functions ON functions.id = revision_models.function AND number IN (active, previous)
         WHERE digest = ?1 ORDER BY namespace, name",
    )?;
    let function = |row: &rusqlite::Row<'_>| Ok(FunctionId::new(parsed(row, 0)?, parsed(row, 1)?));
    query.query_map([digest.to_string()], function)?.collect()
}

/// `function a, b`.
struct Names<'a>(&'a [FunctionId]);

impl std::fmt::Display for Names<'_> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let names: Vec<String> = self.0.iter().map(ToString::to_string).collect();
        write!(f, "{} {}", if names.len() == 1 { "function" } else { "functions" }, names.join(", "))
    }
}
