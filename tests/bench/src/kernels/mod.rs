//! Kernels as host calls beside the same work done natively, side by side in one run, in turn.
//!
//! Two threads mean two calls at once, each computed by one thread: that is how a node, and each engine here, uses more
//! cores than one when it has more than one call.
//!
//! | module | what |
//! | --- | --- |
//! | `guest` | what a guest is asked, which times its own host calls |
//! | `native` | products by `faer` and `gemm`, copies |
//! | `engines` | tract in this process, ONNX Runtime in another |
//! | `shapes` | convolutions of real networks |
//! | `late` | how long a kernel holds its thread after its deadline |
//! | `report` | figures and their parts |

mod engines;
mod guest;
mod late;
mod native;
mod report;
mod shapes;

use anyhow::ensure;
use clap::Args;
use kernels::{Case, Wide};

use engines::Engines;
use guest::Guest;
use report::{Report, Section};

#[derive(Args)]
pub(crate) struct Kernels {
    /// Print JSON
    #[arg(long)]
    json: bool,
    /// Rounds, in each of which all are measured in turn
    #[arg(long, default_value_t = 5, value_parser = clap::value_parser!(u16).range(1..))]
    rounds: u16,
    /// For how long each is measured in a round, in milliseconds; at least twice
    #[arg(long, default_value_t = 100, value_parser = clap::value_parser!(u64).range(1..))]
    milliseconds: u64,
    /// At most so many calls at once
    #[arg(long, default_value_t = 2, value_parser = clap::value_parser!(u16).range(1..=2))]
    threads: u16,
    /// Only figures whose key contains this
    #[arg(long, value_name = "TEXT")]
    only: Option<String>,
}

/// Sizes of the products: rows and columns.
const SIZES: [usize; 4] = [256, 512, 1024, 2048];
/// What is held against a copy.
const WIDE: [(&str, Wide); 6] = [
    ("add", Wide::Add),
    ("relu", Wide::Relu),
    ("sigmoid", Wide::Sigmoid),
    ("gelu", Wide::Gelu),
    ("softmax", Wide::Softmax),
    ("layer normalisation", Wide::LayerNormalization),
];
/// Vectors that are searched.
const ROWS: usize = 100_000;
/// Bytes of one operand there.
const WIDE_BYTES: usize = 4 << 20;

impl Kernels {
    pub(crate) async fn run(self) -> anyhow::Result<()> {
        let guest = Guest::start(self.milliseconds).await?;
        let engines = Engines::start(self.milliseconds).await?;
        let mut bench =
            Bench { guest, engines, milliseconds: self.milliseconds, threads: 1, report: Report::default() };
        for round in 1..=self.rounds {
            for threads in 1..=usize::from(self.threads) {
                bench.threads = threads;
                eprintln!("round {round} of {}, {threads} at once", self.rounds);
                self.round(&mut bench).await?;
            }
        }
        let report = bench.report;
        ensure!(!report.is_empty(), "no figure has {:?} in its key", self.only.unwrap_or_default());
        if self.json { report.print_json() } else { report.print() }
    }

    async fn round(&self, bench: &mut Bench) -> anyhow::Result<()> {
        if self.wants("matmul_over_best_native") {
            bench.matmul_natively().await?;
        }
        // The guest's own products take seconds, and two at once tell no more.
        if self.wants("matmul_over_guest_simd") && bench.threads == 1 {
            bench.matmul_in_guest().await?;
        }
        if self.wants("embed_over_best_engine") {
            bench.embed().await?;
        }
        if self.wants("eager_call_ns") && bench.threads == 1 {
            bench.calls().await?;
        }
        if self.wants("compiled_over_eager") {
            bench.chain().await?;
        }
        if self.wants("elementwise_bandwidth") {
            bench.bandwidth().await?;
        }
        if self.wants("conv2d_over_tract") || self.wants("conv2d_over_onnxruntime") {
            bench.convolutions().await?;
        }
        if self.wants("embed_beside_others") && bench.threads == 1 {
            bench.others().await?;
        }
        if self.wants("similar_over_read") && bench.threads == 1 {
            bench.search().await?;
        }
        if self.wants("late_kernel_ms") && bench.threads == 1 {
            bench.late().await?;
        }
        Ok(())
    }

    fn wants(&self, key: &str) -> bool {
        self.only.as_ref().is_none_or(|only| key.contains(only.as_str()))
    }
}

struct Bench {
    guest: Guest,
    engines: Engines,
    milliseconds: u64,
    /// Calls at once.
    threads: usize,
    report: Report,
}

impl Bench {
    fn section(&mut self, key: &'static str, gate: Option<f64>, aim: f64) -> Section<'_> {
        let key = if self.threads == 1 { key.to_owned() } else { format!("{key}_{}_threads", self.threads) };
        self.report.section(key, gate, aim)
    }

    async fn ask(&self, case: Case) -> anyhow::Result<f64> {
        self.guest.median(&case, self.threads).await
    }

    async fn matmul_natively(&mut self) -> anyhow::Result<()> {
        let mut ratios = Vec::new();
        for size in SIZES {
            let ours = self.ask(Case::Matmul { size }).await?;
            let (faer, gemm) = tokio::task::block_in_place(|| {
                (
                    native::faer(size, self.threads, self.milliseconds),
                    native::gemm(size, self.threads, self.milliseconds),
                )
            });
            let mut section = self.section("matmul_over_best_native", Some(1.10), 1.05);
            section.part(&size.to_string(), &[("ours", ours), ("faer", faer), ("gemm", gemm)]);
            ratios.push(ours / faer.min(gemm));
        }
        // The worst of the sizes.
        self.section("matmul_over_best_native", Some(1.10), 1.05).figure(most(&ratios));
        Ok(())
    }

    async fn matmul_in_guest(&mut self) -> anyhow::Result<()> {
        let mut ratios = Vec::new();
        for size in SIZES {
            let ours = self.ask(Case::Matmul { size }).await?;
            let guest = self.ask(Case::MatmulInGuest { size }).await?;
            let mut section = self.section("matmul_over_guest_simd", Some(5.0), 6.0);
            section.part(&size.to_string(), &[("ours", ours), ("guest", guest)]);
            ratios.push(guest / ours);
        }
        self.section("matmul_over_guest_simd", Some(5.0), 6.0).figure(least(&ratios));
        Ok(())
    }

    async fn embed(&mut self) -> anyhow::Result<()> {
        let ours = self.guest.embed(self.threads).await?;
        let tract = self.engines.tract("encoder", self.threads).await?;
        let ort = self.engines.onnxruntime("encoder", self.threads).await?;
        let mut section = self.section("embed_over_best_engine", Some(1.3), 1.15);
        section.part("64 tokens", &[("ours", ours), ("tract", tract), ("onnxruntime", ort)]);
        section.figure(ours / tract.min(ort));
        Ok(())
    }

    async fn calls(&mut self) -> anyhow::Result<()> {
        let (empty, add) = (self.ask(Case::HostCall).await?, self.ask(Case::Add).await?);
        let drop = self.ask(Case::Drop).await?;
        let mut section = self.section("eager_call_ns", Some(800.0), 500.0);
        section.part("one", &[("add", add), ("drop", drop), ("empty host call", empty)]);
        section.figure(add);
        Ok(())
    }

    async fn chain(&mut self) -> anyhow::Result<()> {
        let (eager, compiled) = (self.ask(Case::ChainEager).await?, self.ask(Case::ChainCompiled).await?);
        let mut section = self.section("compiled_over_eager", Some(3.0), 5.0);
        section.part("50 kernels", &[("eager", eager), ("compiled", compiled)]);
        section.figure(eager / compiled);
        Ok(())
    }

    async fn bandwidth(&mut self) -> anyhow::Result<()> {
        let mut ratios = Vec::new();
        for (name, wide) in WIDE {
            let ours = self.ask(Case::Wide(wide)).await?;
            // A copy moves its bytes twice: it reads and writes them.
            let bytes = WIDE_BYTES * wide.moved() / 2;
            let copy = tokio::task::block_in_place(|| native::copy(bytes, self.threads, self.milliseconds));
            self.section("elementwise_bandwidth", Some(0.6), 0.8).part(name, &[("ours", ours), ("copy", copy)]);
            ratios.push(copy / ours);
        }
        self.section("elementwise_bandwidth", Some(0.6), 0.8).figure(least(&ratios));
        Ok(())
    }

    async fn others(&mut self) -> anyhow::Result<()> {
        let (alone, beside) = (self.guest.embed(1).await?, self.guest.embed_beside_others().await?);
        let mut section = self.section("embed_beside_others", None, 1.2);
        section.part("64 tokens", &[("alone", alone), ("beside a namespace at its quota", beside)]);
        section.figure(beside / alone);
        Ok(())
    }

    async fn search(&mut self) -> anyhow::Result<()> {
        let (search, texts_per_second) = self.guest.search(ROWS).await?;
        // The text is made a vector, and all vectors are read once; a copy of half of them moves as many bytes.
        let text = self.guest.embed_short().await?;
        let bytes = ROWS * 384 * 4 / 2;
        let copy = tokio::task::block_in_place(|| native::copy(bytes, 1, self.milliseconds));
        let mut section = self.section("similar_over_read", None, 1.2);
        section.part("search", &[("all", search), ("the text's vector", text), ("a copy of as many bytes", copy)]);
        section.part("index", &[("one text", 1e9 / texts_per_second)]);
        section.figure((search - text) / copy);
        Ok(())
    }

    async fn late(&mut self) -> anyhow::Result<()> {
        let held = late::held().await?;
        let mut section = self.section("late_kernel_ms", Some(50.0), 20.0);
        held.iter().for_each(|(name, held)| section.part(name, &[("held", *held)]));
        section.figure(held.iter().map(|(_, held)| held / 1e6).fold(0.0, f64::max));
        Ok(())
    }

    async fn convolutions(&mut self) -> anyhow::Result<()> {
        let (mut over_tract, mut over_ort) = (Vec::new(), Vec::new());
        for (name, convolution) in shapes::all() {
            let ours = self.ask(Case::Conv2d(convolution)).await?;
            let tract = self.engines.tract(&name, self.threads).await?;
            let ort = self.engines.onnxruntime(&name, self.threads).await?;
            let mut section = self.section("conv2d_over_tract", Some(1.0), 0.8);
            section.part(&name, &[("ours", ours), ("tract", tract), ("onnxruntime", ort)]);
            over_tract.push(ours / tract);
            over_ort.push(ours / ort);
        }
        self.section("conv2d_over_tract", Some(1.0), 0.8).figure(mean(&over_tract));
        self.section("conv2d_over_onnxruntime", None, 1.2).figure(mean(&over_ort));
        Ok(())
    }
}

fn least(ratios: &[f64]) -> f64 {
    ratios.iter().copied().fold(f64::INFINITY, f64::min)
}

fn most(ratios: &[f64]) -> f64 {
    ratios.iter().copied().fold(0.0, f64::max)
}

/// The geometric mean: a ratio and its inverse come to 1.
fn mean(ratios: &[f64]) -> f64 {
    (ratios.iter().map(|ratio| ratio.ln()).sum::<f64>() / ratios.len() as f64).exp()
}
