//! The node's key-value store, and how many threads wait for it at once.

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;

use tokio::sync::Semaphore;

use crate::fault::Fault;
use crate::host::KeyValue;

/// Calls that read at once. A reader waits for no writer.
const READERS: usize = 8;
/// Calls that write at once: one does, and the next is there when it is done.
///
/// Each has a thread while it waits for the disk. Without a bound, one slow moment of the disk made a thread for each call that came
/// meanwhile, and they all stayed as long as calls kept coming.
const WRITERS: usize = 2;

/// A store whose calls take turns.
pub(crate) struct Storage {
    store: Arc<dyn KeyValue>,
    readers: Arc<Semaphore>,
    writers: Arc<Semaphore>,
}

/// What a call does.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Access {
    Read,
    Write,
}

impl Storage {
    pub(crate) fn new(store: Arc<dyn KeyValue>) -> Self {
        let turns = |count| Arc::new(Semaphore::new(count));
        Self { store, readers: turns(READERS), writers: turns(WRITERS) }
    }

    /// Runs a call on a blocking thread, once it is its turn. One that has begun goes on to its end even if nobody waits for it any
    /// more.
    ///
    /// # Errors
    /// The kernel gives no thread, or the store panicked.
    pub(crate) async fn run<T: Send + 'static>(
        &self,
        access: Access,
        call: impl FnOnce(&dyn KeyValue) -> T + Send + 'static,
    ) -> Result<T, Fault> {
        let turns = match access {
            Access::Read => &self.readers,
            Access::Write => &self.writers,
        };
        let turn = turns.clone().acquire_owned().await.expect("the semaphore is never closed");
        let store = self.store.clone();
        let call = move || {
            let _turn = turn;
            call(&*store)
        };
        // tokio panics where it has no thread for this and the kernel gives it none.
        let begun = catch_unwind(AssertUnwindSafe(|| tokio::task::spawn_blocking(call)));
        let begun = begun.map_err(|_| Fault::NoMemory("no thread for the key-value store".to_owned()))?;
        // A panic of the store is not the guest's doing.
        begun.await.map_err(|panic| Fault::Host(format!("the key-value store failed: {panic}")))
    }
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::{AtomicUsize, Ordering::SeqCst};
    use std::time::Duration;

    use spillway_types::Namespace;

    use super::*;
    use crate::host::KeyValueError;

    /// Nobody calls it: what counts is who is let in.
    struct Unused;

    impl KeyValue for Unused {
        fn get(&self, _: &Namespace, _: &str, _: &str) -> Result<Option<Vec<u8>>, KeyValueError> {
            unreachable!()
        }
        fn set(&self, _: &Namespace, _: &str, _: &str, _: &[u8]) -> Result<(), KeyValueError> {
            unreachable!()
        }
        fn delete(&self, _: &Namespace, _: &str, _: &str) -> Result<(), KeyValueError> {
            unreachable!()
        }
        fn exists(&self, _: &Namespace, _: &str, _: &str) -> Result<bool, KeyValueError> {
            unreachable!()
        }
        fn list_keys(
            &self,
            _: &Namespace,
            _: &str,
            _: Option<u64>,
        ) -> Result<(Vec<String>, Option<u64>), KeyValueError> {
            unreachable!()
        }
        fn increment(&self, _: &Namespace, _: &str, _: &str, _: u64) -> Result<u64, KeyValueError> {
            unreachable!()
        }
    }

    #[tokio::test(flavor = "multi_thread")]
    async fn however_many_calls_wait_for_the_disk_few_threads_do_and_writers_keep_no_reader_from_it() {
        let storage = Arc::new(Storage::new(Arc::new(Unused)));
        let (inside, most) = (Arc::new(AtomicUsize::new(0)), Arc::new(AtomicUsize::new(0)));
        let (open, closed) = std::sync::mpsc::channel::<()>();
        let closed = Arc::new(std::sync::Mutex::new(closed));
        let calls: Vec<_> = (0..50)
            .map(|_| {
                let (storage, inside, most, closed) = (storage.clone(), inside.clone(), most.clone(), closed.clone());
                tokio::spawn(async move {
                    let write = move |_: &dyn KeyValue| {
                        most.fetch_max(inside.fetch_add(1, SeqCst) + 1, SeqCst);
                        let _ = closed.lock().unwrap().recv();
                        inside.fetch_sub(1, SeqCst);
                    };
                    storage.run(Access::Write, write).await
                })
            })
            .collect();
        let all_in = async {
            while inside.load(SeqCst) < WRITERS {
                tokio::time::sleep(Duration::from_millis(1)).await;
            }
        };
        tokio::time::timeout(Duration::from_secs(30), all_in).await.expect("writers are let in");
        assert_eq!(storage.run(Access::Read, |_| 7).await.unwrap(), 7);
        drop(open);
        for call in calls {
            call.await.unwrap().unwrap();
        }
        assert_eq!(most.load(SeqCst), WRITERS);
    }

    #[tokio::test]
    async fn a_store_that_panics_fails_one_call_and_gives_its_turn_back() {
        let storage = Storage::new(Arc::new(Unused));
        for _ in 0..=WRITERS {
            let failed = storage.run(Access::Write, |_| panic!("on purpose")).await;
            assert!(matches!(failed, Err::<(), _>(Fault::Host(_))), "{failed:?}");
        }
    }
}
