use std::num::NonZeroU32;

use super::slab::Slab;

/// Byte strings by handle: each takes its length and nothing more, and the handle four bytes.
///
/// Strings of one length share chunks, in which what is freed is used again. What state keeps is of few different lengths.
#[derive(Debug, Default)]
pub(super) struct Arena {
    /// By length, from 1.
    lengths: Vec<Places>,
    /// What is too long for a chunk, and the empty string.
    others: Slab<Box<[u8]>>,
    bytes: usize,
}

/// Names a byte string of an [`Arena`]: its length in the high 8 bits, 0 for those apart, and its place below, from 1.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Handle(NonZeroU32);

/// The longest string that lies in a chunk.
const LONGEST: usize = 255;

/// The size of a chunk.
const CHUNK: usize = 4_096;

const PLACE_BITS: u32 = 24;

/// The places for strings of one length.
#[derive(Debug, Default)]
struct Places {
    chunks: Vec<Box<[u8]>>,
    used: u32,
    free: Vec<u32>,
}

impl Handle {
    fn new(length: usize, place: u32) -> Option<Self> {
        let place = place.checked_add(1).filter(|place| *place < 1 << PLACE_BITS)?;
        NonZeroU32::new((length as u32) << PLACE_BITS | place).map(Self)
    }

    fn length(self) -> usize {
        (self.0.get() >> PLACE_BITS) as usize
    }

    fn place(self) -> u32 {
        (self.0.get() & ((1 << PLACE_BITS) - 1)) - 1
    }
}

impl Places {
    /// Chunk and offset of a place.
    fn at(length: usize, place: u32) -> (usize, usize) {
        let each = CHUNK / length;
        (place as usize / each, place as usize % each * length)
    }

    fn insert(&mut self, bytes: &[u8]) -> Option<Handle> {
        let place = self.free.pop().unwrap_or(self.used);
        let handle = Handle::new(bytes.len(), place)?;
        let (chunk, offset) = Self::at(bytes.len(), place);
        if chunk == self.chunks.len() {
            self.chunks.push(vec![0; CHUNK].into());
        }
        self.chunks.get_mut(chunk)?.get_mut(offset..offset + bytes.len())?.copy_from_slice(bytes);
        self.used = self.used.max(place + 1);
        Some(handle)
    }
}

impl Arena {
    /// Keeps a byte string; `None` only where sixteen million long ones are kept.
    pub(super) fn insert(&mut self, bytes: &[u8]) -> Option<Handle> {
        let placed = if (1..=LONGEST).contains(&bytes.len()) {
            if self.lengths.len() < bytes.len() {
                self.lengths.resize_with(bytes.len(), Places::default);
            }
            self.lengths.get_mut(bytes.len() - 1)?.insert(bytes)
        } else {
            None
        };
        let handle = match placed {
            Some(handle) => handle,
            None => Handle::new(0, self.others.insert(bytes.into())?)?,
        };
        self.bytes += bytes.len();
        Some(handle)
    }

    pub(super) fn get(&self, handle: Handle) -> &[u8] {
        let (length, place) = (handle.length(), handle.place());
        let Some(at) = length.checked_sub(1) else {
            return self.others.get(place).map_or(&[], |bytes| bytes);
        };
        let (chunk, offset) = Places::at(length, place);
        let chunk = self.lengths.get(at).and_then(|places| places.chunks.get(chunk));
        chunk.and_then(|chunk| chunk.get(offset..offset + length)).unwrap_or_default()
    }

    /// Forgets a byte string. Its handle may be given again.
    pub(super) fn remove(&mut self, handle: Handle) {
        self.bytes -= self.get(handle).len();
        match handle.length().checked_sub(1) {
            None => drop(self.others.remove(handle.place())),
            Some(at) => {
                if let Some(places) = self.lengths.get_mut(at) {
                    places.free.push(handle.place());
                }
            }
        }
    }

    /// How many bytes are kept.
    pub(super) fn bytes(&self) -> usize {
        self.bytes
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    proptest! {
        #[test]
        fn what_is_kept_is_there_until_it_is_removed(
            steps in prop::collection::vec((0_usize..300, any::<u8>(), any::<bool>()), 0..300),
        ) {
            let (mut arena, mut kept) = (Arena::default(), Vec::<(Handle, Vec<u8>)>::new());
            for (length, byte, remove) in steps {
                if remove && !kept.is_empty() {
                    let (handle, bytes) = kept.swap_remove(length % kept.len());
                    prop_assert_eq!(arena.get(handle), &*bytes);
                    arena.remove(handle);
                } else {
                    // Few different lengths, so that places are used again.
                    let bytes = vec![byte; length / 50 * 50 + length % 2];
                    kept.push((arena.insert(&bytes).unwrap(), bytes));
                }
                prop_assert_eq!(arena.bytes(), kept.iter().map(|(_, bytes)| bytes.len()).sum::<usize>());
            }
            for (handle, bytes) in kept {
                prop_assert_eq!(arena.get(handle), &*bytes);
            }
        }
    }
}
