//! A node's files: what is refused before a connection depends on it.

use std::fs::{self, Permissions};
use std::os::unix::fs::PermissionsExt as _;

use spillway_trust::{Authority, FileError, IdentityError, ReloadingIdentity, Validity};

use crate::{DAY, Files, authority, day, issue, node};

#[test]
fn a_node_is_who_its_certificate_says_until_it_expires() {
    let issued = issue(&authority("acme"), "a");
    let files = Files::of(&issued);
    let identity = files.files.load().unwrap();
    assert_eq!(identity.node, node("a"));
    // Certificates count whole seconds.
    let gap = issued.not_after.duration_since(identity.not_after).unwrap();
    assert!(gap.as_secs() == 0, "{gap:?}");
    let mode = |name: &str| fs::metadata(files.folder.path().join(name)).unwrap().permissions().mode() & 0o777;
    assert_eq!(mode("node.key"), 0o600);
    let refused = issue(&authority("acme"), "a").save(files.folder.path()).unwrap_err();
    assert!(matches!(refused, FileError::Exists(_)), "{refused}");
}

#[test]
fn certificates_past_their_time_before_it_and_of_another_authority_are_told_apart() {
    let ours = authority("acme");
    let refused = |validity| Files::of(&ours.issue(&node("a"), validity, &[]).unwrap()).files.load().unwrap_err();
    let expired = refused(day(-2));
    assert!(matches!(expired, IdentityError::Expired { .. }), "{expired}");
    let message = expired.to_string();
    assert!(message.contains("node.crt") && message.contains("spillway ca issue"), "{message}");
    assert!(message.contains(&node("a").to_string()), "{message}");
    let early = refused(day(2));
    assert!(matches!(early, IdentityError::NotYetValid { .. }) && early.to_string().contains("clock"), "{early}");

    for other in ["acme", "other"] {
        let files = Files::of(&issue(&ours, "a"));
        files.write("ca.crt", authority(other).certificate_pem());
        let wrong = files.files.load().unwrap_err();
        assert!(matches!(wrong, IdentityError::WrongAuthority { .. }), "{other}: {wrong}");
    }
}

#[test]
fn a_key_of_another_certificate_is_refused_and_so_is_one_that_others_may_read() {
    let authority = authority("acme");
    let files = Files::of(&issue(&authority, "a"));
    files.write("node.key", &issue(&authority, "a").key_pem);
    let refused = files.files.load().unwrap_err();
    assert!(matches!(refused, IdentityError::KeyMismatch(_)), "{refused}");

    let files = Files::of(&issue(&authority, "a"));
    fs::set_permissions(files.folder.path().join("node.key"), Permissions::from_mode(0o644)).unwrap();
    let refused = files.files.load().unwrap_err().to_string();
    assert!(refused.contains("node.key may be read by others (mode 644); run `chmod 600`"), "{refused}");
}

#[test]
fn files_that_are_truncated_garbled_or_missing_are_refused_by_name() {
    let authority = authority("acme");
    for name in ["node.crt", "node.key", "ca.crt"] {
        let files = Files::of(&issue(&authority, "a"));
        let path = files.folder.path().join(name);
        let whole = fs::read_to_string(&path).unwrap();
        let middle = whole.len() / 2;
        let garbled = format!("{}AAAAAAAA{}", &whole[..middle], &whole[middle + 8..]);
        // Valid PEM around a body that has lost a third of itself.
        let lines: Vec<&str> = whole.lines().collect();
        let shortened = [&lines[..lines.len() / 2], &lines[lines.len() - 1..]].concat().join("\n");
        for bad in ["", "hello", &whole[..middle], &garbled, &shortened] {
            files.write(name, bad);
            let error = files.files.load().unwrap_err().to_string();
            assert!(error.contains("node.") || error.contains(name), "{name}: {error}");
        }
        fs::remove_file(&path).unwrap();
        let error = files.files.load().unwrap_err().to_string();
        assert!(error.contains("cannot read") && error.contains(name), "{error}");
    }
}

#[test]
fn a_certificate_of_no_node_and_roots_that_are_no_authority_are_refused() {
    let authority = authority("acme");
    let issued = issue(&authority, "a");
    let files = Files::of(&issued);
    files.write("node.crt", authority.certificate_pem());
    let refused = files.files.load().unwrap_err().to_string();
    assert!(refused.contains("is not the identity of a node"), "{refused}");

    let files = Files::of(&issued);
    files.write("ca.crt", &issued.certificate_pem);
    let refused = files.files.load().unwrap_err();
    assert!(matches!(refused, IdentityError::NotAuthority { .. }), "{refused}");
}

#[test]
fn an_authority_that_has_expired_is_believed_no_more() {
    let expired = Authority::init(&"acme".parse().unwrap(), day(-2)).unwrap();
    let files = Files::of(&issue(&authority("acme"), "a"));
    files.write("ca.crt", expired.certificate_pem());
    let refused = files.files.load().unwrap_err();
    assert!(matches!(refused, IdentityError::AuthorityExpired(_)), "{refused}");
    let refused = expired.issue(&node("a"), Validity::from_now(DAY), &[]).err().unwrap().to_string();
    assert!(refused.contains("expired") && refused.contains("spillway ca init"), "{refused}");
}

#[test]
fn an_identity_whose_new_files_are_bad_stays_as_it_was_and_takes_good_ones_later() {
    let authority = authority("acme");
    let files = Files::of(&issue(&authority, "a"));
    let identity = ReloadingIdentity::load(files.files.clone()).unwrap();
    let before = identity.current();
    let new = issue(&authority, "a");

    // Half of the copy has arrived.
    files.write("node.crt", &new.certificate_pem);
    for _ in 0..2 {
        let error = identity.reload_if_changed().unwrap_err();
        assert!(matches!(error, IdentityError::KeyMismatch(_)), "{error}");
    }
    assert!(std::sync::Arc::ptr_eq(&identity.current(), &before));
    files.write("node.key", &new.key_pem);
    assert!(identity.reload_if_changed().unwrap());
    assert!(!identity.reload_if_changed().unwrap());
    assert!(!std::sync::Arc::ptr_eq(&identity.current(), &before));
}

#[test]
fn a_running_node_does_not_become_another_one() {
    let authority = authority("acme");
    let files = Files::of(&issue(&authority, "a"));
    let identity = ReloadingIdentity::load(files.files.clone()).unwrap();
    files.replace(&issue(&authority, "b"));
    let refused = identity.reload_if_changed().unwrap_err();
    assert!(matches!(refused, IdentityError::Renamed { .. }) && refused.to_string().contains("restart"), "{refused}");
    assert_eq!(identity.current().node, node("a"));
}
