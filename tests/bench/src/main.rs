//! Benchmarks: Spillway beside the same work done natively, side by side in one run.
//!
//! | module | what |
//! | --- | --- |
//! | `models` | `cargo xtask bench models`: what HTTP, sandbox and host calls add to inference |
//! | `cluster` | `cargo xtask bench cluster`: how fast a cluster follows |
//! | `overflow` | `cargo xtask bench overflow`: what sending calls over gains |
//! | `http` | `cargo xtask bench http`: HTTP and sandboxes beside what one would take instead |
//! | `kernels` | `cargo xtask bench kernels`: kernels as host calls beside native libraries and engines |
//! | `soak` | `cargo xtask soak`: whether a node grows under load and changes |
//! | `showcase` | `cargo xtask demo --cluster`: the same, to look at |
//! | `native` | the native side of a function, in a process of its own |
//! | `plain` | a plain hyper server that calls the engine, in a process of its own |
//! | `caller` | an HTTP client that adds as little as it can |
//! | `spread` | medians, and how far runs lie apart |

mod caller;
mod cluster;
mod http;
mod kernels;
mod models;
mod native;
mod overflow;
mod plain;
mod showcase;
mod soak;
mod spread;

use clap::{Parser, Subcommand};

#[derive(Parser)]
#[command(about = "Benchmarks; run them with `cargo xtask bench`")]
struct Cli {
    #[command(subcommand)]
    bench: Bench,
}

#[derive(Subcommand)]
enum Bench {
    /// What HTTP, sandbox and host calls add to inference
    Models(models::Models),
    /// How fast a cluster follows
    Cluster(cluster::Cluster),
    /// What sending calls over gains where a node has too little
    Overflow(overflow::Overflow),
    /// HTTP and sandboxes beside what one would take instead
    Http(http::Http),
    /// Kernels as host calls beside native libraries and engines
    Kernels(kernels::Kernels),
    /// Whether a node grows under load and changes
    Soak(soak::Soak),
    /// Serves a hello with plain hyper; for the benches themselves
    #[command(hide = true)]
    Hello(http::Hello),
    /// Shows what sending calls over gains; for `cargo xtask demo --cluster`
    #[command(hide = true)]
    Showcase(showcase::Showcase),
    /// Runs a function natively on each file that standard input names; for the benches themselves
    #[command(hide = true)]
    Native(native::Native),
    /// Serves a model with plain hyper; for the benches themselves
    #[command(hide = true)]
    Plain(plain::Plain),
}

fn main() -> anyhow::Result<()> {
    match Cli::parse().bench {
        Bench::Cluster(bench) => tokio::runtime::Runtime::new()?.block_on(bench.run()),
        Bench::Overflow(bench) => tokio::runtime::Runtime::new()?.block_on(bench.run()),
        Bench::Showcase(showcase) => tokio::runtime::Runtime::new()?.block_on(showcase.run()),
        Bench::Soak(soak) => tokio::runtime::Runtime::new()?.block_on(soak.run()),
        Bench::Models(bench) => tokio::runtime::Runtime::new()?.block_on(bench.run()),
        Bench::Http(bench) => tokio::runtime::Runtime::new()?.block_on(bench.run()),
        Bench::Kernels(bench) => tokio::runtime::Runtime::new()?.block_on(bench.run()),
        Bench::Hello(hello) => tokio::runtime::Runtime::new()?.block_on(hello.run()),
        Bench::Native(native) => native.run(),
        Bench::Plain(plain) => plain.run(),
    }
}
