use std::borrow::Cow;
use std::ops::RangeInclusive;

use super::context::{Context, Contexts};
use super::identities::{self, Identities};
use super::index::Index;
use super::slab::Slab;
use super::{KeyedHash, Matched};
use crate::codec::{Take, put_number, put_text};
use crate::event::Slot;
use crate::rule::{Binding, Rules};
use crate::sorted;

/// How many values of a name that joins nothing are kept for findings, such as the instances of one launch.
const MOST_SHOWN: usize = 64;

/// A pending event. An id is never used twice within four billion insertions.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct PendingId {
    slot: u32,
    generation: u32,
}

/// Events that are steps of a chain, found by identity and linking value.
#[derive(Debug, Default)]
pub(super) struct Store {
    slots: Slab<Pending>,
    by_value: Index,
    identities: Identities,
    contexts: Contexts,
    /// The different calls and the steps they have matched: few, so each is kept once.
    calls: Vec<Call>,
    next: u64,
    bytes: usize,
}

#[derive(Debug)]
struct Pending {
    time: i64,
    /// Counts insertions.
    number: u64,
    identity: u32,
    context: u32,
    call: u32,
    /// The neighbours in the identity's list; [`NOBODY`] at its ends.
    older: u32,
    newer: u32,
    /// Event id, then pairs of slot and value.
    content: Box<[u8]>,
}

const NOBODY: u32 = u32::MAX;

/// What was called, the steps that it is, and the exceptions that hold for it.
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

/// A new event, its parts known to the store.
pub(super) struct New {
    pub time: i64,
    /// From [`Store::identity`].
    pub identity: u32,
    /// From [`Store::context`].
    pub context: u32,
    /// From [`Store::call`].
    pub call: u32,
    pub content: Vec<u8>,
}

/// What a pending event takes besides its content: a slot, a place in the index and one in a bucket, an event id.
const OVERHEAD: usize = size_of::<Option<Pending>>() + 8 + 2 * 10 + 8 + 14;

/// A pending event as joins and findings read it.
#[derive(Clone, Copy)]
pub(crate) struct Event<'a> {
    /// In ms since 1970.
    pub time: i64,
    /// The service that was called.
    pub service: &'a str,
    /// What was called.
    pub action: &'a str,
    steps: &'a [usize],
    /// The exceptions that hold for it.
    pub exceptions: &'a [u16],
    identity: &'a str,
    call: u32,
    context: &'a [u8],
    content: &'a [u8],
}

impl<'a> Event<'a> {
    /// The event's id.
    pub(crate) fn id(self) -> Cow<'a, str> {
        Take::new(self.content).kept_text().unwrap_or_default()
    }

    /// All values, with their slots' numbers.
    fn values(self) -> impl Iterator<Item = (u16, Cow<'a, str>)> {
        let mut take = Take::new(self.content);
        let id = take.skip_kept_text();
        std::iter::from_fn(move || {
            id?;
            Some((u16::try_from(take.number()?).ok()?, take.kept_text()?))
        })
    }

    /// The different values of some slots.
    pub(crate) fn values_of(self, slots: &[Slot]) -> Vec<Cow<'a, str>> {
        let mut values: Vec<_> = Vec::new();
        for (number, value) in self.values() {
            if slots.iter().any(|slot| slot.number() == number) && !values.contains(&value) {
                values.push(value);
            }
        }
        values
    }

    /// Who did it.
    pub(super) fn identity(self) -> &'a str {
        self.identity
    }

    /// Who did it and where.
    pub(crate) fn context(self) -> Context<'a> {
        Context::decode(self.identity, self.context).unwrap_or_default()
    }

    pub(super) fn is_step(self, step: usize) -> bool {
        self.steps.contains(&step)
    }

    /// Tells service, action, steps and exceptions from others in this store.
    pub(super) fn call(self) -> u32 {
        self.call
    }

    pub(super) fn steps(self) -> &'a [usize] {
        self.steps
    }

    pub(super) fn content(self) -> &'a [u8] {
        self.content
    }

    pub(super) fn encoded_context(self) -> &'a [u8] {
        self.context
    }
}

impl Store {
    /// Keeps an event under each value that links it. `None` only where four billion are alive.
    pub(super) fn insert(
        &mut self,
        hash: &KeyedHash,
        rules: &Rules,
        matched: &Matched<'_>,
        context: &Context<'_>,
    ) -> Option<PendingId> {
        let identity = self.identity(hash, context.identity)?;
        let known = self.calls.iter().position(|call| call.is_of(matched)).map(u32::try_from);
        let call = match known {
            Some(known) => known.ok()?,
            None => self.call(Call::of(matched))?,
        };
        let new = New {
            time: matched.time,
            identity,
            context: self.context(hash, context.encode_rest())?,
            call,
            content: content(rules, matched),
        };
        self.insert_known(hash, rules, new)
    }

    /// Makes room for so many identities and events more at once.
    pub(super) fn reserve(&mut self, hash: &KeyedHash, identities: usize, events: usize) {
        self.identities.reserve(hash, identities);
        self.by_value.reserve(events);
    }

    /// The identity of this name. It must get an event.
    pub(super) fn identity(&mut self, hash: &KeyedHash, text: &str) -> Option<u32> {
        self.identities.find_or_insert(hash, text)
    }

    /// A context, for one event. It must get that event.
    pub(super) fn context(&mut self, hash: &KeyedHash, encoded: Vec<u8>) -> Option<u32> {
        self.contexts.acquire(hash, encoded)
    }

    /// A context that is known, for one event more.
    pub(super) fn same_context(&mut self, context: u32) {
        self.contexts.acquire_again(context);
    }

    /// Keeps an event whose parts are known.
    pub(super) fn insert_known(&mut self, hash: &KeyedHash, rules: &Rules, new: New) -> Option<PendingId> {
        let New { time, identity, context, call, content } = new;
        let list = self.identities.get(identity)?;
        let older = if list.count == 0 { NOBODY } else { list.newest };
        self.bytes += content.len() + OVERHEAD;
        let slot = self.slots.insert(Pending {
            time,
            number: self.next,
            identity,
            context,
            call,
            older,
            newer: NOBODY,
            content: content.into(),
        })?;
        self.next += 1;
        let list = self.identities.get_mut(identity)?;
        list.newest = slot;
        list.count += 1;
        match self.slots.get_mut(older) {
            Some(older) => older.newer = slot,
            None => list.oldest = slot,
        }
        for key in self.keys(hash, rules, slot) {
            let slots = &self.slots;
            self.by_value.insert(key, slot, |slot| time_of(slots, slot));
        }
        self.id(slot)
    }

    /// What was called, with the steps and exceptions that it is.
    pub(super) fn call(&mut self, call: Call) -> Option<u32> {
        let known = self.calls.iter().position(|known| *known == call).unwrap_or_else(|| {
            self.calls.push(call);
            self.calls.len() - 1
        });
        u32::try_from(known).ok()
    }

    /// The keys by which an event is found: one for each different value that links it to a step of another event, and
    /// one for each of its steps that others look for by the identity alone.
    fn keys(&self, hash: &KeyedHash, rules: &Rules, slot: u32) -> Vec<u64> {
        let Some(event) = self.slot(slot) else { return Vec::new() };
        let identity = identities::hash_of(hash, event.identity);
        let mut keys = Vec::new();
        // Steps of different rules mostly bind the same values.
        let mut bound = Vec::new();
        for step in event.steps {
            let Some((_, plan)) = rules.step(*step) else { continue };
            if plan.found_by_identity {
                sorted::insert(&mut keys, step_key(hash, identity, *step));
            }
            for binding in plan.bindings.iter().filter(|binding| binding.joins) {
                if bound.contains(&binding.key) {
                    continue;
                }
                bound.push(binding.key);
                for value in event.values_of(&binding.slots) {
                    sorted::insert(&mut keys, value_key(hash, identity, binding.key, &value));
                }
            }
        }
        keys
    }

    /// The pending events of an identity that have `value` where `binding` looks for it and a time in `times`, the
    /// earliest first.
    pub(super) fn find(
        &self,
        hash: &KeyedHash,
        identity: &str,
        binding: &Binding,
        value: &str,
        times: RangeInclusive<i64>,
    ) -> impl Iterator<Item = PendingId> {
        self.posted(value_key(hash, identities::hash_of(hash, identity), binding.key, value), times)
    }

    /// The pending events of an identity that are `step`, which must be one that is found by identity.
    pub(super) fn find_step(
        &self,
        hash: &KeyedHash,
        identity: &str,
        step: usize,
        times: RangeInclusive<i64>,
    ) -> impl Iterator<Item = PendingId> {
        self.posted(step_key(hash, identities::hash_of(hash, identity), step), times)
    }

    fn posted(&self, key: u64, times: RangeInclusive<i64>) -> impl Iterator<Item = PendingId> {
        let slots = self.by_value.get(key);
        let first = slots.partition_point(|slot| time_of(&self.slots, *slot) < *times.start());
        slots
            .iter()
            .skip(first)
            .take_while(move |slot| time_of(&self.slots, **slot) <= *times.end())
            .filter_map(|slot| self.id(*slot))
    }

    fn id(&self, slot: u32) -> Option<PendingId> {
        Some(PendingId { slot, generation: self.slots.get(slot)?.number as u32 })
    }

    fn slot(&self, slot: u32) -> Option<Event<'_>> {
        let pending = self.slots.get(slot)?;
        let call = self.calls.get(pending.call as usize)?;
        Some(Event {
            time: pending.time,
            service: &call.service,
            action: &call.action,
            steps: &call.steps,
            exceptions: &call.exceptions,
            identity: self.identities.text(pending.identity),
            call: pending.call,
            context: self.contexts.encoded(pending.context),
            content: &pending.content,
        })
    }

    /// The event of an id, unless it is gone.
    pub(super) fn event(&self, id: PendingId) -> Option<Event<'_>> {
        if self.id(id.slot)? == id { self.slot(id.slot) } else { None }
    }

    /// Forgets an event; nothing where it is gone.
    pub(super) fn remove(&mut self, hash: &KeyedHash, rules: &Rules, id: PendingId) {
        if self.id(id.slot) != Some(id) {
            return;
        }
        for key in self.keys(hash, rules, id.slot) {
            let slots = &self.slots;
            self.by_value.remove(key, id.slot, |slot| time_of(slots, slot));
        }
        let Some(pending) = self.slots.remove(id.slot) else { return };
        self.bytes -= pending.content.len() + OVERHEAD;
        self.contexts.release(hash, pending.context);
        let Some(list) = self.identities.get_mut(pending.identity) else { return };
        list.count -= 1;
        match self.slots.get_mut(pending.older) {
            Some(older) => older.newer = pending.newer,
            None => list.oldest = pending.newer,
        }
        match self.slots.get_mut(pending.newer) {
            Some(newer) => newer.older = pending.older,
            None => list.newest = pending.older,
        }
        if list.count == 0 {
            self.identities.remove(hash, pending.identity);
        }
    }

    /// Forgets the event of an identity that came first, and gives its time.
    pub(super) fn remove_oldest_of(&mut self, hash: &KeyedHash, rules: &Rules, identity: &str) -> Option<i64> {
        let oldest = self.identities.get(self.identities.find(hash, identity)?)?.oldest;
        let id = self.id(oldest)?;
        let time = self.event(id)?.time;
        self.remove(hash, rules, id);
        Some(time)
    }

    /// How many pending events an identity has.
    pub(super) fn of_identity(&self, hash: &KeyedHash, identity: &str) -> usize {
        let list = self.identities.find(hash, identity).and_then(|identity| self.identities.get(identity));
        list.map_or(0, |list| list.count as usize)
    }

    /// All pending events, in the order in which they came.
    pub(super) fn in_order(&self) -> Vec<Event<'_>> {
        let mut slots: Vec<_> = self.slots.iter().map(|(slot, pending)| (pending.number, slot)).collect();
        slots.sort_unstable();
        slots.into_iter().filter_map(|(_, slot)| self.slot(slot)).collect()
    }

    pub(super) fn len(&self) -> usize {
        self.slots.len()
    }

    pub(super) fn identities(&self) -> usize {
        self.identities.len()
    }

    pub(super) fn bytes(&self) -> usize {
        self.bytes + self.contexts.bytes() + self.identities.bytes()
    }
}

fn value_key(hash: &KeyedHash, identity: u64, key: u16, value: &str) -> u64 {
    hash.of(&[&identity.to_le_bytes(), &key.to_le_bytes(), value.as_bytes()])
}

fn step_key(hash: &KeyedHash, identity: u64, step: usize) -> u64 {
    hash.of(&[&identity.to_le_bytes(), &(step as u64).to_le_bytes()])
}

fn time_of(slots: &Slab<Pending>, slot: u32) -> i64 {
    slots.get(slot).map_or(i64::MIN, |pending| pending.time)
}

/// What is kept of an event: its id and the different values that its steps bind.
fn content(rules: &Rules, matched: &Matched<'_>) -> Vec<u8> {
    let mut content = Vec::new();
    put_text(&mut content, matched.id);
    let plans = matched.steps.iter().filter_map(|step| rules.step(*step));
    let bindings = plans.flat_map(|(_, plan)| &plan.bindings);
    let slots = bindings.flat_map(|binding| binding.slots.iter().map(|slot| (*slot, binding.joins)));
    let slots = sorted::collect(slots);
    for group in slots.chunk_by(|left, right| left.0 == right.0) {
        let Some((slot, _)) = group.first() else { continue };
        let most = if group.iter().any(|(_, joins)| *joins) { usize::MAX } else { MOST_SHOWN };
        for value in matched.event.values.distinct(&[*slot]).into_iter().take(most) {
            put_number(&mut content, slot.number().into());
            put_text(&mut content, value);
        }
    }
    content
}
