//! The members of a node, found by their names as they stand in a record.

use super::projection::Edge;

/// Edges by name: a hash table with open addressing, at most a quarter full. A lookup is what the reader does most, and
/// [`hashbrown`]'s tables take twice as many instructions for it.
#[derive(Debug, Default)]
pub(super) struct Edges {
    /// By hash: an index in `entries` plus one, or zero. Their number is a power of two.
    places: Vec<u32>,
    entries: Vec<Entry>,
}

#[derive(Debug)]
struct Entry {
    key: Key,
    edge: Edge,
    name: Box<[u8]>,
}

/// A member's name, hashed and compared as two words of up to eight bytes each and its length. That is all of a name of
/// up to 16 bytes, and most names are no longer.
#[derive(Clone, Copy)]
pub(super) struct Name<'n> {
    bytes: &'n [u8],
    key: Key,
}

/// The first and the last bytes of a name, which may overlap, and its length.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Key {
    first: u64,
    last: u64,
    length: u32,
}

/// The length up to which a key is all of its name.
const COMPLETE: u32 = 16;

/// A one in each byte of a word.
const ONES: u64 = u64::from_ne_bytes([1; 8]);

impl<'n> Name<'n> {
    /// The name with these bytes.
    #[inline(always)]
    pub(super) fn of(bytes: &'n [u8]) -> Self {
        let length = u32::try_from(bytes.len()).unwrap_or(u32::MAX);
        if let (Some(first), Some(last)) = (bytes.first_chunk(), bytes.last_chunk()) {
            let key = Key { first: u64::from_le_bytes(*first), last: u64::from_le_bytes(*last), length };
            return Self { bytes, key };
        }
        if let (Some(first), Some(last)) = (bytes.first_chunk(), bytes.last_chunk()) {
            let (first, last) = (u32::from_le_bytes(*first), u32::from_le_bytes(*last));
            return Self { bytes, key: Key { first: first.into(), last: last.into(), length } };
        }
        let first = bytes.iter().fold(0, |all, byte| all << 8 | u64::from(*byte));
        Self { bytes, key: Key { first, last: 0, length } }
    }

    pub(super) fn bytes(self) -> &'n [u8] {
        self.bytes
    }

    /// Whether it has a dot, or is so long that it may have one.
    #[inline(always)]
    pub(super) fn may_have_a_dot(self) -> bool {
        let has = |word: u64| {
            let zero_if_dot = word ^ (ONES * u64::from(b'.'));
            zero_if_dot.wrapping_sub(ONES) & !zero_if_dot & (ONES << 7) != 0
        };
        self.key.length > COMPLETE || has(self.key.first) || has(self.key.last)
    }
}

impl Key {
    /// A place in a table of this size, a power of two.
    #[inline(always)]
    fn place(self, size: usize) -> usize {
        let mixed = self.first.rotate_left(7) ^ self.last ^ u64::from(self.length) << 3;
        (mixed.wrapping_mul(0x9E37_79B9_7F4A_7C15) >> 40) as usize & size.wrapping_sub(1)
    }
}

impl Edges {
    /// The edge with this name.
    #[inline(always)]
    pub(super) fn get(&self, name: Name<'_>) -> Option<Edge> {
        let mut place = name.key.place(self.places.len());
        loop {
            let entry = self.entries.get((*self.places.get(place)? as usize).wrapping_sub(1))?;
            if entry.key == name.key && (name.key.length <= COMPLETE || *entry.name == *name.bytes) {
                return Some(entry.edge);
            }
            place = (place + 1) & (self.places.len() - 1);
        }
    }

    /// Adds an edge, or replaces the one with this name.
    pub(super) fn insert(&mut self, name: &str, edge: Edge) {
        let Name { bytes, key } = Name::of(name.as_bytes());
        if self.get(Name { bytes, key }).is_some() {
            let known = self.entries.iter_mut().filter(|entry| *entry.name == *bytes);
            return known.for_each(|known| known.edge = edge);
        }
        self.entries.push(Entry { key, edge, name: bytes.into() });
        let size = (4 * self.entries.len()).next_power_of_two();
        if size > self.places.len() {
            self.places = vec![0; size];
            (1..).zip(&self.entries).for_each(|(number, entry)| occupy(&mut self.places, entry.key, number));
        } else {
            occupy(&mut self.places, key, self.entries.len() as u32);
        }
    }
}

/// Notes an entry in the first free place from that of its key on.
fn occupy(places: &mut [u32], key: Key, number: u32) {
    let size = places.len();
    let mut place = key.place(size);
    while places.get(place).is_some_and(|taken| *taken != 0) {
        place = (place + 1) & (size - 1);
    }
    if let Some(free) = places.get_mut(place) {
        *free = number;
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
                edges.insert(name, Edge { number: number as u32, node: 0 });
                map.insert(name.clone(), number as u32);
            }
            for name in names.iter().chain(&others) {
                prop_assert_eq!(edges.get(Name::of(name.as_bytes())).map(|edge| edge.number), map.get(name).copied(), "{}", name);
            }
        }
    }
}
