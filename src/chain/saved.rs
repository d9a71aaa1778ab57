//! What is remembered, as bytes of a checkpoint and back.
//!
//! Slots and steps are numbers that another set of rules gives to something else, so the checkpoint carries the paths and
//! the rules' fingerprints beside them. What belongs to a rule that has changed or gone is left out on the way back.

use hashbrown::{HashMap, HashSet};

use super::bucket::Buckets;
use super::pending::{Encoded, Store};
use super::{Chains, Counts};
use crate::codec::{Take, put_bytes, put_number, put_signed};
use crate::rule::{Path, Rules};
use crate::sorted;

/// How the numbers of a checkpoint's rules read in the rules of today.
struct Renumbering {
    slots: Vec<Option<u16>>,
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
            let mut ids: Vec<_> = bucket.ids.iter().copied().collect();
            ids.sort_unstable();
            to.extend(ids.into_iter().flat_map(u64::to_le_bytes));
        }
        save_pending(&self.pending, to);
        put_number(to, self.told.len() as u64);
        for (hour, identity) in &self.told {
            put_signed(to, *hour);
            to.extend_from_slice(&identity.to_le_bytes());
        }
    }

    /// Takes back what [`Self::save`] wrote. Gives the ids of the rules whose state could not be taken over, or `None`
    /// where the bytes are not of that form.
    #[cold]
    pub(crate) fn restore(&mut self, rules: &Rules, take: &mut Take<'_>) -> Option<Vec<String>> {
        self.hash.key = take.fixed()?;
        self.clock.restore(Some(take.signed()?).filter(|newest| *newest >= 0));
        let mut counts = [0; Counts::FIELDS];
        for count in &mut counts {
            *count = take.number()?;
        }
        self.counts = Counts::from_all(counts);
        let renumbering = Renumbering::take(rules, take)?;
        restore_buckets(&mut self.buckets, take)?;
        self.restore_pending(rules, &renumbering, take)?;
        for _ in 0..take.count(1 + size_of::<u64>())? {
            self.told.insert((take.signed()?, u64::from_le_bytes(take.fixed()?)));
        }
        Some(renumbering.reset)
    }

    fn restore_pending(&mut self, rules: &Rules, renumbering: &Renumbering, take: &mut Take<'_>) -> Option<()> {
        let contexts: Vec<_> = (0..take.count(1)?).map(|_| take.bytes()).collect::<Option<_>>()?;
        for _ in 0..take.count(6)? {
            let time = take.signed()?;
            let context = contexts.get(usize::try_from(take.number()?).ok()?)?.to_vec();
            let (service, action) = (take.text()?, take.text()?);
            let mut steps = Vec::new();
            for _ in 0..take.count(1)? {
                let step = renumbering.steps.get(usize::try_from(take.number()?).ok()?)?;
                if let Some(step) = step {
                    sorted::insert(&mut steps, *step);
                }
            }
            let mut exceptions = Vec::new();
            for _ in 0..take.count(1)? {
                let exception = renumbering.exceptions.get(usize::try_from(take.number()?).ok()?)?;
                if let Some(exception) = exception {
                    sorted::insert(&mut exceptions, *exception);
                }
            }
            let content = renumbering.content(take.bytes()?)?;
            if steps.is_empty() {
                continue;
            }
            let (steps, exceptions) = (&*steps, &*exceptions);
            let new = Encoded { time, service, action, steps, exceptions, context, content };
            let id = self.pending.insert_encoded(&self.hash, rules, new)?;
            if !self.buckets.restore_pending(time, id) {
                return None;
            }
        }
        Some(())
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
    fn take(rules: &Rules, take: &mut Take<'_>) -> Option<Self> {
        let mut renumbering = Self { slots: Vec::new(), steps: Vec::new(), exceptions: Vec::new(), reset: Vec::new() };
        for _ in 0..take.count(1)? {
            let path = Path::parse(take.text()?)?;
            renumbering.slots.push(rules.projection.slot(path.as_str()).map(|slot| slot.number()));
        }
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

    /// An event's content with the slots of today.
    fn content(&self, saved: &[u8]) -> Option<Vec<u8>> {
        let mut take = Take::new(saved);
        let mut content = Vec::with_capacity(saved.len());
        put_bytes(&mut content, take.text()?.as_bytes());
        while take.left() > 0 {
            let slot = self.slots.get(usize::try_from(take.number()?).ok()?)?;
            let value = take.text()?;
            if let Some(slot) = slot {
                put_number(&mut content, (*slot).into());
                put_bytes(&mut content, value.as_bytes());
            }
        }
        Some(content)
    }
}

fn restore_buckets(buckets: &mut Buckets, take: &mut Take<'_>) -> Option<()> {
    for _ in 0..take.count(4)? {
        let (minute, deadline, due) = (take.signed()?, take.signed()?, take.signed()?);
        let count = take.count(size_of::<u64>())?;
        let mut ids = HashSet::with_capacity(count);
        for _ in 0..count {
            ids.insert(u64::from_le_bytes(take.fixed()?));
        }
        buckets.restore(minute, deadline, due, ids);
    }
    Some(())
}

fn save_pending(pending: &Store, to: &mut Vec<u8>) {
    let events = pending.in_order();
    let mut contexts = HashMap::new();
    let mut in_order = Vec::new();
    for event in &events {
        let next = contexts.len();
        contexts.entry(event.encoded_context()).or_insert_with(|| {
            in_order.push(event.encoded_context());
            next
        });
    }
    put_number(to, in_order.len() as u64);
    for context in in_order {
        put_bytes(to, context);
    }
    put_number(to, events.len() as u64);
    for event in events {
        put_signed(to, event.time);
        put_number(to, contexts.get(event.encoded_context()).copied().unwrap_or_default() as u64);
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
        put_bytes(to, event.content());
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
