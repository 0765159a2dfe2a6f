//! `spillway models add`: puts model files on the node.

use std::path::{Path, PathBuf};

use anyhow::Context as _;
use clap::Args;
use reqwest::{Method, StatusCode};
use spillway_types::api::{AddModel, BlobReceipt, ModelStatus};
use spillway_types::{Digest, format_bytes};

use super::fixed::Fixed;
use crate::args::Global;
use crate::client::{Client, with_body};
use crate::{output, progress};

/// Put model files on the node, which keeps them whether a function names them or not
///
/// The node loads each to see that its engine can run it, and refuses it otherwise. `--shape` and `--constant` fix what
/// `shapes` and `constants` do in a manifest: a function with the same finds the model loaded.
#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  spillway models add models/magika.onnx
  spillway models add models/*.onnx --json
  spillway models add vad.onnx --shape input=1,576 --shape state=2,1,128 --constant sr=16000")]
pub(crate) struct Add {
    /// The model files; each is listed under its file's name
    #[arg(value_name = "FILE", required = true)]
    files: Vec<PathBuf>,

    #[command(flatten)]
    fixed: Fixed,
}

impl Add {
    pub(crate) async fn run(self, global: &Global) -> anyhow::Result<()> {
        let client = Client::new(global)?;
        let (shapes, constants) = self.fixed.by_name()?;
        let mut added = Vec::new();
        for file in &self.files {
            let (digest, label) = upload(&client, file).await.with_context(|| file.display().to_string())?;
            let model = AddModel { digest, label, shapes: shapes.clone(), constants: constants.clone() };
            let request = client.request(Method::POST, &["models"]).json(&model);
            let models: Vec<ModelStatus> = client.json(request).await.with_context(|| file.display().to_string())?;
            for model in &models {
                if !global.json {
                    let (digest, bytes) = (model.digest.short(), format_bytes(model.file_bytes));
                    let load = output::seconds(model.load_seconds);
                    output::line(format!("added {digest} {} ({bytes}, loaded in {load})", model.label))?;
                }
            }
            added.extend(models);
        }
        if global.json {
            return output::json(&added);
        }
        Ok(())
    }
}

/// Digest and name of a file that is on the node now.
async fn upload(client: &Client, file: &Path) -> anyhow::Result<(Digest, String)> {
    let owned = file.to_owned();
    let (digest, length) = tokio::task::spawn_blocking(move || {
        let mut reader = std::fs::File::open(&owned)?;
        Digest::of_reader(&mut reader)
    })
    .await?
    .context("cannot be read")?;
    let name = digest.to_string();
    let head = client.send_any(client.request(Method::HEAD, &["blobs", &name]).build()?).await?;
    // Any other refusal is explained by the request that follows.
    if head.status() != StatusCode::OK {
        let label = file.file_name().unwrap_or(file.as_os_str()).to_string_lossy();
        let bar = progress::bytes(label.clone(), length);
        let opened = tokio::fs::File::open(file).await?;
        let request = with_body(client.request(Method::PUT, &["blobs", &name]), opened, length, &bar);
        let _: BlobReceipt = client.json(request).await?;
        bar.finish_and_clear();
    }
    let label = file.file_name().map(|name| name.to_string_lossy().into_owned()).unwrap_or_default();
    Ok((digest, label))
}
