//! More models than the node has memory for. Each of the fake ones occupies 1000 bytes.

use std::sync::atomic::Ordering::SeqCst;

use spillway_inference::{ModelPolicy, OpenError, UnloadReason};
use spillway_types::Digest;

use crate::fake::{Bench, eventually, x};

fn budget(memory_bytes: usize) -> ModelPolicy {
    ModelPolicy { memory_bytes, idle: None }
}

/// The words of the models in memory.
fn in_memory(bench: &Bench, words: &[&'static str]) -> Vec<&'static str> {
    let loaded = bench.models.loaded();
    let is_in = |word: &&&str| loaded.iter().any(|status| status.digest == Digest::of(word.as_bytes()));
    words.iter().filter(is_in).copied().collect()
}

#[tokio::test]
async fn the_least_recently_used_makes_room_for_the_next() {
    let bench = Bench::with_policy(1, budget(2500));
    let a = bench.open("a").await.unwrap();
    let _b = bench.open("b").await.unwrap();
    a.run(x(1), None).await.unwrap();
    let c = bench.open("c").await.unwrap();
    assert_eq!(in_memory(&bench, &["a", "b", "c"]), ["a", "c"]);
    // A run makes room as an open does.
    c.run(x(1), None).await.unwrap();
    _b.run(x(1), None).await.unwrap();
    assert_eq!(in_memory(&bench, &["a", "b", "c"]), ["b", "c"]);
    assert_eq!(bench.models.counts().unloads(UnloadReason::Pressure), 2);
}

#[tokio::test]
async fn models_within_the_budget_stay() {
    let bench = Bench::with_policy(1, budget(3000));
    for word in ["a", "b", "c"] {
        bench.open(word).await.unwrap();
    }
    assert_eq!(in_memory(&bench, &["a", "b", "c"]), ["a", "b", "c"]);
}

#[tokio::test]
async fn room_is_made_before_the_load_where_the_size_is_known() {
    let bench = Bench::with_policy(2, budget(1500));
    bench.engine.gate.open();
    let gated = bench.open("gated").await.unwrap();
    let _echo = bench.open("echo").await.unwrap();
    assert_eq!(in_memory(&bench, &["gated", "echo"]), ["echo"]);
    bench.engine.gate.close();
    let reload = gated.run(x(1), None);
    let (run, ()) = tokio::join!(reload, async {
        eventually(|| bench.loads() == 3).await;
        assert_eq!(in_memory(&bench, &["gated", "echo"]), [""; 0]);
        bench.engine.gate.open();
    });
    assert!(run.is_ok());
    assert_eq!(in_memory(&bench, &["gated", "echo"]), ["gated"]);
}

#[tokio::test]
async fn what_runs_stays_until_it_has_ended_and_then_makes_room() {
    let bench = Bench::with_policy(2, budget(1500));
    let running = bench.open("gated-run").await.unwrap();
    let run = tokio::spawn(async move { running.run(x(7), None).await });
    eventually(|| bench.engine.gated_runs.load(SeqCst) == 1).await;
    bench.open("echo").await.unwrap();
    assert_eq!(in_memory(&bench, &["gated-run", "echo"]), ["gated-run", "echo"], "more than the budget, for now");
    bench.engine.run_gate.open();
    assert_eq!(run.await.unwrap().unwrap().outputs[0].as_bytes().unwrap(), [7]);
    assert_eq!(in_memory(&bench, &["gated-run", "echo"]), ["gated-run"], "it was used last");
}

#[tokio::test]
async fn a_model_larger_than_the_budget_is_refused_with_both_sizes_and_the_flag() {
    let bench = Bench::with_policy(1, budget(999));
    let error = bench.open("echo").await.unwrap_err();
    assert!(matches!(error, OpenError::TooLarge { needed_bytes: 1000, budget_bytes: 999, .. }), "{error}");
    assert!(error.to_string().contains("needs 1000 bytes of memory"), "{error}");
    assert!(error.to_string().contains("raise `--model-memory`"), "{error}");
    assert!(bench.models.known().is_empty());
}

#[tokio::test]
async fn a_file_larger_than_the_budget_is_refused_before_it_is_read() {
    let bench = Bench::with_policy(1, budget(3));
    let error = bench.open("echo").await.unwrap_err();
    assert!(matches!(error, OpenError::TooLarge { needed_bytes: 4, budget_bytes: 3, .. }), "{error}");
    assert_eq!(bench.loads(), 0);
}

#[tokio::test]
async fn a_failed_load_gives_back_what_was_set_aside_for_it() {
    let bench = Bench::with_policy(1, budget(1010));
    bench.engine.gate.open();
    for _ in 0..10 {
        assert!(bench.open("gated-refused").await.is_err());
        assert!(bench.open("panics").await.is_err());
    }
    bench.open("a").await.unwrap();
    bench.open("a").await.unwrap();
    assert_eq!(bench.models.counts().hits, 1, "a model alone within the budget stays");
    assert_eq!(bench.models.counts().unloads(UnloadReason::Pressure), 0);
}
