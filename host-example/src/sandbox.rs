//! Loads a component into wasmtime and calls it.

use std::path::Path;
use std::time::Duration;

use wasmtime::component::{Component, Linker, ResourceAny};
use wasmtime::{Cache, CacheConfig, Config, Engine, Store, Trap};

use crate::limits::{Epochs, Usage};
use crate::{Error, Limits, Outcome, validate};

#[allow(missing_docs, reason = "generated; the documentation is in wit/catena.wit")]
pub(crate) mod bindings {
    wasmtime::component::bindgen!({
        path: "../wit",
        world: "catena",
        ownership: Borrowing { duplicate_if_necessary: true },
    });

    pub(crate) use exports::catena::pipeline::correlation::{Edits, Outcome};
}

use bindings::exports::catena::pipeline::correlation::{
    Batch, CheckpointForm, CheckpointParam, CheckpointResult, GuestCorrelator,
};
pub use bindings::exports::catena::pipeline::correlation::{
    Fault, FaultKind, Finding, Metric, MetricKind, Rejection, Route, Unrecognised,
};

/// The folder in that of the cache which Wasmtime has for itself.
const COMPILED: &str = "compiled";

/// A component, compiled and ready to be instantiated.
///
/// Compilation takes some tenths of a second, or some milliseconds with a cache; instantiation takes microseconds.
pub struct Sandbox {
    engine: Engine,
    ready: bindings::CatenaPre<Usage>,
    component: Component,
    limits: Limits,
    _epochs: Epochs,
}

/// A correlator in a sandbox of its own.
///
/// After a trap it is unusable: every call returns [`Error::Trap`].
pub struct Correlator {
    store: Store<Usage>,
    instance: bindings::Catena,
    handle: ResourceAny,
    limits: Limits,
    /// The length of the longest batch that it accepts.
    batch_limit: usize,
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
        let ready = linker.instantiate_pre(&component).and_then(bindings::CatenaPre::new).map_err(Error::Component)?;
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
        self.start(|store, instance| {
            let correlation = instance.catena_pipeline_correlation();
            correlation.correlator().call_open(store, config)
        })
    }

    /// Opens a correlator that resumes from a checkpoint.
    ///
    /// # Errors
    ///
    /// As for [`open`](Self::open); also [`Error::Fault`] if the component refuses the checkpoint.
    pub fn resume(&self, config: &str, checkpoint: &[u8]) -> Result<Correlator, Error> {
        self.start(|store, instance| {
            let correlation = instance.catena_pipeline_correlation();
            correlation.correlator().call_resume(store, config, CheckpointParam::Bytes(checkpoint))
        })
    }

    /// The same for a checkpoint in base64, as hosts pass it whose bindings are slow with bytes.
    ///
    /// # Errors
    ///
    /// As for [`resume`](Self::resume).
    pub fn resume_base64(&self, config: &str, checkpoint: &str) -> Result<Correlator, Error> {
        self.start(|store, instance| {
            let correlation = instance.catena_pipeline_correlation();
            correlation.correlator().call_resume(store, config, CheckpointParam::Base64(checkpoint))
        })
    }

    fn start(
        &self,
        call: impl FnOnce(&mut Store<Usage>, &bindings::Catena) -> wasmtime::Result<Result<ResourceAny, Fault>>,
    ) -> Result<Correlator, Error> {
        let (mut store, limits) = (self.store(), self.limits);
        let started = self.ready.instantiate(&mut store).and_then(|instance| {
            let opened = call(&mut store, &instance)?;
            let guest = instance.catena_pipeline_correlation().correlator();
            let limit = opened.as_ref().ok().map(|handle| guest.call_batch_limit(&mut store, *handle)).transpose()?;
            Ok((opened, limit, instance))
        });
        let (opened, limit, instance) = started.map_err(|error| trapped(error, &store, &limits))?;
        let batch_limit = limit.unwrap_or_default() as usize;
        Ok(Correlator { handle: opened.map_err(Error::Fault)?, store, instance, limits, batch_limit })
    }

    /// What the component says of itself: one JSON object, see `describe` in `wit/catena.wit`.
    ///
    /// # Errors
    ///
    /// [`Error::Trap`].
    pub fn describe(&self) -> Result<String, Error> {
        let mut store = self.store();
        let instance = self.ready.instantiate(&mut store);
        let described = instance.and_then(|it| it.catena_pipeline_correlation().call_describe(&mut store));
        described.map_err(|error| trapped(error, &store, &self.limits))
    }

    /// A store for one instance and one call, under the limits.
    fn store(&self) -> Store<Usage> {
        let mut store = Store::new(&self.engine, Usage::new(&self.limits));
        store.limiter(|usage| usage);
        store.set_hostcall_fuel(self.limits.output);
        store.set_epoch_deadline(self.limits.epochs());
        store
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
    /// Processes a batch, see `wit/catena.wit`. `now_ms` is the time in milliseconds since 1970.
    ///
    /// # Errors
    ///
    /// After [`Error::Fault`], nothing was consumed and the correlator remains usable. After [`Error::Trap`] or
    /// [`Error::InvalidAnswer`], it is unusable.
    pub fn process(&mut self, batch: &[u8], now_ms: impl Into<Option<u64>>) -> Result<Outcome, Error> {
        self.process_batch(Batch::Bytes(batch), batch.len(), now_ms.into())
    }

    /// Processes a batch passed as text. Offsets in the outcome still count bytes.
    ///
    /// # Errors
    ///
    /// As for [`process`](Self::process).
    pub fn process_text(&mut self, batch: &str, now_ms: impl Into<Option<u64>>) -> Result<Outcome, Error> {
        self.process_batch(Batch::Text(batch), batch.len(), now_ms.into())
    }

    fn process_batch(&mut self, batch: Batch<'_>, length: usize, now_ms: Option<u64>) -> Result<Outcome, Error> {
        self.check_length(length)?;
        let answer = self.call(|guest, store, handle| guest.call_process(store, handle, batch, now_ms))?;
        let outcome = Outcome::read(answer.map_err(Error::Fault)?).map_err(Error::InvalidAnswer)?;
        validate::check(&outcome, length).map_err(Error::InvalidAnswer)?;
        Ok(outcome)
    }

    /// Refuses a batch that the component would refuse, before it is copied there.
    fn check_length(&self, length: usize) -> Result<(), Error> {
        if length <= self.batch_limit {
            return Ok(());
        }
        let message = format!("the batch has {length} bytes, the limit is {}", self.batch_limit);
        Err(Error::Fault(Fault { kind: FaultKind::LimitExceeded, path: "batch".to_owned(), message }))
    }

    /// Partitions a batch by identity, see `wit/catena.wit`.
    ///
    /// # Errors
    ///
    /// As for [`process`](Self::process).
    pub fn route(&mut self, batch: &[u8], partitions: u32) -> Result<Vec<Route>, Error> {
        self.check_length(batch.len())?;
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
    /// [`Error::Trap`]; [`Error::Fault`] from a component that cannot take one now, and remains usable.
    pub fn checkpoint(&mut self) -> Result<Vec<u8>, Error> {
        // A checkpoint can be as large as the memory.
        let form = CheckpointForm::Bytes;
        let taken =
            self.call_within(self.limits.memory, |guest, store, handle| guest.call_checkpoint(store, handle, form))?;
        match taken.map_err(Error::Fault)? {
            CheckpointResult::Bytes(bytes) => Ok(bytes),
            CheckpointResult::Base64(_) => {
                Err(Error::InvalidAnswer("a checkpoint in base64 instead of bytes".to_owned()))
            }
        }
    }

    /// The length in bytes of the longest batch that it accepts.
    pub fn batch_limit(&self) -> usize {
        self.batch_limit
    }

    /// Joins what the correlators of several partitions insert into one record, see `wit/catena.wit`.
    ///
    /// # Errors
    ///
    /// [`Error::Fault`] for texts that no correlator inserts; [`Error::Trap`].
    pub fn join_annotations(&mut self, texts: &[&str]) -> Result<String, Error> {
        self.begin(self.limits.output);
        let joined = self.instance.catena_pipeline_correlation().call_join_annotations(&mut self.store, texts);
        joined.map_err(|error| trapped(error, &self.store, &self.limits))?.map_err(Error::Fault)
    }

    /// The memory of the correlator, in bytes. It never shrinks.
    pub fn memory(&self) -> usize {
        self.store.data().memory
    }

    /// The counters and gauges.
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

    /// Sets the limits of one call.
    fn begin(&mut self, output: usize) {
        self.store.set_hostcall_fuel(output);
        self.store.set_epoch_deadline(self.limits.epochs());
    }

    /// Makes one call under the deadline of each call. Its result may take at most `output` bytes.
    fn call_within<T>(
        &mut self,
        output: usize,
        call: impl FnOnce(GuestCorrelator<'_>, &mut Store<Usage>, ResourceAny) -> wasmtime::Result<T>,
    ) -> Result<T, Error> {
        self.begin(output);
        let guest = self.instance.catena_pipeline_correlation().correlator();
        call(guest, &mut self.store, self.handle).map_err(|error| trapped(error, &self.store, &self.limits))
    }
}
