use hashbrown::HashTable;

use super::KeyedHash;
use super::slab::Slab;

/// Parts that many pending events share, each stored once and counted by the events that use it: the calls of one
/// machine, and often of many, share an attribution.
#[derive(Debug)]
pub(super) struct Interner<T> {
    slots: Slab<Shared<T>>,
    by_content: HashTable<u32>,
    bytes: usize,
}

/// A part that may be shared.
pub(super) trait Share: PartialEq {
    fn hash(&self, hash: &KeyedHash) -> u64;
    /// The memory that it takes besides its own size.
    fn bytes(&self) -> usize;
}

#[derive(Debug)]
struct Shared<T> {
    part: T,
    users: u32,
}

impl<T> Default for Interner<T> {
    fn default() -> Self {
        Self { slots: Slab::default(), by_content: HashTable::new(), bytes: 0 }
    }
}

impl<T: Share> Interner<T> {
    /// Bytes per part besides its content: a slot and a table entry.
    const OVERHEAD: usize = size_of::<Shared<T>>() + 10;

    /// The number of a part with this hash for which `is` holds.
    pub(super) fn find(&self, hash: u64, is: impl Fn(&T) -> bool) -> Option<u32> {
        self.by_content.find(hash, |slot| self.get(*slot).is_some_and(&is)).copied()
    }

    /// Interns a part and adds one user. `None` only if two billion parts are alive.
    pub(super) fn acquire(&mut self, hash: &KeyedHash, part: T) -> Option<u32> {
        let key = part.hash(hash);
        if let Some(slot) = self.find(key, |known| *known == part) {
            self.acquire_again(slot);
            return Some(slot);
        }
        self.bytes += part.bytes() + Self::OVERHEAD;
        let slots = &mut self.slots;
        let slot = slots.insert(Shared { part, users: 1 })?;
        self.by_content.insert_unique(key, slot, |slot| slots.get(*slot).map_or(0, |shared| shared.part.hash(hash)));
        Some(slot)
    }

    /// Adds one user to a part that is already interned.
    pub(super) fn acquire_again(&mut self, slot: u32) {
        if let Some(shared) = self.slots.get_mut(slot) {
            shared.users += 1;
        }
    }

    /// Removes one user, and the part with its last one.
    pub(super) fn release(&mut self, hash: &KeyedHash, slot: u32) {
        let Some(shared) = self.slots.get_mut(slot) else { return };
        debug_assert!(shared.users > 0, "a part without users is gone");
        shared.users -= 1;
        if shared.users > 0 {
            return;
        }
        let Some(Shared { part, .. }) = self.slots.remove(slot) else { return };
        self.bytes -= part.bytes() + Self::OVERHEAD;
        if let Ok(entry) = self.by_content.find_entry(part.hash(hash), |known| *known == slot) {
            entry.remove();
        }
    }

    pub(super) fn get(&self, slot: u32) -> Option<&T> {
        self.slots.get(slot).map(|shared| &shared.part)
    }

    pub(super) fn bytes(&self) -> usize {
        self.bytes
    }

    /// Panics if a part is not used as often as it says. `users` is the part of each pending event.
    pub(super) fn check(&self, users: impl Iterator<Item = u32>) {
        self.slots.check();
        let mut counts = std::collections::BTreeMap::<u32, u32>::new();
        users.for_each(|user| *counts.entry(user).or_default() += 1);
        let stored: std::collections::BTreeMap<_, _> =
            self.slots.iter().map(|(slot, shared)| (slot, shared.users)).collect();
        assert_eq!(counts, stored, "a shared part lives as long as a pending event has it");
        assert_eq!(self.by_content.len(), self.slots.len(), "every shared part is found by its content");
        let bytes = self.slots.iter().map(|(_, shared)| shared.part.bytes() + Self::OVERHEAD).sum::<usize>();
        assert_eq!(self.bytes, bytes, "the bytes are those of all parts");
    }
}

/// An encoded attribution.
impl Share for Box<[u8]> {
    fn hash(&self, hash: &KeyedHash) -> u64 {
        hash.of(&[self])
    }

    fn bytes(&self) -> usize {
        self.len()
    }
}
