//! What namespaces may take of this node, kept.

use spillway_types::{Namespace, Quota};

use crate::database::parsed;
use crate::fault::Fault;
use crate::store::Store;

impl Store {
    /// All quotas.
    ///
    /// # Errors
    /// The database failed.
    pub fn quotas(&self) -> Result<Vec<(Namespace, Quota)>, Fault> {
        self.shared.database.read(|snapshot| {
            let mut query = snapshot.prepare("SELECT namespace, quota FROM quotas ORDER BY namespace")?;
            let rows = query.query_map([], |row| Ok((parsed(row, 0)?, row.get::<_, String>(1)?)))?;
            let quotas = rows.map(|row| {
                let (namespace, text) = row?;
                let quota = serde_json::from_str(&text).map_err(|error| {
                    rusqlite::Error::FromSqlConversionFailure(1, rusqlite::types::Type::Text, Box::new(error))
                })?;
                Ok((namespace, quota))
            });
            Ok(quotas.collect::<rusqlite::Result<_>>()?)
        })
    }

    /// Sets a namespace's quota, or removes it.
    ///
    /// # Errors
    /// The database failed.
    pub fn set_quota(&self, namespace: &Namespace, quota: Option<&Quota>) -> Result<(), Fault> {
        self.shared.database.write(|transaction| {
            match quota {
                Some(quota) => {
                    let text = serde_json::to_string(quota).expect("numbers are JSON");
                    let sql = "INSERT OR REPLACE INTO quotas (namespace, quota) VALUES (?1, ?2)";
                    transaction.execute(sql, (namespace.as_str(), text))?
                }
                None => transaction.execute("DELETE FROM quotas WHERE namespace = ?1", (namespace.as_str(),))?,
            };
            Ok(())
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn quotas_outlast_the_store() {
        let folder = tempfile::tempdir().unwrap();
        let (shop, other): (Namespace, Namespace) = ("shop".parse().unwrap(), "other".parse().unwrap());
        let quota = Quota { calls_per_second: Some(0.3), concurrent: Some(4), ..Quota::default() };
        let store = Store::open(folder.path()).unwrap();
        store.set_quota(&other, Some(&quota)).unwrap();
        store.set_quota(&shop, Some(&Quota { memory_bytes: Some(7), ..quota })).unwrap();
        store.set_quota(&shop, Some(&quota)).unwrap();
        store.set_quota(&other, None).unwrap();
        drop(store);
        assert_eq!(Store::open(folder.path()).unwrap().quotas().unwrap(), [(shop, quota)]);
    }
}
