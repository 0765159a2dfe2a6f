//! Where a call runs: here, on a peer, or nowhere; decided when it arrives, from when it would be finished.
//!
//! | file | what |
//! | --- | --- |
//! | `decide` | compares this node and two peers by when the call would be finished there |
//! | `backlog` | the work that a node has taken on, the call with the earliest deadline first |
//! | `peer_load` | how long a call would wait at a peer: what the peer said, and what was seen since |
//! | `learning` | how far what was expected is from what is seen |
//! | `breaker` | keeps calls from a peer that fails |

mod backlog;
mod breaker;
mod decide;
mod learning;
mod peer_load;

pub use backlog::{Backlog, Turn};
pub use breaker::Breaker;
pub use decide::{Decision, Demand, Offer, decide, has_room};
pub use learning::Correction;
pub use peer_load::{Errand, PeerLoad};
