//! A deployer's key pair, and its public half.

use std::cmp::Ordering;
use std::fmt;
use std::hash::{Hash, Hasher};
use std::path::Path;
use std::str::FromStr;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use ed25519_dalek::pkcs8::{DecodePrivateKey as _, EncodePrivateKey as _, KeypairBytes, spki::der::pem::LineEnding};
use ed25519_dalek::{Signature, Signer as _, SigningKey, VerifyingKey};
use rand::TryRngCore as _;
use serde::{Deserialize, Serialize};
use spillway_types::Digest;
use zeroize::Zeroizing;

use crate::secret::{FileError, read_secret, write_secret};

/// What stands before the Base64 of a public key, so that another algorithm can stand beside it one day.
const PREFIX: &str = "ed25519:";

/// An Ed25519 key pair (RFC 8032). Who holds it decides what a cluster runs. It is wiped from memory when dropped.
pub struct DeployerKey(SigningKey);

/// The public half of a [`DeployerKey`], written `ed25519:` and its 32 bytes in Base64.
#[derive(Clone, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct PublicKey(VerifyingKey);

/// The first 8 bytes of a public key's SHA-256, written as 16 hexadecimal digits: for people to name a key by. What is
/// trusted is the whole key.
#[derive(Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct KeyId([u8; 8]);

/// A deployer's key that cannot be read.
#[derive(Debug, thiserror::Error)]
pub enum KeyError {
    /// The text is something else.
    #[error("this is no deployer's key; write an Ed25519 private key as PKCS#8 PEM, as `spillway key new` does")]
    Format,
    /// The file cannot be read or written, or others may read it.
    #[error(transparent)]
    File(#[from] FileError),
    /// The file has something else.
    #[error("{path} has no deployer's key; name a file that `spillway key new` wrote")]
    FileFormat {
        /// The file.
        path: String,
    },
}

/// A string that is no public key, or no id of one.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("`{text}` is not {what}")]
pub struct ParseKeyError {
    what: &'static str,
    text: String,
}

impl ParseKeyError {
    fn new(what: &'static str, text: &str) -> Self {
        Self { what, text: text.chars().take(100).collect() }
    }
}

impl DeployerKey {
    /// A new key from the system's random numbers.
    ///
    /// # Panics
    /// The system has no random numbers, which Linux has from early boot on.
    pub fn generate() -> Self {
        let mut secret = Zeroizing::new([0; 32]);
        rand::rngs::OsRng.try_fill_bytes(&mut *secret).expect("Linux gives random numbers from early boot on");
        Self(SigningKey::from_bytes(&secret))
    }

    /// Reads PKCS#8 PEM (RFC 8410, section 7), with or without the public half.
    ///
    /// # Errors
    /// The text is something else, or the public half in it belongs to another key.
    pub fn from_pem(text: &str) -> Result<Self, KeyError> {
        SigningKey::from_pkcs8_pem(text).map(Self).map_err(|_| KeyError::Format)
    }

    /// Writes PKCS#8 PEM.
    pub fn to_pem(&self) -> Zeroizing<String> {
        // Without the public half: with it the structure is version 2, which OpenSSL before 3.5 does not read.
        let bytes = KeypairBytes { secret_key: self.0.to_bytes(), public_key: None };
        bytes.to_pkcs8_pem(LineEnding::LF).expect("32 bytes are always a key")
    }

    /// Reads a key from a file that its owner alone may read.
    ///
    /// # Errors
    /// The file cannot be read, others may read it, or it has no key.
    pub fn load(path: &Path) -> Result<Self, KeyError> {
        Self::from_pem(&read_secret(path)?).map_err(|_| KeyError::FileFormat { path: path.display().to_string() })
    }

    /// Writes the key to a new file that its owner alone may read.
    ///
    /// # Errors
    /// The file is there already or cannot be written.
    pub fn save(&self, path: &Path) -> Result<(), KeyError> {
        Ok(write_secret(path, self.to_pem().as_bytes())?)
    }

    /// The public half.
    pub fn public(&self) -> PublicKey {
        PublicKey(self.0.verifying_key())
    }

    /// Signs a message (RFC 8032, section 5.1.6).
    pub(crate) fn sign(&self, message: &[u8]) -> [u8; 64] {
        self.0.sign(message).to_bytes()
    }
}

impl fmt::Debug for DeployerKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("DeployerKey").field(&self.public()).finish()
    }
}

impl PublicKey {
    /// Its short name.
    pub fn id(&self) -> KeyId {
        let digest = Digest::of(self.0.as_bytes());
        let (first, _) = digest.as_bytes().split_first_chunk().expect("a SHA-256 has 32 bytes");
        KeyId(*first)
    }

    /// Whether this key made the signature, by the strict rules: every signature and every point has one encoding, and
    /// no point of small order, with which one signature fits several messages.
    pub(crate) fn verifies(&self, message: &[u8], signature: &[u8; 64]) -> bool {
        self.0.verify_strict(message, &Signature::from_bytes(signature)).is_ok()
    }
}

impl FromStr for PublicKey {
    type Err = ParseKeyError;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let parse = || {
            let bytes: [u8; 32] = STANDARD.decode(text.strip_prefix(PREFIX)?).ok()?.try_into().ok()?;
            let key = VerifyingKey::from_bytes(&bytes).ok()?;
            // A point that is encoded twice would be one key with two names.
            let canonical = key.to_edwards().compress().to_bytes() == bytes;
            (canonical && !key.is_weak()).then_some(Self(key))
        };
        parse().ok_or_else(|| {
            ParseKeyError::new(
                "a public key; write `ed25519:` and 44 characters of Base64, as `spillway key show` prints it",
                text,
            )
        })
    }
}

impl fmt::Display for PublicKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{PREFIX}{}", STANDARD.encode(self.0.as_bytes()))
    }
}

impl fmt::Debug for PublicKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

impl TryFrom<String> for PublicKey {
    type Error = ParseKeyError;

    fn try_from(text: String) -> Result<Self, Self::Error> {
        text.parse()
    }
}

impl From<PublicKey> for String {
    fn from(key: PublicKey) -> Self {
        key.to_string()
    }
}

impl PartialEq for PublicKey {
    fn eq(&self, other: &Self) -> bool {
        self.0.as_bytes() == other.0.as_bytes()
    }
}

impl Eq for PublicKey {}

impl PartialOrd for PublicKey {
    fn partial_cmp(&self, other: &Self) -> Option<Ordering> {
        Some(self.cmp(other))
    }
}

impl Ord for PublicKey {
    fn cmp(&self, other: &Self) -> Ordering {
        self.0.as_bytes().cmp(other.0.as_bytes())
    }
}

impl Hash for PublicKey {
    fn hash<H: Hasher>(&self, state: &mut H) {
        self.0.as_bytes().hash(state);
    }
}

impl fmt::Display for KeyId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.iter().try_for_each(|byte| write!(f, "{byte:02x}"))
    }
}

impl fmt::Debug for KeyId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

impl FromStr for KeyId {
    type Err = ParseKeyError;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let is_hex = |b: u8| b.is_ascii_digit() || (b'a'..=b'f').contains(&b);
        match u64::from_str_radix(text, 16) {
            Ok(number) if text.len() == 16 && text.bytes().all(is_hex) => Ok(Self(number.to_be_bytes())),
            _ => Err(ParseKeyError::new(
                "the id of a key; write 16 lower-case hexadecimal digits, as `spillway key ls` lists it",
                text,
            )),
        }
    }
}
