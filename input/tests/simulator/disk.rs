//! An in-memory file system, with a clock that only the schedule advances.

use std::collections::{BTreeMap, HashMap};
use std::io::{self, Read};
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use catena_input::{Clock, FileSystem, Inode, Metadata, OpenFile, Stamp, World};

/// The disk and the clock, shared by the writers of a schedule and the code under test.
#[derive(Clone, Debug, Default)]
pub struct Disk {
    state: Arc<Mutex<State>>,
}

#[derive(Debug, Default)]
struct State {
    now: Duration,
    names: BTreeMap<PathBuf, u64>,
    nodes: HashMap<u64, Node>,
    /// Inode numbers to reuse. The one freed last is reused first, as on many file systems.
    free: Vec<u64>,
    next: u64,
    /// Paths that cannot be opened, and until when.
    denied: HashMap<PathBuf, Duration>,
    /// Maximum number of bytes that a single read returns; 0 for no limit.
    max_read: usize,
}

#[derive(Debug, Default)]
struct Node {
    bytes: Vec<u8>,
    modified: Duration,
    links: usize,
    opens: usize,
}

impl State {
    fn metadata(&self, inode: u64) -> Metadata {
        let node = &self.nodes[&inode];
        Metadata {
            inode: Inode { device: 1, inode },
            stamp: Stamp { size: node.bytes.len() as u64, modified: node.modified.as_nanos() as i64 },
            is_file: true,
            is_folder: false,
        }
    }

    fn node(&mut self, inode: u64) -> &mut Node {
        self.nodes.get_mut(&inode).expect("an inode in use has a node")
    }

    /// Frees the inode if nothing refers to it any more.
    fn reclaim(&mut self, inode: u64) {
        let node = &self.nodes[&inode];
        if node.links == 0 && node.opens == 0 {
            self.nodes.remove(&inode);
            self.free.push(inode);
        }
    }

    fn check_access(&self, path: &Path) -> io::Result<u64> {
        if self.denied.get(path).is_some_and(|until| self.now < *until) {
            return Err(io::Error::from(io::ErrorKind::PermissionDenied));
        }
        self.names.get(path).copied().ok_or_else(|| io::Error::from(io::ErrorKind::NotFound))
    }
}

impl Disk {
    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The disk and the clock as the code under test sees them.
    pub fn world(&self) -> World {
        World { files: Arc::new(self.clone()), clock: Arc::new(self.clone()) }
    }

    pub fn advance(&self, time: Duration) {
        self.lock().now += time;
    }

    pub fn time(&self) -> Duration {
        self.lock().now
    }

    /// Limits a single read to `max` bytes; 0 for no limit.
    pub fn limit_reads(&self, max: usize) {
        self.lock().max_read = max;
    }

    /// Makes a path impossible to open for a while.
    pub fn deny(&self, path: &Path, time: Duration) {
        let mut state = self.lock();
        let until = state.now + time;
        state.denied.insert(path.to_owned(), until);
    }

    /// Creates an empty file, replacing any file of that name.
    pub fn create(&self, path: &Path) -> u64 {
        self.remove(path);
        let mut state = self.lock();
        let inode = state.free.pop().unwrap_or_else(|| {
            state.next += 1;
            state.next
        });
        let modified = state.now;
        state.nodes.insert(inode, Node { modified, links: 1, ..Node::default() });
        state.names.insert(path.to_owned(), inode);
        inode
    }

    pub fn append(&self, inode: u64, bytes: &[u8]) {
        let mut state = self.lock();
        let now = state.now;
        let node = state.node(inode);
        node.bytes.extend_from_slice(bytes);
        node.modified = now;
    }

    pub fn truncate(&self, inode: u64) {
        let mut state = self.lock();
        let now = state.now;
        let node = state.node(inode);
        node.bytes.clear();
        node.modified = now;
    }

    pub fn remove(&self, path: &Path) {
        let mut state = self.lock();
        if let Some(inode) = state.names.remove(path) {
            state.node(inode).links -= 1;
            state.reclaim(inode);
        }
    }

    pub fn rename(&self, from: &Path, to: &Path) {
        let inode = self.lock().names.get(from).copied();
        let Some(inode) = inode else { return };
        self.lock().node(inode).links += 1;
        self.remove(to);
        self.remove(from);
        self.lock().names.insert(to.to_owned(), inode);
    }

    pub fn inode_of(&self, path: &Path) -> Option<u64> {
        self.lock().names.get(path).copied()
    }

    pub fn content(&self, path: &Path) -> Vec<u8> {
        let state = self.lock();
        state.names.get(path).map(|inode| state.nodes[inode].bytes.clone()).unwrap_or_default()
    }

    /// Keeps a file open for a writer, so that its inode is not reused.
    pub fn hold(&self, inode: u64) {
        self.lock().node(inode).opens += 1;
    }

    pub fn release(&self, inode: u64) {
        let mut state = self.lock();
        state.node(inode).opens -= 1;
        state.reclaim(inode);
    }
}

impl Clock for Disk {
    fn now(&self) -> Duration {
        self.time()
    }

    fn unix_nanos(&self) -> i64 {
        self.time().as_nanos() as i64
    }
}

impl FileSystem for Disk {
    fn metadata(&self, path: &Path) -> io::Result<Metadata> {
        let state = self.lock();
        if let Some(inode) = state.names.get(path) {
            return Ok(state.metadata(*inode));
        }
        let is_folder = state.names.keys().any(|name| name.starts_with(path));
        if !is_folder {
            return Err(io::Error::from(io::ErrorKind::NotFound));
        }
        Ok(Metadata { inode: Inode { device: 1, inode: 0 }, stamp: Stamp::default(), is_file: false, is_folder })
    }

    fn open(&self, path: &Path) -> io::Result<Box<dyn OpenFile>> {
        let inode = self.lock().check_access(path)?;
        self.hold(inode);
        Ok(Box::new(Handle { disk: self.clone(), inode, position: 0 }))
    }

    fn list(&self, folder: &Path) -> Vec<(PathBuf, Metadata)> {
        let state = self.lock();
        let names = state.names.iter().filter(|(name, _)| name.parent() == Some(folder));
        names.map(|(name, inode)| (name.clone(), state.metadata(*inode))).collect()
    }

    fn walk(&self, folder: &Path) -> Vec<Result<PathBuf, (PathBuf, io::Error)>> {
        self.lock().names.keys().filter(|name| name.starts_with(folder)).cloned().map(Ok).collect()
    }
}

/// An open file.
struct Handle {
    disk: Disk,
    inode: u64,
    position: u64,
}

impl Drop for Handle {
    fn drop(&mut self) {
        self.disk.release(self.inode);
    }
}

impl Read for Handle {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let length = self.read_at(buffer, self.position)?;
        self.position += length as u64;
        Ok(length)
    }
}

impl OpenFile for Handle {
    fn metadata(&self) -> io::Result<Metadata> {
        Ok(self.disk.lock().metadata(self.inode))
    }

    fn read_at(&self, buffer: &mut [u8], offset: u64) -> io::Result<usize> {
        let state = self.disk.lock();
        let bytes = state.nodes[&self.inode].bytes.get(offset as usize..).unwrap_or_default();
        let max = if state.max_read == 0 { usize::MAX } else { state.max_read };
        let length = bytes.len().min(buffer.len()).min(max);
        buffer[..length].copy_from_slice(&bytes[..length]);
        Ok(length)
    }

    fn reopen_at(&self, offset: u64) -> io::Result<Box<dyn OpenFile>> {
        self.disk.hold(self.inode);
        Ok(Box::new(Self { disk: self.disk.clone(), inode: self.inode, position: offset }))
    }
}
