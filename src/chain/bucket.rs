use std::collections::{BTreeMap, BTreeSet, VecDeque};

use hashbrown::HashSet;

use super::clock::Clock;
use super::pending::{PendingId, Store};

/// The grain of expiry, in ms. Joins check times exactly; the grain only decides how much longer memory is held.
const GRAIN: i64 = 60_000;

/// What is remembered, by the minute of its event time, so that it can be forgotten by the minute.
///
/// The pending events of a bucket are dropped whole once the watermark has passed all that they could join with, and its
/// event ids some time later: O(log buckets) for each event, no timer for each and no scan of what lives. An event that
/// came late is kept as long behind the watermark as one in time, so that the records of a second region, read after
/// those of the first, still find each other.
#[derive(Debug)]
pub(super) struct Buckets {
    by_minute: BTreeMap<i64, Bucket>,
    /// When each bucket is due, and its minute.
    due: BTreeSet<(i64, i64)>,
    longest_window: i64,
    duplicate_window: i64,
    ids: usize,
}

#[derive(Debug, Default)]
pub(super) struct Bucket {
    /// The hashed ids of its events.
    pub ids: HashSet<u64>,
    /// Its pending events, the earliest inserted first.
    pending: VecDeque<PendingId>,
    /// How many of those have been removed since.
    gone: usize,
    /// Its pending events are dropped once the watermark is beyond this time.
    pub deadline: i64,
    /// The time it stands under in [`Buckets::due`]: its deadline or, after that, the end of its ids.
    due: i64,
}

impl Buckets {
    pub(super) fn new(longest_window: i64, duplicate_window: i64) -> Self {
        Self { by_minute: BTreeMap::new(), due: BTreeSet::new(), longest_window, duplicate_window, ids: 0 }
    }

    fn bucket(&mut self, time: i64, clock: &Clock) -> &mut Bucket {
        let minute = time.div_euclid(GRAIN);
        let end = (minute + 1).saturating_mul(GRAIN).min(clock.latest_plausible());
        // Rounded up, so that a bucket changes its place in the queue once a minute at most.
        let watermark = clock.watermark().map_or(end, |watermark| (watermark.div_euclid(GRAIN) + 1) * GRAIN);
        let needed_until = end.max(watermark).saturating_add(self.longest_window);
        let bucket = self.by_minute.entry(minute).or_default();
        if needed_until > bucket.deadline {
            self.due.remove(&(bucket.due, minute));
            bucket.deadline = needed_until;
            bucket.due = needed_until;
            self.due.insert((needed_until, minute));
        }
        bucket
    }

    /// Remembers an event's id; `false` where it is already known.
    pub(super) fn insert_id(&mut self, time: i64, id: u64, clock: &Clock) -> bool {
        let new = self.bucket(time, clock).ids.insert(id);
        self.ids += usize::from(new);
        new
    }

    /// Notes that one of the pending events of this time has been removed.
    pub(super) fn note_removal(&mut self, time: i64, pending: &Store) {
        let Some(bucket) = self.by_minute.get_mut(&time.div_euclid(GRAIN)) else { return };
        bucket.gone += 1;
        if bucket.gone > bucket.pending.len() / 2 {
            bucket.pending.retain(|id| pending.event(*id).is_some());
            bucket.gone = 0;
        }
    }

    pub(super) fn insert_pending(&mut self, time: i64, id: PendingId, clock: &Clock) {
        self.bucket(time, clock).pending.push_back(id);
    }

    /// Drops the ids of the earliest buckets until at most `limit` are left, and says how many went.
    pub(super) fn forget_ids_above(&mut self, limit: usize) -> u64 {
        let mut forgotten = 0;
        let mut empty = Vec::new();
        for (minute, bucket) in &mut self.by_minute {
            if self.ids <= limit {
                break;
            }
            let ids = std::mem::take(&mut bucket.ids).len();
            self.ids -= ids;
            forgotten += ids as u64;
            if bucket.is_empty() {
                empty.push((bucket.due, *minute));
            }
        }
        for due in empty {
            self.due.remove(&due);
            self.by_minute.remove(&due.1);
        }
        forgotten
    }

    /// Drops what the watermark has left behind and gives the pending events among it.
    pub(super) fn expire(&mut self, watermark: i64) -> Vec<PendingId> {
        let mut expired = Vec::new();
        while let Some((due, minute)) = self.due.first().copied().filter(|(due, _)| *due < watermark) {
            self.due.remove(&(due, minute));
            let Some(bucket) = self.by_minute.get_mut(&minute) else { continue };
            expired.extend(std::mem::take(&mut bucket.pending));
            bucket.gone = 0;
            if due == bucket.deadline && self.duplicate_window > 0 {
                bucket.due = due.saturating_add(self.duplicate_window);
                self.due.insert((bucket.due, minute));
            } else {
                self.ids -= bucket.ids.len();
                self.by_minute.remove(&minute);
            }
        }
        expired
    }

    /// Takes out the earliest inserted pending event of the earliest bucket that has one.
    pub(super) fn pop_earliest(&mut self, pending: &Store) -> Option<PendingId> {
        for bucket in self.by_minute.values_mut() {
            while let Some(id) = bucket.pending.pop_front() {
                if pending.event(id).is_some() {
                    return Some(id);
                }
                bucket.gone -= 1;
            }
        }
        None
    }

    pub(super) fn ids(&self) -> usize {
        self.ids
    }

    /// The buckets that hold anything, with their minutes.
    pub(super) fn iter(&self) -> impl Iterator<Item = (i64, &Bucket)> {
        self.by_minute.iter().filter(|(_, bucket)| !bucket.is_empty()).map(|(minute, bucket)| (*minute, bucket))
    }

    /// Puts back a bucket of a checkpoint.
    pub(super) fn restore(&mut self, minute: i64, deadline: i64, due: i64, ids: HashSet<u64>) {
        self.ids += ids.len();
        self.due.insert((due, minute));
        self.by_minute.insert(minute, Bucket { ids, deadline, due, ..Bucket::default() });
    }

    /// Puts a pending event of a checkpoint back into its bucket; `false` where there is none.
    pub(super) fn restore_pending(&mut self, time: i64, id: PendingId) -> bool {
        let bucket = self.by_minute.get_mut(&time.div_euclid(GRAIN));
        bucket.map(|bucket| bucket.pending.push_back(id)).is_some()
    }
}

impl Bucket {
    fn is_empty(&self) -> bool {
        self.ids.is_empty() && self.gone == self.pending.len()
    }

    pub(super) fn due(&self) -> i64 {
        self.due
    }
}
