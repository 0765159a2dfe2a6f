//! `spillway models add`: puts model files on the node.

use std::path::{Path, PathBuf};

use anyhow::Context as _;
use clap::Args;
use reqwest::{Method, StatusCode};
use spillway_types::api::{AddModel, BlobReceipt, ModelStatus};
use spillway_types::{Digest, format_bytes};

use crate::args::Global;
use crate::client::{Client, with_body};
use crate::{output, progress};

/// Put model files on the node, which keeps them whether a function names them or not
///
/// The node loads each to see that its engine can run it, and refuses it otherwise. A model that runs only with what a
/// grant fixes about it comes with its function instead.
#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  spillway models add models/magika.onnx
  spillway models add models/*.onnx --json")]
pub(crate) struct Add {
    /// The model files; each is listed under its file's name
    #[arg(value_name = "FILE", required = true)]
    files: Vec<PathBuf>,
}

impl Add {
    pub(crate) async fn run(self, global: &Global) -> anyhow::Result<()> {
        let client = Client::new(global)?;
        let mut added = Vec::new();
        for file in &self.files {
            let models = add(&client, file).await.with_context(|| file.display().to_string())?;
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

async fn add(client: &Client, file: &Path) -> anyhow::Result<Vec<ModelStatus>> {
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
    client.json(client.request(Method::POST, &["models"]).json(&AddModel { digest, label })).await
}
