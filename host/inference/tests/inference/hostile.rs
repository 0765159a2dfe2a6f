//! Model files that nobody should load. `data/hostile/make.py` makes them; those that only a trial finds out are tried in
//! a child process, by the tests of the whole node.

use std::path::Path;
use std::sync::atomic::{AtomicUsize, Ordering::SeqCst};
use std::sync::{Arc, Mutex};

use futures::executor::block_on;
use spillway_inference::{
    DType, Engine, Ledger, LoadError, ModelSource, Models, OpenError, RunError, RunMemory, ScreenError, Screening,
    Tensor, TractEngine, Within,
};
use spillway_types::{Digest, Specialization};

use crate::fake::{Bench, pool};

fn refusal(name: &str) -> LoadError {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/data/hostile").join(name).with_extension("onnx");
    let loaded = TractEngine.load(std::fs::read(path).unwrap(), &Specialization::default());
    loaded.err().unwrap_or_else(|| panic!("{name} loads"))
}

#[test]
fn weights_in_another_file_are_never_looked_for() {
    for (name, weights) in [
        ("external_parent", "w"),
        ("external_absolute", "w"),
        ("external_nowhere", "w"),
        ("external_attribute", "value of node ``"),
        ("external_branch", "inner"),
        ("external_sparse", "w"),
    ] {
        let expected = format!("the weights `{weights}` are in another file; save the model as one file");
        assert_eq!(refusal(name), LoadError::Unsupported(expected), "{name}");
    }
}

#[test]
fn what_a_file_declares_must_be_what_it_holds() {
    for (name, expected) in [
        ("dims_huge", "the weights `w` declare what no memory holds"),
        ("dims_overflow", "the weights `w` declare what no memory holds"),
        ("dims_negative", "the weights `w` declare an axis of negative length: [-4]"),
        ("raw_short", "the weights `w` are declared as float32 [4], 16 bytes, and hold 15"),
        ("raw_long", "the weights `w` are declared as float32 [4], 16 bytes, and hold 17"),
        ("typed_short", "the weights `w` are declared as float32 [1099511627776], 1099511627776 elements, and hold 2"),
        ("dtype_unknown", "the weights `w` are of the type 99, which ONNX does not have"),
        ("input_huge", "`x` declares what no memory holds"),
    ] {
        match refusal(name) {
            LoadError::NotAModel(message) => assert!(message.starts_with(expected), "{name}: {message}"),
            other => panic!("{name}: {other}"),
        }
    }
}

#[test]
fn names_axes_and_nesting_have_an_end() {
    for (name, expected) in [
        ("long_name", "has 20000 bytes, more than 4096"),
        ("long_axis", "the name of an axis of `x` has 10001 bytes, more than 256"),
        ("nested", "nested too deeply"),
    ] {
        let message = refusal(name).to_string();
        assert!(message.contains(expected) && message.len() < 600, "{name}: {message}");
    }
}

#[test]
fn graphs_that_are_none_are_refused() {
    assert_eq!(refusal("twice"), LoadError::NotAModel("`y` is computed twice in one graph".into()));
    let message = refusal("cycle").to_string();
    assert!(message.starts_with("not supported") && message.contains("Loop detected"), "{message}");
}

/// What a model of `data/hostile` says to `input`, when a run may take `limit` bytes.
fn run(name: &str, input: Tensor, limit: u64) -> Result<Vec<Tensor>, RunError> {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/data/hostile").join(name).with_extension("onnx");
    let engine = RunMemory::new(TractEngine, limit);
    let model = engine.load(std::fs::read(path).unwrap(), &Specialization::default()).unwrap();
    model.run(vec![input], &|| false)
}

#[test]
fn a_run_whose_shapes_ask_for_too_much_is_refused_before_it_takes_it() {
    let image = Tensor::from_bytes(DType::Float32, &[1, 1, 8, 8], &[0; 256]).unwrap();
    // 8 million times 8 million pixels of 4 bytes.
    match run("resize", image, 1 << 30).unwrap_err() {
        RunError::TooMuchMemory { needed_bytes, limit_bytes, .. } => {
            assert!(needed_bytes >= 256_000_000_000_000, "{needed_bytes}");
            assert_eq!(limit_bytes, 1 << 30);
        }
        other => panic!("{other}"),
    }
}

#[test]
fn a_run_whose_values_ask_for_too_much_is_refused_when_the_values_are_known() {
    let n = |n: i64| Tensor::from_bytes(DType::Int64, &[], &n.to_le_bytes()).unwrap();
    assert_eq!(run("grow", n(100), 1 << 20).unwrap()[0].shape(), [100]);
    let error = run("grow", n(1 << 40), 1 << 20).unwrap_err();
    assert!(matches!(error, RunError::TooMuchMemory { .. }), "{error}");
    assert!(error.to_string().contains("8.0 TiB") && error.to_string().contains("--run-memory"), "{error}");
}

#[test]
fn a_run_within_its_memory_is_not_disturbed() {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/data/dense.onnx");
    let load =
        |limit| RunMemory::new(TractEngine, limit).load(std::fs::read(&path).unwrap(), &Specialization::default());
    let input = |rows: usize| vec![Tensor::from_bytes(DType::Float32, &[rows, 3], &vec![0; 12 * rows]).unwrap()];
    let model = load(64 << 10).unwrap();
    assert!(model.run(input(1000), &|| false).is_ok());
    // Two results of two columns are alive at once, 16 bytes a row.
    assert!(matches!(model.run(input(100_000), &|| false), Err(RunError::TooMuchMemory { .. })));
}

/// A ledger with so much room.
#[derive(Debug, Default)]
struct Room {
    bytes: u64,
    charged: Mutex<Vec<u64>>,
}

impl Ledger for Room {
    fn charge(&self, bytes: u64) -> Result<Box<dyn std::any::Any + Send>, String> {
        self.charged.lock().unwrap().push(bytes);
        if bytes <= self.bytes { Ok(Box::new(())) } else { Err(format!("{bytes} bytes do not fit")) }
    }
}

#[test]
fn what_a_run_is_estimated_to_take_is_charged_before_it_takes_it() {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/data/dense.onnx");
    let engine = RunMemory::new(TractEngine, 1 << 20);
    let model = engine.load(std::fs::read(path).unwrap(), &Specialization::default()).unwrap();
    let run = |room: &Room| {
        let input = Tensor::from_bytes(DType::Float32, &[1000, 3], &vec![0; 12_000]).unwrap();
        let within = Within { limit_bytes: u64::MAX, ledger: Some(room) };
        model.run_within(vec![input], &|| false, within)
    };
    let wide = Room { bytes: 1 << 20, ..Room::default() };
    assert!(run(&wide).is_ok());
    let charged = wide.charged.lock().unwrap();
    // As above, 16 bytes a row at least; once.
    assert!(charged.len() == 1 && (16_000..100_000).contains(&charged[0]), "{charged:?}");
    let error = run(&Room { bytes: charged[0] - 1, ..Room::default() }).unwrap_err();
    assert_eq!(error, RunError::OutOfMemory(format!("{} bytes do not fit", charged[0])));
}

/// Refuses what it is told to, and notes what it saw.
#[derive(Default)]
struct Doorkeeper {
    refuses: Option<LoadError>,
    seen: Mutex<Vec<(Digest, Vec<u8>)>>,
}

impl Screening for Doorkeeper {
    fn screen(&self, engine: &dyn Engine, digest: Digest, _: &Specialization, file: &[u8]) -> Result<(), ScreenError> {
        assert_eq!(engine.name(), "fake");
        self.seen.lock().unwrap().push((digest, file.to_vec()));
        match &self.refuses {
            Some(error) => Err(error.clone().into()),
            None => Ok(()),
        }
    }
}

#[test]
fn the_engine_sees_no_file_that_the_screening_refuses() {
    let bench = Bench::new(1);
    let refuses = Some(LoadError::TooMuchMemory { limit_bytes: 5 << 20 });
    let keeper = Arc::new(Doorkeeper { refuses, ..Default::default() });
    let models = Models::new(bench.engine.clone(), pool(1)).with_screening(keeper.clone());
    let file = bench.folder.path().join("echo");
    std::fs::write(&file, "echo").unwrap();
    let source = ModelSource::new(Digest::of(b"echo"), file);
    let error = block_on(models.open(source.clone())).unwrap_err();
    assert!(matches!(&error, OpenError::Load { cause: LoadError::TooMuchMemory { .. }, .. }), "{error}");
    assert!(error.to_string().contains("more than 5.0 MiB") && error.to_string().contains("--model-check-memory"));
    assert_eq!(bench.loads(), 0);
    assert!(block_on(models.open(source)).is_err(), "a failure is not kept");
    assert_eq!(keeper.seen.lock().unwrap().len(), 2);
}

#[test]
fn a_file_that_passes_is_loaded_on_the_kernel_threads_with_the_bytes_that_were_screened() {
    let bench = Bench::new(1);
    let keeper = Arc::new(Doorkeeper::default());
    let models = Models::new(bench.engine.clone(), pool(1)).with_screening(keeper.clone());
    let file = bench.folder.path().join("echo");
    std::fs::write(&file, "echo").unwrap();
    block_on(models.open(ModelSource::new(Digest::of(b"echo"), file))).unwrap();
    assert_eq!(*keeper.seen.lock().unwrap(), [(Digest::of(b"echo"), b"echo".to_vec())]);
    assert_eq!(*bench.engine.loaders.lock().unwrap(), ["kernel-0"]);
}

/// Puts another file in the place of the one that it passes.
struct Swapper(std::path::PathBuf, AtomicUsize);

impl Screening for Swapper {
    fn screen(&self, _: &dyn Engine, _: Digest, _: &Specialization, _: &[u8]) -> Result<(), ScreenError> {
        self.1.fetch_add(1, SeqCst);
        std::fs::remove_file(&self.0)?;
        std::fs::write(&self.0, "panics")?;
        Ok(())
    }
}

#[test]
fn a_file_swapped_after_its_screening_is_not_loaded() {
    let bench = Bench::new(1);
    let file = bench.folder.path().join("echo");
    std::fs::write(&file, "echo").unwrap();
    let swapper = Arc::new(Swapper(file.clone(), AtomicUsize::new(0)));
    let models = Models::new(bench.engine.clone(), pool(1)).with_screening(swapper.clone());
    let error = block_on(models.open(ModelSource::new(Digest::of(b"echo"), file))).unwrap_err();
    assert!(matches!(error, OpenError::WrongDigest { .. }), "{error}");
    assert_eq!((swapper.1.load(SeqCst), bench.loads()), (1, 0));
}

#[test]
fn a_model_file_that_is_a_link_or_no_file_is_not_opened() {
    let bench = Bench::new(1);
    let (real, link) = (bench.folder.path().join("echo"), bench.folder.path().join("link"));
    std::fs::write(&real, "echo").unwrap();
    std::os::unix::fs::symlink(&real, &link).unwrap();
    let (shared, other) = (bench.folder.path().join("shared"), bench.folder.path().join("other name"));
    std::fs::write(&shared, "echo").unwrap();
    std::fs::hard_link(&shared, &other).unwrap();
    for path in [link, shared, other, bench.folder.path().to_owned(), "/dev/zero".into()] {
        let error = block_on(bench.models.open(ModelSource::new(Digest::of(b"echo"), path.clone()))).unwrap_err();
        assert!(matches!(error, OpenError::Read { .. }), "{}: {error}", path.display());
    }
    assert!(block_on(bench.models.open(ModelSource::new(Digest::of(b"echo"), real))).is_ok());
}
