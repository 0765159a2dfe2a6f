//! Whether files and database agree.

use std::collections::BTreeSet;

use rusqlite::Connection;
use spillway_types::Digest;

use crate::database::parsed;
use crate::fault::Fault;
use crate::store::Store;

/// Where files and database differ. In a sound store `missing` is empty at any moment.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Consistency {
    /// Blobs that a revision or an added model refers to and that have no file.
    pub missing: Vec<Digest>,
    /// Blobs that nothing refers to: uploaded for a deploy that has not committed, or left for garbage collection.
    pub unreferenced: Vec<Digest>,
    /// How many uploads are under way; none in a store that was just opened.
    pub staged: usize,
}

impl Store {
    /// Compares files and database. Blobs are not read; [`Digest::of_reader`] over [`crate::Blobs::open`] verifies one.
    ///
    /// # Errors
    /// The store cannot be read.
    pub fn consistency(&self) -> Result<Consistency, Fault> {
        // As the writer, so that no commit and no garbage collection comes between the two lists.
        self.shared.database.write(|transaction| {
            let referenced = referenced(transaction)?;
            let files: BTreeSet<Digest> = self.blobs().list()?.into_iter().map(|blob| blob.digest).collect();
            Ok(Consistency {
                missing: referenced.difference(&files).copied().collect(),
                unreferenced: files.difference(&referenced).copied().collect(),
                staged: self.blobs().staged()?.len(),
            })
        })
    }
}

fn referenced(connection: &Connection) -> rusqlite::Result<BTreeSet<Digest>> {
    connection
        .prepare(
            "SELECT bundle FROM revisions UNION SELECT digest FROM revision_models UNION SELECT digest FROM models",
        )?
        .query_map([], |row| parsed(row, 0))?
        .collect()
}
