//! The data plane: accepts connections, and takes each request from route to response.

mod accept;
mod beat;
mod body;
mod callers;
mod choose;
mod follow;
mod forward;
mod framing;
mod guarded;
mod guest;
mod head;
mod record;
mod replay;
mod respond;
mod send;
mod serve;
mod settle;
mod standing;
mod together;
mod wishes;

pub(crate) use accept::Listener;
pub(crate) use callers::Callers;
pub(crate) use follow::follow;
pub(crate) use respond::{known_seconds, problem_response, whole_seconds};
pub(crate) use wishes::residency;
