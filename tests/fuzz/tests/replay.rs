//! The fuzz targets on their seeds and on all that they found, without a fuzzer.

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};

use serde_json::Value;
use spillway_fuzz::TARGETS;
use spillway_fuzz::budget::{Allocator, measure};

/// So that what the targets hold against memory is measured here, too.
#[global_allocator]
static ALLOCATOR: Allocator = Allocator;

fn here() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR"))
}

fn repository() -> PathBuf {
    here().join("../..")
}

/// What `cargo xtask fuzz` reads.
fn described() -> Vec<Value> {
    let text = std::fs::read_to_string(here().join("targets.json")).unwrap();
    serde_json::from_str(&text).unwrap()
}

/// The files of a folder, in order; none if there is no such folder.
fn files(folder: &Path, extension: Option<&str>) -> Vec<PathBuf> {
    let entries = std::fs::read_dir(folder).into_iter().flatten().map(|entry| entry.unwrap().path());
    let wanted = |path: &PathBuf| {
        path.is_file() && extension.is_none_or(|of| path.extension().is_some_and(|extension| extension == of))
    };
    let mut files: Vec<PathBuf> = entries.filter(wanted).collect();
    files.sort();
    files
}

/// What a model file is checked on: half of a kernel thread's, and as much as the fuzzer's own thread has.
const STACK_BYTES: usize = 8 << 20;

fn replay(name: &str) {
    let description = described().into_iter().find(|target| target["name"] == name).unwrap();
    let mut inputs = files(&here().join("seeds").join(name), None);
    for seeds in description["seeds"].as_array().unwrap() {
        let folder = repository().join(seeds["folder"].as_str().unwrap());
        let found = files(&folder, seeds["extension"].as_str());
        assert!(!found.is_empty(), "there is nothing in {}", folder.display());
        inputs.extend(found);
    }
    inputs.extend(files(&here().join("findings").join(name), None));
    assert!(!inputs.is_empty(), "`{name}` has no seeds");
    for input in inputs {
        // Printed only where the test fails.
        println!("{name}: {}", input.display());
        let name = name.to_owned();
        let bytes = std::fs::read(input).unwrap();
        let thread = std::thread::Builder::new().stack_size(STACK_BYTES);
        let ran = thread.spawn(move || spillway_fuzz::run(&name, &bytes)).unwrap().join();
        ran.unwrap_or_else(|panic| std::panic::resume_unwind(panic));
    }
}

#[test]
fn onnx_files_hold_what_the_target_promises() {
    replay("onnx");
}

#[test]
fn tflite_files_hold_what_the_target_promises() {
    replay("tflite");
}

#[test]
fn pictures_hold_what_the_target_promises() {
    replay("picture");
}

#[test]
fn programs_on_tensors_hold_what_the_target_promises() {
    replay("tensors");
}

#[test]
fn graphs_hold_what_the_target_promises() {
    replay("graphs");
}

#[test]
fn files_of_weights_hold_what_the_target_promises() {
    replay("safetensors");
}

#[test]
fn bundles_hold_what_the_target_promises() {
    replay("bundle");
}

#[test]
fn manifests_hold_what_the_target_promises() {
    replay("manifest");
}

/// Programs of bytes from chance, each about as long as one that uses them all; as many and from the seed that
/// `SPILLWAY_TEST_PROGRAMS` and `SPILLWAY_TEST_SEED` say. What a fuzzer finds by looking at branches is further away, but this
/// needs none.
fn by_chance(name: &'static str, programs: u64) {
    let asked = |name: &str| std::env::var(name).ok().map(|value| value.parse::<u64>().expect("a number"));
    let programs = asked("SPILLWAY_TEST_PROGRAMS").unwrap_or(programs);
    let seed = asked("SPILLWAY_TEST_SEED").unwrap_or(1);
    let work = move || {
        for program in 0..programs {
            let mut state = seed.wrapping_mul(1 << 32).wrapping_add(program).wrapping_mul(0x9e37_79b9_7f4a_7c15) | 1;
            let mut bytes = Vec::with_capacity(512);
            for _ in 0..64 {
                state ^= state << 13;
                state ^= state >> 7;
                state ^= state << 17;
                bytes.extend(state.to_le_bytes());
            }
            // Small numbers are what shapes, axes and choices are made of.
            if program % 2 == 0 {
                bytes.iter_mut().for_each(|byte| *byte &= 0x0f);
            }
            let ran = std::panic::catch_unwind(|| spillway_fuzz::run(name, &bytes));
            ran.unwrap_or_else(|panic| {
                eprintln!("{name}: program {program} of seed {seed}");
                std::panic::resume_unwind(panic)
            });
        }
    };
    let ran = std::thread::Builder::new().stack_size(STACK_BYTES).spawn(work).unwrap().join();
    ran.unwrap_or_else(|panic| std::panic::resume_unwind(panic));
}

#[test]
fn graphs_by_chance_hold_what_the_target_promises() {
    by_chance("graphs", 20_000);
}

#[test]
fn programs_by_chance_hold_what_the_target_promises() {
    by_chance("tensors", 20_000);
}

#[test]
fn allocations_are_measured() {
    let (bytes, peak) = measure(|| std::hint::black_box(vec![1_u8; 1 << 20]).len());
    assert!((bytes..2 * bytes).contains(&peak), "{bytes} bytes are measured as {peak}");
}

/// A target that is not described is not run, and one without a file of libFuzzer's not built.
#[test]
fn every_target_is_described_and_has_its_file() {
    let names: BTreeSet<String> = TARGETS.iter().map(|target| target.name.to_owned()).collect();
    let in_json = described().iter().map(|target| target["name"].as_str().unwrap().to_owned()).collect();
    assert_eq!(names, in_json, "targets.json");
    let stem = |path: PathBuf| path.file_stem().unwrap().to_str().unwrap().to_owned();
    let in_files = files(&here().join("libfuzzer/fuzz_targets"), Some("rs")).into_iter().map(stem).collect();
    assert_eq!(names, in_files, "fuzz_targets");
    let manifest = std::fs::read_to_string(here().join("libfuzzer/Cargo.toml")).unwrap();
    for name in names {
        assert!(manifest.contains(&format!("name = \"{name}\"\npath = \"fuzz_targets/{name}.rs\"")), "{name}");
        let file = std::fs::read_to_string(here().join(format!("libfuzzer/fuzz_targets/{name}.rs"))).unwrap();
        assert!(file.contains(&format!("target!(\"{name}\")")), "{name}: {file}");
    }
}

/// What is fuzzed must be what is shipped.
#[test]
fn the_fuzzers_lock_file_has_the_versions_of_the_workspace() {
    let locked = |path: PathBuf| {
        let text = std::fs::read_to_string(path).unwrap();
        let mut packages = BTreeSet::new();
        let mut name = String::new();
        for line in text.lines() {
            if let Some(value) = line.strip_prefix("name = ") {
                name = value.trim_matches('"').to_owned();
            } else if let Some(value) = line.strip_prefix("version = ") {
                packages.insert((std::mem::take(&mut name), value.trim_matches('"').to_owned()));
            }
        }
        packages
    };
    let (ours, theirs) = (locked(repository().join("Cargo.lock")), locked(here().join("libfuzzer/Cargo.lock")));
    let names: BTreeSet<&String> = ours.iter().map(|(name, _)| name).collect();
    let strays: Vec<_> = theirs.iter().filter(|of| names.contains(&of.0) && !ours.contains(*of)).collect();
    assert!(strays.is_empty(), "{strays:?}; copy Cargo.lock to tests/fuzz/libfuzzer and build there once");
    assert!(theirs.iter().any(|(name, _)| name == "tract-core"), "the lock file was not read");
}
