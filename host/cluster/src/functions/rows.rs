//! Reading functions and revisions from the database.

use rusqlite::{Connection, OptionalExtension, Row, params};
use spillway_types::{FunctionId, RoutePattern};

use super::{FunctionRecord, RevisionRecord};
use crate::database::{from_sql, parsed, to_sql};
use crate::fault::Fault;

/// A row of `functions`, which is there after `rm` too.
pub(super) struct FunctionRow {
    /// The row's key.
    pub(super) key: i64,
    /// Which function.
    pub(super) id: FunctionId,
    /// The newest number ever given.
    pub(super) last_number: u64,
    /// What serves; `None` after `rm`.
    pub(super) active: Option<u64>,
    /// What served before.
    pub(super) previous: Option<u64>,
}

const COLUMNS: &str = "SELECT id, namespace, name, last_number, active, previous FROM functions";

fn function_row(row: &Row<'_>) -> rusqlite::Result<FunctionRow> {
    Ok(FunctionRow {
        key: row.get(0)?,
        id: FunctionId::new(parsed(row, 1)?, parsed(row, 2)?),
        last_number: from_sql(row.get(3)?),
        active: row.get::<_, Option<i64>>(4)?.map(from_sql),
        previous: row.get::<_, Option<i64>>(5)?.map(from_sql),
    })
}

/// The row of a function, if it ever had one.
pub(super) fn find(connection: &Connection, function: &FunctionId) -> rusqlite::Result<Option<FunctionRow>> {
    connection
        .prepare_cached(&format!("{COLUMNS} WHERE namespace = ?1 AND name = ?2"))?
        .query_row(params![function.namespace.as_str(), function.name.as_str()], function_row)
        .optional()
}

/// The rows of all functions that serve, ordered by name.
pub(super) fn all(connection: &Connection) -> rusqlite::Result<Vec<FunctionRow>> {
    connection
        .prepare_cached(&format!("{COLUMNS} WHERE active IS NOT NULL ORDER BY namespace, name"))?
        .query_map([], function_row)?
        .collect()
}

/// The function with its revisions; `None` once it was removed.
pub(super) fn record(connection: &Connection, row: FunctionRow) -> Result<Option<FunctionRecord>, Fault> {
    let Some(active) = row.active else { return Ok(None) };
    let mut revisions = Vec::new();
    for number in numbers(connection, row.key)? {
        revisions.extend(revision(connection, row.key, number)?);
    }
    Ok(Some(FunctionRecord { id: row.id, active, previous: row.previous, revisions }))
}

/// The numbers of a function's kept revisions, ascending.
pub(super) fn numbers(connection: &Connection, key: i64) -> rusqlite::Result<Vec<u64>> {
    connection
        .prepare_cached("SELECT number FROM revisions WHERE function = ?1 ORDER BY number")?
        .query_map([key], |row| row.get(0).map(from_sql))?
        .collect()
}

/// One revision, if it is kept.
pub(super) fn revision(connection: &Connection, key: i64, number: u64) -> rusqlite::Result<Option<RevisionRecord>> {
    let which = params![key, to_sql(number)];
    let found = connection
        .prepare_cached("SELECT bundle, manifest, created_at_ms FROM revisions WHERE function = ?1 AND number = ?2")?
        .query_row(which, |row| Ok((parsed(row, 0)?, row.get(1)?, from_sql(row.get(2)?))))
        .optional()?;
    let Some((bundle, manifest, created_at_ms)) = found else { return Ok(None) };
    let models = connection
        .prepare_cached("SELECT digest FROM revision_models WHERE function = ?1 AND number = ?2 ORDER BY position")?
        .query_map(which, |row| parsed(row, 0))?
        .collect::<Result<_, _>>()?;
    let routes = connection
        .prepare_cached("SELECT host, path FROM revision_routes WHERE function = ?1 AND number = ?2 ORDER BY position")?
        .query_map(which, |row| {
            let host: String = row.get(0)?;
            Ok(RoutePattern { host: Some(host).filter(|host| !host.is_empty()), path: row.get(1)? })
        })?
        .collect::<Result<_, _>>()?;
    Ok(Some(RevisionRecord { number, bundle, manifest, models, routes, created_at_ms }))
}
