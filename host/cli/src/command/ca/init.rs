//! `spillway ca init`: makes the authority of a cluster.

use std::path::PathBuf;

use clap::{Args, value_parser};
use serde_json::json;
use spillway_trust::{Authority, Validity};
use spillway_types::ClusterName;

use super::{authority_folder, date, days};
use crate::args::Global;
use crate::output;

/// Make the authority of a cluster: ca.crt, which every node gets, and ca.key, which stays here; neither is overwritten
#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  spillway ca init acme
  spillway ca init acme --dir acme-ca --days 1825")]
pub(crate) struct Init {
    /// Name of the cluster
    #[arg(value_name = "CLUSTER")]
    cluster: ClusterName,
    /// Folder for ca.crt and ca.key [default: spillway/ca in $XDG_CONFIG_HOME or ~/.config]
    #[arg(long, value_name = "DIR")]
    dir: Option<PathBuf>,
    /// How long it holds; no certificate of a node holds longer
    #[arg(long, value_name = "N", default_value_t = 3650, value_parser = value_parser!(u32).range(1..=36_500))]
    days: u32,
}

impl Init {
    pub(crate) fn run(self, global: &Global) -> anyhow::Result<()> {
        let given = self.dir.clone();
        let folder = authority_folder(self.dir)?;
        let authority = Authority::init(&self.cluster, Validity::from_now(days(self.days)))?;
        authority.save(&folder)?;
        let until = date(authority.certificate().not_after);
        if global.json {
            return output::json(&json!({ "cluster": self.cluster, "not_after": until, "dir": folder }));
        }
        output::line(format!("made the authority of {} in {}", self.cluster, folder.display()))?;
        output::line(output::fields(&[
            ("ca.crt", format!("until {until}; every node gets it")),
            ("ca.key", "whoever has it can be any node; keep it off the nodes, and keep a copy".to_owned()),
        ]))?;
        let dir = given.map_or_else(String::new, |dir| format!(" --dir {}", dir.display()));
        Ok(output::line(format!(
            "next, for each node:\n  spillway ca issue NODE --role edge --site SITE --region REGION{dir}"
        ))?)
    }
}
