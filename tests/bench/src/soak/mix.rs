//! The functions of a soak, and which call comes next.

use std::time::Duration;

use anyhow::ensure;
use bytes::Bytes;
use reqwest::{Client, Method, RequestBuilder};
use spillway_tests::{Node, bundle, bundle_file, manifest_of, with_manifest};
use spillway_types::{Manifest, Route, RoutePattern};

/// What a call is, and what may become of it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Kind {
    /// Must be answered, unless the node sheds it.
    Good(&'static str),
    /// Runs the small model.
    Model,
    /// Traps, loops or fills its memory: must fail, and only itself.
    Misdeed(&'static str),
    /// Its caller hangs up while it runs.
    HungUp,
}

/// In a round of this many calls, the kinds and how many there are of each. Loops are few: each keeps a core busy for its
/// whole deadline.
const ROUND: [(Kind, usize); 8] = [
    (Kind::Good("/hello"), 430),
    (Kind::Good("/fresh/greet"), 200),
    (Kind::Model, 200),
    (Kind::Good("/misbehave/count"), 150),
    (Kind::Misdeed("/unruly/trap"), 8),
    (Kind::Misdeed("/unruly/allocate"), 2),
    (Kind::Misdeed("/unruly/loop"), 1),
    (Kind::HungUp, 9),
];
/// The golden section spreads the kinds over a round: numbers so many apart visit every place once (1000 and 618 share only
/// 2, hence 617).
const STRIDE: usize = 617;

/// How long a loop may run.
const LOOP: Duration = Duration::from_millis(50);
/// What well-behaved calls have; a node at 80 % needs a fraction of it.
const PATIENCE: Duration = Duration::from_secs(10);

impl Kind {
    /// The kind of the call with this number.
    pub(super) fn of(number: usize) -> Self {
        let total = ROUND.iter().map(|(_, count)| count).sum::<usize>();
        let mut place = number.wrapping_mul(STRIDE) % total;
        for (kind, count) in ROUND {
            if place < count {
                return kind;
            }
            place -= count;
        }
        ROUND[0].0
    }

    /// `listen`: the node's address for callers.
    pub(super) fn request(self, client: &Client, listen: &str) -> RequestBuilder {
        let to = |method: Method, path: &str| client.request(method, format!("{listen}{path}"));
        let within = |request: RequestBuilder, time: Duration| {
            request.header("spillway-deadline-ms", time.as_millis().to_string()).timeout(2 * PATIENCE)
        };
        match self {
            Self::Good(path) => within(to(Method::GET, path), PATIENCE),
            Self::Model => within(to(Method::POST, "/mlp").body(Bytes::from_static(&[0; 256])), PATIENCE),
            Self::Misdeed(path) => within(to(Method::GET, path), LOOP),
            Self::HungUp => to(Method::GET, "/unruly/slow?ms=1000").timeout(LOOP),
        }
    }
}

/// The guest `from` under another name.
fn renamed(from: &str, name: &str, change: impl FnOnce(&mut Manifest)) -> anyhow::Result<Vec<u8>> {
    let built = bundle(from);
    let mut manifest = manifest_of(&built);
    manifest.name = name.parse()?;
    let pattern = RoutePattern::any_host(&format!("/{name}/*")).map_err(anyhow::Error::msg)?;
    manifest.routes = vec![Route { pattern, methods: Vec::new(), auth: None }];
    change(&mut manifest);
    Ok(with_manifest(&built, &manifest.to_bundle_toml()))
}

/// `hello` with another word, so another bundle.
pub(super) fn hello(word: &str) -> Vec<u8> {
    let built = bundle("hello");
    let mut manifest = manifest_of(&built);
    manifest.config.insert("greeting".to_owned(), word.to_owned());
    with_manifest(&built, &manifest.to_bundle_toml())
}

/// A function that comes and goes.
pub(super) fn passing() -> anyhow::Result<Vec<u8>> {
    renamed("plain", "passing", |_| {})
}

/// Deploys all that is called.
///
/// # Errors
/// The node refuses one.
pub(super) async fn deploy(node: &Node) -> anyhow::Result<()> {
    let patient = |manifest: &mut Manifest| {
        manifest.limits.deadline = PATIENCE;
        manifest.limits.queue = 4096;
    };
    let fresh = renamed("plain", "fresh", |manifest| {
        patient(manifest);
        manifest.sandbox.reuse = false;
    })?;
    // Apart from the one that counts: a trap takes along the calls that share its sandbox.
    let unruly = renamed("misbehave", "unruly", |manifest| manifest.capabilities.keyvalue.clear())?;
    let counting = renamed("misbehave", "misbehave", patient)?;
    for bundle in [hello("Hello"), fresh, unruly, counting] {
        let answer = node.post(bundle, "").await;
        ensure!(answer.status == 201, "{}", answer.text());
    }
    let mlp = node.cli(&["deploy", &bundle_file("mlp").display().to_string()]).await;
    ensure!(mlp.code == 0, "{}", mlp.stderr);
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_round_has_all_kinds_in_their_shares() {
        let total = ROUND.iter().map(|(_, count)| count).sum::<usize>();
        for round in 0..3 {
            for (kind, count) in ROUND {
                let found = (round * total..(round + 1) * total).filter(|number| Kind::of(*number) == kind).count();
                assert_eq!(found, count, "{kind:?}");
            }
        }
    }
}
