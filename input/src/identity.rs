//! Recognises files that are renamed, copied, compressed, truncated and replaced, and whose inodes are reused.
//!
//! A file is a known file if it has its inode and its head. A file with another inode is a copy, compressed or not, if
//! it has everything that was read of a known file; that is compared only if the heads match.

use std::cmp::{Ordering, Reverse};
use std::collections::{BTreeMap, HashMap};
use std::io::{self, Read};
use std::path::Path;

use crc32fast::Hasher;
use serde::{Deserialize, Serialize};

use super::source::Source;
use super::world::FileSystem;
use crate::framing::line_feeds_in;

/// Length of the head: how many of a file's first bytes, decompressed, distinguish it from others.
pub const HEAD: usize = 1024;

/// Fewer bytes than this may well be the same in two files.
pub const MIN_TELLING: u64 = 256;

/// What was read of a file, decompressed, as CRC-32 checksums of its head and of everything.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Fingerprint {
    /// Number of bytes read, decompressed.
    pub length: u64,
    checksum: u32,
    head: u32,
}

impl Fingerprint {
    /// Adds `bytes`, read at offset `at`. Skips those that are included already: after a restart, some are read again.
    /// `checksum` is that of all `bytes`.
    pub fn add(&mut self, at: u64, bytes: &[u8], checksum: u32) {
        let known = self.length.checked_sub(at).and_then(|known| usize::try_from(known).ok());
        let Some(bytes) = known.and_then(|known| bytes.get(known..)).filter(|bytes| !bytes.is_empty()) else { return };
        let checksum = if known == Some(0) { checksum } else { crc32fast::hash(bytes) };
        let head = &bytes[..bytes.len().min(HEAD.saturating_sub(self.head_length()))];
        self.head = combine(self.head, crc32fast::hash(head), head.len());
        self.checksum = combine(self.checksum, checksum, bytes.len());
        self.length += bytes.len() as u64;
    }

    fn head_length(&self) -> usize {
        self.length.min(HEAD as u64) as usize
    }

    /// True if a file whose first [`HEAD`] bytes, or all if it has fewer, are `beginning` may be the same file.
    pub fn may_match_head(&self, beginning: &[u8]) -> bool {
        beginning.get(..self.head_length()).is_some_and(|head| crc32fast::hash(head) == self.head)
    }

    /// True if a file begins with everything that was read. Reads that many bytes of it.
    pub fn is_prefix_of(&self, files: &dyn FileSystem, path: &Path) -> io::Result<bool> {
        Ok(matches!(self.compare(files, path)?, Comparison::Same | Comparison::Longer))
    }

    /// Compares a file with what was read. Reads that many bytes of it.
    fn compare(&self, files: &dyn FileSystem, path: &Path) -> io::Result<Comparison> {
        let mut source = Source::open(files, path)?.take(self.length + 1);
        let mut hasher = Hasher::new();
        let mut buffer = vec![0; 64 << 10];
        let mut length = 0;
        loop {
            match source.read(&mut buffer) {
                Ok(0) => break,
                Ok(more) => {
                    let left = usize::try_from(self.length - length.min(self.length)).unwrap_or(more);
                    hasher.update(&buffer[..more.min(left)]);
                    length += more as u64;
                }
                Err(error) if error.kind() == io::ErrorKind::UnexpectedEof => break,
                Err(error) => return Err(error),
            }
        }
        Ok(match length.cmp(&self.length) {
            Ordering::Less => Comparison::Shorter,
            _ if hasher.finalize() != self.checksum => Comparison::Other,
            Ordering::Equal => Comparison::Same,
            Ordering::Greater => Comparison::Longer,
        })
    }
}

/// How a file compares with what was read of another.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Comparison {
    /// Exactly what was read.
    Same,
    /// Everything that was read, and more.
    Longer,
    /// Fewer bytes; it may still become the same.
    Shorter,
    /// Different content.
    Other,
}

/// The checksum of a sequence followed by `length` more bytes, from the checksums of the two parts.
fn combine(first: u32, second: u32, length: usize) -> u32 {
    // The length of the first part does not matter.
    let mut hasher = Hasher::new_with_initial_len(first, 0);
    hasher.combine(&Hasher::new_with_initial_len(second, length as u64));
    hasher.finalize()
}

/// The fingerprint and the number of LFs of a file that is a prefix of `other`; `None` if it is not. Reads the whole
/// file, and as many bytes of `other`.
pub fn whole_of(files: &dyn FileSystem, path: &Path, other: &Path) -> io::Result<Option<(Fingerprint, u64)>> {
    let (mut file, mut other) = (Source::open(files, path)?, Source::open(files, other)?);
    let (mut fingerprint, mut line_feeds) = (Fingerprint::default(), 0);
    let (mut here, mut there) = (vec![0; 64 << 10], vec![0; 64 << 10]);
    loop {
        let length = file.read(&mut here)?;
        if length == 0 {
            return Ok(Some((fingerprint, line_feeds)));
        }
        let (here, there) = (&here[..length], &mut there[..length]);
        match other.read_exact(there) {
            Ok(()) if here == there => {}
            Err(error) if error.kind() != io::ErrorKind::UnexpectedEof => return Err(error),
            _ => return Ok(None),
        }
        fingerprint.add(fingerprint.length, here, crc32fast::hash(here));
        line_feeds += line_feeds_in(here);
    }
}

/// The checksum of a file's head, if the head is long enough to recognise the file. `None` also if it cannot be read.
pub fn telling_head(files: &dyn FileSystem, path: &Path) -> Option<u32> {
    let beginning = beginning(files, path).ok().filter(|beginning| beginning.len() as u64 >= MIN_TELLING)?;
    Some(crc32fast::hash(&beginning))
}

/// The head of a file: its first [`HEAD`] bytes, decompressed, or all if it has fewer.
pub fn beginning(files: &dyn FileSystem, path: &Path) -> io::Result<Vec<u8>> {
    beginning_so_far(files, path).map(|(beginning, _)| beginning)
}

/// The same, and true if it is incomplete because the file is compressed and still being written.
fn beginning_so_far(files: &dyn FileSystem, path: &Path) -> io::Result<(Vec<u8>, bool)> {
    let mut beginning = Vec::with_capacity(HEAD);
    match Source::open(files, path)?.take(HEAD as u64).read_to_end(&mut beginning) {
        Err(error) if error.kind() == io::ErrorKind::UnexpectedEof => Ok((beginning, true)),
        read => read.map(|_| (beginning, false)),
    }
}

/// The warning about a file that may become a copy.
pub const POSSIBLE_COPY: &str = "begins like a known file; held back until it is a complete copy or proves to differ";

/// Files that were read, indexed by their heads.
pub struct HeadIndex<K> {
    /// By the length of the head, then by its checksum.
    heads: BTreeMap<usize, HashMap<u32, Vec<(Fingerprint, K)>>>,
}

/// What a file is a copy of.
#[derive(Debug, PartialEq, Eq)]
pub enum Copied<K> {
    /// A copy of these, the one of which the most was read first. True if the file is longer than what was read.
    Of(Vec<(K, bool)>),
    /// It begins like files of which more was read, and may become a copy of them.
    PossibleCopy {
        /// The files that it is a copy of so far, as in [`Of`](Self::Of).
        of: Vec<(K, bool)>,
        /// The files that it may become a copy of.
        may_become: Vec<K>,
    },
    /// Too short to tell.
    TooShort,
    /// Not a copy.
    Nothing,
}

impl<K: Clone> HeadIndex<K> {
    /// Indexes the files of which enough was read to recognise them.
    pub fn new(files: impl Iterator<Item = (Fingerprint, K)>) -> Self {
        let mut heads: BTreeMap<usize, HashMap<u32, Vec<_>>> = BTreeMap::new();
        for (fingerprint, key) in files.filter(|(fingerprint, _)| fingerprint.length >= MIN_TELLING) {
            heads
                .entry(fingerprint.head_length())
                .or_default()
                .entry(fingerprint.head)
                .or_default()
                .push((fingerprint, key));
        }
        Self { heads }
    }

    /// Finds the files that a file is a copy of, as far as they were read. Reads the head of the file and, for each
    /// file with the same head, as many bytes as were read of that one.
    pub fn copied_by(&self, files: &dyn FileSystem, path: &Path) -> io::Result<Copied<K>> {
        let Some((longest, _)) = self.heads.last_key_value() else { return Ok(Copied::Nothing) };
        let (beginning, is_cut) = beginning_so_far(files, path)?;
        let mut alike: Vec<_> = Vec::new();
        for (length, heads) in &self.heads {
            let head = beginning.get(..*length).map(crc32fast::hash);
            alike.extend(head.and_then(|head| heads.get(&head)).into_iter().flatten());
        }
        alike.sort_by_key(|(fingerprint, _)| Reverse(fingerprint.length));
        let (mut copied, mut begun) = (Vec::new(), Vec::new());
        for (fingerprint, key) in alike {
            match fingerprint.compare(files, path)? {
                Comparison::Same => copied.push((key.clone(), false)),
                Comparison::Longer => copied.push((key.clone(), true)),
                Comparison::Shorter => begun.push(key.clone()),
                Comparison::Other => {}
            }
        }
        Ok(match (copied.is_empty(), begun.is_empty()) {
            // While it may become a copy of a longer file, it need not be the final copy of a shorter one.
            (_, false) => Copied::PossibleCopy { of: copied, may_become: begun },
            (true, true) if is_cut => Copied::PossibleCopy { of: copied, may_become: begun },
            (false, true) => Copied::Of(copied),
            (true, true) if beginning.len() < *longest => Copied::TooShort,
            (true, true) => Copied::Nothing,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::World;

    fn fingerprint(bytes: &[u8]) -> Fingerprint {
        let mut fingerprint = Fingerprint::default();
        fingerprint.add(0, bytes, crc32fast::hash(bytes));
        fingerprint
    }

    #[test]
    fn a_fingerprint_does_not_depend_on_the_pieces() {
        let bytes: Vec<_> = (0..5_000_u32).map(|at| (at * at) as u8).collect();
        for length in [1, 100, 1_023, 4_000] {
            let mut pieces = Fingerprint::default();
            for (at, piece) in bytes.chunks(length).enumerate() {
                pieces.add((at * length) as u64, piece, crc32fast::hash(piece));
            }
            // Some bytes are read again.
            pieces.add(4_990, &bytes[4_990..], crc32fast::hash(&bytes[4_990..]));
            assert_eq!(pieces, fingerprint(&bytes));
        }
        assert!(
            fingerprint(&bytes).may_match_head(&bytes[..HEAD])
                && fingerprint(&bytes[..10]).may_match_head(&bytes[..HEAD])
        );
        assert!(
            !fingerprint(&bytes).may_match_head(&bytes[1..=HEAD]) && !fingerprint(&bytes).may_match_head(&bytes[..10])
        );
    }

    #[test]
    fn a_copy_contains_everything_that_was_read() {
        let folder = tempfile::tempdir().expect("a folder can be made");
        let bytes: Vec<_> = (0..5_000_u32).map(|at| (at * at) as u8).collect();
        let path = folder.path().join("file");
        std::fs::write(&path, &bytes).expect("it is written");
        let known = |known: &[&[u8]]| {
            HeadIndex::new(
                known.iter().enumerate().map(|(at, bytes)| (fingerprint(bytes), at)).collect::<Vec<_>>().into_iter(),
            )
        };
        let copied =
            |beginnings: HeadIndex<usize>| beginnings.copied_by(&*World::real().files, &path).expect("it can be read");
        let other = [&bytes[..4_000], b"other"].concat();
        let all = known(&[&bytes[..3_000], &bytes, &bytes[..300], &bytes[..10], &other]);
        assert_eq!(copied(all), Copied::Of(vec![(1, false), (0, true), (2, true)]));
        assert_eq!(copied(known(&[&other])), Copied::Nothing);
        let longer = [&*bytes, b"more"].concat();
        assert_eq!(copied(known(&[&longer, &other])), Copied::PossibleCopy { of: vec![], may_become: vec![0] });
        let original = folder.path().join("original");
        std::fs::write(&original, &longer).expect("it is written");
        assert_eq!(
            whole_of(&*World::real().files, &path, &original).expect("both can be read"),
            Some((fingerprint(&bytes), line_feeds_in(&bytes)))
        );
        assert_eq!(whole_of(&*World::real().files, &original, &path).expect("both can be read"), None);
        std::fs::write(&path, &bytes[..1_000]).expect("it is written");
        assert_eq!(copied(known(&[&bytes])), Copied::TooShort);
        assert_eq!(copied(known(&[])), Copied::Nothing);
    }
}
