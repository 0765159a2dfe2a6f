//! Where a node stands, which nodes may run a function, and how far the data of a call may travel.

use std::fmt;
use std::str::FromStr;
use std::time::Duration;

use serde::{Deserialize, Serialize};

use crate::{ClusterName, Money, NodeName, ParseNameError, Region, Site};

/// What a node is for.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Role {
    /// Near the callers, and small.
    Edge,
    /// Far and large: where calls go that the edge has no room for.
    Cloud,
}

/// How far the data of a call may travel from the node that took the call.
///
/// Ordered: each value allows what those before it allow.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Residency {
    /// Nowhere.
    Node,
    /// To nodes of the same site.
    Site,
    /// To nodes of the same region.
    Region,
    /// To any node of the cluster.
    Any,
}

/// Which nodes may run a function, and where the data of its calls may go: `[placement]` of a manifest.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Placement {
    /// How far calls may be sent.
    pub residency: Residency,
    /// Roles of the nodes that may run it; all where empty.
    pub roles: Vec<Role>,
    /// Sites of the nodes that may run it; all where empty.
    pub sites: Vec<Site>,
    /// Which of the nodes that would answer in time shall run a call.
    pub prefer: Prefer,
    /// How long a caller waits that says nothing of it; as long as the function may take, where this is not given.
    pub deadline: Option<Duration>,
    /// Which calls start first where several wait.
    pub priority: Priority,
    /// What a call may cost at most, by the prices of the nodes.
    pub max_cost: Option<Money>,
}

/// Which of the nodes that would answer in time shall run a call.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Prefer {
    /// The one that took it, as long as it makes the deadline.
    #[default]
    Near,
    /// The one that is expected to be done first.
    Fast,
    /// The one whose time costs least.
    Cheap,
}

/// Which calls start first where several wait: those of greater priority; among equals, those whose deadline is nearer.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
pub struct Priority(u8);

/// Who a node is and where it stands, as its certificate says.
///
/// Written as a SPIFFE ID (SPIFFE-ID, section 2): `spiffe://CLUSTER/region/REGION/site/SITE/ROLE/NODE`.
#[derive(Clone, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct NodeIdentity {
    /// Which cluster it belongs to: the trust domain.
    pub cluster: ClusterName,
    /// Its region.
    pub region: Region,
    /// Its site.
    pub site: Site,
    /// What it is for.
    pub role: Role,
    /// Its name.
    pub node: NodeName,
}

/// A string that is no identity of a node.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("`{text}` is not the identity of a node; it is written spiffe://CLUSTER/region/REGION/site/SITE/ROLE/NODE")]
pub struct ParseIdentityError {
    text: String,
}

impl Role {
    /// All values, as people write them.
    pub const NAMES: [&str; 2] = ["edge", "cloud"];

    /// The word for it.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Edge => "edge",
            Self::Cloud => "cloud",
        }
    }
}

impl fmt::Display for Role {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.as_str())
    }
}

impl FromStr for Role {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        match text {
            "edge" => Ok(Self::Edge),
            "cloud" => Ok(Self::Cloud),
            _ => Err(format!("`{text}` is not a role; write `edge` or `cloud`")),
        }
    }
}

impl Residency {
    /// All values, as the manifest writes them.
    pub const NAMES: [&str; 4] = ["node", "site", "region", "any"];

    /// The word in the manifest.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Node => "node",
            Self::Site => "site",
            Self::Region => "region",
            Self::Any => "any",
        }
    }

    /// Whether data may go from one node to another.
    pub fn allows(self, from: &NodeIdentity, to: &NodeIdentity) -> bool {
        if from.cluster != to.cluster {
            return false;
        }
        let same_region = from.region == to.region;
        // Names of sites are unique in a region only.
        let same_site = same_region && from.site == to.site;
        match self {
            Self::Node => same_site && from.node == to.node,
            Self::Site => same_site,
            Self::Region => same_region,
            Self::Any => true,
        }
    }
}

impl FromStr for Residency {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        match text {
            "node" => Ok(Self::Node),
            "site" => Ok(Self::Site),
            "region" => Ok(Self::Region),
            "any" => Ok(Self::Any),
            _ => Err(format!("`{text}` is not a residency; write one of {}", Self::NAMES.join(", "))),
        }
    }
}

impl Prefer {
    /// All values, as the manifest writes them.
    pub const NAMES: [&str; 3] = ["near", "fast", "cheap"];

    /// The word in the manifest.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Near => "near",
            Self::Fast => "fast",
            Self::Cheap => "cheap",
        }
    }
}

impl FromStr for Prefer {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        match text {
            "near" => Ok(Self::Near),
            "fast" => Ok(Self::Fast),
            "cheap" => Ok(Self::Cheap),
            _ => Err(format!("`{text}` is not a preference; write one of {}", Self::NAMES.join(", "))),
        }
    }
}

impl Priority {
    /// What a manifest has that names none.
    pub const USUAL: Self = Self(5);
    /// What a caller means that asks for `low`.
    pub const LOW: Self = Self(2);
    /// What a caller means that asks for `high`.
    pub const HIGH: Self = Self(8);
    /// The greatest.
    pub const MAX: u8 = 9;

    /// One of 0 to 9; what is greater counts as that.
    pub fn new(number: u8) -> Self {
        Self(number.min(Self::MAX))
    }

    /// The number.
    pub fn get(self) -> u8 {
        self.0
    }
}

impl Default for Priority {
    fn default() -> Self {
        Self::USUAL
    }
}

impl Placement {
    /// Whether a node may run the function.
    pub fn admits(&self, node: &NodeIdentity) -> bool {
        (self.roles.is_empty() || self.roles.contains(&node.role))
            && (self.sites.is_empty() || self.sites.contains(&node.site))
    }
}

impl Default for Placement {
    /// Every node, and calls may go anywhere in the cluster.
    fn default() -> Self {
        Self {
            residency: Residency::Any,
            roles: Vec::new(),
            sites: Vec::new(),
            prefer: Prefer::default(),
            deadline: None,
            priority: Priority::default(),
            max_cost: None,
        }
    }
}

impl fmt::Display for NodeIdentity {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { cluster, region, site, role, node } = self;
        write!(f, "spiffe://{cluster}/region/{region}/site/{site}/{role}/{node}")
    }
}

impl FromStr for NodeIdentity {
    type Err = ParseIdentityError;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let parse = || {
            let parts: Vec<&str> = text.strip_prefix("spiffe://")?.split('/').collect();
            let [cluster, "region", region, "site", site, role, node] = parts[..] else { return None };
            let names = || -> Result<_, ParseNameError> {
                Ok((cluster.parse()?, region.parse()?, site.parse()?, node.parse()?))
            };
            let (cluster, region, site, node) = names().ok()?;
            Some(Self { cluster, region, site, role: role.parse().ok()?, node })
        };
        parse().ok_or_else(|| ParseIdentityError { text: text.chars().take(200).collect() })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn node(text: &str) -> NodeIdentity {
        text.parse().unwrap()
    }

    #[test]
    fn an_identity_reads_what_it_writes_and_nothing_else() {
        let text = "spiffe://acme/region/eu/site/paris/edge/box-1";
        assert_eq!(node(text).to_string(), text);
        for bad in [
            "",
            "spiffe://acme",
            "https://acme/region/eu/site/paris/edge/box-1",
            "spiffe://acme/region/eu/site/paris/edge/box-1/more",
            "spiffe://acme/region/eu/site/paris/fog/box-1",
            "spiffe://acme/region/eu/site/Paris/edge/box-1",
        ] {
            assert!(bad.parse::<NodeIdentity>().is_err(), "{bad}");
        }
    }

    #[test]
    fn residency_widens_from_node_to_any() {
        let here = node("spiffe://acme/region/eu/site/paris/edge/a");
        let targets = [
            (node("spiffe://acme/region/eu/site/paris/edge/a"), Residency::Node),
            (node("spiffe://acme/region/eu/site/paris/edge/b"), Residency::Site),
            (node("spiffe://acme/region/eu/site/lyon/cloud/c"), Residency::Region),
            // The same name of a site in another region is another site.
            (node("spiffe://acme/region/us/site/paris/edge/d"), Residency::Any),
        ];
        for (to, least) in targets {
            for text in Residency::NAMES {
                let residency: Residency = text.parse().unwrap();
                assert_eq!(residency.allows(&here, &to), residency >= least, "{text} to {to}");
            }
        }
        let stranger = node("spiffe://other/region/eu/site/paris/edge/a");
        assert!(!Residency::Any.allows(&here, &stranger));
    }

    #[test]
    fn placement_admits_by_role_and_site() {
        let here = node("spiffe://acme/region/eu/site/paris/edge/a");
        assert!(Placement::default().admits(&here));
        let cloud = Placement { roles: vec![Role::Cloud], ..Placement::default() };
        assert!(!cloud.admits(&here));
        let paris =
            Placement { sites: vec!["paris".parse().unwrap()], roles: vec![Role::Edge], ..Placement::default() };
        assert!(paris.admits(&here));
        assert!(!paris.admits(&node("spiffe://acme/region/eu/site/lyon/edge/a")));
    }
}
