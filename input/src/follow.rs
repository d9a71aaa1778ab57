//! Follows files and folders as they grow, through new files, rotation and truncation.
//!
//! Files are polled for their size several times a second. Polling works everywhere, including on network file systems.

mod followed;
mod judge;

use std::collections::{BTreeMap, HashMap, HashSet, VecDeque};
use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::thread;
use std::time::Duration;

use super::chunk::Pool;
use super::world::{Inode, Metadata, Stamp, World};
use super::{Arguments, EventSender, Input, InputEvent, Inputs, Own, Piece, Planned, Saved};
use followed::{Advance, Followed};
use judge::{Copies, Ended, Held, Judgement};

/// Pause after a round that found nothing, for each file that was looked at, and its bounds. What is appended to a few files
/// is seen within 10 ms; many of them must not keep a core busy.
const PAUSE_FOR_EACH: Duration = Duration::from_micros(300);
const PAUSE: [Duration; 2] = [Duration::from_millis(10), Duration::from_millis(100)];

/// Interval between scans of the folders for new files.
const SCAN_INTERVAL: Duration = Duration::from_secs(1);

/// Maximum number of files kept open at once, if the system allows that many.
const MAX_OPEN: usize = 256;

/// Maximum number of files remembered after they have disappeared: they may reappear compressed.
const MAX_GONE: usize = 1_000;

/// What to follow.
pub struct Follow {
    /// Files to follow, and folders in which files may appear.
    pub arguments: Arguments,
    /// Inputs to read first.
    pub inputs: Vec<Planned>,
    /// Files already read to their end.
    pub known: Vec<Saved>,
    /// The files that this run writes; they are never read.
    pub own: Own,
    /// Size of a read, in bytes.
    pub chunk: usize,
}

/// Follows inputs on a thread of its own until `stop` is set: reads them as they grow, and new files as they appear in
/// folders.
///
/// Keeps `backlog` at the number of bytes that exist but have not been read.
pub fn follow(what: Follow, world: &World, stop: &Arc<AtomicBool>, backlog: Arc<AtomicU64>, events: EventSender) {
    let (world, stop) = (world.clone(), Arc::clone(stop));
    thread::spawn(move || {
        let send = move |event| events.send(event).map_err(|_| Closed);
        let mut follower = Follower::new(what, world, max_open(), send);
        while !stop.load(Ordering::Relaxed) {
            match follower.round() {
                Ok(true) => {}
                Ok(false) => thread::sleep(follower.pause()),
                Err(Closed) => return,
            }
            backlog.store(follower.backlog(), Ordering::Relaxed);
        }
    });
}

/// The receiver of the events is gone.
#[derive(Clone, Copy, Debug)]
pub struct Closed;

/// Follows files and folders, one round at a time.
///
/// A state machine over [`World`]: it never sleeps and starts no threads, so a simulator can drive it.
pub struct Follower {
    arguments: Arguments,
    own: Own,
    files: HashMap<u64, Followed>,
    /// Ids of the followed files, by inode.
    followed: HashMap<Inode, u64>,
    /// Files that have been read to their end, by inode.
    ended: HashMap<Inode, Ended>,
    /// Ended files that no longer exist or whose inode holds other content now. Oldest first.
    gone: VecDeque<Ended>,
    /// Files that may be copies, by inode.
    held: HashMap<Inode, Held>,
    /// Files and folders that cannot be read, and why.
    unreadable: BTreeMap<PathBuf, String>,
    next: u64,
    max_open: usize,
    pool: Arc<Pool>,
    events: Box<dyn FnMut(InputEvent) -> Result<(), Closed> + Send>,
    world: World,
    /// The inputs to start with; empty after the first round.
    first: Vec<Planned>,
    /// When the folders were last scanned.
    scanned: Duration,
    backlog: u64,
}

impl Follower {
    /// Creates a follower that keeps at most `max_open` files open and passes its events to `send`.
    pub fn new(
        what: Follow,
        world: World,
        max_open: usize,
        send: impl FnMut(InputEvent) -> Result<(), Closed> + Send + 'static,
    ) -> Self {
        let (mut ended, mut gone) = (HashMap::new(), VecDeque::new());
        for saved in &what.known {
            // The inode may have held other files before.
            let before = ended.insert(saved.inode, Ended::from(saved));
            gone.extend(before.and_then(|current| ended.insert(saved.inode, current)));
        }
        Self {
            arguments: what.arguments,
            own: what.own,
            files: HashMap::new(),
            followed: HashMap::new(),
            ended,
            gone,
            held: HashMap::new(),
            unreadable: BTreeMap::new(),
            next: 0,
            max_open,
            pool: Pool::new(what.chunk),
            events: Box::new(send),
            scanned: world.clock.now(),
            world,
            first: what.inputs,
            backlog: 0,
        }
    }

    /// Bytes that exist but have not been read, as of the last scan.
    pub fn backlog(&self) -> u64 {
        self.backlog
    }

    /// How long to pause after a round that found nothing.
    fn pause(&self) -> Duration {
        let [least, most] = PAUSE;
        PAUSE_FOR_EACH.saturating_mul(u32::try_from(self.files.len()).unwrap_or(u32::MAX)).clamp(least, most)
    }

    /// Reads what was appended to each file, at most one chunk each, and scans the folders once a second. Returns true
    /// if anything was found; otherwise the caller should pause.
    ///
    /// # Errors
    ///
    /// [`Closed`] if the receiver of the events is gone.
    pub fn round(&mut self) -> Result<bool, Closed> {
        for input in std::mem::take(&mut self.first) {
            self.begin(input)?;
        }
        let mut found = false;
        let mut ids: Vec<_> = self.files.keys().copied().collect();
        ids.sort_unstable();
        let mut open = self.files.values().filter(|file| file.is_open()).count();
        let mut busy = false;
        for id in ids {
            let was_open = self.files.get(&id).is_some_and(Followed::is_open);
            if !was_open && open >= self.max_open {
                let closed = if busy { 0 } else { self.close_one() };
                open -= closed;
                busy = closed == 0;
                if busy {
                    // Its turn comes in the next round.
                    continue;
                }
            }
            found |= self.advance(id)?;
            let is_open = self.files.get(&id).is_some_and(Followed::is_open);
            open = open + usize::from(is_open) - usize::from(was_open);
        }
        if self.world.clock.now().saturating_sub(self.scanned) >= SCAN_INTERVAL {
            self.scanned = self.world.clock.now();
            found |= self.scan()?;
        }
        Ok(found)
    }

    fn send(&mut self, event: InputEvent) -> Result<(), Closed> {
        (self.events)(event)
    }

    /// Starts following a file. It is opened once there is something to read.
    fn begin(&mut self, planned: Planned) -> Result<(), Closed> {
        // A file that does not exist yet is picked up by a later scan.
        let (Input::File(path), Some(inode)) = (planned.input.clone(), planned.inode) else { return Ok(()) };
        if self.followed.contains_key(&inode) {
            return Ok(());
        }
        self.next += 1;
        self.followed.insert(inode, self.next);
        // The previous content of this inode may reappear under another inode.
        self.gone.extend(self.ended.remove(&inode).filter(|ended| ended.fingerprint != planned.fingerprint));
        self.files
            .insert(self.next, Followed::new(self.world.clone(), path, inode, planned.fingerprint, planned.position));
        self.send(InputEvent::Begin(self.next, planned))
    }

    /// Closes one idle file, if any, and returns how many it closed. Bytes appended between closing and a rename can be
    /// missed, so this is done only when necessary.
    fn close_one(&mut self) -> usize {
        let idle = self.files.values_mut().find(|file| file.is_idle());
        idle.map_or(0, |file| {
            file.close();
            1
        })
    }

    /// Reads what was appended to a file. Returns true if anything happened.
    fn advance(&mut self, id: u64) -> Result<bool, Closed> {
        let Some(file) = self.files.get_mut(&id) else { return Ok(false) };
        let was_open = file.is_open();
        let mut chunk = self.pool.take();
        match file.advance(&mut chunk) {
            Advance::Nothing => return Ok(false),
            Advance::Some { read } => {
                let piece = Piece::new(chunk, read).with_checksum();
                file.count(&piece);
                self.send(InputEvent::Bytes(id, piece))?;
            }
            Advance::Trouble(error) => {
                let path = file.path.clone();
                if self.unreadable.insert(path.clone(), error.clone()).is_none() {
                    self.send(InputEvent::Trouble(path, error))?;
                }
            }
            Advance::End(stamp) => self.finish(id, stamp)?,
            Advance::Replaced(why) => {
                let path = file.path.clone();
                self.send(InputEvent::Warning(why))?;
                self.finish(id, Stamp::default())?;
                // If the file was closed, its inode may belong to another file by now. The next scan finds out.
                if was_open {
                    self.begin(Planned::whole(Input::File(path), &*self.world.files))?;
                }
            }
            Advance::Skipped(reason) => {
                let metadata = self.world.files.metadata(&file.path);
                let stamp = metadata.map(|metadata| metadata.stamp).unwrap_or_default();
                self.end(id, stamp);
                self.send(InputEvent::Skipped(id, reason))?;
            }
        }
        Ok(true)
    }

    /// Stops following a file. It is examined again if it changes.
    fn end(&mut self, id: u64, stamp: Stamp) {
        if let Some(file) = self.files.remove(&id) {
            self.followed.remove(&file.inode);
            self.remember(file.inode, Ended::of(&file, stamp));
        }
    }

    /// Ends a file and reports it.
    fn finish(&mut self, id: u64, stamp: Stamp) -> Result<(), Closed> {
        self.end(id, stamp);
        self.send(InputEvent::End(id, Some(stamp)))
    }

    /// Remembers an ended file. The previous content of its inode may reappear under another inode.
    fn remember(&mut self, inode: Inode, ended: Ended) {
        let fingerprint = ended.fingerprint;
        let before = self.ended.insert(inode, ended);
        self.gone.extend(before.filter(|before| before.fingerprint != fingerprint));
    }

    /// Scans for files that are not followed yet, and updates the backlog. Returns true if an input was started.
    fn scan(&mut self) -> Result<bool, Closed> {
        let inputs = Inputs::find(&*self.world.files, &self.arguments);
        let failed = inputs.failed.into_iter().map(|(name, error)| (PathBuf::from(name), error.to_string()));
        let mut unreadable: BTreeMap<_, _> = failed.collect();
        let mut there = HashSet::new();
        let mut unknown = Vec::new();
        for input in inputs.list {
            let Some(path) = input.path() else { continue };
            let metadata = match self.world.files.metadata(path) {
                Ok(metadata) => metadata,
                Err(error) => {
                    if error.kind() != io::ErrorKind::NotFound {
                        unreadable.insert(path.to_owned(), error.to_string());
                    }
                    continue;
                }
            };
            there.insert(metadata.inode);
            let is_named = self.arguments.paths.iter().any(|name| name == path);
            if (is_named || !self.own.has(path, metadata.inode, &*self.world.files))
                && !self.recognise(path, &metadata)?
            {
                unknown.push((input, metadata));
            }
        }
        // Only now: copies are compared with their originals, whose names must be up to date.
        let mut begun = false;
        let (mut copies, mut heads) = (None, None);
        for (input, metadata) in unknown {
            let path = input.path().map(Path::to_owned);
            begun |= self.start_unknown(input, &metadata, &mut copies, &mut heads)?;
            let problem = self.held.get(&metadata.inode).and_then(|held| held.problem.clone());
            unreadable.extend(path.zip(problem));
        }
        let problem = |file: &Followed| Some((file.path.clone(), file.problem()?));
        unreadable.extend(self.files.values().filter_map(problem));
        self.report(unreadable)?;
        self.held.retain(|inode, _| there.contains(inode));
        // The inodes may be reused, but the files themselves may reappear compressed.
        self.gone.extend(self.ended.extract_if(|inode, _| !there.contains(inode)).map(|(_, ended)| ended));
        self.gone.drain(..self.gone.len().saturating_sub(MAX_GONE));
        self.backlog = self.files.values().map(Followed::backlog).sum();
        Ok(begun)
    }

    /// Reports what cannot be read since the last scan, and what can be again.
    fn report(&mut self, unreadable: BTreeMap<PathBuf, String>) -> Result<(), Closed> {
        let before = std::mem::replace(&mut self.unreadable, unreadable.clone());
        for path in before.keys().filter(|path| !unreadable.contains_key(*path)) {
            self.send(InputEvent::Recovered(path.clone()))?;
        }
        for (path, error) in unreadable.into_iter().filter(|(path, _)| !before.contains_key(path)) {
            self.send(InputEvent::Trouble(path, error))?;
        }
        Ok(())
    }

    /// Returns true if the file is followed or has ended. Reports its new name if it was renamed.
    fn recognise(&mut self, path: &Path, metadata: &Metadata) -> Result<bool, Closed> {
        if let Some(id) = self.followed.get(&metadata.inode).copied() {
            if self.is_still(id, path) {
                self.rename(id, path)?;
                return Ok(true);
            }
            self.finish(id, Stamp::default())?;
        }
        match self.ended.get_mut(&metadata.inode).filter(|ended| ended.stamp == metadata.stamp) {
            Some(ended) if ended.path != path => {
                path.clone_into(&mut ended.path);
                self.send(InputEvent::Moved(metadata.inode, path.to_owned()))?;
                Ok(true)
            }
            found => Ok(found.is_some()),
        }
    }

    /// Starts to read a file that is not known, if it is not a copy of a known one. Returns true if an input was
    /// started.
    fn start_unknown(
        &mut self,
        input: Input,
        metadata: &Metadata,
        copies: &mut Option<Copies>,
        heads: &mut Option<HashSet<u32>>,
    ) -> Result<bool, Closed> {
        let (inode, stamp) = (metadata.inode, metadata.stamp);
        let Some(path) = input.path() else { return Ok(false) };
        // A file with two names was started under the first.
        if self.recognise(path, metadata)? {
            return Ok(false);
        }
        match self.classify(path, inode, stamp, copies)? {
            Judgement::PossibleCopy | Judgement::TooShort | Judgement::Deferred => return Ok(false),
            Judgement::New if self.resembles_barely_read(path, heads) => return Ok(false),
            Judgement::New => self.begin(Planned::whole(input, &*self.world.files))?,
            Judgement::Continues(ended) => {
                // If the original is still followed, it has ended: its unfinished record continues in the copy.
                let is_it = |file: &Followed| file.path == ended.path && file.fingerprint == ended.fingerprint;
                if let Some(id) = self.files.iter().find_map(|(id, file)| is_it(file).then_some(*id)) {
                    self.finish(id, Stamp::default())?;
                }
                self.begin(Planned::whole(input, &*self.world.files).from(ended.fingerprint, ended.position))?;
                // Other copies are copies of a followed file from now on: rebuild the index.
                *copies = None;
            }
            Judgement::CopyOf(ended) => {
                self.next += 1;
                self.send(InputEvent::Begin(
                    self.next,
                    Planned::whole(input.clone(), &*self.world.files).from(ended.fingerprint, ended.position),
                ))?;
                self.send(InputEvent::End(self.next, Some(stamp)))?;
                self.remember(inode, Ended { path: path.to_owned(), stamp, ..ended });
            }
        }
        Ok(true)
    }

    /// True if `path`, which has the inode of the followed file `id`, is still that file. While a file is open, its
    /// inode is not reused; once it is closed, only the content tells.
    fn is_still(&self, id: u64, path: &Path) -> bool {
        let Some(file) = self.files.get(&id) else { return false };
        file.is_open() || file.path == path || file.fingerprint.is_prefix_of(&*self.world.files, path).unwrap_or(true)
    }

    /// Continues to follow a file under its new name.
    fn rename(&mut self, id: u64, path: &Path) -> Result<(), Closed> {
        let Some(file) = self.files.get_mut(&id) else { return Ok(()) };
        if file.path == path || !file.lost_its_name() {
            return Ok(());
        }
        path.clone_into(&mut file.path);
        self.send(InputEvent::Renamed(id, path.to_owned()))
    }
}

/// How many files may be open at once. Leaves most of the process's limit for everything else.
fn max_open() -> usize {
    // "Max open files            1024                 524288               files"
    let limits = std::fs::read_to_string("/proc/self/limits").unwrap_or_default();
    let limit =
        limits.lines().find_map(|line| line.strip_prefix("Max open files")?.split_whitespace().next()?.parse().ok());
    // An uncompressed file uses two descriptors.
    limit.map_or(MAX_OPEN, |limit: usize| MAX_OPEN.min(limit / 8).max(1))
}
