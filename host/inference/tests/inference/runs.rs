//! Runs of a model: deadlines, cancellation, panics.

use std::time::{Duration, Instant};

use spillway_inference::RunError;

use crate::fake::{Bench, until, x};

fn soon() -> Option<Instant> {
    Some(Instant::now() + Duration::from_millis(20))
}

#[tokio::test]
async fn a_run_counts_and_says_where_its_time_went() {
    let bench = Bench::new(1);
    let model = bench.open("echo").await.unwrap();
    let run = model.run(x(9), None).await.unwrap();
    assert_eq!(run.outputs[0].as_bytes().unwrap(), [9]);
    assert!(run.queued > Duration::ZERO);
    assert_eq!(model.run_blocking(x(9), None).unwrap().outputs[0].as_bytes().unwrap(), [9]);
    assert_eq!(bench.models.loaded()[0].runs, 2);
}

#[tokio::test]
async fn a_run_after_its_deadline_does_not_start() {
    let bench = Bench::new(1);
    let model = bench.open("echo").await.unwrap();
    let passed = Some(Instant::now());
    assert_eq!(model.run(x(1), passed).await.unwrap_err(), RunError::DeadlineExceeded);
    assert_eq!(model.run_blocking(x(1), passed).unwrap_err(), RunError::DeadlineExceeded);
    assert_eq!(model.runs(), 0);
}

#[tokio::test]
async fn a_run_that_computes_beyond_its_deadline_ends_and_frees_its_thread() {
    let bench = Bench::new(1);
    let (endless, echo) = (bench.open("endless").await.unwrap(), bench.open("echo").await.unwrap());
    assert_eq!(endless.run(x(1), soon()).await.unwrap_err(), RunError::DeadlineExceeded);
    assert_eq!(endless.run_blocking(x(1), soon()).unwrap_err(), RunError::DeadlineExceeded);
    assert!(echo.run(x(1), None).await.is_ok());
}

#[tokio::test]
async fn a_run_that_waits_beyond_its_deadline_leaves_the_queue() {
    let bench = Bench::new(1);
    let echo = bench.open("echo").await.unwrap();
    // Its loading was a job, too, which is told of before it counts as ended.
    until(|| bench.threads.load().running == 0);
    let load = bench.open("gated");
    let waiting = async {
        // Before that it would be done first, since the load has no deadline.
        until(|| bench.threads.load().running == 1);
        assert_eq!(echo.run(x(1), soon()).await.unwrap_err(), RunError::DeadlineExceeded);
        assert_eq!(bench.threads.load().queued, 0);
        bench.engine.gate.open();
    };
    assert!(tokio::join!(load, waiting).0.is_ok());
}

#[tokio::test]
async fn a_run_whose_caller_goes_away_ends() {
    let bench = Bench::new(1);
    let endless = bench.open("endless").await.unwrap();
    let abandoned = tokio::time::timeout(Duration::from_millis(20), endless.run(x(1), None));
    assert!(abandoned.await.is_err());
    until(|| bench.threads.load().running == 0);
}

#[tokio::test]
async fn a_panic_in_a_run_is_an_error_of_that_run_only() {
    let bench = Bench::new(1);
    let model = bench.open("run-panics").await.unwrap();
    let expected = RunError::EngineFailed("native code panicked: the kernel broke".into());
    assert_eq!(model.run(x(13), None).await.unwrap_err(), expected);
    assert_eq!(model.run_blocking(x(13), None).unwrap_err(), expected);
    assert_eq!(model.run(x(12), None).await.unwrap().outputs[0].as_bytes().unwrap(), [12]);
}

#[tokio::test]
async fn inputs_that_do_not_fit_never_reach_the_queue() {
    let bench = Bench::new(1);
    let model = bench.open("echo").await.unwrap();
    let error = model.run(vec![], None).await.unwrap_err();
    assert_eq!(error, RunError::InvalidArgument("input `x` is missing; the model expects uint8 [?]".into()));
}
