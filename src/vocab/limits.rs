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
    /// The longest batch, in bytes.
    pub batch_bytes: usize,
    /// Pending events in total.
    pub pending: usize,
    /// Pending events of one identity.
    pub pending_per_identity: usize,
    /// The approximate memory of all pending events, in bytes.
    pub state_bytes: usize,
    /// Event ids that are remembered to recognise duplicates.
    pub event_ids: usize,
    /// How long they are remembered, in event time.
    pub duplicate_window: Duration,
    /// Candidates that one event's search may try.
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
