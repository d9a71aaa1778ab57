use std::ops::RangeInclusive;

use hashbrown::HashMap;

use super::context::{Context, Contexts};
use super::{KeyedHash, Matched};
use crate::codec::{Take, put_bytes, put_number};
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
    slots: Vec<Option<Pending>>,
    free: Vec<u32>,
    /// Slots by the hash of identity, path and value, the earliest event first.
    by_value: HashMap<u64, Postings>,
    identities: HashMap<u64, Identity>,
    contexts: Contexts,
    /// The different calls and the steps they have matched: few, so each is kept once.
    calls: Vec<Call>,
    next: u64,
    alive: usize,
    bytes: usize,
}

#[derive(Debug)]
struct Pending {
    time: i64,
    /// Counts insertions.
    number: u64,
    identity: u64,
    context: u32,
    call: u32,
    /// The neighbours in the identity's list.
    older: Option<u32>,
    newer: Option<u32>,
    /// Event id, then pairs of slot and value.
    content: Box<[u8]>,
}

/// What was called, the steps that it is, and the exceptions that hold for it.
#[derive(Debug)]
struct Call {
    service: Box<str>,
    action: Box<str>,
    steps: Box<[usize]>,
    exceptions: Box<[u16]>,
}

/// The pending events of one identity, in the order in which they came.
#[derive(Debug)]
struct Identity {
    oldest: u32,
    newest: u32,
    count: usize,
}

/// The slots behind one key. Nearly always there is one: a volume is created once.
#[derive(Debug)]
enum Postings {
    One(u32),
    Many(Vec<u32>),
}

/// A new event, its text encoded.
pub(super) struct Encoded<'a> {
    pub time: i64,
    pub service: &'a str,
    pub action: &'a str,
    pub steps: &'a [usize],
    pub exceptions: &'a [u16],
    pub context: Vec<u8>,
    pub content: Vec<u8>,
}

/// What a pending event takes besides its content: a slot, two postings and an id in a bucket, and an event id.
const OVERHEAD: usize = size_of::<Option<Pending>>() + 2 * 24 + 8 + 10;

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
    context: &'a [u8],
    content: &'a [u8],
}

impl<'a> Event<'a> {
    /// The event's id.
    pub(crate) fn id(self) -> &'a str {
        Take::new(self.content).text().unwrap_or_default()
    }

    /// All values, with their slots' numbers.
    fn values(self) -> impl Iterator<Item = (u16, &'a str)> {
        let mut take = Take::new(self.content);
        let id = take.bytes();
        std::iter::from_fn(move || {
            id?;
            Some((u16::try_from(take.number()?).ok()?, take.text()?))
        })
    }

    /// The different values of some slots.
    pub(crate) fn values_of(self, slots: &[Slot]) -> Vec<&'a str> {
        let mut values: Vec<_> = Vec::new();
        for (number, value) in self.values() {
            if slots.iter().any(|slot| slot.number() == number) && !values.contains(&value) {
                values.push(value);
            }
        }
        values
    }

    /// Who did it and where.
    pub(crate) fn context(self) -> Context<'a> {
        Context::decode(self.context).unwrap_or_default()
    }

    pub(super) fn is_step(self, step: usize) -> bool {
        self.steps.contains(&step)
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
        let new = Encoded {
            time: matched.time,
            service: &matched.event.service,
            action: &matched.event.action,
            steps: matched.steps,
            exceptions: matched.exceptions,
            context: context.encode(),
            content: content(rules, matched),
        };
        self.insert_encoded(hash, rules, new)
    }

    /// Keeps an event whose parts are encoded already.
    pub(super) fn insert_encoded(&mut self, hash: &KeyedHash, rules: &Rules, new: Encoded<'_>) -> Option<PendingId> {
        let identity = identity_hash(hash, Context::decode(&new.context)?.identity);
        let call = self.call(&new)?;
        let time = new.time;
        let pending = Pending {
            time,
            number: self.next,
            identity,
            context: self.contexts.acquire(hash, new.context)?,
            call,
            older: None,
            newer: None,
            content: new.content.into(),
        };
        self.bytes += pending.content.len() + OVERHEAD;
        self.next += 1;
        self.alive += 1;
        let generation = pending.number as u32;
        let slot = match self.free.pop() {
            Some(slot) => {
                *self.slots.get_mut(slot as usize)? = Some(pending);
                slot
            }
            None => {
                self.slots.push(Some(pending));
                u32::try_from(self.slots.len() - 1).ok()?
            }
        };
        self.append_to_identity(identity, slot);
        for key in self.keys(hash, rules, slot) {
            self.post(key, slot, time);
        }
        Some(PendingId { slot, generation })
    }

    fn call(&mut self, new: &Encoded<'_>) -> Option<u32> {
        let known = self.calls.iter().position(|known| {
            *known.action == *new.action
                && *known.service == *new.service
                && *known.steps == *new.steps
                && *known.exceptions == *new.exceptions
        });
        let call = known.unwrap_or_else(|| {
            self.calls.push(Call {
                service: new.service.into(),
                action: new.action.into(),
                steps: new.steps.into(),
                exceptions: new.exceptions.into(),
            });
            self.calls.len() - 1
        });
        u32::try_from(call).ok()
    }

    fn append_to_identity(&mut self, identity: u64, slot: u32) {
        let list = self.identities.entry(identity).or_insert(Identity { oldest: slot, newest: slot, count: 0 });
        list.count += 1;
        let before = std::mem::replace(&mut list.newest, slot);
        if before != slot {
            if let Some(before) = pending_mut(&mut self.slots, before) {
                before.newer = Some(slot);
            }
            if let Some(here) = pending_mut(&mut self.slots, slot) {
                here.older = Some(before);
            }
        }
    }

    /// The keys by which an event is found: one for each different value that links it to a step of another event, and
    /// one for each of its steps that others look for by the identity alone.
    fn keys(&self, hash: &KeyedHash, rules: &Rules, slot: u32) -> Vec<u64> {
        let Some((event, identity)) = self.slot(slot) else { return Vec::new() };
        let mut keys = Vec::new();
        for step in event.steps {
            let Some((_, plan)) = rules.step(*step) else { continue };
            if plan.found_by_identity {
                sorted::insert(&mut keys, step_key(hash, identity, *step));
            }
            for binding in plan.bindings.iter().filter(|binding| binding.joins) {
                for value in event.values_of(&binding.slots) {
                    sorted::insert(&mut keys, value_key(hash, identity, binding.key, value));
                }
            }
        }
        keys
    }

    fn post(&mut self, key: u64, slot: u32, time: i64) {
        let slots = &self.slots;
        self.by_value
            .entry(key)
            .and_modify(|postings| {
                if let Postings::One(first) = postings {
                    *postings = Postings::Many(vec![*first]);
                }
                if let Postings::Many(many) = postings {
                    let at = many.partition_point(|other| time_of(slots, *other) <= time);
                    many.insert(at, slot);
                }
            })
            .or_insert(Postings::One(slot));
    }

    fn unpost(&mut self, key: u64, slot: u32) {
        let slots = &self.slots;
        let Some(postings) = self.by_value.get_mut(&key) else { return };
        if let Postings::Many(many) = postings {
            let from = many.partition_point(|other| time_of(slots, *other) < time_of(slots, slot));
            if let Some(at) = (from..many.len()).find(|at| many.get(*at) == Some(&slot)) {
                many.remove(at);
            }
            if let [last] = many[..] {
                *postings = Postings::One(last);
            }
        } else {
            self.by_value.remove(&key);
        }
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
        self.posted(value_key(hash, identity_hash(hash, identity), binding.key, value), times)
    }

    /// The pending events of an identity that are `step`, which must be one that is found by identity.
    pub(super) fn find_step(
        &self,
        hash: &KeyedHash,
        identity: &str,
        step: usize,
        times: RangeInclusive<i64>,
    ) -> impl Iterator<Item = PendingId> {
        self.posted(step_key(hash, identity_hash(hash, identity), step), times)
    }

    fn posted(&self, key: u64, times: RangeInclusive<i64>) -> impl Iterator<Item = PendingId> {
        let slots = match self.by_value.get(&key) {
            None => &[],
            Some(Postings::One(slot)) => std::slice::from_ref(slot),
            Some(Postings::Many(slots)) => slots.as_slice(),
        };
        let first = slots.partition_point(|slot| time_of(&self.slots, *slot) < *times.start());
        slots
            .iter()
            .skip(first)
            .take_while(move |slot| time_of(&self.slots, **slot) <= *times.end())
            .filter_map(|slot| self.id(*slot))
    }

    fn id(&self, slot: u32) -> Option<PendingId> {
        let pending = self.slots.get(slot as usize)?.as_ref()?;
        Some(PendingId { slot, generation: pending.number as u32 })
    }

    fn slot(&self, slot: u32) -> Option<(Event<'_>, u64)> {
        let pending = self.slots.get(slot as usize)?.as_ref()?;
        let call = self.calls.get(pending.call as usize)?;
        let event = Event {
            time: pending.time,
            service: &call.service,
            action: &call.action,
            steps: &call.steps,
            exceptions: &call.exceptions,
            context: self.contexts.encoded(pending.context),
            content: &pending.content,
        };
        Some((event, pending.identity))
    }

    /// The event of an id, unless it is gone.
    pub(super) fn event(&self, id: PendingId) -> Option<Event<'_>> {
        (self.id(id.slot)? == id).then_some(self.slot(id.slot)?.0)
    }

    /// Forgets an event; nothing where it is gone.
    pub(super) fn remove(&mut self, hash: &KeyedHash, rules: &Rules, id: PendingId) {
        if self.id(id.slot) != Some(id) {
            return;
        }
        for key in self.keys(hash, rules, id.slot) {
            self.unpost(key, id.slot);
        }
        let Some(pending) = self.slots.get_mut(id.slot as usize).and_then(Option::take) else { return };
        self.free.push(id.slot);
        self.alive -= 1;
        self.bytes -= pending.content.len() + OVERHEAD;
        self.contexts.release(hash, pending.context);
        self.take_from_identity(&pending);
    }

    fn take_from_identity(&mut self, pending: &Pending) {
        if let Some(older) = pending.older.and_then(|slot| pending_mut(&mut self.slots, slot)) {
            older.newer = pending.newer;
        }
        if let Some(newer) = pending.newer.and_then(|slot| pending_mut(&mut self.slots, slot)) {
            newer.older = pending.older;
        }
        let Some(list) = self.identities.get_mut(&pending.identity) else { return };
        list.count -= 1;
        match (pending.older, pending.newer) {
            (None, None) => {
                self.identities.remove(&pending.identity);
            }
            (None, Some(newer)) => list.oldest = newer,
            (Some(older), None) => list.newest = older,
            (Some(_), Some(_)) => {}
        }
    }

    /// Forgets the event of an identity that came first, and gives its time.
    pub(super) fn remove_oldest_of(&mut self, hash: &KeyedHash, rules: &Rules, identity: &str) -> Option<i64> {
        let oldest = self.identities.get(&identity_hash(hash, identity))?.oldest;
        let id = self.id(oldest)?;
        let time = self.event(id)?.time;
        self.remove(hash, rules, id);
        Some(time)
    }

    /// How many pending events an identity has.
    pub(super) fn of_identity(&self, hash: &KeyedHash, identity: &str) -> usize {
        self.identities.get(&identity_hash(hash, identity)).map_or(0, |list| list.count)
    }

    /// All pending events, in the order in which they came.
    pub(super) fn in_order(&self) -> Vec<Event<'_>> {
        let mut slots: Vec<_> =
            (0..).zip(&self.slots).filter_map(|(slot, p)| Some((p.as_ref()?.number, slot))).collect();
        slots.sort_unstable();
        slots.into_iter().filter_map(|(_, slot)| Some(self.slot(slot)?.0)).collect()
    }

    pub(super) fn len(&self) -> usize {
        self.alive
    }

    pub(super) fn identities(&self) -> usize {
        self.identities.len()
    }

    pub(super) fn bytes(&self) -> usize {
        self.bytes + self.contexts.bytes() + self.identities.len() * (size_of::<Identity>() + 10)
    }
}

fn identity_hash(hash: &KeyedHash, identity: &str) -> u64 {
    hash.of(&[b"identity", identity.as_bytes()])
}

fn value_key(hash: &KeyedHash, identity: u64, key: u16, value: &str) -> u64 {
    hash.of(&[&identity.to_le_bytes(), &key.to_le_bytes(), value.as_bytes()])
}

fn step_key(hash: &KeyedHash, identity: u64, step: usize) -> u64 {
    hash.of(&[&identity.to_le_bytes(), &(step as u64).to_le_bytes()])
}

fn pending_mut(slots: &mut [Option<Pending>], slot: u32) -> Option<&mut Pending> {
    slots.get_mut(slot as usize)?.as_mut()
}

fn time_of(slots: &[Option<Pending>], slot: u32) -> i64 {
    slots.get(slot as usize).and_then(Option::as_ref).map_or(i64::MIN, |pending| pending.time)
}

/// What is kept of an event: its id and the different values that its steps bind.
fn content(rules: &Rules, matched: &Matched<'_>) -> Vec<u8> {
    let mut content = Vec::new();
    put_bytes(&mut content, matched.id.as_bytes());
    let plans = matched.steps.iter().filter_map(|step| rules.step(*step));
    let bindings = plans.flat_map(|(_, plan)| &plan.bindings);
    let slots = bindings.flat_map(|binding| binding.slots.iter().map(|slot| (*slot, binding.joins)));
    let slots = sorted::collect(slots);
    for group in slots.chunk_by(|left, right| left.0 == right.0) {
        let Some((slot, _)) = group.first() else { continue };
        let most = if group.iter().any(|(_, joins)| *joins) { usize::MAX } else { MOST_SHOWN };
        for value in matched.event.values.distinct(&[*slot]).into_iter().take(most) {
            put_number(&mut content, slot.number().into());
            put_bytes(&mut content, value.as_bytes());
        }
    }
    content
}
