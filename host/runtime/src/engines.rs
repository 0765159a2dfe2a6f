//! The two wasmtime engines and the clock that interrupts guests.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering::Acquire, Ordering::Release};
use std::time::Duration;

use wasmtime::{Config, Enabled, Engine, PoolingAllocationConfig};

use crate::component::Interface;
use crate::long_calls::LongCalls;
use crate::priority::lower_priority;

/// How often a running guest lets others run, and how late a deadline can be noticed. A guest that was interrupted so goes on
/// on threads of lower priority.
const EPOCH: Duration = Duration::from_millis(2);

/// Sandboxes that can exist at once, per engine. Address space, not memory: an unused slot costs none.
const SANDBOXES_MAX: u32 = 2_000;
/// What one component may be made of: a choice with room for whole interpreters. The Python and JavaScript components of
/// the tests fit (`foreign` in the integration tests); one that does not is refused when it is deployed.
const CORE_INSTANCES_PER_SANDBOX: u32 = 50;
const MEMORIES_PER_SANDBOX: u32 = 8;
const TABLES_PER_SANDBOX: u32 = 50;

/// Bytes that a freed slot keeps instead of giving them back to the kernel. Page unmapping takes a lock per process and
/// is why default pooling does not scale past one core (design decision 1).
const MEMORY_KEPT: usize = 512 * 1024;
/// As many may be kept where the kernel tells which of them were written to (`PAGEMAP_SCAN`, Linux 6.7): only those are reset,
/// where else all of them would be for each sandbox.
const MEMORY_KEPT_SCANNED: usize = 2 << 20;
const TABLE_KEPT: usize = 64 * 1024;
const STACK_KEPT: usize = 64 * 1024;

/// One engine for WASI 0.3 and one for WASI 0.2: without concurrency support a host call costs a third.
#[derive(Clone)]
pub(crate) struct Engines {
    pub(crate) p3: Engine,
    pub(crate) p2: Engine,
    pub(crate) long_calls: LongCalls,
    _ticker: Arc<Ticker>,
}

impl Engines {
    pub(crate) fn new() -> wasmtime::Result<Self> {
        let p3 = Engine::new(config(SANDBOXES_MAX).wasm_component_model_async(true))?;
        let p2 = Engine::new(config(SANDBOXES_MAX).concurrency_support(false))?;
        // wasmtime compiles on these threads. They may be there already, if this process has had another runtime.
        let _ = rayon::ThreadPoolBuilder::new().start_handler(|_| lower_priority()).build_global();
        let long_calls = LongCalls::start()?;
        let ticker = Arc::new(Ticker::start([p3.clone(), p2.clone()])?);
        Ok(Self { p3, p2, long_calls, _ticker: ticker })
    }

    pub(crate) fn of(&self, interface: Interface) -> &Engine {
        match interface {
            Interface::P3 => &self.p3,
            Interface::P2 => &self.p2,
        }
    }
}

fn config(sandboxes: u32) -> Config {
    let scans = PoolingAllocationConfig::is_pagemap_scan_available();
    let mut pool = PoolingAllocationConfig::default();
    pool.total_component_instances(sandboxes)
        .total_core_instances(sandboxes * 10)
        .total_memories(sandboxes * 2)
        .total_tables(sandboxes * 10)
        .total_stacks(sandboxes)
        .max_core_instances_per_component(CORE_INSTANCES_PER_SANDBOX)
        .max_memories_per_component(MEMORIES_PER_SANDBOX)
        .max_tables_per_component(TABLES_PER_SANDBOX)
        .max_component_instance_size(4 << 20)
        .max_core_instance_size(4 << 20)
        .linear_memory_keep_resident(if scans { MEMORY_KEPT_SCANNED } else { MEMORY_KEPT })
        .table_keep_resident(TABLE_KEPT)
        .async_stack_keep_resident(STACK_KEPT)
        .pagemap_scan(Enabled::Auto);
    let mut config = Config::new();
    config.allocation_strategy(pool);
    config.epoch_interruption(true);
    config.wasm_component_model(true);
    config
}

/// Advances both epochs from a thread of its own, because an async task could be starved by the very guests it ends.
struct Ticker {
    stops: Arc<AtomicBool>,
    thread: Option<std::thread::JoinHandle<()>>,
}

impl Ticker {
    fn start(engines: [Engine; 2]) -> std::io::Result<Self> {
        let stops = Arc::new(AtomicBool::new(false));
        let stopped = stops.clone();
        let tick = move || {
            // A channel would look for a message again and again before it waits, five hundred times a second.
            while !stopped.load(Acquire) {
                std::thread::park_timeout(EPOCH);
                engines.iter().for_each(Engine::increment_epoch);
            }
        };
        let thread = std::thread::Builder::new().name("epoch".to_owned()).spawn(tick)?;
        Ok(Self { stops, thread: Some(thread) })
    }
}

impl Drop for Ticker {
    fn drop(&mut self) {
        self.stops.store(true, Release);
        if let Some(thread) = self.thread.take() {
            thread.thread().unpark();
            let _ = thread.join();
        }
    }
}

#[cfg(test)]
mod tests {
    use wasmtime::Store;
    use wasmtime::component::{Component, Linker};

    use super::*;
    use crate::fault::Fault;

    #[test]
    fn one_sandbox_more_than_there_is_room_for_is_refused_as_busy() {
        // Room for one; the empty component is enough to take it.
        let engine = Engine::new(config(1).concurrency_support(false)).unwrap();
        let component = Component::from_binary(&engine, b"\0asm\x0d\0\x01\0").unwrap();
        let pre = Linker::<()>::new(&engine).instantiate_pre(&component).unwrap();
        let (mut first, mut second) = (Store::new(&engine, ()), Store::new(&engine, ()));
        pre.instantiate(&mut first).unwrap();
        let refused = pre.instantiate(&mut second).err().unwrap();
        assert!(matches!(Fault::of(&refused), Fault::Busy(_)), "{refused:?}");
        drop(first);
        pre.instantiate(&mut second).unwrap();
    }
}
