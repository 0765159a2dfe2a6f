//! Garbage collection: old revisions, then blobs that nobody refers to.

mod plan;

use std::collections::HashSet;
use std::fs;
use std::io;
use std::path::Path;
use std::time::{Duration, SystemTime};

use rusqlite::{Connection, params};
use spillway_types::Digest;

use self::plan::Candidate;
use crate::blobs::{Blob, Blobs};
use crate::database::{from_sql, lock, parsed, to_sql};
use crate::fault::Fault;
use crate::store::Store;

/// What to keep.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct GcPolicy {
    /// How many of each function's newest revisions to keep while the budget allows. The active one and the one before it
    /// stay whatever this says.
    pub keep_revisions: usize,
    /// How many bytes the blobs may take. Beyond it, the oldest revisions that free a blob go too.
    pub disk_budget_bytes: u64,
    /// How long an unreferenced blob stays after it was uploaded or renewed: longer than any deploy takes from its first
    /// upload to its commit.
    pub grace: Duration,
    /// How long an upload may go without a write before it is discarded.
    pub staging_max_age: Duration,
}

/// What garbage collection did.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct GcReport {
    /// Revisions that are gone.
    pub removed_revisions: u64,
    /// Blobs that are gone.
    pub removed_blobs: u64,
    /// Uploads that were discarded because they stood still.
    pub removed_uploads: u64,
    /// Bytes of those blobs and uploads.
    pub freed_bytes: u64,
    /// Bytes of the blobs that stay: above the budget when what must be kept does not fit.
    pub kept_bytes: u64,
}

impl Store {
    /// Drops what the policy does not keep, at the time `now`. Blobs `in_use` (loaded models, revisions with calls in
    /// flight) keep their files even when nothing in the database refers to them any more.
    ///
    /// Safe beside deploys, and to kill at any moment: revisions are deleted before the files they refer to.
    ///
    /// # Errors
    /// The store failed; what was done so far is consistent, and the next run does the rest.
    pub fn gc(&self, policy: &GcPolicy, in_use: &[Digest], now: SystemTime) -> Result<GcReport, Fault> {
        let mut report = GcReport::default();
        let old = |renewed: SystemTime, age: Duration| now.duration_since(renewed).is_ok_and(|since| since >= age);
        for (path, bytes, written) in self.blobs().staged()? {
            if old(written, policy.staging_max_age) && remove_file(&path)? {
                report.removed_uploads += 1;
                report.freed_bytes += bytes;
            }
        }
        let blobs = self.blobs().list()?;
        let young = blobs.iter().filter(|blob| !old(blob.renewed, policy.grace)).map(|blob| blob.digest);
        let added = self.models()?.into_iter().map(|model| model.digest);
        let pinned: HashSet<Digest> = young.chain(in_use.iter().copied()).chain(added).collect();
        report.removed_revisions = self.drop_revisions(policy, &blobs, &pinned)?;
        for blob in blobs {
            if !pinned.contains(&blob.digest) && self.drop_blob(&blob)? {
                report.removed_blobs += 1;
                report.freed_bytes += blob.bytes;
            } else {
                report.kept_bytes += blob.bytes;
            }
        }
        Ok(report)
    }

    fn drop_revisions(&self, policy: &GcPolicy, blobs: &[Blob], pinned: &HashSet<Digest>) -> Result<u64, Fault> {
        let bytes = blobs.iter().map(|blob| (blob.digest, blob.bytes)).collect();
        self.shared.database.write(|transaction| {
            let candidates = candidates(transaction, policy.keep_revisions)?;
            let surplus = plan::surplus(candidates, &bytes, pinned, policy.disk_budget_bytes);
            for revision in &surplus {
                transaction.execute(
                    "DELETE FROM revisions WHERE function = ?1 AND number = ?2",
                    params![revision.function, to_sql(revision.number)],
                )?;
            }
            Ok(surplus.len() as u64)
        })
    }

    /// Deletes the file unless something refers to the blob or renewed it since it was listed.
    fn drop_blob(&self, listed: &Blob) -> Result<bool, Fault> {
        // As the writer, so that no commit comes between question and deletion; blob by blob, so that none waits long.
        self.shared.database.write(|transaction| {
            if is_referenced(transaction, &listed.digest)? {
                return Ok(false);
            }
            let path = self.blobs().path(&listed.digest);
            let _publishing = lock(&self.shared.publishing);
            let renewed = match fs::metadata(&path).and_then(|file| file.modified()) {
                Ok(renewed) => renewed,
                Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(false),
                Err(error) => return Err(Fault::file("read the time of", &path)(error)),
            };
            // The folder is not synced: a power cut may bring back a whole blob without reference, which the next run takes.
            if renewed == listed.renewed { remove_file(&path) } else { Ok(false) }
        })
    }
}

impl Blobs {
    /// Deletes a blob, unless something refers to it; whether it was there to be deleted.
    pub(crate) fn remove(&self, digest: &Digest) -> Result<bool, Fault> {
        self.shared.database.write(|transaction| {
            if is_referenced(transaction, digest)? {
                return Ok(false);
            }
            let _publishing = lock(&self.shared.publishing);
            remove_file(&self.path(digest))
        })
    }
}

fn is_referenced(connection: &Connection, digest: &Digest) -> rusqlite::Result<bool> {
    connection
        .prepare_cached(
            "SELECT 1 FROM revisions WHERE bundle = ?1 UNION ALL SELECT 1 FROM revision_models WHERE digest = ?1
             UNION ALL SELECT 1 FROM models WHERE digest = ?1",
        )?
        .exists([digest.to_string()])
}

/// Whether it was there to be removed.
fn remove_file(path: &Path) -> Result<bool, Fault> {
    match fs::remove_file(path) {
        Ok(()) => Ok(true),
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(false),
        Err(error) => Err(Fault::file("remove", path)(error)),
    }
}

/// All revisions, each with what must be known to decide about it.
fn candidates(connection: &Connection, keep_revisions: usize) -> rusqlite::Result<Vec<Candidate>> {
    let mut query = connection.prepare(
        "SELECT function, number, created_at_ms, bundle,
                number IN (coalesce(active, 0), coalesce(previous, 0)),
                row_number() OVER (PARTITION BY function ORDER BY number DESC)
         FROM revisions JOIN functions ON functions.id = revisions.function",
    )?;
    let mut models = connection.prepare("SELECT digest FROM revision_models WHERE function = ?1 AND number = ?2")?;
    let mut found = Vec::new();
    let mut rows = query.query([])?;
    while let Some(row) = rows.next()? {
        let (function, number): (i64, i64) = (row.get(0)?, row.get(1)?);
        let mut blobs: Vec<Digest> =
            models.query_map([function, number], |row| parsed(row, 0))?.collect::<Result<_, _>>()?;
        blobs.push(parsed(row, 3)?);
        found.push(Candidate {
            function,
            number: from_sql(number),
            created_at_ms: from_sql(row.get(2)?),
            blobs,
            serves: row.get(4)?,
            recent: from_sql(row.get(5)?) <= keep_revisions as u64,
        });
    }
    Ok(found)
}
