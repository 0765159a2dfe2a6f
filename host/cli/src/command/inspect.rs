//! `spillway inspect`: all about one function, or one bundle file.

use std::path::Path;

use anyhow::Context as _;
use clap::Args;
use reqwest::Method;
use serde_json::json;
use spillway_types::api::{FunctionDetail, FunctionSummary};
use spillway_types::{Bundle, FunctionId, HttpGrants, Limits, Manifest, Origin, format_bytes};
use wasmparser::{Parser, Payload};

use crate::args::Global;
use crate::client::Client;
use crate::output;

/// Show all about a function on the node, or about a bundle file
///
/// What ends in `.wasm` is taken for a file; no node is needed for it.
#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  spillway inspect hello
  spillway inspect target/spillway/hello.wasm
  spillway inspect hello --json | jq .limits")]
pub(crate) struct Inspect {
    /// Name of the function, NAMESPACE/NAME, or a `.wasm` file
    #[arg(value_name = "NAME|FILE.wasm", value_parser = parse_subject)]
    subject: Subject,
}

#[derive(Clone, Debug)]
enum Subject {
    Function(FunctionId),
    File(std::path::PathBuf),
}

fn parse_subject(text: &str) -> Result<Subject, String> {
    if text.ends_with(".wasm") {
        return Ok(Subject::File(text.into()));
    }
    text.parse().map(Subject::Function).map_err(|error| format!("{error}; a bundle file ends in `.wasm`"))
}

impl Inspect {
    pub(crate) async fn run(self, global: &Global) -> anyhow::Result<()> {
        match &self.subject {
            Subject::File(path) => inspect_file(path, global.json),
            Subject::Function(id) => inspect_function(id, global).await,
        }
    }
}

async fn inspect_function(id: &FunctionId, global: &Global) -> anyhow::Result<()> {
    let client = Client::new(global)?;
    let detail: FunctionDetail = client.json(client.function(Method::GET, id, &[])).await?;
    if global.json {
        return output::json(&detail);
    }
    let summary = &detail.summary;
    let models: Vec<String> = detail.models.iter().map(|model| format!("{} {}", model.name, model.digest)).collect();
    let text = output::fields(&[
        ("function", format!("{}/{}", summary.namespace, summary.name)),
        ("description", summary.description.clone()),
        ("version", summary.version.clone()),
        ("revision", summary.revision.to_string()),
        ("state", state(summary)),
        ("routes", or_none(&summary.routes.iter().map(output::route).collect::<Vec<_>>())),
        ("interface", detail.interface.clone()),
        ("effects", detail.effects.as_str().to_owned()),
        ("limits", describe_limits(&detail.limits)),
        ("sandbox", describe_sandbox(detail.sandbox)),
        ("sandboxes", summary.sandboxes.to_string()),
        ("calls", summary.invocations.to_string()),
        ("models", or_none(&models)),
        ("keyvalue", or_none(&detail.keyvalue)),
        ("http", or_none(&origins(&detail.http, &detail.http_private))),
        ("imports", or_none(&detail.imports)),
        ("bundle", detail.bundle.to_string()),
    ]);
    let mut revisions = output::table(&["REVISION", "VERSION", "DEPLOYED", "BUNDLE", ""]);
    for revision in &detail.revisions {
        revisions.add_row([
            revision.number.to_string(),
            revision.version.clone(),
            revision.created_at.clone(),
            revision.bundle.short(),
            if revision.active { "serving".to_owned() } else { String::new() },
        ]);
    }
    let mut parts = vec![text];
    if !detail.revisions.is_empty() {
        parts.push(revisions.trim_fmt());
    }
    if !detail.whereabouts.is_empty() {
        let mut nodes = output::table(&["NODE", "REVISION", "STATE"]);
        for there in &detail.whereabouts {
            let revision = there.revision.map_or_else(|| "-".to_owned(), |number| number.to_string());
            nodes.add_row([
                there.node.to_string(),
                revision,
                there.fault.clone().unwrap_or_else(|| "serving".to_owned()),
            ]);
        }
        parts.push(nodes.trim_fmt());
    }
    Ok(output::line(parts.join("\n\n"))?)
}

/// `serving`, or what is against it.
fn state(summary: &FunctionSummary) -> String {
    match (&summary.fault, &summary.elsewhere) {
        (Some(fault), _) => fault.clone(),
        (None, Some(reason)) => format!("on other nodes: {reason}"),
        (None, None) => "serving".to_owned(),
    }
}

fn inspect_file(path: &Path, as_json: bool) -> anyhow::Result<()> {
    let name = path.display();
    let bytes = std::fs::read(path).with_context(|| format!("{name} cannot be read"))?;
    let bundle = Bundle::read(&bytes).with_context(|| name.to_string())?;
    let component = bundle.component();
    let (imports, exports) = interfaces(&component).with_context(|| format!("{name} is damaged; build it again"))?;
    let manifest = bundle.manifest().map(|text| Manifest::parse(text, Origin::Bundle)).transpose();
    let manifest = manifest.with_context(|| format!("the manifest in {name}"))?;
    let embedded: Vec<String> = bundle
        .models()
        .iter()
        .map(|(digest, model)| format!("{digest} ({})", format_bytes(model.len() as u64)))
        .collect();
    if as_json {
        return output::json(&json!({
            "bytes": bytes.len(),
            "component_bytes": component.len(),
            "manifest": bundle.manifest(),
            "embedded_models": bundle.models().iter().map(|(digest, _)| digest).collect::<Vec<_>>(),
            "imports": imports,
            "exports": exports,
        }));
    }
    let mut fields = vec![("file", format!("{name} ({})", format_bytes(bytes.len() as u64)))];
    match &manifest {
        Some(manifest) => fields.extend(describe_manifest(manifest)),
        None => fields.push(("manifest", "none; deploy it with --name and --route".to_owned())),
    }
    fields.extend([
        ("embedded", or_none(&embedded)),
        ("component", format_bytes(component.len() as u64)),
        ("imports", imports.join("\n")),
        ("exports", exports.join("\n")),
    ]);
    Ok(output::line(output::fields(&fields))?)
}

fn describe_manifest(manifest: &Manifest) -> Vec<(&'static str, String)> {
    let models = manifest.models.iter().map(|(name, grant)| match grant.digest {
        Some(digest) => format!("{name} {digest}"),
        None => name.to_string(),
    });
    let models: Vec<String> = models.collect();
    let http = &manifest.capabilities.http;
    vec![
        ("function", manifest.name.to_string()),
        ("description", manifest.description.clone()),
        ("version", manifest.version.to_string()),
        ("routes", manifest.routes.iter().map(output::route).collect::<Vec<_>>().join("\n")),
        ("effects", manifest.effects.as_str().to_owned()),
        ("limits", describe_limits(&manifest.limits)),
        ("sandbox", describe_sandbox(manifest.sandbox)),
        ("models", or_none(&models)),
        ("keyvalue", or_none(&manifest.capabilities.keyvalue)),
        ("http", or_none(&origins(&HttpGrants::names(&http.public), &HttpGrants::names(&http.private)))),
        // Values may be long, or nobody else's business.
        ("config", or_none(&manifest.config.keys().cloned().collect::<Vec<_>>())),
    ]
}

fn or_none(items: &[String]) -> String {
    if items.is_empty() { "none".to_owned() } else { items.join("\n") }
}

/// Where it may send requests.
fn origins(public: &[String], private: &[String]) -> Vec<String> {
    let private = private.iter().map(|origin| format!("{origin} (at private addresses, too)"));
    public.iter().cloned().chain(private).collect()
}

fn describe_limits(limits: &Limits) -> String {
    format!(
        "memory {}, tensors {}, body {}, deadline {}, {} at once, {} waiting",
        format_bytes(limits.memory_bytes),
        format_bytes(limits.tensor_bytes),
        format_bytes(limits.body_bytes),
        output::seconds(limits.deadline.as_secs_f64()),
        limits.concurrency,
        limits.queue,
    )
}

fn describe_sandbox(policy: spillway_types::SandboxPolicy) -> String {
    match policy.reuse {
        true => format!("reused, {} calls at once", policy.concurrency),
        false => "fresh for each call".to_owned(),
    }
}

/// The names that a component imports and exports at its top level.
fn interfaces(component: &[u8]) -> Result<(Vec<String>, Vec<String>), wasmparser::BinaryReaderError> {
    let (mut imports, mut exports) = (Vec::new(), Vec::new());
    let mut depth = 0;
    for payload in Parser::new(0).parse_all(component) {
        match payload? {
            Payload::ModuleSection { .. } | Payload::ComponentSection { .. } => depth += 1,
            // The last `End` is that of the component itself.
            Payload::End(_) if depth > 0 => depth -= 1,
            Payload::ComponentImportSection(section) if depth == 0 => {
                for import in section {
                    imports.push(import?.name.name.to_owned());
                }
            }
            Payload::ComponentExportSection(section) if depth == 0 => {
                for export in section {
                    exports.push(export?.name.name.to_owned());
                }
            }
            _ => {}
        }
    }
    Ok((imports, exports))
}
