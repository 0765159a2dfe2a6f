//! A statement with its signature.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use serde::{Deserialize, Serialize};
use spillway_types::{ClusterName, Digest, STATEMENT_FORMAT, Statement};

use crate::keys::{DeployerKey, KeyId, PublicKey};
use crate::trusted::TrustedKeys;

/// The longest signed statement in bytes, nearly all of it the manifest: half of what NATS takes in one message unless
/// it is told otherwise (`max_payload`, 1 MiB), which leaves room for headers.
pub const STATEMENT_BYTES_MAX: usize = 512 << 10;

/// Signed before the payload, so that no signature that the same key makes for another purpose is one of a statement.
const DOMAIN: &[u8] = b"spillway statement 1\0";

/// A [`Statement`] as a deployer signed it.
///
/// The payload is kept as the text that was signed: to write a statement anew in exactly the same bytes, every version of
/// every program would have to order and escape alike for ever.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct SignedStatement {
    payload: String,
    key: PublicKey,
    signature: Signature,
}

/// 64 bytes, written as Base64.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
struct Signature([u8; 64]);

/// Why a statement is not followed.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Untrusted {
    /// Signed by somebody whom this node does not know.
    #[error(
        "the statement is signed with key {id}, which this node does not trust; if it is a deployer's, run \
         `spillway key trust PUBLICKEY` for this node"
    )]
    UnknownKey {
        /// The key.
        id: KeyId,
    },
    /// Signed by somebody who is trusted no more.
    #[error(
        "the statement is signed with key {id} (`{name}`), which was revoked; deploy again with a key that this node \
         trusts, which `spillway key ls` lists"
    )]
    Revoked {
        /// The key.
        id: KeyId,
        /// What it was called.
        name: String,
    },
    /// Changed since it was signed, or never signed with that key.
    #[error("the statement's signature is wrong: it was changed after key {id} signed it, or was not; deploy again")]
    BadSignature {
        /// The key that it names.
        id: KeyId,
    },
    /// Made for another cluster.
    #[error("the statement is for cluster `{found}`, and this is `{own}`; deploy to a node of `{found}`, or anew here")]
    WrongCluster {
        /// Its cluster.
        found: ClusterName,
        /// This cluster.
        own: ClusterName,
    },
    /// Written by another version.
    #[error("the statement has format {found}, and this node reads {known}; run the same version of spillway on both")]
    Format {
        /// Its format.
        found: u32,
        /// The one that this build reads.
        known: u32,
    },
    /// No statement at all.
    #[error("this is no signed statement: {0}; deploy again with this version of spillway")]
    Malformed(String),
}

impl SignedStatement {
    /// Signs a statement.
    pub fn sign(statement: &Statement, key: &DeployerKey) -> Self {
        let payload = serde_json::to_string(statement).expect("a statement has string keys only");
        let signature = Signature(key.sign(&message(&payload)));
        Self { payload, key: key.public(), signature }
    }

    /// Reads what [`to_bytes`](Self::to_bytes) writes. Nothing of it is believed yet.
    ///
    /// # Errors
    /// The bytes are too many or something else: [`Untrusted::Malformed`].
    pub fn from_bytes(bytes: &[u8]) -> Result<Self, Untrusted> {
        if bytes.len() > STATEMENT_BYTES_MAX {
            let detail = format!("it has {} bytes, and {STATEMENT_BYTES_MAX} are the most", bytes.len());
            return Err(Untrusted::Malformed(detail));
        }
        serde_json::from_slice(bytes).map_err(|error| Untrusted::Malformed(error.to_string()))
    }

    /// As JSON: `payload` with the statement's own JSON, `key` and `signature`.
    pub fn to_bytes(&self) -> Vec<u8> {
        serde_json::to_vec(self).expect("it has string keys only")
    }

    /// The key that it says it is signed with.
    pub fn key(&self) -> &PublicKey {
        &self.key
    }

    /// What it says, whoever says it: for listings and for what a node has verified before.
    ///
    /// # Errors
    /// The payload is of another format, or no statement.
    pub fn statement_unverified(&self) -> Result<Statement, Untrusted> {
        /// The one field that every format has; others may differ in all the rest.
        #[derive(Deserialize)]
        struct Header {
            format: u32,
        }
        let malformed = |error: serde_json::Error| Untrusted::Malformed(error.to_string());
        let Header { format } = serde_json::from_str(&self.payload).map_err(malformed)?;
        if format != STATEMENT_FORMAT {
            return Err(Untrusted::Format { found: format, known: STATEMENT_FORMAT });
        }
        serde_json::from_str(&self.payload).map_err(malformed)
    }

    /// What it says, if a trusted key signed exactly that for this cluster.
    ///
    /// Whether it is newer than what is known ([`is_newer`]) is for the caller to ask.
    ///
    /// # Errors
    /// Why not.
    pub fn verify(&self, cluster: &ClusterName, trusted: &TrustedKeys) -> Result<Statement, Untrusted> {
        let id = self.key.id();
        let key = trusted.get(&self.key).ok_or(Untrusted::UnknownKey { id })?;
        if key.revoked_at_ms.is_some() {
            return Err(Untrusted::Revoked { id, name: key.name.clone() });
        }
        if !key.key.verifies(&message(&self.payload), &self.signature.0) {
            return Err(Untrusted::BadSignature { id });
        }
        let statement = self.statement_unverified()?;
        if statement.cluster != *cluster {
            return Err(Untrusted::WrongCluster { found: statement.cluster, own: cluster.clone() });
        }
        Ok(statement)
    }

    /// Of all of it: decides between two statements of the same sequence. Nobody without the key can change it, because
    /// the strict rules leave one signature for each message that a key has signed.
    pub fn digest(&self) -> Digest {
        Digest::of(&self.to_bytes())
    }
}

/// Whether a statement replaces another one of the same function, each by its sequence and its digest.
///
/// Two deployers who did not see each other, as on both sides of a partition, sign the same sequence. All nodes then keep
/// the one with the greater digest, whichever they saw first.
pub fn is_newer(new: &(u64, Digest), old: &(u64, Digest)) -> bool {
    new > old
}

fn message(payload: &str) -> Vec<u8> {
    [DOMAIN, payload.as_bytes()].concat()
}

impl TryFrom<String> for Signature {
    type Error = String;

    fn try_from(text: String) -> Result<Self, Self::Error> {
        let bytes = STANDARD.decode(&text).ok().and_then(|bytes| bytes.try_into().ok());
        bytes.map(Self).ok_or_else(|| "the signature is not 64 bytes in Base64".to_owned())
    }
}

impl From<Signature> for String {
    fn from(signature: Signature) -> Self {
        STANDARD.encode(signature.0)
    }
}
