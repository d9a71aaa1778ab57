//! What reading and following need from outside: files and time. The simulator in `tests` replaces both.

use std::fmt::Debug;
use std::fs;
use std::io::{self, Read, Seek, SeekFrom};
use std::os::unix::fs::{FileExt, MetadataExt};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::{Duration, Instant, SystemTime};

use serde::{Deserialize, Serialize};
use walkdir::WalkDir;

use super::folder;

/// The file system and the clock that inputs are read with.
#[derive(Clone, Debug)]
pub struct World {
    /// The file system.
    pub files: Arc<dyn FileSystem>,
    /// The clock.
    pub clock: Arc<dyn Clock>,
}

impl World {
    /// The real file system and clock.
    pub fn real() -> Self {
        Self { files: Arc::new(Disk), clock: Arc::new(SystemClock { start: Instant::now() }) }
    }
}

/// The part of a file system that inputs need.
pub trait FileSystem: Debug + Send + Sync {
    /// The metadata of a path. Follows symbolic links.
    ///
    /// # Errors
    ///
    /// Those of the file system: the path does not exist, or is not accessible.
    fn metadata(&self, path: &Path) -> io::Result<Metadata>;

    /// Opens a file for reading.
    ///
    /// # Errors
    ///
    /// As for [`metadata`](Self::metadata).
    fn open(&self, path: &Path) -> io::Result<Box<dyn OpenFile>>;

    /// The files directly in a folder, in any order. Empty if the folder is not accessible.
    fn list(&self, folder: &Path) -> Vec<(PathBuf, Metadata)>;

    /// The files in a folder and all its subfolders, in name order, with an error for each path that is not accessible.
    fn walk(&self, folder: &Path) -> Vec<Result<PathBuf, (PathBuf, io::Error)>>;

    /// The inode of a path; `None` if it is not accessible.
    fn inode(&self, path: &Path) -> Option<Inode> {
        self.metadata(path).ok().map(|metadata| metadata.inode)
    }

    /// The path without symbolic links and relative parts, as far as it exists.
    fn canonical(&self, path: &Path) -> PathBuf {
        path.to_owned()
    }

    /// The file that a path names: the path itself, or where it leads if it is a symbolic link, even if that does not exist.
    fn target(&self, path: &Path) -> PathBuf {
        path.to_owned()
    }
}

/// The most symbolic links from a path to a file, as on Linux (path_resolution(7)).
const MAX_LINKS: usize = 40;

/// [`FileSystem::target`] of the real file system.
pub fn target(path: &Path) -> PathBuf {
    let mut target = path.to_owned();
    for _ in 0..MAX_LINKS {
        let Ok(next) = fs::read_link(&target) else { break };
        target = folder(&target).join(next);
    }
    target
}

/// An open file. It stays readable after its name is gone.
pub trait OpenFile: Read + Send {
    /// The metadata of the open file, even if its name belongs to another file now.
    ///
    /// # Errors
    ///
    /// Those of the file system.
    fn metadata(&self) -> io::Result<Metadata>;

    /// Reads at `offset`, in bytes, without moving the file's own position. Returns the number of bytes read.
    ///
    /// # Errors
    ///
    /// Those of the file system.
    fn read_at(&self, buffer: &mut [u8], offset: u64) -> io::Result<usize>;

    /// Opens the same file again, positioned at `offset`.
    ///
    /// # Errors
    ///
    /// Those of the file system.
    fn reopen_at(&self, offset: u64) -> io::Result<Box<dyn OpenFile>>;
}

/// A clock.
pub trait Clock: Debug + Send + Sync {
    /// Monotonic time since an arbitrary start.
    fn now(&self) -> Duration;

    /// Wall-clock time, in ns since 1970.
    fn unix_nanos(&self) -> i64;

    /// Wall-clock time, in seconds since 1970.
    fn unix_seconds(&self) -> u64 {
        u64::try_from(self.unix_nanos() / 1_000_000_000).unwrap_or_default()
    }
}

/// Metadata of a file.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Metadata {
    /// Its device and inode number.
    pub inode: Inode,
    /// Its size and mtime.
    pub stamp: Stamp,
    /// True for a regular file.
    pub is_file: bool,
    /// True for a folder.
    pub is_folder: bool,
}

impl Metadata {
    /// True for a pipe, a terminal or the like: it can be read once, in order.
    pub fn is_pipe(&self) -> bool {
        !self.is_file && !self.is_folder
    }
}

/// Identity of a file: its device and inode number.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct Inode {
    /// The device number.
    pub device: u64,
    /// The inode number on that device. It is reused after the file is gone.
    pub inode: u64,
}

/// Size and mtime: they change when a file is written to.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Stamp {
    /// Size on disk, in bytes.
    pub size: u64,
    /// Time of the last change (mtime), in ns since 1970.
    pub modified: i64,
}

impl Stamp {
    /// The same stamp with another size.
    pub(crate) fn of_size(self, size: u64) -> Self {
        Self { size, ..self }
    }
}

impl From<&fs::Metadata> for Metadata {
    fn from(metadata: &fs::Metadata) -> Self {
        let modified = metadata.mtime().wrapping_mul(1_000_000_000).wrapping_add(metadata.mtime_nsec());
        Self {
            inode: Inode { device: metadata.dev(), inode: metadata.ino() },
            stamp: Stamp { size: metadata.len(), modified },
            is_file: metadata.is_file(),
            is_folder: metadata.is_dir(),
        }
    }
}

/// The real file system.
#[derive(Debug)]
struct Disk;

impl FileSystem for Disk {
    fn metadata(&self, path: &Path) -> io::Result<Metadata> {
        path.metadata().as_ref().map(Metadata::from).map_err(|error| io::Error::new(error.kind(), error.to_string()))
    }

    fn open(&self, path: &Path) -> io::Result<Box<dyn OpenFile>> {
        Ok(Box::new(fs::File::open(path)?))
    }

    fn canonical(&self, path: &Path) -> PathBuf {
        path.canonicalize().unwrap_or_else(|_| path.to_owned())
    }

    fn target(&self, path: &Path) -> PathBuf {
        target(path)
    }

    fn list(&self, folder: &Path) -> Vec<(PathBuf, Metadata)> {
        let entries = fs::read_dir(folder).into_iter().flatten().flatten();
        entries.filter_map(|entry| Some((entry.path(), Metadata::from(&entry.metadata().ok()?)))).collect()
    }

    fn walk(&self, folder: &Path) -> Vec<Result<PathBuf, (PathBuf, io::Error)>> {
        let entries = WalkDir::new(folder).follow_links(true).sort_by_file_name().into_iter();
        entries
            .filter(|entry| entry.as_ref().map_or(true, |entry| entry.file_type().is_file()))
            .map(|entry| match entry {
                Ok(entry) => Ok(entry.into_path()),
                Err(error) => Err((error.path().unwrap_or(folder).to_owned(), error.into())),
            })
            .collect()
    }
}

impl OpenFile for fs::File {
    fn metadata(&self) -> io::Result<Metadata> {
        Ok(Metadata::from(&fs::File::metadata(self)?))
    }

    fn read_at(&self, buffer: &mut [u8], offset: u64) -> io::Result<usize> {
        FileExt::read_at(self, buffer, offset)
    }

    fn reopen_at(&self, offset: u64) -> io::Result<Box<dyn OpenFile>> {
        // The duplicate shares its position with the original, which is only read with `read_at` from now on.
        let mut file = self.try_clone()?;
        file.seek(SeekFrom::Start(offset))?;
        Ok(Box::new(file))
    }
}

/// The system's clocks.
#[derive(Debug)]
struct SystemClock {
    start: Instant,
}

impl Clock for SystemClock {
    fn now(&self) -> Duration {
        self.start.elapsed()
    }

    fn unix_nanos(&self) -> i64 {
        SystemTime::UNIX_EPOCH.elapsed().map_or(0, |elapsed| i64::try_from(elapsed.as_nanos()).unwrap_or(i64::MAX))
    }
}
