//! `spillway build`: makes bundles.

use std::path::{Path, PathBuf};

use anyhow::Context as _;
use clap::Args;
use serde::Serialize;
use spillway_types::{Bundle, Digest, FunctionName, Manifest, format_bytes};

use crate::args::Global;
use crate::build::{ModelFiles, Source, compile, manifest_in, resolve};
use crate::failure::Failure;
use crate::output;

/// Build functions into bundles, one `.wasm` file each
///
/// Reads `spillway.toml` beside `Cargo.toml`, compiles the crate for wasm32-wasip2, puts the manifest into the file, with
/// each model by its digest, and notes beside it where the models are, for `spillway deploy`.
#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  spillway build                                   the crate in this folder
  spillway build functions/hello functions/sniff   several; what they share is compiled once
  spillway build --bundle-models --out sniff.wasm  one file that carries its models
  spillway build --component app.wasm              a component made by another toolchain, with the spillway.toml here")]
pub(crate) struct Build {
    /// Folders of crates with a spillway.toml
    #[arg(value_name = "PATH", default_value = ".")]
    paths: Vec<PathBuf>,
    /// A component made by another toolchain, instead of a crate: PATH is the folder of its spillway.toml
    #[arg(long, value_name = "FILE")]
    component: Option<PathBuf>,
    /// Put the models into the bundle instead of noting where they are
    #[arg(long)]
    bundle_models: bool,
    /// Where to write the bundle [default: target/spillway/NAME.wasm in the workspace]
    #[arg(long, short, value_name = "FILE")]
    out: Option<PathBuf>,
    /// Folder for what is made: bundles in `spillway`, Cargo's own files in `guests` [default: Cargo's target folder]
    #[arg(long, value_name = "DIR")]
    target_dir: Option<PathBuf>,
}

/// What `--json` says of a bundle.
#[derive(Serialize)]
struct Built {
    name: FunctionName,
    bundle: PathBuf,
    bytes: u64,
    digest: Digest,
    models: Vec<Digest>,
    bundled_models: bool,
}

impl Build {
    pub(crate) async fn run(self, global: &Global) -> anyhow::Result<()> {
        if self.out.is_some() && self.paths.len() > 1 {
            return Err(Failure::Usage("--out names one file; build one function with it".to_owned()).into());
        }
        if self.component.is_some() && self.paths.len() > 1 {
            return Err(Failure::Usage("--component names one file; build one function with it".to_owned()).into());
        }
        let json = global.json;
        // Hashing and compiling block, and would hold up a thread that others need.
        let built = tokio::task::spawn_blocking(move || self.build()).await??;
        if json {
            return output::json(&built);
        }
        for bundle in &built {
            output::line(format!("built {} ({})", bundle.bundle.display(), format_bytes(bundle.bytes)))?;
        }
        let next: Vec<String> =
            built.iter().map(|bundle| format!("  spillway deploy {}", bundle.bundle.display())).collect();
        Ok(output::line(format!("next:\n{}", next.join("\n")))?)
    }

    fn build(self) -> anyhow::Result<Vec<Built>> {
        if let Some(component) = &self.component {
            let folder = &self.paths[0];
            let mut manifest = manifest_in(folder)?;
            let models = resolve(&mut manifest, folder)?;
            return Ok(vec![self.bundle(&manifest, &models, component, Path::new("target"))?]);
        }
        let mut sources = Source::read_all(&self.paths)?;
        let mut models = Vec::new();
        for source in &mut sources {
            models.push(resolve(&mut source.manifest, &source.folder)?);
        }
        let compiled = compile(&sources, self.target_dir.as_deref())?;
        let bundle = |(source, models): (&Source, &ModelFiles)| {
            self.bundle(&source.manifest, models, &compiled[&source.package.id], source.target.as_std_path())
        };
        sources.iter().zip(&models).map(bundle).collect()
    }

    /// Writes one bundle: below `target` unless an option says where.
    fn bundle(
        &self,
        manifest: &Manifest,
        models: &ModelFiles,
        component: &Path,
        target: &Path,
    ) -> anyhow::Result<Built> {
        let bytes = std::fs::read(component).with_context(|| format!("{} cannot be read", component.display()))?;
        let bytes = write_bundle(&bytes, manifest, models, self.bundle_models)
            .with_context(|| component.display().to_string())?;
        let out = self.out.clone().unwrap_or_else(|| {
            let target = self.target_dir.as_deref().unwrap_or(target);
            target.join("spillway").join(format!("{}.wasm", manifest.name))
        });
        write_whole(&out, &bytes).with_context(|| format!("{} cannot be written", out.display()))?;
        models.write_beside(&out)?;
        Ok(Built {
            name: manifest.name.clone(),
            bytes: bytes.len() as u64,
            digest: Digest::of(&bytes),
            models: manifest.model_digests(),
            bundled_models: self.bundle_models,
            bundle: shorten(out),
        })
    }
}

fn write_bundle(component: &[u8], manifest: &Manifest, models: &ModelFiles, embed: bool) -> anyhow::Result<Vec<u8>> {
    let mut embedded = Vec::new();
    for (_, path) in models.iter().filter(|_| embed) {
        embedded.push(std::fs::read(path).with_context(|| format!("{} cannot be read", path.display()))?);
    }
    let parts: Vec<&[u8]> = embedded.iter().map(Vec::as_slice).collect();
    Ok(Bundle::write(component, &manifest.to_bundle_toml(), &parts)?)
}

/// Writes a file so that nobody sees half of it: a deploy may read it at this moment.
fn write_whole(path: &Path, bytes: &[u8]) -> std::io::Result<()> {
    if let Some(folder) = path.parent() {
        std::fs::create_dir_all(folder)?;
    }
    let part = path.with_extension(format!("part-{}", std::process::id()));
    std::fs::write(&part, bytes)?;
    std::fs::rename(part, path)
}

/// A path below the current folder as people would type it.
fn shorten(path: PathBuf) -> PathBuf {
    let here = std::env::current_dir().ok();
    here.and_then(|here| path.strip_prefix(here).ok().map(Path::to_owned)).unwrap_or(path)
}
