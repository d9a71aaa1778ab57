use std::borrow::Cow;
use std::ops::RangeInclusive;

use super::arena::{Arena, Handle};
use super::attribution::Attribution;
use super::call::Call;
use super::identities::{self, Identities};
use super::index::Index;
use super::interner::Interner;
use super::links::{Scratch, link_key, step_key, value_hash};
use super::list::{Links, List};
use super::pending_event::{PendingEvent, write_content};
use super::slab::Slab;
use super::{KeyedHash, Matched, bucket, table};
use crate::rule::{Binding, Rules};
use crate::util::packed::PackedStr;

/// The id of a pending event. Ids are unique within four billion insertions.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(crate) struct PendingId {
    slot: u32,
    generation: u32,
}

impl PendingId {
    /// The id as one number.
    pub(super) fn unique(self) -> u64 {
        u64::from(self.generation) << 32 | u64::from(self.slot)
    }
}

/// The pending events: events that are steps of a chain, indexed by identity and linking value.
#[derive(Debug, Default)]
pub(super) struct Store {
    pub(super) slots: Slab<Pending>,
    contents: Arena,
    pub(super) by_value: Index,
    identities: Identities,
    /// Encoded, without the identity.
    attributions: Interner<Box<[u8]>>,
    pub(super) calls: Interner<Call>,
    /// By an event's first step: a call that an event with it was, most likely the one of the next.
    recent_calls: Vec<u32>,
    next: u32,
    scratch: Scratch,
}

#[derive(Debug)]
pub(super) struct Pending {
    /// In ms since 1970, as high and low half, so that a slot needs no padding.
    time: [u32; 2],
    /// The insertion number, which wraps after four billion.
    pub number: u32,
    identity: u32,
    attribution: u32,
    /// The call, with [`LINKED`] set if it is.
    pub call: u32,
    /// The event id, then pairs of slot and value; then pairs of `OMITTED` plus a slot and the number of its values
    /// that were not stored.
    content: Handle,
    of_identity: Links,
    of_bucket: Links,
}

/// Marks an event that shares a value with another one that it may join.
pub(super) const LINKED: u32 = 1 << 31;

impl Pending {
    pub(super) fn is_linked(&self) -> bool {
        self.call & LINKED != 0
    }

    pub(super) fn time(&self) -> i64 {
        let [high, low] = self.time;
        (u64::from(high) << 32 | u64::from(low)) as i64
    }
}

fn of_identity(pending: &mut Pending) -> &mut Links {
    &mut pending.of_identity
}

fn of_bucket(pending: &mut Pending) -> &mut Links {
    &mut pending.of_bucket
}

/// A new event whose identity, attribution and call are already interned.
pub(super) struct New<'a> {
    pub time: i64,
    /// From [`Store::new_identity`], or a known one.
    pub identity: u32,
    /// From [`Store::attribution`].
    pub attribution: u32,
    /// From [`Store::call`].
    pub call: u32,
    /// Whether it shares a value with another event that it may join.
    pub linked: bool,
    pub content: Cow<'a, [u8]>,
}

/// Bytes per pending event besides its content: a slot, an index entry and an event id.
const OVERHEAD: usize = size_of::<Option<Pending>>() + 2 * (size_of::<u64>() + table::OVERHEAD);

impl Store {
    /// Inserts an event, indexes it under each value that links it, and appends it to `bucket`. Its identity comes with its
    /// [hash](identities::hash_of). Returns its id, and the keys of the bindings under which others have one of its values.
    /// `None` only if two billion are alive.
    pub(super) fn insert(
        &mut self,
        hash: &KeyedHash,
        rules: &Rules,
        matched: &Matched<'_>,
        (identity_hash, attribution): (u32, &Attribution<'_>),
        bucket: &mut List,
    ) -> Option<(PendingId, Vec<u16>)> {
        let identity = self.identities.find_or_insert(identity_hash, attribution.identity)?;
        let call = self.call_of(hash, rules, matched)?;
        let mut scratch = std::mem::take(&mut self.scratch);
        let Scratch { encoded, links, keys, linked } = &mut scratch;
        encoded.clear();
        attribution.encode_rest(encoded);
        let attribution = self.attribution_of(hash, identity, encoded)?;
        encoded.clear();
        if let Some(call) = self.calls.get(call) {
            write_content(&call.plan, matched, encoded);
        }
        let content = Cow::Borrowed(&**encoded);
        let new = New { time: matched.time, identity, attribution, call, linked: false, content };
        let slot = self.insert_unindexed(new, bucket)?;
        self.links(hash, slot, links);
        // First, so that the index knows the event as linked.
        let shared = self.link(hash, slot, links, (linked, false));
        self.keys(hash, slot, links, keys);
        self.index(keys, slot);
        self.scratch = scratch;
        Some((self.id(slot)?, shared))
    }

    /// Interns the call of an event and counts it as its user.
    fn call_of(&mut self, hash: &KeyedHash, rules: &Rules, matched: &Matched<'_>) -> Option<u32> {
        let first = matched.steps.first().copied().unwrap_or_default();
        let recent = self.recent_calls.get(first).copied();
        if let Some(recent) = recent.filter(|call| self.calls.get(*call).is_some_and(|call| call.is_of(matched))) {
            self.calls.acquire_again(recent);
            return Some(recent);
        }
        let call = match self.calls.find(Call::hash_of(hash, matched), |call| call.is_of(matched)) {
            Some(known) => {
                self.calls.acquire_again(known);
                known
            }
            None => self.call(hash, Call::of(rules, matched))?,
        };
        if self.recent_calls.len() <= first {
            self.recent_calls.resize(first + 1, u32::MAX);
        }
        if let Some(recent) = self.recent_calls.get_mut(first) {
            *recent = call;
        }
        Some(call)
    }

    /// Interns the encoded attribution of an identity's event and counts it as its user.
    fn attribution_of(&mut self, hash: &KeyedHash, identity: u32, encoded: &[u8]) -> Option<u32> {
        let recent = self.identities.attribution(identity);
        if self.attributions.get(recent).is_some_and(|known| **known == *encoded) {
            self.attributions.acquire_again(recent);
            return Some(recent);
        }
        let attribution = self.attribution(hash, encoded)?;
        self.identities.note_attribution(identity, attribution);
        Some(attribution)
    }

    /// Adds an identity that the store does not have yet, for [`Self::insert_unindexed`].
    pub(super) fn new_identity(&mut self, hash: &KeyedHash, text: &str, allowance: u32, steps: u64) -> Option<u32> {
        let identity = self.identities.insert_unindexed(identities::hash_of(hash, text), text)?;
        self.identities.set_allowance(identity, allowance);
        self.identities.add_steps(identity, steps);
        Some(identity)
    }

    /// Interns an attribution and counts one event as its user. The caller must insert that event.
    pub(super) fn attribution(&mut self, hash: &KeyedHash, encoded: &[u8]) -> Option<u32> {
        self.attributions.acquire(hash, encoded.into())
    }

    /// Counts one more event as a user of a known attribution. The caller must insert that event.
    pub(super) fn same_attribution(&mut self, attribution: u32) {
        self.attributions.acquire_again(attribution);
    }

    /// Counts one more event as a user of a known call. The caller must insert that event.
    pub(super) fn same_call(&mut self, call: u32) {
        self.calls.acquire_again(call);
    }

    /// Inserts an event that is not indexed until [`Self::index_all`] is called.
    pub(super) fn insert_unindexed(&mut self, new: New<'_>, bucket: &mut List) -> Option<u32> {
        let time = new.time as u64;
        let slot = self.slots.insert(Pending {
            time: [(time >> 32) as u32, time as u32],
            number: self.next,
            identity: new.identity,
            attribution: new.attribution,
            call: new.call | if new.linked { LINKED } else { 0 },
            content: self.contents.insert(&new.content)?,
            of_identity: Links::default(),
            of_bucket: Links::default(),
        })?;
        self.next = self.next.wrapping_add(1);
        let steps = self.calls.get(new.call).map_or(0, |call| call.plan.bits);
        self.identities.add_steps(new.identity, steps);
        self.identities.events_mut(new.identity)?.push(&mut self.slots, slot, of_identity);
        bucket.push(&mut self.slots, slot, of_bucket);
        Some(slot)
    }

    /// Indexes all events. The index must be empty.
    ///
    /// Inserts in the order of the index: in the order of the events, every insertion would be a cache miss.
    pub(super) fn index_all(&mut self, hash: &KeyedHash) {
        let mut keys: Vec<(u32, i64, u32, u32)> = Vec::with_capacity(self.len());
        let mut scratch = Scratch::default();
        for (slot, pending) in self.slots.iter() {
            let (time, number) = (pending.time(), pending.number);
            let of_event = self.all_keys(hash, slot, &mut scratch).iter();
            keys.extend(of_event.map(|key| (*key as u32, time, number, slot)));
        }
        self.identities.index_all();
        keys.sort_unstable();
        self.by_value.reserve(keys.len());
        for (key, _, _, slot) in keys {
            self.index(&[key.into()], slot);
        }
    }

    /// Interns a call with its steps and exceptions, and counts one event as its user. The caller must insert that event.
    pub(super) fn call(&mut self, hash: &KeyedHash, call: Call) -> Option<u32> {
        self.calls.acquire(hash, call).filter(|number| number & LINKED == 0)
    }

    /// The steps that an identity may have pending events of, as bits.
    pub(super) fn steps(&self, identity: u32) -> u64 {
        self.identities.steps(identity)
    }

    /// The pending events of an identity with `value` in a slot of `binding` and a time in `times`, earliest first.
    /// Hashes may collide, so the caller must check the values.
    pub(super) fn find(
        &self,
        hash: &KeyedHash,
        identity: u32,
        binding: &Binding,
        value: PackedStr<'_>,
        times: RangeInclusive<i64>,
    ) -> &[u32] {
        self.lookup(link_key(value_hash(hash, self.identities.hash(identity), value), binding.key), times)
    }

    /// The pending events of an identity that match `step`, which must have
    /// [`found_by_identity`](crate::rule::StepPlan::found_by_identity) set.
    pub(super) fn find_step(&self, hash: &KeyedHash, identity: u32, step: usize, times: RangeInclusive<i64>) -> &[u32] {
        self.lookup(step_key(hash, self.identities.hash(identity), step), times)
    }

    fn lookup(&self, key: u64, times: RangeInclusive<i64>) -> &[u32] {
        let slots = self.by_value.get(key);
        let first = slots.partition_point(|slot| place_of(&self.slots, *slot).0 < *times.start());
        let end = slots.partition_point(|slot| place_of(&self.slots, *slot).0 <= *times.end());
        slots.get(first..end).unwrap_or_default()
    }

    /// The id of the event in a slot.
    pub(super) fn id(&self, slot: u32) -> Option<PendingId> {
        Some(PendingId { slot, generation: self.slots.get(slot)?.number })
    }

    pub(super) fn slot(&self, slot: u32) -> Option<PendingEvent<'_>> {
        let pending = self.slots.get(slot)?;
        let number = pending.call & !LINKED;
        let call = self.calls.get(number)?;
        Some(PendingEvent {
            time: pending.time(),
            service: &call.service,
            action: &call.action,
            outcome: call.outcome,
            steps: &call.steps,
            plan: &call.plan,
            exceptions: &call.exceptions,
            identity: pending.identity,
            identity_hash: self.identities.hash(pending.identity),
            identity_text: self.identities.text(pending.identity),
            call: number,
            linked: pending.is_linked(),
            attribution: pending.attribution,
            attribution_text: self.attributions.get(pending.attribution)?,
            content: self.contents.get(pending.content),
        })
    }

    /// The event with this id, unless it has been removed.
    pub(super) fn event(&self, id: PendingId) -> Option<PendingEvent<'_>> {
        if self.id(id.slot)? == id { self.slot(id.slot) } else { None }
    }

    /// The time of the event in a slot.
    pub(super) fn time(&self, slot: u32) -> Option<i64> {
        self.slots.get(slot).map(Pending::time)
    }

    /// Removes the event in a slot from the store and from its `bucket`.
    pub(super) fn remove(&mut self, hash: &KeyedHash, slot: u32, bucket: &mut List) {
        let mut scratch = std::mem::take(&mut self.scratch);
        for key in self.all_keys(hash, slot, &mut scratch) {
            let slots = &self.slots;
            self.by_value.remove(*key, slot, |slot| place_of(slots, slot));
        }
        self.scratch = scratch;
        let Some(pending) = self.slots.remove(slot) else { return };
        bucket.unlink(&mut self.slots, pending.of_bucket, of_bucket);
        self.contents.remove(pending.content);
        self.attributions.release(hash, pending.attribution);
        self.calls.release(hash, pending.call & !LINKED);
        let Some(events) = self.identities.events_mut(pending.identity) else { return };
        events.unlink(&mut self.slots, pending.of_identity, of_identity);
        if events.len == 0 {
            self.identities.remove(pending.identity);
        }
    }

    /// The number of pending events of an identity.
    pub(super) fn of_identity(&self, hash: u32, identity: &str) -> usize {
        let events = self.identities.find(hash, identity).and_then(|identity| self.identities.events(identity));
        events.map_or(0, |events| events.len as usize)
    }

    /// The slot of an identity's event to evict: the first in order of arrival that is not linked to another, or the
    /// first. Costs a look at each linked event before it.
    pub(super) fn first_to_evict(&self, hash: u32, identity: &str) -> Option<u32> {
        let events = self.identities.events(self.identities.find(hash, identity)?)?;
        let mut slots = events.iter(&self.slots, |pending| &pending.of_identity);
        slots.find(|slot| self.slots.get(*slot).is_some_and(|pending| !pending.is_linked())).or(Some(events.first))
    }

    /// The candidates that searches for an identity's events may still try.
    pub(super) fn allowance(&self, identity: u32) -> u32 {
        self.identities.allowance(identity)
    }

    pub(super) fn set_allowance(&mut self, identity: u32, allowance: u32) {
        self.identities.set_allowance(identity, allowance);
    }

    /// What is saved of an identity besides its text: its allowance, and the steps that it may have, as bits.
    pub(super) fn saved_identity(&self, identity: u32) -> (u32, u64) {
        (self.identities.allowance(identity), self.identities.steps(identity))
    }

    /// All pending events, in order of arrival.
    pub(super) fn in_order(&self) -> Vec<PendingEvent<'_>> {
        // The oldest event has the number furthest behind `next`, modulo 2^32.
        let age = |number: u32| u32::MAX - self.next.wrapping_sub(number);
        let mut slots: Vec<_> =
            self.slots.iter().map(|(slot, pending)| u64::from(age(pending.number)) << 32 | u64::from(slot)).collect();
        slots.sort_unstable();
        slots.into_iter().filter_map(|slot| self.slot(slot as u32)).collect()
    }

    /// Panics if any index disagrees with the pending events. `buckets` gives those of each minute.
    pub(super) fn check<'b>(&self, hash: &KeyedHash, buckets: impl Iterator<Item = (i64, &'b List)>) {
        self.slots.check();
        self.by_value.check(|slot| self.time(slot));
        self.attributions.check(self.slots.iter().map(|(_, pending)| pending.attribution));
        self.calls.check(self.slots.iter().map(|(_, pending)| pending.call & !LINKED));
        let mut listed = 0;
        for (identity, events) in self.identities.check() {
            let events = events.check(&self.slots, |pending| &pending.of_identity);
            let of_identity = |slot: &u32| self.slots.get(*slot).is_some_and(|pending| pending.identity == identity);
            assert!(events.iter().all(of_identity), "an identity lists its own pending events");
            listed += events.len();
        }
        assert_eq!(listed, self.len(), "every pending event is listed under its identity");
        let mut in_buckets = 0;
        for (minute, events) in buckets {
            let events = events.check(&self.slots, |pending| &pending.of_bucket);
            let of_minute = |slot: &u32| self.time(*slot).is_some_and(|time| time.div_euclid(bucket::MILLIS) == minute);
            assert!(events.iter().all(of_minute), "a bucket lists the pending events of its minute");
            in_buckets += events.len();
        }
        assert_eq!(in_buckets, self.len(), "every pending event is in a bucket");
        for (slot, _) in self.slots.iter() {
            let found = |key: u64| self.by_value.get(key).contains(&slot);
            assert!(
                self.all_keys(hash, slot, &mut Scratch::default()).iter().all(|key| found(*key)),
                "a pending event is found by each of its keys"
            );
        }
    }

    pub(super) fn len(&self) -> usize {
        self.slots.len()
    }

    pub(super) fn identities(&self) -> usize {
        self.identities.len()
    }

    /// Approximate memory of the store, in bytes.
    pub(super) fn bytes(&self) -> usize {
        self.contents.bytes()
            + self.len() * OVERHEAD
            + self.attributions.bytes()
            + self.calls.bytes()
            + self.identities.bytes()
    }
}

/// The place of an event among those that share a key: by time, then in order of arrival.
pub(super) fn place_of(slots: &Slab<Pending>, slot: u32) -> (i64, u32) {
    slots.get(slot).map_or((i64::MIN, 0), |pending| (pending.time(), pending.number))
}
