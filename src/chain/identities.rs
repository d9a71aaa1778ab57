use super::KeyedHash;
use super::arena::{Arena, Handle};
use super::list::List;
use super::slab::Slab;
use super::table::{self, Hashed, Table, high_bits};
use crate::util::invariant::Invariant as _;

/// The identities that have pending events.
#[derive(Debug, Default)]
pub(super) struct Identities {
    slots: Slab<Identity>,
    texts: Arena,
    by_text: Table<Entry>,
}

/// An identity and the list of its pending events, in order of arrival.
#[derive(Debug)]
struct Identity {
    text: Handle,
    events: List,
    /// The candidates that searches for its events may still try.
    allowance: u32,
    /// The calls that its events have been since it had none, as the bits that [`call_bit`] gives.
    calls: u64,
}

/// The bit that stands for a call, and for others: a set of calls in one number.
pub(super) fn call_bit(call: u32) -> u64 {
    1 << (call % u64::BITS)
}

#[derive(Clone, Copy, Debug)]
struct Entry {
    /// See [`hash_of`].
    hash: u32,
    slot: u32,
}

impl Hashed for Entry {
    fn hash(&self) -> u64 {
        high_bits(self.hash)
    }
}

/// Bytes per identity besides its text: a slot and a table entry.
const OVERHEAD: usize = size_of::<Option<Identity>>() + size_of::<Entry>() + table::OVERHEAD;

impl Identities {
    /// Finds an identity by its text.
    pub(super) fn find(&self, hash: &KeyedHash, text: &str) -> Option<u32> {
        self.find_hashed(hash_of(hash, text.as_bytes()), text)
    }

    fn find_hashed(&self, hash: u32, text: &str) -> Option<u32> {
        let is = |entry: &Entry| entry.hash == hash && self.text(entry.slot) == text.as_bytes();
        self.by_text.find(high_bits(hash), is).map(|entry| entry.slot)
    }

    /// Finds an identity by its text, or inserts it with an empty list. `None` only if two billion are alive.
    pub(super) fn find_or_insert(&mut self, hash: &KeyedHash, text: &str) -> Option<u32> {
        let hash = hash_of(hash, text.as_bytes());
        if let Some(known) = self.find_hashed(hash, text) {
            return Some(known);
        }
        let slot = self.insert_unindexed(text)?;
        self.by_text.insert(Entry { hash, slot });
        Some(slot)
    }

    /// Inserts an identity that [`Self::find`] does not return until [`Self::index_all`] is called.
    pub(super) fn insert_unindexed(&mut self, text: &str) -> Option<u32> {
        let text = self.texts.insert(text.as_bytes())?;
        self.slots.insert(Identity { text, events: List::default(), allowance: 0, calls: 0 })
    }

    /// Indexes all identities by their texts. The index must be empty.
    pub(super) fn index_all(&mut self, hash: &KeyedHash) {
        let hash = |identity: &Identity| hash_of(hash, self.texts.get(identity.text));
        let mut entries: Vec<_> = self.slots.iter().map(|(slot, identity)| (hash(identity), slot)).collect();
        entries.sort_unstable();
        self.by_text.reserve(entries.len());
        for (hash, slot) in entries {
            self.by_text.insert(Entry { hash, slot });
        }
    }

    pub(super) fn remove(&mut self, hash: &KeyedHash, slot: u32) {
        let Some(identity) = self.slots.remove(slot) else { return };
        let hash = hash_of(hash, self.texts.get(identity.text));
        self.by_text.remove(high_bits(hash), |entry| entry.slot == slot);
        self.texts.remove(identity.text);
    }

    /// The pending events of an identity.
    pub(super) fn events(&self, slot: u32) -> Option<&List> {
        self.slots.get(slot).map(|identity| &identity.events)
    }

    pub(super) fn events_mut(&mut self, slot: u32) -> Option<&mut List> {
        self.slots.get_mut(slot).map(|identity| &mut identity.events)
    }

    /// Notes that an identity has an event of a call.
    pub(super) fn add_call(&mut self, slot: u32, call: u32) {
        if let Some(identity) = self.slots.get_mut(slot) {
            identity.calls |= call_bit(call);
        }
    }

    /// The calls of an identity's events, and perhaps others, as bits.
    pub(super) fn calls(&self, slot: u32) -> u64 {
        self.slots.get(slot).map_or(0, |identity| identity.calls)
    }

    /// As [`Self::allowance`], to save it.
    pub(super) fn saved_allowance(&self, slot: u32) -> u32 {
        self.slots.get(slot).map_or(0, |identity| identity.allowance)
    }

    /// The candidates that searches for an identity's events may still try.
    pub(super) fn allowance(&mut self, slot: u32) -> Option<&mut u32> {
        self.slots.get_mut(slot).map(|identity| &mut identity.allowance)
    }

    /// The text of an identity, as UTF-8.
    pub(super) fn text(&self, slot: u32) -> &[u8] {
        self.texts.get(self.slots.get(slot).invariant("an identity in use is stored").text)
    }

    /// Panics if an identity has no events, or is not found by its text. Gives the events of all identities.
    pub(super) fn check(&self) -> impl Iterator<Item = (u32, &List)> {
        self.slots.check();
        self.by_text.check();
        assert_eq!(self.by_text.len(), self.slots.len(), "every identity is found by its text");
        self.slots.iter().map(|(slot, identity)| {
            assert!(identity.events.len > 0, "an identity without pending events is gone");
            (slot, &identity.events)
        })
    }

    pub(super) fn len(&self) -> usize {
        self.slots.len()
    }

    /// Approximate memory of all identities, in bytes.
    pub(super) fn bytes(&self) -> usize {
        self.texts.bytes() + self.len() * OVERHEAD
    }
}

/// The high half of the keyed hash of a text.
fn hash_of(hash: &KeyedHash, text: &[u8]) -> u32 {
    (hash.of(&[b"identity", text]) >> 32) as u32
}
