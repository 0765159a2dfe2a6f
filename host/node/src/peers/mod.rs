//! Node to node: HTTP/2 over TLS with certificates on both sides.
//!
//! | file | what |
//! | --- | --- |
//! | `wire` | what nodes say to each other |
//! | `server` | takes connections of peers |
//! | `answer` | answers what peers ask |
//! | `client` | one connection to one peer, made when it is needed |
//! | `table` | the peers that there are, and what is known of each |
//! | `probe` | asks each how it is, twice a second |
//! | `bandwidth` | how fast large answers come |
//! | `blobs` | fetches files from peers |

mod answer;
mod bandwidth;
mod blobs;
mod client;
mod probe;
mod server;
mod table;
pub(crate) mod wire;

pub(crate) use client::ClientError;
pub(crate) use probe::probe;
pub(crate) use server::PeerListener;
pub(crate) use table::{Peer, Peers};
