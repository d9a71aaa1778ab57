//! Loads a component into wasmtime and calls it.

use std::path::Path;
use std::time::Duration;

use wasmtime::component::{Component, Linker, ResourceAny};
use wasmtime::{Cache, CacheConfig, Config, Engine, Store, Trap};

use crate::limits::{Epochs, Usage};
use crate::{Error, Limits, validate};

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
    Batch, Fault, Finding, Metric, Outcome, Rejection, Route, Severity, Splice, Unrecognised,
};

/// The folder in that of the cache which Wasmtime has for itself.
const COMPILED: &str = "compiled";

/// A component, compiled and ready to be instantiated.
///
/// Compilation takes some tenths of a second, or some milliseconds with a cache; instantiation takes microseconds.
pub struct Sandbox {
    engine: Engine,
    ready: bindings::PluginPre<Usage>,
    component: Component,
    limits: Limits,
    _epochs: Epochs,
}

/// A correlator in a sandbox of its own.
///
/// After a trap it is unusable: every call returns [`Error::Trap`].
pub struct Correlator {
    store: Store<Usage>,
    plugin: bindings::Plugin,
    handle: ResourceAny,
    limits: Limits,
}

impl Sandbox {
    /// Compiles a component.
    ///
    /// # Errors
    ///
    /// [`Error::Component`] if the bytes are not a component, or if it has imports or a different world.
    pub fn new(component: &[u8], limits: Limits) -> Result<Self, Error> {
        Self::compile(component, limits, None)
    }

    /// Compiles a component, or loads the compiled code from a cache folder, which is created if necessary.
    ///
    /// Code in the folder is run unchecked: no other user may have write access to it.
    ///
    /// # Errors
    ///
    /// As for [`new`](Self::new); also [`Error::Component`] if the folder cannot be used.
    pub fn cached(component: &[u8], limits: Limits, folder: &Path) -> Result<Self, Error> {
        let mut cache = CacheConfig::new();
        // Wasmtime removes from its folder whatever it does not know.
        cache.with_directory(folder.join(COMPILED));
        Self::compile(component, limits, Some(Cache::new(cache).map_err(Error::Component)?))
    }

    fn compile(component: &[u8], limits: Limits, cache: Option<Cache>) -> Result<Self, Error> {
        let mut config = Config::new();
        config.epoch_interruption(limits.call < Duration::MAX).concurrency_support(false).cache(cache);
        let engine = Engine::new(&config).map_err(Error::Component)?;
        let component = Component::new(&engine, component).map_err(Error::Component)?;
        // The linker is empty, so a component with imports is rejected.
        let linker = Linker::<Usage>::new(&engine);
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

    /// Opens a correlator with empty state. `config` is JSON, see `docs/configuration.md`.
    ///
    /// # Errors
    ///
    /// [`Error::Fault`] if the component refuses the configuration, [`Error::Trap`] if it traps.
    pub fn open(&self, config: &str) -> Result<Correlator, Error> {
        self.start(|store, plugin| {
            let correlation = plugin.catena_pipeline_correlation();
            correlation.correlator().call_open(store, config)
        })
    }

    /// Opens a correlator that resumes from a checkpoint.
    ///
    /// # Errors
    ///
    /// As for [`open`](Self::open); also [`Error::Fault`] if the component refuses the checkpoint.
    pub fn resume(&self, config: &str, checkpoint: &[u8]) -> Result<Correlator, Error> {
        self.start(|store, plugin| {
            let correlation = plugin.catena_pipeline_correlation();
            correlation.correlator().call_resume(store, config, checkpoint)
        })
    }

    fn start(
        &self,
        call: impl FnOnce(&mut Store<Usage>, &bindings::Plugin) -> wasmtime::Result<Result<ResourceAny, Fault>>,
    ) -> Result<Correlator, Error> {
        let limits = self.limits;
        let mut store = Store::new(&self.engine, Usage::new(&limits));
        store.limiter(|usage| usage);
        store.set_hostcall_fuel(limits.output);
        store.set_epoch_deadline(limits.epochs());
        let started = self.ready.instantiate(&mut store).and_then(|plugin| Ok((call(&mut store, &plugin)?, plugin)));
        let (opened, plugin) = started.map_err(|error| trapped(error, &store, &limits))?;
        Ok(Correlator { handle: opened.map_err(Error::Fault)?, store, plugin, limits })
    }
}

/// The error of a call that trapped, with the limit that caused it as context.
fn trapped(error: wasmtime::Error, store: &Store<Usage>, limits: &Limits) -> Error {
    Error::Trap(match error.downcast_ref::<Trap>() {
        Some(Trap::Interrupt) => error.context(format!("the call took longer than {:?}", limits.call)),
        _ if store.data().refused => error.context(format!("it asked for more than {} bytes of memory", limits.memory)),
        _ => error,
    })
}

impl Correlator {
    /// Processes a batch, see `wit/catena.wit`.
    ///
    /// # Errors
    ///
    /// After [`Error::Fault`], nothing was consumed and the correlator remains usable. After [`Error::Trap`] or
    /// [`Error::InvalidAnswer`], it is unusable.
    pub fn process(&mut self, batch: &[u8], now: u64) -> Result<Outcome, Error> {
        self.process_batch(Batch::Bytes(batch), now)
    }

    /// Processes a batch passed as text. Offsets in the outcome still count bytes.
    ///
    /// # Errors
    ///
    /// As for [`process`](Self::process).
    pub fn process_text(&mut self, batch: &str, now: u64) -> Result<Outcome, Error> {
        self.process_batch(Batch::Text(batch), now)
    }

    fn process_batch(&mut self, batch: Batch<'_>, now: u64) -> Result<Outcome, Error> {
        let length = match batch {
            Batch::Bytes(bytes) => bytes.len(),
            Batch::Text(text) => text.len(),
        };
        let outcome =
            self.call(|guest, store, handle| guest.call_process(store, handle, batch, now))?.map_err(Error::Fault)?;
        validate::check(&outcome, length).map_err(Error::InvalidAnswer)?;
        Ok(outcome)
    }

    /// Partitions a batch by identity, see `wit/catena.wit`.
    ///
    /// # Errors
    ///
    /// As for [`process`](Self::process).
    pub fn route(&mut self, batch: &[u8], partitions: u32) -> Result<Vec<Route>, Error> {
        let bytes = Batch::Bytes(batch);
        let routes = self
            .call(|guest, store, handle| guest.call_route(store, handle, bytes, partitions))?
            .map_err(Error::Fault)?;
        validate::check_routes(&routes, batch.len(), partitions).map_err(Error::InvalidAnswer)?;
        Ok(routes)
    }

    /// Takes a checkpoint for [`Sandbox::resume`].
    ///
    /// # Errors
    ///
    /// [`Error::Trap`].
    pub fn checkpoint(&mut self) -> Result<Vec<u8>, Error> {
        // A checkpoint can be as large as the memory.
        self.call_within(self.limits.memory, |guest, store, handle| guest.call_checkpoint(store, handle))
    }

    /// The memory of the correlator, in bytes. It never shrinks.
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

    fn call<T>(
        &mut self,
        call: impl FnOnce(GuestCorrelator<'_>, &mut Store<Usage>, ResourceAny) -> wasmtime::Result<T>,
    ) -> Result<T, Error> {
        self.call_within(self.limits.output, call)
    }

    /// Makes one call under the deadline of each call. Its result may take at most `output` bytes.
    fn call_within<T>(
        &mut self,
        output: usize,
        call: impl FnOnce(GuestCorrelator<'_>, &mut Store<Usage>, ResourceAny) -> wasmtime::Result<T>,
    ) -> Result<T, Error> {
        self.store.set_hostcall_fuel(output);
        self.store.set_epoch_deadline(self.limits.epochs());
        let guest = self.plugin.catena_pipeline_correlation().correlator();
        call(guest, &mut self.store, self.handle).map_err(|error| trapped(error, &self.store, &self.limits))
    }
}
