//! The words of Spillway: what every layer agrees on, and nothing that runs.
//!
//! | module | what |
//! | --- | --- |
//! | `digest` | SHA-256 names of blobs |
//! | `name`, `route` | names and routes that people give |
//! | `place` | where a node stands and how far data may travel |
//! | `statement` | desired state of a function, as a deployer signs it |
//! | `manifest` | `spillway.toml`, parsed and checked |
//! | `bundle` | one `.wasm` file: component, manifest, models |
//! | `dtype`, [`operator`] | element types of tensors, and native operators as data |
//! | `specialization` | how a model is fitted to one use |
//! | `http_grant` | origins that a function may send requests to, and which addresses are public |
//! | `limits`, `outcome`, `problem` | what a call may use, how it ends, what its caller hears |
//! | `audit` | what is remembered of refusals |
//! | `quota` | what a namespace may take of a node |
//! | `bill`, `money` | what a call took and what that costs |
//! | [`api`] | the JSON of the control API |

pub mod api;
mod audit;
mod bill;
mod bundle;
mod caller;
mod digest;
mod dtype;
pub mod graph;
mod http_grant;
mod limits;
mod manifest;
mod money;
mod name;
pub mod operator;
mod outcome;
mod place;
mod problem;
mod quota;
mod route;
mod specialization;
mod statement;

pub use audit::{AuditKind, ParseAuditKindError};
pub use bill::Bill;
pub use bundle::{Bundle, BundleError};
pub use caller::{Callable, Caller, Callers};
pub use digest::{Digest, DigestHasher, ParseDigestError};
pub use dtype::DType;
pub use http_grant::{HttpGrant, is_public};
pub use limits::{Limits, format_bytes, parse_bytes, parse_duration};
pub use manifest::{
    Capabilities, Diagnostic, Effects, FORMAT_VERSION, HttpGrants, Manifest, ManifestError, ModelGrant, Origin,
    SandboxPolicy,
};
pub use money::{Money, ParseMoneyError};
pub use name::{
    CallerName, ClusterName, FunctionId, FunctionName, ModelName, Namespace, NodeName, ParseNameError, Region, Site,
};
pub use outcome::Outcome;
pub use place::{NodeIdentity, ParseIdentityError, Placement, Prefer, Priority, Residency, Role};
pub use problem::{Problem, ProblemType};
pub use quota::{NamespaceQuota, Quota};
pub use route::{Auth, Route, RoutePattern};
pub use specialization::{Scalar, Specialization};
pub use statement::{Desired, Release, STATEMENT_FORMAT, Statement};
