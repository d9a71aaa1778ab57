use serde::{Deserialize, Serialize};

use super::Duration;

/// Limits on memory and work. Evictions are counted in the metrics.
///
/// ```
/// let config: catena::Config = r#"{"limits": {"pending": 10000, "duplicate_window": "1h"}}"#.parse()?;
/// assert_eq!(config.limits.pending, 10_000);
/// # Ok::<(), catena::Error>(())
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
#[non_exhaustive]
pub struct Limits {
    /// The maximum length of a batch, in bytes. The data decompressed from a batch must not exceed it either.
    pub batch_bytes: usize,
    /// The maximum number of pending events. When it is reached, the earliest event is evicted for a new one.
    pub pending: usize,
    /// The maximum number of pending events of one identity. When it is reached, the identity's earliest event is
    /// evicted for a new one.
    pub pending_per_identity: usize,
    /// The approximate maximum memory use of all pending events, in bytes. When it is reached, the earliest events are
    /// evicted.
    pub state_bytes: usize,
    /// The maximum number of event ids kept to detect duplicates.
    pub event_ids: usize,
    /// How long event ids are kept, in event time.
    pub duplicate_window: Duration,
    /// The maximum number of candidates that the search for one event tries. Searches cut short are counted in the
    /// metrics.
    #[serde(alias = "neighbours")]
    pub max_candidates: usize,
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            batch_bytes: 256 << 20,
            pending: 1 << 20,
            pending_per_identity: 4_096,
            state_bytes: 256 << 20,
            event_ids: 1 << 20,
            duplicate_window: Duration::from_minutes(24 * 60),
            max_candidates: 1_024,
        }
    }
}
