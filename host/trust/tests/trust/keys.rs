//! Deployers' keys.

use std::fs::{self, Permissions};
use std::os::unix::fs::PermissionsExt as _;

use spillway_trust::{DeployerKey, KeyId, PublicKey};

/// The key of RFC 8410, section 10.3, without and with its public half.
const RFC_8410: &str = "-----BEGIN PRIVATE KEY-----
MC4CAQAwBQYDK2VwBCIEINTuctv5E1hK1bbY8fdp+K06/nwoy/HU++CXqI9EdVhC
-----END PRIVATE KEY-----
";
const RFC_8410_BOTH: &str = "-----BEGIN PRIVATE KEY-----
MHICAQEwBQYDK2VwBCIEINTuctv5E1hK1bbY8fdp+K06/nwoy/HU++CXqI9EdVhC
oB8wHQYKKoZIhvcNAQkJFDEPDA1DdXJkbGUgQ2hhaXJzgSEAGb9ECWmEzf6FQbrB
Z9w7lshQhqowtrbLDFw4rXAxZuE=
-----END PRIVATE KEY-----
";
const RFC_8410_PUBLIC: &str = "ed25519:Gb9ECWmEzf6FQbrBZ9w7lshQhqowtrbLDFw4rXAxZuE=";

#[test]
fn the_key_of_rfc_8410_is_read_with_and_without_its_public_half_and_written_as_there() {
    for text in [RFC_8410, RFC_8410_BOTH] {
        let key = DeployerKey::from_pem(text).unwrap();
        assert_eq!(key.public().to_string(), RFC_8410_PUBLIC);
        assert_eq!(key.to_pem().as_str(), RFC_8410);
    }
}

#[test]
fn a_public_half_of_another_key_is_refused() {
    // The last byte of the public half.
    let mixed = RFC_8410_BOTH.replace("ZuE=", "ZuI=");
    DeployerKey::from_pem(&mixed).unwrap_err();
}

#[test]
fn every_key_is_new_and_shows_its_public_half_alone() {
    let (one, other) = (DeployerKey::generate(), DeployerKey::generate());
    assert_ne!(one.public(), other.public());
    assert_eq!(format!("{one:?}"), format!("DeployerKey({})", one.public()));
    assert_eq!(DeployerKey::from_pem(&one.to_pem()).unwrap().public(), one.public());
}

#[test]
fn a_public_key_and_its_id_read_what_they_write() {
    let key = DeployerKey::from_pem(RFC_8410).unwrap().public();
    assert_eq!(key.to_string().parse::<PublicKey>().unwrap(), key);
    // printf Gb9ECWmEzf6FQbrBZ9w7lshQhqowtrbLDFw4rXAxZuE= | base64 -d | sha256sum | cut -c-16
    assert_eq!(key.id().to_string(), "e744c0791320c328");
    assert_eq!(key.id().to_string().parse::<KeyId>().unwrap(), key.id());
}

#[test]
fn what_is_no_public_key_is_refused() {
    // The neutral element, a point of order 8, and the neutral element encoded with y = p + 1 (RFC 8032, section 5.1.3).
    let weak = "ed25519:AQAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA=";
    let order_8 = "ed25519:xxdqcD1N2E+6PAt2DRBnDyogU/osOczGTsf9d5KsA3o=";
    let not_canonical = "ed25519:7v///////////////////////////////////////38=";
    for bad in [
        "",
        "ed25519:",
        weak,
        order_8,
        not_canonical,
        &RFC_8410_PUBLIC.replace("ed25519:", ""),
        &RFC_8410_PUBLIC.replace("ed25519:", "ed448:"),
        &RFC_8410_PUBLIC.replace('=', ""),
        // The same bytes in another Base64: the last letter has bits that stand for nothing.
        &RFC_8410_PUBLIC.replace("uE=", "uF="),
        &format!("{RFC_8410_PUBLIC}\n"),
        &RFC_8410_PUBLIC.replace("uE=", "uEAA=="),
    ] {
        let message = bad.parse::<PublicKey>().unwrap_err().to_string();
        assert!(message.contains("spillway key show"), "{bad}: {message}");
    }
    for bad in ["", "0123456789abcde", "0123456789ABCDEF", "+123456789abcdef", "0123456789abcdef0"] {
        let message = bad.parse::<KeyId>().unwrap_err().to_string();
        assert!(message.contains("spillway key ls"), "{bad}: {message}");
    }
}

#[test]
fn a_key_file_is_its_owners_alone_and_never_overwritten() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("new/deployer.pem");
    let key = DeployerKey::generate();
    key.save(&path).unwrap();
    assert_eq!(fs::metadata(&path).unwrap().permissions().mode() & 0o777, 0o600);
    assert_eq!(fs::metadata(path.parent().unwrap()).unwrap().permissions().mode() & 0o777, 0o700);
    assert_eq!(DeployerKey::load(&path).unwrap().public(), key.public());

    let refused = DeployerKey::generate().save(&path).unwrap_err().to_string();
    assert!(refused.contains("deployer.pem is there already"), "{refused}");
    assert_eq!(DeployerKey::load(&path).unwrap().public(), key.public());
}

#[test]
fn a_key_file_that_others_may_read_or_that_has_no_key_is_refused_by_name() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("deployer.pem");
    DeployerKey::generate().save(&path).unwrap();
    for (mode, taken) in [(0o604, false), (0o602, false), (0o620, false), (0o644, false), (0o640, true), (0o400, true)]
    {
        fs::set_permissions(&path, Permissions::from_mode(mode)).unwrap();
        match DeployerKey::load(&path) {
            Ok(_) => assert!(taken, "{mode:o}"),
            Err(error) => {
                assert!(!taken && error.to_string().contains("deployer.pem may be read"), "{mode:o}: {error}")
            }
        }
    }
    fs::set_permissions(&path, Permissions::from_mode(0o600)).unwrap();
    for bad in [&b""[..], b"hello", b"\xff\xfe", &vec![b'a'; (1 << 20) + 1]] {
        fs::write(&path, bad).unwrap();
        let error = DeployerKey::load(&path).unwrap_err().to_string();
        assert!(error.contains("deployer.pem") && error.contains("spillway key"), "{error}");
    }
    let absent = DeployerKey::load(&folder.path().join("absent")).unwrap_err().to_string();
    assert!(absent.contains("cannot read") && absent.contains("absent"), "{absent}");
}
