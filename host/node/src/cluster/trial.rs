//! Has another node try what does not run here, so that a deployer hears at once what is wrong with it.

use std::sync::Arc;
use std::time::Duration;

use spillway_placement::liveness::PeerState;
use spillway_trust::SignedStatement;
use spillway_types::{Desired, Manifest, Origin, Problem, ProblemType, Statement};

use super::elsewhere::Reason;
use super::{Cluster, files};
use crate::node::Node;
use crate::peers::wire::{TRIALS, Tried};
use crate::peers::{ClientError, Peer};

/// A model of gigabytes is fetched, checked and loaded in this time.
const TRIAL_MAX: Duration = Duration::from_secs(300);
/// What was tried serves soon after; a deployer does not wait longer for it.
const SERVING_MAX: Duration = Duration::from_secs(30);
const SERVING_POLL: Duration = Duration::from_millis(20);

impl Cluster {
    /// Has nodes that may run the function try it, one after the other, until one can; `here` keeps it from this node. Gives
    /// nothing where nobody can be asked that may run it, unless it would run here if only it fitted.
    ///
    /// # Errors
    /// Nobody can run it, with what is against each.
    pub(super) async fn try_elsewhere(
        &self,
        manifest: &Manifest,
        signed: &SignedStatement,
        here: &Reason,
    ) -> Result<Option<(Duration, bool)>, Problem> {
        let mut refused = None;
        let mut troubles = Vec::new();
        for peer in self.peers.all() {
            let said = peer.said();
            let greeting = said.greeting.as_ref();
            let takes = greeting.is_some_and(|greeting| !greeting.cordoned && !greeting.draining);
            let lives = self.peers.state(peer.name()) == PeerState::Alive;
            if !manifest.placement.admits(&peer.record.identity) {
                continue;
            }
            if !lives || !takes {
                troubles.push(format!(
                    "{} {}",
                    peer.name(),
                    if lives { "takes no functions" } else { "does not answer" }
                ));
                continue;
            }
            match ask(&peer, signed).await {
                Ok(Tried { compile_seconds, compile_cached }) => {
                    let took = Duration::try_from_secs_f64(compile_seconds).unwrap_or_default();
                    return Ok(Some((took, compile_cached)));
                }
                // A build that knows no trials cannot be asked.
                Err(ClientError::Refused { problem, .. }) if problem.is(ProblemType::NotFound) => {}
                Err(ClientError::Refused { problem, .. }) => {
                    troubles.push(format!("{}: {}", peer.name(), problem.detail));
                    refused = Some(problem);
                }
                Err(error) => troubles.push(error.to_string()),
            }
        }
        match (here, refused) {
            (Reason::TooLarge(detail), _) => {
                let others =
                    if troubles.is_empty() { "no other node may run it".to_owned() } else { troubles.join("; ") };
                Err(Problem::new(ProblemType::ModelsTooLarge, format!("{detail}; {others}")))
            }
            // It is the function's own trouble, or every such node's.
            (_, Some(problem)) => Err(Problem { detail: troubles.join("; "), ..*problem }),
            (_, None) => Ok(None),
        }
    }

    /// Waits until somebody says that the revision serves there.
    pub(super) async fn await_serving(&self, statement: &Statement) {
        let Desired::Serve(release) = &statement.desired else { return };
        let serves = || self.peers.all().iter().any(|peer| peer.serves(&statement.function) == Some(release.revision));
        let until = tokio::time::Instant::now() + SERVING_MAX;
        while !serves() && tokio::time::Instant::now() < until {
            tokio::time::sleep(SERVING_POLL).await;
        }
    }
}

async fn ask(peer: &Arc<Peer>, signed: &SignedStatement) -> Result<Tried, ClientError> {
    match tokio::time::timeout(TRIAL_MAX, peer.client.post_bytes(TRIALS, signed.to_bytes().into())).await {
        Ok(tried) => tried,
        Err(_) => Err(ClientError::Broken {
            peer: peer.name().to_string(),
            reason: format!("it did not finish trying within {TRIAL_MAX:?}"),
        }),
    }
}

impl Node {
    /// Tries what another node was given by a deployer. The signature is checked here, too: a node alone has no say in
    /// what others compile.
    ///
    /// # Errors
    /// The statement is not believed, or cannot run here.
    pub(crate) async fn answer_trial(self: &Arc<Self>, cluster: &Arc<Cluster>, bytes: &[u8]) -> Result<Tried, Problem> {
        let bad = |detail: String| Problem::new(ProblemType::BadRequest, detail);
        let signed = SignedStatement::from_bytes(bytes).map_err(|error| bad(error.to_string()))?;
        let statement = signed
            .verify(&cluster.own.cluster, &self.trusted())
            .map_err(|error| Problem::new(ProblemType::Untrusted, error.to_string()))?;
        let Desired::Serve(release) = &statement.desired else {
            return Err(bad("a removal cannot be tried".to_owned()));
        };
        let manifest = Manifest::parse(&release.manifest, Origin::Bundle)
            .map_err(|_| Problem::new(ProblemType::InvalidManifest, "the manifest of the statement has errors"))?;
        if let Some(reason) = self.reason_against(cluster, &statement.function, release, &manifest) {
            return Err(Problem::new(ProblemType::NotHere, reason.to_string()));
        }
        self.check_models_fit(&manifest)?;
        for digest in files::needed(release).map_err(|error| bad(error.to_string()))? {
            let fetched = files::fetch(self, cluster, digest).await;
            fetched.map_err(|error| Problem::new(ProblemType::MissingModel, format!("{error:#}")))?;
        }
        let (compile, compile_cached) = self.try_out(&statement.function, release, manifest).await?;
        Ok(Tried { compile_seconds: compile.as_secs_f64(), compile_cached })
    }
}
