//! Encodes the state of all chains into a checkpoint, and restores it.
//!
//! Slots and steps are numbers that depend on the set of rules, so the checkpoint also carries the paths and the rules'
//! fingerprints. State of a rule that has been changed or removed is dropped on restore.

use std::borrow::Cow;

use super::attribution::Attribution;
use super::bucket::Buckets;
use super::pending::{Call, New, PendingEvent, Store};
use super::table::Table;
use super::{Chains, Counts};
use crate::event::Path;
use crate::rule::Rules;
use crate::util::invariant::Invariant as _;
use crate::util::packed::{Decoder, encode_bytes, encode_number, encode_signed, encode_text};
use crate::util::sorted;

/// Maps the slots, steps and exceptions of a checkpoint to those of the current rules.
struct Renumbering {
    slots: Vec<Option<u16>>,
    /// Whether every slot keeps its number and the text encoding is the current one.
    contents_unchanged: bool,
    steps: Vec<Option<usize>>,
    /// `None` for an exception that has been changed or removed; it no longer applies.
    exceptions: Vec<Option<u16>>,
    /// The ids of the rules whose state is not restored.
    reset: Vec<String>,
}

impl Chains {
    /// Appends the encoded state.
    #[cold]
    pub(crate) fn save(&self, rules: &Rules, to: &mut Vec<u8>) {
        to.extend_from_slice(&self.hash.key);
        encode_signed(to, self.watermark.newest().unwrap_or(-1));
        for count in self.counts.all() {
            encode_number(to, count);
        }
        save_rules(rules, to);
        encode_number(to, self.buckets.iter().count() as u64);
        for (minute, bucket) in self.buckets.iter() {
            encode_signed(to, minute);
            encode_signed(to, bucket.deadline);
            encode_signed(to, bucket.due());
            encode_number(to, bucket.ids.len() as u64);
            for id in bucket.ids.in_order() {
                to.extend_from_slice(&id.to_le_bytes());
            }
        }
        save_pending(&self.pending, to);
        encode_number(to, self.reported.len() as u64);
        for (hour, identity) in &self.reported {
            encode_signed(to, *hour);
            to.extend_from_slice(&identity.to_le_bytes());
        }
    }

    /// Restores the state encoded by [`Self::save`]. `texts_unchanged` means that its text encoding is the current one.
    /// Returns the ids of the rules whose state could not be restored, or `None` if the bytes are invalid.
    #[cold]
    pub(crate) fn restore(
        &mut self,
        rules: &Rules,
        texts_unchanged: bool,
        decoder: &mut Decoder<'_>,
    ) -> Option<Vec<String>> {
        self.hash.key = decoder.fixed()?;
        self.watermark.restore(Some(decoder.signed()?).filter(|newest| *newest >= 0));
        let mut counts = [0; Counts::FIELDS];
        for count in &mut counts {
            *count = decoder.number()?;
        }
        self.counts = Counts::from_all(counts);
        let renumbering = Renumbering::decode(rules, texts_unchanged, decoder)?;
        restore_buckets(&mut self.buckets, decoder)?;
        self.restore_pending(rules, &renumbering, decoder)?;
        for _ in 0..decoder.count(1 + size_of::<u64>())? {
            self.reported.insert((decoder.signed()?, u64::from_le_bytes(decoder.fixed()?)));
        }
        Some(renumbering.reset)
    }

    fn restore_pending(&mut self, rules: &Rules, renumbering: &Renumbering, decoder: &mut Decoder<'_>) -> Option<()> {
        let mut identities: Vec<_> =
            (0..decoder.count(1)?).map(|_| decoder.text().map(Part::Saved)).collect::<Option<_>>()?;
        let mut attributions: Vec<_> = (0..decoder.count(1)?)
            .map(|_| decoder.bytes().filter(|encoded| Attribution::decode("", encoded).is_some()).map(Part::Saved))
            .collect::<Option<_>>()?;
        let mut calls: Vec<_> =
            (0..decoder.count(4)?).map(|_| renumbering.call(decoder).map(Part::Saved)).collect::<Option<_>>()?;
        for _ in 0..decoder.count(5)? {
            let time = decoder.signed()?;
            let identity = identities.get_mut(usize::try_from(decoder.number()?).ok()?)?;
            let attribution = attributions.get_mut(usize::try_from(decoder.number()?).ok()?)?;
            let call = calls.get_mut(usize::try_from(decoder.number()?).ok()?)?;
            let content = renumbering.content(decoder.bytes()?)?;
            if matches!(call, Part::Saved(call) if call.steps.is_empty()) {
                continue;
            }
            let pending = &mut self.pending;
            let new = New {
                time,
                identity: identity.intern(|text| pending.new_identity(text))?,
                attribution: match attribution {
                    Part::Known(attribution) => {
                        pending.same_attribution(*attribution);
                        *attribution
                    }
                    Part::Saved(_) => {
                        attribution.intern(|encoded| pending.attribution(&self.hash, encoded.to_vec()))?
                    }
                },
                call: call.intern(|call| pending.call(call))?,
                content,
            };
            pending.insert_unindexed(new, self.buckets.pending_at(time)?)?;
        }
        self.pending.index_all(&self.hash, rules);
        Some(())
    }
}

/// A part that many events share: as encoded in the checkpoint until the first event uses it, then as its number in the
/// store.
enum Part<T> {
    Saved(T),
    Known(u32),
}

impl<T> Part<T> {
    fn intern(&mut self, make_known: impl FnOnce(T) -> Option<u32>) -> Option<u32> {
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
    encode_number(to, paths.len() as u64);
    for path in paths {
        encode_bytes(to, path.as_bytes());
    }
    encode_number(to, rules.rules.len() as u64);
    for rule in &rules.rules {
        to.extend_from_slice(&rule.fingerprint);
        encode_bytes(to, rule.rule.id.as_bytes());
        encode_number(to, rule.rule.steps.len() as u64);
    }
    encode_number(to, rules.exceptions.len() as u64);
    for exception in &rules.exceptions {
        to.extend_from_slice(&exception.fingerprint);
    }
}

impl Renumbering {
    fn decode(rules: &Rules, texts_unchanged: bool, decoder: &mut Decoder<'_>) -> Option<Self> {
        let mut renumbering = Self {
            slots: Vec::new(),
            contents_unchanged: false,
            steps: Vec::new(),
            exceptions: Vec::new(),
            reset: Vec::new(),
        };
        for _ in 0..decoder.count(1)? {
            let path = Path::parse(decoder.text()?)?;
            renumbering.slots.push(rules.projection.slot(path.as_str()).map(|slot| slot.number()));
        }
        let same = |(slot, now): (u16, &Option<u16>)| *now == Some(slot);
        renumbering.contents_unchanged = texts_unchanged && (0..).zip(&renumbering.slots).all(same);
        for _ in 0..decoder.count(18)? {
            let fingerprint = decoder.fixed()?;
            let id = decoder.text()?;
            let steps = usize::try_from(decoder.number()?).ok()?;
            let same = rules.rules.iter().find(|rule| rule.fingerprint == fingerprint);
            if same.is_some_and(|rule| rule.rule.steps.len() != steps) || steps > usize::from(u16::MAX) {
                return None;
            }
            if same.is_none() {
                renumbering.reset.push(id.to_owned());
            }
            renumbering.steps.extend((0..steps).map(|step| same.map(|rule| rule.first_step + step)));
        }
        for _ in 0..decoder.count(16)? {
            let fingerprint: [u8; 16] = decoder.fixed()?;
            let same = (0..).zip(&rules.exceptions).find(|(_, exception)| exception.fingerprint == fingerprint);
            renumbering.exceptions.push(same.map(|(place, _)| place));
        }
        Some(renumbering)
    }

    /// Decodes a call, with its steps and exceptions renumbered for the current rules.
    fn call(&self, decoder: &mut Decoder<'_>) -> Option<Call> {
        let (service, action) = (decoder.text()?.into(), decoder.text()?.into());
        let mut call = Call { service, action, steps: Vec::new(), exceptions: Vec::new() };
        for _ in 0..decoder.count(1)? {
            if let Some(step) = self.steps.get(usize::try_from(decoder.number()?).ok()?)? {
                sorted::insert(&mut call.steps, *step);
            }
        }
        for _ in 0..decoder.count(1)? {
            if let Some(exception) = self.exceptions.get(usize::try_from(decoder.number()?).ok()?)? {
                sorted::insert(&mut call.exceptions, *exception);
            }
        }
        Some(call)
    }

    /// The content of an event, with its slots renumbered for the current rules.
    fn content<'a>(&self, saved: &'a [u8]) -> Option<Cow<'a, [u8]>> {
        let mut decoder = Decoder::new(saved);
        if self.contents_unchanged {
            // Nothing else may reach the state: later, what cannot be decoded is a broken invariant.
            decoder.skip_text()?;
            while decoder.left() > 0 {
                self.slots.get(usize::try_from(decoder.number()?).ok()?)?;
                decoder.skip_text()?;
            }
            return Some(Cow::Borrowed(saved));
        }
        let mut content = Vec::with_capacity(saved.len());
        encode_text(&mut content, &decoder.packed_text()?);
        while decoder.left() > 0 {
            let slot = self.slots.get(usize::try_from(decoder.number()?).ok()?)?;
            let value = decoder.packed_text()?;
            if let Some(slot) = slot {
                encode_number(&mut content, (*slot).into());
                encode_text(&mut content, &value);
            }
        }
        Some(Cow::Owned(content))
    }
}

fn restore_buckets(buckets: &mut Buckets, decoder: &mut Decoder<'_>) -> Option<()> {
    for _ in 0..decoder.count(4)? {
        let (minute, deadline, due) = (decoder.signed()?, decoder.signed()?, decoder.signed()?);
        let count = decoder.count(size_of::<u64>())?;
        let mut ids = Table::default();
        ids.reserve(count);
        for _ in 0..count {
            ids.insert(u64::from_le_bytes(decoder.fixed()?));
        }
        buckets.restore(minute, deadline, due, ids)?;
    }
    Some(())
}

fn save_pending(pending: &Store, to: &mut Vec<u8>) {
    let events = pending.in_order();
    let (mut identities, mut attributions) = (Numbered::default(), Numbered::default());
    // There are few distinct calls. They are numbered in order of first use.
    let mut calls: Vec<PendingEvent<'_>> = Vec::new();
    for event in &events {
        identities.add(event.identity());
        attributions.add(event.encoded_attribution());
        if !calls.iter().any(|call| call.call() == event.call()) {
            calls.push(*event);
        }
    }
    identities.save(to);
    attributions.save(to);
    encode_number(to, calls.len() as u64);
    for call in &calls {
        save_call(*call, to);
    }
    encode_number(to, events.len() as u64);
    for event in events {
        encode_signed(to, event.time);
        encode_number(to, identities.number(event.identity()));
        encode_number(to, attributions.number(event.encoded_attribution()));
        encode_number(
            to,
            calls.iter().position(|call| call.call() == event.call()).invariant("every call was numbered") as u64,
        );
        encode_bytes(to, event.content());
    }
}

fn save_call(event: PendingEvent<'_>, to: &mut Vec<u8>) {
    encode_bytes(to, event.service.as_bytes());
    encode_bytes(to, event.action.as_bytes());
    encode_number(to, event.steps().len() as u64);
    for step in event.steps() {
        encode_number(to, *step as u64);
    }
    encode_number(to, event.exceptions.len() as u64);
    for exception in event.exceptions {
        encode_number(to, (*exception).into());
    }
}

/// Identities or attributions, numbered in order of first use.
#[derive(Default)]
struct Numbered<'a> {
    /// By number in the store: the number in the checkpoint plus one; 0 if unused.
    numbers: Vec<u32>,
    in_order: Vec<&'a [u8]>,
}

impl<'a> Numbered<'a> {
    fn add(&mut self, (store_number, bytes): (u32, &'a [u8])) {
        let store_number = store_number as usize;
        if self.numbers.len() <= store_number {
            self.numbers.resize(store_number + 1, 0);
        }
        if let Some(number) = self.numbers.get_mut(store_number).filter(|number| **number == 0) {
            self.in_order.push(bytes);
            *number = self.in_order.len() as u32;
        }
    }

    fn number(&self, (store_number, _): (u32, &[u8])) -> u64 {
        self.numbers.get(store_number as usize).map_or(0, |number| u64::from(*number).saturating_sub(1))
    }

    fn save(&self, to: &mut Vec<u8>) {
        encode_number(to, self.in_order.len() as u64);
        for bytes in &self.in_order {
            encode_bytes(to, bytes);
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
