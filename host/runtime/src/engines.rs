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

/// What one component may be made of: a choice with room for whole interpreters. The Python and JavaScript components of
/// the tests fit (`foreign` in the integration tests); one that does not is refused when it is deployed.
const CORE_INSTANCES_PER_SANDBOX: u32 = 50;
const MEMORIES_PER_SANDBOX: u32 = 8;
const TABLES_PER_SANDBOX: u32 = 50;

const TABLE_KEPT: usize = 64 * 1024;
const STACK_KEPT: usize = 64 * 1024;

/// What sandboxes may take of a machine, per engine.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Room {
    /// Sandboxes that can exist at once. Address space, not memory: an unused slot costs none.
    sandboxes: u32,
    /// Bytes of memory that the slot of a sandbox keeps when it is free, instead of giving them back to the kernel. Page unmapping
    /// takes a lock per process and is why default pooling does not scale past one core (design decision 1).
    kept_bytes: usize,
}

impl Room {
    const SANDBOXES: (u32, u32) = (128, 2_000);
    /// A sandbox for as much memory of the machine: many wait, and few are large.
    const BYTES_PER_SANDBOX: u64 = 4 << 20;
    /// The part of memory that free slots of both engines may keep after the greatest crowd. Nothing else gives it back.
    const KEPT_SHARE: u64 = 8;
    /// What is kept, at least and at most.
    const KEPT: (u64, u64) = (64 << 10, 512 << 10);
    /// At most where the kernel tells which pages were written to (`PAGEMAP_SCAN`, Linux 6.7): only those are reset, where else
    /// all of them would be for each sandbox.
    const KEPT_SCANNED_MAX: u64 = 2 << 20;

    fn of(memory_bytes: u64, scans: bool) -> Self {
        let wanted = u32::try_from(memory_bytes / Self::BYTES_PER_SANDBOX).unwrap_or(u32::MAX);
        let sandboxes = wanted.clamp(Self::SANDBOXES.0, Self::SANDBOXES.1);
        let most = if scans { Self::KEPT_SCANNED_MAX } else { Self::KEPT.1 };
        let share = memory_bytes / Self::KEPT_SHARE / (2 * u64::from(sandboxes));
        let kept = share.clamp(Self::KEPT.0, most) & !0xffff;
        Self { sandboxes, kept_bytes: usize::try_from(kept).expect("it fits, being small") }
    }
}

/// One engine for WASI 0.3 and one for WASI 0.2: without concurrency support a host call costs a third.
#[derive(Clone)]
pub(crate) struct Engines {
    pub(crate) p3: Engine,
    pub(crate) p2: Engine,
    pub(crate) long_calls: LongCalls,
    _ticker: Arc<Ticker>,
}

impl Engines {
    /// For a machine, or a control group, with so much memory.
    pub(crate) fn new(memory_bytes: u64) -> wasmtime::Result<Self> {
        let room = Room::of(memory_bytes, PoolingAllocationConfig::is_pagemap_scan_available());
        let p3 = Engine::new(config(room).wasm_component_model_async(true))?;
        let p2 = Engine::new(config(room).concurrency_support(false))?;
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

fn config(Room { sandboxes, kept_bytes }: Room) -> Config {
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
        .linear_memory_keep_resident(kept_bytes)
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
    fn what_free_slots_keep_is_a_small_part_of_any_machine() {
        const GIB: u64 = 1 << 30;
        let of = |memory_bytes| Room::of(memory_bytes, true);
        assert_eq!(of(GIB), Room { sandboxes: 256, kept_bytes: 256 << 10 });
        assert_eq!(of(256 * GIB), Room { sandboxes: 2_000, kept_bytes: 2 << 20 });
        assert_eq!(Room::of(256 * GIB, false).kept_bytes, 512 << 10);
        for memory_bytes in [GIB / 2, GIB, 3 * GIB, 8 * GIB, 24 * GIB, 100 * GIB] {
            let Room { sandboxes, kept_bytes } = of(memory_bytes);
            assert!(2 * u64::from(sandboxes) * kept_bytes as u64 <= memory_bytes / 8, "{memory_bytes}");
        }
        // Where nobody knows.
        assert_eq!(of(0), Room { sandboxes: 128, kept_bytes: 64 << 10 });
    }

    #[test]
    fn one_sandbox_more_than_there_is_room_for_is_refused_as_busy() {
        // Room for one; the empty component is enough to take it.
        let room = Room { sandboxes: 1, kept_bytes: 0 };
        let engine = Engine::new(config(room).concurrency_support(false)).unwrap();
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
