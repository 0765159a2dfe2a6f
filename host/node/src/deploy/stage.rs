//! The first half of a deployment: everything before compilation.

use std::collections::BTreeMap;
use std::time::SystemTime;

use spillway_inference::ModelSource;
use spillway_types::{
    Bundle, Digest, Effects, FunctionId, FunctionName, Manifest, ModelName, Namespace, Origin, Problem, ProblemType,
    Route, RoutePattern,
};

use super::problem::{blob_problem, bundle_problem, commit_problem, host_problem, store_problem};
use crate::node::Node;

/// What a deployment of a component without a manifest must say.
#[derive(Debug, Default)]
pub(crate) struct DeployOptions {
    pub(crate) namespace: Namespace,
    pub(crate) name: Option<FunctionName>,
    pub(crate) routes: Vec<RoutePattern>,
    pub(crate) effects: Option<Effects>,
}

/// What was read from the bundle.
struct Parts {
    manifest: Manifest,
    component: Vec<u8>,
    /// What the node keeps: component and manifest.
    stored: Vec<u8>,
}

/// A checked bundle whose blobs are all in the store.
pub(super) struct Staged {
    pub(super) id: FunctionId,
    pub(super) manifest: Manifest,
    pub(super) component: Vec<u8>,
    pub(super) bundle: Digest,
    pub(super) models: BTreeMap<ModelName, ModelSource>,
}

impl Node {
    /// Everything before compilation. Blocks on the disk.
    pub(super) fn stage(&self, bytes: &[u8], options: DeployOptions) -> Result<Staged, Problem> {
        let bundle = Bundle::read(bytes).map_err(|error| bundle_problem(&error))?;
        let namespace = options.namespace.clone();
        let parts = read_parts(&bundle, options)?;
        let id = FunctionId::new(namespace, parts.manifest.name.clone());
        let patterns: Vec<RoutePattern> = parts.manifest.routes.iter().map(|route| route.pattern.clone()).collect();
        self.store.check_routes(&id, &patterns).map_err(|error| commit_problem(&error))?;
        for (digest, model) in bundle.models() {
            self.keep(model, *digest)?;
        }
        let models = self.granted_models(&parts.manifest)?;
        let Parts { manifest, component, stored } = parts;
        let digest = Digest::of(&stored);
        self.keep(&stored, digest)?;
        Ok(Staged { id, manifest, component, bundle: digest, models })
    }

    /// Writes a blob unless it is there.
    fn keep(&self, bytes: &[u8], digest: Digest) -> Result<(), Problem> {
        let blobs = self.store.blobs();
        let written = || -> Result<(), spillway_cluster::BlobError> {
            if blobs.renew(&digest, SystemTime::now())? {
                return Ok(());
            }
            let mut writer = blobs.begin()?;
            writer.write(bytes)?;
            writer.finish(Some(digest)).map(|_| ())
        };
        written().map_err(|error| blob_problem(&error))
    }

    /// Digest and file of each model that the manifest grants, all of which must be here.
    pub(super) fn granted_models(&self, manifest: &Manifest) -> Result<BTreeMap<ModelName, ModelSource>, Problem> {
        let blobs = self.store.blobs();
        let mut granted = BTreeMap::new();
        let (mut errors, mut missing) = (Vec::new(), Vec::new());
        for (name, grant) in &manifest.models {
            let digest = grant.digest.ok_or_else(|| host_problem("a checked manifest lacks a digest"))?;
            if !blobs.renew(&digest, SystemTime::now()).map_err(|fault| store_problem(&fault))? {
                errors.push(format!(
                    "model \"{name}\" ({digest}) is not on this node; upload it with PUT /api/v1/blobs/{digest}, or build with --bundle-models"
                ));
                missing.push(digest);
            }
            let specialization = grant.specialization.clone();
            granted.insert(name.clone(), ModelSource { digest, specialization, file: blobs.path(&digest) });
        }
        if errors.is_empty() {
            return Ok(granted);
        }
        let mut problem = Problem::new(ProblemType::MissingModel, errors.join("; "));
        problem.missing = missing;
        Err(problem)
    }
}

fn read_parts(bundle: &Bundle<'_>, options: DeployOptions) -> Result<Parts, Problem> {
    let component = bundle.component();
    if let Some(text) = bundle.manifest() {
        let manifest = Manifest::parse(text, Origin::Bundle).map_err(|error| {
            let count = error.diagnostics.len();
            let mut problem = Problem::new(ProblemType::InvalidManifest, format!("the manifest has {count} errors"));
            problem.errors = error.diagnostics.iter().map(ToString::to_string).collect();
            problem
        })?;
        return Ok(Parts { manifest, component, stored: bundle.without_models() });
    }
    let Some(name) = options.name else {
        let detail = "the component has no manifest; build it with `spillway build`, or give --name and --route";
        return Err(Problem::new(ProblemType::InvalidManifest, detail));
    };
    if options.routes.is_empty() {
        let detail = format!("the component has no manifest; give --route, as in `--route /{name}`");
        return Err(Problem::new(ProblemType::InvalidManifest, detail));
    }
    let mut manifest = Manifest::plain(name, plain_routes(&options.routes));
    if let Some(effects) = options.effects {
        manifest.effects = effects;
    }
    Ok(Parts { manifest, stored: component.clone(), component })
}

/// Routes that take every method.
pub(super) fn plain_routes(patterns: &[RoutePattern]) -> Vec<Route> {
    patterns.iter().map(|pattern| Route { pattern: pattern.clone(), methods: Vec::new(), auth: None }).collect()
}
