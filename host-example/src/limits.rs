//! What a component may use, and what holds it to that.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;
use std::time::Duration;

use wasmtime::{Engine, ResourceLimiter};

/// How often the epoch counts up: the grain of [`Limits::call`].
pub(crate) const EPOCH: Duration = Duration::from_millis(10);

/// What one correlator may use.
#[derive(Clone, Copy, Debug)]
pub struct Limits {
    /// How long one call may take. It traps where it takes longer. [`Duration::MAX`] stands for no limit, which is also
    /// compiled in then: a little faster, and nothing ends an endless loop.
    pub call: Duration,
    /// How much memory it may have, in bytes.
    pub memory: usize,
    /// How much one batch may bring out of the sandbox, in bytes as they lie in memory: splices, findings, rejections.
    pub output: usize,
}

impl Default for Limits {
    /// Ten seconds, far more than any batch takes; 1 GiB; 256 MiB.
    fn default() -> Self {
        Self { call: Duration::from_secs(10), memory: 1 << 30, output: 256 << 20 }
    }
}

impl Limits {
    /// Without any limit but that of the address space. To measure what limits cost, not to run with.
    pub const NONE: Self = Self { call: Duration::MAX, memory: usize::MAX, output: usize::MAX };

    /// The deadline of a call in epochs.
    pub(crate) fn epochs(&self) -> u64 {
        u64::try_from(self.call.as_millis() / EPOCH.as_millis()).unwrap_or(u64::MAX - 1) + 1
    }
}

/// What a correlator has taken of what it may.
pub(crate) struct Usage {
    most_memory: usize,
    pub memory: usize,
    /// Whether it asked for more memory than it may have.
    pub refused: bool,
}

impl Usage {
    pub(crate) fn new(limits: &Limits) -> Self {
        Self { most_memory: limits.memory, memory: 0, refused: false }
    }
}

/// Functions that are called through pointers: some hundreds in the engine.
const MAX_TABLE_ELEMENTS: usize = 20_000;

impl ResourceLimiter for Usage {
    fn memory_growing(&mut self, current: usize, desired: usize, _maximum: Option<usize>) -> wasmtime::Result<bool> {
        let granted = self.memory - current + desired <= self.most_memory;
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

/// Counts the engine's epochs up for as long as the sandbox lives.
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
