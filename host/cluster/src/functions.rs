//! Functions and their revisions.

mod change;
mod rows;

use spillway_types::{Digest, FunctionId, RoutePattern};

use crate::fault::Fault;
use crate::store::Store;

/// A revision to commit.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct NewRevision {
    /// Whose revision it is; the first one makes the function.
    pub function: FunctionId,
    /// The number that the cluster gave it, which wins over whatever this node had under that number before it joined.
    /// Without one, the next number of this node.
    pub number: Option<u64>,
    /// The component, a blob that is there.
    pub bundle: Digest,
    /// The manifest as the runtime shall read it; kept as it is.
    pub manifest: String,
    /// Every model that the manifest grants, blobs that are there.
    pub models: Vec<Digest>,
    /// What leads to the function while this revision is active. Naming one twice is naming it once.
    pub routes: Vec<RoutePattern>,
    /// Milliseconds since 1970, by the caller's clock.
    pub created_at_ms: u64,
}

/// What a commit or an activation came to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Committed {
    /// The revision that is active now. Numbers count from 1 for each function and are never given twice.
    pub number: u64,
    /// The revision that was active before this call; `None` for a function's first.
    pub previous: Option<u64>,
    /// Whether exactly this was active already, so that nothing was written.
    pub unchanged: bool,
}

/// A function with all its kept revisions.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct FunctionRecord {
    /// Which function.
    pub id: FunctionId,
    /// The number of the revision that serves.
    pub active: u64,
    /// The number of the revision that served before it: what a rollback without a number returns to. Always kept.
    pub previous: Option<u64>,
    /// Kept revisions, oldest first; never empty.
    pub revisions: Vec<RevisionRecord>,
}

/// One revision.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RevisionRecord {
    /// Its number.
    pub number: u64,
    /// The component.
    pub bundle: Digest,
    /// The manifest as it was committed.
    pub manifest: String,
    /// The models it was granted, in the order of the commit.
    pub models: Vec<Digest>,
    /// Its routes, in the order of the commit.
    pub routes: Vec<RoutePattern>,
    /// Milliseconds since 1970, by the clock of whoever committed it.
    pub created_at_ms: u64,
}

/// Why functions were not changed. Nothing was written.
#[derive(Debug, thiserror::Error)]
pub enum CommitError {
    /// A blob that the revision names is not there.
    #[error("blob {0} is not on this node; upload it, then deploy again")]
    MissingBlob(Digest),
    /// Another function's active revision has the route.
    #[error("route `{route}` belongs to function `{owner}`; choose another route, or remove that function first")]
    RouteTaken {
        /// The route.
        route: RoutePattern,
        /// Who has it.
        owner: FunctionId,
    },
    /// No such function.
    #[error("there is no function `{0}`; list those that there are, or deploy it first")]
    UnknownFunction(FunctionId),
    /// The function has no such revision, or has it no more.
    #[error("function `{function}` has no revision {number}; it keeps {}", Numbers(kept))]
    UnknownRevision {
        /// The function.
        function: FunctionId,
        /// The number asked for.
        number: u64,
        /// The numbers that it has, ascending.
        kept: Vec<u64>,
    },
    /// The store failed.
    #[error(transparent)]
    Fault(#[from] Fault),
}

impl From<rusqlite::Error> for CommitError {
    fn from(error: rusqlite::Error) -> Self {
        Self::Fault(error.into())
    }
}

impl FunctionRecord {
    /// The revision with this number, if it is kept.
    pub fn revision(&self, number: u64) -> Option<&RevisionRecord> {
        self.revisions.iter().find(|revision| revision.number == number)
    }
}

impl Store {
    /// One function, or `None` if there is none of that name.
    ///
    /// # Errors
    /// The database failed.
    pub fn get(&self, function: &FunctionId) -> Result<Option<FunctionRecord>, Fault> {
        self.shared.database.read(|snapshot| match rows::find(snapshot, function)? {
            Some(row) => rows::record(snapshot, row),
            None => Ok(None),
        })
    }

    /// The newest revision number that a function was ever given, 0 if none, also after it was removed.
    ///
    /// # Errors
    /// The database failed.
    pub fn last_number(&self, function: &FunctionId) -> Result<u64, Fault> {
        self.shared.database.read(|snapshot| Ok(rows::find(snapshot, function)?.map_or(0, |row| row.last_number)))
    }

    /// All functions, ordered by namespace and name.
    ///
    /// # Errors
    /// The database failed.
    pub fn list(&self) -> Result<Vec<FunctionRecord>, Fault> {
        self.shared.database.read(|snapshot| {
            let mut records = Vec::new();
            for row in rows::all(snapshot)? {
                records.extend(rows::record(snapshot, row)?);
            }
            Ok(records)
        })
    }

    /// Whether `function` could have these routes now: a check before the slow part of a deploy, binding only in
    /// [`Store::commit`], which checks again.
    ///
    /// # Errors
    /// [`CommitError::RouteTaken`], or the database failed.
    pub fn check_routes(&self, function: &FunctionId, routes: &[RoutePattern]) -> Result<(), CommitError> {
        self.shared.database.read(|snapshot| change::check_routes(snapshot, function, routes))
    }
}

/// `revisions 1, 2, 3`.
struct Numbers<'a>(&'a [u64]);

impl std::fmt::Display for Numbers<'_> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let numbers: Vec<String> = self.0.iter().map(u64::to_string).collect();
        write!(f, "{} {}", if numbers.len() == 1 { "revision" } else { "revisions" }, numbers.join(", "))
    }
}
