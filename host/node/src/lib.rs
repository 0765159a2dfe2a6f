//! A node: where callers, operators and the layers below meet.
//!
//! | module | what |
//! | --- | --- |
//! | `node` | start, serve, drain |
//! | `ingress` | the data plane: request to function to response |
//! | `cluster` | the node's part in a cluster: desired state, what runs where |
//! | `peers` | node to node |
//! | `api` | the control plane: HTTP and JSON under `/api/v1`, health and metrics |
//! | `deploy` | from bundle to serving revision, rollback, removal |
//! | `routes` | host, path and method to revision |
//! | `revision` | a revision that serves, and who may run it |
//! | `gate`, `estimates` | which calls run now, and what they are expected to take |
//! | `quotas` | what namespaces may take |
//! | `decisions` | the last decisions on where calls ran |
//! | `books`, `audit` | what calls cost and what was refused, kept on the disk |
//! | `health` | what is wrong with a node that still serves |
//! | `idle` | code that nobody calls leaves memory |
//! | `capacity` | what the node has and what of it is in use |
//! | `models` | adding and removing models, and unloading those that nobody runs |
//! | `logs`, `metrics`, `collect` | what functions wrote, what happened, what can go |

mod api;
mod audit;
mod books;
mod capacity;
mod cluster;
mod collect;
mod config;
mod decisions;
mod deploy;
mod estimates;
mod gate;
mod health;
mod idle;
mod ingress;
mod keyvalue;
mod logs;
mod metrics;
mod models;
mod node;
mod passed;
mod peers;
mod quotas;
mod revision;
mod routes;
mod screening;

pub use cluster::ClusterConfig;
pub use config::{Addresses, Config};
pub use node::run;
pub use screening::{SUBCOMMAND as CHECK_MODEL, check_model};
pub use spillway_runtime::serving_runtime;
pub use spillway_trust::TlsFiles;
