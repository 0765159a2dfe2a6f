//! What calls have cost, by day and function.

use rusqlite::{OptionalExtension as _, Row, params};
use spillway_types::{Bill, FunctionId};

use crate::database::{from_sql, parsed, to_sql};
use crate::fault::Fault;
use crate::store::Store;

/// Older ones go: a year, and a month to look at it.
const DAYS_KEPT: u64 = 400;

const READ: &str = "SELECT calls, cpu_seconds, kernel_seconds, memory_byte_seconds, request_bytes, response_bytes, \
                    transfer_bytes, cost, namespace, name FROM costs";

impl Store {
    /// Adds what calls of functions have cost on a day, counted since 1970.
    ///
    /// # Errors
    /// The database failed; then nothing was added.
    pub fn add_costs(&self, day: u64, costs: &[(FunctionId, u64, Bill)]) -> Result<(), Fault> {
        self.shared.database.write(|transaction| {
            for (function, calls, bill) in costs {
                let key = params![to_sql(day), function.namespace.as_str(), function.name.as_str()];
                let mut read =
                    transaction.prepare_cached(&format!("{READ} WHERE day = ?1 AND namespace = ?2 AND name = ?3"))?;
                let (before, mut sum) = read.query_row(key, cost).optional()?.unwrap_or_default();
                sum += *bill;
                transaction
                    .prepare_cached(
                        "INSERT OR REPLACE INTO costs VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9, ?10, ?11)",
                    )?
                    .execute(params![
                        to_sql(day),
                        function.namespace.as_str(),
                        function.name.as_str(),
                        to_sql(before + calls),
                        sum.cpu_seconds,
                        sum.kernel_seconds,
                        sum.memory_byte_seconds,
                        to_sql(sum.request_bytes),
                        to_sql(sum.response_bytes),
                        to_sql(sum.transfer_bytes),
                        sum.cost.to_string(),
                    ])?;
            }
            transaction.execute("DELETE FROM costs WHERE day < ?1", [to_sql(day.saturating_sub(DAYS_KEPT))])?;
            Ok(())
        })
    }

    /// What each function has cost since a day, that day included: calls, and what they took.
    ///
    /// # Errors
    /// The database failed.
    pub fn costs(&self, since: u64) -> Result<Vec<(FunctionId, u64, Bill)>, Fault> {
        self.shared.database.read(|snapshot| {
            let mut sums: Vec<(FunctionId, u64, Bill)> = Vec::new();
            let mut read = snapshot.prepare_cached(&format!("{READ} WHERE day >= ?1 ORDER BY namespace, name"))?;
            let rows = read.query_map([to_sql(since)], |row| {
                let function = FunctionId::new(parsed(row, 8)?, parsed(row, 9)?);
                Ok((function, cost(row)?))
            })?;
            for row in rows {
                let (function, (calls, bill)) = row?;
                match sums.last_mut().filter(|(known, ..)| *known == function) {
                    Some((_, sum_calls, sum)) => {
                        *sum_calls += calls;
                        *sum += bill;
                    }
                    None => sums.push((function, calls, bill)),
                }
            }
            Ok(sums)
        })
    }
}

fn cost(row: &Row<'_>) -> rusqlite::Result<(u64, Bill)> {
    let bill = Bill {
        cpu_seconds: row.get(1)?,
        kernel_seconds: row.get(2)?,
        memory_byte_seconds: row.get(3)?,
        request_bytes: from_sql(row.get(4)?),
        response_bytes: from_sql(row.get(5)?),
        transfer_bytes: from_sql(row.get(6)?),
        cost: parsed(row, 7)?,
    };
    Ok((from_sql(row.get(0)?), bill))
}
