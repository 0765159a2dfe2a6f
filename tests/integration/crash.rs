//! Power cuts: the node is killed at random moments of deploys, and nothing is lost, torn or left over.

use std::collections::BTreeSet;
use std::fs::{self, File};
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant, SystemTime};

use rand::rngs::StdRng;
use rand::{Rng as _, SeedableRng as _};
use reqwest::Method;
use rustix::process::Signal;
use spillway_tests::{Node, bare, with_manifest};
use spillway_types::{Bundle, Digest};

use crate::variants::hello_that_says;

/// Deploys that must have been cut off.
const CUT_OFF: usize = 50;
/// A kill that comes too late cuts nothing off; more rounds than this mean that the moments are badly chosen.
const ROUNDS_MAX: usize = 300;
/// More than the hour that garbage collection leaves an upload for its deploy.
const TWO_HOURS: Duration = Duration::from_secs(2 * 3600);

/// One deploy that will be cut off.
struct Round {
    greeting: String,
    bundle: Vec<u8>,
    /// A blob that is uploaded before the deploy and that nobody will refer to.
    blob: Vec<u8>,
}

impl Round {
    /// Every bundle is another one; with `compiled`, its component is, too, so that there is code to compile and to keep.
    fn new(number: usize, compiled: bool, random: &mut StdRng) -> Self {
        let greeting = format!("Round {number}");
        let mut bundle = hello_that_says(&greeting);
        if compiled {
            let manifest = Bundle::read(&bundle).expect("it was just made").manifest().map(ToOwned::to_owned);
            let mut component = bare(&bundle);
            component.extend_from_slice(&custom_section(&greeting));
            bundle = with_manifest(&component, &manifest.expect("a variant has a manifest"));
        }
        let mut blob = vec![0; random.random_range(1..512 * 1024)];
        random.fill(&mut blob[..]);
        Self { greeting, bundle, blob }
    }

    fn answer(&self) -> String {
        format!("{}, world!\n", self.greeting)
    }

    fn digests(&self) -> [Digest; 2] {
        [Digest::of(&self.bundle), Digest::of(&self.blob)]
    }

    /// Uploads, deploys and collects garbage. Says how long it took, if it came to its end.
    async fn run(&self, node: &Node) -> Option<Duration> {
        let start = Instant::now();
        let blob = node.api(Method::PUT, &format!("/blobs/{}", Digest::of(&self.blob))).body(self.blob.clone());
        let deploy = node.api(Method::POST, "/functions").body(self.bundle.clone());
        let collect = node.api(Method::POST, "/gc");
        let deployed = async {
            let blob = blob.send().await.ok()?;
            assert_eq!(blob.status(), 201, "{blob:?}");
            deploy.send().await.ok()
        };
        // Beside each other, so that the node may also be killed while it deletes.
        let (deployed, collected) = tokio::join!(deployed, collect.send());
        let deployed = deployed?;
        assert_eq!(deployed.status(), 201, "{:?}", deployed.text().await);
        assert!(collected.is_ok_and(|answer| answer.status() == 200));
        Some(start.elapsed())
    }
}

/// A section that WebAssembly ignores (binary format, "custom section"): name and content, lengths in one byte each.
fn custom_section(text: &str) -> Vec<u8> {
    let length = u8::try_from(text.len()).expect("the text is short");
    [&[0, length + 2, 1, b'x'], text.as_bytes()].concat()
}

/// The blobs that there are. Each must have the content that its name says.
fn blobs(data: &Path) -> BTreeSet<Digest> {
    let mut blobs = BTreeSet::new();
    for folder in entries(&data.join("blobs/sha256")) {
        for path in entries(&folder) {
            let (found, _) = File::open(&path).and_then(Digest::of_reader).expect("a blob can be read");
            assert!(path.ends_with(format!("{}/{}", &found.hex()[..2], found.hex())), "{found} lies in {path:?}");
            blobs.insert(found);
        }
    }
    blobs
}

fn entries(folder: &Path) -> Vec<PathBuf> {
    let entries = fs::read_dir(folder).unwrap_or_else(|error| panic!("{folder:?}: {error}"));
    entries.map(|entry| entry.expect("a folder can be read").path()).collect()
}

/// The blobs that the node says it refers to.
async fn referenced(node: &Node) -> BTreeSet<Digest> {
    let detail = node.get("/functions/default/hello").await;
    let revisions = detail["revisions"].as_array().expect("revisions are a list");
    let digests = revisions.iter().map(|revision| revision["bundle"].as_str().expect("a revision has a bundle"));
    digests.map(|digest| digest.parse().expect("it is a digest")).collect()
}

/// Makes every blob look as if it had been uploaded long ago.
fn age_blobs(data: &Path) {
    let long_ago = SystemTime::now() - TWO_HOURS;
    for path in entries(&data.join("blobs/sha256")).iter().flat_map(|folder| entries(folder)) {
        File::open(&path).and_then(|blob| blob.set_modified(long_ago)).expect("the blob is ours");
    }
}

/// What the node must never say or leave behind after a start, whatever it was doing when it was killed.
async fn check(node: &Node, uploaded: &BTreeSet<Digest>) {
    assert_eq!(entries(&node.data().join("staging")), [] as [&Path; 0], "uploads are left over");
    let (files, referenced) = (blobs(node.data()), referenced(node).await);
    assert!(referenced.is_subset(&files), "revisions without a blob: {:?}", &referenced - &files);
    assert!(files.is_subset(uploaded), "blobs that nobody uploaded: {:?}", &files - uploaded);
}

#[tokio::test]
async fn a_node_killed_during_deploys_serves_the_old_or_the_new_revision_and_loses_no_blob() {
    let seed = std::env::var("SPILLWAY_TEST_SEED").ok().and_then(|seed| seed.parse().ok());
    let seed = seed.unwrap_or_else(rand::random::<u64>);
    eprintln!("SPILLWAY_TEST_SEED={seed} makes the same moments again");
    let mut random = StdRng::seed_from_u64(seed);
    let folder = tempfile::tempdir().expect("tests may write temporary files");
    let data = folder.path().join("data");
    let start = || Node::builder().data(&data).start();

    // Two that are not cut off say how long the two kinds of round take, the one without compilation first.
    let node = start().await;
    let mut uploaded = BTreeSet::new();
    let mut serving = String::new();
    let mut usual = [Duration::ZERO; 2];
    for (compiled, usual) in usual.iter_mut().enumerate().rev() {
        let round = Round::new(compiled, compiled == 1, &mut random);
        *usual = round.run(&node).await.expect("nobody kills the node yet");
        uploaded.extend(round.digests());
        serving = round.answer();
    }

    let (mut node, mut rounds, mut cut_off, mut new_serves) = (node, 2, 0, 0);
    while cut_off < CUT_OFF {
        assert!(rounds < ROUNDS_MAX, "only {cut_off} of {rounds} deploys were cut off");
        age_blobs(&data);
        let compiled = rounds % 2 == 1;
        let round = Round::new(rounds, compiled, &mut random);
        let usual = &mut usual[usize::from(compiled)];
        let moment = usual.mul_f64(random.random_range(0.0..1.0));
        // The random moment is what is tested; nothing waits for a condition here.
        let kill = async {
            tokio::time::sleep(moment).await;
            node.signal(Signal::KILL);
        };
        let (ended, ()) = tokio::join!(round.run(&node), kill);
        node.kill();
        rounds += 1;
        uploaded.extend(round.digests());

        node = start().await;
        check(&node, &uploaded).await;
        let answer = node.call("/hello").await.ok();
        match ended {
            Some(took) => {
                assert_eq!(answer, round.answer(), "the deploy was acknowledged");
                *usual = took;
            }
            None => {
                cut_off += 1;
                assert!(answer == serving || answer == round.answer(), "{answer:?} instead of {serving:?}");
                new_serves += usize::from(answer == round.answer());
            }
        }
        serving = answer;
    }
    node.kill();
    eprintln!("{rounds} rounds, {cut_off} cut off, after {new_serves} of those the new revision served");

    only_what_is_referred_to_outlives_garbage_collection(&data, &serving).await;
}

async fn only_what_is_referred_to_outlives_garbage_collection(data: &Path, serving: &str) {
    age_blobs(data);
    let node = Node::builder().data(data).start().await;
    let young = Digest::of(b"young");
    let upload = node.api(Method::PUT, &format!("/blobs/{young}")).body("young");
    assert_eq!(Node::send(upload).await.status, 201);
    Node::send(node.api(Method::POST, "/gc")).await.ok();
    node.kill();

    let node = Node::builder().data(data).start().await;
    let mut expected = referenced(&node).await;
    expected.insert(young);
    assert_eq!(blobs(data), expected);
    assert_eq!(node.call("/hello").await.ok(), serving);
    let useless = useless_code(data);
    assert!(useless.is_empty(), "files of no use are left among the compiled code: {useless:?}");
}

/// Files in the folder of compiled code that are neither its key nor code with the proof that it is ours.
fn useless_code(data: &Path) -> Vec<PathBuf> {
    let files: BTreeSet<_> = entries(&data.join("code")).into_iter().filter(|path| !path.ends_with("key")).collect();
    let is_pair = |path: &Path| ["cwasm", "mac"].iter().all(|kind| files.contains(&path.with_extension(kind)));
    files.iter().filter(|path| !is_pair(path)).cloned().collect()
}

#[tokio::test]
async fn compiled_code_that_a_killed_node_had_not_finished_is_cleared_away() {
    let folder = tempfile::tempdir().expect("tests may write temporary files");
    let node = Node::builder().data(folder.path()).start().await;
    node.deploy("hello").await;
    node.kill();
    // What a kill leaves that comes while code is written, and one between the two files of an artefact.
    let code = folder.path().join("code");
    fs::write(code.join(".0123456789abcdef"), "half of it").expect("the folder is ours");
    fs::write(code.join("0".repeat(64)).with_extension("mac"), [0; 32]).expect("the folder is ours");

    let node = Node::builder().data(folder.path()).start().await;
    Node::send(node.api(Method::POST, "/gc")).await.ok();
    assert_eq!(useless_code(folder.path()), [] as [PathBuf; 0]);
    assert_eq!(node.call("/hello").await.ok(), "Hello, world!\n");
}
