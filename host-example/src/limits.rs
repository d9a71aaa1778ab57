//! Resource limits of a component, and their enforcement.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;
use std::time::Duration;

use wasmtime::{Engine, ResourceLimiter};

/// The interval between epochs: the resolution of [`Limits::call`].
pub(crate) const EPOCH: Duration = Duration::from_millis(10);

/// The resource limits of one correlator.
#[derive(Clone, Copy, Debug)]
pub struct Limits {
    /// Maximum duration of one call; a longer one traps. [`Duration::MAX`] means no limit: the code is then compiled
    /// without epoch checks, which is slightly faster, and an endless loop never ends.
    pub call: Duration,
    /// Maximum linear memory, in bytes.
    pub memory: usize,
    /// Maximum size of the outcome of one batch (splices, findings, rejections), in bytes of memory.
    pub output: usize,
}

impl Default for Limits {
    /// `call`: 10 s, far more than any batch takes; `memory`: 1 GiB; `output`: 256 MiB.
    fn default() -> Self {
        Self { call: Duration::from_secs(10), memory: 1 << 30, output: 256 << 20 }
    }
}

impl Limits {
    /// No limits but the address space. For measuring the cost of the limits, not for production.
    pub const NONE: Self = Self { call: Duration::MAX, memory: usize::MAX, output: usize::MAX };

    /// The deadline of a call, in epochs.
    pub(crate) fn epochs(&self) -> u64 {
        u64::try_from(self.call.as_millis() / EPOCH.as_millis()).unwrap_or(u64::MAX - 1) + 1
    }
}

/// The memory use of a correlator, against its limit.
pub(crate) struct Usage {
    max_memory: usize,
    pub memory: usize,
    /// Whether a request for memory has been refused.
    pub refused: bool,
}

impl Usage {
    pub(crate) fn new(limits: &Limits) -> Self {
        Self { max_memory: limits.memory, memory: 0, refused: false }
    }
}

/// Maximum number of table elements (functions that are called indirectly). The engine has some hundreds.
const MAX_TABLE_ELEMENTS: usize = 20_000;

impl ResourceLimiter for Usage {
    fn memory_growing(&mut self, current: usize, desired: usize, _maximum: Option<usize>) -> wasmtime::Result<bool> {
        let granted = self.memory - current + desired <= self.max_memory;
        if granted {
            self.memory += desired - current;
        }
        self.refused |= !granted;
        Ok(granted)
    }

    fn table_growing(&mut self, _current: usize, desired: usize, _maximum: Option<usize>) -> wasmtime::Result<bool> {
        Ok(desired <= MAX_TABLE_ELEMENTS)
    }
}

/// Increments the engine's epoch every [`EPOCH`], in a thread of its own, until dropped.
pub(crate) struct Epochs {
    stop: Arc<AtomicBool>,
}

impl Epochs {
    pub(crate) fn start(engine: Engine) -> Self {
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
