use super::slab::Slab;
use super::table::{Hashed, Table, high_bits};

/// An index of pending events by key, earliest first, and in order of arrival if times are equal.
///
/// Nearly every key has one event: a volume is created once. So an entry takes eight bytes, and only events that share
/// a key are in a list. An entry stores 32 bits of the key, so a lookup may return events of other keys; callers check
/// the events anyway.
#[derive(Debug, Default)]
pub(super) struct Index {
    entries: Table<Entry>,
    lists: Slab<Vec<u32>>,
}

#[derive(Clone, Copy, Debug)]
struct Entry {
    /// Bits of a keyed hash, and [`LINKED`].
    key: u32,
    /// The slot of an event or, with [`LIST`] set, the number of a list.
    head: u32,
}

const LIST: u32 = 1 << 31;

/// In a key, the bit that says that all its events are linked to others. It is not part of the hash.
const LINKED: u32 = 1;

impl Entry {
    /// The number of the list, if it is one.
    fn list(self) -> Option<u32> {
        (self.head & LIST != 0).then_some(self.head & !LIST)
    }

    fn is_of(&self, key: u32) -> bool {
        self.key & !LINKED == key
    }
}

/// The part of a key that is stored.
fn stored(key: u64) -> u32 {
    key as u32 & !LINKED
}

impl Hashed for Entry {
    fn hash(&self) -> u64 {
        high_bits(self.key)
    }
}

impl Index {
    /// Allocates room for `additional` more keys.
    pub(super) fn reserve(&mut self, additional: usize) {
        self.entries.reserve(additional);
    }

    /// Inserts an event, which is linked to another or not, under a key. `place` gives the time of an event, and its
    /// number in order of arrival, which may wrap.
    pub(super) fn insert(
        &mut self,
        key: u64,
        event: u32,
        linked: bool,
        place: impl Fn(u32) -> (i64, u32),
    ) -> Option<()> {
        let key = stored(key);
        let Some(entry) = self.entries.find_mut(high_bits(key), |entry| entry.is_of(key)) else {
            self.entries.insert(Entry { key: key | if linked { LINKED } else { 0 }, head: event });
            return Some(());
        };
        if !linked {
            entry.key &= !LINKED;
        }
        let number = match entry.list() {
            Some(number) => number,
            None => {
                let number = self.lists.insert(vec![entry.head])?;
                entry.head = number | LIST;
                number
            }
        };
        let list = self.lists.get_mut(number)?;
        let (time, number) = place(event);
        let arrived_later = |other: u32| {
            let other = place(other);
            other.0 == time && (number.wrapping_sub(other.1) as i32) < 0
        };
        let mut at = list.partition_point(|other| place(*other).0 <= time);
        while let Some(before) =
            at.checked_sub(1).filter(|before| list.get(*before).copied().is_some_and(arrived_later))
        {
            at = before;
        }
        list.insert(at, event);
        Some(())
    }

    /// Removes an event from a key, if it is there.
    pub(super) fn remove(&mut self, key: u64, event: u32, place: impl Fn(u32) -> (i64, u32)) -> Option<()> {
        let key = stored(key);
        let entry = self.entries.find_mut(high_bits(key), |entry| entry.is_of(key))?;
        let Some(list_number) = entry.list() else {
            if entry.head == event {
                self.entries.remove(high_bits(key), |entry| entry.is_of(key));
            }
            return Some(());
        };
        let list = self.lists.get_mut(list_number)?;
        let (time, number) = place(event);
        let is_before = |other: u32| {
            let other = place(other);
            other.0 < time || (other.0 == time && (other.1.wrapping_sub(number) as i32) < 0)
        };
        let from = list.partition_point(|other| is_before(*other));
        if let Some(place) = (from..list.len()).find(|place| list.get(*place) == Some(&event)) {
            list.remove(place);
        }
        if let [last] = list[..] {
            entry.head = last;
            self.lists.remove(list_number);
        }
        Some(())
    }

    /// Notes that all events under a key are linked. `false` if that was known.
    pub(super) fn set_linked(&mut self, key: u64) -> bool {
        let key = stored(key);
        let Some(entry) = self.entries.find_mut(high_bits(key), |entry| entry.is_of(key)) else { return false };
        let known = entry.key & LINKED != 0;
        entry.key |= LINKED;
        !known
    }

    /// The events under a key.
    pub(super) fn get(&self, key: u64) -> &[u32] {
        let key = stored(key);
        let Some(entry) = self.entries.find(high_bits(key), |entry| entry.is_of(key)) else { return &[] };
        match entry.list() {
            Some(number) => self.lists.get(number).map_or(&[], Vec::as_slice),
            None => std::slice::from_ref(&entry.head),
        }
    }

    /// Panics if a list is not one, or not in the order of time. `time` gives `None` for an event that does not exist.
    pub(super) fn check(&self, time: impl Fn(u32) -> Option<i64>) {
        self.entries.check();
        self.lists.check();
        let lists = self.entries.in_order().filter(|entry| entry.list().is_some()).count();
        assert_eq!(lists, self.lists.len(), "every list belongs to one key");
        for entry in self.entries.in_order() {
            let events = self.get(entry.key.into());
            let times: Vec<_> = events.iter().map(|event| time(*event)).collect();
            assert!(times.iter().all(Option::is_some) && times.is_sorted(), "pending events in the order of time");
            assert!(entry.list().is_none() || events.len() > 1, "a list has more than one event");
        }
    }
}
