//! What a source has read of which files. It is stored with the records, in one batch: the last files in the source's pointer, earlier ones in
//! segments that do not change.

use std::collections::HashMap;
use std::path::Path;

use catena_framing::Position;
use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};

/// Files of a segment. The pointer is stored with each block, so it must be short.
const SEGMENT: usize = 128;

/// How far a file was read.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Read {
    /// A digest of its path.
    path: u64,
    pub(crate) position: Position,
    /// The checksum (CRC-32) of what is before the position, decompressed. Another file of the same name has another.
    pub(crate) checksum: u32,
}

/// All files of a source.
#[derive(Clone, Debug, Default)]
pub(crate) struct Files {
    known: HashMap<u64, Read>,
    /// The number of segments.
    segments: u32,
    /// What is in none.
    last: Vec<Read>,
}

/// The pointer of a source.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Placed {
    pub(crate) segments: u32,
    pub(crate) last: Vec<Read>,
}

impl Read {
    /// `path` must be absolute: a file has one name.
    pub(crate) fn new(path: &Path, position: Position, checksum: u32) -> Self {
        Self { path: digest(path), position, checksum }
    }
}

impl Files {
    /// From the pointer and all segments, in order.
    pub(crate) fn new(placed: Placed, segments: impl IntoIterator<Item = Vec<Read>>) -> Self {
        let mut files = Self { known: HashMap::new(), segments: placed.segments, last: placed.last.clone() };
        for read in segments.into_iter().flatten().chain(placed.last) {
            files.known.insert(read.path, read);
        }
        files
    }

    /// How far a file was read.
    pub(crate) fn get(&self, path: &Path) -> Option<&Read> {
        self.known.get(&digest(path))
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.known.is_empty()
    }

    /// Whether it would change by this.
    pub(crate) fn is_news(&self, read: &Read) -> bool {
        self.known.get(&read.path) != Some(read) && (read.position.offset > 0 || self.known.contains_key(&read.path))
    }

    /// Adds files. Returns a new segment with its number if there are enough for one.
    pub(crate) fn add(&mut self, reads: Vec<Read>) -> Option<(u32, Vec<Read>)> {
        for read in reads {
            self.last.retain(|known| known.path != read.path);
            self.last.push(read.clone());
            self.known.insert(read.path, read);
        }
        if self.last.len() < SEGMENT {
            return None;
        }
        self.segments += 1;
        Some((self.segments - 1, std::mem::take(&mut self.last)))
    }

    pub(crate) fn placed(&self) -> Placed {
        Placed { segments: self.segments, last: self.last.clone() }
    }
}

fn digest(path: &Path) -> u64 {
    let digest = Sha256::digest(path.as_os_str().as_encoded_bytes());
    digest.first_chunk().map_or(0, |first| u64::from_be_bytes(*first))
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    proptest! {
        /// Whatever is stored in whatever steps, what is loaded is the last that was said of each file.
        #[test]
        fn what_is_loaded_is_what_was_stored_last(steps in prop::collection::vec(prop::collection::vec((0_u8..200, 1_u64..9), 0..40), 0..30)) {
            let (mut files, mut segments) = (Files::default(), Vec::new());
            let mut model = HashMap::new();
            for step in steps {
                let mut reads = Vec::new();
                for (name, offset) in step {
                    let position = Position::default().after(offset as usize, 0);
                    model.insert(name, offset);
                    reads.push(Read::new(Path::new(&name.to_string()), position, 0));
                }
                if let Some((number, segment)) = files.add(reads) {
                    prop_assert_eq!(number as usize, segments.len());
                    segments.push(segment);
                }
            }
            let placed = files.placed();
            prop_assert!(placed.last.len() < SEGMENT && placed.segments as usize == segments.len());
            let loaded = Files::new(placed, segments);
            for name in 0..200_u8 {
                let offset = loaded.get(Path::new(&name.to_string())).map(|read| read.position.offset);
                prop_assert_eq!(offset, model.get(&name).copied());
            }
        }
    }
}
