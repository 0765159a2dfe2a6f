//! `spillway.toml`: what a function is, needs and may do.

mod capabilities;
mod diagnostic;
mod parse;
mod placement;
mod section;
mod specialization;

use std::collections::BTreeMap;
use std::fmt::Write as _;

use serde::{Deserialize, Serialize};

pub use capabilities::{Capabilities, HttpGrants};
pub use diagnostic::{Diagnostic, ManifestError};

use crate::{Digest, FunctionName, Limits, ModelName, Placement, Residency, Route, Specialization};

/// The manifest format that this build reads and writes (`spillway = 1`).
pub const FORMAT_VERSION: i64 = 1;

/// A checked manifest.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Manifest {
    /// The function's name.
    pub name: FunctionName,
    /// The author's version, for people; revisions are told apart by digest.
    pub version: semver::Version,
    /// One line for listings.
    pub description: String,
    /// What happens if an invocation runs twice.
    pub effects: Effects,
    /// Where callers reach it.
    pub routes: Vec<Route>,
    /// What it may use.
    pub limits: Limits,
    /// How its sandboxes live.
    pub sandbox: SandboxPolicy,
    /// Which nodes of a cluster may run it, and how far the data of its calls may go.
    pub placement: Placement,
    /// The models that it may open, by the name it uses.
    pub models: BTreeMap<ModelName, ModelGrant>,
    /// What it may do beyond answering.
    pub capabilities: Capabilities,
    /// What `wasi:config` tells it.
    pub config: BTreeMap<String, String>,
}

/// What happens if an invocation runs twice.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Effects {
    /// Nothing outside the answer.
    None,
    /// The same as if it ran once.
    Idempotent,
    /// Something that may hurt; it is never run again by itself.
    Unsafe,
}

/// How the sandboxes of a function live.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct SandboxPolicy {
    /// Whether a sandbox serves further invocations after its first.
    pub reuse: bool,
    /// Invocations that one WASI 0.3 sandbox serves at once; a WASI 0.2 sandbox serves one at a time.
    pub concurrency: u32,
}

/// A model that a function may open.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ModelGrant {
    /// Which model. A source manifest may leave it out; `spillway build` writes it into the bundle.
    pub digest: Option<Digest>,
    /// The file to take it from, relative to the manifest; source manifests only.
    pub path: Option<String>,
    /// What is fixed about it before it is optimised.
    pub specialization: Specialization,
}

/// Where a manifest's text comes from, which decides what must be in it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Origin {
    /// `spillway.toml` beside the source: models may be given by path.
    Source,
    /// The section of a bundle: models are given by digest, and nothing points at files.
    Bundle,
}

impl Manifest {
    /// Reads and checks a manifest.
    ///
    /// # Errors
    /// All that is wrong with it, at once, each with its line.
    pub fn parse(text: &str, origin: Origin) -> Result<Self, ManifestError> {
        parse::parse(text, origin)
    }

    /// The manifest of a component that came without one: nothing granted, a fresh sandbox per request, calls stay on the
    /// node that takes them.
    pub fn plain(name: FunctionName, routes: Vec<Route>) -> Self {
        Self {
            name,
            version: semver::Version::new(0, 0, 0),
            description: String::new(),
            effects: Effects::Unsafe,
            routes,
            limits: Limits::default(),
            sandbox: SandboxPolicy { reuse: false, concurrency: 1 },
            placement: Placement { residency: Residency::Node, ..Placement::default() },
            models: BTreeMap::new(),
            capabilities: Capabilities::default(),
            config: BTreeMap::new(),
        }
    }

    /// The digests of all models that it grants. A bundle's manifest has one for each.
    pub fn model_digests(&self) -> Vec<Digest> {
        self.models.values().filter_map(|grant| grant.digest).collect()
    }

    /// Writes it as the text of a bundle: normalised, without file paths, the same bytes for the same meaning.
    pub fn to_bundle_toml(&self) -> String {
        let quote = |text: &str| toml::Value::String(text.to_owned()).to_string();
        let list = |items: &[String]| toml::Value::from(items.to_vec()).to_string();
        let mut out = format!(
            "spillway = {FORMAT_VERSION}\nname = {}\nversion = {}\ndescription = {}\neffects = {}\n",
            quote(self.name.as_str()),
            quote(&self.version.to_string()),
            quote(&self.description),
            quote(self.effects.as_str()),
        );
        let mut line = |text: String| {
            out.push_str(&text);
            out.push('\n');
        };
        for route in &self.routes {
            line(format!("\n[[routes]]\npath = {}", quote(&route.pattern.path)));
            if let Some(host) = &route.pattern.host {
                line(format!("host = {}", quote(host)));
            }
            if !route.methods.is_empty() {
                line(format!("methods = {}", list(&route.methods)));
            }
            if let Some(auth) = route.auth {
                line(format!("auth = {}", quote(auth.as_str())));
            }
        }
        let limits = &self.limits;
        line(format!(
            "\n[limits]\nmemory = \"{}B\"\ntensors = \"{}B\"\ndeadline = \"{}ms\"\nbody = \"{}B\"\nconcurrency = {}\nqueue = {}",
            limits.memory_bytes,
            limits.tensor_bytes,
            limits.deadline.as_millis(),
            limits.body_bytes,
            limits.concurrency,
            limits.queue,
        ));
        // Builds that know no such key read what does not need it.
        if limits.connections != Limits::default().connections {
            line(format!("connections = {}", limits.connections));
        }
        line(format!("\n[sandbox]\nreuse = {}\nconcurrency = {}", self.sandbox.reuse, self.sandbox.concurrency));
        placement::lines(&self.placement).into_iter().for_each(&mut line);
        for (name, grant) in &self.models {
            line(format!("\n[models.{name}]"));
            if let Some(digest) = grant.digest {
                line(format!("digest = \"{digest}\""));
            }
            specialization::lines(&grant.specialization).into_iter().for_each(&mut line);
        }
        capabilities::lines(&self.capabilities).into_iter().for_each(&mut line);
        if !self.config.is_empty() {
            out.push_str("\n[config]\n");
            for (key, value) in &self.config {
                let _ = writeln!(out, "{} = {}", quote(key), quote(value));
            }
        }
        out
    }
}

impl Effects {
    /// All values, as the manifest writes them.
    pub const NAMES: [&str; 3] = ["none", "idempotent", "unsafe"];

    /// The word in the manifest.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::None => "none",
            Self::Idempotent => "idempotent",
            Self::Unsafe => "unsafe",
        }
    }
}

impl Default for SandboxPolicy {
    /// That of SDK functions, which keep no state by accident: reuse, 16 invocations at once.
    fn default() -> Self {
        Self { reuse: true, concurrency: 16 }
    }
}
