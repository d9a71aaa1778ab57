use std::collections::{BTreeMap, BTreeSet};

use super::list::List;
use super::table::Table;
use super::watermark::Watermark;

/// The length of a bucket, in ms. Joins check times exactly; the length only determines how much longer memory is held.
pub(super) const MILLIS: i64 = 60_000;

/// Pending events and event ids in buckets of one minute of event time, so that they expire a minute at a time.
///
/// All pending events of a bucket are dropped once the watermark has passed everything they could join with, and its
/// event ids some time later: O(log buckets) per event, without a timer per event or a scan of live ones. A late event
/// is kept for as long after its arrival, in watermark time, as an event in time, so that the records of a second
/// region, read after those of the first, still join.
#[derive(Debug)]
pub(super) struct Buckets {
    by_minute: BTreeMap<i64, Bucket>,
    /// The expiry queue: when each bucket is due, and its minute.
    due: BTreeSet<(i64, i64)>,
    /// The minutes of the buckets that have pending events.
    with_pending: BTreeSet<i64>,
    longest_window: i64,
    duplicate_window: i64,
    ids: usize,
}

#[derive(Debug, Default)]
pub(super) struct Bucket {
    /// Hashes of the ids of its events.
    pub ids: Table<u64>,
    /// Its pending events, in order of arrival.
    pending: List,
    /// Its pending events are dropped once the watermark exceeds this time.
    pub deadline: i64,
    /// Its time in [`Buckets::due`]: the deadline or, once that has passed, the time at which its ids expire.
    due: i64,
}

impl Buckets {
    pub(super) fn new(longest_window: i64, duplicate_window: i64) -> Self {
        let (by_minute, due, with_pending) = (BTreeMap::new(), BTreeSet::new(), BTreeSet::new());
        Self { by_minute, due, with_pending, longest_window, duplicate_window, ids: 0 }
    }

    fn bucket(&mut self, time: i64, watermark: &Watermark) -> &mut Bucket {
        let minute = time.div_euclid(MILLIS);
        let end = (minute + 1).saturating_mul(MILLIS).min(watermark.latest_plausible());
        // Rounded up, so that a bucket moves in the queue at most once a minute.
        let watermark = watermark.time().map_or(end, |watermark| (watermark.div_euclid(MILLIS) + 1) * MILLIS);
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

    /// Inserts an event id; `false` if it is a duplicate.
    pub(super) fn insert_id(&mut self, time: i64, id: u64, watermark: &Watermark) -> bool {
        let ids = &mut self.bucket(time, watermark).ids;
        if ids.find(id, |known| *known == id).is_some() {
            return false;
        }
        ids.insert(id);
        self.ids += 1;
        true
    }

    /// Whether the id is known within a quarter of an hour before or after this time. The records of one operation are
    /// nearer; those of another one that the caller gave the same id need not be.
    pub(super) fn has_id_near(&self, time: i64, id: u64) -> bool {
        const NEAR: i64 = 15;
        let minute = time.div_euclid(MILLIS);
        let near = self.by_minute.range(minute.saturating_sub(NEAR)..=minute.saturating_add(NEAR));
        near.into_iter().any(|(_, bucket)| bucket.ids.find(id, |known| *known == id).is_some())
    }

    /// The pending events of this minute, to add one. Creates the bucket if necessary.
    pub(super) fn pending_for(&mut self, time: i64, watermark: &Watermark) -> &mut List {
        self.with_pending.insert(time.div_euclid(MILLIS));
        &mut self.bucket(time, watermark).pending
    }

    /// The pending events of this minute, to add one. `None` if it has no bucket.
    pub(super) fn pending_to_restore(&mut self, time: i64) -> Option<&mut List> {
        let minute = time.div_euclid(MILLIS);
        let bucket = self.by_minute.get_mut(&minute)?;
        self.with_pending.insert(minute);
        Some(&mut bucket.pending)
    }

    /// The pending events of this minute, to remove one. Call [`Self::removed`] after that.
    pub(super) fn pending_at(&mut self, time: i64) -> Option<&mut List> {
        self.by_minute.get_mut(&time.div_euclid(MILLIS)).map(|bucket| &mut bucket.pending)
    }

    /// Notes that a pending event at this time has been removed.
    pub(super) fn removed(&mut self, time: i64) {
        let minute = time.div_euclid(MILLIS);
        if self.by_minute.get(&minute).is_none_or(|bucket| bucket.pending.len == 0) {
            self.with_pending.remove(&minute);
        }
    }

    /// Drops the ids of the earliest buckets until at most `limit` remain. Returns the number dropped.
    pub(super) fn evict_ids_above(&mut self, limit: usize) -> u64 {
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

    /// Expires a bucket that the watermark has passed and returns its pending events; `None` if no due bucket has any.
    pub(super) fn expire(&mut self, watermark: i64) -> Option<List> {
        while let Some((due, minute)) = self.due.first().copied().filter(|(due, _)| *due < watermark) {
            self.due.remove(&(due, minute));
            let Some(bucket) = self.by_minute.get_mut(&minute) else { continue };
            let expired = std::mem::take(&mut bucket.pending);
            self.with_pending.remove(&minute);
            if due == bucket.deadline && self.duplicate_window > 0 {
                bucket.due = due.saturating_add(self.duplicate_window);
                self.due.insert((bucket.due, minute));
            } else {
                self.ids -= bucket.ids.len();
                self.by_minute.remove(&minute);
            }
            if expired.len > 0 {
                return Some(expired);
            }
        }
        None
    }

    /// The pending events of the earliest bucket that has any.
    pub(super) fn earliest_pending(&self) -> Option<&List> {
        self.by_minute.get(self.with_pending.first()?).map(|bucket| &bucket.pending)
    }

    pub(super) fn ids(&self) -> usize {
        self.ids
    }

    /// All buckets, with their minutes. An empty one has a deadline that a later event may fall under.
    pub(super) fn iter(&self) -> impl Iterator<Item = (i64, &Bucket)> {
        self.by_minute.iter().map(|(minute, bucket)| (*minute, bucket))
    }

    /// Restores a bucket from a checkpoint, without its pending events.
    pub(super) fn restore(&mut self, minute: i64, deadline: i64, due: i64, ids: Table<u64>) -> Option<()> {
        self.ids += ids.len();
        self.due.insert((due, minute));
        let before = self.by_minute.insert(minute, Bucket { ids, deadline, due, ..Bucket::default() });
        before.is_none().then_some(())
    }

    /// Panics if a bucket is not due when it says, or the counts are wrong. Gives the pending events of all buckets,
    /// with the minute of each.
    pub(super) fn check(&self) -> impl Iterator<Item = (i64, &List)> {
        let ids = self.by_minute.values().map(|bucket| bucket.ids.len()).sum::<usize>();
        assert_eq!(self.ids, ids, "the number of ids is that of all buckets");
        let due: BTreeSet<_> = self.by_minute.iter().map(|(minute, bucket)| (bucket.due, *minute)).collect();
        assert_eq!(self.due, due, "every bucket is due once, at its time");
        let with_pending =
            self.by_minute.iter().filter(|(_, bucket)| bucket.pending.len > 0).map(|(minute, _)| *minute);
        assert!(self.with_pending.iter().copied().eq(with_pending), "the buckets with pending events are known");
        self.by_minute.iter().map(|(minute, bucket)| (*minute, &bucket.pending))
    }
}

impl Bucket {
    fn is_empty(&self) -> bool {
        self.ids.len() == 0 && self.pending.len == 0
    }

    pub(super) fn due(&self) -> i64 {
        self.due
    }
}
