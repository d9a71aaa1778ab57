//! What is remembered, as bytes of a checkpoint and back.
//!
//! Slots and steps are numbers that another set of rules gives to something else, so the checkpoint carries the paths and
//! the rules' fingerprints beside them. What belongs to a rule that has changed or gone is left out on the way back.

use std::borrow::Cow;

use super::bucket::Buckets;
use super::pending::{Call, Event, New, Store};
use super::table::Table;
use super::{Chains, Counts};
use crate::codec::{Take, put_bytes, put_number, put_signed, put_text};
use crate::rule::{Path, Rules};
use crate::sorted;

/// How the numbers of a checkpoint's rules read in the rules of today.
struct Renumbering {
    slots: Vec<Option<u16>>,
    /// Whether every slot is what it was, and texts are kept as they are today.
    contents_unchanged: bool,
    steps: Vec<Option<usize>>,
    /// An exception that has changed or gone excuses nothing.
    exceptions: Vec<Option<u16>>,
    /// The ids of the rules whose state is not taken over.
    reset: Vec<String>,
}

impl Chains {
    /// Appends all that is remembered.
    #[cold]
    pub(crate) fn save(&self, rules: &Rules, to: &mut Vec<u8>) {
        to.extend_from_slice(&self.hash.key);
        put_signed(to, self.clock.newest().unwrap_or(-1));
        for count in self.counts.all() {
            put_number(to, count);
        }
        save_rules(rules, to);
        put_number(to, self.buckets.iter().count() as u64);
        for (minute, bucket) in self.buckets.iter() {
            put_signed(to, minute);
            put_signed(to, bucket.deadline);
            put_signed(to, bucket.due());
            put_number(to, bucket.ids.len() as u64);
            for id in bucket.ids.in_order() {
                to.extend_from_slice(&id.to_le_bytes());
            }
        }
        save_pending(&self.pending, to);
        put_number(to, self.told.len() as u64);
        for (hour, identity) in &self.told {
            put_signed(to, *hour);
            to.extend_from_slice(&identity.to_le_bytes());
        }
    }

    /// Takes back what [`Self::save`] wrote; `texts_unchanged` says that it keeps texts as it does today. Gives the ids of
    /// the rules whose state could not be taken over, or `None` where the bytes are not of that form.
    #[cold]
    pub(crate) fn restore(&mut self, rules: &Rules, texts_unchanged: bool, take: &mut Take<'_>) -> Option<Vec<String>> {
        self.hash.key = take.fixed()?;
        self.clock.restore(Some(take.signed()?).filter(|newest| *newest >= 0));
        let mut counts = [0; Counts::FIELDS];
        for count in &mut counts {
            *count = take.number()?;
        }
        self.counts = Counts::from_all(counts);
        let renumbering = Renumbering::take(rules, texts_unchanged, take)?;
        restore_buckets(&mut self.buckets, take)?;
        self.restore_pending(rules, &renumbering, take)?;
        for _ in 0..take.count(1 + size_of::<u64>())? {
            self.told.insert((take.signed()?, u64::from_le_bytes(take.fixed()?)));
        }
        Some(renumbering.reset)
    }

    fn restore_pending(&mut self, rules: &Rules, renumbering: &Renumbering, take: &mut Take<'_>) -> Option<()> {
        let mut identities: Vec<_> =
            (0..take.count(1)?).map(|_| take.text().map(Part::Saved)).collect::<Option<_>>()?;
        let mut contexts: Vec<_> = (0..take.count(1)?).map(|_| take.bytes().map(Part::Saved)).collect::<Option<_>>()?;
        let mut calls: Vec<_> =
            (0..take.count(4)?).map(|_| renumbering.call(take).map(Part::Saved)).collect::<Option<_>>()?;
        for _ in 0..take.count(5)? {
            let time = take.signed()?;
            let identity = identities.get_mut(usize::try_from(take.number()?).ok()?)?;
            let context = contexts.get_mut(usize::try_from(take.number()?).ok()?)?;
            let call = calls.get_mut(usize::try_from(take.number()?).ok()?)?;
            let content = renumbering.content(take.bytes()?)?;
            if matches!(call, Part::Saved(call) if call.steps.is_empty()) {
                continue;
            }
            let pending = &mut self.pending;
            let new = New {
                time,
                identity: identity.known(|text| pending.new_identity(text))?,
                context: match context {
                    Part::Known(context) => {
                        pending.same_context(*context);
                        *context
                    }
                    Part::Saved(_) => context.known(|encoded| pending.context(&self.hash, encoded.to_vec()))?,
                },
                call: call.known(|call| pending.call(call))?,
                content,
            };
            pending.insert_unindexed(new, self.buckets.pending_at(time)?)?;
        }
        self.pending.index_all(&self.hash, rules);
        Some(())
    }
}

/// A part that many events share: as it was saved until one has it, then as the store knows it.
enum Part<T> {
    Saved(T),
    Known(u32),
}

impl<T> Part<T> {
    fn known(&mut self, make_known: impl FnOnce(T) -> Option<u32>) -> Option<u32> {
        let known = match std::mem::replace(self, Self::Known(0)) {
            Self::Saved(part) => make_known(part)?,
            Self::Known(known) => known,
        };
        *self = Self::Known(known);
        Some(known)
    }
}

fn save_rules(rules: &Rules, to: &mut Vec<u8>) {
    let paths = rules.projection.paths();
    put_number(to, paths.len() as u64);
    for path in paths {
        put_bytes(to, path.as_bytes());
    }
    put_number(to, rules.rules.len() as u64);
    for rule in &rules.rules {
        to.extend_from_slice(&rule.fingerprint);
        put_bytes(to, rule.rule.id.as_bytes());
        put_number(to, rule.rule.steps.len() as u64);
    }
    put_number(to, rules.exceptions.len() as u64);
    for exception in &rules.exceptions {
        to.extend_from_slice(&exception.fingerprint);
    }
}

impl Renumbering {
    fn take(rules: &Rules, texts_unchanged: bool, take: &mut Take<'_>) -> Option<Self> {
        let mut renumbering = Self {
            slots: Vec::new(),
            contents_unchanged: false,
            steps: Vec::new(),
            exceptions: Vec::new(),
            reset: Vec::new(),
        };
        for _ in 0..take.count(1)? {
            let path = Path::parse(take.text()?)?;
            renumbering.slots.push(rules.projection.slot(path.as_str()).map(|slot| slot.number()));
        }
        let same = |(slot, now): (u16, &Option<u16>)| *now == Some(slot);
        renumbering.contents_unchanged = texts_unchanged && (0..).zip(&renumbering.slots).all(same);
        for _ in 0..take.count(18)? {
            let fingerprint = take.fixed()?;
            let id = take.text()?;
            let steps = usize::try_from(take.number()?).ok()?;
            let same = rules.rules.iter().find(|rule| rule.fingerprint == fingerprint);
            if same.is_some_and(|rule| rule.rule.steps.len() != steps) || steps > usize::from(u16::MAX) {
                return None;
            }
            if same.is_none() {
                renumbering.reset.push(id.to_owned());
            }
            renumbering.steps.extend((0..steps).map(|step| same.map(|rule| rule.first_step + step)));
        }
        for _ in 0..take.count(16)? {
            let fingerprint: [u8; 16] = take.fixed()?;
            let same = (0..).zip(&rules.exceptions).find(|(_, exception)| exception.fingerprint == fingerprint);
            renumbering.exceptions.push(same.map(|(place, _)| place));
        }
        Some(renumbering)
    }

    /// What was called, with the steps and exceptions of today.
    fn call(&self, take: &mut Take<'_>) -> Option<Call> {
        let (service, action) = (take.text()?.into(), take.text()?.into());
        let mut call = Call { service, action, steps: Vec::new(), exceptions: Vec::new() };
        for _ in 0..take.count(1)? {
            if let Some(step) = self.steps.get(usize::try_from(take.number()?).ok()?)? {
                sorted::insert(&mut call.steps, *step);
            }
        }
        for _ in 0..take.count(1)? {
            if let Some(exception) = self.exceptions.get(usize::try_from(take.number()?).ok()?)? {
                sorted::insert(&mut call.exceptions, *exception);
            }
        }
        Some(call)
    }

    /// An event's content with the slots of today.
    fn content<'a>(&self, saved: &'a [u8]) -> Option<Cow<'a, [u8]>> {
        if self.contents_unchanged {
            return Some(Cow::Borrowed(saved));
        }
        let mut take = Take::new(saved);
        let mut content = Vec::with_capacity(saved.len());
        put_text(&mut content, &take.kept_text()?);
        while take.left() > 0 {
            let slot = self.slots.get(usize::try_from(take.number()?).ok()?)?;
            let value = take.kept_text()?;
            if let Some(slot) = slot {
                put_number(&mut content, (*slot).into());
                put_text(&mut content, &value);
            }
        }
        Some(Cow::Owned(content))
    }
}

fn restore_buckets(buckets: &mut Buckets, take: &mut Take<'_>) -> Option<()> {
    for _ in 0..take.count(4)? {
        let (minute, deadline, due) = (take.signed()?, take.signed()?, take.signed()?);
        let count = take.count(size_of::<u64>())?;
        let mut ids = Table::default();
        ids.reserve(count);
        for _ in 0..count {
            ids.insert(u64::from_le_bytes(take.fixed()?));
        }
        buckets.restore(minute, deadline, due, ids);
    }
    Some(())
}

fn save_pending(pending: &Store, to: &mut Vec<u8>) {
    let events = pending.in_order();
    let (mut identities, mut contexts) = (Numbered::default(), Numbered::default());
    // There are few different calls: each is numbered by where it is seen first.
    let mut calls: Vec<Event<'_>> = Vec::new();
    for event in &events {
        identities.add(event.identity());
        contexts.add(event.encoded_context());
        if !calls.iter().any(|call| call.call() == event.call()) {
            calls.push(*event);
        }
    }
    identities.save(to);
    contexts.save(to);
    put_number(to, calls.len() as u64);
    for call in &calls {
        save_call(*call, to);
    }
    put_number(to, events.len() as u64);
    for event in events {
        put_signed(to, event.time);
        put_number(to, identities.number(event.identity()));
        put_number(to, contexts.number(event.encoded_context()));
        put_number(to, calls.iter().position(|call| call.call() == event.call()).unwrap_or_default() as u64);
        put_bytes(to, event.content());
    }
}

fn save_call(event: Event<'_>, to: &mut Vec<u8>) {
    put_bytes(to, event.service.as_bytes());
    put_bytes(to, event.action.as_bytes());
    put_number(to, event.steps().len() as u64);
    for step in event.steps() {
        put_number(to, *step as u64);
    }
    put_number(to, event.exceptions.len() as u64);
    for exception in event.exceptions {
        put_number(to, (*exception).into());
    }
}

/// What many events share, in the order in which it is seen first.
#[derive(Default)]
struct Numbered<'a> {
    /// By the number it has in the store: the one it is saved under, from 1.
    numbers: Vec<u32>,
    in_order: Vec<&'a [u8]>,
}

impl<'a> Numbered<'a> {
    fn add(&mut self, (known_as, bytes): (u32, &'a [u8])) {
        let known_as = known_as as usize;
        if self.numbers.len() <= known_as {
            self.numbers.resize(known_as + 1, 0);
        }
        if let Some(number) = self.numbers.get_mut(known_as).filter(|number| **number == 0) {
            self.in_order.push(bytes);
            *number = self.in_order.len() as u32;
        }
    }

    fn number(&self, (known_as, _): (u32, &[u8])) -> u64 {
        self.numbers.get(known_as as usize).map_or(0, |number| u64::from(*number).saturating_sub(1))
    }

    fn save(&self, to: &mut Vec<u8>) {
        put_number(to, self.in_order.len() as u64);
        for bytes in &self.in_order {
            put_bytes(to, bytes);
        }
    }
}

impl Counts {
    const FIELDS: usize = 8;

    fn all(&self) -> [u64; Self::FIELDS] {
        let Self {
            duplicates,
            late,
            future,
            unidentified,
            evicted_identity,
            evicted_total,
            forgotten_ids,
            searches_cut,
        } = *self;
        [duplicates, late, future, unidentified, evicted_identity, evicted_total, forgotten_ids, searches_cut]
    }

    fn from_all(all: [u64; Self::FIELDS]) -> Self {
        let [duplicates, late, future, unidentified, evicted_identity, evicted_total, forgotten_ids, searches_cut] =
            all;
        Self { duplicates, late, future, unidentified, evicted_identity, evicted_total, forgotten_ids, searches_cut }
    }
}
