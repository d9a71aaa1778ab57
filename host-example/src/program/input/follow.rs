//! Following files and folders as they grow: new files, rotated ones, and those that were cut.
//!
//! Files are asked for their length some times a second. That works everywhere, on network file systems too.

use std::collections::HashMap;
use std::io::{self, Read};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::mpsc::{SyncSender, sync_channel};
use std::thread;
use std::time::{Duration, Instant};

use super::chunk::{Chunk, Pool};
use super::source::{Head, Inode, Source};
use super::{Event, Events, Input, Inputs, Piece, Planned, Saved, is_digest};

/// How long nothing is asked where nothing has come.
const PAUSE: Duration = Duration::from_millis(100);

/// How often folders are looked through for new files.
const LOOK: Duration = Duration::from_secs(1);

/// How long a file that has lost its name is still read: whoever writes it may not have noticed.
const GRACE: Duration = Duration::from_secs(5);

/// The length of the longest mark of a compressed file.
const LEAST_TELLING: u64 = 4;

/// How many files are kept open.
const MOST_OPEN: usize = 256;

/// How many beginnings are remembered.
const MOST_HEADS: usize = 1_000;

/// How many chunks are read ahead.
const READ_AHEAD: usize = 8;

/// Reads inputs and goes on reading what comes to be in them, and in the folders among `arguments`, until `stop` is set.
///
/// `done` are files that need no reading. `behind` is told how many bytes there are that have not been read.
pub fn follow(
    arguments: Vec<PathBuf>,
    inputs: Vec<Planned>,
    done: &[Saved],
    chunk: usize,
    stop: &Arc<AtomicBool>,
    behind: Arc<AtomicU64>,
) -> Events {
    let (order, given) = sync_channel(1);
    let (events, receiver) = sync_channel(READ_AHEAD);
    // There is a receiver: this cannot fail.
    let _ = order.send(receiver);
    let known = done.iter().map(|saved| (saved.inode, 0)).collect();
    let heads = done.iter().map(|saved| saved.head).collect();
    let stop = Arc::clone(stop);
    thread::spawn(move || {
        let mut follower = Follower {
            arguments,
            files: HashMap::new(),
            known,
            heads,
            next: 0,
            pool: Pool::new(chunk),
            events,
            stop,
            behind,
        };
        // An error is that nobody listens any more.
        let _ = follower.run(inputs);
    });
    Events { inputs: given, current: None }
}

/// Nobody listens any more.
struct Gone;

struct Follower {
    arguments: Vec<PathBuf>,
    files: HashMap<u64, Followed>,
    /// The files that are, or have been, followed, by the number of those that were not done before.
    known: HashMap<Inode, u64>,
    /// How those began that have been read to their end: they may come again compressed.
    heads: Vec<Head>,
    next: u64,
    pool: Arc<Pool>,
    events: SyncSender<Event>,
    stop: Arc<AtomicBool>,
    behind: Arc<AtomicU64>,
}

struct Followed {
    path: PathBuf,
    inode: Inode,
    head: Head,
    /// Where it is read, if it is open.
    source: Option<Source>,
    /// Whether it is not compressed, and so may grow; known once it has been opened.
    plain: Option<bool>,
    /// How many bytes have been given out of it, decompressed.
    given: u64,
    counted: u64,
    /// The length at which a compressed file was not whole.
    cut_at: Option<u64>,
    /// Since when another file has its name, or none has.
    gone: Option<Instant>,
}

/// What there was to read.
enum Found {
    Some,
    Nothing,
    /// There will be no more.
    End,
    /// It was cut, to so many bytes.
    Cut(u64),
    /// Why there is nothing: the last event.
    Last(Event),
}

impl Follower {
    fn run(&mut self, inputs: Vec<Planned>) -> Result<(), Gone> {
        for input in inputs {
            self.begin(input)?;
        }
        let mut looked = Instant::now();
        while !self.stop.load(Ordering::Relaxed) {
            let mut found = false;
            let mut ids: Vec<_> = self.files.keys().copied().collect();
            ids.sort_unstable();
            for id in ids {
                found |= self.advance(id)?;
            }
            self.close_some();
            if looked.elapsed() >= LOOK {
                looked = Instant::now();
                found |= self.look()?;
            }
            if !found {
                thread::sleep(PAUSE);
            }
        }
        Ok(())
    }

    fn send(&self, event: Event) -> Result<(), Gone> {
        self.events.send(event).map_err(|_| Gone)
    }

    /// Begins to follow a file, which is opened when there is something to read.
    fn begin(&mut self, planned: Planned) -> Result<(), Gone> {
        // One that is not there may come to be.
        let (Input::File(path), Some(inode)) = (planned.input.clone(), planned.inode) else { return Ok(()) };
        self.next += 1;
        self.known.insert(inode, self.next);
        let (given, head) = (planned.position.offset, planned.head);
        self.send(Event::Begin(self.next, planned))?;
        let followed =
            Followed { path, inode, head, source: None, plain: None, given, counted: 0, cut_at: None, gone: None };
        self.files.insert(self.next, followed);
        Ok(())
    }

    /// Closes files that have nothing to read where too many are open. What is written to one of them between then and
    /// its being renamed can be missed, so it is not done without need.
    fn close_some(&mut self) {
        let open = self.files.values().filter(|file| file.source.is_some()).count();
        let ended = self
            .files
            .values_mut()
            .filter(|file| file.source.is_some() && file.plain == Some(true) && file.gone.is_none());
        ended.take(open.saturating_sub(MOST_OPEN)).for_each(|file| file.source = None);
    }

    /// Reads what has come to be in a file, and says whether that was anything.
    fn advance(&mut self, id: u64) -> Result<bool, Gone> {
        let Some(file) = self.files.get_mut(&id) else { return Ok(false) };
        let mut chunk = self.pool.take();
        match file.advance(id, &mut chunk) {
            Found::Nothing => return Ok(false),
            Found::Some => {
                let read = file.source.as_ref().map_or(file.counted, Source::bytes_read);
                let event = Event::Bytes(id, Piece::new(chunk, read - file.counted));
                file.counted = read;
                self.send(event)?;
            }
            Found::End => {
                if let Some(file) = self.files.remove(&id) {
                    self.heads.push(file.head);
                    let forgotten = self.heads.len().saturating_sub(MOST_HEADS);
                    self.heads.drain(..forgotten);
                }
                self.send(Event::End(id, true))?;
            }
            Found::Cut(length) => {
                let Some(file) = self.files.remove(&id) else { return Ok(false) };
                let (name, given) = (file.path.display(), file.given);
                let text =
                    format!("{name}: was cut to {length} bytes after {given} were read; read from its beginning");
                self.send(Event::Warning(text))?;
                self.send(Event::End(id, true))?;
                self.begin(Planned::whole(Input::File(file.path)))?;
            }
            Found::Last(event) => {
                self.files.remove(&id);
                self.send(event)?;
            }
        }
        Ok(true)
    }

    /// Looks for files that are not followed yet, and sums up what has not been read.
    fn look(&mut self) -> Result<bool, Gone> {
        let inputs = Inputs::find(&self.arguments);
        let mut found = false;
        for input in inputs.list {
            let planned = Planned::whole(input);
            let Some(inode) = planned.inode else { continue };
            if let Some(id) = self.known.get(&inode) {
                self.rename(*id, &planned)?;
                continue;
            }
            found = true;
            let path = planned.input.path().unwrap_or(Path::new(""));
            let mut heads = self.heads.iter().chain(self.files.values().map(|file| &file.head));
            // Records of one caller can begin alike: what is not compressed is read.
            let is_compressed = || Source::open(path).is_ok_and(|source| !source.plain);
            if heads.any(|head| head.is_telling() && head.is_of(path)) && is_compressed() {
                self.known.insert(inode, 0);
                self.send(Event::Warning(format!("{}: is a copy of what was read before", path.display())))?;
            } else {
                self.begin(planned)?;
            }
        }
        let length = |file: &Followed| file.path.metadata().map_or(0, |metadata| metadata.len());
        // Of what is compressed it is only known whether it was read.
        let plain = self.files.values().filter(|file| file.plain == Some(true));
        let behind = plain.map(|file| length(file).saturating_sub(file.given)).sum();
        self.behind.store(behind, Ordering::Relaxed);
        Ok(found)
    }

    /// Follows a file on under another name.
    fn rename(&mut self, id: u64, planned: &Planned) -> Result<(), Gone> {
        let (Some(path), Some(file)) = (planned.input.path(), self.files.get_mut(&id)) else { return Ok(()) };
        if file.path == path || !file.lost_its_name() {
            return Ok(());
        }
        path.clone_into(&mut file.path);
        self.send(Event::Renamed(id, path.to_owned()))
    }
}

impl Followed {
    fn advance(&mut self, id: u64, chunk: &mut Chunk) -> Found {
        match self.open() {
            Ok(true) => {}
            Ok(false) if self.is_cut() => return Found::Cut(self.length().unwrap_or_default()),
            Ok(false) => return self.is_gone(),
            Err(error) => return Found::Last(Event::Failed(id, error)),
        }
        let Some(source) = &mut self.source else { return Found::Nothing };
        while !chunk.room().is_empty() {
            match source.read(chunk.room()) {
                Ok(0) => break,
                Ok(length) => chunk.fill(length),
                Err(_) if !chunk.as_ref().is_empty() => break,
                // Whoever writes it is not done.
                Err(error) if error.kind() == io::ErrorKind::UnexpectedEof => {
                    self.source = None;
                    self.cut_at = self.length();
                    return Found::Nothing;
                }
                Err(error) => return Found::Last(Event::Failed(id, error)),
            }
        }
        match chunk.as_ref() {
            [] if self.plain == Some(false) => Found::End,
            [] if self.is_cut() => Found::Cut(self.length().unwrap_or_default()),
            [] => self.is_gone(),
            bytes if self.given == 0 && is_digest(bytes) => Found::Last(Event::Skipped(id, "a CloudTrail digest file")),
            bytes => {
                self.head.add(self.given, bytes);
                self.given += bytes.len() as u64;
                self.gone = None;
                Found::Some
            }
        }
    }

    /// Opens it if there may be something to read, and says whether it is open.
    fn open(&mut self) -> io::Result<bool> {
        if self.source.is_some() {
            return Ok(true);
        }
        let length = self.length();
        let nothing_new = match self.plain {
            Some(true) => length <= Some(self.given),
            _ => self.cut_at.is_some() && self.cut_at == length,
        };
        // Too little to tell whether it is compressed: whoever writes it has just begun.
        let undecided = self.plain.is_none() && length < Some(LEAST_TELLING);
        if nothing_new || undecided || length.is_none() || self.lost_its_name() {
            return Ok(false);
        }
        match Source::open_at(&self.path, self.given) {
            Ok(source) => {
                (self.plain, self.counted, self.cut_at) = (Some(source.plain), 0, None);
                self.source = Some(source);
            }
            Err(error) if error.kind() == io::ErrorKind::UnexpectedEof => self.cut_at = length,
            Err(error) if error.kind() == io::ErrorKind::NotFound => {}
            Err(error) => return Err(error),
        }
        Ok(self.source.is_some())
    }

    fn is_cut(&self) -> bool {
        self.plain == Some(true) && self.length().is_some_and(|length| length < self.given) && !self.lost_its_name()
    }

    fn length(&self) -> Option<u64> {
        self.path.metadata().ok().map(|metadata| metadata.len())
    }

    fn lost_its_name(&self) -> bool {
        self.path.metadata().map_or(true, |metadata| Inode::from(&metadata) != self.inode)
    }

    /// Whether a file of which there is nothing more to read has lost its name long enough.
    fn is_gone(&mut self) -> Found {
        if !self.lost_its_name() {
            self.gone = None;
            return Found::Nothing;
        }
        if self.gone.get_or_insert_with(Instant::now).elapsed() < GRACE { Found::Nothing } else { Found::End }
    }
}
