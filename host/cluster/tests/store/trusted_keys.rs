//! Deployers' keys that the node believes.

use spillway_cluster::{Store, TrustedKeyError};
use spillway_trust::{DeployerKey, TrustError, TrustedKeys};

use crate::fixture;

#[test]
fn trusted_and_revoked_keys_are_there_after_the_store_is_opened_again() {
    let fixture = fixture();
    let (ada, bob) = (DeployerKey::generate().public(), DeployerKey::generate().public());
    assert_eq!(fixture.store.trusted_keys().unwrap(), TrustedKeys::default());
    fixture.store.trust_key(&ada, "Ada", 1).unwrap();
    fixture.store.trust_key(&bob, "bob", 2).unwrap();
    fixture.store.trust_key(&ada, "ada", 3).unwrap();
    fixture.store.revoke_key(bob.id(), 4).unwrap();
    drop(fixture.store);
    let keys = Store::open(fixture.folder.path()).unwrap().trusted_keys().unwrap();
    let of = |key| keys.get(key).map(|found| (found.name.as_str(), found.trusted_at_ms, found.revoked_at_ms));
    assert_eq!((of(&ada), of(&bob)), (Some(("ada", 1, None)), Some(("bob", 2, Some(4)))));
    assert_eq!(keys.iter().count(), 2);
}

#[test]
fn a_revoked_key_is_not_trusted_again_and_an_unknown_one_not_revoked() {
    let fixture = fixture();
    let key = DeployerKey::generate().public();
    let unknown = fixture.store.revoke_key(key.id(), 1).unwrap_err();
    assert!(matches!(unknown, TrustedKeyError::Refused(TrustError::Unknown(id)) if id == key.id()), "{unknown}");
    fixture.store.trust_key(&key, "ada", 1).unwrap();
    let revoked = fixture.store.revoke_key(key.id(), 2).unwrap();
    let refused = fixture.store.trust_key(&key, "ada", 3).unwrap_err();
    assert!(matches!(refused, TrustedKeyError::Refused(TrustError::Revoked { .. })), "{refused}");
    assert_eq!(fixture.store.trusted_keys().unwrap().get(&key), Some(&revoked));
}
