//! `spillway deploy`: puts a bundle on the node.

use std::io::Cursor;
use std::path::{Path, PathBuf};
use std::time::Instant;

use anyhow::Context as _;
use clap::Args;
use reqwest::header::CONTENT_TYPE;
use reqwest::{Method, StatusCode, Url};
use spillway_types::api::{BlobReceipt, Deployment};
use spillway_types::{
    Bundle, Desired, Digest, Effects, FunctionId, FunctionName, Manifest, Namespace, Origin, Release, Route,
    RoutePattern, format_bytes,
};

use crate::args::Global;
use crate::build::ModelFiles;
use crate::client::{Client, with_body};
use crate::failure::Failure;
use crate::signing::{Key, Signing};
use crate::{output, progress};

/// Deploy a bundle: upload what the node lacks, then switch to the new revision in one step
///
/// If anything fails, the revision before goes on serving. Models are taken from the places that `spillway build` noted
/// in NAME.models.json beside the bundle. A component of any language that answers `wasi:http` deploys without a
/// manifest, too: give it a name and a route.
#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  spillway deploy target/spillway/hello.wasm
  spillway deploy sniff.wasm --model magika=models/magika.onnx
  spillway deploy app.wasm --name app --route /app --route '/app/*'
  spillway --node http://edge-7:3001 deploy hello.wasm --namespace shop")]
pub(crate) struct Deploy {
    /// The `.wasm` file
    #[arg(value_name = "BUNDLE")]
    bundle: PathBuf,
    /// Namespace to deploy into
    #[arg(long, env = "SPILLWAY_NAMESPACE", default_value_t, value_name = "NAME")]
    namespace: Namespace,
    /// Name for a component without a manifest
    #[arg(long, value_name = "NAME")]
    name: Option<FunctionName>,
    /// Path for a component without a manifest; may be given several times
    #[arg(long = "route", value_name = "PATH", value_parser = parse_route)]
    routes: Vec<String>,
    /// What happens if a component without a manifest runs twice: none, idempotent or unsafe [default: unsafe]
    #[arg(long, value_name = "EFFECTS", value_parser = spillway_types::Effects::NAMES)]
    effects: Option<String>,
    /// Where a model's file is, by the model's name or digest; may be given several times
    #[arg(long = "model", value_name = "NAME|DIGEST=FILE", value_parser = parse_model)]
    models: Vec<(String, PathBuf)>,
    #[command(flatten)]
    key: Key,
}

fn parse_route(text: &str) -> Result<String, String> {
    RoutePattern::check_path(text).map(|()| text.to_owned())
}

fn parse_model(text: &str) -> Result<(String, PathBuf), String> {
    match text.split_once('=') {
        Some((model, file)) if !model.is_empty() && !file.is_empty() => Ok((model.to_owned(), file.into())),
        _ => Err(format!("`{text}` does not say which file a model is in; write `--model NAME=FILE`")),
    }
}

/// A model that the bundle names and does not carry.
struct Needed {
    name: String,
    digest: Digest,
}

impl Deploy {
    pub(crate) async fn run(self, global: &Global) -> anyhow::Result<()> {
        let start = Instant::now();
        let path = self.bundle.display().to_string();
        let bytes = tokio::fs::read(&self.bundle)
            .await
            .with_context(|| format!("{path} cannot be read; give the `.wasm` file that `spillway build` wrote"))?;
        let needed = self.check(&path, &bytes)?;
        let client = Client::new(global)?;
        let files = ModelFiles::beside(&self.bundle)?;
        for model in &needed {
            self.provide(&client, model, &files).await?;
        }
        let deployment = match self.key.for_node(&client).await? {
            Some(signing) => self.sign(&client, &signing, &bytes).await?,
            None => self.post(&client, bytes).await?,
        };
        if global.json {
            return output::json(&deployment);
        }
        describe(&deployment, &client.data_plane(&deployment.listen)?, start.elapsed().as_secs_f64())
    }

    /// Finds what is wrong without asking the node; gives the models that have to be there.
    fn check(&self, path: &str, bytes: &[u8]) -> anyhow::Result<Vec<Needed>> {
        let bundle = Bundle::read(bytes).with_context(|| path.to_owned())?;
        let Some(text) = bundle.manifest() else {
            if self.name.is_none() || self.routes.is_empty() {
                let message = format!("{path} has no manifest; say what it is with --name NAME --route /PATH");
                return Err(Failure::Usage(message).into());
            }
            return Ok(Vec::new());
        };
        if self.name.is_some() || !self.routes.is_empty() || self.effects.is_some() {
            let message = format!("{path} has a manifest, which names it; leave out --name, --route and --effects");
            return Err(Failure::Usage(message).into());
        }
        let manifest = Manifest::parse(text, Origin::Bundle).map_err(|error| {
            Failure::Many(error.diagnostics.iter().map(|diagnostic| format!("{path}: {diagnostic}")).collect())
        })?;
        let embedded = |digest: &Digest| bundle.models().iter().any(|(there, _)| there == digest);
        let mut needed: Vec<Needed> = Vec::new();
        for (name, grant) in &manifest.models {
            if let Some(digest) = grant.digest.filter(|digest| !embedded(digest))
                && needed.iter().all(|model| model.digest != digest)
            {
                needed.push(Needed { name: name.to_string(), digest });
            }
        }
        Ok(needed)
    }

    /// Uploads a model unless the node has it.
    async fn provide(&self, client: &Client, model: &Needed, files: &ModelFiles) -> anyhow::Result<()> {
        let digest = model.digest.to_string();
        let head = client.send_any(client.request(Method::HEAD, &["blobs", &digest]).build()?).await?;
        match head.status() {
            StatusCode::OK => return Ok(()),
            StatusCode::NOT_FOUND => {}
            // An answer to HEAD says nothing more; the same request as GET would be no better.
            StatusCode::UNAUTHORIZED => {
                let detail = "the node demands a token; set SPILLWAY_TOKEN to the one that it was started with";
                let problem = spillway_types::Problem::new(spillway_types::ProblemType::Unauthorized, detail);
                return Err(Failure::Refused(Box::new(problem)).into());
            }
            status => anyhow::bail!("the node answered {status} when asked for the model {digest}"),
        }
        let given = self.models.iter().find(|(key, _)| *key == model.name || *key == digest).map(|(_, file)| file);
        let remedy = format!(
            "give its file with --model {}=FILE, or embed it with `spillway build --bundle-models`",
            model.name
        );
        let Some(file) = given.map(PathBuf::as_path).or_else(|| files.get(&model.digest)) else {
            anyhow::bail!(
                "the node lacks the model \"{}\" ({digest}), and {} does not say where it is; {remedy}",
                model.name,
                files.path().display()
            );
        };
        let length = check_file(model, file, &remedy).await?;
        let bar = progress::bytes(format!("model {}", model.name), length);
        let opened = tokio::fs::File::open(file).await.with_context(|| file.display().to_string())?;
        let request = with_body(client.request(Method::PUT, &["blobs", &digest]), opened, length, &bar);
        let _: BlobReceipt = client.json(request).await?;
        bar.finish_and_clear();
        eprintln!("uploaded model {} ({})", model.name, format_bytes(length));
        Ok(())
    }

    /// Uploads the bundle by its digest, then says in a signed statement that it shall serve.
    async fn sign(&self, client: &Client, signing: &Signing<'_>, bytes: &[u8]) -> anyhow::Result<Deployment> {
        let bundle = Bundle::read(bytes)?;
        let (manifest, stored) = match bundle.manifest() {
            Some(text) => (Manifest::parse(text, Origin::Bundle)?, bundle.without_models()),
            None => (self.plain_manifest()?, bundle.component()),
        };
        let id = FunctionId::new(self.namespace.clone(), manifest.name.clone());
        let draft = signing.draft(&id, None).await?;
        let digest = Digest::of(&stored);
        let release = Release {
            revision: draft.revision,
            bundle: digest,
            manifest: manifest.to_bundle_toml(),
            owner: (!manifest.capabilities.keyvalue.is_empty()).then(|| draft.owner.clone()),
        };
        if let Some(serving) = &draft.serving
            && (serving.bundle, &serving.manifest) == (release.bundle, &release.manifest)
        {
            return Ok(Deployment {
                namespace: id.namespace,
                name: id.name,
                revision: serving.revision,
                previous: Some(serving.revision),
                bundle: digest,
                unchanged: true,
                routes: manifest.routes,
                listen: client.status().await?.listen,
                compile_seconds: 0.0,
                compile_cached: true,
            });
        }
        for (digest, model) in bundle.models() {
            upload(client, "embedded model", *digest, model.to_vec()).await?;
        }
        upload(client, "bundle", digest, stored).await?;
        let bar = progress::waiting("checked, compiled, tried");
        let published = signing.publish(&id, &draft, Desired::Serve(release)).await;
        bar.finish_and_clear();
        published?.context("the node did not say what serves now; see `spillway inspect`")
    }

    /// The manifest of a component that has none, from the command line.
    fn plain_manifest(&self) -> anyhow::Result<Manifest> {
        let name = self.name.clone().context("the component has no manifest; say what it is with --name")?;
        let route = |path: &String| Route {
            pattern: RoutePattern { host: None, path: path.clone() },
            methods: Vec::new(),
            auth: None,
        };
        let mut manifest = Manifest::plain(name, self.routes.iter().map(route).collect());
        match self.effects.as_deref() {
            Some("none") => manifest.effects = Effects::None,
            Some("idempotent") => manifest.effects = Effects::Idempotent,
            _ => {}
        }
        Ok(manifest)
    }

    async fn post(&self, client: &Client, bytes: Vec<u8>) -> anyhow::Result<Deployment> {
        let length = bytes.len() as u64;
        let bar = progress::bytes("upload, then compile", length);
        let request = client.request(Method::POST, &["functions"]).header(CONTENT_TYPE, "application/wasm");
        let mut request = with_body(request, Cursor::new(bytes), length, &bar).build()?;
        self.put_query(request.url_mut());
        let response = client.send_built(request).await;
        bar.finish_and_clear();
        response?.json().await.context("the node's answer is not that of this version; check the node's version")
    }

    fn put_query(&self, url: &mut Url) {
        let mut query = url.query_pairs_mut();
        query.append_pair("namespace", self.namespace.as_str());
        if let Some(name) = &self.name {
            query.append_pair("name", name.as_str());
        }
        for route in &self.routes {
            query.append_pair("route", route);
        }
        if let Some(effects) = &self.effects {
            query.append_pair("effects", effects);
        }
    }
}

/// Uploads a blob unless the node has it.
async fn upload(client: &Client, what: &'static str, digest: Digest, bytes: Vec<u8>) -> anyhow::Result<()> {
    let name = digest.to_string();
    let head = client.send_any(client.request(Method::HEAD, &["blobs", &name]).build()?).await?;
    if head.status() == StatusCode::OK {
        return Ok(());
    }
    let length = bytes.len() as u64;
    let bar = progress::bytes(what, length);
    let request = with_body(client.request(Method::PUT, &["blobs", &name]), Cursor::new(bytes), length, &bar);
    let sent = client.json::<BlobReceipt>(request).await;
    bar.finish_and_clear();
    sent.map(drop)
}

/// The file's length, once it is what the bundle names.
async fn check_file(model: &Needed, file: &Path, remedy: &str) -> anyhow::Result<u64> {
    let path = file.to_owned();
    let hashed = tokio::task::spawn_blocking(move || crate::build::hash_file(&path)).await?;
    let (actual, length) = match hashed {
        Ok(hashed) => hashed,
        Err(error) => anyhow::bail!(
            "the model \"{}\" ({}) is not at {}: {error}; {remedy}",
            model.name,
            model.digest,
            file.display()
        ),
    };
    anyhow::ensure!(
        actual == model.digest,
        "{} has the digest {actual}, but the bundle's model \"{}\" is {}; {remedy}, or build the bundle again",
        file.display(),
        model.name,
        model.digest,
    );
    Ok(length)
}

fn describe(deployment: &Deployment, data_plane: &Url, seconds: f64) -> anyhow::Result<()> {
    let id = format!("{}/{}", deployment.namespace, deployment.name);
    let compiled = match (deployment.compile_cached, deployment.compile_seconds > 0.0) {
        (true, true) => ", code from the cache".to_owned(),
        // Another node compiles it.
        (true, false) => String::new(),
        (false, _) => format!(", compiled in {}", output::seconds(deployment.compile_seconds)),
    };
    output::line(match (deployment.unchanged, deployment.previous) {
        (true, _) => format!("{id} serves exactly this already, as revision {}", deployment.revision),
        (false, previous) => format!(
            "{id} serves revision {}{} after {}{compiled}",
            deployment.revision,
            previous.map(|previous| format!(" (was {previous})")).unwrap_or_default(),
            output::seconds(seconds),
        ),
    })?;
    for route in &deployment.routes {
        let authority = route.pattern.host.as_deref().unwrap_or(data_plane.authority());
        let methods = if route.methods.is_empty() { "any".to_owned() } else { route.methods.join(",") };
        output::line(format!("  {methods:8} http://{authority}{}", route.pattern.path))?;
    }
    Ok(())
}
