//! What a node knows of itself and of its peers, and where it may send a call. Pure policy: nothing here reads a clock, a
//! file or a socket. Time and what was read are arguments, so that a simulator runs the same code as a node does.
//!
//! | module | what |
//! | --- | --- |
//! | `time` | moments, given from outside |
//! | `service_time` | how long calls of a function take, by the size of their body |
//! | [`capacity`] | what a node has and what of it is in use, as it tells others |
//! | `meter` | rates from counters |
//! | [`pressure`], [`memory`] | the texts of Linux that say how short of something a machine is |
//! | [`liveness`] | which peers are alive |
//! | `cost` | what a call costs |
//! | [`quota`] | what namespaces have taken of their quotas |
//! | [`admission`] | where a call runs: here, on a peer, or nowhere |
//! | [`forward`] | which peers may take a call, and why the others may not |

pub mod admission;
pub mod capacity;
mod cost;
pub mod forward;
pub mod liveness;
pub mod memory;
mod meter;
pub mod pressure;
pub mod quota;
mod seconds;
mod service_time;
mod time;

pub use capacity::Capacity;
pub use cost::Tariff;
pub use liveness::Liveness;
pub use meter::Meter;
pub use service_time::{BucketSummary, Prediction, ServiceTimeSummary, ServiceTimes, SizeBucket};
pub use time::Time;
