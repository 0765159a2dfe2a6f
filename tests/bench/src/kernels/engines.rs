//! Engines on the same convolutions and the same encoder as ONNX files: tract in this process, ONNX Runtime in Python.

use std::collections::HashMap;
use std::path::{Path, PathBuf};
use std::process::Stdio;
use std::sync::Arc;

use anyhow::{Context as _, ensure};
use kernels::values;
use serde_json::json;
use spillway_inference::{DType, KernelThreads, Model, ModelSource, Models, Tensor, TensorType, TractEngine};
use spillway_tests::workspace;
use spillway_types::Digest;
use tokio::io::{AsyncBufReadExt as _, AsyncWriteExt as _, BufReader};
use tokio::process::{Child, ChildStdin, ChildStdout, Command};

use super::{native, shapes};
use crate::spread::Spread;

pub(super) struct Engines {
    /// Of the ONNX files.
    folder: tempfile::TempDir,
    models: Models,
    opened: HashMap<String, Arc<Model>>,
    /// Killed when dropped.
    _python: Child,
    questions: ChildStdin,
    answers: BufReader<ChildStdout>,
    milliseconds: u64,
}

impl Engines {
    pub(super) async fn start(milliseconds: u64) -> anyhow::Result<Self> {
        let folder = tempfile::tempdir()?;
        make(folder.path()).await?;
        let mut python = script().arg("serve").stdin(Stdio::piped()).stdout(Stdio::piped()).spawn()?;
        let questions = python.stdin.take().context("the pipe was asked for")?;
        let answers = BufReader::new(python.stdout.take().context("the pipe was asked for")?);
        let models = Models::new(Arc::new(TractEngine), Arc::new(KernelThreads::one_per_core()?));
        Ok(Self { folder, models, opened: HashMap::new(), _python: python, questions, answers, milliseconds })
    }

    /// The median run of a model, in nanoseconds, on so many threads at once.
    pub(super) async fn tract(&mut self, name: &str, threads: usize) -> anyhow::Result<f64> {
        let model = match self.opened.get(name) {
            Some(model) => model.clone(),
            None => {
                let file = self.file(name);
                let source = ModelSource::new(Digest::of(&std::fs::read(&file)?), &file);
                let model = self.models.open(source).await?;
                self.opened.entry(name.to_owned()).or_insert(model).clone()
            }
        };
        let inputs: Vec<_> = model.inputs().iter().map(input).collect::<anyhow::Result<_>>()?;
        let once = || model.run_blocking(inputs.clone(), None);
        once().with_context(|| name.to_owned())?;
        let work = || || drop(once().expect("it ran before"));
        Ok(tokio::task::block_in_place(|| native::median(threads, self.milliseconds, work)))
    }

    /// The same by ONNX Runtime, each run on one thread.
    pub(super) async fn onnxruntime(&mut self, name: &str, threads: usize) -> anyhow::Result<f64> {
        let file = self.file(name).display().to_string();
        let question = json!({ "model": file, "threads": threads, "milliseconds": self.milliseconds });
        self.questions.write_all(format!("{question}\n").as_bytes()).await?;
        let mut answer = String::new();
        self.answers.read_line(&mut answer).await?;
        let took: Vec<f64> =
            serde_json::from_str(&answer).with_context(|| format!("ONNX Runtime on {file}: {answer:?}"))?;
        Ok(Spread::of(took).median)
    }

    fn file(&self, name: &str) -> PathBuf {
        self.folder.path().join(format!("{name}.onnx"))
    }
}

/// An input of a model, by its name.
fn input(of: &TensorType) -> anyhow::Result<(String, Tensor)> {
    let shape: Option<Vec<usize>> = of.shape.iter().copied().collect();
    let shape = shape.with_context(|| format!("the shape of {} is not fixed", of.name))?;
    let count: usize = shape.iter().product();
    let bytes: Vec<u8> = match (of.dtype, &*of.name) {
        (DType::Int64, _) => (0..count as i64).flat_map(|index| (1000 + index).to_le_bytes()).collect(),
        (_, "mask") => vec![0; count * 4],
        _ => values(count).into_iter().flat_map(f32::to_le_bytes).collect(),
    };
    Ok((of.name.clone(), Tensor::from_bytes(of.dtype, &shape, &bytes)?))
}

/// Writes the ONNX files.
async fn make(folder: &Path) -> anyhow::Result<()> {
    let shapes: serde_json::Map<_, _> = shapes::all()
        .map(|(name, convolution)| {
            let (input, filter) = (convolution.input_shape(), convolution.filter_shape());
            let shape = json!({
                "input": input, "filter": filter, "stride": convolution.stride, "groups": convolution.groups
            });
            (name, shape)
        })
        .collect();
    let weights = workspace().join("target/models/minilm/model.safetensors");
    let mut making = script().arg("make").arg(folder).arg(weights).stdin(Stdio::piped()).spawn()?;
    let mut stdin = making.stdin.take().context("the pipe was asked for")?;
    stdin.write_all(serde_json::to_string(&shapes)?.as_bytes()).await?;
    drop(stdin);
    ensure!(
        making.wait().await?.success(),
        "the ONNX files cannot be made; `cargo xtask bench kernels` installs what it needs"
    );
    Ok(())
}

/// Python with the packages that `cargo xtask bench kernels` installs.
fn script() -> Command {
    let mut command = Command::new("python3");
    command.env("PYTHONPATH", workspace().join("target/engines")).kill_on_drop(true);
    command.arg(workspace().join("tests/bench/engines.py"));
    command
}
