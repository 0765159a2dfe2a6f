//! What functions wrote: kept in files by function, followed live.
//!
//! Writers never wait: records go through a bounded queue to one thread that owns the files. If the disk does not keep
//! up, records are dropped and counted.

mod ended;
mod queue;
mod writer;

use std::fs::{self, File};
use std::io::{self, BufRead, BufReader};
use std::os::unix::fs::DirBuilderExt;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::mpsc::{SyncSender, sync_channel};
use std::thread;
use std::time::{Duration, SystemTime};

use prometheus_client::metrics::counter::Counter;
use spillway_runtime::{GuestRecord, LogSink};
use spillway_types::FunctionId;
use spillway_types::api::LogRecord;
use tokio::sync::broadcast;

pub(crate) use ended::{Ended, What};
use queue::Queue;
use writer::{Generation, Writer, path};

/// Records that a slow follower may lag behind before it misses some.
const FOLLOW: usize = 1024;
/// All logs of a node; cloning is cheap.
#[derive(Clone)]
pub(crate) struct Logs(Arc<Shared>);

struct Shared {
    folder: PathBuf,
    records: Arc<Queue<Entry>>,
    live: broadcast::Sender<Arc<LogRecord>>,
    lost: Counter,
}

enum Entry {
    Record(Arc<FunctionId>, Arc<LogRecord>),
    Ended(Arc<FunctionId>, Ended),
    Flush(SyncSender<()>),
    Forget(FunctionId),
}

impl Drop for Shared {
    fn drop(&mut self) {
        self.records.close();
    }
}

/// The log of one revision.
pub(crate) struct RevisionLog {
    logs: Logs,
    function: Arc<FunctionId>,
    revision: std::sync::atomic::AtomicU64,
}

impl Logs {
    /// Opens the folder and starts the writer, which ends when the last handle is gone.
    pub(crate) fn open(folder: &Path, lost: Counter) -> io::Result<Self> {
        // What callers sent may be in it, so it is nobody else's.
        fs::DirBuilder::new().recursive(true).mode(0o700).create(folder)?;
        let records = Arc::new(Queue::new());
        let (writer, queue) = (Writer::new(folder), records.clone());
        thread::Builder::new().name("logs".to_owned()).spawn(move || writer.run(&queue))?;
        let (folder, live) = (folder.to_owned(), broadcast::Sender::new(FOLLOW));
        Ok(Self(Arc::new(Shared { folder, records, live, lost })))
    }

    /// Takes a record without waiting.
    fn record(&self, function: &Arc<FunctionId>, record: LogRecord) {
        let record = Arc::new(record);
        if self.0.live.receiver_count() > 0 {
            let _ = self.0.live.send(record.clone());
        }
        self.send(Entry::Record(function.clone(), record));
    }

    /// Takes the record of a call without waiting, and without putting it into words unless somebody follows.
    pub(crate) fn ended(&self, function: &Arc<FunctionId>, ended: Ended) {
        if self.0.live.receiver_count() > 0 {
            let _ = self.0.live.send(Arc::new(ended.record(function)));
        }
        self.send(Entry::Ended(function.clone(), ended));
    }

    fn send(&self, entry: Entry) {
        if !self.0.records.offer(entry) {
            self.0.lost.inc();
        }
    }

    /// A sink for one revision's guests. Its number is set once it is known.
    pub(crate) fn of(&self, function: &FunctionId) -> Arc<RevisionLog> {
        Arc::new(RevisionLog { logs: self.clone(), function: Arc::new(function.clone()), revision: 0.into() })
    }

    /// Records as they come, of all functions.
    pub(crate) fn follow(&self) -> broadcast::Receiver<Arc<LogRecord>> {
        self.0.live.subscribe()
    }

    /// The last `count` records of a function as NDJSON lines, oldest first. Blocks on the disk.
    pub(crate) fn tail(&self, function: &FunctionId, count: usize) -> io::Result<Vec<String>> {
        self.flush();
        let mut lines = std::collections::VecDeque::new();
        for generation in [Generation::Old, Generation::Current] {
            let file = match File::open(path(&self.0.folder, function, generation)) {
                Ok(file) => file,
                Err(error) if error.kind() == io::ErrorKind::NotFound => continue,
                Err(error) => return Err(error),
            };
            for line in BufReader::new(file).lines() {
                if lines.len() == count {
                    lines.pop_front();
                }
                lines.push_back(line?);
            }
        }
        Ok(lines.into_iter().take(count).collect())
    }

    /// Drops a function's log.
    pub(crate) fn forget(&self, function: &FunctionId) {
        self.0.records.demand(Entry::Forget(function.clone()));
    }

    /// Waits until everything recorded so far is in the files. Blocks.
    pub(crate) fn flush(&self) {
        let (done, flushed) = sync_channel(1);
        self.0.records.demand(Entry::Flush(done));
        let _ = flushed.recv_timeout(Duration::from_secs(5));
    }

    /// Bytes that all logs take, and room made for them: the largest are cut first. Blocks on the disk.
    pub(crate) fn collect(&self, budget_bytes: u64) -> io::Result<u64> {
        let mut old = Vec::new();
        let mut kept = 0;
        for entry in fs::read_dir(&self.0.folder)? {
            let path = entry?.path();
            let bytes = fs::metadata(&path).map_or(0, |meta| meta.len());
            kept += bytes;
            if path.extension().is_some_and(|extension| extension == "old") {
                old.push((bytes, path));
            }
        }
        old.sort();
        while kept > budget_bytes
            && let Some((bytes, path)) = old.pop()
        {
            fs::remove_file(path)?;
            kept -= bytes;
        }
        Ok(kept)
    }
}

impl RevisionLog {
    /// Says which revision it is; records before that say 0.
    pub(crate) fn set_revision(&self, number: u64) {
        self.revision.store(number, std::sync::atomic::Ordering::Relaxed);
    }
}

impl LogSink for RevisionLog {
    fn record(&self, record: GuestRecord<'_>) {
        self.logs.record(
            &self.function,
            LogRecord {
                time: now(),
                level: record.level.to_owned(),
                function: self.function.to_string(),
                revision: self.revision.load(std::sync::atomic::Ordering::Relaxed),
                invocation: record.invocation.map(ToString::to_string),
                outcome: None,
                status: None,
                seconds: None,
                bill: None,
                message: record.message.to_owned(),
            },
        );
    }
}

/// A time in milliseconds since 1970, as records write it.
pub(crate) fn rfc3339(millis: u64) -> String {
    humantime::format_rfc3339_millis(SystemTime::UNIX_EPOCH + Duration::from_millis(millis)).to_string()
}

/// The time as records write it.
pub(crate) fn now() -> String {
    humantime::format_rfc3339_millis(SystemTime::now()).to_string()
}

#[cfg(test)]
mod tests {
    use super::writer::FILE_BYTES;
    use super::*;

    fn record(message: &str) -> LogRecord {
        LogRecord {
            time: now(),
            level: "info".to_owned(),
            function: "default/a".to_owned(),
            revision: 1,
            invocation: None,
            outcome: None,
            status: None,
            seconds: None,
            bill: None,
            message: message.to_owned(),
        }
    }

    #[test]
    fn the_tail_is_the_last_records_across_files_and_forgetting_removes_them() {
        let folder = tempfile::tempdir().unwrap();
        let logs = Logs::open(folder.path(), Counter::default()).unwrap();
        let id: Arc<FunctionId> = Arc::new("a".parse().unwrap());
        let long = "x".repeat(FILE_BYTES as usize / 8);
        for index in 0..12 {
            logs.record(&id, record(&format!("{index} {long}")));
            logs.flush();
        }
        let tail = logs.tail(&id, 6).unwrap();
        let firsts: Vec<_> = tail
            .iter()
            .map(|line| serde_json::from_str::<LogRecord>(line).unwrap().message.split(' ').next().unwrap().to_owned())
            .collect();
        assert_eq!(firsts, ["6", "7", "8", "9", "10", "11"]);
        assert!(path(folder.path(), &id, Generation::Old).exists());
        logs.forget(&id);
        assert_eq!(logs.tail(&id, 10).unwrap(), Vec::<String>::new());
    }

    #[test]
    fn what_comes_while_the_writer_rests_is_in_the_file_unasked() {
        let folder = tempfile::tempdir().unwrap();
        let logs = Logs::open(folder.path(), Counter::default()).unwrap();
        let id: Arc<FunctionId> = Arc::new("a".parse().unwrap());
        logs.record(&id, record("before"));
        // After this the writer rests.
        logs.flush();
        logs.record(&id, record("meanwhile"));
        let file = path(folder.path(), &id, Generation::Current);
        let waited = std::time::Instant::now();
        while !fs::read_to_string(&file).unwrap().contains("meanwhile") {
            assert!(waited.elapsed() < Duration::from_secs(30), "it is not in the file");
            thread::sleep(Duration::from_millis(5));
        }
    }

    #[tokio::test]
    async fn followers_see_records_as_they_come() {
        let folder = tempfile::tempdir().unwrap();
        let logs = Logs::open(folder.path(), Counter::default()).unwrap();
        let mut follower = logs.follow();
        logs.record(&Arc::new("a".parse().unwrap()), record("now"));
        assert_eq!(follower.recv().await.unwrap().message, "now");
    }
}
