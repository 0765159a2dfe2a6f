//! Tries models in a child process before this one loads them: [`ChildProcess`].
//!
//! | the child | means |
//! | --- | --- |
//! | says that the model loads | remembered in the data folder; the node loads it |
//! | says why not | that is the error |
//! | ends by a limit, or without a word | an error that names the limit, or how it ended |

use std::io::{self, Read};
use std::os::unix::process::{CommandExt as _, ExitStatusExt as _};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitStatus, Stdio};
use std::sync::{Mutex, PoisonError, mpsc};
use std::thread;
use std::time::{Duration, Instant};

use rustix::process::Signal;
use spillway_inference::check::{self, CheckLimits};
use spillway_inference::{Engine, LoadError, ScreenError, Screening, TractEngine};
use spillway_types::{Digest, Specialization};

use crate::passed::Passed;

/// The subcommand that [`check_model`] is.
pub const SUBCOMMAND: &str = "check-model";

/// A model's check may take this much memory, or eight times its file if that is more. Measured with `check-model` under
/// `time`: 42 MiB for PP-OCR's detector (4.7 MB), 54 MiB for its recogniser (10.9 MB), 34 MiB for magika (3.2 MB).
const MEMORY_BYTES: u64 = 2 << 30;

/// What a child may say, and what may be kept of what it complains.
const ANSWER_BYTES: u64 = 64 << 10;

/// Screens with this executable's own hidden subcommand.
pub(crate) struct ChildProcess {
    passed: Passed,
    memory_bytes: Option<u64>,
    time: Duration,
    /// One child at a time: what they may use together is what one may use.
    turn: Mutex<()>,
}

impl ChildProcess {
    /// Remembers in `folder` what passed. `memory_bytes` stands for the default limit.
    pub(crate) fn new(folder: PathBuf, memory_bytes: Option<u64>, time: Duration) -> io::Result<Self> {
        Ok(Self { passed: Passed::open(folder)?, memory_bytes, time, turn: Mutex::default() })
    }

    fn limits(&self, file_bytes: usize) -> CheckLimits {
        let memory_bytes = self.memory_bytes.unwrap_or(MEMORY_BYTES.max(8 * file_bytes as u64));
        CheckLimits { memory_bytes, time: self.time }
    }
}

impl Screening for ChildProcess {
    fn screen(
        &self,
        engine: &dyn Engine,
        digest: Digest,
        specialization: &Specialization,
        file: &[u8],
    ) -> Result<(), ScreenError> {
        if self.passed.holds(engine, digest, specialization) {
            return Ok(());
        }
        let limits = self.limits(file.len());
        {
            let _turn = self.turn.lock().unwrap_or_else(PoisonError::into_inner);
            judge(&start(limits)?.converse(limits.time, engine, specialization, file)?, limits)?;
        }
        tracing::info!(%digest, engine = engine.name(), "model passed its check");
        if let Err(error) = self.passed.add(engine, digest, specialization) {
            tracing::warn!(%digest, %error, "the passed check is not remembered; it will be made again");
        }
        Ok(())
    }
}

/// The child's side, for the hidden subcommand: does not return before it has answered.
///
/// # Errors
/// As [`check::run`].
pub fn check_model(memory_bytes: u64, time: Duration) -> io::Result<()> {
    let limits = CheckLimits { memory_bytes, time };
    check::run(&[&TractEngine], limits, io::stdin().lock(), io::stdout().lock())
}

/// A child that waits for its question, and since when.
struct Asked(Child, Instant);

/// How a child ended.
struct Ended {
    status: ExitStatus,
    is_late: bool,
    said: Vec<u8>,
    complained: Vec<u8>,
}

fn start(limits: CheckLimits) -> io::Result<Asked> {
    // This very program, even if another one lies in its place by now. Descriptors of ours are closed by `exec`; the
    // child gets three streams, no environment and no folder of anybody's.
    let mut command = Command::new("/proc/self/exe");
    command.arg0("spillway").arg(SUBCOMMAND);
    command.args(["--memory-bytes", &limits.memory_bytes.to_string()]);
    command.args(["--time-ms", &limits.time.as_millis().to_string()]);
    command.env_clear().current_dir(Path::new("/"));
    // The program's allocator takes a gigabyte at once else, which the limit on memory would count.
    command.env("MIMALLOC_ARENA_EAGER_COMMIT", "0");
    command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped());
    // A call may have started this thread, which then has its core, and so would the child.
    spillway_runtime::like_any_other();
    let started = Instant::now();
    command.spawn().map(|child| Asked(child, started))
}

impl Asked {
    /// Passes the file, and reads what the child says until it ends or its time has.
    fn converse(
        self,
        time: Duration,
        engine: &dyn Engine,
        specialization: &Specialization,
        file: &[u8],
    ) -> io::Result<Ended> {
        let Self(mut child, started) = self;
        let (stdin, stdout, stderr) = (child.stdin.take(), child.stdout.take(), child.stderr.take());
        thread::scope(|scope| {
            // A child that ended early does not read on; what it said is what counts.
            scope.spawn(move || stdin.map(|stdin| check::ask(stdin, engine, specialization, file)));
            let (sender, silence) = mpsc::channel::<()>();
            let (first, second) = (sender.clone(), sender);
            let said = scope.spawn(move || read(stdout, first));
            let complained = scope.spawn(move || read(stderr, second));
            // Disconnected when both streams have ended.
            let left = time.saturating_sub(started.elapsed());
            let was_cut = silence.recv_timeout(left) == Err(mpsc::RecvTimeoutError::Timeout);
            let is_late = was_cut || started.elapsed() > time;
            // Also one that closed its streams and goes on.
            child.kill()?;
            let status = child.wait()?;
            let text = |reader: thread::ScopedJoinHandle<'_, Vec<u8>>| reader.join().unwrap_or_default();
            Ok(Ended { status, is_late, said: text(said), complained: text(complained) })
        })
    }
}

/// The beginning of a stream; the rest is read too, lest the child waits. Holds `_open` until the stream ends.
fn read(stream: Option<impl Read>, _open: mpsc::Sender<()>) -> Vec<u8> {
    let mut kept = Vec::new();
    if let Some(mut stream) = stream {
        // Streams of a child that is killed just end.
        let _ = (&mut stream).take(ANSWER_BYTES).read_to_end(&mut kept);
        let _ = io::copy(&mut stream, &mut io::sink());
    }
    kept
}

fn judge(ended: &Ended, limits: CheckLimits) -> Result<(), ScreenError> {
    let signal = ended.status.signal();
    if !ended.is_late
        && let Some(answer) = check::answer(&ended.said)
    {
        return Ok(answer?);
    }
    if ended.is_late || signal == Some(Signal::XCPU.as_raw()) {
        return Err(LoadError::TooSlow { limit: limits.time }.into());
    }
    let complaint = String::from_utf8_lossy(&ended.complained);
    // The words of Rust's standard library and of tract, which a test of each holds them to.
    if complaint.contains("memory allocation of") || complaint.contains("failed to allocate Layout") {
        return Err(LoadError::TooMuchMemory { limit_bytes: limits.memory_bytes }.into());
    }
    if complaint.contains("overflowed its stack") {
        let cause = "its graph is nested too deeply (the engine ran out of stack)";
        return Err(LoadError::Crashed(cause.into()).into());
    }
    let last: String = complaint.lines().last().unwrap_or_default().chars().take(200).collect();
    if ended.status.code() == Some(1) {
        // What `check_model` returns: it could not do its work.
        return Err(io::Error::other(last).into());
    }
    let how = format!("the process that tried it ended with {} {last}", ended.status);
    Err(LoadError::Crashed(how.trim_end().into()).into())
}
