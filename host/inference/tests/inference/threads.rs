//! The kernel threads: order, bounds, cancellation, panics, shutdown.

use std::num::NonZeroUsize;
use std::sync::atomic::{AtomicUsize, Ordering::SeqCst};
use std::sync::{Arc, Mutex, mpsc};
use std::time::Duration;

use futures::executor::block_on;
use spillway_inference::{AtRest, JobError, KernelThreads, ThreadLoad};

use crate::fake::{Gate, pool, until};

#[test]
fn jobs_start_in_the_order_in_which_they_came() {
    let (threads, gate) = (pool(1), Arc::new(Gate::default()));
    let order = Arc::new(Mutex::new(Vec::new()));
    let jobs: Vec<_> = (0..20)
        .map(|index| {
            let (gate, order) = (gate.clone(), order.clone());
            threads.spawn(move |_| {
                gate.pass();
                order.lock().unwrap().push(index);
            })
        })
        .collect();
    gate.open();
    for job in jobs {
        block_on(job).unwrap();
    }
    assert_eq!(*order.lock().unwrap(), (0..20).collect::<Vec<_>>());
}

/// Counts for the test below: what is done at rest is a plain function.
static RESTED: AtomicUsize = AtomicUsize::new(0);

#[test]
fn a_thread_that_comes_to_rest_says_so_once_each_time() {
    let then = || {
        RESTED.fetch_add(1, SeqCst);
    };
    let at_rest = AtRest { after: Duration::from_millis(20), then };
    let threads = KernelThreads::with_rest(NonZeroUsize::new(1), at_rest).unwrap();
    std::thread::sleep(Duration::from_millis(60));
    assert_eq!(RESTED.load(SeqCst), 0, "it has done nothing yet");
    for times in 1..=2 {
        block_on(threads.spawn(|_| ())).unwrap();
        until(|| RESTED.load(SeqCst) == times);
        std::thread::sleep(Duration::from_millis(60));
        assert_eq!(RESTED.load(SeqCst), times);
    }
    threads.shutdown();
}

#[test]
fn no_more_jobs_run_at_once_than_there_are_threads() {
    let (threads, gate) = (pool(2), Arc::new(Gate::default()));
    let jobs: Vec<_> = (0..5)
        .map(|index| {
            let gate = gate.clone();
            threads.spawn(move |_| {
                gate.pass();
                index
            })
        })
        .collect();
    until(|| threads.load().running == 2);
    assert_eq!(threads.load(), ThreadLoad { queued: 3, running: 2, busy: Duration::ZERO });
    gate.open();
    assert_eq!(jobs.into_iter().map(|job| block_on(job).unwrap()).collect::<Vec<_>>(), [0, 1, 2, 3, 4]);
    until(|| threads.load().running == 0);
    assert!(threads.load().busy > Duration::ZERO);
}

#[test]
fn a_panic_reaches_its_own_caller_and_the_thread_lives_on() {
    let threads = pool(1);
    let broken = threads.spawn(|_| -> u8 { panic!("seven is odd") });
    let next = threads.spawn(|_| 8);
    assert_eq!(block_on(broken), Err(JobError::Panicked("seven is odd".into())));
    assert_eq!(block_on(next), Ok(8));
}

#[test]
fn a_job_dropped_before_it_starts_never_runs_and_frees_what_it_holds_at_once() {
    let (threads, gate) = (pool(1), Arc::new(Gate::default()));
    let blocker = {
        let gate = gate.clone();
        threads.spawn(move |_| gate.pass())
    };
    let held = Arc::new(AtomicUsize::new(0));
    let dropped = {
        let held = held.clone();
        threads.spawn(move |_| held.fetch_add(1, SeqCst))
    };
    until(|| threads.load().running == 1);
    drop(dropped);
    assert_eq!((Arc::strong_count(&held), threads.load().queued), (1, 0));
    gate.open();
    block_on(blocker).unwrap();
    block_on(threads.spawn(|_| ())).unwrap();
    assert_eq!(held.load(SeqCst), 0);
}

#[test]
fn a_detached_job_runs_though_nobody_waits() {
    let (threads, (sender, receiver)) = (pool(1), mpsc::channel());
    threads.spawn(move |caller| sender.send(caller.is_gone()).unwrap()).detach();
    receiver.recv_timeout(Duration::from_secs(60)).unwrap();
}

#[test]
fn a_running_job_learns_that_its_caller_has_gone() {
    let (threads, (started, has_started)) = (pool(1), mpsc::channel());
    let job = threads.spawn(move |caller| {
        started.send(caller.is_gone()).unwrap();
        until(|| caller.is_gone());
    });
    assert!(!has_started.recv_timeout(Duration::from_secs(60)).unwrap());
    drop(job);
    block_on(threads.spawn(|_| ())).unwrap();
}

#[test]
fn shutdown_lets_running_jobs_end_and_stops_those_that_wait() {
    let (threads, gate) = (pool(1), Arc::new(Gate::default()));
    let running = {
        let gate = gate.clone();
        threads.spawn(move |_| gate.pass())
    };
    until(|| threads.load().running == 1);
    let waiting = threads.spawn(|_| ());
    let closer = std::thread::spawn({
        let threads = threads.clone();
        move || threads.shutdown()
    });
    assert_eq!(block_on(waiting), Err(JobError::Stopped));
    gate.open();
    closer.join().unwrap();
    assert_eq!(block_on(running), Ok(()));
    assert_eq!(block_on(threads.spawn(|_| ())), Err(JobError::Stopped));
    assert_eq!((threads.load().queued, threads.load().running), (0, 0));
}

#[test]
fn a_job_that_holds_the_last_handle_to_its_pool_ends() {
    let (threads, gate, (sender, receiver)) = (pool(1), Arc::new(Gate::default()), mpsc::channel());
    let (held, passed) = (threads.clone(), gate.clone());
    threads
        .spawn(move |_| {
            passed.pass();
            drop(held);
            sender.send(()).unwrap();
        })
        .detach();
    until(|| threads.load().running == 1);
    drop(threads);
    gate.open();
    receiver.recv_timeout(Duration::from_secs(60)).unwrap();
}
