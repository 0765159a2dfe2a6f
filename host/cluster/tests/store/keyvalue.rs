//! Key-value data.

use std::thread;

use spillway_cluster::{BATCH_BYTES_MAX, BATCH_KEYS_MAX, Bucket, KEY_BYTES_MAX, KeyValueError, Store, VALUE_BYTES_MAX};

use crate::{Fixture, fixture};

fn bucket(fixture: &Fixture, namespace: &str, name: &str) -> Bucket {
    fixture.store.keyvalue().bucket(&namespace.parse().unwrap(), name).unwrap()
}

#[test]
fn what_is_set_is_there_until_it_is_deleted_and_over_a_restart() {
    let fixture = fixture();
    let first = bucket(&fixture, "default", "b");
    first.set("k", b"one").unwrap();
    first.set("k", b"two").unwrap();
    first.set("empty", b"").unwrap();
    drop(first);
    let Fixture { store, folder } = fixture;
    drop(store);
    let fixture = Fixture { store: Store::open(folder.path()).unwrap(), folder };
    let again = bucket(&fixture, "default", "b");
    assert_eq!(again.get("k").unwrap().as_deref(), Some(&b"two"[..]));
    assert_eq!(again.get("empty").unwrap().as_deref(), Some(&b""[..]));
    again.delete("k").unwrap();
    again.delete("k").unwrap();
    assert_eq!(
        (again.get("k").unwrap(), again.exists("k").unwrap(), again.exists("empty").unwrap()),
        (None, false, true)
    );
}

#[test]
fn buckets_and_namespaces_do_not_see_each_other() {
    let fixture = fixture();
    bucket(&fixture, "a", "x").set("k", b"1").unwrap();
    for other in [bucket(&fixture, "a", "y"), bucket(&fixture, "b", "x"), bucket(&fixture, "a", "")] {
        assert_eq!(other.get("k").unwrap(), None);
        assert_eq!(other.list_keys(None, 10).unwrap().keys, [""; 0]);
        other.delete("k").unwrap();
    }
    assert!(bucket(&fixture, "a", "x").exists("k").unwrap());
}

#[test]
fn a_listing_shows_every_key_once_whatever_happens_between_its_pages() {
    let fixture = fixture();
    let bucket = bucket(&fixture, "default", "b");
    for key in ["e", "d", "c", "b", "a"] {
        bucket.set(key, b"").unwrap();
    }
    let first = bucket.list_keys(None, 2).unwrap();
    assert_eq!(first.keys, ["e", "d"]);
    bucket.delete("d").unwrap();
    bucket.set("e", b"new").unwrap();
    let second = bucket.list_keys(first.cursor, 2).unwrap();
    assert_eq!(second.keys, ["c", "b"]);
    // The newest key goes and another comes: its position must not be given again.
    bucket.delete("a").unwrap();
    bucket.set("z", b"").unwrap();
    let third = bucket.list_keys(second.cursor, 2).unwrap();
    assert_eq!((third.keys, third.cursor), (vec!["z".to_owned()], None));
    assert_eq!(bucket.list_keys(Some(u64::MAX), 2).unwrap().keys, [""; 0]);
}

#[test]
fn a_page_that_ends_with_the_last_key_has_no_cursor() {
    let fixture = fixture();
    let bucket = bucket(&fixture, "default", "b");
    bucket.set_many(&[("a", ""), ("b", "")]).unwrap();
    assert_eq!(bucket.list_keys(None, 2).unwrap().cursor, None);
    assert_eq!(bucket.list_keys(None, 0).unwrap().keys, ["a"], "a page has at least one key");
}

#[test]
fn increments_of_sixteen_threads_add_up() {
    let fixture = fixture();
    let bucket = bucket(&fixture, "default", "b");
    thread::scope(|scope| {
        for _ in 0..16 {
            scope.spawn(|| {
                for _ in 0..10 {
                    bucket.increment("n", 2).unwrap();
                }
            });
        }
    });
    assert_eq!(bucket.get("n").unwrap().as_deref(), Some(&b"320"[..]));
}

#[test]
fn increment_refuses_text_and_overflow_by_key_and_changes_nothing() {
    let fixture = fixture();
    let bucket = bucket(&fixture, "default", "b");
    bucket.set("text", b"12 apples").unwrap();
    bucket.set("bytes", &[0xff]).unwrap();
    bucket.set("full", u64::MAX.to_string().as_bytes()).unwrap();
    for key in ["text", "bytes"] {
        assert!(matches!(bucket.increment(key, 1), Err(KeyValueError::NotANumber { key: named }) if named == key));
    }
    let refused = bucket.increment("full", 1).unwrap_err().to_string();
    assert!(refused.contains("key \"full\" has value 18446744073709551615, and adding 1"), "{refused}");
    assert_eq!(bucket.increment("full", 0).unwrap(), u64::MAX);
}

#[test]
fn batches_keep_order_and_are_all_or_nothing() {
    let fixture = fixture();
    let bucket = bucket(&fixture, "default", "b");
    bucket.set_many(&[("a", "1"), ("b", "2")]).unwrap();
    let values = bucket.get_many(&["b", "nowhere", "a", "b"]).unwrap();
    assert_eq!(values, [Some(b"2".to_vec()), None, Some(b"1".to_vec()), Some(b"2".to_vec())]);
    let long = "k".repeat(KEY_BYTES_MAX + 1);
    bucket.set_many(&[("a", "changed"), (&long, "")]).unwrap_err();
    bucket.delete_many(&["a", &long]).unwrap_err();
    assert_eq!(bucket.get("a").unwrap().as_deref(), Some(&b"1"[..]));
    bucket.delete_many(&["a", "b", "nowhere"]).unwrap();
    assert_eq!(bucket.list_keys(None, 10).unwrap().keys, [""; 0]);
}

#[test]
fn limits_are_exact_and_named() {
    let fixture = fixture();
    let bucket = bucket(&fixture, "default", "b");
    let (key, value) = ("k".repeat(KEY_BYTES_MAX), vec![0; VALUE_BYTES_MAX]);
    bucket.set(&key, &value).unwrap();
    assert_eq!(bucket.get(&key).unwrap().map(|value| value.len()), Some(VALUE_BYTES_MAX));

    let (long, large) = (format!("{key}k"), [&value[..], b"0"].concat());
    for refused in [
        bucket.set(&long, b"").unwrap_err(),
        bucket.get(&long).unwrap_err(),
        bucket.exists(&long).unwrap_err(),
        bucket.delete(&long).unwrap_err(),
        bucket.increment(&long, 1).unwrap_err(),
    ] {
        let text = refused.to_string();
        assert!(text.contains("is 1025 bytes long; 1024 is the most") && text.len() < 150, "{text}");
    }
    let refused = bucket.set("big", &large).unwrap_err().to_string();
    assert!(refused.contains("value for key \"big\" is 1048577 bytes long; 1048576 is the most"), "{refused}");
    let keyvalue = fixture.store.keyvalue();
    let refused = keyvalue.bucket(&"default".parse().unwrap(), &long).err().expect("a long name is refused");
    assert!(refused.to_string().starts_with("bucket name"), "{refused}");
}

#[test]
fn a_batch_cannot_make_the_host_hold_more_than_its_limit() {
    let fixture = fixture();
    let bucket = bucket(&fixture, "default", "b");
    bucket.set("big", &vec![0; VALUE_BYTES_MAX]).unwrap();
    let fits = BATCH_BYTES_MAX / VALUE_BYTES_MAX;
    assert_eq!(bucket.get_many(&vec!["big"; fits]).unwrap().len(), fits);
    assert!(matches!(bucket.get_many(&vec!["big"; fits + 1]), Err(KeyValueError::BatchTooLarge { .. })));
    let pairs = vec![("k", vec![0; VALUE_BYTES_MAX]); fits + 1];
    assert!(matches!(bucket.set_many(&pairs), Err(KeyValueError::BatchTooLarge { .. })));
    let keys = vec!["k"; BATCH_KEYS_MAX + 1];
    assert!(matches!(bucket.get_many(&keys), Err(KeyValueError::BatchTooLong(1025))));
    assert!(matches!(bucket.delete_many(&keys), Err(KeyValueError::BatchTooLong(1025))));
}
