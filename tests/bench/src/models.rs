//! What HTTP, sandbox and host calls add to inference.
//!
//! Calls over HTTP and native runs alternate, so that both meet the same noise; each pair gives one ratio.

use bytes::Bytes;
use clap::Args;
use serde::Serialize;
use spillway_tests::{Node, bundle_file, workspace};

use crate::caller::Caller;
use crate::native::{Beside, Function};
use crate::plain::PlainServer;
use crate::spread::Spread;

#[derive(Args)]
pub(crate) struct Models {
    /// Print JSON
    #[arg(long)]
    json: bool,
    /// Pairs of runs of each function
    #[arg(long, default_value_t = 30, value_parser = clap::value_parser!(u16).range(1..))]
    pairs: u16,
}

/// What is measured, and what we aim for.
#[derive(Serialize)]
struct Report {
    /// HTTP over native, minus 1.
    ocr_overhead: Measured,
    sniff_overhead: Measured,
    /// Microseconds that a function adds to a plain hyper handler, one call at a time.
    mlp_added_us: Measured,
}

#[derive(Serialize)]
struct Measured {
    #[serde(flatten)]
    spread: Spread,
    aim: f64,
}

/// Calls in one block of the small network: one call is shorter than the noise.
const BLOCK: usize = 200;

impl Models {
    pub(crate) async fn run(self) -> anyhow::Result<()> {
        let node = Node::start().await;
        for name in ["ocr", "sniff", "mlp"] {
            let file = bundle_file(name).display().to_string();
            node.cli(&["deploy", &file, "--json"]).await.json();
        }
        let (ocr, sniff) = ("tests/data/ocr/pictures", "tests/data/sniff/files");
        let report = Report {
            ocr_overhead: Measured { spread: overhead(&node, Function::Ocr, ocr, self.pairs).await?, aim: 0.05 },
            sniff_overhead: Measured { spread: overhead(&node, Function::Sniff, sniff, self.pairs).await?, aim: 0.05 },
            mlp_added_us: Measured { spread: added(&node, self.pairs).await?, aim: 40.0 },
        };
        if self.json {
            println!("{}", serde_json::to_string_pretty(&report)?);
        } else {
            print("ocr_overhead", &report.ocr_overhead);
            print("sniff_overhead", &report.sniff_overhead);
            print("mlp_added_us", &report.mlp_added_us);
        }
        Ok(())
    }
}

fn print(name: &str, measured: &Measured) {
    let Measured { spread: Spread { median, p10, p90, runs }, aim } = measured;
    println!("{name:<16} {median:>8.3}  (10 % below {p10:.3}, 10 % above {p90:.3}, {runs} runs; aim {aim})");
}

/// One function on the files of a folder in turn, over HTTP and natively; both must answer the same.
async fn overhead(node: &Node, function: Function, folder: &str, pairs: u16) -> anyhow::Result<Spread> {
    let mut files: Vec<_> = std::fs::read_dir(workspace().join(folder))?
        .map(|entry| Ok(entry?.path().display().to_string()))
        .collect::<std::io::Result<_>>()?;
    files.sort();
    let mut caller = Caller::connect(node.listen()).await?;
    let mut native = Beside::start(function)?;
    let path = format!("/{}", function.name());
    let mut ratios = Vec::new();
    for file in files.iter().cycle().take(usize::from(pairs)) {
        let body = Bytes::from(std::fs::read(file)?);
        // The first of each is not counted: it plans the models for the picture's shape.
        for counts in [false, true] {
            let (over_http, http) = caller.post(&path, body.clone()).await?;
            let (natively, alone) = tokio::task::block_in_place(|| native.run(file))?;
            anyhow::ensure!(over_http == natively, "{file}: {over_http:?} over HTTP, {natively:?} natively");
            if counts {
                ratios.push(http.as_secs_f64() / alone.as_secs_f64() - 1.0);
            }
        }
    }
    Ok(Spread::of(ratios))
}

/// The small network behind a function and behind a plain hyper handler, block by block.
async fn added(node: &Node, pairs: u16) -> anyhow::Result<Spread> {
    let plain = PlainServer::start(&workspace().join("tests/data/mlp/mlp.onnx"))?;
    let (mut function, mut plain) = (Caller::connect(node.listen()).await?, Caller::connect(plain.address()).await?);
    let input: Vec<u8> = (0..64).flat_map(|index| (index as f32 / 64.0).to_le_bytes()).collect();
    let input = Bytes::from(input);
    let mut added = Vec::new();
    for block in 0..=pairs {
        let (ours, theirs) =
            (median_us(&mut function, "/mlp", &input).await?, median_us(&mut plain, "/", &input).await?);
        // The first block warms both up.
        if block > 0 {
            added.push(ours - theirs);
        }
    }
    Ok(Spread::of(added))
}

/// The median of a block of calls, in microseconds.
async fn median_us(caller: &mut Caller, path: &str, body: &Bytes) -> anyhow::Result<f64> {
    let mut times = Vec::with_capacity(BLOCK);
    for _ in 0..BLOCK {
        let (answer, took) = caller.post(path, body.clone()).await?;
        anyhow::ensure!(answer.len() == 40, "{path} answered {} bytes instead of 10 numbers", answer.len());
        times.push(took.as_secs_f64() * 1e6);
    }
    Ok(Spread::of(times).median)
}
