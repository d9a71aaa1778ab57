use std::collections::BTreeMap;

use hashbrown::HashMap;

use super::{DAY, day_of};

/// When a finding with the same id may be completed again, by the time of its last event (ms since 1970).
#[derive(Clone, Copy, Debug)]
pub(crate) enum Recurrence {
    /// On the same UTC day: its id includes the day.
    Daily(i64),
    /// At this time only: it belongs to one event.
    Once(i64),
    /// About this time: it belongs to an operation that several events may report.
    OncePerOperation(i64),
}

impl Recurrence {
    /// The time under which the finding is recorded, in ms since 1970.
    pub(super) fn recorded_at(self) -> i64 {
        match self {
            Self::Daily(time) => day_of(time).saturating_add(1).saturating_mul(DAY) - 1,
            Self::Once(time) | Self::OncePerOperation(time) => time,
        }
    }
}

/// What is to be done with a completed finding.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Admission {
    /// It has not been reported.
    New,
    /// It has been reported, and an update is due. The number of events that have completed it since.
    Update(u64),
    /// It has been reported.
    Known,
}

/// The further evidence of findings that have been reported, kept only if updates are configured.
#[derive(Debug, Default)]
pub(super) struct Tallies {
    /// By UTC day and keyed hash of the finding's id.
    pub by_day: BTreeMap<i64, HashMap<u64, Tally>>,
    len: usize,
}

#[derive(Clone, Copy, Debug)]
pub(super) struct Tally {
    /// The number of events that have completed the finding since it was reported.
    pub further: u64,
    /// The event time of the last report, in ms since 1970.
    pub reported_at: i64,
}

impl Tallies {
    /// Starts to count the further evidence of a finding.
    pub(super) fn start(&mut self, finding: u64, time: i64) {
        self.insert(day_of(time), finding, Tally { further: 0, reported_at: time });
    }

    pub(super) fn insert(&mut self, day: i64, finding: u64, tally: Tally) {
        let before = self.by_day.entry(day).or_default().insert(finding, tally);
        self.len += usize::from(before.is_none());
    }

    /// Counts further evidence at `time`. Returns the count if the last report was `every` (ms) before it or more.
    pub(super) fn add(&mut self, finding: u64, time: i64, every: i64) -> Option<u64> {
        let day = day_of(time);
        // The day of a finding is that of its last step's event; this may be another one, a window away.
        let near = self.by_day.range_mut(day.saturating_sub(1)..=day.saturating_add(1));
        let tally = near.into_iter().find_map(|(_, tallies)| tallies.get_mut(&finding))?;
        tally.further = tally.further.saturating_add(1);
        if time.saturating_sub(tally.reported_at) < every {
            return None;
        }
        tally.reported_at = time;
        Some(tally.further)
    }

    /// Drops the tallies of days that ended a day before `watermark`, and the earliest if there are more than `most`.
    pub(super) fn expire(&mut self, watermark: i64, most: usize) {
        while let Some(first) = self.by_day.first_entry() {
            if first.key().saturating_add(2).saturating_mul(DAY) >= watermark && self.len <= most {
                break;
            }
            self.len -= first.remove().len();
        }
    }
}
