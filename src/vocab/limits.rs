use serde::{Deserialize, Serialize};

use super::Duration;

/// Limits on memory and work. Reaching one is counted in the metrics, and reported as a finding of the rule
/// `state-pressure`, at most once an hour of event time for each kind.
///
/// ```
/// let config: catena::Config = r#"{"limits": {"pending": 10000, "duplicate_window": "1h"}}"#.parse()?;
/// assert_eq!(config.limits.pending, 10_000);
/// # Ok::<(), catena::Error>(())
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default, expecting = "a mapping of limits")]
#[non_exhaustive]
pub struct Limits {
    /// The maximum length of a batch, in bytes. The data decompressed from a record must not exceed it either, nor 100
    /// times the record (16 KiB for a short one).
    pub batch_bytes: usize,
    /// The maximum number of pending events. When it is reached, the earliest event is evicted for a new one.
    pub pending: usize,
    /// The maximum number of pending events of one identity. When it is reached, an event of the identity is evicted for
    /// a new one: the earliest to arrive that shares no value with another, or the earliest.
    pub pending_per_identity: usize,
    /// The approximate maximum memory use of all pending events, in bytes. When it is reached, the earliest events are
    /// evicted.
    pub state_bytes: usize,
    /// The maximum number of event ids kept to detect duplicates.
    pub event_ids: usize,
    /// How long event ids are kept, in event time.
    pub duplicate_window: Duration,
    /// The number of candidates (pending events) that searches may try for each event of an identity, on average: what
    /// events do not need is saved up for later ones of the identity, up to 2,048 times as much. 16 candidates may be
    /// tried for each rule in any case. Looking up many values counts too. Searches that are cut short are reported.
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
            max_candidates: 128,
        }
    }
}
