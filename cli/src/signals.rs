//! What an operator asks of a run by signals.

use std::io::{self, IsTerminal};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};

use signal_hook::consts::{SIGHUP, SIGINT, SIGTERM, SIGUSR1};
use signal_hook::flag;

/// Requests to a run. SIGINT and SIGTERM stop it; a second one terminates the process at once. SIGHUP reopens its outputs and
/// reloads its configuration, and SIGUSR1 has it log its counters.
#[derive(Clone, Debug)]
pub struct Signals {
    stop: Arc<AtomicBool>,
    stopped_by: Arc<AtomicUsize>,
    reload: Arc<AtomicBool>,
    report: Arc<AtomicBool>,
}

impl Signals {
    /// Listens for the signals. With a terminal, SIGHUP means that it is gone, and stops the run.
    pub fn listen() -> io::Result<Self> {
        let flag = || Arc::new(AtomicBool::new(false));
        let signals = Self { stop: flag(), stopped_by: Arc::new(AtomicUsize::new(0)), reload: flag(), report: flag() };
        let mut stopping = vec![SIGINT, SIGTERM];
        if io::stderr().is_terminal() {
            stopping.push(SIGHUP);
        } else {
            flag::register(SIGHUP, Arc::clone(&signals.reload))?;
        }
        for signal in stopping {
            flag::register_conditional_default(signal, Arc::clone(&signals.stop))?;
            flag::register_usize(signal, Arc::clone(&signals.stopped_by), signal as usize)?;
            flag::register(signal, Arc::clone(&signals.stop))?;
        }
        flag::register(SIGUSR1, Arc::clone(&signals.report))?;
        Ok(signals)
    }

    /// Requests a stop without a signal.
    pub fn stop(&self) {
        self.stop.store(true, Ordering::Relaxed);
    }

    /// Whether a stop has been requested.
    pub fn stop_asked(&self) -> bool {
        self.stop.load(Ordering::Relaxed)
    }

    /// The flag of a stop itself, to be shared with other threads.
    pub fn stop_flag(&self) -> Arc<AtomicBool> {
        Arc::clone(&self.stop)
    }

    /// Whether a reload has been requested since the last call.
    pub fn take_reload(&self) -> bool {
        self.reload.swap(false, Ordering::Relaxed)
    }

    /// Whether a report has been requested since the last call.
    pub fn take_report(&self) -> bool {
        self.report.swap(false, Ordering::Relaxed)
    }

    /// The exit code by which shells report the signal that stopped the run; `None` if there was none.
    pub fn exit_code(&self) -> Option<u8> {
        match self.stopped_by.load(Ordering::Relaxed) {
            0 => None,
            signal => u8::try_from(128 + signal).ok(),
        }
    }
}
