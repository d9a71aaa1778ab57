//! Chains: events of one identity joined by the values they share, in any order of arrival.
//!
//! More events never falsify a positive sequence, so nothing waits: each event is stored, searches for its candidates,
//! and the chains it completes are reported at once. Time only determines when state may be dropped.

mod arena;
mod attribution;
mod bucket;
mod call;
mod draft;
mod identities;
mod index;
mod interner;
mod join;
mod links;
mod list;
mod loss;
mod pending;
mod pending_event;
mod plan;
mod reported;
mod slab;
mod snapshot;
mod table;
mod watermark;

use std::hash::Hasher;

use siphasher::sip::SipHasher13;

use crate::event::Event;
use crate::rule::Rules;
use crate::vocab::{Duration, Limits};

pub(crate) use attribution::Attribution;
pub(crate) use join::{Chain, Completion};
pub(crate) use loss::{Loss, LossKind};
pub(crate) use pending::PendingId;
pub(crate) use pending_event::PendingEvent;
pub(crate) use reported::{Admission, Recurrence};
pub(crate) use watermark::{Arrival, Watermark};

/// The state of the engine between records.
#[derive(Debug)]
pub(crate) struct Chains {
    pub watermark: Watermark,
    buckets: bucket::Buckets,
    pending: pending::Store,
    limits: Limits,
    hash: KeyedHash,
    pub counts: Counts,
    losses: loss::Losses,
    /// How often a finding is updated with further evidence; `None` for never.
    updates: Option<Duration>,
    tallies: reported::Tallies,
    /// The lists of keys that give the current event an identity, with the [hash](identities::hash_of) of it, and the steps
    /// of one of them. Empty between events.
    entries: Vec<(usize, u32)>,
    steps: Vec<usize>,
}

/// A day, in ms.
const DAY: i64 = 86_400_000;

/// An identity may save up as many times [`Limits::max_candidates`].
const MAX_SAVED_UP: usize = 2_048;

/// An event earns a candidate for as many bytes that it holds.
const BYTES_PER_CANDIDATE: usize = 4;

/// The UTC day of a time in ms since 1970.
pub(crate) fn day_of(time: i64) -> i64 {
    time.div_euclid(DAY)
}

/// Counts of duplicates, out-of-order events, evictions and cut searches. All are monotonic.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Counts {
    /// Duplicates.
    pub duplicates: u64,
    /// Events older than the watermark on arrival.
    pub late: u64,
    /// Events dated later than the host's time plus the allowed skew.
    pub future: u64,
    /// Chain steps without an identity.
    pub unidentified: u64,
    /// Pending events evicted for newer ones of the same identity.
    pub evicted_identity: u64,
    /// Pending events evicted because a limit on the total state was reached.
    pub evicted_total: u64,
    /// Event ids dropped early; their duplicates are no longer detected.
    pub forgotten_ids: u64,
    /// Searches for the findings of one rule that reached a limit.
    pub searches_cut: u64,
    /// Events that completed a finding that had been reported.
    pub further_evidence: u64,
    /// Findings that were not emitted, because of a limit on the output.
    pub withheld: u64,
}

/// A keyed hash: collisions cannot be crafted without the key. The same key gives the same hashes on every machine.
#[derive(Clone, Copy, Debug)]
pub(crate) struct KeyedHash {
    pub key: [u8; 16],
}

impl KeyedHash {
    /// The hash of some parts, each with its length before it.
    fn of(&self, parts: &[&[u8]]) -> u64 {
        // At once if they are short, which takes a third of the time.
        let mut together = [0; 128];
        let length = parts.iter().map(|part| part.len() + size_of::<u64>()).sum();
        let Some(mut rest) = together.get_mut(..length) else { return self.of_long(parts) };
        for part in parts {
            let Some((before, from)) = rest.split_first_chunk_mut() else { break };
            *before = (part.len() as u64).to_le_bytes();
            let (place, after) = from.split_at_mut(part.len());
            place.copy_from_slice(part);
            rest = after;
        }
        SipHasher13::new_with_key(&self.key).hash(together.get(..length).unwrap_or_default())
    }

    fn of_long(&self, parts: &[&[u8]]) -> u64 {
        let mut hasher = SipHasher13::new_with_key(&self.key);
        for part in parts {
            hasher.write(&(part.len() as u64).to_le_bytes());
            hasher.write(part);
        }
        hasher.finish()
    }
}

/// An event that matches steps of rules.
#[derive(Clone, Copy)]
pub(crate) struct Matched<'m> {
    pub event: &'m Event<'m>,
    /// The event's own id, or a derived one. Events with equal ids are duplicates.
    pub id: &'m str,
    /// The id that findings report: that of the operation, if several events belong to one.
    pub report_id: &'m str,
    /// In ms since 1970.
    pub time: i64,
    /// The steps it matches.
    pub steps: &'m [usize],
    /// The exceptions that apply to it.
    pub exceptions: &'m [u16],
}

/// The result of observing an event.
pub(crate) struct Observed {
    /// Whether the event is a duplicate.
    pub duplicate: bool,
    /// The findings it completed, by the step that it matched.
    pub completions: Vec<(usize, Vec<Completion>)>,
}

impl Chains {
    /// No state yet. `longest_window` is that of any chain, in ms; `updates` is how often a finding is updated.
    pub(crate) fn new(
        watermark: Watermark,
        limits: Limits,
        hash_key: [u8; 16],
        longest_window: i64,
        updates: Option<Duration>,
    ) -> Self {
        let duplicate_window = limits.duplicate_window.as_millis();
        Self {
            watermark,
            buckets: bucket::Buckets::new(longest_window, duplicate_window),
            pending: pending::Store::default(),
            limits,
            hash: KeyedHash { key: hash_key },
            counts: Counts::default(),
            losses: loss::Losses::default(),
            updates,
            tallies: reported::Tallies::default(),
            entries: Vec::new(),
            steps: Vec::new(),
        }
    }

    /// Processes an event that matches steps of rules.
    ///
    /// Costs a few hash lookups plus one per candidate; see [`Limits::max_candidates`].
    pub(crate) fn observe(&mut self, rules: &Rules, matched: &Matched<'_>) -> Observed {
        let Matched { event, id, time, .. } = *matched;
        match self.watermark.observe(time) {
            Arrival::InTime => {}
            Arrival::Late => self.counts.late += 1,
            Arrival::Future => self.counts.future += 1,
        }
        self.expire();
        let mut observed = Observed { duplicate: false, completions: Vec::new() };
        let key = self.hash.of(&[event.provider.as_str().as_bytes(), event.account.as_bytes(), id.as_bytes()]);
        if !self.buckets.insert_id(time, key, &self.watermark) {
            self.counts.duplicates += 1;
            return Observed { duplicate: true, ..observed };
        }
        let forgotten = self.buckets.evict_ids_above(self.limits.event_ids);
        self.counts.forgotten_ids += forgotten;
        self.losses.add(LossKind::EventIds, forgotten, time, "", "");
        let mut entries = std::mem::take(&mut self.entries);
        let identity_of = |list: usize| {
            let (_, identity) = event.actor.identity(rules.identities.get(list)?)?;
            Some(identity)
        };
        let asks =
            |list: usize| move |step: &usize| rules.steps.get(*step).is_some_and(|plan| plan.chain == Some(list));
        for list in (0..rules.identities.len()).filter(|list| matched.steps.iter().any(asks(*list))) {
            match identity_of(list) {
                Some(identity) => entries.push((list, identities::hash_of(&self.hash, identity))),
                None => self.counts.unidentified += 1,
            }
        }
        // Room for all first: what is inserted and joined may not evict what was just joined.
        for (list, hash) in &entries {
            let identity = identity_of(*list).unwrap_or_default();
            let same = entries.iter().filter(|(other, _)| identity_of(*other) == Some(identity)).count();
            self.evict(time, (*hash, identity), (same, entries.len()));
        }
        let mut steps = std::mem::take(&mut self.steps);
        for (list, hash) in entries.drain(..) {
            steps.clear();
            steps.extend(matched.steps.iter().copied().filter(asks(list)));
            let attribution = Attribution::of(event, rules.identities.get(list).map_or(&[][..], Vec::as_slice));
            self.insert_and_join(rules, &Matched { steps: &steps, ..*matched }, (hash, &attribution), &mut observed);
        }
        (self.entries, self.steps) = (entries, steps);
        observed
    }

    /// Stores an event under one identity and finds the chains it completes.
    fn insert_and_join(
        &mut self,
        rules: &Rules,
        matched: &Matched<'_>,
        (hash, attribution): (u32, &Attribution<'_>),
        observed: &mut Observed,
    ) {
        let identity = attribution.identity;
        let bucket = self.buckets.pending_for(matched.time, &self.watermark);
        let inserted = self.pending.insert(&self.hash, rules, matched, (hash, attribution), bucket);
        let Some((new, shared)) = inserted else { return };
        let Some(event) = self.pending.event(new) else { return };
        let (number, length) = (event.identity().0, event.content().len());
        let saved_up = self.pending.allowance(number) as usize;
        let most = self.limits.max_candidates.saturating_mul(MAX_SAVED_UP);
        // What an event itself holds, it may look up.
        let earned = self.limits.max_candidates.saturating_add(length / BYTES_PER_CANDIDATE);
        let allowance = saved_up.saturating_add(earned);
        let mut search = join::Search::new(&self.pending, &self.hash, rules, (new, &shared), allowance);
        let may_complete = |search: &join::Search<'_>, step: &usize| {
            rules.steps.get(*step).is_some_and(|plan| search.may_complete(plan))
        };
        for step in matched.steps {
            if !may_complete(&search, step) {
                continue;
            }
            let (completions, cut) = search.completed_by(*step);
            if !completions.is_empty() {
                observed.completions.push((*step, completions));
            }
            if cut {
                self.counts.searches_cut += 1;
                let rule = rules.step(*step).map_or("", |(rule, _)| &*rule.rule.id);
                self.losses.add(LossKind::Search, 1, matched.time, rule, identity);
            }
        }
        let left = search.allowance();
        self.pending.set_allowance(number, u32::try_from(left.min(most)).unwrap_or(u32::MAX));
    }

    /// Evicts pending events as the limits require: first those of the same identity, those that are linked to others
    /// last; then the earliest of all. `room` is how many events of the identity, and of any, are to be inserted.
    fn evict(&mut self, time: i64, (hash, identity): (u32, &str), room: (usize, usize)) {
        let (mut own, mut any) = (0, 0);
        while self.pending.of_identity(hash, identity) + room.0 > self.limits.pending_per_identity {
            let Some(slot) = self.pending.first_to_evict(hash, identity) else { break };
            if !self.remove_pending(slot) {
                break;
            }
            own += 1;
        }
        while self.pending.len() + room.1 > self.limits.pending || self.pending.bytes() >= self.limits.state_bytes {
            let Some(earliest) = self.buckets.earliest_pending().map(|pending| pending.first) else { break };
            if !self.remove_pending(earliest) {
                break;
            }
            any += 1;
        }
        self.counts.evicted_identity += own;
        self.counts.evicted_total += any;
        self.losses.add(LossKind::IdentityPending, own, time, "", identity);
        self.losses.add(LossKind::Pending, any, time, "", identity);
    }

    /// Counts findings of `rule` that are not emitted.
    pub(crate) fn withhold(&mut self, count: u64, time: i64, rule: &str, identity: &str) {
        self.counts.withheld += count;
        self.losses.add(LossKind::Output, count, time, rule, identity);
    }

    /// A loss that is to be reported now, and counts as reported.
    pub(crate) fn next_loss(&mut self) -> Option<Loss> {
        self.losses.next_due()
    }

    /// Removes the pending event in a slot; `false` if there is none.
    fn remove_pending(&mut self, slot: u32) -> bool {
        let Some(time) = self.pending.time(slot) else { return false };
        let Some(bucket) = self.buckets.pending_at(time) else { return false };
        self.pending.remove(&self.hash, slot, bucket);
        self.buckets.removed(time);
        true
    }

    fn expire(&mut self) {
        let Some(watermark) = self.watermark.time() else { return };
        self.tallies.expire(watermark, self.limits.event_ids);
        while let Some(mut expired) = self.buckets.expire(watermark) {
            while expired.len > 0 {
                self.pending.remove(&self.hash, expired.first, &mut expired);
            }
        }
    }

    /// Records that an event at `time` (ms since 1970) completes the finding with this id.
    pub(crate) fn admit(&mut self, id: &str, recurrence: Recurrence, time: i64) -> Admission {
        let key = self.finding_key(id);
        let at = recurrence.recorded_at();
        let known = matches!(recurrence, Recurrence::OncePerOperation(_)) && self.buckets.has_id_near(at, key);
        if !known && self.buckets.insert_id(at, key, &self.watermark) {
            if self.updates.is_some() {
                self.tallies.start(key, time);
            }
            return Admission::New;
        }
        self.counts.further_evidence += 1;
        let due = self.updates.and_then(|every| self.tallies.add(key, time, every.as_millis()));
        due.map_or(Admission::Known, Admission::Update)
    }

    fn finding_key(&self, id: &str) -> u64 {
        self.hash.of(&[b"finding", id.as_bytes()])
    }

    /// A pending event.
    pub(crate) fn event(&self, id: PendingId) -> Option<PendingEvent<'_>> {
        self.pending.event(id)
    }

    /// Panics if a structure disagrees with another one.
    pub(crate) fn check(&self) {
        self.pending.check(&self.hash, self.buckets.check());
    }

    /// Number of pending events.
    pub(crate) fn pending(&self) -> usize {
        self.pending.len()
    }

    /// Number of identities with pending events.
    pub(crate) fn identities(&self) -> usize {
        self.pending.identities()
    }

    /// Number of event ids stored to detect duplicates.
    pub(crate) fn event_ids(&self) -> usize {
        self.buckets.ids()
    }

    /// Approximate memory of the pending events, in bytes.
    pub(crate) fn bytes(&self) -> usize {
        self.pending.bytes()
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::KeyedHash;

    proptest! {
        /// Checkpoints hold hashes of both ways.
        #[test]
        fn short_and_long_parts_are_hashed_alike(parts in prop::collection::vec(prop::collection::vec(any::<u8>(), 0..60), 0..5)) {
            let hash = KeyedHash { key: [7; 16] };
            let parts: Vec<_> = parts.iter().map(Vec::as_slice).collect();
            prop_assert_eq!(hash.of(&parts), hash.of_long(&parts));
        }
    }
}
