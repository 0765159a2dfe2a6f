//! `spillway ca`: the authority of a cluster and the certificates of its nodes.

mod init;
mod issue;
mod show;

use std::path::PathBuf;
use std::time::{Duration, SystemTime};

use clap::{Args, Subcommand};

use crate::args::Global;
use crate::home;

/// Make the authority of a cluster, and certificates for its nodes
///
/// A node proves to others who it is and where it stands by a certificate of the cluster's authority. No node is needed
/// for these commands, and none should be on the machine that keeps the authority's key.
#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  spillway ca init acme --dir acme-ca --days 3650
  spillway ca issue box-1 --role edge --site paris --region eu --dir acme-ca --out box-1
  spillway ca issue box-2 --role cloud --site dc-1 --address box-2.example.com
  spillway ca show box-1")]
pub(crate) struct Ca {
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, Subcommand)]
enum Command {
    Init(init::Init),
    Issue(issue::Issue),
    Show(show::Show),
}

impl Ca {
    pub(crate) fn run(self, global: &Global) -> anyhow::Result<()> {
        match self.command {
            Command::Init(args) => args.run(global),
            Command::Issue(args) => args.run(global),
            Command::Show(args) => args.run(global),
        }
    }
}

/// The authority's folder, unless the command line names another.
fn authority_folder(named: Option<PathBuf>) -> anyhow::Result<PathBuf> {
    named.map_or_else(|| Ok(home::config()?.join("ca")), Ok)
}

fn days(number: u32) -> Duration {
    Duration::from_secs(u64::from(number) * 24 * 3600)
}

fn date(time: SystemTime) -> String {
    humantime::format_rfc3339_seconds(time).to_string()
}
