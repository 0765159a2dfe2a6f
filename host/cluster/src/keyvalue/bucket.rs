//! What can be done with one bucket.

use rusqlite::{Connection, OptionalExtension, params};

use super::limits::{BATCH_BYTES_MAX, KeyValueError, PAGE_KEYS_MAX, check_batch, check_key, check_pair};
use super::{Bucket, KeyPage};
use crate::database::{from_sql, to_sql};

impl Bucket {
    /// The value under `key`, if there is one.
    ///
    /// # Errors
    /// The key is too long, or the database failed.
    pub fn get(&self, key: &str) -> Result<Option<Vec<u8>>, KeyValueError> {
        check_key(key)?;
        self.shared.database.read(|snapshot| Ok(self.select(snapshot, key)?))
    }

    /// Stores `value` under `key`, replacing what was there. It is durable when this returns.
    ///
    /// # Errors
    /// Key or value is too long, or the database failed.
    pub fn set(&self, key: &str, value: &[u8]) -> Result<(), KeyValueError> {
        check_pair(key, value)?;
        self.shared.database.write(|transaction| Ok(self.upsert(transaction, key, value)?))
    }

    /// Removes `key`; removing what is not there succeeds.
    ///
    /// # Errors
    /// The key is too long, or the database failed.
    pub fn delete(&self, key: &str) -> Result<(), KeyValueError> {
        self.delete_many(&[key])
    }

    /// Whether `key` is there.
    ///
    /// # Errors
    /// The key is too long, or the database failed.
    pub fn exists(&self, key: &str) -> Result<bool, KeyValueError> {
        check_key(key)?;
        self.shared.database.read(|snapshot| {
            let mut query =
                snapshot.prepare_cached("SELECT 1 FROM keyvalue WHERE namespace = ?1 AND bucket = ?2 AND key = ?3")?;
            Ok(query.exists(params![self.namespace.as_str(), self.name, key])?)
        })
    }

    /// One page of at most `page` keys (1 to [`PAGE_KEYS_MAX`]), from the start or from the last page's cursor.
    ///
    /// A listing shows every key that is there from its first page to its last, once, whatever else is set or deleted.
    ///
    /// # Errors
    /// The database failed.
    pub fn list_keys(&self, cursor: Option<u64>, page: usize) -> Result<KeyPage, KeyValueError> {
        let page = page.clamp(1, PAGE_KEYS_MAX);
        // A cursor that we never gave is past the end.
        let after = i64::try_from(cursor.unwrap_or(0)).unwrap_or(i64::MAX);
        self.shared.database.read(|snapshot| {
            let mut query = snapshot.prepare_cached(
                "SELECT position, key FROM keyvalue WHERE namespace = ?1 AND bucket = ?2 AND position > ?3
                 ORDER BY position LIMIT ?4",
            )?;
            // One row more than the page tells whether another follows.
            let wanted = params![self.namespace.as_str(), self.name, after, to_sql(page as u64 + 1)];
            let mut rows: Vec<(i64, String)> =
                query.query_map(wanted, |row| Ok((row.get(0)?, row.get(1)?)))?.collect::<Result<_, _>>()?;
            let more = rows.len() > page;
            rows.truncate(page);
            let cursor = rows.last().filter(|_| more).map(|(position, _)| from_sql(*position));
            Ok(KeyPage { keys: rows.into_iter().map(|(_, key)| key).collect(), cursor })
        })
    }

    /// Adds `delta` to the decimal number under `key` (0 when absent) and returns the sum; no other call comes between.
    ///
    /// # Errors
    /// The key is too long, its value is no number, the sum exceeds 64 bits, or the database failed.
    pub fn increment(&self, key: &str, delta: u64) -> Result<u64, KeyValueError> {
        check_key(key)?;
        self.shared.database.write(|transaction| {
            let value = match self.select(transaction, key)? {
                None => 0,
                Some(bytes) => std::str::from_utf8(&bytes)
                    .ok()
                    .and_then(|text| text.parse::<u64>().ok())
                    .ok_or_else(|| KeyValueError::NotANumber { key: key.to_owned() })?,
            };
            let sum = value.checked_add(delta).ok_or_else(|| KeyValueError::Overflow {
                key: key.to_owned(),
                value,
                delta,
            })?;
            self.upsert(transaction, key, sum.to_string().as_bytes())?;
            Ok(sum)
        })
    }

    /// The values of `keys`, in their order, as they were at one moment.
    ///
    /// # Errors
    /// The batch or a key is too long, the values are too large together, or the database failed.
    pub fn get_many(&self, keys: &[impl AsRef<str>]) -> Result<Vec<Option<Vec<u8>>>, KeyValueError> {
        check_batch(keys.iter().map(|key| (key.as_ref(), 0)))?;
        self.shared.database.read(|snapshot| {
            let mut values = Vec::with_capacity(keys.len());
            let mut bytes = 0;
            for key in keys {
                let value = self.select(snapshot, key.as_ref())?;
                bytes += value.as_ref().map_or(0, Vec::len);
                if bytes > BATCH_BYTES_MAX {
                    return Err(KeyValueError::BatchTooLarge { key: key.as_ref().to_owned() });
                }
                values.push(value);
            }
            Ok(values)
        })
    }

    /// Stores each pair, all or none.
    ///
    /// # Errors
    /// The batch, a key or a value is too long, the values are too large together, or the database failed.
    pub fn set_many(&self, pairs: &[(impl AsRef<str>, impl AsRef<[u8]>)]) -> Result<(), KeyValueError> {
        check_batch(pairs.iter().map(|(key, value)| (key.as_ref(), value.as_ref().len())))?;
        for (key, value) in pairs {
            check_pair(key.as_ref(), value.as_ref())?;
        }
        self.shared.database.write(|transaction| {
            for (key, value) in pairs {
                self.upsert(transaction, key.as_ref(), value.as_ref())?;
            }
            Ok(())
        })
    }

    /// Removes each key, all or none.
    ///
    /// # Errors
    /// The batch or a key is too long, or the database failed.
    pub fn delete_many(&self, keys: &[impl AsRef<str>]) -> Result<(), KeyValueError> {
        check_batch(keys.iter().map(|key| (key.as_ref(), 0)))?;
        self.shared.database.write(|transaction| {
            let mut delete =
                transaction.prepare_cached("DELETE FROM keyvalue WHERE namespace = ?1 AND bucket = ?2 AND key = ?3")?;
            for key in keys {
                delete.execute(params![self.namespace.as_str(), self.name, key.as_ref()])?;
            }
            Ok(())
        })
    }

    fn select(&self, connection: &Connection, key: &str) -> rusqlite::Result<Option<Vec<u8>>> {
        connection
            .prepare_cached("SELECT value FROM keyvalue WHERE namespace = ?1 AND bucket = ?2 AND key = ?3")?
            .query_row(params![self.namespace.as_str(), self.name, key], |row| row.get(0))
            .optional()
    }

    fn upsert(&self, connection: &Connection, key: &str, value: &[u8]) -> rusqlite::Result<()> {
        // Not REPLACE, which would give the key a new position and show it twice in a listing under way.
        connection
            .prepare_cached(
                "INSERT INTO keyvalue (namespace, bucket, key, value) VALUES (?1, ?2, ?3, ?4)
                 ON CONFLICT (namespace, bucket, key) DO UPDATE SET value = excluded.value",
            )?
            .execute(params![self.namespace.as_str(), self.name, key, value])
            .map(drop)
    }
}
