//! How far an output file was written when a state was saved, and how to find the file again.

use std::fs::{self, File};
use std::io;
use std::os::unix::fs::{FileExt, MetadataExt};
use std::path::{Path, PathBuf};
use std::time::{Duration, SystemTime};

use serde::{Deserialize, Serialize};

use catena_input::{Inode, folder, is_compressed, is_rotation, target};

/// How much of the end of a file is compared to recognise it, in bytes.
const TAIL: u64 = 4 << 10;

/// How far the time of a write may lag behind the clock: file systems read it once in a tick.
const TICK: Duration = Duration::from_millis(10);

/// How far an output file was written when a state was saved, and how to recognise the file.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(from = "Saved")]
pub struct Mark {
    /// Its length, in bytes.
    pub length: u64,
    /// `None` in states of format 3.
    pub inode: Option<Inode>,
    /// The checksum of its last bytes, at most [`TAIL`]. `None` in states of format 3.
    tail: Option<u32>,
    /// `None` in states of format 3.
    #[serde(alias = "empty")]
    made: Option<Made>,
}

/// What tells the files that were made of an output after a mark from its earlier rotations.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
struct Made {
    /// When the mark was made.
    #[serde(alias = "made")]
    at: SystemTime,
    /// The rotations that existed.
    rotations: Vec<Inode>,
}

/// A mark in a state file; format 3 has only the length.
#[derive(Deserialize)]
#[serde(untagged)]
enum Saved {
    Length(u64),
    Mark {
        length: u64,
        inode: Option<Inode>,
        tail: Option<u32>,
        #[serde(alias = "empty")]
        made: Option<Made>,
    },
}

impl From<Saved> for Mark {
    fn from(saved: Saved) -> Self {
        match saved {
            Saved::Length(length) => Self { length, inode: None, tail: None, made: None },
            Saved::Mark { length, inode, tail, made } => Self { length, inode, tail, made },
        }
    }
}

impl Mark {
    /// The mark at the end of the file that was opened at `output`.
    pub fn end_of(file: &File, output: &Path) -> io::Result<Self> {
        let metadata = file.metadata()?;
        let length = metadata.len();
        let rotations = rotations(output)?.iter().filter_map(|path| Some(inode(&path.metadata().ok()?))).collect();
        let made = Some(Made { at: SystemTime::now(), rotations });
        Ok(Self { length, inode: Some(inode(&metadata)), tail: Some(tail(file, length)?), made })
    }

    /// True if the file still has what had been written when the mark was made.
    pub fn is_in(&self, file: &File) -> io::Result<bool> {
        if file.metadata()?.len() < self.length {
            return Ok(false);
        }
        self.tail.map_or(Ok(true), |expected| Ok(tail(file, self.length)? == expected))
    }

    /// True if a file with the marked content is a copy of the marked one. An empty mark is in every file, and one of
    /// format 3 in every long one.
    pub fn tells_copies(&self) -> bool {
        self.length > 0 && self.tail.is_some()
    }

    /// The files under names of rotations that have nothing but what was written since: they are younger than the mark, did
    /// not exist then, do not have what was marked, and begin like none of those that existed. They are copies of the
    /// output from when it was empty or after it was cut, or the output itself, cut and renamed.
    pub fn later_files(&self, output: &Path) -> io::Result<Vec<PathBuf>> {
        let Some(Made { at, rotations: known }) = &self.made else { return Ok(Vec::new()) };
        let (mut old, mut new) = (Vec::new(), Vec::new());
        for path in rotations(output)? {
            let metadata = path.metadata()?;
            if metadata.len() > 0 {
                let modified = metadata.modified()?;
                // A new file may have the inode of an old one that was compressed.
                let is_old = (modified < *at && known.contains(&inode(&metadata))) || modified + TICK < *at;
                let has_mark = self.tells_copies() && self.is_in(&File::open(&path)?)?;
                (if is_old || has_mark { &mut old } else { &mut new }).push((head(&path)?, path));
            }
        }
        new.retain(|(head, _)| old.iter().all(|(known, _)| known != head));
        Ok(new.into_iter().map(|(_, path)| path).collect())
    }
}

/// The checksum of the bytes before `end`.
fn tail(file: &File, end: u64) -> io::Result<u32> {
    let length = end.min(TAIL);
    let mut bytes = vec![0; length as usize];
    file.read_exact_at(&mut bytes, end - length)?;
    Ok(crc32fast::hash(&bytes))
}

/// The checksum of the first bytes of a file.
fn head(path: &Path) -> io::Result<u32> {
    let file = File::open(path)?;
    tail(&file, file.metadata()?.len().min(TAIL))
}

/// The inode of a file.
pub fn inode(metadata: &fs::Metadata) -> Inode {
    Inode { device: metadata.dev(), inode: metadata.ino() }
}

/// The files in an output's folder that are named like a rotation of it and are not compressed: nothing can be removed from
/// a compressed file.
fn rotations(output: &Path) -> io::Result<Vec<PathBuf>> {
    let target = target(output);
    let Some(name) = target.file_name() else { return Ok(Vec::new()) };
    let is_rotation = |path: &PathBuf| {
        let found = path.file_name().unwrap_or_default();
        is_rotation(name, found) && !is_compressed(path) && path.is_file()
    };
    Ok(fs::read_dir(folder(&target))?.flatten().map(|entry| entry.path()).filter(is_rotation).collect())
}
