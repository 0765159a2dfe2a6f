//! Takes statements from deployers: everything is tried before the cluster hears of it.
//!
//! | step | on failure |
//! | --- | --- |
//! | signature, key, cluster, sequence | refused, nothing kept |
//! | manifest, files here, routes free in the whole cluster | refused |
//! | compile, load models, try a sandbox, where the function may run here | refused |
//! | files to the cluster's store | refused; files wait for collection |
//! | where it may not, or its models do not fit here: the same on another node | refused |
//! | compare-and-set in the control store, one deployment at a time | refused: somebody was faster |
//! | keep it, run it here | other nodes run it; this one tries again |

use std::sync::Arc;
use std::time::Duration;

use spillway_cluster::{ControlError, ControlKey, Expected, LeaseError, Version};
use spillway_trust::SignedStatement;
use spillway_types::api::Deployment;
use spillway_types::{Desired, FunctionId, Manifest, Origin, Problem, ProblemType, Release, Statement};

use super::desired::{DesiredState, Known};
use super::{Cluster, files};
use crate::deploy::host_problem;
use crate::node::Node;

/// The last step of a deployment takes milliseconds; a node that died in it holds others up for this long at most.
const LOCK_TTL: Duration = Duration::from_secs(10);
const LOCK_PATIENCE: Duration = Duration::from_secs(12);
const LOCK_POLL: Duration = Duration::from_millis(20);

impl Node {
    /// Makes a signed statement the desired state of the cluster, and of this node first.
    ///
    /// # Errors
    /// The problem to tell the deployer. Nothing has changed, unless the control store fell silent in the last step: then
    /// the problem says so.
    pub(crate) async fn publish(
        self: &Arc<Self>,
        cluster: &Arc<Cluster>,
        signed: SignedStatement,
    ) -> Result<Option<Deployment>, Problem> {
        let statement = signed
            .verify(&cluster.own.cluster, &self.trusted())
            .map_err(|error| Problem::new(ProblemType::Untrusted, error.to_string()))?;
        let held = cluster.refresh(self, &statement.function).await?.0;
        check_order(&statement, held.as_ref())?;
        // Where it does not run here, nothing is compiled.
        let mut compiled = (Duration::ZERO, true);
        let mut runs_elsewhere = false;
        if let Desired::Serve(release) = &statement.desired {
            let manifest = self.check_release(cluster, &statement, release, held.as_ref())?;
            for digest in files::needed(release).map_err(host_problem)? {
                files::fetch(self, cluster, digest).await.map_err(|error| missing(digest, &error))?;
            }
            if self.reason_against(cluster, &statement.function, release, &manifest).is_none() {
                match self.try_out(&statement.function, release, manifest.clone()).await {
                    Ok(took) => compiled = took,
                    Err(problem) if problem.is(ProblemType::ModelsTooLarge) && release.owner.is_none() => {
                        cluster.note_too_large(&statement.function, release, problem.detail);
                    }
                    Err(problem) => return Err(problem),
                }
            }
            files::offer(self, cluster, &statement).await.map_err(|error| {
                Problem::new(ProblemType::ControlUnavailable, format!("the files could not be stored: {error:#}"))
            })?;
            // Its owner tries a function with data when it hears of it.
            let reason = self.reason_against(cluster, &statement.function, release, &manifest);
            if let Some(reason) = reason.filter(|_| release.owner.is_none()) {
                let tried = cluster.try_elsewhere(&manifest, &signed, &reason).await?;
                runs_elsewhere = tried.is_some();
                compiled = tried.unwrap_or(compiled);
            }
        }
        self.commit_statement(cluster, &statement, &signed).await?;

        let known = Known { statement: statement.clone(), signed };
        cluster.desired.take(known).await.map_err(host_problem)?;
        if let Err(reason) = self.reconcile(cluster, &statement.function).await {
            tracing::error!(function = %statement.function, reason = format!("{reason:#}"), "what was deployed cannot run here yet");
        }
        cluster.changed.notify_one();
        if runs_elsewhere {
            cluster.await_serving(&statement).await;
        }
        Ok(match &statement.desired {
            Desired::Serve(release) => {
                let previous = held.as_ref().and_then(Known::revision);
                Some(self.published(&statement.function, release, previous, compiled))
            }
            Desired::Removed => None,
        })
    }

    /// What a deployer can get wrong.
    fn check_release(
        &self,
        cluster: &Cluster,
        statement: &Statement,
        release: &Release,
        held: Option<&Known>,
    ) -> Result<Manifest, Problem> {
        let id = &statement.function;
        let manifest = Manifest::parse(&release.manifest, Origin::Bundle).map_err(|error| {
            let mut problem = Problem::new(ProblemType::InvalidManifest, "the manifest of the statement has errors");
            problem.errors = error.diagnostics.iter().map(ToString::to_string).collect();
            problem
        })?;
        if manifest.name != id.name {
            let detail = format!("the statement is about {id}, and its manifest about `{}`", manifest.name);
            return Err(Problem::new(ProblemType::BadRequest, detail));
        }
        let owner = held.and_then(Known::owner);
        match (&release.owner, owner) {
            (None, _) if !manifest.capabilities.keyvalue.is_empty() => {
                let node = &cluster.own.node;
                let detail =
                    format!("{id} is granted key-value data, so the statement has to name its owner, such as {node}");
                Err(Problem::new(ProblemType::BadRequest, detail))
            }
            (Some(_), _) if manifest.capabilities.keyvalue.is_empty() => {
                let detail = format!("{id} is granted no key-value data, so nobody owns it; leave `owner` out");
                Err(Problem::new(ProblemType::BadRequest, detail))
            }
            (Some(new), Some(old)) if new != old => {
                let detail = format!("the data of {id} is on {old} and cannot move to {new} yet; name {old} as owner");
                Err(Problem::new(ProblemType::BadRequest, detail))
            }
            _ => Ok(manifest),
        }
    }

    /// The step that counts. The lock makes it one deployment at a time in the whole cluster, so that two functions
    /// cannot take one route; should it expire, each function's own entry is still changed by one deployment only.
    async fn commit_statement(
        &self,
        cluster: &Cluster,
        statement: &Statement,
        signed: &SignedStatement,
    ) -> Result<(), Problem> {
        let lock = cluster.lock_deployments().await?;
        let committed = async {
            let (held, version) = cluster.refresh(self, &statement.function).await?;
            check_order(statement, held.as_ref())?;
            if let Desired::Serve(release) = &statement.desired {
                cluster.check_routes(self, &statement.function, release).await?;
                // They may have been collected since: nobody needed them.
                files::offer(self, cluster, statement).await.map_err(|error| {
                    Problem::new(ProblemType::ControlUnavailable, format!("the files could not be stored: {error:#}"))
                })?;
            }
            let key = DesiredState::key(&statement.function);
            let expected = version.map_or(Expected::Absent, Expected::Version);
            cluster.control.compare_and_set(&key, signed.to_bytes().into(), expected).await.map_err(
                |error| match error {
                    ControlError::Conflict { .. } => conflict(statement, None),
                    ControlError::Unreachable { .. } => {
                        let detail = format!(
                            "{error}; the statement may have arrived: see `spillway inspect {}`",
                            statement.function
                        );
                        Problem::new(ProblemType::ControlUnavailable, detail)
                    }
                    error => control_problem(&error),
                },
            )?;
            Ok(())
        }
        .await;
        // If this fails it expires.
        let _ = cluster.control.release(lock).await;
        committed
    }
}

impl Cluster {
    /// Reads what the control store has for a function, and takes it if it is newer. Gives what holds then, and the
    /// version of the store's entry.
    ///
    /// # Errors
    /// The control store cannot be reached.
    pub(crate) async fn refresh(
        &self,
        node: &Node,
        function: &FunctionId,
    ) -> Result<(Option<Known>, Option<Version>), Problem> {
        let entry = self.control.get(&DesiredState::key(function)).await.map_err(|error| control_problem(&error))?;
        let version = entry.as_ref().filter(|entry| entry.value.is_some()).map(|entry| entry.version);
        if let Some(entry) = entry {
            self.hear_statement(node, entry).await;
        }
        Ok((self.desired.get(function), version))
    }

    /// Refuses a route that another function of the cluster has.
    async fn check_routes(&self, node: &Node, id: &FunctionId, release: &Release) -> Result<(), Problem> {
        let listing = self.control.list(&DesiredState::prefix()).await.map_err(|error| control_problem(&error))?;
        for entry in listing.entries {
            self.hear_statement(node, entry).await;
        }
        let Ok(manifest) = Manifest::parse(&release.manifest, Origin::Bundle) else { return Ok(()) };
        for other in self.desired.all() {
            let Desired::Serve(theirs) = &other.statement.desired else { continue };
            if other.statement.function == *id {
                continue;
            }
            let Ok(theirs) = Manifest::parse(&theirs.manifest, Origin::Bundle) else { continue };
            if let Some(route) =
                manifest.routes.iter().find(|route| theirs.routes.iter().any(|their| their.pattern == route.pattern))
            {
                let detail = format!(
                    "route `{}` belongs to function `{}`; choose another route, or remove that function first",
                    route.pattern, other.statement.function
                );
                return Err(Problem::new(ProblemType::RouteTaken, detail));
            }
        }
        Ok(())
    }

    pub(super) async fn lock_deployments(&self) -> Result<spillway_cluster::Lease, Problem> {
        let key = ControlKey::new(["locks", "deployment"]).expect("plain words are a key");
        let holder = format!("{} {:032x}", self.own.node, rand::random::<u128>());
        let until = tokio::time::Instant::now() + LOCK_PATIENCE;
        loop {
            match self.control.acquire(&key, holder.clone().into(), LOCK_TTL).await {
                Ok(lease) => return Ok(lease),
                Err(LeaseError::Store(error)) => return Err(control_problem(&error)),
                Err(error) if tokio::time::Instant::now() > until => {
                    let detail = format!("another deployment does not end ({error}); try again");
                    return Err(Problem::new(ProblemType::ControlUnavailable, detail));
                }
                Err(_) => tokio::time::sleep(LOCK_POLL).await,
            }
        }
    }
}

impl Known {
    /// The revision that serves by it.
    pub(crate) fn revision(&self) -> Option<u64> {
        self.release().map(|release| release.revision)
    }

    pub(crate) fn owner(&self) -> Option<&spillway_types::NodeName> {
        self.release()?.owner.as_ref()
    }

    pub(crate) fn release(&self) -> Option<&Release> {
        match &self.statement.desired {
            Desired::Serve(release) => Some(release),
            Desired::Removed => None,
        }
    }
}

/// A statement has to follow the one that holds.
fn check_order(new: &Statement, held: Option<&Known>) -> Result<(), Problem> {
    let next = held.map_or(1, |held| held.statement.sequence + 1);
    if new.sequence != next {
        return Err(conflict(new, held));
    }
    let removed = held.is_none_or(|held| held.release().is_none());
    if new.desired == Desired::Removed && removed {
        let detail = format!("there is no function `{}`; `spillway ls` lists those that there are", new.function);
        return Err(Problem::new(ProblemType::NotFound, detail));
    }
    Ok(())
}

fn conflict(new: &Statement, held: Option<&Known>) -> Problem {
    let id = &new.function;
    let now = match held {
        Some(held) => {
            let what = held.revision().map_or_else(|| "removed".to_owned(), |number| format!("at revision {number}"));
            format!("{id} is {what} by statement {}, signed by key {}", held.statement.sequence, held.signed.key().id())
        }
        None => format!("{id} was changed meanwhile"),
    };
    let detail = format!(
        "{now}; yours is statement {}. Somebody was faster, or it is an old one: look with `spillway inspect {id}`, then deploy again",
        new.sequence
    );
    Problem::new(ProblemType::Conflict, detail)
}

fn missing(digest: spillway_types::Digest, error: &anyhow::Error) -> Problem {
    let mut problem =
        Problem::new(ProblemType::MissingModel, format!("{error:#}; upload it with PUT /api/v1/blobs/{digest}"));
    problem.missing = vec![digest];
    problem
}

/// The control store's trouble, for a deployer.
pub(super) fn control_problem(error: &ControlError) -> Problem {
    match error {
        ControlError::Unreachable { .. } => {
            let detail = format!("{error}. Nothing was changed; what is deployed goes on serving");
            Problem::new(ProblemType::ControlUnavailable, detail)
        }
        ControlError::Full { .. } => Problem::new(ProblemType::ControlUnavailable, error.to_string()),
        ControlError::TooLarge { .. } => Problem::new(ProblemType::InvalidManifest, error.to_string()),
        ControlError::Conflict { .. } => Problem::new(ProblemType::Conflict, error.to_string()),
        ControlError::Fault(_) => host_problem(error),
    }
}
