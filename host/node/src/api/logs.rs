//! Reading and following a function's log.

use std::sync::PoisonError;

use axum::body::{Body, Bytes};
use axum::extract::rejection::QueryRejection;
use axum::extract::{Path, Query, State};
use axum::response::IntoResponse;
use futures::stream;
use http::header;
use serde::Deserialize;
use spillway_types::Problem;
use tokio::sync::broadcast::error::RecvError;

use super::functions::function_id;
use super::{Refused, Shared, bad_query};
use crate::deploy::{blocking, host_problem, unknown_function};

/// Records that one answer begins with at most.
const TAIL_MAX: usize = 10_000;

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct LogQuery {
    #[serde(default = "default_tail")]
    tail: usize,
    #[serde(default)]
    follow: bool,
}

fn default_tail() -> usize {
    100
}

pub(super) async fn read(
    State(node): Shared,
    Path(path): Path<(String, String)>,
    query: Result<Query<LogQuery>, QueryRejection>,
) -> Result<impl IntoResponse, Refused> {
    let id = function_id(path)?;
    let Query(query) = query.map_err(|rejection| bad_query(&rejection))?;
    if !node.functions.read().unwrap_or_else(PoisonError::into_inner).contains_key(&id) {
        return Err(unknown_function(&id).into());
    }
    // Following starts before the tail is read: a record may come twice, but none is missed.
    let follower = query.follow.then(|| node.logs().follow());
    let (logs, function) = (node.logs().clone(), id.clone());
    let tail = query.tail.min(TAIL_MAX);
    let lines = blocking(move || logs.tail(&function, tail).map_err(host_problem)).await??;
    let mut text = lines.join("\n");
    if !text.is_empty() {
        text.push('\n');
    }
    let body = match follower {
        None => Body::from(text),
        Some(follower) => {
            let name = id.to_string();
            let live = stream::unfold((follower, node, name), |(mut follower, node, name)| async move {
                loop {
                    let record = tokio::select! {
                        record = follower.recv() => record,
                        () = node.stopping() => return None,
                    };
                    match record {
                        Ok(record) if record.function == name => {
                            let mut line = serde_json::to_vec(&*record).unwrap_or_default();
                            line.push(b'\n');
                            return Some((Ok::<_, Problem>(Bytes::from(line)), (follower, node, name)));
                        }
                        Ok(_) | Err(RecvError::Lagged(_)) => {}
                        Err(RecvError::Closed) => return None,
                    }
                }
            });
            let first = stream::once(async move { Ok(Bytes::from(text)) });
            let all = futures::StreamExt::chain(first, live);
            Body::from_stream(futures::StreamExt::map(all, |item| item.map_err(|problem| problem.detail)))
        }
    };
    Ok(([(header::CONTENT_TYPE, "application/x-ndjson")], body))
}
