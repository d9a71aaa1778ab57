//! What became of the findings of a destination, for metrics and the health check.

use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant};

/// A destination that has failed for this long makes the run unhealthy.
const TOO_LONG: Duration = Duration::from_secs(5 * 60);

/// Counters of one destination.
#[derive(Debug, Default)]
pub struct Status {
    sent: AtomicU64,
    refused: AtomicU64,
    dropped: AtomicU64,
    failures: AtomicU64,
    waiting: AtomicU64,
    /// Since when and why it fails.
    failing: Mutex<Option<(Instant, String)>>,
}

/// The counters at one moment.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Counts {
    pub sent: u64,
    pub refused: u64,
    pub dropped: u64,
    pub failures: u64,
    pub waiting_bytes: u64,
}

impl Counts {
    /// Findings that did not and will not arrive.
    pub fn lost(self) -> u64 {
        self.refused + self.dropped
    }
}

impl Status {
    /// Findings that the receiver took, and those that it refused for good.
    pub fn sent(&self, sent: u64, refused: u64) {
        self.sent.fetch_add(sent, Ordering::Relaxed);
        self.refused.fetch_add(refused, Ordering::Relaxed);
    }

    /// A finding for which the spool had no room. Returns true for the first.
    pub fn dropped(&self) -> bool {
        self.dropped.fetch_add(1, Ordering::Relaxed) == 0
    }

    /// A delivery failed.
    pub fn failed(&self, why: &str) {
        self.failures.fetch_add(1, Ordering::Relaxed);
        let mut failing = self.failing.lock().unwrap_or_else(PoisonError::into_inner);
        let since = failing.as_ref().map_or_else(Instant::now, |(since, _)| *since);
        *failing = Some((since, why.to_owned()));
    }

    /// A delivery succeeded.
    pub fn works(&self) {
        *self.failing.lock().unwrap_or_else(PoisonError::into_inner) = None;
    }

    /// The bytes that wait in the spool.
    pub fn set_waiting(&self, bytes: u64) {
        self.waiting.store(bytes, Ordering::Relaxed);
    }

    pub fn counts(&self) -> Counts {
        let of = |counter: &AtomicU64| counter.load(Ordering::Relaxed);
        Counts {
            sent: of(&self.sent),
            refused: of(&self.refused),
            dropped: of(&self.dropped),
            failures: of(&self.failures),
            waiting_bytes: of(&self.waiting),
        }
    }

    /// Why the run is unhealthy because of it.
    pub fn problem(&self) -> Option<String> {
        let failing = self.failing.lock().unwrap_or_else(PoisonError::into_inner);
        let (since, why) = failing.as_ref().filter(|(since, _)| since.elapsed() >= TOO_LONG)?;
        Some(format!("nothing could be sent for {} s: {why}", since.elapsed().as_secs()))
    }
}
