//! Models that an operator has added: they stay whether a function names them or not.

use rusqlite::{Connection, params};
use spillway_types::{Digest, FunctionId};

use crate::database::{from_sql, parsed, to_sql};
use crate::fault::Fault;
use crate::store::Store;

/// A model that was added.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ModelRecord {
    /// Its file, a blob.
    pub digest: Digest,
    /// What the operator calls it.
    pub label: String,
    /// Milliseconds since 1970, by the clock of whoever added it.
    pub added_at_ms: u64,
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
    /// Keeps a model's file from garbage collection until it is [removed](Self::remove_model). Added again it gets the
    /// new label.
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
                "INSERT INTO models (digest, label, added_at_ms) VALUES (?1, ?2, ?3)
                 ON CONFLICT (digest) DO UPDATE SET label = excluded.label",
                params![model.digest.to_string(), model.label, to_sql(model.added_at_ms)],
            )?;
            Ok(())
        })
    }

    /// Takes back [`add_model`](Self::add_model), and says whether the model had been added. Its file goes with a later
    /// garbage collection.
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
            let mut query = snapshot.prepare("SELECT digest, label, added_at_ms FROM models ORDER BY digest")?;
            let record = |row: &rusqlite::Row<'_>| {
                Ok(ModelRecord { digest: parsed(row, 0)?, label: row.get(1)?, added_at_ms: from_sql(row.get(2)?) })
            };
            Ok(query.query_map([], record)?.collect::<Result<_, _>>()?)
        })
    }
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
