//! Calls that a node of the cluster sends and none should: the receiver knows better.

use hyper::Request;
use hyper::http::request::Builder;
use spillway_tests::{Answer, Cluster, Node, wait_until};
use spillway_types::{NodeIdentity, ProblemType, Residency};

use crate::clusters::SPREAD_MAX;
use crate::fake_peer::{Conduct, FakePeer, Line};
use crate::variants::{deploy_bundle, traveller};

/// A node with a function that two peers send calls of: one of its own site, one of another.
struct Stage {
    cluster: Cluster,
    edge: Node,
    bundle: String,
}

impl Stage {
    async fn new(residency: Residency) -> Self {
        let cluster = Cluster::start().await;
        let edge = cluster.join("edge", "edge", "paris").await;
        let bundle = traveller(|manifest| manifest.placement.residency = residency);
        deploy_bundle(&cluster, &edge, &bundle).await;
        let bundle = edge.get("/functions/default/misbehave").await["bundle"].as_str().expect("a digest").to_owned();
        Self { cluster, edge, bundle }
    }

    async fn peer(&self, name: &str, site: &str) -> FakePeer {
        FakePeer::start(&self.cluster, &self.edge, name, site, Conduct::Refuse).await
    }

    fn call(&self, origin: &NodeIdentity, hops: &str) -> Builder {
        let call = Request::get("http://edge/misbehave/greet");
        let call = call.header("spillway-function", "default/misbehave").header("spillway-bundle", &self.bundle);
        call.header("spillway-origin", origin.to_string()).header("spillway-hops", hops)
    }

    async fn send(&self, line: &Line, origin: &NodeIdentity, hops: &str) -> Answer {
        line.send(self.call(origin, hops).body(String::new()).expect("a request")).await
    }

    /// Calls that the function has run.
    async fn ran(&self) -> u64 {
        self.edge.metrics().await.requests("misbehave", "answered")
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_call_that_goes_round_or_hides_where_it_comes_from_is_not_run() {
    let stage = Stage::new(Residency::Any).await;
    let (one, two) = (stage.peer("one", "paris").await, stage.peer("two", "dc-1").await);
    // A certificate alone makes no peer: a node that nobody has heard of is told so.
    let unknown = one.connect(&stage.edge).await;
    let answer = stage.send(&unknown, &one.identity(), "1").await;
    answer.problem(ProblemType::NotHere, &["one is not a node of this cluster yet"]);
    let (one_to_edge, _two) = (one.greet(&stage.edge).await, two.greet(&stage.edge).await);
    let own =
        serde_json::from_value(stage.edge.get("/node").await["cluster"]["identity"].clone()).expect("an identity");

    for hops in ["3", "4", "4294967295"] {
        let answer = stage.send(&one_to_edge, &two.identity(), hops).await;
        answer.problem(ProblemType::Loop, &[&format!("sent {hops} times"), "edge"]);
    }
    for hops in ["1", "2"] {
        let answer = stage.send(&one_to_edge, &own, hops).await;
        answer.problem(ProblemType::Loop, &["came to edge again"]);
    }
    let answer = stage.send(&one_to_edge, &two.identity(), "1").await;
    answer.problem(ProblemType::NotHere, &["one says that", "was taken by two", "its own"]);
    assert_eq!(answer.header("spillway-refused"), Some("not-here"));
    for hops in ["0", "-1", "many", ""] {
        let answer = stage.send(&one_to_edge, &two.identity(), hops).await;
        answer.problem(ProblemType::BadRequest, &["spillway-hops"]);
    }
    let other = Request::get("http://edge/misbehave/greet").header("spillway-function", "default/misbehave");
    let other = other.header("spillway-bundle", format!("sha256:{}", "0".repeat(64)));
    let other = other.header("spillway-origin", one.identity().to_string()).header("spillway-hops", "1");
    let answer = one_to_edge.send(other.body(String::new()).expect("a request")).await;
    answer.problem(ProblemType::NotHere, &["does not serve this revision"]);
    assert_eq!(stage.ran().await, 0);

    // Its own calls are run, and those that it passes on.
    for (origin, hops) in [(&one, "1"), (&one, "2"), (&two, "2")] {
        let answer = stage.send(&one_to_edge, &origin.identity(), hops).await;
        assert_eq!(answer.ok(), "Hello from misbehave\n");
    }
    assert_eq!(stage.ran().await, 3);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_call_that_should_not_have_left_its_site_is_refused_by_who_gets_it() {
    let stage = Stage::new(Residency::Site).await;
    let (near, far) = (stage.peer("near", "paris").await, stage.peer("far", "dc-1").await);
    let (from_near, from_far) = (near.greet(&stage.edge).await, far.greet(&stage.edge).await);
    // Sent by a node of another site, taken there or at this one; and taken there, passed on by a node of this one.
    for (line, origin, hops, from) in
        [(&from_far, &far, "1", "far"), (&from_far, &near, "2", "far"), (&from_near, &far, "2", "far")]
    {
        let answer = stage.send(line, &origin.identity(), hops).await;
        answer.problem(ProblemType::Residency, &["stay in their site", &format!("not in that of {from}")]);
        // No refusal that the sender could take for "try elsewhere".
        assert_eq!(answer.header("spillway-refused"), None);
    }
    assert_eq!(stage.ran().await, 0);
    wait_until("the log says so", SPREAD_MAX, async || {
        stage.edge.stderr().contains("refused a call that residency forbids")
    })
    .await;
    let answer = stage.send(&from_near, &near.identity(), "1").await;
    assert_eq!(answer.ok(), "Hello from misbehave\n");
}
