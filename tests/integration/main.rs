//! The whole product from outside: the binary, its two ports, its files.
//!
//! | module | what it shows |
//! | --- | --- |
//! | `layers` | the crates depend on each other as the architecture says |
//! | `bad_bundles`, `bad_manifests`, `bad_models` | what cannot be deployed, and that nothing changes |
//! | `routes` | which function a request reaches |

mod bad_bundles;
mod bad_manifests;
mod bad_models;
mod layers;
mod routes;
mod serving;
