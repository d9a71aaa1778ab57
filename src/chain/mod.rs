//! Chains: events of one identity joined by the values they share, in any order of arrival.
//!
//! More events never falsify a positive sequence, so nothing waits: each event is stored, searches for its candidates,
//! and the chains it completes are reported at once. Time only determines when state may be dropped.

mod arena;
mod attribution;
mod bucket;
mod identities;
mod index;
mod join;
mod list;
mod pending;
mod slab;
mod snapshot;
mod table;
mod watermark;

use std::collections::BTreeSet;
use std::hash::Hasher;

use siphasher::sip::SipHasher13;

use crate::event::Event;
use crate::rule::Rules;
use crate::vocab::Limits;

pub(crate) use attribution::Attribution;
pub(crate) use join::Chain;
pub(crate) use pending::{PendingEvent, PendingId};
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
    /// The hours and hashed identities for which an eviction has been reported.
    reported: BTreeSet<(i64, u64)>,
}

/// An hour, in ms.
const HOUR: i64 = 3_600_000;

/// Maximum size of [`Chains::reported`], which keeps evictions from being reported twice.
const MAX_REPORTED: usize = 4_096;

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
    /// Events whose search reached a limit on candidates or probes.
    pub searches_cut: u64,
}

/// A keyed hash: collisions cannot be crafted without the key. The same key gives the same hashes on every machine.
#[derive(Clone, Copy, Debug)]
pub(crate) struct KeyedHash {
    pub key: [u8; 16],
}

impl KeyedHash {
    fn of(&self, parts: &[&[u8]]) -> u64 {
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
    /// The chains it completed: the event's step, and the pending events in the order of the rule's steps.
    pub chains: Vec<(usize, Chain)>,
    /// The evictions it caused that have not been reported for this hour.
    pub evictions: Vec<Eviction>,
}

/// An eviction of pending events. It is reported, so that flooding cannot hide a chain silently.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Eviction {
    /// The identity whose event caused the eviction.
    pub identity: String,
    /// Whether events of this identity were evicted (its own limit), or the earliest of any identity (a total limit).
    pub own: bool,
    /// The hour of event time that this is reported for: once per hour, identity and `own`.
    pub hour: i64,
}

impl Chains {
    pub(crate) fn new(watermark: Watermark, limits: Limits, hash_key: [u8; 16], longest_window: i64) -> Self {
        let duplicate_window = limits.duplicate_window.as_millis();
        Self {
            watermark,
            buckets: bucket::Buckets::new(longest_window, duplicate_window),
            pending: pending::Store::default(),
            limits,
            hash: KeyedHash { key: hash_key },
            counts: Counts::default(),
            reported: BTreeSet::new(),
        }
    }

    /// Processes an event that matches steps of rules.
    ///
    /// Costs a few hash lookups plus one per candidate, of which there are at most [`Limits::max_candidates`].
    pub(crate) fn observe(&mut self, rules: &Rules, matched: &Matched<'_>) -> Observed {
        let Matched { event, id, time, .. } = *matched;
        match self.watermark.observe(time) {
            Arrival::InTime => {}
            Arrival::Late => self.counts.late += 1,
            Arrival::Future => self.counts.future += 1,
        }
        self.expire(rules);
        let key = self.hash.of(&[event.provider.as_str().as_bytes(), event.account.as_bytes(), id.as_bytes()]);
        if !self.buckets.insert_id(time, key, &self.watermark) {
            self.counts.duplicates += 1;
            return Observed { duplicate: true, chains: Vec::new(), evictions: Vec::new() };
        }
        self.counts.forgotten_ids += self.buckets.evict_ids_above(self.limits.event_ids);
        let mut observed = Observed { duplicate: false, chains: Vec::new(), evictions: Vec::new() };
        for (identity, keys) in rules.identities.iter().enumerate() {
            let asks =
                |step: &usize| rules.step(*step).is_some_and(|(rule, _)| rule.is_chain() && rule.identity == identity);
            let steps: Vec<usize> = matched.steps.iter().copied().filter(asks).collect();
            if !steps.is_empty() {
                self.insert_and_join(
                    rules,
                    &Matched { steps: &steps, ..*matched },
                    &Attribution::of(event, keys),
                    &mut observed,
                );
            }
        }
        observed
    }

    /// Stores an event under one identity and finds the chains it completes.
    fn insert_and_join(
        &mut self,
        rules: &Rules,
        matched: &Matched<'_>,
        attribution: &Attribution<'_>,
        observed: &mut Observed,
    ) {
        if attribution.identity.is_empty() {
            self.counts.unidentified += 1;
            return;
        }
        self.evict(rules, matched.time, attribution.identity, &mut observed.evictions);
        let bucket = self.buckets.pending_for(matched.time, &self.watermark);
        let Some(new) = self.pending.insert(&self.hash, rules, matched, attribution, bucket) else { return };
        let mut search = join::Search::new(&self.pending, &self.hash, rules, self.limits.max_candidates);
        for step in matched.steps {
            observed.chains.extend(search.completed_by(new, *step).into_iter().map(|chain| (*step, chain)));
        }
        self.counts.searches_cut += u64::from(search.was_cut());
    }

    /// Evicts pending events as the limits require: first those of the same identity, then the earliest of all.
    fn evict(&mut self, rules: &Rules, time: i64, identity: &str, evictions: &mut Vec<Eviction>) {
        let before = self.counts;
        let mut own = self.pending.of_identity(&self.hash, identity);
        while own.len as usize >= self.limits.pending_per_identity && self.remove_pending(rules, own.first) {
            self.counts.evicted_identity += 1;
            own = self.pending.of_identity(&self.hash, identity);
        }
        while self.pending.len() >= self.limits.pending || self.pending.bytes() >= self.limits.state_bytes {
            let Some(earliest) = self.buckets.earliest_pending().map(|pending| pending.first) else { break };
            if !self.remove_pending(rules, earliest) {
                break;
            }
            self.counts.evicted_total += 1;
        }
        for own in [true, false] {
            let evicted = match own {
                true => self.counts.evicted_identity > before.evicted_identity,
                false => self.counts.evicted_total > before.evicted_total,
            };
            let hour = time.div_euclid(HOUR);
            if evicted && self.reported.insert((hour, self.hash.of(&[&[u8::from(own)], identity.as_bytes()]))) {
                evictions.push(Eviction { identity: identity.to_owned(), own, hour });
            }
        }
        while self.reported.len() > MAX_REPORTED {
            self.reported.pop_first();
        }
    }

    /// Removes the pending event in a slot; `false` if there is none.
    fn remove_pending(&mut self, rules: &Rules, slot: u32) -> bool {
        let Some(bucket) = self.pending.time(slot).and_then(|time| self.buckets.pending_at(time)) else { return false };
        self.pending.remove(&self.hash, rules, slot, bucket);
        true
    }

    fn expire(&mut self, rules: &Rules) {
        let Some(watermark) = self.watermark.time() else { return };
        while let Some(mut expired) = self.buckets.expire(watermark) {
            while expired.len > 0 {
                self.pending.remove(&self.hash, rules, expired.first, &mut expired);
            }
        }
    }

    /// Records a finding of an operation that has several events; `false` if one of them has already produced it.
    pub(crate) fn is_new_finding(&mut self, id: &str, time: i64) -> bool {
        let key = self.hash.of(&[b"finding", id.as_bytes()]);
        !self.buckets.has_id_near(time, key) && self.buckets.insert_id(time, key, &self.watermark)
    }

    /// A pending event.
    pub(crate) fn event(&self, id: PendingId) -> Option<PendingEvent<'_>> {
        self.pending.event(id)
    }

    /// Panics if a structure disagrees with another one.
    pub(crate) fn check(&self, rules: &Rules) {
        self.pending.check(&self.hash, rules, self.buckets.check());
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
