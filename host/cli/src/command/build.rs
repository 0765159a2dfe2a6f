//! `spillway build`: makes bundles.

use std::path::{Path, PathBuf};

use anyhow::Context as _;
use clap::Args;
use serde::Serialize;
use spillway_types::{Bundle, Digest, FunctionName, Manifest, format_bytes};

use crate::args::Global;
use crate::build::{Compiled, ModelFiles, Source, compile, resolve};
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
  spillway build --bundle-models --out sniff.wasm  one file that carries its models")]
pub(crate) struct Build {
    /// Folders of crates with a spillway.toml
    #[arg(value_name = "PATH", default_value = ".")]
    paths: Vec<PathBuf>,
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
        let mut sources = Source::read_all(&self.paths)?;
        let mut models = Vec::new();
        for source in &mut sources {
            models.push(resolve(&mut source.manifest, &source.folder)?);
        }
        let compiled = compile(&sources, self.target_dir.as_deref())?;
        sources.iter().zip(&models).map(|(source, models)| self.bundle(source, models, &compiled)).collect()
    }

    fn bundle(&self, source: &Source, models: &ModelFiles, compiled: &Compiled) -> anyhow::Result<Built> {
        let component = &compiled[&source.package.id];
        let bytes = std::fs::read(component).with_context(|| format!("{} cannot be read", component.display()))?;
        let bytes = write_bundle(&bytes, &source.manifest, models, self.bundle_models)
            .with_context(|| component.display().to_string())?;
        let out = self.out.clone().unwrap_or_else(|| {
            let target = self.target_dir.as_deref().unwrap_or(source.target.as_std_path());
            target.join("spillway").join(format!("{}.wasm", source.manifest.name))
        });
        write_whole(&out, &bytes).with_context(|| format!("{} cannot be written", out.display()))?;
        models.write_beside(&out)?;
        Ok(Built {
            name: source.manifest.name.clone(),
            bytes: bytes.len() as u64,
            digest: Digest::of(&bytes),
            models: source.manifest.model_digests(),
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
