//! The data plane: accepts connections, and takes each request from route to response.

mod accept;
mod body;
mod respond;
mod serve;

pub(crate) use accept::Listener;
pub(crate) use respond::problem_response;
