//! The data plane: accepts connections, and takes each request from route to response.

mod accept;
mod body;
mod choose;
mod forward;
mod record;
mod respond;
mod send;
mod serve;
mod wishes;

pub(crate) use accept::Listener;
pub(crate) use respond::problem_response;
pub(crate) use wishes::residency;
