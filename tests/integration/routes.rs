//! Which function a request reaches, and what it hears where none is.

use reqwest::Method;
use spillway_tests::{Node, bare, bundle, with_manifest};
use spillway_types::{ProblemType, Route, RoutePattern};

use crate::serving;

#[tokio::test]
async fn a_route_that_another_function_has_is_refused_with_its_owner() {
    let node = serving::hello().await;
    let plain = bare(&bundle("plain"));
    let answer = node.post(plain.clone(), "name=plain&route=/plain/*&route=/hello").await;
    answer.problem(ProblemType::RouteTaken, &["/hello", "default/hello"]);
    serving::untouched(&node).await;
    assert_eq!(node.call("/plain/greet").await.status, 404, "all routes are taken, or none");
    // Below a route of somebody else's is nobody's.
    assert_eq!(node.post(plain, "name=plain&route=/hello/there").await.status, 201);
    assert_eq!(node.call("/hello/there").await.ok(), "there is unknown\n");
    assert_eq!(node.call("/hello/stream?chunks=1&bytes=2").await.ok(), "..");
}

#[tokio::test]
async fn a_path_without_a_function_is_404_and_names_the_path_and_where_to_look() {
    let node = serving::hello().await;
    for path in ["/", "/helo", "/hello2", "/HELLO", "/.spillway/x"] {
        let answer = node.call(path).await;
        answer.problem(ProblemType::UnknownRoute, &[path, "spillway ls"]);
        assert_eq!(answer.header("spillway-invocation"), None, "no function, no invocation");
    }
    serving::untouched(&node).await;
}

#[tokio::test]
async fn a_method_that_the_route_does_not_take_is_405_with_those_it_takes() {
    let node = serving::hello().await;
    for method in [Method::DELETE, Method::PATCH] {
        let answer = Node::send(node.request(method.clone(), "/hello")).await;
        answer.problem(ProblemType::MethodNotAllowed, &["/hello", method.as_str(), "GET, POST, PUT, HEAD, OPTIONS"]);
        assert_eq!(answer.header("allow"), Some("GET, POST, PUT, HEAD, OPTIONS"));
    }
    serving::untouched(&node).await;
}

#[tokio::test]
async fn a_host_of_its_own_goes_before_any_host() {
    let node = serving::hello().await;
    let manifest = serving::changed("plain", |manifest| {
        let pattern = RoutePattern { host: Some("plain.example.com".to_owned()), path: "/hello".to_owned() };
        manifest.routes = vec![Route { pattern, methods: Vec::new(), auth: None }];
    });
    assert_eq!(node.post(with_manifest(&bundle("plain"), &manifest), "").await.status, 201);
    let with_host = |host: &str| node.request(Method::GET, "/hello").header("host", host);
    assert_eq!(Node::send(with_host("plain.example.com")).await.ok(), "hello is unknown\n");
    assert_eq!(Node::send(with_host("PLAIN.example.com:80")).await.ok(), "hello is unknown\n");
    assert_eq!(Node::send(with_host("other.example.com")).await.ok(), "Hello, world!\n");
}

#[tokio::test]
async fn a_plain_component_deploys_with_a_name_and_routes_and_every_call_gets_a_fresh_sandbox() {
    let node = Node::start().await;
    let answer = node.post(bare(&bundle("plain")), "name=plain&route=/plain/*&route=/other").await;
    assert_eq!(answer.status, 201, "{answer:?}");
    for _ in 0..3 {
        assert_eq!(node.call("/plain/calls").await.ok(), "1\n");
    }
    let detail = node.get("/functions/default/plain").await;
    assert_eq!((&detail["effects"], &detail["sandbox"]["reuse"]), (&"unsafe".into(), &false.into()), "{detail:#}");
    assert_eq!(detail["interface"], "wasi:http@0.2");
    // With a manifest that allows it, the sandbox stays.
    node.deploy("plain").await;
    let last = async || node.call("/plain/calls").await.ok();
    assert_eq!([last().await, last().await, last().await].concat(), "1\n2\n3\n");
}
