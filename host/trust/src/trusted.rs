//! The public keys that a node believes, and those that it believes no more.

use std::collections::BTreeMap;

use crate::keys::{KeyId, PublicKey};

/// The longest name of a key, in characters: it stands in one line of a table.
const NAME_CHARS_MAX: usize = 100;

/// A public key that was trusted, and may have been revoked since.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TrustedKey {
    /// The key.
    pub key: PublicKey,
    /// Whose it is, for people.
    pub name: String,
    /// Milliseconds since 1970, by the clock of whoever trusted it.
    pub trusted_at_ms: u64,
    /// When it was revoked, likewise. Then it is never trusted again.
    pub revoked_at_ms: Option<u64>,
}

/// A set of public keys. Revoked ones stay in it, so that nobody trusts them again by mistake.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct TrustedKeys {
    keys: BTreeMap<PublicKey, TrustedKey>,
}

/// Why a key is not trusted or not revoked. Nothing has changed.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum TrustError {
    /// It was revoked before.
    #[error("key {id} (`{name}`) was revoked and stays so; make a new one with `spillway key new`")]
    Revoked {
        /// The key.
        id: KeyId,
        /// What it was called.
        name: String,
    },
    /// The name would spoil a listing.
    #[error("the name of a key has at most {NAME_CHARS_MAX} characters and no control characters; shorten it")]
    Name,
    /// No key has the id.
    #[error("no key {0} was ever trusted; `spillway key ls` lists those that were")]
    Unknown(KeyId),
    /// Two keys have the id, which somebody must have sought for long.
    #[error("several keys have the id {0}; name the public key itself")]
    Ambiguous(KeyId),
}

impl TrustedKeys {
    /// Trusts a key from now on. One that is trusted already gets the new name and keeps its time.
    ///
    /// # Errors
    /// The key was revoked, or the name is too long.
    pub fn trust(&mut self, key: PublicKey, name: &str, now_ms: u64) -> Result<&TrustedKey, TrustError> {
        if name.chars().count() > NAME_CHARS_MAX || name.chars().any(char::is_control) {
            return Err(TrustError::Name);
        }
        if let Some(TrustedKey { name, revoked_at_ms: Some(_), .. }) = self.keys.get(&key) {
            return Err(TrustError::Revoked { id: key.id(), name: name.clone() });
        }
        let trusted = self.keys.entry(key.clone()).or_insert_with(|| TrustedKey {
            key,
            name: String::new(),
            trusted_at_ms: now_ms,
            revoked_at_ms: None,
        });
        trusted.name = name.to_owned();
        Ok(trusted)
    }

    /// Trusts a key no more, for ever. One that is revoked already keeps its time.
    ///
    /// # Errors
    /// The key was never trusted.
    pub fn revoke(&mut self, key: &PublicKey, now_ms: u64) -> Result<&TrustedKey, TrustError> {
        let trusted = self.keys.get_mut(key).ok_or_else(|| TrustError::Unknown(key.id()))?;
        trusted.revoked_at_ms.get_or_insert(now_ms);
        Ok(trusted)
    }

    /// The key itself, trusted or revoked.
    pub fn get(&self, key: &PublicKey) -> Option<&TrustedKey> {
        self.keys.get(key)
    }

    /// The one key that has the id.
    ///
    /// # Errors
    /// None has it, or several.
    pub fn find(&self, id: KeyId) -> Result<&TrustedKey, TrustError> {
        let mut found = self.iter().filter(|trusted| trusted.key.id() == id);
        match (found.next(), found.next()) {
            (Some(only), None) => Ok(only),
            (None, _) => Err(TrustError::Unknown(id)),
            (Some(_), Some(_)) => Err(TrustError::Ambiguous(id)),
        }
    }

    /// All keys, revoked ones included, in an order that does not change.
    pub fn iter(&self) -> impl Iterator<Item = &TrustedKey> {
        self.keys.values()
    }
}

impl FromIterator<TrustedKey> for TrustedKeys {
    fn from_iter<I: IntoIterator<Item = TrustedKey>>(keys: I) -> Self {
        Self { keys: keys.into_iter().map(|trusted| (trusted.key.clone(), trusted)).collect() }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::keys::DeployerKey;

    #[test]
    fn trusting_again_renames_and_keeps_the_time() {
        let key = DeployerKey::generate().public();
        let mut keys = TrustedKeys::default();
        keys.trust(key.clone(), "old", 1).unwrap();
        keys.trust(key.clone(), "new", 2).unwrap();
        let expected = TrustedKey { key: key.clone(), name: "new".to_owned(), trusted_at_ms: 1, revoked_at_ms: None };
        assert_eq!(keys.iter().collect::<Vec<_>>(), [&expected]);
        assert_eq!((keys.get(&key), keys.find(key.id())), (Some(&expected), Ok(&expected)));
    }

    #[test]
    fn a_revoked_key_stays_revoked_since_the_first_time_and_is_never_trusted_again() {
        let key = DeployerKey::generate().public();
        let mut keys = TrustedKeys::default();
        keys.trust(key.clone(), "ada", 1).unwrap();
        keys.revoke(&key, 2).unwrap();
        assert_eq!(keys.revoke(&key, 3).unwrap().revoked_at_ms, Some(2));
        let refused = keys.trust(key.clone(), "again", 4).unwrap_err();
        assert_eq!(refused, TrustError::Revoked { id: key.id(), name: "ada".to_owned() });
        assert_eq!(keys.get(&key).unwrap().revoked_at_ms, Some(2));
    }

    #[test]
    fn what_was_never_trusted_is_not_revoked_and_a_name_fits_a_line() {
        let key = DeployerKey::generate().public();
        let mut keys = TrustedKeys::default();
        assert_eq!(keys.revoke(&key, 1), Err(TrustError::Unknown(key.id())));
        assert_eq!(keys.find(key.id()), Err(TrustError::Unknown(key.id())));
        for name in ["two\nlines", "\u{1b}[2J", &"x".repeat(101)] {
            assert_eq!(keys.trust(key.clone(), name, 1), Err(TrustError::Name), "{name:?}");
        }
        assert_eq!(keys, TrustedKeys::default());
    }
}
