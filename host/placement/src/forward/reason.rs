//! Why a peer may not take a call.

use std::fmt;

use serde::Serialize;
use spillway_types::Residency;

use super::MAX_HOPS;
use crate::liveness::PeerState;

/// Why a peer may not take a call. Written out it follows the peer's name: `box-2 is draining`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(tag = "reason", rename_all = "kebab-case")]
pub enum Reason {
    /// It is the node that looks for another.
    Itself,
    /// It is the node that took the call from its caller and sent it on.
    Origin,
    /// The call has been sent on often enough.
    TooManyHops,
    /// The call's data may not travel there.
    Residency {
        /// How far it may travel.
        residency: Residency,
    },
    /// It doesn't answer probes.
    NotAlive {
        /// What it is instead.
        state: PeerState,
    },
    /// It is giving its work away.
    Draining,
    /// It has not reported what it has.
    NoReport,
    /// It doesn't serve the function.
    NotServed,
    /// It serves something else under the function's name.
    OtherRevision {
        /// The revision that has to answer.
        wanted: u64,
        /// The revision that serves there. The same number with another bundle is another revision, too.
        serves: u64,
    },
}

impl fmt::Display for Reason {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Itself => f.write_str("is the node that looks for another"),
            Self::Origin => f.write_str("is where the call came from"),
            Self::TooManyHops => write!(f, "would be more than {MAX_HOPS} nodes away from the caller's"),
            Self::Residency { residency } => write!(
                f,
                "is farther away than the function's data may travel (residency = \"{}\")",
                residency.as_str()
            ),
            Self::NotAlive { state: PeerState::Unknown } => f.write_str("has not answered a probe yet"),
            Self::NotAlive { .. } => f.write_str("does not answer"),
            Self::Draining => f.write_str("is draining"),
            Self::NoReport => f.write_str("has not reported its capacity yet"),
            Self::NotServed => f.write_str("does not serve the function"),
            Self::OtherRevision { wanted, serves } if wanted == serves => {
                write!(f, "serves another bundle as revision {serves}")
            }
            Self::OtherRevision { wanted, serves } => write!(f, "serves revision {serves}, not {wanted}"),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn reasons_are_told_to_people_and_to_programs() {
        let reason = Reason::Residency { residency: Residency::Site };
        assert_eq!(reason.to_string(), "is farther away than the function's data may travel (residency = \"site\")");
        assert_eq!(serde_json::to_string(&reason).unwrap(), r#"{"reason":"residency","residency":"site"}"#);
        let other = Reason::OtherRevision { wanted: 3, serves: 4 };
        assert_eq!(other.to_string(), "serves revision 4, not 3");
        assert_eq!(serde_json::to_string(&other).unwrap(), r#"{"reason":"other-revision","wanted":3,"serves":4}"#);
    }
}
