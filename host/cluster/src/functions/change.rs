//! Changing functions: each change is one transaction, which ends with another revision serving or changes nothing.

use rusqlite::{Connection, OptionalExtension, Transaction, params};
use spillway_types::{Digest, FunctionId, RoutePattern};

use super::rows::{self, FunctionRow};
use super::{CommitError, Committed, NewRevision, RevisionRecord};
use crate::blobs::Blobs;
use crate::database::{parsed, to_sql};
use crate::store::Store;

impl Store {
    /// Adds a revision and makes it active, in one step. When exactly this is active already, nothing is written.
    ///
    /// # Errors
    /// A blob is missing, a route belongs to another function, or the store failed; the old revision stays active.
    pub fn commit(&self, new: &NewRevision) -> Result<Committed, CommitError> {
        let blobs = self.blobs();
        self.shared.database.write(|transaction| {
            let routes = distinct(&new.routes);
            let row = find_or_insert(transaction, &new.function)?;
            let same = |old: &RevisionRecord| {
                old.bundle == new.bundle
                    && old.manifest == new.manifest
                    && old.models == new.models
                    && old.routes == routes
            };
            if let Some(active) = row.active
                && new.number.is_none_or(|number| number == active)
                && rows::revision(transaction, row.key, active)?.is_some_and(|old| same(&old))
            {
                return Ok(Committed { number: active, previous: Some(active), unchanged: true });
            }
            let number = new.number.unwrap_or(row.last_number + 1);
            if let Some(old) = rows::revision(transaction, row.key, number)? {
                if same(&old) {
                    return serve(transaction, &blobs, &row, &old);
                }
                transaction.execute(
                    "DELETE FROM revisions WHERE function = ?1 AND number = ?2",
                    params![row.key, to_sql(number)],
                )?;
            }
            let revision = RevisionRecord {
                number,
                bundle: new.bundle,
                manifest: new.manifest.clone(),
                models: new.models.clone(),
                routes,
                created_at_ms: new.created_at_ms,
            };
            insert(transaction, row.key, &revision)?;
            serve(transaction, &blobs, &row, &revision)
        })
    }

    /// Makes a kept revision active again: a rollback, or its undoing.
    ///
    /// # Errors
    /// The function or revision is unknown, one of its routes belongs to another function by now, or the store failed.
    pub fn activate(&self, function: &FunctionId, number: u64) -> Result<Committed, CommitError> {
        let blobs = self.blobs();
        self.shared.database.write(|transaction| {
            let row = find_active(transaction, function)?;
            let Some(revision) = rows::revision(transaction, row.key, number)? else {
                let kept = rows::numbers(transaction, row.key)?;
                return Err(CommitError::UnknownRevision { function: function.clone(), number, kept });
            };
            if row.active == Some(number) {
                return Ok(Committed { number, previous: row.active, unchanged: true });
            }
            serve(transaction, &blobs, &row, &revision)
        })
    }

    /// Removes a function with all its revisions and frees its routes. Its key-value data belongs to the namespace and
    /// stays; its blobs go with the next garbage collection.
    ///
    /// # Errors
    /// There is no such function, or the database failed.
    pub fn remove(&self, function: &FunctionId) -> Result<(), CommitError> {
        self.shared.database.write(|transaction| {
            let row = find_active(transaction, function)?;
            transaction.execute("DELETE FROM active_routes WHERE function = ?1", [row.key])?;
            transaction.execute("UPDATE functions SET active = NULL, previous = NULL WHERE id = ?1", [row.key])?;
            transaction.execute("DELETE FROM revisions WHERE function = ?1", [row.key])?;
            Ok(())
        })
    }
}

/// Refuses the first route that another function has.
pub(super) fn check_routes(
    connection: &Connection,
    function: &FunctionId,
    routes: &[RoutePattern],
) -> Result<(), CommitError> {
    let mut owner_of = connection.prepare_cached(
        "SELECT namespace, name FROM active_routes JOIN functions ON functions.id = active_routes.function
         WHERE host = ?1 AND path = ?2",
    )?;
    for route in routes {
        let owner = owner_of
            .query_row(params![host(route), route.path], |row| Ok(FunctionId::new(parsed(row, 0)?, parsed(row, 1)?)))
            .optional()?;
        if let Some(owner) = owner.filter(|owner| owner != function) {
            return Err(CommitError::RouteTaken { route: route.clone(), owner });
        }
    }
    Ok(())
}

/// Makes `revision` the active one: its blobs are there, its routes are free or its own.
///
/// The blobs are looked for here, inside the transaction, because garbage collection deletes them only inside one.
fn serve(
    transaction: &Transaction<'_>,
    blobs: &Blobs,
    row: &FunctionRow,
    revision: &RevisionRecord,
) -> Result<Committed, CommitError> {
    for digest in needed(revision) {
        if !blobs.contains(digest)? {
            return Err(CommitError::MissingBlob(*digest));
        }
    }
    check_routes(transaction, &row.id, &revision.routes)?;
    transaction.execute("DELETE FROM active_routes WHERE function = ?1", [row.key])?;
    let mut insert =
        transaction.prepare_cached("INSERT INTO active_routes (host, path, function) VALUES (?1, ?2, ?3)")?;
    for route in &revision.routes {
        insert.execute(params![host(route), route.path, row.key])?;
    }
    transaction.execute(
        "UPDATE functions SET active = ?2, previous = ?3, last_number = max(last_number, ?2) WHERE id = ?1",
        params![row.key, to_sql(revision.number), row.active.map(to_sql)],
    )?;
    Ok(Committed { number: revision.number, previous: row.active, unchanged: false })
}

fn needed(revision: &RevisionRecord) -> impl Iterator<Item = &Digest> {
    std::iter::once(&revision.bundle).chain(&revision.models)
}

fn insert(transaction: &Transaction<'_>, key: i64, revision: &RevisionRecord) -> rusqlite::Result<()> {
    let number = to_sql(revision.number);
    transaction.execute(
        "INSERT INTO revisions (function, number, bundle, manifest, created_at_ms) VALUES (?1, ?2, ?3, ?4, ?5)",
        params![key, number, revision.bundle.to_string(), revision.manifest, to_sql(revision.created_at_ms)],
    )?;
    for (position, digest) in (0_i64..).zip(&revision.models) {
        transaction.execute(
            "INSERT INTO revision_models (function, number, position, digest) VALUES (?1, ?2, ?3, ?4)",
            params![key, number, position, digest.to_string()],
        )?;
    }
    for (position, route) in (0_i64..).zip(&revision.routes) {
        transaction.execute(
            "INSERT INTO revision_routes (function, number, position, host, path) VALUES (?1, ?2, ?3, ?4, ?5)",
            params![key, number, position, host(route), route.path],
        )?;
    }
    Ok(())
}

fn find_or_insert(transaction: &Transaction<'_>, function: &FunctionId) -> rusqlite::Result<FunctionRow> {
    if let Some(row) = rows::find(transaction, function)? {
        return Ok(row);
    }
    transaction.execute(
        "INSERT INTO functions (namespace, name) VALUES (?1, ?2)",
        params![function.namespace.as_str(), function.name.as_str()],
    )?;
    let key = transaction.last_insert_rowid();
    Ok(FunctionRow { key, id: function.clone(), last_number: 0, active: None, previous: None })
}

fn find_active(transaction: &Transaction<'_>, function: &FunctionId) -> Result<FunctionRow, CommitError> {
    rows::find(transaction, function)?
        .filter(|row| row.active.is_some())
        .ok_or_else(|| CommitError::UnknownFunction(function.clone()))
}

/// How the database writes "any host": see `schema/v1.sql`.
fn host(route: &RoutePattern) -> &str {
    route.host.as_deref().unwrap_or("")
}

fn distinct(routes: &[RoutePattern]) -> Vec<RoutePattern> {
    let mut distinct: Vec<RoutePattern> = Vec::with_capacity(routes.len());
    for route in routes {
        if !distinct.contains(route) {
            distinct.push(route.clone());
        }
    }
    distinct
}
