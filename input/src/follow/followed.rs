//! One file that is followed: whether there is more of it, and whether it is still the same one.

use std::io::{self, Read};
use std::path::PathBuf;
use std::time::Duration;

use crate::chunk::Chunk;
use crate::framing::Position;
use crate::identity::{Fingerprint, beginning};
use crate::source::Source;
use crate::world::{Inode, Metadata, Stamp, World};
use crate::{Piece, is_digest};

/// How long a file that has lost its name is still read: whoever writes it may not have noticed.
const GRACE: Duration = Duration::from_secs(5);

/// The length of the longest mark of a compressed file.
const MIN_TELLING: u64 = 4;

/// How often closed files are looked at.
const SELDOM: Duration = Duration::from_millis(500);

/// How long a file that cannot be read is left alone at first, and at most.
const BACK_OFF: [Duration; 2] = [Duration::from_secs(1), Duration::from_secs(60)];

/// A compressed file that is not whole is read from its beginning each time: so many times as long as that took is waited.
const REST: u32 = 10;

/// A file that is followed.
pub struct Followed {
    world: World,
    pub path: PathBuf,
    pub inode: Inode,
    pub fingerprint: Fingerprint,
    /// How far it has been given out.
    pub position: Position,
    /// Where it is read, if it is open.
    source: Option<Source>,
    /// Whether it is not compressed, and so may grow; known once it has been opened.
    plain: Option<bool>,
    counted: u64,
    /// Whether all that there was has been read: what comes then may be another content.
    at_end: bool,
    /// What a file that is not compressed was then.
    stamp: Option<Stamp>,
    /// The length at which a compressed file was not whole.
    cut_at: Option<u64>,
    /// When it was opened.
    opened: Duration,
    /// When it was last looked at.
    asked: Duration,
    /// Until when it is left alone.
    rests: Option<Duration>,
    /// How long it is left alone because it cannot be read.
    trouble: Option<Duration>,
    /// Since when another file has its name, or none has.
    gone: Option<Duration>,
}

/// What there was to read.
pub enum Advance {
    /// So many bytes were read, before decompression.
    Some { read: u64 },
    /// Nothing, for now.
    Nothing,
    /// There will be no more.
    End(Stamp),
    /// What was read is not in it any more: what happened.
    Emptied(String),
    /// It is no input: why.
    Skipped(&'static str),
    /// It cannot be read, and will be tried again. Given once.
    Trouble(io::Error),
}

impl Followed {
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
            counted: 0,
            at_end: true,
            stamp: None,
            cut_at: None,
            opened: now,
            asked: now,
            rests: None,
            trouble: None,
            gone: None,
        }
    }

    pub fn is_open(&self) -> bool {
        self.source.is_some()
    }

    /// Whether it is open and may as well be closed until there is more of it.
    pub fn is_idle(&self) -> bool {
        self.is_open() && self.plain == Some(true) && self.at_end && self.gone.is_none()
    }

    pub fn close(&mut self) {
        self.source = None;
    }

    /// How many bytes there are that have not been read. Of what is compressed it is only known whether it was read.
    pub fn backlog(&self) -> u64 {
        match self.plain {
            Some(true) => self.length().map_or(0, |length| length.saturating_sub(self.position.offset)),
            _ => 0,
        }
    }

    pub fn lost_its_name(&self) -> bool {
        self.world.files.inode(&self.path) != Some(self.inode)
    }

    fn metadata(&self) -> Option<Metadata> {
        self.world.files.metadata(&self.path).ok()
    }

    fn since(&self, then: Duration) -> Duration {
        self.world.clock.now().saturating_sub(then)
    }

    /// The length of the file that has its name.
    fn length(&self) -> Option<u64> {
        self.metadata().map(|metadata| metadata.stamp.size)
    }

    /// Counts what has been read as given out.
    pub fn count(&mut self, piece: &Piece) {
        self.fingerprint.add(self.position.offset, &piece.bytes, piece.checksum.unwrap_or_default());
        self.position = self.position.after(piece.bytes.len(), piece.lines.line_feeds);
    }

    /// Reads what there is into `chunk`.
    pub fn advance(&mut self, chunk: &mut Chunk) -> Advance {
        // There may be thousands that are closed because nothing comes.
        if self.source.is_none() && self.plain == Some(true) && self.since(self.asked) < SELDOM {
            return Advance::Nothing;
        }
        self.asked = self.world.clock.now();
        let found = match self.open() {
            Ok(None) => self.read(chunk),
            Ok(Some(found)) => Ok(found),
            Err(error) => Err(error),
        };
        match found {
            Ok(found) => found,
            // Whoever writes it is not done.
            Err(error) if error.kind() == io::ErrorKind::UnexpectedEof && self.plain != Some(true) => {
                self.cut_at = self.source.take().map(|source| source.bytes_read()).or(self.cut_at);
                self.rests = Some(self.world.clock.now() + self.since(self.opened) * REST);
                self.nothing()
            }
            Err(error) => {
                self.source = None;
                let [first, most] = BACK_OFF;
                let known = self.trouble.replace(self.trouble.map_or(first, |pause| (pause * 2).min(most)));
                self.rests = self.trouble.map(|pause| self.world.clock.now() + pause);
                if known.is_some() { Advance::Nothing } else { Advance::Trouble(error) }
            }
        }
    }

    /// Opens it if there may be something to read; else says what there is.
    fn open(&mut self) -> io::Result<Option<Advance>> {
        if self.source.is_some() {
            return Ok(None);
        }
        if self.rests.is_some_and(|until| until > self.world.clock.now()) || self.lost_its_name() {
            return Ok(Some(self.nothing()));
        }
        let metadata = self.metadata();
        let length = metadata.map(|metadata| metadata.stamp.size);
        let nothing_new = match self.plain {
            Some(true) => length < Some(self.position.offset) || self.stamp == metadata.map(|metadata| metadata.stamp),
            _ => self.cut_at.is_some() && self.cut_at == length,
        };
        // Too little to tell whether it is compressed: whoever writes it has just begun.
        let undecided = self.plain.is_none() && length < Some(MIN_TELLING);
        if nothing_new || undecided {
            return Ok(Some(self.nothing()));
        }
        self.opened = self.world.clock.now();
        match Source::open_at(&*self.world.files, &self.path, self.position.offset) {
            Ok(source) => {
                (self.plain, self.counted, self.at_end) = (Some(source.plain), 0, true);
                self.source = Some(source);
                Ok(None)
            }
            Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(Some(self.nothing())),
            Err(error) => {
                if error.kind() == io::ErrorKind::UnexpectedEof {
                    self.cut_at = length;
                    if !self.fingerprint.begins(&beginning(&*self.world.files, &self.path)?) {
                        return Ok(Some(self.written_anew()));
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
                return Ok(self.cut(length));
            }
            let stamp = Some(metadata.stamp);
            let is_same = length == read && self.stamp == stamp;
            if !is_same && std::mem::take(&mut self.at_end) && !self.fingerprint.begins(&source.beginning()?) {
                return Ok(self.written_anew());
            }
            if length == read {
                (self.at_end, self.stamp) = (true, stamp);
                return Ok(self.nothing());
            }
        } else if std::mem::take(&mut self.at_end)
            && !self.fingerprint.begins(&beginning(&*self.world.files, &self.path)?)
        {
            return Ok(self.written_anew());
        }
        while !chunk.room().is_empty() {
            match source.read(chunk.room()) {
                Ok(0) => break,
                Ok(length) => chunk.fill(length),
                // It comes again.
                Err(_) if !chunk.as_ref().is_empty() => break,
                Err(error) => return Err(error),
            }
        }
        let read = source.bytes_read() - self.counted;
        self.counted += read;
        match chunk.as_ref() {
            [] if !source.plain => Ok(Advance::End(source.stamp())),
            [] => Ok(self.nothing()),
            bytes if self.position.offset == 0 && is_digest(bytes) => Ok(Advance::Skipped("a CloudTrail digest file")),
            _ => {
                (self.gone, self.trouble, self.cut_at) = (None, None, None);
                Ok(Advance::Some { read })
            }
        }
    }

    /// Whether it was cut, or has lost its name long enough, where there is nothing more to read.
    fn nothing(&mut self) -> Advance {
        let metadata = self.metadata().filter(|metadata| metadata.inode == self.inode);
        match metadata {
            Some(metadata) if self.plain == Some(true) && metadata.stamp.size < self.position.offset => {
                self.cut(metadata.stamp.size)
            }
            Some(_) => {
                self.gone = None;
                Advance::Nothing
            }
            None if self.gone_for() < GRACE => Advance::Nothing,
            None => Advance::End(Stamp::default()),
        }
    }

    /// How long another file, or none, has had its name.
    fn gone_for(&mut self) -> Duration {
        let now = self.world.clock.now();
        now.saturating_sub(*self.gone.get_or_insert(now))
    }

    fn written_anew(&self) -> Advance {
        let (name, read) = (self.path.display(), self.position.offset);
        Advance::Emptied(format!("{name}: was written anew after {read} bytes were read; read from its beginning"))
    }

    fn cut(&self, length: u64) -> Advance {
        let (name, read) = (self.path.display(), self.position.offset);
        Advance::Emptied(format!("{name}: was cut to {length} bytes after {read} were read; read from its beginning"))
    }
}
