//! The public keys that this node believes: what [`TrustedKeys`] rules, kept.

use rusqlite::{Connection, params};
use spillway_trust::{KeyId, PublicKey, TrustError, TrustedKey, TrustedKeys};

use crate::database::{from_sql, parsed, to_sql};
use crate::fault::Fault;
use crate::store::Store;

/// Why a key was not trusted or not revoked. Nothing was written.
#[derive(Debug, thiserror::Error)]
pub enum TrustedKeyError {
    /// The rules forbid it.
    #[error(transparent)]
    Refused(#[from] TrustError),
    /// The store failed.
    #[error(transparent)]
    Fault(#[from] Fault),
}

impl From<rusqlite::Error> for TrustedKeyError {
    fn from(error: rusqlite::Error) -> Self {
        Self::Fault(error.into())
    }
}

impl Store {
    /// Every key that was ever trusted.
    ///
    /// # Errors
    /// The database failed.
    pub fn trusted_keys(&self) -> Result<TrustedKeys, Fault> {
        self.shared.database.read(|snapshot| Ok(read(snapshot)?))
    }

    /// As [`TrustedKeys::trust`].
    ///
    /// # Errors
    /// The key was revoked, the name does not do, or the store failed.
    pub fn trust_key(&self, key: &PublicKey, name: &str, now_ms: u64) -> Result<TrustedKey, TrustedKeyError> {
        self.shared.database.write(|transaction| {
            let mut keys = read(transaction)?;
            let trusted = keys.trust(key.clone(), name, now_ms)?;
            write(transaction, trusted)?;
            Ok(trusted.clone())
        })
    }

    /// Finds a key by its id and does as [`TrustedKeys::revoke`].
    ///
    /// # Errors
    /// No key has the id, or several, or the store failed.
    pub fn revoke_key(&self, id: KeyId, now_ms: u64) -> Result<TrustedKey, TrustedKeyError> {
        self.shared.database.write(|transaction| {
            let mut keys = read(transaction)?;
            let key = keys.find(id)?.key.clone();
            let revoked = keys.revoke(&key, now_ms)?;
            write(transaction, revoked)?;
            Ok(revoked.clone())
        })
    }
}

fn read(connection: &Connection) -> rusqlite::Result<TrustedKeys> {
    let mut query = connection.prepare("SELECT key, name, trusted_at_ms, revoked_at_ms FROM trusted_keys")?;
    let key = |row: &rusqlite::Row<'_>| {
        Ok(TrustedKey {
            key: parsed(row, 0)?,
            name: row.get(1)?,
            trusted_at_ms: from_sql(row.get(2)?),
            revoked_at_ms: row.get::<_, Option<i64>>(3)?.map(from_sql),
        })
    };
    query.query_map([], key)?.collect()
}

fn write(connection: &Connection, trusted: &TrustedKey) -> rusqlite::Result<()> {
    let TrustedKey { key, name, trusted_at_ms, revoked_at_ms } = trusted;
    connection.execute(
        "INSERT OR REPLACE INTO trusted_keys (key, name, trusted_at_ms, revoked_at_ms) VALUES (?1, ?2, ?3, ?4)",
        params![key.to_string(), name, to_sql(*trusted_at_ms), revoked_at_ms.map(to_sql)],
    )?;
    Ok(())
}
