//! What is wrong with a node that still serves: looked for once a second, told in `/readyz` and the log.
//!
//! A look writes nothing unless it suspects the disk, so that an idle node lets its disk sleep.

use std::fs::{self, OpenOptions};
use std::io::{self, Write as _};
use std::os::unix::fs::OpenOptionsExt as _;
use std::path::Path;
use std::sync::atomic::{AtomicBool, AtomicU64, AtomicUsize, Ordering::Relaxed};
use std::sync::{Arc, PoisonError, RwLock};
use std::time::{Duration, Instant};

use rustix::fs::{StatVfsMountFlags, statvfs};
use rustix::io::Errno;
use rustix::process::{Resource, getrlimit, setrlimit};
use spillway_types::api::{Condition, ConditionKind};
use tokio_util::sync::CancellationToken;

use crate::node::Node;

const EVERY: Duration = Duration::from_secs(1);
/// Looks between two writes for a disk that is not suspected: a quota shows in nothing but a failed write.
const WRITE_EVERY: u64 = 30;
/// What a look writes, and what must be free lest it does: less serves no deployment.
const PROBE_BYTES: usize = 64 * 1024;
/// Shares of a limit from which on it is near.
const NEAR: (u64, u64) = (9, 10);
/// How long a refusal of the kernel is told of.
const TOLD: Duration = Duration::from_secs(10);

/// What is wrong now. Lives as long as the node.
pub(crate) struct Health {
    conditions: RwLock<Vec<Condition>>,
    /// A write to the disk has failed since the last look.
    disk_suspected: AtomicBool,
    /// When the kernel last refused memory, in milliseconds since `started`, and one more; 0 for never.
    memory_refused_at: AtomicU64,
    /// Callers' connections that file handles allow, and those of them that are left.
    connections_max: usize,
    connections_left: AtomicUsize,
    started: Instant,
}

impl Health {
    pub(crate) fn new() -> Self {
        let connections_max = connections_max();
        Self {
            conditions: RwLock::default(),
            disk_suspected: AtomicBool::new(false),
            memory_refused_at: AtomicU64::new(0),
            connections_max,
            connections_left: AtomicUsize::new(connections_max),
            started: Instant::now(),
        }
    }

    /// What is wrong, by the last look.
    pub(crate) fn conditions(&self) -> Vec<Condition> {
        self.conditions.read().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// As [`conditions`](Self::conditions), in one text.
    pub(crate) fn trouble(&self) -> Option<String> {
        let details: Vec<String> = self.conditions().into_iter().map(|condition| condition.detail).collect();
        (!details.is_empty()).then(|| details.join("; "))
    }

    /// Has the disk looked at closely.
    pub(crate) fn suspect_disk(&self) {
        self.disk_suspected.store(true, Relaxed);
    }

    /// Notes that the kernel gave no memory for a sandbox.
    pub(crate) fn memory_refused(&self) {
        self.memory_refused_at.store(self.now() + 1, Relaxed);
    }

    /// How many connections callers may have open: half of the file handles, so that the control API, the store and
    /// models always find some.
    pub(crate) fn connections_max(&self) -> usize {
        self.connections_max
    }

    /// Notes how many more connections callers may open.
    pub(crate) fn note_connections_left(&self, left: usize) {
        self.connections_left.store(left, Relaxed);
    }

    fn now(&self) -> u64 {
        u64::try_from(self.started.elapsed().as_millis()).unwrap_or(u64::MAX)
    }

    /// Looks at everything. Blocks on the disk.
    fn look(&self, folder: &Path, number: u64) {
        let known = self.conditions();
        let suspected = self.disk_suspected.swap(false, Relaxed)
            || known.iter().any(|it| matches!(it.kind, ConditionKind::DiskFull | ConditionKind::DataReadOnly));
        let disk = disk(folder, suspected || number.is_multiple_of(WRITE_EVERY));
        let now = [disk, self.handles(), self.memory()].into_iter().flatten().collect::<Vec<_>>();
        for new in now.iter().filter(|new| known.iter().all(|old| old.kind != new.kind)) {
            tracing::warn!(condition = new.kind.name(), "{}", new.detail);
        }
        for gone in known.iter().filter(|old| now.iter().all(|new| new.kind != old.kind)) {
            tracing::info!(condition = gone.kind.name(), "passed");
        }
        *self.conditions.write().unwrap_or_else(PoisonError::into_inner) = now;
    }

    fn handles(&self) -> Option<Condition> {
        let of = |detail| Some(Condition { kind: ConditionKind::FileHandles, detail });
        const REMEDY: &str = "raise the limit of open files (`ulimit -n`, `LimitNOFILE=` of systemd)";
        if self.connections_left.load(Relaxed) == 0 {
            let max = self.connections_max;
            return of(format!(
                "callers have {max} connections open, half of this process's file handles, and further ones wait; {REMEDY}"
            ));
        }
        let limit = getrlimit(Resource::Nofile).current.unwrap_or(u64::MAX);
        match fs::read_dir("/proc/self/fd").map(|entries| entries.count() as u64) {
            Ok(open) if is_near(open, limit) => of(format!(
                "{open} of {limit} file handles are open; without free ones, connections and files cannot be opened; {REMEDY}"
            )),
            Err(error) if error.raw_os_error() == Some(Errno::MFILE.raw_os_error()) => {
                of(format!("all {limit} file handles are open; connections and files cannot be opened; {REMEDY}"))
            }
            _ => None,
        }
    }

    fn memory(&self) -> Option<Condition> {
        let of = |detail| Some(Condition { kind: ConditionKind::MemoryMaps, detail });
        const REMEDY: &str = "raise `vm.max_map_count`, or the memory of this process";
        let refused = self.memory_refused_at.load(Relaxed);
        if refused > 0 && self.now() < refused.saturating_add(TOLD.as_millis() as u64) {
            return of(format!(
                "the kernel gave no memory for a sandbox; calls that need a new one are refused (503), others are served; {REMEDY}"
            ));
        }
        let areas = count_lines("/proc/self/maps").ok()?;
        let limit = fs::read_to_string("/proc/sys/vm/max_map_count").ok()?.trim().parse().ok()?;
        is_near(areas, limit)
            .then(|| {
                of(format!(
                    "{areas} of {limit} memory areas are mapped; beyond that, sandboxes cannot be made; {REMEDY}"
                ))
            })
            .flatten()
    }
}

/// Looks once a second until told to stop.
pub(crate) async fn watch(node: Arc<Node>, stop: CancellationToken) {
    for number in 1_u64.. {
        let looking = node.clone();
        let looked = tokio::task::spawn_blocking(move || looking.health.look(&looking.config.data, number)).await;
        if let Err(error) = looked {
            tracing::error!(%error, "looking for what is wrong panicked");
        }
        tokio::select! {
            () = tokio::time::sleep(EVERY) => {}
            () = stop.cancelled() => return,
        }
    }
}

/// What is wrong with the folder's disk. Writes to it only if asked to, or if it seems that it could not.
fn disk(folder: &Path, writes: bool) -> Option<Condition> {
    let seems_well = statvfs(folder).is_ok_and(|disk| {
        let free = disk.f_bavail.saturating_mul(disk.f_frsize);
        !disk.f_flag.contains(StatVfsMountFlags::RDONLY) && free >= PROBE_BYTES as u64
    });
    if seems_well && !writes {
        return None;
    }
    let error = probe(folder).err()?;
    // What there is none of then are handles, which is a condition of its own.
    if error.raw_os_error().is_some_and(|code| [Errno::MFILE, Errno::NFILE].iter().any(|of| of.raw_os_error() == code))
    {
        return None;
    }
    let folder = folder.display();
    let served = "functions that are deployed are served; deployments and key-value writes are refused";
    Some(match error.kind() {
        io::ErrorKind::StorageFull | io::ErrorKind::QuotaExceeded => Condition {
            kind: ConditionKind::DiskFull,
            detail: format!(
                "the disk of {folder} is full; {served}; free some room, run `spillway gc`, or lower --disk-budget"
            ),
        },
        _ => Condition {
            kind: ConditionKind::DataReadOnly,
            detail: format!("{folder} cannot be written ({error}); {served}; make it writable again"),
        },
    })
}

/// Writes a file and removes it, as a deployment would write one.
fn probe(folder: &Path) -> io::Result<()> {
    let path = folder.join("probe");
    let mut file = OpenOptions::new().write(true).create(true).truncate(true).mode(0o600).open(&path)?;
    let written = file.write_all(&[0; PROBE_BYTES]);
    fs::remove_file(&path)?;
    written
}

fn is_near(used: u64, limit: u64) -> bool {
    used.saturating_mul(NEAR.1) >= limit.saturating_mul(NEAR.0)
}

/// The file may have tens of thousands of lines, so it is not read into memory at once.
fn count_lines(path: &str) -> io::Result<u64> {
    let mut file = fs::File::open(path)?;
    let mut buffer = [0; 16 * 1024];
    let mut lines = 0;
    loop {
        match io::Read::read(&mut file, &mut buffer)? {
            0 => return Ok(lines),
            read => lines += buffer[..read].iter().filter(|byte| **byte == b'\n').count() as u64,
        }
    }
}

/// Takes as many file handles as this process may have, and gives callers half of them.
fn connections_max() -> usize {
    let mut limit = getrlimit(Resource::Nofile);
    // The soft limit is for programs that use select(2), which cannot have more than 1024.
    if limit.current != limit.maximum {
        let soft = limit.current;
        limit.current = limit.maximum;
        if setrlimit(Resource::Nofile, limit).is_err() {
            limit.current = soft;
        }
    }
    usize::try_from(limit.current.unwrap_or(u64::MAX) / 2)
        .unwrap_or(usize::MAX)
        .clamp(8, tokio::sync::Semaphore::MAX_PERMITS)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_folder_that_is_gone_cannot_be_written_and_one_that_is_there_is_left_as_it_was() {
        let folder = tempfile::tempdir().unwrap();
        assert_eq!(disk(folder.path(), true), None);
        assert_eq!(fs::read_dir(folder.path()).unwrap().count(), 0);
        let gone = disk(&folder.path().join("gone"), false).unwrap();
        assert_eq!(gone.kind, ConditionKind::DataReadOnly);
        assert!(gone.detail.contains("gone cannot be written"), "{gone:?}");
    }

    #[test]
    fn a_refusal_of_the_kernel_is_told_of_for_a_while() {
        let health = Health::new();
        assert_eq!(health.memory(), None);
        health.memory_refused();
        assert_eq!(health.memory().unwrap().kind, ConditionKind::MemoryMaps);
    }

    #[test]
    fn callers_without_another_connection_are_told_of() {
        let health = Health::new();
        assert_eq!(health.handles(), None);
        health.note_connections_left(0);
        assert!(health.handles().unwrap().detail.contains("LimitNOFILE"));
    }
}
