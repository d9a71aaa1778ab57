use std::collections::BTreeSet;

/// What a limit cost. It is reported as a finding, so that flooding cannot hide a chain silently.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Loss {
    pub kind: LossKind,
    /// The number of things lost since the last report of this kind.
    pub count: u64,
    /// When the last of them was lost, in ms of event time since 1970.
    pub time: i64,
    /// The rule that was affected then; empty if it may be any.
    pub rule: String,
    /// The identity whose event reached the limit then; empty if it is not known.
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
}

/// An hour, in ms.
const HOUR: i64 = 3_600_000;

/// Maximum number of reports that are remembered.
const MAX_REPORTED: usize = 4_096;

/// What was lost, and what of it was reported: at most one report of each kind for an hour of event time.
#[derive(Debug, Default)]
pub(super) struct Losses {
    /// By kind: what has been lost since the last report.
    pub unreported: [Option<Loss>; LossKind::ALL.len()],
    /// The hours for which a kind has been reported.
    pub reported: BTreeSet<(i64, u8)>,
}

impl Losses {
    /// Adds `count` losses at `time` (ms since 1970).
    pub(super) fn add(&mut self, kind: LossKind, count: u64, time: i64, rule: &str, identity: &str) {
        let Some(unreported) = self.unreported.get_mut(kind as usize).filter(|_| count > 0) else { return };
        let count = count.saturating_add(unreported.as_ref().map_or(0, |before| before.count));
        *unreported = Some(Loss { kind, count, time, rule: rule.to_owned(), identity: identity.to_owned() });
    }

    /// Takes a loss whose report is due.
    pub(super) fn next_due(&mut self) -> Option<Loss> {
        for unreported in &mut self.unreported {
            let Some(loss) = unreported else { continue };
            let key = (loss.time.div_euclid(HOUR), loss.kind as u8);
            // An hour before all that are remembered may have been reported.
            let forgotten =
                self.reported.len() >= MAX_REPORTED && self.reported.first().is_some_and(|first| key < *first);
            if !forgotten && self.reported.insert(key) {
                if self.reported.len() > MAX_REPORTED {
                    self.reported.pop_first();
                }
                return unreported.take();
            }
        }
        None
    }
}
