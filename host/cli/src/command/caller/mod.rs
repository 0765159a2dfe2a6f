//! `spillway caller`: who may call functions whose routes want a token.

mod ls;
mod new;
mod rm;

use std::io::Write as _;
use std::path::{Path, PathBuf};

use anyhow::Context as _;
use clap::{Args, Subcommand};
use spillway_types::Callers;

use crate::args::Global;

/// Make tokens for callers, and list or remove them
///
/// The tokens' digests are in a file that nodes read (`spillway up --callers FILE`) and read again when it changes. In a
/// cluster give the same file to all nodes: a call may enter at any of them.
#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  spillway caller new shop --functions 'shop/*' --expires 90d
  spillway caller ls
  spillway caller rm shop
  curl -H \"authorization: Bearer $TOKEN\" https://box-1.example.com/shop/cart")]
pub(crate) struct Caller {
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, Subcommand)]
enum Command {
    New(new::New),
    Ls(ls::Ls),
    Rm(rm::Rm),
}

/// Which file the callers are in.
#[derive(Debug, Args)]
struct File {
    /// File of the callers
    #[arg(long, env = "SPILLWAY_CALLERS", default_value = "callers.toml", value_name = "FILE")]
    callers: PathBuf,
}

impl Caller {
    pub(crate) fn run(self, global: &Global) -> anyhow::Result<()> {
        match self.command {
            Command::New(args) => args.run(global),
            Command::Ls(args) => args.run(global),
            Command::Rm(args) => args.run(global),
        }
    }
}

impl File {
    fn read(&self) -> anyhow::Result<Callers> {
        let text = spillway_trust::read_bounded(&self.callers)?;
        text.parse().map_err(|error| anyhow::anyhow!("{}: {error}", self.callers.display()))
    }

    /// As [`read`](Self::read); a file that is not there yet has nobody.
    fn read_or_none(&self) -> anyhow::Result<Callers> {
        if self.callers.exists() { self.read() } else { Ok(Callers::default()) }
    }

    /// Puts the new list in the place of the old one at once: a node may read it at any moment.
    fn write(&self, callers: &Callers) -> anyhow::Result<()> {
        let failed = || format!("cannot write {}", self.callers.display());
        let folder = self.callers.parent().filter(|folder| !folder.as_os_str().is_empty()).unwrap_or(Path::new("."));
        let mut file = tempfile::Builder::new().prefix(".callers-").tempfile_in(folder).with_context(failed)?;
        let text = format!(
            "# Written by `spillway caller`. The tokens themselves are kept nowhere.\n\n{}",
            toml::to_string(callers)?
        );
        file.write_all(text.as_bytes()).with_context(failed)?;
        file.as_file().sync_all().with_context(failed)?;
        let mode = std::os::unix::fs::PermissionsExt::from_mode(0o644);
        file.as_file().set_permissions(mode).with_context(failed)?;
        file.persist(&self.callers).with_context(failed)?;
        Ok(())
    }
}
