//! Following files and folders as they grow: new files, rotated ones, and those that were cut.
//!
//! Files are asked for their length some times a second. That works everywhere, on network file systems too.

use std::collections::{HashMap, HashSet};
use std::fs::File;
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
    let known = done.iter().map(|saved| saved.inode).collect();
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
    /// The files that are, or have been, followed.
    known: HashSet<Inode>,
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
    source: Source,
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
            if looked.elapsed() >= LOOK || !found {
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

    fn begin(&mut self, planned: Planned) -> Result<(), Gone> {
        let Input::File(path) = planned.input.clone() else { return Ok(()) };
        let opened = File::open(&path)
            .and_then(|file| file.metadata())
            .and_then(|metadata| Ok((Inode::from(&metadata), Source::open_at(&path, planned.position.offset)?)));
        let (inode, source) = match opened {
            Ok(opened) => opened,
            // It may come to be.
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(()),
            Err(error) => {
                self.next += 1;
                self.known.extend(planned.inode);
                self.send(Event::Begin(self.next, planned))?;
                return self.send(Event::Failed(self.next, error));
            }
        };
        self.next += 1;
        self.known.insert(inode);
        let given = planned.position.offset;
        let head = planned.head;
        self.send(Event::Begin(self.next, Planned { inode: Some(inode), ..planned }))?;
        let followed = Followed { path, inode, head, source, given, counted: 0, cut_at: None, gone: None };
        self.files.insert(self.next, followed);
        Ok(())
    }

    /// Reads what has come to be in a file, and says whether that was anything.
    fn advance(&mut self, id: u64) -> Result<bool, Gone> {
        let Some(file) = self.files.get_mut(&id) else { return Ok(false) };
        let mut chunk = self.pool.take();
        match file.advance(id, &mut chunk) {
            Found::Nothing => return Ok(false),
            Found::Some => {
                let read = file.source.bytes_read();
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
            let Some(inode) = planned.inode.filter(|inode| !self.known.contains(inode)) else { continue };
            found = true;
            let path = planned.input.path().unwrap_or(Path::new(""));
            let mut heads = self.heads.iter().chain(self.files.values().map(|file| &file.head));
            if heads.any(|head| head.is_telling() && head.is_of(path)) {
                self.known.insert(inode);
                self.send(Event::Warning(format!("{}: is a copy of what was read before", path.display())))?;
            } else {
                self.begin(planned)?;
            }
        }
        let length = |file: &Followed| file.path.metadata().map_or(0, |metadata| metadata.len());
        // Of what is compressed it is only known whether it was read.
        let plain = self.files.values().filter(|file| file.source.plain);
        let behind = plain.map(|file| length(file).saturating_sub(file.given)).sum();
        self.behind.store(behind, Ordering::Relaxed);
        Ok(found)
    }
}

impl Followed {
    fn advance(&mut self, id: u64, chunk: &mut Chunk) -> Found {
        if let Some(length) = self.cut_at {
            if self.length() == Some(length) {
                return self.is_gone();
            }
            match Source::open_at(&self.path, self.given) {
                Ok(source) => (self.source, self.counted, self.cut_at) = (source, 0, None),
                Err(_) => self.cut_at = self.length(),
            }
        }
        let first = self.given == 0;
        while !chunk.room().is_empty() {
            match self.source.read(chunk.room()) {
                Ok(0) => break,
                Ok(length) => chunk.fill(length),
                Err(_) if !chunk.as_ref().is_empty() => break,
                // Whoever writes it is not done.
                Err(error) if error.kind() == io::ErrorKind::UnexpectedEof => {
                    self.cut_at = self.length();
                    return Found::Nothing;
                }
                Err(error) => return Found::Last(Event::Failed(id, error)),
            }
        }
        match chunk.as_ref() {
            [] if !self.source.plain => Found::End,
            [] => match self.length() {
                Some(length) if length < self.given && !self.lost_its_name() => Found::Cut(length),
                _ => self.is_gone(),
            },
            bytes if first && is_digest(bytes) => Found::Last(Event::Skipped(id, "a CloudTrail digest file")),
            bytes => {
                self.given += bytes.len() as u64;
                self.head.add(bytes);
                self.gone = None;
                Found::Some
            }
        }
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
