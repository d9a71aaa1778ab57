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
    /// The attribution of its last event: most likely, that of the next one.
    attribution: u32,
    /// The hash of its text, see [`hash_of`]. Unlike its number, it is the same after a restart.
    hash: u32,
    /// The steps that its events have matched since it had none, as bits; see [`step_bit`](crate::rule::step_bit).
    steps: [u32; 2],
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
    /// Finds an identity by its text and the [hash](hash_of) of it.
    pub(super) fn find(&self, hash: u32, text: &str) -> Option<u32> {
        let is = |entry: &Entry| entry.hash == hash && self.text(entry.slot) == text.as_bytes();
        self.by_text.find(high_bits(hash), is).map(|entry| entry.slot)
    }

    /// Finds an identity by its text, or inserts it with an empty list. `None` only if two billion are alive.
    pub(super) fn find_or_insert(&mut self, hash: u32, text: &str) -> Option<u32> {
        if let Some(known) = self.find(hash, text) {
            return Some(known);
        }
        let slot = self.insert_unindexed(hash, text)?;
        self.by_text.insert(Entry { hash, slot });
        Some(slot)
    }

    /// Inserts an identity that [`Self::find`] does not return until [`Self::index_all`] is called.
    pub(super) fn insert_unindexed(&mut self, hash: u32, text: &str) -> Option<u32> {
        let text = self.texts.insert(text.as_bytes())?;
        let (events, attribution) = (List::default(), u32::MAX);
        self.slots.insert(Identity { text, events, allowance: 0, attribution, hash, steps: [0; 2] })
    }

    /// Indexes all identities by their texts. The index must be empty.
    pub(super) fn index_all(&mut self) {
        let mut entries: Vec<_> = self.slots.iter().map(|(slot, identity)| (identity.hash, slot)).collect();
        entries.sort_unstable();
        self.by_text.reserve(entries.len());
        for (hash, slot) in entries {
            self.by_text.insert(Entry { hash, slot });
        }
    }

    pub(super) fn remove(&mut self, slot: u32) {
        let Some(identity) = self.slots.remove(slot) else { return };
        self.by_text.remove(high_bits(identity.hash), |entry| entry.slot == slot);
        self.texts.remove(identity.text);
    }

    /// The pending events of an identity.
    pub(super) fn events(&self, slot: u32) -> Option<&List> {
        self.slots.get(slot).map(|identity| &identity.events)
    }

    pub(super) fn events_mut(&mut self, slot: u32) -> Option<&mut List> {
        self.slots.get_mut(slot).map(|identity| &mut identity.events)
    }

    /// Notes that an identity has an event of steps, given as bits.
    pub(super) fn add_steps(&mut self, slot: u32, steps: u64) {
        if let Some(identity) = self.slots.get_mut(slot) {
            let steps = steps | joined(identity.steps);
            identity.steps = [(steps >> 32) as u32, steps as u32];
        }
    }

    /// The steps of an identity's events, and perhaps others, as bits.
    pub(super) fn steps(&self, slot: u32) -> u64 {
        self.slots.get(slot).map_or(0, |identity| joined(identity.steps))
    }

    /// The hash of an identity's text.
    pub(super) fn hash(&self, slot: u32) -> u32 {
        self.slots.get(slot).map_or(0, |identity| identity.hash)
    }

    /// The candidates that searches for an identity's events may still try.
    pub(super) fn allowance(&self, slot: u32) -> u32 {
        self.slots.get(slot).map_or(0, |identity| identity.allowance)
    }

    pub(super) fn set_allowance(&mut self, slot: u32, allowance: u32) {
        if let Some(identity) = self.slots.get_mut(slot) {
            identity.allowance = allowance;
        }
    }

    /// The attribution that was noted last.
    pub(super) fn attribution(&self, slot: u32) -> u32 {
        self.slots.get(slot).map_or(u32::MAX, |identity| identity.attribution)
    }

    pub(super) fn note_attribution(&mut self, slot: u32, attribution: u32) {
        if let Some(identity) = self.slots.get_mut(slot) {
            identity.attribution = attribution;
        }
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

/// A number from its high and low half, which need no padding.
fn joined([high, low]: [u32; 2]) -> u64 {
    u64::from(high) << 32 | u64::from(low)
}

/// The high half of the keyed hash of an identity.
pub(super) fn hash_of(hash: &KeyedHash, identity: &str) -> u32 {
    (hash.of(&[b"identity", identity.as_bytes()]) >> 32) as u32
}
