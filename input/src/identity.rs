//! Which file is which: files are renamed, copied, compressed, cut and replaced, and their inodes used again.
//!
//! A file is the one that was read before where it has its inode and begins as that did. A file with another inode is a copy
//! of it, compressed or not, where everything is the same that was read; that is only looked at where the beginning is.

use std::cmp::{Ordering, Reverse};
use std::collections::{BTreeMap, HashMap};
use std::io::{self, Read};
use std::path::Path;

use crc32fast::Hasher;
use serde::{Deserialize, Serialize};

use super::source::Source;
use super::world::FileSystem;
use crate::framing::line_feeds_in;

/// How many of a file's first bytes, decompressed, tell it from others.
pub const HEAD: usize = 1024;

/// Fewer bytes than this may well be in two files.
pub const MIN_TELLING: u64 = 256;

/// What has been read of a file, decompressed, as checksums: of its beginning and of all.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Fingerprint {
    /// How much.
    pub length: u64,
    checksum: u32,
    head: u32,
}

impl Fingerprint {
    /// Takes in bytes of the file, from its byte `at` on, as far as they are not in it: after a restart some are read again.
    /// `checksum` is that of all `bytes`.
    pub fn add(&mut self, at: u64, bytes: &[u8], checksum: u32) {
        let known = self.length.checked_sub(at).and_then(|known| usize::try_from(known).ok());
        let Some(bytes) = known.and_then(|known| bytes.get(known..)).filter(|bytes| !bytes.is_empty()) else { return };
        let checksum = if known == Some(0) { checksum } else { crc32fast::hash(bytes) };
        let head = &bytes[..bytes.len().min(HEAD.saturating_sub(self.head_length()))];
        self.head = joined(self.head, crc32fast::hash(head), head.len());
        self.checksum = joined(self.checksum, checksum, bytes.len());
        self.length += bytes.len() as u64;
    }

    fn head_length(&self) -> usize {
        self.length.min(HEAD as u64) as usize
    }

    /// Whether a file that begins with `beginning`, [`HEAD`] bytes of it if it has as many, may be the same one.
    pub fn begins(&self, beginning: &[u8]) -> bool {
        beginning.get(..self.head_length()).is_some_and(|head| crc32fast::hash(head) == self.head)
    }

    /// Whether a file begins with all that was read. Reads as much of it.
    pub fn is_of(&self, files: &dyn FileSystem, path: &Path) -> io::Result<bool> {
        Ok(matches!(self.compare(files, path)?, Likeness::Same | Likeness::Longer))
    }

    /// How a file is to what was read. Reads as much of it.
    fn compare(&self, files: &dyn FileSystem, path: &Path) -> io::Result<Likeness> {
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
            Ordering::Less => Likeness::Shorter,
            _ if hasher.finalize() != self.checksum => Likeness::Other,
            Ordering::Equal => Likeness::Same,
            Ordering::Greater => Likeness::Longer,
        })
    }
}

/// How a file is to what was read of another.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Likeness {
    /// It is all of it.
    Same,
    /// It begins with all of it, and has more.
    Longer,
    /// It has less, and may become the same.
    Shorter,
    /// It is another one.
    Other,
}

/// The checksum of some bytes and of `length` bytes that come behind them.
fn joined(first: u32, second: u32, length: usize) -> u32 {
    // How many bytes the first are has no part in it.
    let mut hasher = Hasher::new_with_initial_len(first, 0);
    hasher.combine(&Hasher::new_with_initial_len(second, length as u64));
    hasher.finalize()
}

/// What a file is, and how many LFs it has, where it is the beginning of another one that is there. Reads all of it, and as
/// much of the other.
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

/// The first [`HEAD`] bytes of a file, decompressed, or all that it has.
pub fn beginning(files: &dyn FileSystem, path: &Path) -> io::Result<Vec<u8>> {
    beginning_so_far(files, path).map(|(beginning, _)| beginning)
}

/// The same, and whether that is less because it is compressed and still being written.
fn beginning_so_far(files: &dyn FileSystem, path: &Path) -> io::Result<(Vec<u8>, bool)> {
    let mut beginning = Vec::with_capacity(HEAD);
    match Source::open(files, path)?.take(HEAD as u64).read_to_end(&mut beginning) {
        Err(error) if error.kind() == io::ErrorKind::UnexpectedEof => Ok((beginning, true)),
        read => read.map(|_| (beginning, false)),
    }
}

/// What to say of a file that may become a copy.
pub const BEGUN: &str = "begins like a file that is read: left until it is a whole copy, or another";

/// Files that have been read, by how they begin.
pub struct HeadIndex<K> {
    /// By the length of the head, then by its checksum.
    heads: BTreeMap<usize, HashMap<u32, Vec<(Fingerprint, K)>>>,
}

/// What a file is a copy of.
#[derive(Debug, PartialEq, Eq)]
pub enum Copied<K> {
    /// Of these, with the one first of which the most was read. `true` where it has more than was read.
    Of(Vec<(K, bool)>),
    /// It begins like files of which more was read, and may become their copy; so far it is a copy of these.
    Begun {
        /// As in [`Of`](Self::Of).
        of: Vec<(K, bool)>,
        /// The files that it begins like.
        may_become: Vec<K>,
    },
    /// It is too short to tell.
    TooShort,
    /// Of none.
    Nothing,
}

impl<K: Clone> HeadIndex<K> {
    /// Those of which enough was read to tell them from others.
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

    /// Those that a file is a copy of, as far as they were read. Reads the beginning of the file, and where that is the
    /// same as another's, as much as was read of that one.
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
                Likeness::Same => copied.push((key.clone(), false)),
                Likeness::Longer => copied.push((key.clone(), true)),
                Likeness::Shorter => begun.push(key.clone()),
                Likeness::Other => {}
            }
        }
        Ok(match (copied.is_empty(), begun.is_empty()) {
            // What may become a copy of a longer one need not be the end of a shorter one.
            (_, false) => Copied::Begun { of: copied, may_become: begun },
            (true, true) if is_cut => Copied::Begun { of: copied, may_become: begun },
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
    fn what_was_read_is_the_same_in_whatever_pieces() {
        let bytes: Vec<_> = (0..5_000_u32).map(|at| (at * at) as u8).collect();
        for length in [1, 100, 1_023, 4_000] {
            let mut pieces = Fingerprint::default();
            for (at, piece) in bytes.chunks(length).enumerate() {
                pieces.add((at * length) as u64, piece, crc32fast::hash(piece));
            }
            // Some of it again.
            pieces.add(4_990, &bytes[4_990..], crc32fast::hash(&bytes[4_990..]));
            assert_eq!(pieces, fingerprint(&bytes));
        }
        assert!(fingerprint(&bytes).begins(&bytes[..HEAD]) && fingerprint(&bytes[..10]).begins(&bytes[..HEAD]));
        assert!(!fingerprint(&bytes).begins(&bytes[1..=HEAD]) && !fingerprint(&bytes).begins(&bytes[..10]));
    }

    #[test]
    fn a_copy_has_everything_that_was_read() {
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
        assert_eq!(copied(known(&[&longer, &other])), Copied::Begun { of: vec![], may_become: vec![0] });
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
