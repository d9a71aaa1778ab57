//! One followed file: is there more to read, and is it still the same file?

use std::io::{self, Read};
use std::path::PathBuf;
use std::time::Duration;

use crate::Piece;
use crate::chunk::Chunk;
use crate::framing::Position;
use crate::framing::is_digest;
use crate::identity::{Fingerprint, beginning};
use crate::resume::truncated;
use crate::source::Source;
use crate::world::{Inode, Metadata, Stamp, World};

/// Grace period: how long a file that has lost its name is still read. Its writer may not have noticed the rotation.
const GRACE: Duration = Duration::from_secs(5);

/// Length of the longest magic number of a compressed file, in bytes.
const MIN_MAGIC: u64 = 4;

/// Interval between checks of a closed file.
const CLOSED_POLL: Duration = Duration::from_millis(500);

/// How long a compressed file may be incomplete, because its writer has not finished yet.
const INCOMPLETE: Duration = Duration::from_secs(60);

/// Shortest and longest wait after a read error.
const BACK_OFF: [Duration; 2] = [Duration::from_secs(1), Duration::from_secs(60)];

/// An incomplete compressed file is read again from its start. Wait this many times as long as the last attempt took.
const RETRY_FACTOR: u32 = 10;

/// A followed file.
pub struct Followed {
    world: World,
    /// Its current name.
    pub path: PathBuf,
    /// Its inode.
    pub inode: Inode,
    /// Checksums of what was read.
    pub fingerprint: Fingerprint,
    /// Position after the last byte that was emitted.
    pub position: Position,
    /// The open file, if it is open.
    source: Option<Source>,
    /// True if the file is uncompressed, so it may grow. `None` until it is first opened.
    plain: Option<bool>,
    /// Bytes of `source` that have been reported as read, before decompression.
    reported: u64,
    /// True if everything available has been read. Check the head before reading on: the content may have been
    /// replaced.
    at_end: bool,
    /// Stamp of an uncompressed file when it was last read to its end.
    stamp: Option<Stamp>,
    /// Size at which a compressed file was found incomplete, in bytes.
    incomplete_at: Option<u64>,
    /// When it was last opened.
    opened: Duration,
    /// When it was last checked.
    checked: Duration,
    /// When to try again; until then, it is not opened.
    retry_at: Option<Duration>,
    /// Current wait after a read error; `None` if the last read succeeded.
    back_off: Option<Duration>,
    /// Why the last read failed; `None` if it succeeded.
    problem: Option<String>,
    /// Since when its name has been missing or has belonged to another file.
    nameless_since: Option<Duration>,
}

/// Outcome of an attempt to read.
pub enum Advance {
    /// `read` bytes were read, before decompression.
    Some { read: u64 },
    /// Nothing to read for now.
    Nothing,
    /// The file has ended, with this stamp.
    End(Stamp),
    /// The content that was read is gone. The text is a warning that says what happened.
    Replaced(String),
    /// The file is not an input, for this reason.
    Skipped(&'static str),
    /// Reading failed and will be retried. Reported only for the first of consecutive failures.
    Trouble(String),
}

impl Followed {
    /// Creates a followed file that has been read up to `position` and is not open yet.
    pub fn new(world: World, path: PathBuf, inode: Inode, fingerprint: Fingerprint, position: Position) -> Self {
        let now = world.clock.now();
        Self {
            world,
            path,
            inode,
            fingerprint,
            position,
            source: None,
            plain: None,
            reported: 0,
            at_end: true,
            stamp: None,
            incomplete_at: None,
            opened: now,
            checked: now,
            retry_at: None,
            back_off: None,
            problem: None,
            nameless_since: None,
        }
    }

    /// Why it cannot be read at the moment.
    pub fn problem(&self) -> Option<String> {
        let is_incomplete = || self.incomplete_at.is_some() && self.since(self.opened) >= INCOMPLETE;
        self.problem.clone().or_else(|| is_incomplete().then(|| "its compressed data end early".to_owned()))
    }

    /// True if the file is open.
    pub fn is_open(&self) -> bool {
        self.source.is_some()
    }

    /// True if the file can be closed until it grows.
    pub fn is_idle(&self) -> bool {
        self.is_open() && self.plain == Some(true) && self.at_end && self.nameless_since.is_none()
    }

    /// Closes the file until there is more to read.
    pub fn close(&mut self) {
        self.source = None;
    }

    /// Unread bytes. Zero for a compressed file, whose decompressed size is unknown.
    pub fn backlog(&self) -> u64 {
        match self.plain {
            Some(true) => self.length().map_or(0, |length| length.saturating_sub(self.position.offset)),
            _ => 0,
        }
    }

    /// True if its name is missing or belongs to another file.
    pub fn lost_its_name(&self) -> bool {
        self.world.files.inode(&self.path) != Some(self.inode)
    }

    fn metadata(&self) -> Option<Metadata> {
        self.world.files.metadata(&self.path).ok()
    }

    fn since(&self, then: Duration) -> Duration {
        self.world.clock.now().saturating_sub(then)
    }

    /// Size of the file that has this name now, in bytes.
    fn length(&self) -> Option<u64> {
        self.metadata().map(|metadata| metadata.stamp.size)
    }

    /// Advances the fingerprint and the position past `piece`.
    pub fn count(&mut self, piece: &Piece) {
        self.fingerprint.add(self.position.offset, &piece.bytes, piece.checksum.unwrap_or_default());
        self.position = self.position.after(piece.bytes.len(), piece.lines.line_feeds);
    }

    /// Reads available bytes into `chunk`.
    pub fn advance(&mut self, chunk: &mut Chunk) -> Advance {
        // Thousands of files may be closed because they do not grow: check them less often.
        if self.source.is_none() && self.plain == Some(true) && self.since(self.checked) < CLOSED_POLL {
            return Advance::Nothing;
        }
        self.checked = self.world.clock.now();
        let found = match self.open() {
            Ok(None) => self.read(chunk),
            Ok(Some(found)) => Ok(found),
            Err(error) => Err(error),
        };
        match found {
            Ok(found) => found,
            // The writer has not finished yet.
            Err(error) if error.kind() == io::ErrorKind::UnexpectedEof && self.plain != Some(true) => {
                self.incomplete_at = self.source.take().map(|source| source.bytes_read()).or(self.incomplete_at);
                self.retry_at = Some(self.world.clock.now() + self.since(self.opened) * RETRY_FACTOR);
                self.nothing()
            }
            Err(error) => {
                self.source = None;
                let [first, most] = BACK_OFF;
                let known = self.back_off.replace(self.back_off.map_or(first, |pause| (pause * 2).min(most)));
                self.retry_at = self.back_off.map(|pause| self.world.clock.now() + pause);
                let error = error.to_string();
                self.problem = Some(error.clone());
                if known.is_some() { Advance::Nothing } else { Advance::Trouble(error) }
            }
        }
    }

    /// Opens the file if there may be something to read; otherwise returns the outcome to report.
    fn open(&mut self) -> io::Result<Option<Advance>> {
        if self.source.is_some() {
            return Ok(None);
        }
        if self.retry_at.is_some_and(|until| until > self.world.clock.now()) || self.lost_its_name() {
            return Ok(Some(self.nothing()));
        }
        let metadata = self.metadata();
        let length = metadata.map(|metadata| metadata.stamp.size);
        let nothing_new = match self.plain {
            Some(true) => length < Some(self.position.offset) || self.stamp == metadata.map(|metadata| metadata.stamp),
            _ => self.incomplete_at.is_some() && self.incomplete_at == length,
        };
        // Too short to detect compression: its writer has just started.
        let undecided = self.plain.is_none() && length < Some(MIN_MAGIC);
        if nothing_new || undecided {
            return Ok(Some(self.nothing()));
        }
        self.opened = self.world.clock.now();
        match Source::open_at(&*self.world.files, &self.path, self.position.offset) {
            Ok(source) => {
                (self.plain, self.reported, self.at_end) = (Some(source.plain), 0, true);
                self.source = Some(source);
                Ok(None)
            }
            Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(Some(self.nothing())),
            Err(error) => {
                if error.kind() == io::ErrorKind::UnexpectedEof {
                    self.incomplete_at = length;
                    if !self.fingerprint.may_match_head(&beginning(&*self.world.files, &self.path)?) {
                        return Ok(Some(self.rewritten()));
                    }
                }
                Err(error)
            }
        }
    }

    fn read(&mut self, chunk: &mut Chunk) -> io::Result<Advance> {
        let Some(source) = &mut self.source else { return Ok(Advance::Nothing) };
        if let Some(file) = &source.file {
            let metadata = file.metadata()?;
            let (length, read) = (metadata.stamp.size, self.position.offset);
            if length < read {
                return Ok(self.truncated(length));
            }
            let stamp = Some(metadata.stamp);
            let is_same = length == read && self.stamp == stamp;
            if !is_same && std::mem::take(&mut self.at_end) && !self.fingerprint.may_match_head(&source.beginning()?) {
                return Ok(self.rewritten());
            }
            if length == read {
                (self.at_end, self.stamp) = (true, stamp);
                return Ok(self.nothing());
            }
        } else if std::mem::take(&mut self.at_end)
            && !self.fingerprint.may_match_head(&beginning(&*self.world.files, &self.path)?)
        {
            return Ok(self.rewritten());
        }
        while !chunk.room().is_empty() {
            match source.read(chunk.room()) {
                Ok(0) => break,
                Ok(length) => chunk.fill(length),
                // The next read returns the error again.
                Err(_) if !chunk.as_ref().is_empty() => break,
                Err(error) => return Err(error),
            }
        }
        let read = source.bytes_read() - self.reported;
        self.reported += read;
        match chunk.as_ref() {
            [] if !source.plain => Ok(Advance::End(source.stamp())),
            [] => Ok(self.nothing()),
            bytes if self.position.offset == 0 && is_digest(bytes) => Ok(Advance::Skipped("a CloudTrail digest file")),
            _ => {
                (self.nameless_since, self.back_off, self.incomplete_at) = (None, None, None);
                self.problem = None;
                Ok(Advance::Some { read })
            }
        }
    }

    /// The outcome if there is nothing to read: the file was truncated, its grace period is over, or nothing has
    /// happened.
    fn nothing(&mut self) -> Advance {
        let metadata = self.metadata().filter(|metadata| metadata.inode == self.inode);
        match metadata {
            Some(metadata) if self.plain == Some(true) && metadata.stamp.size < self.position.offset => {
                self.truncated(metadata.stamp.size)
            }
            Some(_) => {
                self.nameless_since = None;
                Advance::Nothing
            }
            None if self.gone_for() < GRACE => Advance::Nothing,
            None => Advance::End(Stamp::default()),
        }
    }

    /// How long its name has been missing or has belonged to another file.
    fn gone_for(&mut self) -> Duration {
        let now = self.world.clock.now();
        now.saturating_sub(*self.nameless_since.get_or_insert(now))
    }

    fn rewritten(&self) -> Advance {
        let (name, read) = (self.path.display(), self.position.offset);
        Advance::Replaced(format!("{name}: was rewritten after {read} bytes had been read; reading it from the start"))
    }

    fn truncated(&self, length: u64) -> Advance {
        Advance::Replaced(truncated(&self.path, length, self.position.offset))
    }
}
