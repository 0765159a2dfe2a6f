//! The child's side of a [`Screening`](crate::Screening): loads one model, and runs it once, in a process that cannot do
//! much else.
//!
//! | what | how | why |
//! | --- | --- | --- |
//! | memory | `RLIMIT_DATA` | what allocators get. `RLIMIT_AS` would count the program's own text and reserved, untouched space |
//! | time | `RLIMIT_CPU`; the parent's clock | the first holds even if the parent dies |
//! | files, sockets | `RLIMIT_NOFILE` 3 | nothing beyond the three streams can be opened: no external data, whatever the engine believes |
//! | writing | `RLIMIT_FSIZE` 0, `RLIMIT_CORE` 0 | pipes are not affected |
//! | stack | half a kernel thread's | a nesting that passes here must not overflow there |
//!
//! The process limits itself before it reads a byte from outside: until then it is our own program doing what we wrote.

use std::io::{self, BufRead, BufReader, Read, Write};
use std::thread;
use std::time::{Duration, Instant};

use rustix::process::{Resource, Rlimit, Signal, getrlimit, set_parent_process_death_signal, setrlimit};
use serde::{Deserialize, Serialize};
use spillway_types::Specialization;

use crate::job::contain;
use crate::threads::STACK_BYTES;
use crate::trial::run_once;
use crate::{Engine, LoadError};

/// What one check may use.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct CheckLimits {
    /// Memory in bytes.
    pub memory_bytes: u64,
    /// Processor time, and time.
    pub time: Duration,
}

/// The first line of what the child reads; the file follows.
#[derive(Debug, Serialize, Deserialize)]
struct Request {
    engine: String,
    specialization: Specialization,
    file_bytes: usize,
}

/// The one line that the child writes.
#[derive(Debug, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
enum Verdict {
    Runs,
    Refused(LoadError),
}

/// Writes what [`run`] reads.
///
/// # Errors
/// What `stream` says.
pub fn ask(
    mut stream: impl Write,
    engine: &dyn Engine,
    specialization: &Specialization,
    file: &[u8],
) -> io::Result<()> {
    let request =
        Request { engine: engine.name().into(), specialization: specialization.clone(), file_bytes: file.len() };
    serde_json::to_writer(&mut stream, &request)?;
    stream.write_all(b"\n")?;
    stream.write_all(file)?;
    stream.flush()
}

/// What [`run`] wrote; `None` where it did not get to say anything.
pub fn answer(line: &[u8]) -> Option<Result<(), LoadError>> {
    match serde_json::from_slice(line).ok()? {
        Verdict::Runs => Some(Ok(())),
        Verdict::Refused(error) => Some(Err(error)),
    }
}

/// Limits this process, reads one model from `input`, loads it with the engine of `engines` that is asked for, runs it on
/// inputs full of one number, and writes to `output` what became of it. For a process that does nothing else: the limits stay.
///
/// # Errors
/// When the limits cannot be set, or a stream fails.
pub fn run(engines: &[&dyn Engine], limits: CheckLimits, input: impl Read, mut output: impl Write) -> io::Result<()> {
    let started = Instant::now();
    confine(limits)?;
    let mut input = BufReader::new(input);
    let mut line = Vec::new();
    input.read_until(b'\n', &mut line)?;
    let Request { engine: name, specialization, file_bytes } = serde_json::from_slice(&line)?;
    let mut file = Vec::with_capacity(file_bytes);
    input.read_to_end(&mut file)?;
    if file.len() != file_bytes {
        return Err(io::ErrorKind::UnexpectedEof.into());
    }
    let engine = engines.iter().find(|engine| engine.name() == name);
    let engine = engine.ok_or_else(|| io::Error::other(format!("there is no engine `{name}`")))?;
    // A model may take long and be good. Between two graph nodes a run can be stopped; what is left is for the one that
    // it is stopped after.
    let stop = || started.elapsed() > limits.time / 2;
    let loading = || contain(|| run_once(engine.load(file, &specialization)?.as_ref(), &stop, limits.memory_bytes / 2));
    let outcome = thread::scope(|scope| {
        let loader = thread::Builder::new().stack_size(STACK_BYTES / 2).spawn_scoped(scope, loading)?;
        loader.join().map_err(|_| io::Error::other("the loader's panic was not contained"))
    })?;
    let verdict = match outcome {
        Ok(Ok(())) => Verdict::Runs,
        // tract checks its allocations and panics, and where it plans the panic is an error by now; everybody else's failing
        // allocations end the process.
        Ok(Err(LoadError::Unsupported(text))) | Err(text) if text.contains("failed to allocate Layout") => {
            Verdict::Refused(LoadError::TooMuchMemory { limit_bytes: limits.memory_bytes })
        }
        Ok(Err(error)) => Verdict::Refused(shorten(error)),
        Err(panic) => Verdict::Refused(LoadError::Crashed(panic.chars().take(400).collect())),
    };
    serde_json::to_writer(&mut output, &verdict)?;
    output.write_all(b"\n")?;
    output.flush()
}

/// What is read of an answer has an end, and names in a file have none.
fn shorten(error: LoadError) -> LoadError {
    const LONGEST: usize = 4096;
    let cut = |text: String| match text.char_indices().nth(LONGEST) {
        None => text,
        Some((end, _)) => format!("{}…", &text[..end]),
    };
    match error {
        LoadError::NotAModel(text) => LoadError::NotAModel(cut(text)),
        LoadError::Specialization(text) => LoadError::Specialization(cut(text)),
        LoadError::Unsupported(text) => LoadError::Unsupported(cut(text)),
        LoadError::Crashed(text) => LoadError::Crashed(cut(text)),
        LoadError::TooMuchMemory { .. } | LoadError::TooSlow { .. } => error,
    }
}

fn confine(limits: CheckLimits) -> io::Result<()> {
    set_parent_process_death_signal(Some(Signal::KILL))?;
    // If the machine runs out of memory, this process goes first and not the node. Not every system lets us say so.
    let _ = std::fs::write("/proc/self/oom_score_adj", "1000");
    // A second more than the clock's limit, so that the clock is the one that is met.
    let cpu_seconds = limits.time.as_secs() + 2;
    for (resource, most) in [
        (Resource::Core, 0),
        (Resource::Fsize, 0),
        (Resource::Cpu, cpu_seconds),
        (Resource::Data, limits.memory_bytes),
        (Resource::Nofile, 3),
    ] {
        // What already holds for us may be stricter, and cannot be lifted.
        let most = getrlimit(resource).maximum.map_or(most, |before| most.min(before));
        setrlimit(resource, Rlimit { current: Some(most), maximum: Some(most) })?;
    }
    Ok(())
}
