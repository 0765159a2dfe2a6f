//! Trust from outside: what is believed, and everything that is not.

mod authorities;
mod handshakes;
mod identities;
mod keys;
mod statements;

use std::time::{Duration, SystemTime};

use spillway_trust::{Authority, IdentityFiles, IssuedIdentity, Validity};
use spillway_types::NodeIdentity;
use tempfile::TempDir;

const DAY: Duration = Duration::from_secs(24 * 3600);

fn authority(cluster: &str) -> Authority {
    Authority::init(&cluster.parse().unwrap(), Validity::from_now(10 * DAY)).unwrap()
}

/// A node of the cluster `acme`, or of the one named before its own name: `other/box`.
fn node(name: &str) -> NodeIdentity {
    let (cluster, name) = name.split_once('/').unwrap_or(("acme", name));
    format!("spiffe://{cluster}/region/eu/site/paris/edge/{name}").parse().unwrap()
}

fn issue(authority: &Authority, name: &str) -> IssuedIdentity {
    authority.issue(&node(name), Validity::from_now(DAY), &[]).unwrap()
}

/// A day that is over, or one that is to come.
fn day(from_now_days: i32) -> Validity {
    let offset = DAY * from_now_days.unsigned_abs();
    let now = SystemTime::now();
    let not_before = if from_now_days < 0 { now - offset } else { now + offset };
    Validity { not_before, not_after: not_before + DAY }
}

/// A node's files in a folder that goes with them.
struct Files {
    files: IdentityFiles,
    folder: TempDir,
}

impl Files {
    fn of(issued: &IssuedIdentity) -> Self {
        let folder = TempDir::new().unwrap();
        let new = Self { files: IdentityFiles::new(folder.path()), folder };
        issued.save(new.folder.path()).unwrap();
        new
    }

    fn write(&self, name: &str, text: &str) {
        std::fs::write(self.folder.path().join(name), text).unwrap();
    }

    /// Copies another identity over this one, as an operator does.
    fn replace(&self, issued: &IssuedIdentity) {
        self.write("node.crt", &issued.certificate_pem);
        self.write("node.key", &issued.key_pem);
    }
}
