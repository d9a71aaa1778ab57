use std::collections::BTreeSet;

/// What a limit cost. It is reported as a finding, so that flooding cannot hide a chain silently.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Loss {
    pub kind: LossKind,
    /// The number of things lost since the last report of this kind.
    pub count: u64,
    /// The hour of event time (since 1970) that this is reported for: once per hour and kind.
    pub hour: i64,
    /// The rule that was affected; empty if it may be any.
    pub rule: String,
    /// The identity whose event reached the limit; empty if it is not known.
    pub identity: String,
}

/// The limit that was reached.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum LossKind {
    /// Pending events of one identity were evicted.
    IdentityPending,
    /// Pending events of any identity were evicted.
    Pending,
    /// Event ids were forgotten.
    EventIds,
    /// The search for the findings of a rule was cut.
    Search,
    /// Findings were withheld.
    Output,
}

impl LossKind {
    /// Every kind. New ones are added at the end: checkpoints hold their counts in this order.
    pub(crate) const ALL: [Self; 5] =
        [Self::IdentityPending, Self::Pending, Self::EventIds, Self::Search, Self::Output];

    fn number(self) -> usize {
        Self::ALL.iter().position(|kind| *kind == self).unwrap_or_default()
    }
}

/// An hour, in ms.
const HOUR: i64 = 3_600_000;

/// Maximum number of hours that are known to have been reported.
const MAX_REPORTED: usize = 4_096;

/// What was lost, and what of it was reported: at most one report of each kind for an hour of event time.
#[derive(Debug, Default)]
pub(super) struct Losses {
    /// By kind: the number lost since the last report.
    pub unreported: [u64; LossKind::ALL.len()],
    /// The hours for which a kind has been reported.
    pub reported: BTreeSet<(i64, u8)>,
}

impl Losses {
    /// Adds `count` losses at `time` (ms since 1970). Returns the report, if one is due.
    pub(super) fn add(&mut self, kind: LossKind, count: u64, time: i64, rule: &str, identity: &str) -> Option<Loss> {
        let unreported = self.unreported.get_mut(kind.number()).filter(|_| count > 0)?;
        *unreported = unreported.saturating_add(count);
        let hour = time.div_euclid(HOUR);
        if !self.reported.insert((hour, kind.number() as u8)) {
            return None;
        }
        while self.reported.len() > MAX_REPORTED {
            self.reported.pop_first();
        }
        let count = std::mem::take(unreported);
        Some(Loss { kind, count, hour, rule: rule.to_owned(), identity: identity.to_owned() })
    }
}
