//! Committing, activating and removing functions.

use std::sync::Barrier;
use std::thread;

use spillway_cluster::{CommitError, Committed, NewRevision};
use spillway_types::{Digest, RoutePattern};

use crate::{fixture, function, revision, route, upload};

#[test]
fn a_commit_is_read_back_as_it_was() {
    let fixture = fixture();
    let store = &fixture.store;
    let models = vec![upload(store, b"b"), upload(store, b"a"), upload(store, b"b")];
    let on_host = RoutePattern { host: Some("shop.example".into()), path: "/x/*".into() };
    let routes = vec![on_host.clone(), route("/x/*"), on_host.clone()];
    let new = NewRevision { models, routes, created_at_ms: u64::MAX, ..revision(store, "shop/cart", "wasm", &[]) };
    let committed = store.commit(&new).unwrap();
    assert_eq!(committed, Committed { number: 1, previous: None, unchanged: false });

    let record = store.get(&function("shop/cart")).unwrap().expect("it was committed");
    assert_eq!((record.active, record.previous, record.revisions.len()), (1, None, 1));
    let read = record.revision(1).unwrap();
    assert_eq!((&read.bundle, &read.manifest, &read.models), (&new.bundle, &new.manifest, &new.models));
    assert_eq!(read.routes, [on_host, route("/x/*")]);
    assert_eq!(read.created_at_ms, u64::MAX);
    assert_eq!(store.list().unwrap(), [record]);
}

#[test]
fn a_second_commit_replaces_the_first_and_rollback_goes_back_and_forth() {
    let fixture = fixture();
    let store = &fixture.store;
    store.commit(&revision(store, "hello", "v1", &["/old"])).unwrap();
    let second = store.commit(&revision(store, "hello", "v2", &["/new"])).unwrap();
    assert_eq!(second, Committed { number: 2, previous: Some(1), unchanged: false });
    // `/old` is free now, `/new` is not.
    store.check_routes(&function("other"), &[route("/old")]).unwrap();
    assert!(store.check_routes(&function("other"), &[route("/new")]).is_err());

    let back = store.activate(&function("hello"), 1).unwrap();
    assert_eq!(back, Committed { number: 1, previous: Some(2), unchanged: false });
    assert_eq!(store.get(&function("hello")).unwrap().unwrap().previous, Some(2));
    store.check_routes(&function("other"), &[route("/new")]).unwrap();
    let again = store.activate(&function("hello"), 1).unwrap();
    assert_eq!(again, Committed { number: 1, previous: Some(1), unchanged: true });
    // After a rollback the next deploy still gets a new number.
    assert_eq!(store.commit(&revision(store, "hello", "v3", &["/new"])).unwrap().number, 3);
}

#[test]
fn deploying_what_is_active_changes_nothing_and_any_difference_is_a_revision() {
    let fixture = fixture();
    let store = &fixture.store;
    let first = revision(store, "hello", "v1", &["/a", "/b"]);
    store.commit(&first).unwrap();
    let later = NewRevision { created_at_ms: 5, ..first.clone() };
    assert_eq!(store.commit(&later).unwrap(), Committed { number: 1, previous: Some(1), unchanged: true });
    let others = [
        NewRevision { bundle: upload(store, b"v2"), ..first.clone() },
        NewRevision { manifest: "name = \"hello\"\n".into(), ..first.clone() },
        NewRevision { models: vec![upload(store, b"model")], ..first.clone() },
        NewRevision { routes: vec![route("/a")], ..first.clone() },
        first,
    ];
    for (number, other) in (2..).zip(others) {
        let expected = Committed { number, previous: Some(number - 1), unchanged: false };
        assert_eq!(store.commit(&other).unwrap(), expected);
    }
}

#[test]
fn a_missing_blob_refuses_the_commit_by_digest_and_keeps_the_old_revision() {
    let fixture = fixture();
    let store = &fixture.store;
    store.commit(&revision(store, "hello", "v1", &["/hello"])).unwrap();
    let before = store.list().unwrap();
    let nowhere = Digest::of(b"nowhere");
    let good = revision(store, "hello", "v2", &["/hello"]);
    for bad in [NewRevision { bundle: nowhere, ..good.clone() }, NewRevision { models: vec![nowhere], ..good }] {
        assert!(matches!(store.commit(&bad), Err(CommitError::MissingBlob(named)) if named == nowhere));
    }
    assert_eq!(store.list().unwrap(), before);
    let new_function = NewRevision { bundle: nowhere, ..revision(store, "fresh", "v1", &[]) };
    store.commit(&new_function).unwrap_err();
    assert_eq!(store.get(&function("fresh")).unwrap(), None);
}

#[test]
fn a_taken_route_is_refused_and_names_its_owner() {
    let fixture = fixture();
    let store = &fixture.store;
    store.commit(&revision(store, "hello", "v1", &["/hello"])).unwrap();
    let refused = store.commit(&revision(store, "thief", "v1", &["/free", "/hello"])).unwrap_err().to_string();
    assert_eq!(
        refused,
        "route `/hello` belongs to function `default/hello`; choose another route, or remove that function first"
    );
    assert_eq!(store.get(&function("thief")).unwrap(), None);
    // The same path on a host of its own is another route.
    let on_host = RoutePattern { host: Some("a.example".into()), path: "/hello".into() };
    store.commit(&NewRevision { routes: vec![on_host], ..revision(store, "guest", "v1", &[]) }).unwrap();
}

#[test]
fn rolling_back_to_a_route_that_another_function_has_taken_is_refused() {
    let fixture = fixture();
    let store = &fixture.store;
    store.commit(&revision(store, "hello", "v1", &["/a"])).unwrap();
    store.commit(&revision(store, "hello", "v2", &["/b"])).unwrap();
    store.commit(&revision(store, "other", "v1", &["/a"])).unwrap();
    let refused = store.activate(&function("hello"), 1).unwrap_err();
    assert!(matches!(refused, CommitError::RouteTaken { owner, .. } if owner == function("other")));
    assert_eq!(store.get(&function("hello")).unwrap().unwrap().active, 2);
}

#[test]
fn unknown_functions_and_revisions_are_named() {
    let fixture = fixture();
    let store = &fixture.store;
    let refused = store.activate(&function("nobody"), 1).unwrap_err().to_string();
    assert!(refused.contains("no function `default/nobody`"), "{refused}");
    assert!(matches!(store.remove(&function("nobody")), Err(CommitError::UnknownFunction(_))));
    store.commit(&revision(store, "hello", "v1", &[])).unwrap();
    store.commit(&revision(store, "hello", "v2", &[])).unwrap();
    for number in [0, 3, u64::MAX] {
        let refused = store.activate(&function("hello"), number).unwrap_err().to_string();
        assert_eq!(refused, format!("function `default/hello` has no revision {number}; it keeps revisions 1, 2"));
    }
}

#[test]
fn a_removed_function_frees_its_routes_and_never_gets_its_numbers_back() {
    let fixture = fixture();
    let store = &fixture.store;
    store.commit(&revision(store, "hello", "v1", &["/hello"])).unwrap();
    store.commit(&revision(store, "hello", "v2", &["/hello"])).unwrap();
    store.remove(&function("hello")).unwrap();
    assert_eq!((store.get(&function("hello")).unwrap(), store.list().unwrap()), (None, vec![]));
    assert!(matches!(store.activate(&function("hello"), 2), Err(CommitError::UnknownFunction(_))));
    store.commit(&revision(store, "other", "v1", &["/hello"])).unwrap();
    let again = store.commit(&revision(store, "hello", "v1", &[])).unwrap();
    assert_eq!(again, Committed { number: 3, previous: None, unchanged: false });
}

#[test]
fn sixteen_threads_commit_different_functions() {
    let fixture = fixture();
    let store = &fixture.store;
    thread::scope(|scope| {
        for thread in 0..16 {
            scope.spawn(move || {
                let name = format!("f{thread}");
                for version in 1..=4 {
                    let content = format!("{name} v{version}");
                    let new = revision(store, &name, &content, &[&format!("/{name}")]);
                    assert_eq!(store.commit(&new).unwrap().number, version);
                    assert_eq!(store.get(&new.function).unwrap().unwrap().active, version, "a read sees what returned");
                }
            });
        }
    });
    assert_eq!(store.list().unwrap().len(), 16);
    let found = store.consistency().unwrap();
    assert_eq!((found.missing.len(), found.unreferenced.len(), found.staged), (0, 0, 0));
}

#[test]
fn of_two_functions_that_race_for_a_route_exactly_one_wins() {
    let fixture = fixture();
    let store = &fixture.store;
    for round in 0..20 {
        let path = format!("/race/{round}");
        let barrier = Barrier::new(2);
        let race = |name: String| {
            let new = revision(store, &name, &name, &[&path]);
            barrier.wait();
            store.commit(&new)
        };
        let (left, right) = thread::scope(|scope| {
            let left = scope.spawn(|| race(format!("left-{round}")));
            let right = scope.spawn(|| race(format!("right-{round}")));
            (left.join().unwrap(), right.join().unwrap())
        });
        let refused = match (left, right) {
            (Ok(_), Err(refused)) | (Err(refused), Ok(_)) => refused,
            both => panic!("{both:?}"),
        };
        assert!(matches!(refused, CommitError::RouteTaken { .. }), "{refused}");
    }
}

#[test]
fn a_number_of_the_cluster_wins_over_what_the_node_had_under_it() {
    let fixture = fixture();
    let store = &fixture.store;
    store.commit(&revision(store, "hello", "own v1", &["/own"])).unwrap();
    store.commit(&revision(store, "hello", "own v2", &["/own"])).unwrap();

    let theirs = NewRevision { number: Some(2), ..revision(store, "hello", "theirs", &["/theirs"]) };
    assert_eq!(store.commit(&theirs).unwrap(), Committed { number: 2, previous: Some(2), unchanged: false });
    let record = store.get(&function("hello")).unwrap().expect("it was committed");
    assert_eq!((record.active, record.revisions.len()), (2, 2));
    assert_eq!(record.revision(2).unwrap().bundle, theirs.bundle);
    assert_eq!(record.revision(2).unwrap().routes, theirs.routes);
    store.check_routes(&function("other"), &[route("/own")]).unwrap();
    assert!(store.commit(&theirs).unwrap().unchanged);

    // Numbers of a cluster have gaps on a node that was away; going back to a kept one writes no second row.
    let later = NewRevision { number: Some(7), ..revision(store, "hello", "later", &["/theirs"]) };
    assert_eq!(store.commit(&later).unwrap(), Committed { number: 7, previous: Some(2), unchanged: false });
    assert_eq!(store.commit(&theirs).unwrap(), Committed { number: 2, previous: Some(7), unchanged: false });
    assert_eq!(store.get(&function("hello")).unwrap().unwrap().revisions.len(), 3);
    assert_eq!(store.commit(&revision(store, "hello", "own", &["/own"])).unwrap().number, 8);
}
