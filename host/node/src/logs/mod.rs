//! What functions wrote: kept in files by function, followed live.
//!
//! Writers never wait: records go through a bounded channel to one thread that owns the files. If the disk does not keep
//! up, records are dropped and counted.

mod ended;

use std::collections::HashMap;
use std::fs::{self, File, OpenOptions};
use std::io::{self, BufRead, BufReader, Write};
use std::os::unix::fs::{DirBuilderExt, OpenOptionsExt};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::mpsc::{Receiver, SyncSender, TrySendError, sync_channel};
use std::thread::{self, Thread};
use std::time::{Duration, SystemTime};

use prometheus_client::metrics::counter::Counter;
use serde::Serialize;
use spillway_runtime::{GuestRecord, LogSink};
use spillway_types::FunctionId;
use spillway_types::api::LogRecord;
use tokio::sync::broadcast;

pub(crate) use ended::{Ended, What};

/// Records under way to the writer.
const CHANNEL: usize = 16 * 1024;
/// Records that a slow follower may lag behind before it misses some.
const FOLLOW: usize = 1024;
/// A file is closed at this size; a function keeps two, so twice this at most.
const FILE_BYTES: u64 = 4 << 20;
/// Open files; a node with more functions writing at once opens and closes.
const OPEN_FILES_MAX: usize = 64;
/// Written at once: some hundred records.
const BUFFER_BYTES: usize = 64 << 10;
/// How long the writer rests between two rounds, and so how long a record may wait before it is in the file.
const REST: Duration = Duration::from_millis(200);

/// All logs of a node; cloning is cheap.
#[derive(Clone)]
pub(crate) struct Logs(Arc<Shared>);

struct Shared {
    folder: PathBuf,
    records: SyncSender<Entry>,
    /// To be woken before its time by who waits for it.
    writer: Thread,
    live: broadcast::Sender<Arc<LogRecord>>,
    lost: Counter,
}

enum Entry {
    Record(Arc<FunctionId>, Arc<LogRecord>),
    Ended(Arc<FunctionId>, Box<Ended>),
    Flush(SyncSender<()>),
    Forget(FunctionId),
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
        let (records, received) = sync_channel(CHANNEL);
        let writer = Writer { folder: folder.to_owned(), files: HashMap::new(), line: Vec::new() };
        let writer = thread::Builder::new().name("logs".to_owned()).spawn(move || writer.run(&received))?;
        let writer = writer.thread().clone();
        let (folder, live) = (folder.to_owned(), broadcast::Sender::new(FOLLOW));
        Ok(Self(Arc::new(Shared { folder, records, writer, live, lost })))
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
        self.send(Entry::Ended(function.clone(), Box::new(ended)));
    }

    fn send(&self, entry: Entry) {
        if let Err(TrySendError::Full(_) | TrySendError::Disconnected(_)) = self.0.records.try_send(entry) {
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
        let _ = self.0.records.send(Entry::Forget(function.clone()));
    }

    /// Waits until everything recorded so far is in the files. Blocks.
    pub(crate) fn flush(&self) {
        let (done, flushed) = sync_channel(1);
        if self.0.records.send(Entry::Flush(done)).is_ok() {
            self.0.writer.unpark();
            let _ = flushed.recv_timeout(Duration::from_secs(5));
        }
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

#[derive(Clone, Copy)]
enum Generation {
    Current,
    Old,
}

fn path(folder: &Path, function: &FunctionId, generation: Generation) -> PathBuf {
    // Names are DNS labels, so they are file names, and `.` cannot be in one.
    let extension = match generation {
        Generation::Current => "ndjson",
        Generation::Old => "ndjson.old",
    };
    folder.join(format!("{}.{}.{extension}", function.namespace, function.name))
}

/// The thread that owns the files.
struct Writer {
    folder: PathBuf,
    files: HashMap<FunctionId, OpenFile>,
    /// The record that is being written.
    line: Vec<u8>,
}

struct OpenFile {
    file: io::BufWriter<File>,
    bytes: u64,
}

impl Writer {
    /// Writes in rounds. A record that comes while this thread rests wakes nobody, because a wake-up costs a call more than
    /// all else about its record; only the first after a longer silence does.
    fn run(mut self, received: &Receiver<Entry>) {
        while let Ok(entry) = received.recv() {
            self.take(entry);
            received.try_iter().take(CHANNEL).for_each(|entry| self.take(entry));
            self.flush();
            thread::park_timeout(REST);
        }
    }

    fn take(&mut self, entry: Entry) {
        match entry {
            Entry::Record(function, record) => self.write(&function, &*record),
            Entry::Ended(function, ended) => self.write(&function, &ended.line(&function)),
            Entry::Flush(done) => {
                self.flush();
                let _ = done.try_send(());
            }
            Entry::Forget(function) => {
                self.files.remove(&function);
                for generation in [Generation::Current, Generation::Old] {
                    let _ = fs::remove_file(path(&self.folder, &function, generation));
                }
            }
        }
    }

    fn flush(&mut self) {
        for open in self.files.values_mut() {
            let _ = open.file.flush();
        }
    }

    fn write(&mut self, function: &FunctionId, record: &impl Serialize) {
        if let Err(error) = self.try_write(function, record) {
            tracing::warn!(%function, %error, "log record could not be written");
            self.files.remove(function);
        }
    }

    fn try_write(&mut self, function: &FunctionId, record: &impl Serialize) -> io::Result<()> {
        self.line.clear();
        serde_json::to_writer(&mut self.line, record)?;
        self.line.push(b'\n');
        if self.files.get(function).is_none_or(|open| open.bytes >= FILE_BYTES) {
            self.open(function)?;
        }
        let open = self.files.get_mut(function).expect("it was just opened");
        open.bytes += self.line.len() as u64;
        open.file.write_all(&self.line)
    }

    /// Opens a function's file, a new one in place of one that is full.
    fn open(&mut self, function: &FunctionId) -> io::Result<()> {
        let current = path(&self.folder, function, Generation::Current);
        if self.files.remove(function).is_some() {
            fs::rename(&current, path(&self.folder, function, Generation::Old))?;
        }
        if self.files.len() >= OPEN_FILES_MAX {
            self.files.clear();
        }
        let file = OpenOptions::new().create(true).append(true).mode(0o600).open(&current)?;
        let bytes = file.metadata()?.len();
        self.files.insert(function.clone(), OpenFile { file: io::BufWriter::with_capacity(BUFFER_BYTES, file), bytes });
        Ok(())
    }
}

#[cfg(test)]
mod tests {
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
