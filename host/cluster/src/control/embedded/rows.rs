//! The table `control`: the last change of each key.

use std::time::Duration;

use bytes::Bytes;
use rusqlite::{Connection, OptionalExtension as _, Row, params};

use crate::control::{ControlKey, Entry, Listing, TOMBSTONE_TTL, Version};
use crate::database::{from_sql, parsed, to_sql};

/// The last change of `key`, as long as it is remembered.
pub(super) fn last(connection: &Connection, key: &ControlKey) -> rusqlite::Result<Option<Entry>> {
    connection
        .prepare_cached("SELECT version, key, value FROM control WHERE key = ?1")?
        .query_row([key.as_str()], entry)
        .optional()
}

/// Everything with a value below `prefix`, and the last change that this includes.
pub(super) fn list(connection: &Connection, prefix: &ControlKey) -> rusqlite::Result<Listing> {
    let (from, to) = below(prefix);
    let entries = connection
        .prepare_cached(
            "SELECT version, key, value FROM control WHERE key > ?1 AND key < ?2 AND value IS NOT NULL ORDER BY key",
        )?
        .query_map([&from, &to], entry)?
        .collect::<Result<_, _>>()?;
    let version = connection
        .prepare_cached("SELECT coalesce(max(version), 0) FROM control WHERE key > ?1 AND key < ?2")?
        .query_row([&from, &to], |row| row.get(0))?;
    Ok(Listing { entries, version: Version(from_sql(version)) })
}

/// At most `page` changes below `prefix` after `after`, oldest first.
pub(super) fn changes(
    connection: &Connection,
    prefix: &ControlKey,
    after: Version,
    page: usize,
) -> rusqlite::Result<Vec<Entry>> {
    let (from, to) = below(prefix);
    connection
        .prepare_cached(
            // The `+` keeps SQLite on the order of versions, where a watch has little to read.
            "SELECT version, key, value FROM control WHERE version > ?1 AND +key > ?2 AND +key < ?3
             ORDER BY version LIMIT ?4",
        )?
        .query_map(params![to_sql(after.0), from, to, to_sql(page as u64)], entry)?
        .collect()
}

/// Makes a change of `key`, which for a lease expires after `ttl`; returns its version.
pub(super) fn put(
    connection: &Connection,
    key: &ControlKey,
    value: Option<&Bytes>,
    ttl: Option<Duration>,
    now_ms: i64,
) -> rusqlite::Result<Version> {
    let expires_at_ms = ttl.map(|ttl| now_ms.saturating_add(i64::try_from(ttl.as_millis()).unwrap_or(i64::MAX)));
    // REPLACE gives the row a new version, which is what a change is.
    connection
        .prepare_cached("REPLACE INTO control (key, changed_at_ms, expires_at_ms, value) VALUES (?1, ?2, ?3, ?4)")?
        .execute(params![key.as_str(), now_ms, expires_at_ms, value.map(|value| &value[..])])?;
    Ok(Version(from_sql(connection.last_insert_rowid())))
}

/// When the next lease expires.
pub(super) fn next_expiry(connection: &Connection) -> rusqlite::Result<Option<i64>> {
    connection
        .prepare_cached("SELECT min(expires_at_ms) FROM control WHERE expires_at_ms IS NOT NULL")?
        .query_row([], |row| row.get(0))
}

/// Takes away the values of leases that have expired; each is a change.
pub(super) fn expire(connection: &Connection, now_ms: i64) -> rusqlite::Result<()> {
    let expired: Vec<ControlKey> = connection
        .prepare_cached("SELECT key FROM control WHERE expires_at_ms <= ?1 ORDER BY expires_at_ms, version")?
        .query_map([now_ms], |row| parsed(row, 0))?
        .collect::<Result<_, _>>()?;
    for key in expired {
        put(connection, &key, None, None, now_ms)?;
    }
    Ok(())
}

/// Forgets deletions that everybody has had the time to see.
pub(super) fn forget_tombstones(connection: &Connection, now_ms: i64) -> rusqlite::Result<()> {
    let before = now_ms.saturating_sub(TOMBSTONE_TTL.as_millis() as i64);
    connection
        .prepare_cached("DELETE FROM control WHERE value IS NULL AND changed_at_ms < ?1")?
        .execute([before])
        .map(drop)
}

/// Between which strings all keys below `prefix` lie: `/` follows on `.`, and no key has it.
fn below(prefix: &ControlKey) -> (String, String) {
    (format!("{prefix}."), format!("{prefix}/"))
}

fn entry(row: &Row<'_>) -> rusqlite::Result<Entry> {
    let value: Option<Vec<u8>> = row.get(2)?;
    Ok(Entry { key: parsed(row, 1)?, value: value.map(Bytes::from), version: Version(from_sql(row.get(0)?)) })
}
