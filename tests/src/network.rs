//! The network between nodes, which can be made bad: slow, lossy, or parted.
//!
//! Every node and the server of NATS stand behind a relay of their own. A relay knows who connects, because it looks up
//! whose process holds the other end, so that each pair of nodes has its own way, and each direction of it.

use std::collections::{BTreeMap, BTreeSet};
use std::net::SocketAddr;
use std::time::Duration;

use bytes::Bytes;
use rand::rngs::StdRng;
use rand::{Rng as _, SeedableRng as _};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::tcp::{OwnedReadHalf, OwnedWriteHalf};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::{mpsc, watch};
use tokio::time::Instant;

use crate::owner::owner;

/// What everybody calls the server of NATS.
pub const NATS: &str = "nats";
/// What is on its way in one direction; then the sender waits, as with a full window of TCP.
const CHUNKS: usize = 256;
const CHUNK_BYTES: usize = 16 << 10;

/// One direction of a way.
#[derive(Clone, Copy, Debug, Default)]
pub struct Way {
    /// How long each byte is under way.
    pub delay: Duration,
    /// Up to so much longer, at random.
    pub jitter: Duration,
    /// How many of a thousand chunks break their connection.
    pub breaks_per_mille: u32,
}

#[derive(Clone, Debug, Default)]
struct Rules {
    /// For all ways that have none of their own.
    usual: Way,
    ways: BTreeMap<(String, String), Way>,
    /// Who is cut off from all others; they reach each other.
    island: BTreeSet<String>,
}

impl Rules {
    fn way(&self, from: &str, to: &str) -> Way {
        self.ways.get(&(from.to_owned(), to.to_owned())).copied().unwrap_or(self.usual)
    }

    fn is_parted(&self, from: &str, to: &str) -> bool {
        self.island.contains(from) != self.island.contains(to)
    }
}

/// Ways between processes; at first good ones.
pub struct Network {
    seed: u64,
    rules: watch::Sender<Rules>,
}

impl Network {
    /// With chance drawn from `seed`; `SPILLWAY_TEST_SEED` replaces it, to see a failure again.
    ///
    /// # Panics
    /// If that is no number.
    pub fn new(seed: u64) -> Self {
        let given = std::env::var("SPILLWAY_TEST_SEED").ok();
        let seed = given.map_or(seed, |seed| seed.parse().expect("SPILLWAY_TEST_SEED is a number"));
        eprintln!("network with SPILLWAY_TEST_SEED={seed}");
        Self { seed, ..Self::without_chance() }
    }

    /// For ways that are slow at most: with jitter or breaks, each run would see the same ones.
    pub fn without_chance() -> Self {
        Self { seed: 0, rules: watch::Sender::new(Rules::default()) }
    }

    /// Changes all ways that were not set one by one.
    pub fn set_all(&self, way: Way) {
        self.rules.send_modify(|rules| rules.usual = way);
    }

    /// Changes the way from one to another, in this direction.
    pub fn set(&self, from: &str, to: &str, way: Way) {
        self.rules.send_modify(|rules| {
            rules.ways.insert((from.to_owned(), to.to_owned()), way);
        });
    }

    /// Lets nothing through between these and all others, NATS included, as when a cable is pulled: connections stay
    /// open, and what is sent waits.
    pub fn cut_off(&self, nodes: &[&str]) {
        self.rules.send_modify(|rules| rules.island = nodes.iter().map(ToString::to_string).collect());
    }

    /// Ends [`cut_off`](Self::cut_off); what waited arrives.
    pub fn mend(&self) {
        self.cut_off(&[]);
    }

    /// Puts a relay in front of `to`, which listens at `target`, and gives the relay's address. It ends with the test's
    /// runtime. `from` says who connects, where only one does; else it is looked up.
    ///
    /// # Panics
    /// If there is no free port.
    pub async fn relay(&self, from: Option<&str>, to: &str, target: SocketAddr) -> SocketAddr {
        let listener = TcpListener::bind("127.0.0.1:0").await.expect("a free port");
        let address = listener.local_addr().expect("a listener has an address");
        let (from, to, rules) = (from.map(ToOwned::to_owned), to.to_owned(), self.rules.subscribe());
        // The same chance for each relay at each run, whatever the ports are.
        let mut chance = StdRng::seed_from_u64(self.seed ^ hash(&to) ^ hash(from.as_deref().unwrap_or_default()));
        tokio::spawn(async move {
            while let Ok((near, peer)) = listener.accept().await {
                let known = from.clone();
                let whose = tokio::task::spawn_blocking(move || known.or_else(|| owner(peer, address)));
                let from = whose.await.ok().flatten().unwrap_or_default();
                let random = StdRng::seed_from_u64(chance.random());
                tokio::spawn(connection(near, target, from, to.clone(), rules.clone(), random));
            }
        });
        address
    }
}

/// FNV-1a, which is the same in each process.
fn hash(text: &str) -> u64 {
    text.bytes().fold(0xcbf2_9ce4_8422_2325, |hash, byte| (hash ^ u64::from(byte)).wrapping_mul(0x0100_0000_01b3))
}

async fn connection(
    near: TcpStream,
    target: SocketAddr,
    from: String,
    to: String,
    mut rules: watch::Receiver<Rules>,
    mut random: StdRng,
) {
    // The handshake of TCP has to get through, too.
    while rules.borrow_and_update().is_parted(&from, &to) {
        if rules.changed().await.is_err() {
            return;
        }
    }
    let Ok(far) = TcpStream::connect(target).await else { return };
    let _ = (near.set_nodelay(true), far.set_nodelay(true));
    let ((near_in, near_out), (far_in, far_out)) = (near.into_split(), far.into_split());
    let there =
        Pump { from: from.clone(), to: to.clone(), rules: rules.clone(), random: StdRng::from_rng(&mut random) };
    let back = Pump { from: to, to: from, rules, random };
    // A way that breaks takes the other direction with it; one that is closed does not.
    let _ = tokio::try_join!(there.run(near_in, far_out), back.run(far_in, near_out));
}

/// One direction of one connection.
struct Pump {
    from: String,
    to: String,
    rules: watch::Receiver<Rules>,
    random: StdRng,
}

/// A way that broke.
struct Broken;

impl Pump {
    async fn run(self, mut from: OwnedReadHalf, mut to: OwnedWriteHalf) -> Result<(), Broken> {
        let Self { from: sender, to: receiver, rules, mut random } = self;
        let (chunks, mut arriving) = mpsc::channel::<(Instant, Bytes)>(CHUNKS);
        let mut parted = rules.clone();
        let (a, b) = (sender.clone(), receiver.clone());
        let read = async move {
            let mut buffer = vec![0; CHUNK_BYTES];
            loop {
                let length = from.read(&mut buffer).await.map_err(|_| Broken)?;
                if length == 0 {
                    return Ok(());
                }
                let way = rules.borrow().way(&a, &b);
                if random.random_range(0..1000) < way.breaks_per_mille {
                    return Err(Broken);
                }
                let at = Instant::now() + way.delay + way.jitter.mul_f64(random.random());
                chunks.send((at, Bytes::copy_from_slice(&buffer[..length]))).await.map_err(|_| Broken)?;
            }
        };
        let write = async move {
            while let Some((at, bytes)) = arriving.recv().await {
                tokio::time::sleep_until(at).await;
                while parted.borrow_and_update().is_parted(&sender, &receiver) {
                    parted.changed().await.map_err(|_| Broken)?;
                }
                to.write_all(&bytes).await.map_err(|_| Broken)?;
            }
            let _ = to.shutdown().await;
            Ok(())
        };
        tokio::try_join!(read, write).map(|_| ())
    }
}
