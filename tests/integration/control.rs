//! The control API and the command line: who may, what they list, going back, taking away.

use reqwest::Method;
use serde_json::json;
use spillway_tests::{Node, bundle, with_manifest};
use spillway_types::ProblemType;

use crate::serving;

/// `hello` that greets with another word.
fn greeting(word: &str) -> Vec<u8> {
    let manifest = serving::changed("hello", |manifest| {
        manifest.config.insert("greeting".to_owned(), word.to_owned());
    });
    with_manifest(&bundle("hello"), &manifest)
}

#[tokio::test]
async fn with_a_token_the_control_api_is_for_those_who_show_it_and_functions_are_for_all() {
    let node = Node::builder().token("a secret").start().await;
    node.deploy("hello").await;
    let url = format!("{}/api/v1/functions", node.api_url());
    let bare = node.http().get(&url);
    for request in [
        bare.try_clone().expect("it has no body"),
        bare.try_clone().expect("it has no body").bearer_auth("another"),
        bare.try_clone().expect("it has no body").header("authorization", "a secret"),
        node.http().delete(format!("{url}/default/hello")),
        node.http().put(format!("{}/api/v1/blobs/sha256:00", node.api_url())).body("x"),
        // Last, because the node ends the connection rather than read a body that it has refused.
        node.http().post(&url).body(bundle("plain")),
    ] {
        let answer = Node::send(request).await;
        answer.problem(ProblemType::Unauthorized, &["token", "SPILLWAY_TOKEN"]);
        assert_eq!(answer.header("www-authenticate"), Some("Bearer"));
    }
    assert_eq!(node.call("/hello").await.ok(), "Hello, world!\n");
    assert_eq!(node.cli(&["ls", "--json"]).await.json()[0]["name"], "hello");
    let ran = node.cli(&["ls", "--token", "another"]).await;
    assert_eq!(ran.code, 4, "{ran:#?}");
    assert!(ran.stderr.contains("SPILLWAY_TOKEN"), "{ran:#?}");
    assert!(!node.stderr().contains("a secret"), "the log does not give the token away");
}

#[tokio::test]
async fn a_web_page_may_not_use_a_control_api_without_a_token() {
    let node = serving::hello().await;
    for method in [Method::GET, Method::POST, Method::DELETE] {
        let request = node.api(method, "/functions/default/hello").header("origin", "http://evil.example");
        Node::send(request).await.problem(ProblemType::Unauthorized, &["web pages", "token"]);
    }
    serving::untouched(&node).await;
}

#[tokio::test]
async fn a_path_that_the_control_api_has_not_is_named() {
    let node = Node::start().await;
    for path in ["/function", "/functions/default/hello/x"] {
        Node::send(node.api(Method::GET, path)).await.problem(ProblemType::NotFound, &[path]);
    }
    for path in ["/functions/default/absent", "/functions/default/absent/logs"] {
        Node::send(node.api(Method::GET, path))
            .await
            .problem(ProblemType::NotFound, &["default/absent", "spillway ls"]);
    }
}

#[tokio::test]
async fn a_rollback_serves_the_revision_before_and_a_restart_keeps_it() {
    let folder = tempfile::tempdir().expect("tests may write temporary files");
    let node = Node::builder().data(folder.path()).start().await;
    for word in ["Hello", "Ahoy", "Salut"] {
        assert_eq!(node.post(greeting(word), "").await.status, 201);
    }
    assert_eq!(node.call("/hello").await.ok(), "Salut, world!\n");
    let back = node.cli(&["rollback", "hello", "--json"]).await.json();
    assert_eq!((&back["revision"], &back["previous"]), (&json!(2), &json!(3)), "{back:#}");
    assert_eq!(node.call("/hello").await.ok(), "Ahoy, world!\n");
    assert_eq!(node.cli(&["rollback", "hello", "--to", "1"]).await.code, 0);
    assert_eq!(node.call("/hello").await.ok(), "Hello, world!\n");

    let ran = node.cli(&["rollback", "hello", "--to", "99"]).await;
    assert_eq!(ran.code, 4, "{ran:#?}");
    assert!(ran.stderr.contains("no revision 99") && ran.stderr.contains("1, 2, 3"), "{ran:#?}");
    let ran = node.cli(&["rollback", "absent"]).await;
    assert_eq!(ran.code, 4, "{ran:#?}");
    assert!(ran.stderr.contains("default/absent") && ran.stderr.contains("spillway ls"), "{ran:#?}");
    assert_eq!(node.call("/hello").await.ok(), "Hello, world!\n");

    node.kill();
    let node = Node::builder().data(folder.path()).start().await;
    assert_eq!(node.call("/hello").await.ok(), "Hello, world!\n");
    // Numbers are never used again, and deploying what a kept revision had makes a new one.
    let next = node.post(greeting("Ahoy"), "").await.json();
    assert_eq!((&next["revision"], &next["previous"]), (&json!(4), &json!(1)), "{next:#}");
}

#[tokio::test]
async fn a_first_revision_has_nothing_to_go_back_to() {
    let node = serving::hello().await;
    let answer = Node::send(node.api(Method::POST, "/functions/default/hello/rollback")).await;
    answer.problem(ProblemType::NotFound, &["default/hello", "no earlier revision"]);
    serving::untouched(&node).await;
}

#[tokio::test]
async fn deploying_what_serves_already_makes_no_revision() {
    let node = serving::hello().await;
    let again = node.deploy("hello").await;
    assert_eq!((again.revision, again.unchanged, again.compile_cached), (1, true, true));
    serving::untouched(&node).await;
}

#[tokio::test]
async fn what_is_removed_is_gone_with_its_routes_and_log_and_may_come_again() {
    let node = serving::hello().await;
    node.call("/hello").await.ok();
    let ran = node.cli(&["rm", "hello"]).await;
    assert_eq!(ran.code, 2, "there is no terminal to ask on: {ran:#?}");
    assert!(ran.stderr.contains("--yes"), "{ran:#?}");
    serving::untouched(&node).await;

    assert_eq!(node.cli(&["rm", "hello", "--yes", "--json"]).await.json(), json!({ "removed": "default/hello" }));
    node.call("/hello").await.problem(ProblemType::UnknownRoute, &["/hello"]);
    assert_eq!(node.cli(&["ls", "--json"]).await.json(), json!([]));
    let ran = node.cli(&["rm", "hello", "--yes"]).await;
    assert_eq!(ran.code, 4, "{ran:#?}");

    node.deploy("hello").await;
    assert!(node.logs("hello").await.is_empty(), "the log of the one that was removed is gone");
    assert_eq!(node.call("/hello").await.ok(), "Hello, world!\n");
}

#[tokio::test]
async fn listings_say_what_serves_in_text_and_in_json() {
    let node = serving::hello().await;
    node.call("/hello").await.ok();
    node.post(greeting("Ahoy"), "").await;
    let list = node.cli(&["ls", "--json"]).await.json();
    let hello = &list[0];
    for (key, value) in [
        ("namespace", json!("default")),
        ("name", json!("hello")),
        ("revision", json!(2)),
        ("version", json!("0.1.0")),
        ("invocations", json!(1)),
    ] {
        assert_eq!(hello[key], value, "{key}: {hello:#}");
    }
    assert_eq!(hello["routes"][0], json!({ "path": "/hello", "methods": ["GET", "POST", "PUT"] }));
    let detail = node.cli(&["inspect", "hello", "--json"]).await.json();
    assert_eq!(detail["interface"], "wasi:http@0.3", "{detail:#}");
    assert_eq!(detail["limits"]["memory_bytes"], 32 << 20, "{detail:#}");
    assert!(
        detail["imports"].as_array().is_some_and(|imports| imports.iter().any(|i| i == "wasi:config/store@0.2.0-rc.1"))
    );
    let revisions: Vec<_> =
        detail["revisions"].as_array().expect("a list").iter().map(|r| (&r["number"], &r["active"])).collect();
    assert_eq!(revisions, [(&json!(2), &json!(true)), (&json!(1), &json!(false))]);
    for (args, parts) in
        [(["ls", ""], ["default/hello", "GET,POST,PUT /hello"]), (["inspect", "hello"], ["wasi:http@0.3", "serving"])]
    {
        let args: Vec<&str> = args.into_iter().filter(|arg| !arg.is_empty()).collect();
        let ran = node.cli(&args).await;
        assert!(ran.code == 0 && parts.iter().all(|part| ran.stdout.contains(part)), "{ran:#?}");
    }
}

#[tokio::test]
async fn invoke_calls_a_function_by_name_and_says_by_exit_code_how_it_went() {
    let node = serving::hello().await;
    node.deploy("misbehave").await;
    let ran = node.cli(&["invoke", "hello"]).await;
    assert_eq!((ran.code, ran.stdout.as_str()), (0, "Hello, world!\n"), "{ran:#?}");
    let ran = node.cli(&["invoke", "misbehave", "--path", "/misbehave/trap"]).await;
    assert_eq!(ran.code, 5, "{ran:#?}");
    node.interrupt();
    let url = node.api_url().to_owned();
    node.wait(std::time::Duration::from_secs(20)).await;
    let other = Node::start().await;
    let ran = other.cli(&["ls", "--node", &url]).await;
    assert_eq!(ran.code, 3, "{ran:#?}");
    assert!(ran.stderr.contains(url.trim_start_matches("http://")) && ran.stderr.contains("spillway up"), "{ran:#?}");
}

/// The public half of the key of RFC 8410, section 10.3, and its id.
const PUBLIC_KEY: &str = "ed25519:Gb9ECWmEzf6FQbrBZ9w7lshQhqowtrbLDFw4rXAxZuE=";
const KEY_ID: &str = "e744c0791320c328";

#[tokio::test]
async fn a_trusted_key_is_listed_after_a_restart_and_a_revoked_one_stays_revoked() {
    let folder = tempfile::tempdir().expect("tests may write temporary files");
    let node = Node::builder().data(folder.path()).start().await;
    assert_eq!(node.cli(&["key", "ls", "--json"]).await.json(), json!([]));
    let trusted = node.cli(&["key", "trust", PUBLIC_KEY, "--name", "ada", "--json"]).await.json();
    assert_eq!((&trusted["id"], &trusted["name"]), (&json!(KEY_ID), &json!("ada")), "{trusted:#}");
    assert_eq!(node.cli(&["key", "ls", "--json"]).await.json(), json!([trusted]));
    let revoked = node.cli(&["key", "revoke", KEY_ID, "--json"]).await.json();
    assert!(revoked["revoked_at"].is_string(), "{revoked:#}");
    node.kill();
    let node = Node::builder().data(folder.path()).start().await;
    assert_eq!(node.cli(&["key", "ls", "--json"]).await.json(), json!([revoked]));
    let ran = node.cli(&["key", "trust", PUBLIC_KEY]).await;
    assert_eq!(ran.code, 4, "{ran:#?}");
    assert!(ran.stderr.contains(KEY_ID) && ran.stderr.contains("spillway key new"), "{ran:#?}");
}

#[tokio::test]
async fn what_is_no_key_is_not_trusted_and_what_was_never_trusted_not_revoked() {
    let node = Node::start().await;
    let post = |path: &str, body| node.api(Method::POST, path).json(&body);
    let weak = "ed25519:AQAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA=";
    for body in [json!({ "key": "ed25519:AAAA" }), json!({ "key": weak }), json!({}), json!({ "key": 1 })] {
        Node::send(post("/keys", body)).await.problem(ProblemType::BadRequest, &["ed25519:"]);
    }
    let long = json!({ "key": PUBLIC_KEY, "name": "two\nlines" });
    Node::send(post("/keys", long)).await.problem(ProblemType::BadRequest, &["control characters"]);
    let unknown = node.api(Method::POST, &format!("/keys/{KEY_ID}/revoke"));
    Node::send(unknown).await.problem(ProblemType::NotFound, &[KEY_ID, "spillway key ls"]);
    Node::send(node.api(Method::POST, "/keys/ada/revoke")).await.problem(ProblemType::BadRequest, &["hexadecimal"]);
    assert_eq!(node.cli(&["key", "ls", "--json"]).await.json(), json!([]));
}
