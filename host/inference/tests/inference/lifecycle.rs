//! Models that leave memory and come back.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering::SeqCst};
use std::time::{Duration, Instant};

use futures::future::join_all;
use spillway_inference::{ModelPolicy, ModelSource, RunError, UnloadReason, Unloaded};
use spillway_types::Digest;

use crate::fake::{Bench, eventually, until, x};

fn idle(milliseconds: u64) -> ModelPolicy {
    ModelPolicy { idle: Some(Duration::from_millis(milliseconds)), ..ModelPolicy::default() }
}

fn soon() -> Option<Instant> {
    Some(Instant::now() + Duration::from_millis(20))
}

#[tokio::test]
async fn an_idle_model_leaves_memory_and_its_next_run_loads_it_again() {
    let bench = Bench::with_policy(1, idle(20));
    let models = bench.models.clone();
    let tending = tokio::spawn(async move { models.tend().await });
    let model = bench.open("echo").await.unwrap();
    eventually(|| bench.models.loaded().is_empty()).await;
    assert_eq!((model.memory_bytes(), model.inputs()[0].name.as_str()), (0, "x"));
    assert_eq!(model.run(x(1), None).await.unwrap().outputs[0].as_bytes().unwrap(), [1]);
    eventually(|| bench.models.loaded().is_empty()).await;
    assert_eq!((bench.loads(), model.runs()), (2, 1));
    assert_eq!(bench.models.counts().unloads(UnloadReason::Idle), 2);
    let status = &bench.models.known()[0];
    assert_eq!((status.is_loaded, status.loads, status.runs, status.users), (false, 2, 1, 1));
    tending.abort();
}

#[tokio::test]
async fn a_model_that_nobody_holds_is_forgotten_once_it_is_idle() {
    let bench = Bench::with_policy(1, idle(1));
    drop(bench.open("echo").await.unwrap());
    let models = bench.models.clone();
    let tending = tokio::spawn(async move { models.tend().await });
    eventually(|| bench.models.known().is_empty()).await;
    tending.abort();
}

#[tokio::test]
async fn a_model_that_runs_is_not_idle_however_long_it_runs() {
    let bench = Bench::with_policy(1, idle(1));
    let model = bench.open("gated-run").await.unwrap();
    let run = tokio::spawn({
        let model = model.clone();
        async move { model.run(x(1), None).await }
    });
    eventually(|| bench.engine.gated_runs.load(SeqCst) == 1).await;
    let long = tokio::time::timeout(Duration::from_millis(50), bench.models.tend());
    assert!(long.await.is_err());
    assert_eq!(bench.models.unload(model.digest()), Unloaded::InUse);
    assert_eq!(bench.models.loaded().len(), 1);
    bench.engine.run_gate.open();
    assert!(run.await.unwrap().is_ok());
    assert_eq!(bench.loads(), 1);
}

#[tokio::test]
async fn unloading_says_what_became_of_it_and_an_open_after_it_is_no_hit() {
    let bench = Bench::new(1);
    let held = bench.open("echo").await.unwrap();
    assert!(Arc::ptr_eq(&held, &bench.open("echo").await.unwrap()));
    assert_eq!(bench.models.unload(held.digest()), Unloaded::Yes);
    assert_eq!(bench.models.unload(held.digest()), Unloaded::WasNot);
    assert!(Arc::ptr_eq(&held, &bench.open("echo").await.unwrap()));
    let counts = bench.models.counts();
    assert_eq!((counts.loads, counts.hits, counts.unloads(UnloadReason::Asked)), (2, 1, 1));
}

#[tokio::test]
async fn a_hundred_runs_of_an_unloaded_model_load_it_once() {
    let bench = Bench::new(2);
    bench.engine.gate.open();
    let model = bench.open("gated").await.unwrap();
    bench.engine.gate.close();
    bench.models.unload(model.digest());
    let runs: Vec<_> = (0..100).map(|byte| model.run(x(byte), None)).collect();
    let (runs, ()) = tokio::join!(join_all(runs), async {
        eventually(|| bench.loads() == 2).await;
        bench.engine.gate.open();
    });
    for (byte, run) in (0..).zip(runs) {
        assert_eq!(run.unwrap().outputs[0].as_bytes().unwrap(), [byte]);
    }
    assert_eq!((bench.loads(), model.runs()), (2, 100));
}

#[tokio::test]
async fn a_deadline_that_passes_during_a_reload_ends_the_run_but_not_the_reload() {
    let bench = Bench::new(1);
    bench.engine.gate.open();
    let model = bench.open("gated").await.unwrap();
    bench.engine.gate.close();
    bench.models.unload(model.digest());
    assert_eq!(model.run(x(1), soon()).await.unwrap_err(), RunError::DeadlineExceeded);
    assert_eq!(model.run_blocking(x(1), soon()).unwrap_err(), RunError::DeadlineExceeded);
    bench.engine.gate.open();
    assert!(model.run(x(1), None).await.is_ok());
    assert_eq!((bench.loads(), bench.models.counts().loads), (2, 2));
}

#[tokio::test]
async fn a_thread_that_blocks_loads_again_too() {
    let bench = Bench::new(1);
    let model = bench.open("echo").await.unwrap();
    bench.models.unload(model.digest());
    assert_eq!(model.run_blocking(x(3), None).unwrap().outputs[0].as_bytes().unwrap(), [3]);
    assert_eq!(bench.loads(), 2);
}

#[tokio::test]
async fn a_failed_reload_is_an_error_of_its_own_and_the_next_run_tries_again() {
    let bench = Bench::new(1);
    let model = bench.open("echo").await.unwrap();
    bench.models.unload(model.digest());
    std::fs::remove_file(bench.file("echo")).unwrap();
    for error in [model.run(x(1), None).await.unwrap_err(), model.run_blocking(x(1), None).unwrap_err()] {
        let RunError::LoadFailed(message) = error else { panic!("{error}") };
        assert!(message.starts_with(&format!("model {} cannot be read: ", model.digest())), "{message}");
    }
    assert_eq!(bench.models.counts().failed_loads, 2);
    std::fs::write(bench.file("echo"), "echo").unwrap();
    assert!(model.run(x(1), None).await.is_ok());
}

#[tokio::test]
async fn runs_after_the_threads_have_closed_end_with_an_error() {
    let bench = Bench::new(1);
    let model = bench.open("echo").await.unwrap();
    bench.models.unload(model.digest());
    bench.threads.shutdown();
    let expected = RunError::LoadFailed("the node is shutting down".into());
    assert_eq!(model.run(x(1), None).await.unwrap_err(), expected);
    assert_eq!(model.run_blocking(x(1), None).unwrap_err(), expected);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn hundreds_of_runs_beside_a_storm_of_unloading_all_get_their_own_answer() {
    let bench = Bench::new(2);
    let model = bench.open("echo").await.unwrap();
    let done = Arc::new(AtomicBool::new(false));
    let storm = std::thread::spawn({
        let (models, done, digest) = (bench.models.clone(), done.clone(), model.digest());
        move || {
            while !done.load(SeqCst) {
                models.unload(digest);
                assert!(models.loaded().len() <= 1);
            }
        }
    });
    let runs = (0..400_usize).map(|index| {
        let model = model.clone();
        tokio::spawn(async move {
            let byte = (index % 256) as u8;
            let run = model.run(x(byte), Some(Instant::now() + Duration::from_secs(60))).await;
            assert_eq!(run.unwrap().outputs[0].as_bytes().unwrap(), [byte]);
        })
    });
    let runs = join_all(runs).await;
    // At least once between two runs, however the threads are scheduled.
    until(|| bench.models.counts().unloads(UnloadReason::Asked) > 0);
    done.store(true, SeqCst);
    storm.join().unwrap();
    runs.into_iter().for_each(|run| run.unwrap());
    assert_eq!(model.runs(), 400);
    let counts = bench.models.counts();
    assert_eq!(counts.loads - counts.unloads(UnloadReason::Asked), bench.models.loaded().len() as u64);
}

#[tokio::test]
async fn a_model_from_bytes_stays_as_long_as_it_is_held_and_no_longer() {
    let bench = Bench::with_policy(1, ModelPolicy { memory_bytes: 1500, idle: Some(Duration::ZERO) });
    let first = bench.models.open_bytes(b"echo".to_vec()).await.unwrap();
    let second = bench.models.open_bytes(b"echo".to_vec()).await.unwrap();
    assert!(Arc::ptr_eq(&first, &second));
    let status = &bench.models.loaded()[0];
    assert_eq!((status.digest, status.memory_bytes, status.users, status.hits), (Digest::of(b"echo"), 1000, 2, 1));
    // Neither idleness, nor another that needs the room, nor an operator can have what would not come back.
    let tended = tokio::time::timeout(Duration::from_millis(20), bench.models.tend());
    assert!(tended.await.is_err());
    let _other = bench.open("other").await.unwrap();
    assert_eq!(bench.models.unload(first.digest()), Unloaded::InUse);
    assert_eq!(first.run(x(2), None).await.unwrap().outputs[0].as_bytes().unwrap(), [2]);
    assert_eq!(bench.engine.loads.load(SeqCst), 2);
    drop(first);
    assert_eq!(bench.models.counts().unloads(UnloadReason::Released), 0);
    drop(second);
    assert_eq!(bench.models.counts().unloads(UnloadReason::Released), 1);
    assert!(bench.models.known().iter().all(|status| status.digest == Digest::of(b"other")));
}

#[tokio::test]
async fn a_model_from_bytes_that_a_file_has_too_is_one_like_any_other() {
    let bench = Bench::new(1);
    let brought = bench.models.open_bytes(b"echo".to_vec()).await.unwrap();
    let granted = bench.open("echo").await.unwrap();
    assert!(Arc::ptr_eq(&brought, &granted));
    assert_eq!(bench.models.unload(brought.digest()), Unloaded::Yes);
    assert!(brought.run(x(1), None).await.is_ok());
    assert_eq!(bench.loads(), 2);
}

#[tokio::test]
async fn a_run_does_not_wait_for_a_model_that_a_guest_brings() {
    let bench = Bench::new(1);
    let model = bench.open("echo").await.unwrap();
    let running = async {
        eventually(|| bench.loads() == 2).await;
        let run = model.run(x(7), Some(Instant::now() + Duration::from_secs(30))).await;
        bench.engine.gate.open();
        run
    };
    let (run, brought) = tokio::join!(running, bench.models.open_bytes(b"gated".to_vec()));
    assert_eq!(run.unwrap().outputs[0].as_bytes().unwrap(), [7]);
    assert!(brought.is_ok());
    assert_eq!(*bench.engine.loaders.lock().unwrap(), ["kernel-0", "guest-model-0"]);
}

#[tokio::test]
async fn bytes_that_are_no_model_are_refused_every_time() {
    let bench = Bench::new(1);
    bench.engine.gate.open();
    for loads in 1..3 {
        let error = bench.models.open_bytes(b"gated-refused".to_vec()).await.unwrap_err();
        assert!(error.to_string().ends_with("cannot be loaded: not a model: refused at the gate"), "{error}");
        assert_eq!((bench.loads(), bench.models.known().len()), (loads, 0));
    }
}

#[tokio::test]
async fn a_model_whose_file_has_moved_is_loaded_from_where_it_was_opened_last() {
    let bench = Bench::new(1);
    let model = bench.open("echo").await.unwrap();
    let moved = bench.file("moved");
    std::fs::rename(bench.file("echo"), &moved).unwrap();
    bench.models.open(ModelSource::new(model.digest(), moved)).await.unwrap();
    bench.models.unload(model.digest());
    assert!(model.run(x(1), None).await.is_ok());
}
