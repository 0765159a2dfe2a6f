//! Refusals that somebody may have to answer for.

use rusqlite::params;
use spillway_types::{AuditKind, FunctionId};

use crate::database::{from_sql, parsed, to_sql};
use crate::fault::Fault;
use crate::store::Store;

/// The newest that are kept.
const KEPT: i64 = 10_000;

/// One kind of refusal, of one function and one other node, so many times within a second.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct AuditEntry {
    /// When the first was, in milliseconds since 1970.
    pub time_ms: u64,
    /// What was refused.
    pub kind: AuditKind,
    /// Whose call it was.
    pub function: Option<FunctionId>,
    /// The other node, if one had part in it.
    pub peer: Option<String>,
    /// The first invocation.
    pub invocation: Option<String>,
    /// How many there were.
    pub count: u64,
    /// Why, of the first.
    pub detail: String,
}

impl Store {
    /// Adds records; the oldest go beyond ten thousand.
    ///
    /// # Errors
    /// The database failed; then nothing was added.
    pub fn add_audit(&self, entries: &[AuditEntry]) -> Result<(), Fault> {
        self.shared.database.write(|transaction| {
            let mut add = transaction.prepare_cached(
                "INSERT INTO audit (time_ms, kind, function, peer, invocation, count, detail) VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7)",
            )?;
            for AuditEntry { time_ms, kind, function, peer, invocation, count, detail } in entries {
                let function = function.as_ref().map(ToString::to_string);
                add.execute(params![to_sql(*time_ms), kind.as_str(), function, peer, invocation, to_sql(*count), detail])?;
            }
            transaction.execute("DELETE FROM audit WHERE id <= (SELECT max(id) FROM audit) - ?1", [KEPT])?;
            Ok(())
        })
    }

    /// The newest records, oldest first.
    ///
    /// # Errors
    /// The database failed.
    pub fn audit(&self, newest: u32) -> Result<Vec<AuditEntry>, Fault> {
        self.shared.database.read(|snapshot| {
            let mut read = snapshot.prepare_cached(
                "SELECT time_ms, kind, function, peer, invocation, count, detail FROM audit ORDER BY id DESC LIMIT ?1",
            )?;
            let entry = |row: &rusqlite::Row<'_>| {
                let has_function = row.get_ref(2)? != rusqlite::types::ValueRef::Null;
                Ok(AuditEntry {
                    time_ms: from_sql(row.get(0)?),
                    kind: parsed(row, 1)?,
                    function: has_function.then(|| parsed(row, 2)).transpose()?,
                    peer: row.get(3)?,
                    invocation: row.get(4)?,
                    count: from_sql(row.get(5)?),
                    detail: row.get(6)?,
                })
            };
            let mut entries = read.query_map([newest], entry)?.collect::<rusqlite::Result<Vec<_>>>()?;
            entries.reverse();
            Ok(entries)
        })
    }
}
