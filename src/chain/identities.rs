use hashbrown::HashTable;

use super::KeyedHash;
use super::slab::Slab;

/// The identities that have pending events.
#[derive(Debug, Default)]
pub(super) struct Identities {
    slots: Slab<Identity>,
    by_text: HashTable<u32>,
    bytes: usize,
}

/// An identity, and its pending events as a list in the order in which they came.
#[derive(Debug)]
pub(super) struct Identity {
    pub text: Box<str>,
    pub oldest: u32,
    pub newest: u32,
    pub count: u32,
}

/// What an identity takes besides its text: a slot, and its place in the table.
const OVERHEAD: usize = size_of::<Identity>() + 10;

impl Identities {
    pub(super) fn find(&self, hash: &KeyedHash, text: &str) -> Option<u32> {
        self.find_hashed(hash_of(hash, text), text)
    }

    fn find_hashed(&self, key: u64, text: &str) -> Option<u32> {
        self.by_text.find(key, |slot| self.text(*slot) == text).copied()
    }

    /// Makes room for so many more at once.
    pub(super) fn reserve(&mut self, hash: &KeyedHash, additional: usize) {
        let slots = &self.slots;
        self.by_text.reserve(additional, |slot| hash_of(hash, slots.get(*slot).map_or("", |identity| &identity.text)));
    }

    /// The identity of this name, or a new one whose list is empty: its count is 0. `None` only where two billion are alive.
    pub(super) fn find_or_insert(&mut self, hash: &KeyedHash, text: &str) -> Option<u32> {
        let key = hash_of(hash, text);
        if let Some(known) = self.find_hashed(key, text) {
            return Some(known);
        }
        let slots = &mut self.slots;
        let slot = slots.insert(Identity { text: text.into(), oldest: 0, newest: 0, count: 0 })?;
        self.by_text
            .insert_unique(key, slot, |slot| hash_of(hash, slots.get(*slot).map_or("", |identity| &identity.text)));
        self.bytes += text.len() + OVERHEAD;
        Some(slot)
    }

    pub(super) fn remove(&mut self, hash: &KeyedHash, slot: u32) {
        let Some(identity) = self.slots.remove(slot) else { return };
        self.bytes -= identity.text.len() + OVERHEAD;
        if let Ok(entry) = self.by_text.find_entry(hash_of(hash, &identity.text), |known| *known == slot) {
            entry.remove();
        }
    }

    pub(super) fn get(&self, slot: u32) -> Option<&Identity> {
        self.slots.get(slot)
    }

    pub(super) fn get_mut(&mut self, slot: u32) -> Option<&mut Identity> {
        self.slots.get_mut(slot)
    }

    pub(super) fn text(&self, slot: u32) -> &str {
        self.slots.get(slot).map_or("", |identity| &identity.text)
    }

    pub(super) fn len(&self) -> usize {
        self.slots.len()
    }

    pub(super) fn bytes(&self) -> usize {
        self.bytes
    }
}

/// The hash that keys are made of, too.
pub(super) fn hash_of(hash: &KeyedHash, text: &str) -> u64 {
    hash.of(&[b"identity", text.as_bytes()])
}
