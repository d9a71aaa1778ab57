use std::borrow::Cow;
use std::ops::RangeInclusive;

use hashbrown::HashSet;

use super::arena::{Arena, Handle};
use super::attribution::{Attribution, Attributions};
use super::identities::Identities;
use super::index::Index;
use super::list::{Links, List};
use super::slab::Slab;
use super::{KeyedHash, Matched, bucket, table};
use crate::event::Slot;
use crate::rule::{Binding, Rules};
use crate::util::invariant::Invariant as _;
use crate::util::packed::{Decoder, PackedStr, encode_number, encode_text};
use crate::util::sorted;

/// Maximum values stored per slot that no join uses; findings only show them (such as the instances of one launch).
const MAX_UNJOINED_VALUES: usize = 64;

/// The id of a pending event. Ids are unique within four billion insertions.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(crate) struct PendingId {
    slot: u32,
    generation: u32,
}

/// The pending events: events that are steps of a chain, indexed by identity and linking value.
#[derive(Debug, Default)]
pub(super) struct Store {
    slots: Slab<Pending>,
    contents: Arena,
    by_value: Index,
    identities: Identities,
    attributions: Attributions,
    /// Interned calls with the steps they matched. There are few distinct ones.
    calls: Vec<Call>,
    next: u32,
}

#[derive(Debug)]
struct Pending {
    /// In ms since 1970, as high and low half, so that a slot needs no padding.
    time: [u32; 2],
    /// The insertion number, which wraps after four billion.
    number: u32,
    identity: u32,
    attribution: u32,
    call: u32,
    /// The event id, then pairs of slot and value.
    content: Handle,
    of_identity: Links,
    of_bucket: Links,
}

impl Pending {
    fn time(&self) -> i64 {
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

/// A call, the steps it matches, and the exceptions that apply to it.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Call {
    pub service: Box<str>,
    pub action: Box<str>,
    pub steps: Vec<usize>,
    pub exceptions: Vec<u16>,
}

impl Call {
    fn of(matched: &Matched<'_>) -> Self {
        Self {
            service: (*matched.event.service).into(),
            action: (*matched.event.action).into(),
            steps: matched.steps.into(),
            exceptions: matched.exceptions.into(),
        }
    }

    fn is_of(&self, matched: &Matched<'_>) -> bool {
        *self.action == *matched.event.action
            && *self.service == *matched.event.service
            && self.steps == matched.steps
            && self.exceptions == matched.exceptions
    }
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
    pub content: Cow<'a, [u8]>,
}

/// Bytes per pending event besides its content: a slot, an index entry and an event id.
const OVERHEAD: usize = size_of::<Option<Pending>>() + 2 * (size_of::<u64>() + table::OVERHEAD);

/// A decoded view of a pending event, for joins and findings.
#[derive(Clone, Copy)]
pub(crate) struct PendingEvent<'a> {
    /// In ms since 1970.
    pub time: i64,
    /// The service that was called.
    pub service: &'a str,
    /// The action that was called.
    pub action: &'a str,
    steps: &'a [usize],
    /// The exceptions that apply to it.
    pub exceptions: &'a [u16],
    identity: u32,
    identity_text: &'a [u8],
    call: u32,
    attribution: u32,
    attribution_text: &'a [u8],
    content: &'a [u8],
}

impl<'a> PendingEvent<'a> {
    /// The event's id.
    pub(crate) fn id(self) -> Cow<'a, str> {
        Decoder::new(self.content).packed_text().invariant("a pending event begins with its id")
    }

    /// All values with their slot numbers.
    fn values(self) -> impl Iterator<Item = (u16, PackedStr<'a>)> {
        let mut decoder = Decoder::new(self.content);
        let id = decoder.packed();
        std::iter::from_fn(move || {
            id?;
            Some((u16::try_from(decoder.number()?).ok()?, decoder.packed()?))
        })
    }

    /// The distinct values of some slots.
    pub(crate) fn values_of(self, slots: &[Slot]) -> Vec<PackedStr<'a>> {
        let of_slots = self.values().filter(|(number, _)| slots.iter().any(|slot| slot.number() == *number));
        let values = of_slots.map(|(_, value)| value);
        if slots.len() == 1 {
            // The values of one slot are distinct already.
            return values.collect();
        }
        let mut seen = HashSet::new();
        values.filter(|value| seen.insert(*value)).collect()
    }

    /// The identity: its number, and its text as UTF-8.
    pub(super) fn identity(self) -> (u32, &'a [u8]) {
        (self.identity, self.identity_text)
    }

    /// Who made the call, and where.
    pub(crate) fn attribution(self) -> Attribution<'a> {
        let identity = std::str::from_utf8(self.identity_text).invariant("an identity is UTF-8");
        Attribution::decode(identity, self.attribution_text).invariant("an attribution is as it was encoded")
    }

    pub(super) fn is_step(self, step: usize) -> bool {
        self.steps.contains(&step)
    }

    /// Interned id of (service, action, steps, exceptions).
    pub(super) fn call(self) -> u32 {
        self.call
    }

    pub(super) fn steps(self) -> &'a [usize] {
        self.steps
    }

    pub(super) fn content(self) -> &'a [u8] {
        self.content
    }

    /// The attribution: its number, and its encoding.
    pub(super) fn encoded_attribution(self) -> (u32, &'a [u8]) {
        (self.attribution, self.attribution_text)
    }
}

impl Store {
    /// Inserts an event, indexes it under each value that links it, and appends it to `bucket`. `None` only if two
    /// billion are alive.
    pub(super) fn insert(
        &mut self,
        hash: &KeyedHash,
        rules: &Rules,
        matched: &Matched<'_>,
        attribution: &Attribution<'_>,
        bucket: &mut List,
    ) -> Option<PendingId> {
        let identity = self.identities.find_or_insert(hash, attribution.identity)?;
        let known = self.calls.iter().position(|call| call.is_of(matched)).map(u32::try_from);
        let call = match known {
            Some(known) => known.ok()?,
            None => self.call(Call::of(matched))?,
        };
        let new = New {
            time: matched.time,
            identity,
            attribution: self.attribution(hash, attribution.encode_rest())?,
            call,
            content: content(rules, matched).into(),
        };
        let slot = self.insert_unindexed(new, bucket)?;
        for key in self.keys(hash, rules, slot) {
            let slots = &self.slots;
            self.by_value.insert(key, slot, |slot| time_of(slots, slot));
        }
        self.id(slot)
    }

    /// Adds an identity that the store does not have yet, for [`Self::insert_unindexed`].
    pub(super) fn new_identity(&mut self, text: &str) -> Option<u32> {
        self.identities.insert_unindexed(text)
    }

    /// Interns an attribution and counts one event as its user. The caller must insert that event.
    pub(super) fn attribution(&mut self, hash: &KeyedHash, encoded: Vec<u8>) -> Option<u32> {
        self.attributions.acquire(hash, encoded)
    }

    /// Counts one more event as a user of a known attribution. The caller must insert that event.
    pub(super) fn same_attribution(&mut self, attribution: u32) {
        self.attributions.acquire_again(attribution);
    }

    /// Inserts an event that is not indexed until [`Self::index_all`] is called.
    pub(super) fn insert_unindexed(&mut self, new: New<'_>, bucket: &mut List) -> Option<u32> {
        let time = new.time as u64;
        let slot = self.slots.insert(Pending {
            time: [(time >> 32) as u32, time as u32],
            number: self.next,
            identity: new.identity,
            attribution: new.attribution,
            call: new.call,
            content: self.contents.insert(&new.content)?,
            of_identity: Links::default(),
            of_bucket: Links::default(),
        })?;
        self.next = self.next.wrapping_add(1);
        self.identities.events_mut(new.identity)?.push(&mut self.slots, slot, of_identity);
        bucket.push(&mut self.slots, slot, of_bucket);
        Some(slot)
    }

    /// Indexes all events. The index must be empty.
    ///
    /// Inserts in the order of the index: in the order of the events, every insertion would be a cache miss.
    pub(super) fn index_all(&mut self, hash: &KeyedHash, rules: &Rules) {
        let mut keys: Vec<(u32, u32)> = Vec::with_capacity(self.len());
        for (slot, _) in self.slots.iter() {
            keys.extend(self.keys(hash, rules, slot).into_iter().map(|key| (key as u32, slot)));
        }
        self.identities.index_all(hash);
        keys.sort_unstable();
        self.by_value.reserve(keys.len());
        for (key, slot) in keys {
            let slots = &self.slots;
            self.by_value.insert(key.into(), slot, |slot| time_of(slots, slot));
        }
    }

    /// Interns a call with its steps and exceptions.
    pub(super) fn call(&mut self, call: Call) -> Option<u32> {
        let known = self.calls.iter().position(|known| *known == call).unwrap_or_else(|| {
            self.calls.push(call);
            self.calls.len() - 1
        });
        u32::try_from(known).ok()
    }

    /// The index keys of an event: one per distinct value that links it to another step, and one per step that other
    /// steps look up by identity alone.
    fn keys(&self, hash: &KeyedHash, rules: &Rules, slot: u32) -> Vec<u64> {
        let Some(event) = self.slot(slot) else { return Vec::new() };
        let mut keys = Vec::new();
        // Steps of different rules mostly bind the same slots.
        let mut bound = Vec::new();
        for step in event.steps {
            let Some((_, plan)) = rules.step(*step) else { continue };
            if plan.found_by_identity {
                keys.push(step_key(hash, event.identity, *step));
            }
            for binding in plan.bindings.iter().filter(|binding| binding.joins) {
                if bound.contains(&binding.key) {
                    continue;
                }
                bound.push(binding.key);
                let values = event.values_of(&binding.slots).into_iter();
                keys.extend(values.map(|value| value_key(hash, event.identity, binding.key, value)));
            }
        }
        keys.sort_unstable();
        keys.dedup();
        keys
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
    ) -> impl Iterator<Item = PendingId> {
        self.lookup(value_key(hash, identity, binding.key, value), times)
    }

    /// The pending events of an identity that match `step`, which must have
    /// [`found_by_identity`](crate::rule::StepPlan::found_by_identity) set.
    pub(super) fn find_step(
        &self,
        hash: &KeyedHash,
        identity: u32,
        step: usize,
        times: RangeInclusive<i64>,
    ) -> impl Iterator<Item = PendingId> {
        self.lookup(step_key(hash, identity, step), times)
    }

    fn lookup(&self, key: u64, times: RangeInclusive<i64>) -> impl Iterator<Item = PendingId> {
        let slots = self.by_value.get(key);
        let first = slots.partition_point(|slot| time_of(&self.slots, *slot) < *times.start());
        slots
            .iter()
            .skip(first)
            .take_while(move |slot| time_of(&self.slots, **slot) <= *times.end())
            .filter_map(|slot| self.id(*slot))
    }

    fn id(&self, slot: u32) -> Option<PendingId> {
        Some(PendingId { slot, generation: self.slots.get(slot)?.number })
    }

    fn slot(&self, slot: u32) -> Option<PendingEvent<'_>> {
        let pending = self.slots.get(slot)?;
        let call = self.calls.get(pending.call as usize)?;
        Some(PendingEvent {
            time: pending.time(),
            service: &call.service,
            action: &call.action,
            steps: &call.steps,
            exceptions: &call.exceptions,
            identity: pending.identity,
            identity_text: self.identities.text(pending.identity),
            call: pending.call,
            attribution: pending.attribution,
            attribution_text: self.attributions.encoded(pending.attribution),
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
    pub(super) fn remove(&mut self, hash: &KeyedHash, rules: &Rules, slot: u32, bucket: &mut List) {
        for key in self.keys(hash, rules, slot) {
            let slots = &self.slots;
            self.by_value.remove(key, slot, |slot| time_of(slots, slot));
        }
        let Some(pending) = self.slots.remove(slot) else { return };
        bucket.unlink(&mut self.slots, pending.of_bucket, of_bucket);
        self.contents.remove(pending.content);
        self.attributions.release(hash, pending.attribution);
        let Some(events) = self.identities.events_mut(pending.identity) else { return };
        events.unlink(&mut self.slots, pending.of_identity, of_identity);
        if events.len == 0 {
            self.identities.remove(hash, pending.identity);
        }
    }

    /// The pending events of an identity, in order of arrival.
    pub(super) fn of_identity(&self, hash: &KeyedHash, identity: &str) -> List {
        let events = self.identities.find(hash, identity).and_then(|identity| self.identities.events(identity));
        events.copied().unwrap_or_default()
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
    pub(super) fn check<'b>(&self, hash: &KeyedHash, rules: &Rules, buckets: impl Iterator<Item = (i64, &'b List)>) {
        self.slots.check();
        self.by_value.check(|slot| self.time(slot));
        self.attributions.check(self.slots.iter().map(|(_, pending)| pending.attribution));
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
                self.keys(hash, rules, slot).into_iter().all(found),
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
        self.contents.bytes() + self.len() * OVERHEAD + self.attributions.bytes() + self.identities.bytes()
    }
}

fn value_key(hash: &KeyedHash, identity: u32, key: u16, value: PackedStr<'_>) -> u64 {
    hash.of(&[&identity.to_le_bytes(), &key.to_le_bytes(), value.0])
}

fn step_key(hash: &KeyedHash, identity: u32, step: usize) -> u64 {
    hash.of(&[&identity.to_le_bytes(), &(step as u64).to_le_bytes()])
}

fn time_of(slots: &Slab<Pending>, slot: u32) -> i64 {
    slots.get(slot).map_or(i64::MIN, Pending::time)
}

/// The stored content of an event: its id and the distinct values that its steps bind.
fn content(rules: &Rules, matched: &Matched<'_>) -> Vec<u8> {
    let mut content = Vec::new();
    encode_text(&mut content, matched.report_id);
    let plans = matched.steps.iter().filter_map(|step| rules.step(*step));
    let bindings = plans.flat_map(|(_, plan)| &plan.bindings);
    let slots = bindings.flat_map(|binding| binding.slots.iter().map(|slot| (*slot, binding.joins)));
    let slots = sorted::collect(slots);
    for group in slots.chunk_by(|left, right| left.0 == right.0) {
        let Some((slot, _)) = group.first() else { continue };
        let most = if group.iter().any(|(_, joins)| *joins) { usize::MAX } else { MAX_UNJOINED_VALUES };
        for value in matched.event.values.distinct(&[*slot]).into_iter().take(most) {
            encode_number(&mut content, slot.number().into());
            encode_text(&mut content, value);
        }
    }
    content
}
