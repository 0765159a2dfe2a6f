//! The models of a node: one load per digest, whoever asks, goes away or fails.

use std::sync::Arc;

use futures::future::join_all;
use futures::{FutureExt, pin_mut};
use spillway_inference::{ModelSource, OpenError};
use spillway_types::Digest;

use crate::fake::{Bench, until, x};

#[tokio::test]
async fn a_hundred_concurrent_opens_load_once_and_share_the_model() {
    let bench = Bench::new(2);
    let opens: Vec<_> = (0..100).map(|_| bench.open("gated")).collect();
    let (models, ()) = tokio::join!(join_all(opens), async {
        until(|| bench.loads() == 1);
        bench.engine.gate.open();
    });
    let first = models[0].as_ref().unwrap();
    assert!(models.iter().all(|model| Arc::ptr_eq(model.as_ref().unwrap(), first)));
    assert_eq!(bench.loads(), 1);
    let status = &bench.models.loaded()[0];
    assert_eq!(
        (status.digest, status.users, status.engine, status.memory_bytes),
        (Digest::of(b"gated"), 100, "fake", 1000)
    );
}

#[tokio::test]
async fn loading_happens_on_a_kernel_thread() {
    let bench = Bench::new(1);
    bench.open("echo").await.unwrap();
    assert_eq!(*bench.engine.loaders.lock().unwrap(), ["kernel-0"]);
}

#[tokio::test]
async fn a_failed_load_reaches_all_who_wait_and_a_later_open_tries_again() {
    let bench = Bench::new(1);
    let opens: Vec<_> = (0..10).map(|_| bench.open("gated-refused")).collect();
    let (results, ()) = tokio::join!(join_all(opens), async {
        until(|| bench.loads() == 1);
        bench.engine.gate.open();
    });
    for result in results {
        let message = result.unwrap_err().to_string();
        assert!(message.ends_with("cannot be loaded: not a model: refused at the gate"), "{message}");
    }
    assert!(bench.open("gated-refused").await.is_err());
    assert_eq!((bench.loads(), bench.models.loaded().len()), (2, 0));
}

#[tokio::test]
async fn an_opener_that_goes_away_disturbs_nobody() {
    let bench = Bench::new(1);
    {
        let first = bench.open("gated");
        pin_mut!(first);
        assert!(first.now_or_never().is_none());
    }
    let second = bench.open("gated");
    let (model, ()) = tokio::join!(second, async { bench.engine.gate.open() });
    assert_eq!(model.unwrap().run(x(5), None).await.unwrap().outputs[0].as_bytes().unwrap(), [5]);
    assert_eq!(bench.loads(), 1);
}

#[tokio::test]
async fn a_file_of_another_digest_is_refused_before_the_engine_sees_it() {
    let bench = Bench::new(1);
    let file = bench.folder.path().join("model");
    std::fs::write(&file, "other").unwrap();
    let asked = Digest::of(b"echo");
    let error = bench.models.open(ModelSource::new(asked, file)).await.unwrap_err();
    assert!(
        matches!(error, OpenError::WrongDigest { expected, found } if expected == asked && found == Digest::of(b"other"))
    );
    assert_eq!(bench.loads(), 0);
}

#[tokio::test]
async fn a_file_that_is_not_there_is_an_error_that_names_the_model() {
    let bench = Bench::new(1);
    let digest = Digest::of(b"echo");
    let error = bench.models.open(ModelSource::new(digest, bench.folder.path().join("absent"))).await.unwrap_err();
    assert!(error.to_string().starts_with(&format!("model {digest} cannot be read: ")), "{error}");
}

#[tokio::test]
async fn a_panic_while_loading_is_an_error_and_the_node_goes_on() {
    let bench = Bench::new(1);
    let message = bench.open("panics").await.unwrap_err().to_string();
    assert!(message.ends_with("broke the engine `fake` while loading: the loader broke"), "{message}");
    assert!(bench.open("echo").await.is_ok());
}

#[tokio::test]
async fn opening_after_shutdown_says_so_every_time() {
    let bench = Bench::new(1);
    bench.threads.shutdown();
    for _ in 0..2 {
        assert!(matches!(bench.open("echo").await, Err(OpenError::Stopped)));
    }
}
