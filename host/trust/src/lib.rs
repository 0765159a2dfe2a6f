//! Who may say what in a cluster: deployers sign what shall run, certificates say which node is which.
//!
//! | module | what |
//! | --- | --- |
//! | `keys` | a deployer's key pair and its public half |
//! | `trusted` | the public keys that a node believes, and those that it believes no more |
//! | `signed` | a statement with its signature |
//! | `authority` | the authority of a cluster, which issues certificates to nodes |
//! | `certificate` | what a certificate says |
//! | `identity` | a node's certificate, key and roots, read from files and checked |
//! | `tls` | TLS between nodes, both ends with certificates |
//! | `server` | TLS for callers, with a certificate that follows its files |
//! | `token` | what callers show |
//! | `reload` | an identity that follows its files |
//! | `secret` | files that only their owner may read |
//!
//! Nothing here opens a socket. `docs/decisions/0011-trust.md` says why it is as it is.

mod authority;
mod certificate;
mod identity;
mod keys;
mod reload;
mod secret;
mod server;
mod signed;
mod tls;
mod token;
mod trusted;

pub use authority::{Authority, AuthorityError, IssuedIdentity, Validity};
pub use certificate::{Certificate, CertificateError, peer_identity};
pub use identity::{Identity, IdentityError, IdentityFiles};
pub use keys::{DeployerKey, KeyError, KeyId, ParseKeyError, PublicKey};
pub use reload::ReloadingIdentity;
/// A host name or an IP address, as rustls has it.
pub use rustls::pki_types::ServerName;
pub use secret::{FileError, read_bounded, read_secret, write_new, write_secret};
pub use server::{ServerTls, TlsError, TlsFiles};
pub use signed::{STATEMENT_BYTES_MAX, SignedStatement, Untrusted, is_newer};
pub use tls::{key_log_file, server_name};
pub use token::new_token;
pub use trusted::{TrustError, TrustedKey, TrustedKeys};
