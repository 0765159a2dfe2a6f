//! The native side of a function: the same code compiled natively, calling the engine in its own process.
//!
//! A process of its own, because a native host serves one manifest, and because its models should not share caches with
//! the node's.

use std::io::{BufRead as _, BufReader, Write as _};
use std::process::{Child, ChildStdin, ChildStdout, Command, Stdio};
use std::time::{Duration, Instant};

use anyhow::{Context as _, ensure};
use clap::{Args, ValueEnum};
use spillway_sdk::{Request, Response, testing};
use spillway_tests::workspace;

#[derive(Args)]
pub(crate) struct Native {
    function: Function,
}

/// A function that the benches run.
#[derive(Clone, Copy, Debug, ValueEnum)]
pub(crate) enum Function {
    Ocr,
    Sniff,
}

impl Function {
    /// Its name in `functions/`, and its route.
    pub(crate) fn name(self) -> &'static str {
        match self {
            Self::Ocr => "ocr",
            Self::Sniff => "sniff",
        }
    }

    fn call(self, request: Request) -> Response {
        match self {
            Self::Ocr => testing::call(ocr::handle, request),
            Self::Sniff => testing::call(sniff::handle, request),
        }
    }
}

impl Native {
    /// For each file that standard input names: nanoseconds, a space, and the answer, on a line.
    pub(crate) fn run(self) -> anyhow::Result<()> {
        for line in std::io::stdin().lines() {
            let body = std::fs::read(line?)?;
            let started = Instant::now();
            let response = self.function.call(Request::new(body.into()));
            let status = response.status();
            let answer =
                testing::block_on(response.into_body().text()).map_err(|error| anyhow::anyhow!("{error:?}"))?;
            let took = started.elapsed();
            ensure!(status.is_success(), "{status}: {answer}");
            println!("{} {}", took.as_nanos(), answer.trim_end());
        }
        Ok(())
    }
}

/// The process, and the pipes to it.
pub(crate) struct Beside {
    child: Child,
    questions: ChildStdin,
    answers: BufReader<ChildStdout>,
}

impl Beside {
    /// Starts this program as the native side of `function`.
    pub(crate) fn start(function: Function) -> anyhow::Result<Self> {
        let mut child = Command::new(std::env::current_exe()?)
            .args(["native", function.name()])
            // Where the native host finds the manifest.
            .env("CARGO_MANIFEST_DIR", workspace().join("functions").join(function.name()))
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            // Log records of the function.
            .stderr(Stdio::null())
            .spawn()?;
        let questions = child.stdin.take().context("the pipe was asked for")?;
        let answers = BufReader::new(child.stdout.take().context("the pipe was asked for")?);
        Ok(Self { child, questions, answers })
    }

    /// Runs the function on a file; blocks.
    pub(crate) fn run(&mut self, file: &str) -> anyhow::Result<(String, Duration)> {
        writeln!(self.questions, "{file}")?;
        let mut line = String::new();
        self.answers.read_line(&mut line)?;
        let (nanoseconds, answer) = line.trim_end().split_once(' ').context(
            "the native side failed; run it by hand: `spillway-bench native`, with a file's name on standard input",
        )?;
        Ok((answer.to_owned(), Duration::from_nanos(nanoseconds.parse()?)))
    }
}

impl Drop for Beside {
    fn drop(&mut self) {
        // It is this process's own child, and has nothing to lose.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}
