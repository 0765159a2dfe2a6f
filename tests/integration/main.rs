//! The whole product from outside: the binary, its two ports, its files.
//!
//! | module | what it shows |
//! | --- | --- |
//! | `layers` | the crates depend on each other as the architecture says |
//! | `bad_bundles`, `bad_manifests`, `bad_models` | what cannot be deployed, and that nothing changes |
//! | `routes`, `body_limits` | which requests reach which function |
//! | `faults`, `denials` | guests that misbehave, and what they may not do |

mod bad_bundles;
mod bad_manifests;
mod bad_models;
mod body_limits;
mod denials;
mod faults;
mod layers;
mod routes;
mod serving;
