//! The files of a node's logs, and the thread that owns them.

use std::collections::HashMap;
use std::fs::{self, File, OpenOptions};
use std::io::{self, Write};
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};
use std::thread;
use std::time::Duration;

use serde::Serialize;
use spillway_types::FunctionId;

use super::Entry;
use super::queue::Queue;

/// A file is closed at this size; a function keeps two, so twice this at most.
pub(super) const FILE_BYTES: u64 = 4 << 20;
/// Open files; a node with more functions writing at once opens and closes.
const OPEN_FILES_MAX: usize = 64;
/// Written at once: some hundred records.
const BUFFER_BYTES: usize = 64 << 10;
/// How long the writer rests between two rounds, and so how long a record may wait before it is in the file.
const REST: Duration = Duration::from_millis(200);

#[derive(Clone, Copy)]
pub(super) enum Generation {
    Current,
    Old,
}

pub(super) fn path(folder: &Path, function: &FunctionId, generation: Generation) -> PathBuf {
    // Names are DNS labels, so they are file names, and `.` cannot be in one.
    let extension = match generation {
        Generation::Current => "ndjson",
        Generation::Old => "ndjson.old",
    };
    folder.join(format!("{}.{}.{extension}", function.namespace, function.name))
}

/// The thread that owns the files.
pub(super) struct Writer {
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
    pub(super) fn new(folder: &Path) -> Self {
        Self { folder: folder.to_owned(), files: HashMap::new(), line: Vec::new() }
    }

    /// Writes in rounds. A record that comes while this thread rests wakes nobody, because a wake-up costs a call more than
    /// all else about its record; only the first after a longer silence does.
    pub(super) fn run(mut self, queue: &Queue<Entry>) {
        let mut taken = Vec::new();
        while queue.take(&mut taken) {
            taken.drain(..).for_each(|entry| self.take(entry));
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
