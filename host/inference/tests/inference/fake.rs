//! An engine whose models do what their file says: what real models cannot be made to do on demand.

use std::num::NonZeroUsize;
use std::path::PathBuf;
use std::sync::atomic::{AtomicUsize, Ordering::SeqCst};
use std::sync::{Arc, Condvar, Mutex};
use std::thread;
use std::time::{Duration, Instant};

use spillway_inference::{
    DType, Engine, KernelThreads, LoadError, LoadedModel, Model, ModelPolicy, ModelSource, Models, OpenError, RunError,
    Tensor, TensorType,
};
use spillway_types::{Digest, Specialization};
use tempfile::TempDir;

/// Holds threads back until it is opened.
#[derive(Default)]
pub(crate) struct Gate {
    is_open: Mutex<bool>,
    opened: Condvar,
}

impl Gate {
    pub(crate) fn open(&self) {
        *self.is_open.lock().unwrap() = true;
        self.opened.notify_all();
    }

    pub(crate) fn close(&self) {
        *self.is_open.lock().unwrap() = false;
    }

    pub(crate) fn pass(&self) {
        let is_open = self.is_open.lock().unwrap();
        drop(self.opened.wait_while(is_open, |is_open| !*is_open).unwrap());
    }
}

/// Loads files that hold one of these words: `echo` gives back its input; `gated` loads once the gate is open, and
/// `gated-run` computes once it is; `gated-refused` is none of its models; `panics` and `run-panics` panic; `endless`
/// computes until it is stopped. Any other word is as good as `echo`. Each occupies 1000 bytes.
#[derive(Default)]
pub(crate) struct FakeEngine {
    pub(crate) gate: Gate,
    /// What `gated-run` waits for.
    pub(crate) run_gate: Arc<Gate>,
    /// Runs of `gated-run` that have begun.
    pub(crate) gated_runs: Arc<AtomicUsize>,
    pub(crate) loads: AtomicUsize,
    /// Names of the threads that loaded.
    pub(crate) loaders: Mutex<Vec<String>>,
}

struct FakeModel {
    word: String,
    types: Vec<TensorType>,
    run_gate: Arc<Gate>,
    gated_runs: Arc<AtomicUsize>,
}

impl Engine for FakeEngine {
    fn name(&self) -> &'static str {
        "fake"
    }

    fn load(&self, file: Vec<u8>, _: &Specialization) -> Result<Box<dyn LoadedModel>, LoadError> {
        self.loads.fetch_add(1, SeqCst);
        self.loaders.lock().unwrap().push(thread::current().name().unwrap_or_default().to_owned());
        let word = String::from_utf8(file).unwrap();
        match word.as_str() {
            "gated" => self.gate.pass(),
            "gated-refused" => {
                self.gate.pass();
                return Err(LoadError::NotAModel("refused at the gate".into()));
            }
            "panics" => panic!("the loader broke"),
            _ => {}
        }
        let types = vec![TensorType { name: "x".into(), dtype: DType::Uint8, shape: vec![None] }];
        let (run_gate, gated_runs) = (self.run_gate.clone(), self.gated_runs.clone());
        Ok(Box::new(FakeModel { word, types, run_gate, gated_runs }))
    }
}

impl LoadedModel for FakeModel {
    fn inputs(&self) -> &[TensorType] {
        &self.types
    }

    fn outputs(&self) -> &[TensorType] {
        &self.types
    }

    fn memory_bytes(&self) -> usize {
        1000
    }

    fn run(&self, inputs: Vec<Tensor>, stop: &dyn Fn() -> bool) -> Result<Vec<Tensor>, RunError> {
        match self.word.as_str() {
            "run-panics" if inputs[0].as_bytes().unwrap() == [13] => panic!("the kernel broke"),
            "gated-run" => {
                self.gated_runs.fetch_add(1, SeqCst);
                self.run_gate.pass();
                Ok(inputs)
            }
            "endless" => {
                while !stop() {
                    thread::yield_now();
                }
                Err(RunError::DeadlineExceeded)
            }
            _ => Ok(inputs),
        }
    }
}

/// A node's models over the fake engine, and a folder of files for it.
pub(crate) struct Bench {
    pub(crate) engine: Arc<FakeEngine>,
    pub(crate) threads: Arc<KernelThreads>,
    pub(crate) models: Arc<Models>,
    pub(crate) folder: TempDir,
}

impl Bench {
    pub(crate) fn new(threads: usize) -> Self {
        Self::with_policy(threads, ModelPolicy::default())
    }

    pub(crate) fn with_policy(threads: usize, policy: ModelPolicy) -> Self {
        let engine = Arc::new(FakeEngine::default());
        let threads = pool(threads);
        let models = Arc::new(Models::with_policy(engine.clone(), threads.clone(), policy));
        Self { engine, threads, models, folder: TempDir::new().unwrap() }
    }

    pub(crate) async fn open(&self, word: &str) -> Result<Arc<Model>, OpenError> {
        let file = self.file(word);
        // Once: writing cuts the file short for a moment, in which a load may read it.
        if !file.exists() {
            std::fs::write(&file, word).unwrap();
        }
        self.models.open(ModelSource::new(Digest::of(word.as_bytes()), file)).await
    }

    /// Where the file of the model `word` lies once it was opened.
    pub(crate) fn file(&self, word: &str) -> PathBuf {
        self.folder.path().join(word)
    }

    pub(crate) fn loads(&self) -> usize {
        self.engine.loads.load(SeqCst)
    }
}

impl Drop for Bench {
    /// So that a failed test ends, instead of waiting for the threads that it holds back.
    fn drop(&mut self) {
        self.engine.gate.open();
        self.engine.run_gate.open();
    }
}

pub(crate) fn pool(threads: usize) -> Arc<KernelThreads> {
    Arc::new(KernelThreads::new(NonZeroUsize::new(threads).unwrap()).unwrap())
}

/// One input for the fake models.
pub(crate) fn x(byte: u8) -> Vec<(String, Tensor)> {
    vec![("x".into(), Tensor::from_bytes(DType::Uint8, &[1], &[byte]).unwrap())]
}

/// Waits, for a minute at most, until `condition` holds.
pub(crate) fn until(condition: impl Fn() -> bool) {
    let give_up = Instant::now() + Duration::from_secs(60);
    while !condition() {
        assert!(Instant::now() < give_up, "the condition never came true");
        thread::yield_now();
    }
}

/// As [`until`], while other tasks of the same thread go on.
pub(crate) async fn eventually(condition: impl Fn() -> bool) {
    let give_up = Instant::now() + Duration::from_secs(60);
    while !condition() {
        assert!(Instant::now() < give_up, "the condition never came true");
        tokio::task::yield_now().await;
    }
}
