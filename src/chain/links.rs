//! What links a pending event to others: its values under the keys by which others look them up.

use super::KeyedHash;
use super::pending::{LINKED, Pending, Store, place_of};
use crate::util::packed::PackedStr;
use crate::util::sorted;

/// What an insertion needs for a moment, kept so that it allocates nothing.
#[derive(Debug, Default)]
pub(super) struct Scratch {
    pub encoded: Vec<u8>,
    pub links: Vec<Link>,
    pub keys: Vec<u64>,
    pub linked: Vec<u32>,
}

/// A value that links an event to others: the place of its slot in the plan of the event's call, and its hash.
#[derive(Clone, Copy, Debug)]
pub(super) struct Link {
    place: usize,
    value: u64,
}

impl Store {
    /// Adds an event to the index under its keys.
    pub(super) fn index(&mut self, keys: &[u64], slot: u32) {
        let Self { slots, by_value, .. } = self;
        let linked = slots.get(slot).is_some_and(Pending::is_linked);
        for key in keys {
            by_value.insert(*key, slot, linked, |slot| place_of(slots, slot));
        }
    }

    /// Finds the values that link an event to others.
    pub(super) fn links(&self, hash: &KeyedHash, slot: u32, links: &mut Vec<Link>) {
        links.clear();
        let Some(event) = self.slot(slot) else { return };
        // Values often come twice, from the request and from the response.
        let mut known: [Option<(PackedStr<'_>, u64)>; 2] = [None; 2];
        for (number, value) in event.values() {
            let Some((place, _)) = event.plan.slot(number).filter(|(_, plan)| !plan.keys.is_empty()) else { continue };
            let same = known.iter().flatten().find(|(same, _)| *same == value);
            let hashed = same.map_or_else(|| value_hash(hash, event.identity_hash, value), |(_, hashed)| *hashed);
            let [last, _] = known;
            known = [Some((value, hashed)), last];
            links.push(Link { place, value: hashed });
        }
    }

    /// Marks an event, and the events that it shares a value with, as linked if there are any. Amortised, costs a lookup
    /// for each value and each binding that may share it. `links` are those of the event. `linked` is scratch space, with
    /// whether the event is indexed. Returns the keys of the bindings under which others have one of its values, each once.
    pub(super) fn link(
        &mut self,
        hash: &KeyedHash,
        slot: u32,
        links: &[Link],
        (linked, indexed): (&mut Vec<u32>, bool),
    ) -> Vec<u16> {
        linked.clear();
        let mut shared = Vec::new();
        let Self { slots, calls, by_value, .. } = self;
        let call = slots.get(slot).and_then(|pending| calls.get(pending.call & !LINKED));
        let Some(plan) = call.map(|call| &call.plan) else { return shared };
        let partners = |link: &Link| plan.slots.get(link.place).map_or(&[][..], |slot| &slot.partners);
        for (number, link) in links.iter().enumerate() {
            // The same value may have come shortly before.
            let before = links.get(number.saturating_sub(2)..number).unwrap_or_default();
            for partner in partners(link) {
                if before.iter().any(|other| other.value == link.value && partners(other).contains(partner)) {
                    continue;
                }
                let key = link_key(link.value, *partner);
                let others = by_value.get(key);
                if others.iter().any(|other| *other != slot) {
                    sorted::insert(&mut shared, *partner);
                    linked.push(slot);
                    let from = linked.len();
                    linked.extend(others);
                    if !by_value.set_linked(key) {
                        linked.truncate(from);
                    }
                }
            }
        }
        for other in linked.drain(..) {
            self.mark_linked(hash, other, indexed || other != slot);
        }
        shared
    }

    fn mark_linked(&mut self, hash: &KeyedHash, slot: u32, indexed: bool) {
        let Some(pending) = self.slots.get_mut(slot).filter(|pending| !pending.is_linked()) else { return };
        pending.call |= LINKED;
        let Some(event) = self.slot(slot).filter(|_| indexed) else { return };
        let found_now = event.plan.by_identity.iter().filter(|step| step.linked);
        let keys: Vec<_> = found_now.map(|step| step_key(hash, event.identity_hash, step.step)).collect();
        self.index(&keys, slot);
    }

    /// Marks events as linked, for state that was saved without the marks.
    pub(super) fn link_all(&mut self, hash: &KeyedHash) {
        let slots: Vec<_> = self.slots.iter().map(|(slot, _)| slot).collect();
        let (mut links, mut linked) = (Vec::new(), Vec::new());
        for slot in slots {
            self.links(hash, slot, &mut links);
            self.link(hash, slot, &links, (&mut linked, true));
        }
    }

    /// Finds the index keys of an event with these links: one per distinct value that links it to another step, and one per
    /// step that other steps look up by identity alone.
    pub(super) fn keys(&self, hash: &KeyedHash, slot: u32, links: &[Link], keys: &mut Vec<u64>) {
        keys.clear();
        let Some(event) = self.slot(slot) else { return };
        for step in &event.plan.by_identity {
            // A step that shares names with others is only worth finding once another shares a value.
            if event.linked || !step.linked {
                keys.push(step_key(hash, event.identity_hash, step.step));
            }
        }
        for link in links {
            let of_slot = event.plan.slots.get(link.place).map_or(&[][..], |slot| &slot.keys);
            keys.extend(of_slot.iter().map(|key| link_key(link.value, *key)));
        }
        keys.sort_unstable();
        keys.dedup();
    }

    /// The index keys of an event.
    pub(super) fn all_keys<'s>(&self, hash: &KeyedHash, slot: u32, scratch: &'s mut Scratch) -> &'s [u64] {
        self.links(hash, slot, &mut scratch.links);
        self.keys(hash, slot, &scratch.links, &mut scratch.keys);
        &scratch.keys
    }
}

/// The hash of a value of an identity's event.
pub(super) fn value_hash(hash: &KeyedHash, identity: u32, value: PackedStr<'_>) -> u64 {
    hash.of(&[&identity.to_le_bytes(), value.0])
}

/// The index key of a value under the key of a binding. Those of one value differ in the bits that the index stores: the
/// factor is odd, and the lowest bit is not stored.
pub(super) fn link_key(value: u64, key: u16) -> u64 {
    value ^ (u64::from(key) << 1).wrapping_mul(0x9E37_79B9_7F4A_7C15)
}

pub(super) fn step_key(hash: &KeyedHash, identity: u32, step: usize) -> u64 {
    hash.of(&[&identity.to_le_bytes(), &(step as u64).to_le_bytes()])
}
