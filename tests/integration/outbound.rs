//! Requests that functions send: of WASI 0.3 (`misbehave`) and of WASI 0.2 (`plain`), to servers of the test's own.

use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use futures::StreamExt as _;
use reqwest::Method;
use rustls::pki_types::{PrivateKeyDer, PrivatePkcs8KeyDer};
use spillway_tests::{Answer, Node};
use spillway_types::{HttpGrant, HttpGrants, Manifest, ProblemType};
use tokio_rustls::TlsAcceptor;

use crate::upstream::Upstream;
use crate::variants::variant;

const GUESTS: [&str; 2] = ["misbehave", "plain"];

/// What a denial says, in the SDK's words and in those of WASI 0.2.
const UNGRANTED: [&str; 2] = ["is not granted", "HttpRequestDenied"];
const PROHIBITED: [&str; 2] = ["not on the public internet", "DestinationIpProhibited"];

/// A node whose operator lets functions reach this machine.
async fn open_node() -> Node {
    Node::builder().args(&["--allow-private-egress", "127.0.0.0/8"]).start().await
}

fn grants(origins: &[String]) -> Vec<HttpGrant> {
    origins.iter().map(|origin| origin.parse().unwrap_or_else(|error| panic!("{error}"))).collect()
}

/// Origins that are granted wherever they are.
fn private(origins: &[String]) -> HttpGrants {
    HttpGrants { private: grants(origins), ..HttpGrants::default() }
}

/// Deploys both guests with these grants, and with time for a busy machine.
async fn deploy(node: &Node, http: &HttpGrants, change: impl Fn(&mut Manifest)) {
    for guest in GUESTS {
        let bundle = variant(guest, |manifest| {
            manifest.capabilities.http = http.clone();
            manifest.limits.deadline = Duration::from_secs(30);
            change(manifest);
        });
        let answer = node.post(bundle, "").await;
        assert_eq!(answer.status, 201, "{answer:?}");
    }
}

/// Has a guest send a request to `url`.
async fn fetch(node: &Node, guest: &str, url: &str, fields: &[(&str, &str)]) -> Answer {
    let request = node.request(Method::GET, &format!("/{guest}/fetch")).header("x-url", url);
    Node::send(fields.iter().fold(request, |request, (name, value)| request.header(*name, *value))).await
}

async fn outbound(node: &Node, guest: &str, end: &str) -> Option<f64> {
    node.metrics().await.sum("spillway_outbound_requests_total", &[("function", guest), ("end", end)])
}

#[tokio::test(flavor = "multi_thread")]
async fn an_origin_that_the_manifest_names_and_the_operator_allows_is_reached() {
    let (node, upstream) = (open_node().await, Upstream::start().await);
    deploy(&node, &private(&[upstream.origin()]), |_| {}).await;
    for guest in GUESTS {
        assert_eq!(fetch(&node, guest, &upstream.url("/hello"), &[]).await.ok(), "200 \nhello");
        assert_eq!(outbound(&node, guest, "answered").await, Some(1.0));
        assert_eq!(outbound(&node, guest, "refused").await, Some(0.0));
        let detail = node.get(&format!("/functions/default/{guest}")).await;
        assert_eq!(detail["http_private"], serde_json::json!([upstream.origin()]), "{detail:#}");
        let said = node.cli(&["inspect", guest]).await;
        assert!(said.stdout.contains(&format!("{} (at private addresses, too)", upstream.origin())), "{said:#?}");
    }
}

/// Two calls in one sandbox: whose a request is, only the guest's own task says.
#[tokio::test(flavor = "multi_thread")]
async fn a_refusal_in_a_shared_sandbox_is_told_of_the_call_that_asked() {
    let (node, upstream) = (open_node().await, Upstream::start().await);
    deploy(&node, &private(&[upstream.origin()]), |_| {}).await;
    // While this one waits, it is in the sandbox.
    let url = upstream.url("/never");
    let waiting = fetch(&node, "misbehave", &url, &[]);
    let refused = async {
        upstream.has_requests(1).await;
        fetch(&node, "misbehave", "https://other.example/", &[]).await
    };
    let refused = tokio::select! {
        answer = refused => answer,
        answer = waiting => panic!("it never answers: {answer:?}"),
    };
    let invocation = refused.header("spillway-invocation").expect("each answer names its call").to_owned();
    let sandboxes = node.metrics().await.sum("spillway_sandboxes", &[("function", "misbehave")]);
    assert_eq!(sandboxes, Some(1.0), "both are in one");
    let log = node.logs("misbehave").await;
    let told = log.iter().find(|record| record["message"].to_string().contains("https://other.example is not granted"));
    assert_eq!(told.expect("it is told of")["invocation"], invocation.as_str(), "{log:#?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn what_the_manifest_does_not_name_is_denied_and_the_log_says_once_what_to_write() {
    let (node, upstream) = (open_node().await, Upstream::start().await);
    let (granted, other) = (Upstream::start().await, upstream.url("/hello"));
    deploy(&node, &private(&[granted.origin()]), |_| {}).await;
    for (guest, denial) in GUESTS.into_iter().zip(UNGRANTED) {
        let said = fetch(&node, guest, &other, &[]).await.ok();
        assert!(said.contains(denial), "{said}");
        let log = node.logs(guest).await;
        let line = format!("add it under [capabilities] in spillway.toml: http = [\"{}\"]", upstream.origin());
        let told: Vec<_> = log.iter().filter(|record| record["message"].to_string().contains("not granted")).collect();
        assert!(told.len() == 1 && told[0]["message"].as_str().is_some_and(|text| text.contains(&line)), "{log:#?}");
        assert!(told[0]["invocation"].is_string(), "{log:#?}");
        assert_eq!(outbound(&node, guest, "refused").await, Some(1.0));
    }
    assert_eq!(upstream.connections(), 0);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_private_address_is_refused_unless_both_manifest_and_operator_allow_it() {
    let (closed, open, upstream) = (Node::start().await, open_node().await, Upstream::start().await);
    // The manifest alone; the operator alone, with a name that turns out to be this machine's.
    deploy(&closed, &private(&[upstream.origin(), upstream.named("http")]), |_| {}).await;
    let public = HttpGrants { public: grants(&[upstream.named("http")]), ..HttpGrants::default() };
    deploy(&open, &public, |_| {}).await;
    for (guest, refusal) in GUESTS.into_iter().zip(PROHIBITED) {
        for (node, origin) in
            [(&closed, upstream.origin()), (&closed, upstream.named("http")), (&open, upstream.named("http"))]
        {
            let said = fetch(node, guest, &(origin.clone() + "/hello"), &[]).await.ok();
            assert!(said.contains(refusal), "{origin}: {said}");
            let log = node.logs(guest).await;
            let says = |part: &str| log.iter().any(|record| record["message"].to_string().contains(part));
            assert!(says("--allow-private-egress 127.0.0.1") && says("http_private"), "{log:#?}");
        }
    }
    assert_eq!(upstream.connections(), 0);
    // Both: the name is looked up, and its address is allowed.
    deploy(&open, &private(&[upstream.named("http")]), |_| {}).await;
    for guest in GUESTS {
        let said = fetch(&open, guest, &(upstream.named("http") + "/hello"), &[]).await.ok();
        assert_eq!(said, "200 \nhello");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn the_nodes_own_ports_are_refused_whatever_is_granted() {
    let node = open_node().await;
    let own = [node.listen().to_owned(), node.api_url().to_owned()];
    deploy(&node, &private(&own), |_| {}).await;
    for (guest, refusal) in GUESTS.into_iter().zip(PROHIBITED) {
        for origin in &own {
            let said = fetch(&node, guest, &format!("{origin}/livez"), &[]).await.ok();
            assert!(said.contains(refusal), "{origin}: {said}");
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_redirect_is_an_answer_and_following_it_is_checked_again() {
    let (node, first, second) = (open_node().await, Upstream::start().await, Upstream::start().await);
    let mut http = private(&[first.origin()]);
    http.public = grants(&[second.named("http")]);
    deploy(&node, &http, |_| {}).await;
    for (index, guest) in GUESTS.into_iter().enumerate() {
        for (to, refusal) in [
            (second.url("/hello"), UNGRANTED[index]),
            (second.named("http") + "/hello", PROHIBITED[index]),
            ("http://169.254.169.254/latest/meta-data".to_owned(), UNGRANTED[index]),
        ] {
            let said = fetch(&node, guest, &first.url(&format!("/redirect?{to}")), &[]).await.ok();
            let location = said.strip_prefix("302 ").expect("the redirect itself").trim().to_owned();
            assert_eq!(location, to);
            let said = fetch(&node, guest, &location, &[]).await.ok();
            assert!(said.contains(refusal), "{to}: {said}");
        }
    }
    assert_eq!(second.connections(), 0);
}

#[tokio::test(flavor = "multi_thread")]
async fn servers_that_keep_a_function_waiting_are_given_up() {
    let (node, upstream) = (open_node().await, Upstream::start().await);
    deploy(&node, &private(&[upstream.origin()]), |_| {}).await;
    let mut given_up = 0;
    let late = [
        ("took too long (ErrorCode::ConnectionReadTimeout)", "another server's answer broke off"),
        ("ConnectionReadTimeout", "after 4 bytes connection read timeout"),
    ];
    for (guest, (head_late, body_late)) in GUESTS.into_iter().zip(late) {
        let said = fetch(&node, guest, &upstream.url("/never"), &[("x-first-byte-ms", "100")]).await.ok();
        assert!(said.contains(head_late), "{said}");
        let said = fetch(&node, guest, &upstream.url("/half"), &[("x-between-bytes-ms", "100")]).await.ok();
        assert!(said.contains(body_late), "{said}");
        given_up += 2;
        upstream.was_given_up(given_up).await;
        assert_eq!(outbound(&node, guest, "failed").await, Some(1.0), "a head is an answer");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn the_deadline_of_the_call_ends_what_it_waits_for() {
    let (node, upstream) = (open_node().await, Upstream::start().await);
    deploy(&node, &private(&[upstream.origin()]), |manifest| manifest.limits.deadline = Duration::from_secs(1)).await;
    let mut given_up = 0;
    for guest in GUESTS {
        for path in ["/never", "/half"] {
            let answer = fetch(&node, guest, &upstream.url(path), &[]).await;
            // At the deadline the guest hears of it as well, and may be faster than the node.
            if answer.status == 200 {
                let said = answer.text();
                let named = ["ConnectionReadTimeout", "connection read timeout", "broke off"];
                assert!(named.iter().any(|part| said.contains(part)), "{said}");
            } else {
                answer.problem(ProblemType::Deadline, &["deadline"]);
            }
            given_up += 1;
            upstream.was_given_up(given_up).await;
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn the_host_is_that_of_the_target_and_nothing_of_a_connection_travels() {
    let (node, upstream) = (open_node().await, Upstream::start().await);
    deploy(&node, &private(&[upstream.origin()]), |_| {}).await;
    let authority = upstream.origin().trim_start_matches("http://").to_owned();
    let fields = [
        ("host", "caller.example"),
        ("te", "trailers"),
        ("trailer", "x-end"),
        ("spillway-deadline-ms", "20000"),
        ("x-copy", "1"),
    ];
    for guest in GUESTS {
        assert_eq!(fetch(&node, guest, &upstream.url("/hello"), &fields).await.ok(), "200 \nhello");
        let head = upstream.head().to_ascii_lowercase();
        assert!(head.starts_with("get /hello http/1.1\r\n"), "{head}");
        assert_eq!(head.matches("\r\nhost: ").count(), 1, "{head}");
        assert!(head.contains(&format!("\r\nhost: {authority}\r\n")) && head.contains("\r\nx-copy: 1\r\n"), "{head}");
        for part in ["caller.example", "\r\nte:", "\r\ntrailer:", "\r\nspillway-"] {
            assert!(!head.contains(part), "{part}: {head}");
        }
        let said = fetch(&node, guest, &upstream.url("/hello"), &[("x-host", "other.example")]).await.ok();
        assert!(said.to_ascii_lowercase().contains("forbidden"), "{said}");
    }
    // A tunnel would carry what nobody checks.
    let said = fetch(&node, "plain", &upstream.url("/hello"), &[("x-method", "CONNECT")]).await.ok();
    assert!(said.contains("HttpRequestMethodInvalid"), "{said}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_function_that_may_send_any_host_does() {
    let (node, upstream) = (open_node().await, Upstream::start().await);
    let http = HttpGrants { host: true, ..private(&[upstream.origin()]) };
    deploy(&node, &http, |_| {}).await;
    for guest in GUESTS {
        // Asked for nothing else it is that of the target here, too.
        let authority = upstream.origin().trim_start_matches("http://").to_owned();
        for (field, host) in [(("x-host", "other.example"), "other.example"), (("x-copy", "1"), authority.as_str())] {
            assert_eq!(fetch(&node, guest, &upstream.url("/hello"), &[field]).await.ok(), "200 \nhello");
            let head = upstream.head().to_ascii_lowercase();
            assert!(head.contains(&format!("\r\nhost: {host}\r\n")), "{head}");
            assert_eq!(head.matches("\r\nhost: ").count(), 1, "{head}");
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn bodies_stream_both_ways() {
    let (node, upstream) = (open_node().await, Upstream::start().await);
    deploy(&node, &private(&[upstream.origin()]), |_| {}).await;
    let (chunks, body) = tokio::sync::mpsc::channel::<Bytes>(1);
    let body = futures::stream::unfold(body, |mut body| async move {
        let chunk = body.recv().await?;
        Some((Ok::<_, std::io::Error>(chunk), body))
    });
    let request = node.request(Method::POST, "/misbehave/relay").header("x-url", upstream.url("/echo"));
    let sending = tokio::spawn(request.body(reqwest::Body::wrap_stream(body)).send());
    let send = async |text: &'static str| chunks.send(text.as_bytes().into()).await.expect("it is being sent");
    send("first").await;
    upstream.has_read("first").await;
    let response = sending.await.expect("no panic").expect("an answer");
    assert_eq!(response.status(), 200);
    let mut answer = response.bytes_stream();
    let mut read = Vec::new();
    while !String::from_utf8_lossy(&read).contains("first") {
        read.extend_from_slice(&answer.next().await.expect("more").expect("bytes"));
    }
    send("second.").await;
    while let Some(chunk) = answer.next().await {
        read.extend_from_slice(&chunk.expect("bytes"));
    }
    assert!(String::from_utf8_lossy(&read).contains("second."), "{read:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_head_that_is_too_long_is_no_answer() {
    let (node, upstream) = (open_node().await, Upstream::start().await);
    deploy(&node, &private(&[upstream.origin()]), |_| {}).await;
    for guest in GUESTS {
        let said = fetch(&node, guest, &upstream.url("/large-head"), &[]).await.ok();
        assert!(said.contains("HttpResponseHeaderSectionSize"), "{said}");
        assert_eq!(outbound(&node, guest, "failed").await, Some(1.0));
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn connections_of_a_function_are_bounded() {
    let (node, upstream) = (open_node().await, Upstream::start().await);
    deploy(&node, &private(&[upstream.origin()]), |manifest| manifest.limits.connections = 1).await;
    for (index, guest) in GUESTS.into_iter().enumerate() {
        let (never, hello) = (upstream.url("/never"), upstream.url("/hello"));
        let patient = [("x-first-byte-ms", "5000")];
        let holding = fetch(&node, guest, &never, &patient);
        let refused = async {
            upstream.has_requests(index * 2 + 1).await;
            fetch(&node, guest, &hello, &[("x-connect-ms", "100")]).await.ok()
        };
        let said = tokio::select! {
            said = refused => said,
            answer = holding => panic!("it never answers: {answer:?}"),
        };
        assert!(said.contains("ConnectionLimitReached"), "{said}");
        // The caller has hung up; its connection is free soon, and another takes it.
        assert_eq!(fetch(&node, guest, &hello, &[]).await.ok(), "200 \nhello");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn certificates_are_checked_against_the_roots_of_the_machine() {
    let made = rcgen::generate_simple_self_signed(["localhost".to_owned()]).expect("a certificate");
    let key = PrivateKeyDer::from(PrivatePkcs8KeyDer::from(made.signing_key.serialize_der()));
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let config = rustls::ServerConfig::builder_with_provider(provider).with_safe_default_protocol_versions();
    let config =
        config.expect("ring has all").with_no_client_auth().with_single_cert(vec![made.cert.der().clone()], key);
    let tls = TlsAcceptor::from(Arc::new(config.expect("the key fits")));
    let upstream = Upstream::with_tls(Some(tls)).await;

    let folder = tempfile::tempdir().expect("tests may write temporary files");
    let roots = |name: &str, pem: String| {
        let file = folder.path().join(name);
        std::fs::write(&file, pem).expect("tests may write files");
        file.display().to_string()
    };
    let other = rcgen::generate_simple_self_signed(["other.example".to_owned()]).expect("a certificate");
    let (ours, others) = (roots("ours.pem", made.cert.pem()), roots("others.pem", other.cert.pem()));
    let trusting = async |file: &str, more: &[&str]| {
        let node = Node::builder()
            .args(&["--allow-private-egress", "127.0.0.1"])
            .args(more)
            .env("SSL_CERT_FILE", file)
            .start()
            .await;
        let address = upstream.origin().replace("http://", "https://");
        deploy(&node, &private(&[upstream.named("https"), address]), |_| {}).await;
        node
    };
    let (trusts, doubts) = (trusting(&ours, &[]).await, trusting(&others, &[]).await);
    // The same with no more rights than it needs: it still looks names up, and reads the roots.
    let hardened = trusting(&ours, &["--hardened"]).await;
    let url = upstream.named("https") + "/hello";
    for guest in GUESTS {
        for node in [&trusts, &hardened] {
            assert_eq!(fetch(node, guest, &url, &[]).await.ok(), "200 \nhello");
        }
        let said = fetch(&doubts, guest, &url, &[]).await.ok();
        assert!(said.contains("TlsCertificateError"), "{said}");
        // Trusted, and of another name.
        let address = upstream.url("/hello").replace("http://", "https://");
        let said = fetch(&trusts, guest, &address, &[]).await.ok();
        assert!(said.contains("TlsCertificateError"), "{said}");
    }
}
