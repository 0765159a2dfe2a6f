//! `cargo xtask setup`: installs what is missing and says what it does.
//!
//! | part | what |
//! | --- | --- |
//! | `guest_toolchain` | a compiler for `wasm32-wasip2` |
//! | `models` | models of the samples, from pinned packages |
//! | `nats` | with `--tests`: the server of NATS that the tests and `cargo xtask demo --cluster` start |
//! | `contenders` | with `--contenders`: what HTTP is measured beside |
//! | `engines` | with `--engines`: what kernels are measured beside |
//! | `components` | with `--tests`: components made by the toolchains of other languages |
//! | `clients` | with `--tests`: clients of other makers |
//! | `conformance` | with `--tests`: tests of other makers, as data |
//! | `debian` | packages, where this is Debian and we are root |
//! | `tools` | with `--tests`: programs that the tests run |
//! | `python`, `wheel` | `pip`, by which models and tools come, and files out of its packages |

mod clients;
mod components;
mod conformance;
mod contenders;
pub(crate) mod debian;
mod engines;
mod guest_toolchain;
mod models;
pub(crate) mod nats;
mod python;
mod tools;
mod wheel;

use clap::Args;

use crate::workspace::Workspace;

/// Install what builds need
#[derive(Args, Default)]
pub(crate) struct Setup {
    /// What the tests need, too: programs, clients, and the Python and JavaScript components that they deploy
    #[arg(long)]
    pub(crate) tests: bool,
    /// What `cargo xtask bench http` measures Spillway beside, too
    #[arg(long)]
    pub(crate) contenders: bool,
    /// What `cargo xtask bench kernels` measures kernels beside, too
    #[arg(long)]
    pub(crate) engines: bool,
}

impl Setup {
    pub(crate) async fn run(self, workspace: &Workspace) -> anyhow::Result<()> {
        guest_toolchain::provide(workspace).await?;
        models::provide(workspace).await?;
        if self.tests {
            tools::provide().await?;
            nats::provide(workspace).await?;
            components::provide(workspace).await?;
            clients::provide(workspace).await?;
            conformance::provide(workspace).await?;
        }
        if self.contenders {
            contenders::provide(workspace).await?;
        }
        if self.engines {
            engines::provide(workspace).await?;
        }
        Ok(())
    }
}
