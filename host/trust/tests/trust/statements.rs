//! Signed statements.

use serde_json::{Value, json};
use spillway_trust::{DeployerKey, STATEMENT_BYTES_MAX, SignedStatement, TrustedKeys, Untrusted, is_newer};
use spillway_types::{ClusterName, Desired, Digest, Release, STATEMENT_FORMAT, Statement};

fn cluster() -> ClusterName {
    "acme".parse().unwrap()
}

fn statement(sequence: u64) -> Statement {
    let release = Release { revision: 3, bundle: Digest::of(b""), manifest: "name = \"a\"\n".to_owned(), owner: None };
    Statement {
        format: STATEMENT_FORMAT,
        cluster: cluster(),
        function: "shop/cart".parse().unwrap(),
        sequence,
        desired: Desired::Serve(release),
    }
}

fn trusting(keys: &[&DeployerKey]) -> TrustedKeys {
    let mut trusted = TrustedKeys::default();
    for key in keys {
        trusted.trust(key.public(), "ada", 1).unwrap();
    }
    trusted
}

/// The statement as JSON, changed.
fn changed(signed: &SignedStatement, change: impl FnOnce(&mut Value)) -> Result<SignedStatement, Untrusted> {
    let mut value: Value = serde_json::from_slice(&signed.to_bytes()).unwrap();
    change(&mut value);
    SignedStatement::from_bytes(value.to_string().as_bytes())
}

#[test]
fn what_a_trusted_key_signed_is_believed_after_a_journey_as_bytes() {
    let key = DeployerKey::generate();
    let signed = SignedStatement::sign(&statement(7), &key);
    let arrived = SignedStatement::from_bytes(&signed.to_bytes()).unwrap();
    assert_eq!(arrived.verify(&cluster(), &trusting(&[&key])), Ok(statement(7)));
    assert_eq!(arrived.statement_unverified(), Ok(statement(7)));
    assert_eq!((arrived.key(), arrived.digest()), (&key.public(), signed.digest()));
}

#[test]
fn the_payload_is_kept_as_it_was_signed_however_another_program_would_write_it() {
    let key = DeployerKey::generate();
    let signed = SignedStatement::sign(&statement(7), &key);
    let value: Value = serde_json::from_slice(&signed.to_bytes()).unwrap();
    assert_eq!(value["payload"], serde_json::to_string(&statement(7)).unwrap());
    // Spaces and order of the wrapping do not matter, those of the payload are another payload.
    let pretty = serde_json::to_string_pretty(&value).unwrap();
    SignedStatement::from_bytes(pretty.as_bytes()).unwrap().verify(&cluster(), &trusting(&[&key])).unwrap();
    let spaced = changed(&signed, |value| {
        value["payload"] = json!(value["payload"].as_str().unwrap().replacen("{\"format\":1", "{\"format\": 1", 1));
    });
    let refused = spaced.unwrap().verify(&cluster(), &trusting(&[&key]));
    assert_eq!(refused, Err(Untrusted::BadSignature { id: key.public().id() }));
}

#[test]
fn a_statement_with_any_byte_changed_is_refused() {
    let key = DeployerKey::generate();
    let bytes = SignedStatement::sign(&statement(7), &key).to_bytes();
    let trusted = trusting(&[&key]);
    for position in 0..bytes.len() {
        for flip in [1, 0x20] {
            let mut bad = bytes.clone();
            bad[position] ^= flip;
            let believed = SignedStatement::from_bytes(&bad).and_then(|signed| signed.verify(&cluster(), &trusted));
            assert!(believed.is_err(), "byte {position} of {}", String::from_utf8_lossy(&bad));
        }
    }
}

#[test]
fn a_key_that_is_trusted_does_not_vouch_for_anothers_signature() {
    let (one, other) = (DeployerKey::generate(), DeployerKey::generate());
    let signed = SignedStatement::sign(&statement(7), &one);
    let swapped = changed(&signed, |value| value["key"] = json!(other.public())).unwrap();
    let refused = swapped.verify(&cluster(), &trusting(&[&one, &other])).unwrap_err();
    assert_eq!(refused, Untrusted::BadSignature { id: other.public().id() });
}

#[test]
fn a_signature_with_s_beyond_the_group_order_is_refused() {
    use base64::Engine as _;
    use base64::engine::general_purpose::STANDARD;
    /// L, the order of the base point, little-endian (RFC 8032, section 5.1).
    const ORDER: [u8; 32] = [
        0xed, 0xd3, 0xf5, 0x5c, 0x1a, 0x63, 0x12, 0x58, 0xd6, 0x9c, 0xf7, 0xa2, 0xde, 0xf9, 0xde, 0x14, 0, 0, 0, 0, 0,
        0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0x10,
    ];
    let key = DeployerKey::generate();
    let signed = SignedStatement::sign(&statement(7), &key);
    let other = changed(&signed, |value| {
        let mut signature = STANDARD.decode(value["signature"].as_str().unwrap()).unwrap();
        let mut carry = 0;
        for (byte, add) in signature[32..].iter_mut().zip(ORDER) {
            carry += u16::from(*byte) + u16::from(add);
            *byte = carry as u8;
            carry >>= 8;
        }
        assert_eq!(carry, 0, "S + L fits 32 bytes");
        value["signature"] = json!(STANDARD.encode(signature));
    });
    let refused = other.unwrap().verify(&cluster(), &trusting(&[&key])).unwrap_err();
    assert_eq!(refused, Untrusted::BadSignature { id: key.public().id() });
}

#[test]
fn what_the_key_signed_for_another_purpose_is_no_statement() {
    use base64::Engine as _;
    use ed25519_dalek::Signer as _;
    use ed25519_dalek::pkcs8::DecodePrivateKey as _;
    let key = DeployerKey::generate();
    let signer = ed25519_dalek::SigningKey::from_pkcs8_pem(&key.to_pem()).unwrap();
    let payload = serde_json::to_string(&statement(7)).unwrap();
    let with_domain = |domain: &str| {
        let signature = signer.sign(format!("{domain}{payload}").as_bytes()).to_bytes();
        let signature = base64::engine::general_purpose::STANDARD.encode(signature);
        let value = json!({ "payload": payload, "key": key.public(), "signature": signature });
        SignedStatement::from_bytes(value.to_string().as_bytes()).unwrap().verify(&cluster(), &trusting(&[&key]))
    };
    assert_eq!(with_domain("spillway statement 1\0"), Ok(statement(7)));
    for domain in ["", "spillway statement 1", "spillway statement 2\0", "spillway job 1\0"] {
        assert_eq!(with_domain(domain), Err(Untrusted::BadSignature { id: key.public().id() }), "{domain:?}");
    }
}

#[test]
fn an_unknown_key_and_a_revoked_one_are_named_with_the_remedy() {
    let (key, other) = (DeployerKey::generate(), DeployerKey::generate());
    let signed = SignedStatement::sign(&statement(7), &key);
    let id = key.public().id();
    let refused = signed.verify(&cluster(), &trusting(&[&other])).unwrap_err();
    assert_eq!(refused, Untrusted::UnknownKey { id });
    let message = refused.to_string();
    assert!(message.contains(&id.to_string()) && message.contains("spillway key trust"), "{message}");

    let mut trusted = trusting(&[&key]);
    trusted.revoke(&key.public(), 2).unwrap();
    let refused = signed.verify(&cluster(), &trusted).unwrap_err();
    assert_eq!(refused, Untrusted::Revoked { id, name: "ada".to_owned() });
    assert!(refused.to_string().contains("`ada`") && refused.to_string().contains("spillway key ls"), "{refused}");
}

#[test]
fn a_statement_for_another_cluster_is_refused_however_well_it_is_signed() {
    let key = DeployerKey::generate();
    let signed = SignedStatement::sign(&statement(7), &key);
    let own: ClusterName = "other".parse().unwrap();
    let refused = signed.verify(&own, &trusting(&[&key])).unwrap_err();
    assert_eq!(refused, Untrusted::WrongCluster { found: cluster(), own });
}

#[test]
fn a_statement_of_another_format_is_named_by_it_whatever_else_it_has() {
    use base64::Engine as _;
    use ed25519_dalek::Signer as _;
    use ed25519_dalek::pkcs8::DecodePrivateKey as _;
    let key = DeployerKey::generate();
    let later = SignedStatement::sign(&Statement { format: 2, ..statement(7) }, &key);
    let refused = later.verify(&cluster(), &trusting(&[&key])).unwrap_err();
    assert_eq!(refused, Untrusted::Format { found: 2, known: STATEMENT_FORMAT });
    // Signed well, in a form that this version does not know.
    let signer = ed25519_dalek::SigningKey::from_pkcs8_pem(&key.to_pem()).unwrap();
    let sign = |payload: &str| {
        let signature = signer.sign(format!("spillway statement 1\0{payload}").as_bytes()).to_bytes();
        let signature = base64::engine::general_purpose::STANDARD.encode(signature);
        let value = json!({ "payload": payload, "key": key.public(), "signature": signature });
        SignedStatement::from_bytes(value.to_string().as_bytes()).unwrap().verify(&cluster(), &trusting(&[&key]))
    };
    assert_eq!(sign(r#"{"format":9,"all":"new"}"#), Err(Untrusted::Format { found: 9, known: STATEMENT_FORMAT }));
    for malformed in ["", "{}", r#"{"format":"1"}"#, r#"{"format":1}"#, r#"{"format":1,"format":1}"#, "[1]"] {
        assert!(matches!(sign(malformed), Err(Untrusted::Malformed(_))), "{malformed}");
    }
}

#[test]
fn bytes_that_are_no_signed_statement_are_refused_as_such() {
    let signed = SignedStatement::sign(&statement(7), &DeployerKey::generate());
    let bytes = signed.to_bytes();
    let malformed = |bytes: &[u8]| matches!(SignedStatement::from_bytes(bytes), Err(Untrusted::Malformed(_)));
    for length in 0..bytes.len() {
        assert!(malformed(&bytes[..length]), "the first {length} bytes");
    }
    assert!(malformed(b"\xff\xfe") && malformed(b"[]") && malformed(&[&bytes[..], b"x"].concat()));
    for (field, value) in [
        ("signature", json!("AAAA")),
        ("signature", json!("not base64")),
        ("key", json!("ed25519:AAAA")),
        ("payload", json!({})),
        ("hidden", json!(true)),
    ] {
        let refused = changed(&signed, |all| all[field] = value);
        assert!(matches!(refused, Err(Untrusted::Malformed(_))), "{field}: {refused:?}");
    }
}

#[test]
fn a_statement_beyond_the_limit_is_refused_before_it_is_parsed() {
    let mut large = statement(7);
    let Desired::Serve(release) = &mut large.desired else { unreachable!("made so above") };
    release.manifest = "x".repeat(STATEMENT_BYTES_MAX);
    let refused = SignedStatement::from_bytes(&SignedStatement::sign(&large, &DeployerKey::generate()).to_bytes());
    let message = refused.unwrap_err().to_string();
    assert!(message.contains(&STATEMENT_BYTES_MAX.to_string()), "{message}");
}

#[test]
fn the_higher_sequence_is_newer_and_at_the_same_one_all_agree_on_one() {
    let (low, high) = (Digest::from_bytes([1; 32]), Digest::from_bytes([2; 32]));
    assert!(is_newer(&(2, low), &(1, high)) && !is_newer(&(1, high), &(2, low)));
    assert!(is_newer(&(1, high), &(1, low)) && !is_newer(&(1, low), &(1, high)));
    assert!(!is_newer(&(1, low), &(1, low)), "what is known already replaces nothing");

    let one = SignedStatement::sign(&statement(1), &DeployerKey::generate());
    let other = SignedStatement::sign(&statement(1), &DeployerKey::generate());
    let (one, other) = ((1, one.digest()), (1, other.digest()));
    assert_ne!(is_newer(&one, &other), is_newer(&other, &one));
}
