//! The control plane: HTTP and JSON under `/api/v1` ([`spillway_types::api`]), health, metrics.

mod auth;
mod blobs;
mod books;
mod cluster;
mod functions;
mod health;
mod keys;
mod logs;
mod models;
mod quotas;

use std::sync::Arc;
use std::time::Duration;

use axum::extract::{DefaultBodyLimit, OriginalUri};
use axum::response::{IntoResponse, Response};
use axum::routing::{delete, get, post, put};
use axum::{Router, middleware};
use spillway_types::{Problem, ProblemType};
use tokio::net::TcpListener;
use tokio::task::{JoinError, JoinHandle};
use tokio_util::sync::CancellationToken;

use crate::ingress::problem_response;
use crate::node::Node;

/// The largest bundle, embedded models included: it is in memory while it is deployed. Models of any size go as blobs.
const BUNDLE_BYTES_MAX: usize = 512 << 20;

/// What every handler gets.
type Shared = axum::extract::State<Arc<Node>>;

/// A problem document as a response.
struct Refused(Problem);

impl IntoResponse for Refused {
    fn into_response(self) -> Response {
        problem_response(&self.0).map(axum::body::Body::new)
    }
}

impl From<Problem> for Refused {
    fn from(problem: Problem) -> Self {
        Self(problem)
    }
}

/// Serves until `stop`.
pub(crate) async fn serve(node: Arc<Node>, listener: TcpListener, stop: CancellationToken) {
    let served = axum::serve(listener, router(node)).with_graceful_shutdown(stop.cancelled_owned()).await;
    if let Err(error) = served {
        tracing::error!(%error, "the control API failed");
    }
}

/// How long requests may take to end once calls have.
const PATIENCE: Duration = Duration::from_secs(5);

/// Waits until all that was asked has been answered, once it was told to stop. A caller that stands still keeps nobody from the
/// end.
pub(crate) async fn ended(serving: JoinHandle<()>) -> Result<(), JoinError> {
    let now = serving.abort_handle();
    tokio::time::timeout(PATIENCE, serving).await.unwrap_or_else(|_| {
        tracing::warn!(seconds = PATIENCE.as_secs(), "requests to the control API were still open; ending them");
        now.abort();
        Ok(())
    })
}

fn router(node: Arc<Node>) -> Router {
    let api = Router::new()
        .route("/node", get(health::node))
        .route("/functions", get(functions::list).post(functions::deploy))
        .route("/functions/{namespace}/{name}", get(functions::inspect).delete(functions::remove))
        .route("/functions/{namespace}/{name}/rollback", post(functions::rollback))
        .route("/functions/{namespace}/{name}/logs", get(logs::read))
        .route("/functions/{namespace}/{name}/placement", get(functions::placement))
        .route("/functions/{namespace}/{name}/statement", get(cluster::draft))
        .route("/statements", post(cluster::publish))
        .route("/nodes", get(cluster::nodes))
        .route("/nodes/{node}", delete(cluster::forget))
        .route("/nodes/{node}/{order}", post(cluster::order))
        .route("/models", get(models::list).post(models::add))
        .route("/models/{digest}", get(models::inspect).delete(models::remove))
        .route("/models/{digest}/unload", post(models::unload))
        .route("/keys", get(keys::list).post(keys::trust))
        .route("/keys/{id}/revoke", post(keys::revoke))
        .route("/quotas", get(quotas::list))
        .route("/quotas/{namespace}", put(quotas::set).delete(quotas::remove))
        .route("/costs", get(books::costs))
        .route("/audit", get(books::audit))
        .route("/gc", post(health::collect))
        .layer(DefaultBodyLimit::max(BUNDLE_BYTES_MAX))
        // A model may be larger than memory: it is written as it comes.
        .route("/blobs/{digest}", put(blobs::upload).head(blobs::exists).layer(DefaultBodyLimit::disable()))
        .fallback(unknown)
        .method_not_allowed_fallback(wrong_method)
        .layer(middleware::from_fn_with_state(node.clone(), auth::check));
    Router::new()
        .nest("/api/v1", api)
        .route("/livez", get(health::live))
        .route("/readyz", get(health::ready))
        .route("/metrics", get(health::metrics))
        .fallback(unknown)
        .method_not_allowed_fallback(wrong_method)
        .with_state(node)
}

async fn unknown(OriginalUri(uri): OriginalUri) -> Refused {
    Problem::new(
        ProblemType::NotFound,
        format!("the control API has no {}; docs/control-api.md lists it all", uri.path()),
    )
    .into()
}

async fn wrong_method(method: http::Method, OriginalUri(uri): OriginalUri) -> Refused {
    let detail = format!("{} does not take {method}; docs/control-api.md says what it takes", uri.path());
    Problem::new(ProblemType::MethodNotAllowed, detail).into()
}

/// A query that does not parse, as a problem.
fn bad_query(rejection: &axum::extract::rejection::QueryRejection) -> Problem {
    Problem::new(ProblemType::BadRequest, rejection.body_text())
}
