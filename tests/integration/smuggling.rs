//! Requests that two readers may understand differently: none is taken, and nothing that hides in one is ever run.

use spillway_tests::{Frame, GOAWAY, HEADERS, Node, RST_STREAM, Raw, preface};

/// What would be run if the node read on behind the request before it.
const HIDDEN: &str = "GET /hello?name=hidden HTTP/1.1\r\nhost: a\r\nconnection: close\r\n\r\n";

/// Heads, and bodies, that must not be taken; `{}` is where another request hides.
const CORPUS: &[(&str, &str)] = &[
    ("length and chunks", "content-length: 4\r\ntransfer-encoding: chunked\r\n\r\n0\r\n\r\n{}"),
    ("chunks and length", "transfer-encoding: chunked\r\ncontent-length: 4\r\n\r\n0\r\n\r\n{}"),
    ("two lengths", "content-length: 0\r\ncontent-length: 4\r\n\r\n{}"),
    ("the same length twice", "content-length: 0\r\ncontent-length: 0\r\n\r\n{}"),
    ("a list of lengths", "content-length: 0, 4\r\n\r\n{}"),
    ("a signed length", "content-length: +0\r\n\r\n{}"),
    ("a negative length", "content-length: -1\r\n\r\n{}"),
    ("a length in hexadecimal", "content-length: 0x0\r\n\r\n{}"),
    ("a length past 64 bits", "content-length: 18446744073709551616\r\n\r\n{}"),
    ("an empty length", "content-length:\r\n\r\n{}"),
    ("a space before the colon", "content-length : 0\r\n\r\n{}"),
    ("a tab before the colon", "transfer-encoding\t: chunked\r\n\r\n0\r\n\r\n{}"),
    ("another coding", "transfer-encoding: gzip, chunked\r\n\r\n0\r\n\r\n{}"),
    ("a coding that is no coding", "transfer-encoding: xchunked\r\n\r\n{}"),
    ("a quoted coding", "transfer-encoding: \"chunked\"\r\n\r\n0\r\n\r\n{}"),
    ("chunked is not last", "transfer-encoding: chunked, identity\r\n\r\n0\r\n\r\n{}"),
    ("chunked twice", "transfer-encoding: chunked\r\ntransfer-encoding: chunked\r\n\r\n0\r\n\r\n{}"),
    ("a vertical tab before the coding", "transfer-encoding: \x0bchunked\r\n\r\n0\r\n\r\n{}"),
    ("an empty coding", "transfer-encoding:\r\n\r\n0\r\n\r\n{}"),
    ("a folded line", "x: a\r\n transfer-encoding: chunked\r\n\r\n0\r\n\r\n{}"),
    ("a folded length", "content-length:\r\n 0\r\n\r\n{}"),
    ("a bare line feed after a field", "x: a\ncontent-length: 0\r\n\r\n{}"),
    ("a bare line feed as the head's end", "content-length: 0\r\n\n{}"),
    ("a bare carriage return in a field", "x: a\rcontent-length: 4\r\n\r\n{}"),
    ("a NUL in a field", "x: a\0b\r\n\r\n{}"),
    ("a field without a name", ": a\r\n\r\n{}"),
    ("a field without a colon", "content-length\r\n\r\n{}"),
    ("a space in a name", "content length: 0\r\n\r\n{}"),
    ("another host", "host: b\r\n\r\n{}"),
    ("a chunk's size in two ways", "transfer-encoding: chunked\r\n\r\n0x0\r\n\r\n{}"),
    ("a chunk's size with a sign", "transfer-encoding: chunked\r\n\r\n+0\r\n\r\n{}"),
    ("a chunk's size past 64 bits", "transfer-encoding: chunked\r\n\r\n10000000000000000\r\n\r\n{}"),
    ("a chunk's size that ends in a bare line feed", "transfer-encoding: chunked\r\n\r\n0\n\r\n{}"),
    ("an extension with a bare line feed", "transfer-encoding: chunked\r\n\r\n1;a\nb\r\nx\r\n0\r\n\r\n{}"),
    ("a chunk longer than it says", "transfer-encoding: chunked\r\n\r\n1\r\nxx\r\n0\r\n\r\n{}"),
    ("a chunk that ends in a bare line feed", "transfer-encoding: chunked\r\n\r\n1\r\nx\n0\r\n\r\n{}"),
    ("a trailer that ends in a bare line feed", "transfer-encoding: chunked\r\n\r\n0\r\nx: a\n\r\n{}"),
];

/// First lines, host included, that must not be taken.
const TARGETS: &[(&str, &str)] = &[
    ("no host", "POST /hello HTTP/1.1\r\n"),
    ("no host but in the target", "POST http://a/hello HTTP/1.1\r\n"),
    ("a user", "POST /hello HTTP/1.1\r\nhost: user@a\r\n"),
    ("a list of hosts", "POST /hello HTTP/1.1\r\nhost: a, b\r\n"),
    ("a path as host", "POST /hello HTTP/1.1\r\nhost: a/b\r\n"),
    ("two names for the host", "POST http://a/hello HTTP/1.1\r\nhost: b\r\n"),
    ("a user in the target", "POST http://user@a/hello HTTP/1.1\r\nhost: user@a\r\n"),
    ("a bare line feed after the first line", "POST /hello HTTP/1.1\nhost: a\r\n"),
    ("two spaces", "POST  /hello HTTP/1.1\r\nhost: a\r\n"),
    ("a tab", "POST\t/hello HTTP/1.1\r\nhost: a\r\n"),
    ("a version of its own", "POST /hello HTTP/1.9\r\nhost: a\r\n"),
    ("no version", "POST /hello\r\nhost: a\r\n"),
    ("a tunnel", "CONNECT a:80 HTTP/1.1\r\nhost: a:80\r\n"),
    ("a space before the first field", "POST /hello HTTP/1.1\r\n host: a\r\nhost: a\r\n"),
    ("HTTP/2 later on", "GET /hello HTTP/1.1\r\nhost: a\r\n\r\nPRI * HTTP/2.0\r\n"),
];

/// How many answers there are, and the last one's status.
fn answers(said: &str) -> (usize, u16) {
    let statuses = said.match_indices("HTTP/1.1 ").filter_map(|(at, _)| said[at + 9..].get(..3)?.parse().ok());
    let statuses: Vec<u16> = statuses.collect();
    (statuses.len(), statuses.last().copied().unwrap_or_default())
}

#[tokio::test]
async fn what_can_be_read_in_two_ways_is_refused_and_what_hides_in_it_is_never_run() {
    let node = Node::start().await;
    node.deploy("hello").await;
    node.deploy("plain").await;
    // A function that reads the whole body before it answers: half of an echo would be no answer to count.
    let heads = CORPUS.iter().map(|(what, rest)| (what, format!("POST /plain/body HTTP/1.1\r\nhost: a\r\n{rest}"), 1));
    let targets = TARGETS.iter().map(|(what, head)| {
        let good_before = usize::from(head.starts_with("GET"));
        (what, format!("{head}content-length: 0\r\n\r\n{{}}"), 1 + good_before)
    });
    for (what, request, expected) in heads.chain(targets) {
        let said = Raw::ask(&node, request.replace("{}", HIDDEN)).await;
        let (count, status) = answers(&said);
        assert_eq!(count, expected, "{what}: {said}");
        assert!(matches!(status, 400 | 501), "{what}: {said}");
        assert!(!said.contains("hidden"), "{what}: {said}");
    }
    // The same node, and the same way of asking, for what is in order: both are answered.
    let both = format!(
        "POST /hello HTTP/1.1\r\nhost: a\r\ntransfer-encoding: chunked\r\n\r\n2;x=y\r\nhi\r\n0\r\n\r\n{HIDDEN}"
    );
    let said = Raw::ask(&node, both).await;
    assert_eq!(answers(&said), (2, 200), "{said}");
    assert!(said.contains("hi") && said.contains("Hello, hidden!"), "{said}");
}

#[tokio::test]
async fn a_request_stays_one_however_its_bytes_are_cut() {
    let node = Node::start().await;
    node.deploy("hello").await;
    let request = "POST /hello HTTP/1.1\r\nhost: a\r\ntransfer-encoding: chunked\r\nconnection: close\r\n\r\n2\r\nhi\r\n0\r\n\r\n";
    for cut in (1..request.len()).step_by(5) {
        let mut connection = Raw::connect(&node).await;
        for part in [&request[..cut], &request[cut..]] {
            connection.say(part).await;
            tokio::task::yield_now().await;
        }
        let said = String::from_utf8_lossy(&connection.rest().await).into_owned();
        assert_eq!(answers(&said), (1, 200), "cut at {cut}: {said}");
    }
}

/// What comes back to one request with HTTP/2, whose fields may be none that a client would send.
async fn ask_h2(node: &Node, fields: &[(&str, &str)], flags: u8, more: &[Frame]) -> Vec<Frame> {
    let mut connection = Raw::connect(node).await;
    connection.say(preface()).await;
    connection.say(Frame::headers(1, flags, fields).bytes()).await;
    for frame in more {
        connection.say(frame.bytes()).await;
    }
    // A good request behind it, so that there is an end to wait for: the answer to it, or the connection's.
    let closing = Frame { kind: GOAWAY, flags: 0, stream: 0, payload: vec![0; 8] };
    connection.say(closing.bytes()).await;
    Frame::all(&connection.rest().await)
}

#[tokio::test]
async fn with_http_2_nothing_of_another_protocol_and_no_second_host_is_taken() {
    use spillway_tests::{DATA, END_STREAM};
    let node = Node::start().await;
    node.deploy("hello").await;
    let good = [(":method", "POST"), (":scheme", "http"), (":authority", "a"), (":path", "/hello")];
    let status_200 = |frames: &[Frame]| frames.iter().any(|f| f.kind == HEADERS && f.payload.first() == Some(&0x88));
    let answered = ask_h2(&node, &good, END_STREAM, &[]).await;
    assert!(status_200(&answered), "{answered:?}");
    let count = node.metrics().await.requests("hello", "answered");
    for (what, field) in [
        ("a field of the connection", ("connection", "close")),
        ("a coding of HTTP/1.1", ("transfer-encoding", "chunked")),
        ("a capital letter", ("X-Field", "a")),
        ("a line feed in a value", ("x", "a\nhost: b")),
        ("a colon in a name", ("x:y", "a")),
        ("an unknown pseudo-field", (":unknown", "a")),
        ("another host", ("host", "b")),
        ("a pseudo-field behind fields", (":path", "/hello")),
        ("a wish for trailers that is none", ("te", "gzip")),
        ("a body that was announced and is not there", ("content-length", "5")),
    ] {
        let frames = ask_h2(&node, &[&good[..], &[field]].concat(), END_STREAM, &[]).await;
        assert!(!status_200(&frames), "{what}: {frames:?}");
        let refused = frames.iter().any(|frame| matches!(frame.kind, HEADERS | RST_STREAM | GOAWAY));
        assert!(refused, "{what}: {frames:?}");
    }
    let more = Frame { kind: DATA, flags: END_STREAM, stream: 1, payload: b"more than was announced".to_vec() };
    node.deploy("plain").await;
    // A function that reads the whole body before it answers.
    let reads = [good[0], good[1], good[2], (":path", "/plain/body"), ("content-length", "4")];
    let frames = ask_h2(&node, &reads, 0, &[more]).await;
    assert!(!status_200(&frames), "{frames:?}");
    for missing in 0..good.len() {
        let fields: Vec<_> = good.iter().enumerate().filter(|(i, _)| *i != missing).map(|(_, field)| *field).collect();
        // Nobody needs an authority who has a host (RFC 9113, section 8.3.1), and here neither is there.
        let frames = ask_h2(&node, &fields, END_STREAM, &[]).await;
        assert!(missing == 2 || !status_200(&frames), "{missing}: {frames:?}");
    }
    assert!(node.metrics().await.requests("hello", "answered") <= count + 1, "none of these has reached the function");
}
