//! What guests can import, one file per interface.

mod config;
mod graphs;
mod inference;
mod kernels;
mod keyvalue;
mod logging;
mod models;
mod nn;
mod operators;
mod tensors;

use wasmtime::Engine;
use wasmtime::component::{HasSelf, Linker};

use crate::component::Interface;
use crate::sandbox::SandboxState;

/// Bindings generated from the one copy of the WIT, in the SDK.
mod bindings {
    /// `spillway:tensor` for both kinds of component.
    #[allow(missing_docs, unreachable_pub, clippy::allow_attributes_without_reason, reason = "generated code")]
    pub mod tensor {
        wasmtime::component::bindgen!({
            path: "../../guest-sdk/wit",
            world: "spillway:tensor/imports-blocking",
            imports: {
                "spillway:tensor/inference-blocking.open": store | async | trappable,
                "spillway:tensor/inference-blocking.run": store | async | trappable,
                "spillway:tensor/inference-blocking.weight": store | async | trappable,
                "spillway:tensor/kernels-blocking.compute": store | async | trappable,
                "spillway:tensor/graph-execution-blocking.build": store | async | trappable,
                "spillway:tensor/graph-execution-blocking.dispatch": store | async | trappable,
                default: trappable,
            },
            with: {
                "spillway:tensor/tensors.tensor": crate::imports::tensors::HostTensor,
                "spillway:tensor/models.model": crate::imports::models::HostModel,
                "spillway:tensor/graphs.graph": crate::imports::graphs::HostGraph,
            },
        });
    }

    /// The asynchronous interfaces of `spillway:tensor`, for WASI 0.3 components only.
    #[allow(missing_docs, unreachable_pub, clippy::allow_attributes_without_reason, reason = "generated code")]
    pub mod inference {
        wasmtime::component::bindgen!({
            path: "../../guest-sdk/wit",
            world: "spillway:tensor/imports",
            imports: { "spillway:tensor/kernels.compute-short": store | trappable, default: trappable },
            with: {
                "spillway:tensor/tensors": super::tensor::spillway::tensor::tensors,
                "spillway:tensor/models": super::tensor::spillway::tensor::models,
                "spillway:tensor/operators": super::tensor::spillway::tensor::operators,
                "spillway:tensor/graphs": super::tensor::spillway::tensor::graphs,
            },
        });
    }

    /// `wasi:keyvalue`.
    #[allow(missing_docs, unreachable_pub, clippy::allow_attributes_without_reason, reason = "generated code")]
    pub mod keyvalue {
        wasmtime::component::bindgen!({
            path: "../../guest-sdk/wit",
            world: "wasi:keyvalue/imports",
            imports: { default: async | trappable },
            with: { "wasi:keyvalue/store.bucket": crate::imports::keyvalue::Bucket },
        });
    }

    /// `wasi:nn`.
    #[allow(missing_docs, unreachable_pub, clippy::allow_attributes_without_reason, reason = "generated code")]
    pub mod nn {
        wasmtime::component::bindgen!({
            path: "../../guest-sdk/wit",
            world: "wasi:nn/ml",
            imports: {
                "wasi:nn/graph.load": async | trappable,
                "wasi:nn/graph.load-by-name": async | trappable,
                "wasi:nn/inference.[method]graph-execution-context.compute": store | async | trappable,
                default: trappable,
            },
            with: {
                "wasi:nn/tensor.tensor": crate::imports::nn::tensor::NnTensor,
                "wasi:nn/graph.graph": crate::imports::nn::graph::Graph,
                "wasi:nn/inference.graph-execution-context": crate::imports::nn::graph::ExecutionContext,
                "wasi:nn/errors.error": crate::imports::nn::errors::NnError,
            },
        });
    }

    /// `wasi:config`.
    #[allow(missing_docs, unreachable_pub, clippy::allow_attributes_without_reason, reason = "generated code")]
    pub mod config {
        wasmtime::component::bindgen!({ path: "../../guest-sdk/wit", world: "wasi:config/imports" });
    }

    /// `wasi:logging`.
    #[allow(missing_docs, unreachable_pub, clippy::allow_attributes_without_reason, reason = "generated code")]
    pub mod logging {
        wasmtime::component::bindgen!({
            path: "../../guest-sdk/wit",
            world: "wasi:logging/imports",
            imports: { default: store },
        });
    }
}

/// Everything that a component may import, whatever its manifest grants: a call that is not granted gets the
/// interface's own denial, so that components of other toolchains, which import all of WASI, still instantiate.
pub(crate) fn linker(engine: &Engine, interface: Interface) -> wasmtime::Result<Linker<SandboxState>> {
    let mut linker = Linker::new(engine);
    wasmtime_wasi::p2::add_to_linker_async(&mut linker)?;
    wasmtime_wasi_http::p2::add_only_http_to_linker_async(&mut linker)?;
    if interface == Interface::P3 {
        wasmtime_wasi::p3::add_to_linker(&mut linker)?;
        crate::outbound::add_to_linker(&mut linker)?;
    }
    type Own = HasSelf<SandboxState>;
    bindings::tensor::ImportsBlocking::add_to_linker::<_, Own>(&mut linker, |state| state)?;
    tensors::link_in_place(&mut linker)?;
    if interface == Interface::P3 {
        bindings::inference::spillway::tensor::inference::add_to_linker::<_, Own>(&mut linker, |state| state)?;
        bindings::inference::spillway::tensor::kernels::add_to_linker::<_, Own>(&mut linker, |state| state)?;
        bindings::inference::spillway::tensor::graph_execution::add_to_linker::<_, Own>(&mut linker, |state| state)?;
    }
    nn::add_to_linker(&mut linker)?;
    bindings::keyvalue::Imports::add_to_linker::<_, Own>(&mut linker, |state| state)?;
    bindings::config::Imports::add_to_linker::<_, Own>(&mut linker, |state| state)?;
    bindings::logging::Imports::add_to_linker::<_, Own>(&mut linker, |state| state)?;
    Ok(linker)
}
