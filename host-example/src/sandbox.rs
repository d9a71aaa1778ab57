//! The component behind wasmtime: loading it, calling it, and the limits it runs under.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;
use std::time::Duration;

use wasmtime::component::{Component, Linker, ResourceAny};
use wasmtime::{Config, Engine, ResourceLimiter, Store};

use crate::Error;

#[allow(missing_docs, reason = "generated; the documentation is in wit/catena.wit")]
mod bindings {
    wasmtime::component::bindgen!({
        path: "../wit",
        world: "plugin",
        ownership: Borrowing { duplicate_if_necessary: true },
    });
}

use bindings::exports::catena::pipeline::correlation::GuestCorrelator;
pub use bindings::exports::catena::pipeline::correlation::{
    Batch, Fault, Finding, Metric, Outcome, Rejection, Route, Severity, Splice,
};

/// The component that is built into this crate.
pub const BUILT_IN: &[u8] = include_bytes!(env!("CATENA_BUILT_IN_COMPONENT"));

/// How often the epoch counts up: the grain of [`Limits::call`].
const EPOCH: Duration = Duration::from_millis(10);

/// What one correlator may use.
#[derive(Clone, Copy, Debug)]
pub struct Limits {
    /// How long one call may take. It traps where it takes longer.
    pub call: Duration,
    /// How much memory it may have, in bytes.
    pub memory: usize,
}

impl Default for Limits {
    /// Ten seconds, far more than any batch takes, and 1 GiB.
    fn default() -> Self {
        Self { call: Duration::from_secs(10), memory: 1 << 30 }
    }
}

/// A component, compiled and ready to be instantiated.
///
/// Compiling takes some tenths of a second; instantiating takes microseconds.
pub struct Sandbox {
    engine: Engine,
    ready: bindings::PluginPre<State>,
    component: Component,
    limits: Limits,
    _epochs: Epochs,
}

/// One correlation in a sandbox of its own.
///
/// After a trap it is unusable: every call gives [`Error::Trap`].
pub struct Correlator {
    store: Store<State>,
    plugin: bindings::Plugin,
    handle: ResourceAny,
    epochs: u64,
}

/// What the sandbox holds a correlator to, and what it has taken of it.
struct State {
    most_memory: usize,
    memory: usize,
}

impl ResourceLimiter for State {
    fn memory_growing(&mut self, current: usize, desired: usize, _maximum: Option<usize>) -> wasmtime::Result<bool> {
        let granted = self.memory - current + desired <= self.most_memory;
        if granted {
            self.memory += desired - current;
        }
        Ok(granted)
    }

    fn table_growing(&mut self, _current: usize, desired: usize, _maximum: Option<usize>) -> wasmtime::Result<bool> {
        Ok(desired <= MOST_TABLE_ELEMENTS)
    }
}

/// Functions that are called through pointers: some hundreds in the engine.
const MOST_TABLE_ELEMENTS: usize = 20_000;

impl Sandbox {
    /// Compiles a component.
    ///
    /// # Errors
    ///
    /// [`Error::Component`] where the bytes are no component, where it imports anything, or where its world is another.
    pub fn new(component: &[u8], limits: Limits) -> Result<Self, Error> {
        let mut config = Config::new();
        config.epoch_interruption(true);
        let engine = Engine::new(&config).map_err(Error::Component)?;
        let component = Component::new(&engine, component).map_err(Error::Component)?;
        // Nothing is linked: a component that asks for something does not get in.
        let linker = Linker::<State>::new(&engine);
        let ready = linker.instantiate_pre(&component).and_then(bindings::PluginPre::new).map_err(Error::Component)?;
        let epochs = Epochs::start(engine.clone());
        Ok(Self { engine, ready, component, limits, _epochs: epochs })
    }

    /// The compiled component.
    pub fn component(&self) -> &Component {
        &self.component
    }

    /// The engine it is compiled for.
    pub fn engine(&self) -> &Engine {
        &self.engine
    }

    /// A correlator that remembers nothing yet. `config` is the JSON of [`catena::Config`].
    ///
    /// # Errors
    ///
    /// [`Error::Fault`] where the configuration is refused, [`Error::Trap`] where the component fails.
    pub fn open(&self, config: &str) -> Result<Correlator, Error> {
        self.start(|store, plugin| {
            let correlation = plugin.catena_pipeline_correlation();
            correlation.correlator().call_open(store, config)
        })
    }

    /// A correlator that goes on from a checkpoint.
    ///
    /// # Errors
    ///
    /// As [`open`](Self::open); [`Error::Fault`] too where the checkpoint is refused.
    pub fn resume(&self, config: &str, checkpoint: &[u8]) -> Result<Correlator, Error> {
        self.start(|store, plugin| {
            let correlation = plugin.catena_pipeline_correlation();
            correlation.correlator().call_resume(store, config, checkpoint)
        })
    }

    fn start(
        &self,
        call: impl FnOnce(&mut Store<State>, &bindings::Plugin) -> wasmtime::Result<Result<ResourceAny, Fault>>,
    ) -> Result<Correlator, Error> {
        let mut store = Store::new(&self.engine, State { most_memory: self.limits.memory, memory: 0 });
        store.limiter(|state| state);
        // What one call may bring out of the sandbox. wasmtime's 128 MiB are less than a large checkpoint.
        store.set_hostcall_fuel(self.limits.memory);
        let epochs = (self.limits.call.as_millis() / EPOCH.as_millis()) as u64 + 1;
        store.set_epoch_deadline(epochs);
        let plugin = self.ready.instantiate(&mut store).map_err(Error::Trap)?;
        let handle = call(&mut store, &plugin).map_err(Error::Trap)?.map_err(Error::Fault)?;
        Ok(Correlator { store, plugin, handle, epochs })
    }
}

impl Correlator {
    /// Processes a batch, see `wit/catena.wit`.
    ///
    /// # Errors
    ///
    /// [`Error::Fault`]: nothing was consumed, the correlator can go on. [`Error::Trap`]: it cannot.
    pub fn process(&mut self, batch: &[u8], now: u64) -> Result<Outcome, Error> {
        self.process_batch(Batch::Bytes(batch), now)
    }

    /// Processes a batch that is text already. Offsets in the outcome count bytes all the same.
    ///
    /// # Errors
    ///
    /// As [`process`](Self::process).
    pub fn process_text(&mut self, batch: &str, now: u64) -> Result<Outcome, Error> {
        self.process_batch(Batch::Text(batch), now)
    }

    fn process_batch(&mut self, batch: Batch<'_>, now: u64) -> Result<Outcome, Error> {
        self.call(|guest, store, handle| guest.call_process(store, handle, batch, now))?.map_err(Error::Fault)
    }

    /// Cuts a batch by identity, see `wit/catena.wit`.
    ///
    /// # Errors
    ///
    /// As [`process`](Self::process).
    pub fn route(&mut self, batch: &[u8], partitions: u32) -> Result<Vec<Route>, Error> {
        let batch = Batch::Bytes(batch);
        self.call(|guest, store, handle| guest.call_route(store, handle, batch, partitions))?.map_err(Error::Fault)
    }

    /// All that [`Sandbox::resume`] needs to go on from here.
    ///
    /// # Errors
    ///
    /// [`Error::Trap`].
    pub fn checkpoint(&mut self) -> Result<Vec<u8>, Error> {
        self.call(|guest, store, handle| guest.call_checkpoint(store, handle))
    }

    /// How much memory the correlator has, in bytes. It never gets less.
    pub fn memory(&self) -> usize {
        self.store.data().memory
    }

    /// The counters and gauges, by name.
    ///
    /// # Errors
    ///
    /// [`Error::Trap`].
    pub fn metrics(&mut self) -> Result<Vec<Metric>, Error> {
        self.call(|guest, store, handle| guest.call_metrics(store, handle))
    }

    /// Makes one call, under the deadline that each call has.
    fn call<T>(
        &mut self,
        call: impl FnOnce(GuestCorrelator<'_>, &mut Store<State>, ResourceAny) -> wasmtime::Result<T>,
    ) -> Result<T, Error> {
        self.store.set_epoch_deadline(self.epochs);
        let guest = self.plugin.catena_pipeline_correlation().correlator();
        call(guest, &mut self.store, self.handle).map_err(Error::Trap)
    }
}

/// Counts the engine's epochs up for as long as the sandbox lives.
struct Epochs {
    stop: Arc<AtomicBool>,
}

impl Epochs {
    fn start(engine: Engine) -> Self {
        let stop = Arc::new(AtomicBool::new(false));
        let stopped = Arc::clone(&stop);
        thread::spawn(move || {
            while !stopped.load(Ordering::Relaxed) {
                thread::sleep(EPOCH);
                engine.increment_epoch();
            }
        });
        Self { stop }
    }
}

impl Drop for Epochs {
    fn drop(&mut self) {
        self.stop.store(true, Ordering::Relaxed);
    }
}
