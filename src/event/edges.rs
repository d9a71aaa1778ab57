//! The members of a node, found by their names as they stand in a record.

use hashbrown::HashTable;

use super::projection::Edge;

/// Edges by name.
///
/// A name is hashed and compared as two words of up to eight bytes each and its length. That is all of a name of up to
/// 16 bytes, and most names are no longer.
#[derive(Debug, Default)]
pub(super) struct Edges {
    table: HashTable<Entry>,
}

#[derive(Debug)]
struct Entry {
    key: Key,
    name: Box<str>,
    edge: Edge,
}

/// The first and the last bytes of a name, which may overlap, and its length.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Key {
    first: u64,
    last: u64,
    length: usize,
}

impl Key {
    /// The length up to which a key is all of its name.
    const COMPLETE: usize = 16;

    #[inline(always)]
    fn of(name: &[u8]) -> Self {
        let length = name.len();
        if let (Some(first), Some(last)) = (name.first_chunk(), name.last_chunk()) {
            return Self { first: u64::from_le_bytes(*first), last: u64::from_le_bytes(*last), length };
        }
        if let (Some(first), Some(last)) = (name.first_chunk(), name.last_chunk()) {
            return Self { first: u32::from_le_bytes(*first).into(), last: u32::from_le_bytes(*last).into(), length };
        }
        Self { first: name.iter().fold(0, |all, byte| all << 8 | u64::from(*byte)), last: 0, length }
    }

    #[inline(always)]
    fn hash(self) -> u64 {
        let mixed =
            (self.first.rotate_left(7) ^ self.last ^ (self.length as u64) << 3).wrapping_mul(0x9E37_79B9_7F4A_7C15);
        mixed ^ mixed >> 32
    }
}

impl Edges {
    /// The edge with this name.
    #[inline(always)]
    pub(super) fn get(&self, name: &[u8]) -> Option<Edge> {
        let key = Key::of(name);
        let is = |entry: &Entry| entry.key == key && (key.length <= Key::COMPLETE || entry.name.as_bytes() == name);
        self.table.find(key.hash(), is).map(|entry| entry.edge)
    }

    /// Adds an edge, or replaces the one with this name.
    pub(super) fn insert(&mut self, name: &str, edge: Edge) {
        let key = Key::of(name.as_bytes());
        match self.table.find_mut(key.hash(), |entry| *entry.name == *name) {
            Some(entry) => entry.edge = edge,
            None => {
                let entry = Entry { key, name: name.into(), edge };
                self.table.insert_unique(key.hash(), entry, |entry| entry.key.hash());
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use proptest::prelude::*;

    use super::*;

    proptest! {
        #[test]
        fn edges_behave_like_a_map(
            names in prop::collection::vec("[ab]{0,6}|a{7,18}|a{8}[ab]{0,6}a{8}", 0..60),
            others in prop::collection::vec("[ab]{0,6}|a{7,18}|a{8}[ab]{0,6}a{8}", 0..60),
        ) {
            let (mut edges, mut map) = (Edges::default(), BTreeMap::new());
            for (number, name) in names.iter().enumerate() {
                edges.insert(name, Edge { number, node: 0 });
                map.insert(name.clone(), number);
            }
            for name in names.iter().chain(&others) {
                prop_assert_eq!(edges.get(name.as_bytes()).map(|edge| edge.number), map.get(name).copied(), "{}", name);
            }
        }
    }
}
