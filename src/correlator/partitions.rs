//! Which partitions the events of a record belong to.

use std::hash::Hasher;

use siphasher::sip::SipHasher13;

use crate::event::Event;
use crate::rule::Rules;
use crate::vocab::{IdentityKey, Partition};

/// Finds the partitions that a record concerns, and, in a correlator that has one of them, leaves it the steps that are its own.
#[derive(Debug)]
pub(super) struct Partitions {
    key: [u8; 16],
    count: u32,
    /// The one whose events are joined; `None` if records are only routed.
    mine: Option<u32>,
    /// Those that the current record concerns because it matches a step, in ascending order.
    found: Vec<u32>,
    /// That of the first event in the current record that matches no step: any partition would do.
    any: Option<u32>,
}

impl Partitions {
    /// For a correlator with one partition.
    pub(super) fn of(Partition { index, count }: Partition, key: [u8; 16]) -> Self {
        Self { mine: Some(index), ..Self::route(count, key) }
    }

    /// For routing to `count` partitions.
    pub(super) fn route(count: u32, key: [u8; 16]) -> Self {
        Self { key, count, mine: None, found: Vec::new(), any: None }
    }

    /// Begins another record.
    pub(super) fn begin(&mut self) {
        self.found.clear();
        self.any = None;
    }

    /// Adds an event that matches `steps`, and removes the steps of other partitions.
    pub(super) fn add(&mut self, event: &Event<'_>, rules: &Rules, steps: &mut Vec<usize>) {
        if steps.is_empty() && self.mine.is_none() && self.any.is_none() {
            self.any = Some(self.partition(event, &IdentityKey::DEFAULT));
        }
        // Most rules tell identities apart by the same keys.
        let mut latest = None;
        steps.retain(|step| {
            let identity = rules.step(*step).map_or(0, |(rule, _)| rule.identity);
            let partition = match latest {
                Some((known, partition)) if known == identity => partition,
                _ => self.partition(event, rules.identities.get(identity).map_or(&[][..], Vec::as_slice)),
            };
            latest = Some((identity, partition));
            if let Err(place) = self.found.binary_search(&partition) {
                self.found.insert(place, partition);
            }
            self.mine == Some(partition)
        });
    }

    /// The partition of an event's identity by `keys`. An event without one joins no chain; it goes to the first.
    fn partition(&self, event: &Event<'_>, keys: &[IdentityKey]) -> u32 {
        let Some((_, identity)) = event.actor.identity(keys) else { return 0 };
        let mut hasher = SipHasher13::new_with_key(&self.key);
        hasher.write(identity.as_bytes());
        u32::try_from(hasher.finish() % u64::from(self.count.max(1))).unwrap_or_default()
    }

    /// The partitions that must process the current record.
    pub(super) fn all(&self) -> Vec<u32> {
        if self.found.is_empty() { vec![self.any.unwrap_or_default()] } else { self.found.clone() }
    }

    /// Whether this correlator counts the current record: the first of its partitions does.
    pub(super) fn is_counted(&self) -> bool {
        self.found.first().is_none_or(|first| self.mine == Some(*first))
    }
}
