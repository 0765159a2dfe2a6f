//! `spillway key`: who may say what the nodes run.

mod ls;
mod new;
mod revoke;
mod show;
mod trust;

use clap::{Args, Subcommand};
use spillway_types::api::TrustedKey;

use crate::args::Global;

/// Make a deployer's key, and say which keys a node believes
///
/// A deployer signs what a cluster shall run; a node follows those whose keys it trusts. Trust is given to each node by
/// itself: name it with --node.
#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  spillway key new --out ada.pem
  spillway key show --key ada.pem
  spillway key trust ed25519:Gb9ECWmEzf6FQbrBZ9w7lshQhqowtrbLDFw4rXAxZuE= --name ada
  spillway key ls
  spillway key revoke e744c0791320c328")]
pub(crate) struct Key {
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, Subcommand)]
enum Command {
    New(new::New),
    Show(show::Show),
    Trust(trust::Trust),
    Revoke(revoke::Revoke),
    Ls(ls::Ls),
}

impl Key {
    pub(crate) async fn run(self, global: &Global) -> anyhow::Result<()> {
        match self.command {
            Command::New(args) => args.run(global),
            Command::Show(args) => args.run(global),
            Command::Trust(args) => args.run(global).await,
            Command::Revoke(args) => args.run(global).await,
            Command::Ls(args) => args.run(global).await,
        }
    }
}

/// A key in a sentence.
fn named(trusted: &TrustedKey) -> String {
    match trusted.name.as_str() {
        "" => format!("key {}", trusted.id),
        name => format!("key {} ({name})", trusted.id),
    }
}
