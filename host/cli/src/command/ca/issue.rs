//! `spillway ca issue`: makes the identity of a node.

use std::path::PathBuf;

use clap::{Args, value_parser};
use serde_json::json;
use spillway_trust::{Authority, ServerName, Validity};
use spillway_types::{NodeIdentity, NodeName, Region, Role, Site};

use super::{authority_folder, date, days};
use crate::args::Global;
use crate::output;

/// Make a node's key and certificate, with the authority's certificate beside them; none of them is overwritten
#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  spillway ca issue box-1 --role edge --site paris --region eu
  spillway ca issue box-1 --role edge --site paris --region eu --out box-1-renewed
  spillway ca issue box-2 --role cloud --site dc-1 --dir acme-ca --days 90 --address box-2.example.com --address 10.0.0.7")]
pub(crate) struct Issue {
    /// Name of the node, unique in its cluster
    // Not `node`, which clap would take for the global --node.
    #[arg(value_name = "NODE")]
    name: NodeName,
    /// What the node is for: edge or cloud
    #[arg(long, value_name = "ROLE")]
    role: Role,
    /// Where it stands; functions with residency `site` keep their calls there
    #[arg(long, value_name = "SITE")]
    site: Site,
    /// The region of the site; functions with residency `region` keep their calls there
    #[arg(long, value_name = "REGION", default_value = "default")]
    region: Region,
    /// Folder of the authority [default: spillway/ca in $XDG_CONFIG_HOME or ~/.config]
    #[arg(long, value_name = "DIR")]
    dir: Option<PathBuf>,
    /// Folder for node.crt, node.key and ca.crt [default: the node's name, here]
    #[arg(long, value_name = "DIR")]
    out: Option<PathBuf>,
    /// How long the certificate holds, at most as long as the authority's
    #[arg(long, value_name = "N", default_value_t = 365, value_parser = value_parser!(u32).range(1..=36_500))]
    days: u32,
    /// Host name or IP address by which others than nodes call it; may be given several times
    #[arg(long = "address", value_name = "HOST|IP", value_parser = address)]
    addresses: Vec<ServerName<'static>>,
}

fn address(text: &str) -> Result<ServerName<'static>, String> {
    let name = ServerName::try_from(text).map(|name| name.to_owned());
    name.map_err(|_| format!("`{text}` is neither a host name nor an IP address; leave the port away"))
}

impl Issue {
    pub(crate) fn run(self, global: &Global) -> anyhow::Result<()> {
        let authority = Authority::load(&authority_folder(self.dir)?)?;
        let identity = NodeIdentity {
            cluster: authority.cluster().clone(),
            region: self.region,
            site: self.site,
            role: self.role,
            node: self.name,
        };
        let issued = authority.issue(&identity, Validity::from_now(days(self.days)), &self.addresses)?;
        let folder = self.out.unwrap_or_else(|| PathBuf::from(identity.node.as_str()));
        issued.save(&folder)?;
        let (until, folder) = (date(issued.not_after), folder.display().to_string());
        if global.json {
            return output::json(&json!({ "identity": identity.to_string(), "not_after": until, "dir": folder }));
        }
        output::line(format!("issued {identity} until {until}"))?;
        Ok(output::line(format!(
            "next: copy {folder} with its three files to the node, for its user alone to read, and start it there:\n  \
             spillway up --join nats://HOST:4222 --identity {folder}"
        ))?)
    }
}
