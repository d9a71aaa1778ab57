//! Encodes the state of all chains into a checkpoint, and restores it.
//!
//! Slots and steps are numbers that depend on the set of rules, so the checkpoint also carries the paths and the rules'
//! fingerprints. State of a rule that has been changed or removed is dropped on restore.

use std::borrow::Cow;

use hashbrown::HashMap;

use super::attribution::Attribution;
use super::bucket::Buckets;
use super::call::Call;
use super::pending::{New, Store};
use super::pending_event::{OMITTED, PendingEvent};
use super::plan::Plan;
use super::reported::Tally;
use super::table::Table;
use super::{Chains, Counts, Loss, LossKind};
use crate::event::Path;
use crate::rule::Rules;
use crate::util::invariant::Invariant as _;
use crate::util::packed::{Decoder, encode_bytes, encode_number, encode_signed, encode_text};
use crate::vocab::CallOutcome;

/// The format version that counts losses by kind, and saves which events are linked.
const LOSSES_BY_KIND: u16 = 3;

/// The number of counts in earlier versions.
const COUNTS_BEFORE_LOSSES: usize = 8;

/// The format version that saves how calls ended. Before, all that were pending are taken for successful.
const OUTCOMES: u16 = 4;

/// The format version that encodes texts as today.
const PACKED_TEXTS: u16 = 2;

/// A rule in a checkpoint: the numbers of its steps there, and of its first step now, if the rule is unchanged.
struct SavedRule {
    steps: std::ops::Range<usize>,
    first_step: Option<usize>,
}

/// Maps the slots, steps and exceptions of a checkpoint to those of the current rules.
struct Renumbering {
    slots: Vec<Option<u16>>,
    /// Whether every slot keeps its number and the text encoding is the current one.
    contents_unchanged: bool,
    steps: Vec<SavedRule>,
    /// Whether every step keeps its number.
    steps_unchanged: bool,
    /// `None` for an exception that has been changed or removed; it no longer applies.
    exceptions: Vec<Option<u16>>,
    /// The ids of the rules whose state is not restored.
    reset: Vec<String>,
    /// Whether calls are saved with their outcomes.
    outcomes: bool,
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
        for loss in &self.losses.unreported {
            encode_number(to, loss.as_ref().map_or(0, |loss| loss.count));
            if let Some(Loss { time, rule, identity, .. }) = loss {
                encode_signed(to, *time);
                encode_bytes(to, rule.as_bytes());
                encode_bytes(to, identity.as_bytes());
            }
        }
        encode_number(to, self.losses.reported.len() as u64);
        for (hour, kind) in &self.losses.reported {
            encode_signed(to, *hour);
            encode_number(to, u64::from(*kind));
        }
        encode_number(to, self.tallies.by_day.len() as u64);
        for (day, tallies) in &self.tallies.by_day {
            encode_signed(to, *day);
            let mut findings: Vec<_> = tallies.keys().copied().collect();
            findings.sort_unstable();
            encode_number(to, findings.len() as u64);
            for finding in findings {
                let Some(tally) = tallies.get(&finding) else { continue };
                to.extend_from_slice(&finding.to_le_bytes());
                encode_number(to, tally.further);
                encode_signed(to, tally.reported_at);
            }
        }
    }

    /// Restores the state encoded by [`Self::save`], or in an earlier format version. Returns the ids of the rules whose state could not be restored, or `None` if the bytes are invalid.
    #[cold]
    pub(crate) fn restore(&mut self, rules: &Rules, version: u16, decoder: &mut Decoder<'_>) -> Option<Vec<String>> {
        self.hash.key = decoder.fixed()?;
        self.watermark.restore(Some(decoder.signed()?).filter(|newest| *newest >= 0));
        let mut counts = [0; Counts::FIELDS];
        let saved = if version < LOSSES_BY_KIND { COUNTS_BEFORE_LOSSES } else { Counts::FIELDS };
        for count in counts.iter_mut().take(saved) {
            *count = decoder.number()?;
        }
        self.counts = Counts::from_all(counts);
        let renumbering = Renumbering::decode(rules, version, decoder)?;
        restore_buckets(&mut self.buckets, decoder)?;
        self.restore_pending(rules, &renumbering, version, decoder)?;
        if version < LOSSES_BY_KIND {
            // Evictions were reported by identity, which says nothing about the reports of today.
            for _ in 0..decoder.count(1 + size_of::<u64>())? {
                decoder.signed()?;
                decoder.fixed::<{ size_of::<u64>() }>()?;
            }
            return Some(renumbering.reset);
        }
        for kind in LossKind::ALL {
            let count = decoder.number()?;
            if count > 0 {
                let (time, rule, identity) = (decoder.signed()?, decoder.text()?, decoder.text()?);
                self.losses.add(kind, count, time, rule, identity);
            }
        }
        for _ in 0..decoder.count(2)? {
            self.losses.reported.insert((decoder.signed()?, u8::try_from(decoder.number()?).ok()?));
        }
        for _ in 0..decoder.count(2)? {
            let day = decoder.signed()?;
            for _ in 0..decoder.count(size_of::<u64>() + 2)? {
                let finding = u64::from_le_bytes(decoder.fixed()?);
                let tally = Tally { further: decoder.number()?, reported_at: decoder.signed()? };
                self.tallies.insert(day, finding, tally);
            }
        }
        Some(renumbering.reset)
    }

    fn restore_pending(
        &mut self,
        rules: &Rules,
        renumbering: &Renumbering,
        version: u16,
        decoder: &mut Decoder<'_>,
    ) -> Option<()> {
        let has_links = version >= LOSSES_BY_KIND;
        let mut identities: Vec<_> = (0..decoder.count(1)?)
            .map(|_| {
                let text = decoder.text()?;
                let allowance = if has_links { u32::try_from(decoder.number()?).ok()? } else { 0 };
                let steps = if has_links { u64::from_le_bytes(decoder.fixed()?) } else { u64::MAX };
                // The bits stand for numbers of steps.
                let steps = if renumbering.steps_unchanged { steps } else { u64::MAX };
                Some(Part::Saved((text, allowance, steps)))
            })
            .collect::<Option<_>>()?;
        let mut attributions: Vec<_> = (0..decoder.count(1)?)
            .map(|_| decoder.bytes().filter(|encoded| Attribution::decode("", encoded).is_some()).map(Part::Saved))
            .collect::<Option<_>>()?;
        let mut calls = Vec::new();
        for _ in 0..decoder.count(4)? {
            let call = renumbering.call(decoder)?;
            calls.push(Part::Saved(Call { plan: Plan::of(rules, &call.steps), ..call }));
        }
        for _ in 0..decoder.count(5)? {
            let time = decoder.signed()?;
            let linked = has_links && decoder.fixed::<1>()? != [0];
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
                identity: identity
                    .intern(|(text, allowance, steps)| pending.new_identity(&self.hash, text, allowance, steps))?,
                attribution: match attribution {
                    Part::Known(attribution) => {
                        pending.same_attribution(*attribution);
                        *attribution
                    }
                    Part::Saved(_) => attribution.intern(|encoded| pending.attribution(&self.hash, encoded))?,
                },
                call: match call {
                    Part::Known(call) => {
                        pending.same_call(*call);
                        *call
                    }
                    Part::Saved(_) => call.intern(|call| pending.call(&self.hash, call))?,
                },
                linked,
                content,
            };
            pending.insert_unindexed(new, self.buckets.pending_to_restore(time)?)?;
            if self.pending.len() > self.limits.pending.saturating_add(rules.identities.len()) {
                // The limit has been lowered, or the checkpoint was made up. An event has an entry for each list of
                // keys.
                let earliest = self.buckets.earliest_pending().map(|pending| pending.first)?;
                self.counts.evicted_total += u64::from(self.remove_pending(earliest));
            }
        }
        self.pending.index_all(&self.hash);
        if !has_links {
            self.pending.link_all(&self.hash);
        }
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
    fn decode(rules: &Rules, version: u16, decoder: &mut Decoder<'_>) -> Option<Self> {
        let mut renumbering = Self {
            slots: Vec::new(),
            contents_unchanged: false,
            steps: Vec::new(),
            steps_unchanged: true,
            exceptions: Vec::new(),
            reset: Vec::new(),
            outcomes: version >= OUTCOMES,
        };
        for _ in 0..decoder.count(1)? {
            let path = Path::parse(decoder.text()?)?;
            renumbering.slots.push(rules.projection.slot(path.as_str()).map(|slot| slot.number()));
        }
        let same = |(slot, now): (u16, &Option<u16>)| *now == Some(slot);
        renumbering.contents_unchanged = version >= PACKED_TEXTS && (0..).zip(&renumbering.slots).all(same);
        let by_fingerprint: HashMap<_, _> = rules.rules.iter().map(|rule| (rule.fingerprint, rule)).collect();
        for _ in 0..decoder.count(18)? {
            let fingerprint = decoder.fixed()?;
            let id = decoder.text()?;
            let steps = usize::try_from(decoder.number()?).ok()?;
            let same = by_fingerprint.get(&fingerprint).copied();
            if same.is_some_and(|rule| rule.rule.steps.len() != steps) || steps > usize::from(u16::MAX) {
                return None;
            }
            if same.is_none() {
                renumbering.reset.push(id.to_owned());
            }
            let first = renumbering.steps.last().map_or(0, |rule: &SavedRule| rule.steps.end);
            let first_step = same.map(|rule| rule.first_step);
            renumbering.steps_unchanged &= first_step == Some(first);
            renumbering.steps.push(SavedRule { steps: first..first.checked_add(steps)?, first_step });
        }
        let exceptions: HashMap<_, _> =
            rules.exceptions.iter().map(|exception| exception.fingerprint).zip(0..).collect();
        for _ in 0..decoder.count(16)? {
            let fingerprint: [u8; 16] = decoder.fixed()?;
            renumbering.exceptions.push(exceptions.get(&fingerprint).copied());
        }
        Some(renumbering)
    }

    /// Decodes a call, with its steps and exceptions renumbered for the current rules.
    fn call(&self, decoder: &mut Decoder<'_>) -> Option<Call> {
        let (service, action) = (decoder.text()?.into(), decoder.text()?.into());
        let saved = if self.outcomes { usize::try_from(decoder.number()?).ok()? } else { 0 };
        let outcome = *CallOutcome::ALL.get(saved)?;
        let mut call =
            Call { service, action, outcome, steps: Vec::new(), exceptions: Vec::new(), plan: Plan::default() };
        let (mut steps, mut exceptions) = (Vec::new(), Vec::new());
        for _ in 0..decoder.count(1)? {
            if let Some(step) = self.step(usize::try_from(decoder.number()?).ok()?)? {
                steps.push(step as u64);
            }
        }
        for _ in 0..decoder.count(1)? {
            if let Some(exception) = self.exceptions.get(usize::try_from(decoder.number()?).ok()?)? {
                exceptions.push(u64::from(*exception));
            }
        }
        // One type of number, so that there is one sort.
        for numbers in [&mut steps, &mut exceptions] {
            numbers.sort_unstable();
            numbers.dedup();
        }
        call.steps = steps.into_iter().filter_map(|step| usize::try_from(step).ok()).collect();
        call.exceptions = exceptions.into_iter().filter_map(|exception| u16::try_from(exception).ok()).collect();
        Some(call)
    }

    /// The current number of a step; `Some(None)` if its rule has changed, `None` if the checkpoint has no such step.
    fn step(&self, saved: usize) -> Option<Option<usize>> {
        let rule = self.steps.get(self.steps.partition_point(|rule| rule.steps.end <= saved))?;
        Some(rule.first_step.map(|first| first + saved.saturating_sub(rule.steps.start)))
    }

    /// The content of an event, with its slots renumbered for the current rules.
    fn content<'a>(&self, saved: &'a [u8]) -> Option<Cow<'a, [u8]>> {
        let mut decoder = Decoder::new(saved);
        if self.contents_unchanged {
            // Nothing else may reach the state: later, what cannot be decoded is a broken invariant.
            decoder.skip_text()?;
            while decoder.left() > 0 {
                self.slots.get(usize::try_from(decoder.number()? % OMITTED).ok()?)?;
                decoder.skip_text()?;
            }
            return Some(Cow::Borrowed(saved));
        }
        let mut content = Vec::with_capacity(saved.len());
        encode_text(&mut content, &decoder.packed_text()?);
        while decoder.left() > 0 {
            let number = decoder.number()?;
            let slot = self.slots.get(usize::try_from(number % OMITTED).ok()?)?;
            let value = decoder.packed_text()?;
            if let Some(slot) = slot {
                encode_number(&mut content, number / OMITTED * OMITTED + u64::from(*slot));
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
    let (mut numbers, mut calls) = (HashMap::new(), Vec::new());
    for event in &events {
        identities.add(event.identity());
        attributions.add(event.encoded_attribution());
        numbers.entry(event.call()).or_insert_with(|| {
            calls.push(*event);
            calls.len() - 1
        });
    }
    identities.save(to, |to, number| {
        let (allowance, steps) = pending.saved_identity(number);
        encode_number(to, allowance.into());
        to.extend_from_slice(&steps.to_le_bytes());
    });
    attributions.save(to, |_, _| {});
    encode_number(to, calls.len() as u64);
    for call in &calls {
        save_call(*call, to);
    }
    encode_number(to, events.len() as u64);
    for event in events {
        encode_signed(to, event.time);
        to.push(u8::from(event.linked));
        encode_number(to, identities.number(event.identity()));
        encode_number(to, attributions.number(event.encoded_attribution()));
        encode_number(to, numbers.get(&event.call()).copied().invariant("every call was numbered") as u64);
        encode_bytes(to, event.content());
    }
}

fn save_call(event: PendingEvent<'_>, to: &mut Vec<u8>) {
    encode_bytes(to, event.service.as_bytes());
    encode_bytes(to, event.action.as_bytes());
    let outcome = CallOutcome::ALL.iter().position(|outcome| *outcome == event.outcome);
    encode_number(to, outcome.unwrap_or_default() as u64);
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
    in_order: Vec<(u32, &'a [u8])>,
}

impl<'a> Numbered<'a> {
    fn add(&mut self, (store_number, bytes): (u32, &'a [u8])) {
        let store_number = store_number as usize;
        if self.numbers.len() <= store_number {
            self.numbers.resize(store_number + 1, 0);
        }
        if let Some(number) = self.numbers.get_mut(store_number).filter(|number| **number == 0) {
            self.in_order.push((store_number as u32, bytes));
            *number = self.in_order.len() as u32;
        }
    }

    fn number(&self, (store_number, _): (u32, &[u8])) -> u64 {
        self.numbers.get(store_number as usize).map_or(0, |number| u64::from(*number).saturating_sub(1))
    }

    /// Encodes all, each followed by what `more` adds for its number in the store.
    fn save(&self, to: &mut Vec<u8>, more: impl Fn(&mut Vec<u8>, u32)) {
        encode_number(to, self.in_order.len() as u64);
        for (number, bytes) in &self.in_order {
            encode_bytes(to, bytes);
            more(to, *number);
        }
    }
}

impl Counts {
    const FIELDS: usize = 10;

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
            further_evidence,
            withheld,
        } = *self;
        [
            duplicates,
            late,
            future,
            unidentified,
            evicted_identity,
            evicted_total,
            forgotten_ids,
            searches_cut,
            further_evidence,
            withheld,
        ]
    }

    fn from_all(all: [u64; Self::FIELDS]) -> Self {
        let [
            duplicates,
            late,
            future,
            unidentified,
            evicted_identity,
            evicted_total,
            forgotten_ids,
            searches_cut,
            further_evidence,
            withheld,
        ] = all;
        Self {
            duplicates,
            late,
            future,
            unidentified,
            evicted_identity,
            evicted_total,
            forgotten_ids,
            searches_cut,
            further_evidence,
            withheld,
        }
    }
}
