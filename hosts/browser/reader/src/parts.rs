use std::collections::VecDeque;
use std::convert::Infallible;
use std::io::{self, Cursor, Read};
use std::path::Path;
use std::sync::Arc;

use bytes::Bytes;
use catena_framing::{
    Batch, Encoding, Framer, Kind, Lines, Position, is_cloudtrail_metadata, is_digest, is_record_file, may_be_marked,
};

use crate::archive::{self, Entry};
use crate::{Blob, Slice};

/// What comes next in a file.
#[derive(Debug)]
pub enum Event {
    /// An entry of an archive begins: its name.
    Entry(String),
    /// Whole records.
    Batch(Batch),
    /// A record was left out because it is too long: its line.
    TooLong(u64),
    /// The file or entry cannot be read, or not to its end.
    Failed(String),
    /// The file or entry holds no records.
    Skipped(&'static str),
    /// Nothing follows.
    End,
}

/// Decompressed bytes per batch: a batch must be a small part of the memory of a page, and large enough that calls cost nothing.
const CHUNK: usize = 4 << 20;

/// A file, or the entries of an archive, as a sequence of events.
pub struct Parts {
    file: Slice,
    path: String,
    is_found: bool,
    longest: usize,
    /// Entries of an archive to come.
    entries: VecDeque<Entry>,
    open: Option<Open>,
    events: VecDeque<Event>,
    is_begun: bool,
}

/// A file or entry that is being read.
struct Open {
    reader: Box<dyn Read + Send>,
    framer: Framer,
    is_first: bool,
}

impl Parts {
    /// Reads a file with this path. Records have at most `longest` bytes. A file that was found in a folder is skipped unless
    /// it is named like a file of records, as entries of an archive are.
    pub fn new(file: Arc<dyn Blob>, path: &str, is_found: bool, longest: usize) -> Self {
        Self {
            file: Slice::whole(file),
            path: path.to_owned(),
            is_found,
            longest,
            entries: VecDeque::new(),
            open: None,
            events: VecDeque::new(),
            is_begun: false,
        }
    }

    /// The offset in the file up to which it was read.
    pub fn offset(&self) -> u64 {
        self.file.furthest()
    }

    /// What comes next. Reads about 4 MiB.
    pub fn next_event(&mut self) -> Event {
        loop {
            if let Some(event) = self.events.pop_front() {
                return event;
            }
            if let Some(open) = self.open.take() {
                self.open = self.advance(open);
            } else if let Some(entry) = self.entries.pop_front() {
                self.begin_entry(entry);
            } else if !std::mem::replace(&mut self.is_begun, true) {
                if let Err(error) = self.begin() {
                    self.events.push_back(Event::Failed(error.to_string()));
                }
            } else {
                return Event::End;
            }
        }
    }

    fn begin(&mut self) -> io::Result<()> {
        let mut beginning = Vec::new();
        self.file.clone().uncounted().take(4).read_to_end(&mut beginning)?;
        if archive::MARKS.contains(&&*beginning) {
            self.entries = archive::entries(&self.file)?;
            return Ok(());
        }
        match no_records(Path::new(&self.path), self.is_found) {
            Some(what) => self.events.push_back(Event::Skipped(what)),
            None => self.open = Some(Open::new(self.file.clone(), self.longest)?),
        }
        Ok(())
    }

    fn begin_entry(&mut self, entry: Entry) {
        self.events.push_back(Event::Entry(entry.name.clone()));
        if let Some(what) = no_records(Path::new(&entry.name), true) {
            self.events.push_back(Event::Skipped(what));
            return;
        }
        match entry.open().and_then(|reader| Open::new(reader, self.longest)) {
            Ok(open) => self.open = Some(open),
            Err(error) => self.events.push_back(Event::Failed(error.to_string())),
        }
    }

    /// Reads on, and returns what is open afterwards.
    fn advance(&mut self, mut open: Open) -> Option<Open> {
        let mut chunk = Vec::with_capacity(CHUNK);
        let read = open.reader.by_ref().take(CHUNK as u64).read_to_end(&mut chunk);
        if std::mem::take(&mut open.is_first) && is_digest(&chunk) {
            self.events.push_back(Event::Skipped("a CloudTrail digest file"));
            return None;
        }
        let is_end = chunk.len() < CHUNK;
        let events = &mut self.events;
        let give = |batch: Batch| {
            events.extend(event(batch));
            Ok::<(), Infallible>(())
        };
        let (lines, chunk) = (Lines::of(&chunk), Bytes::from(chunk));
        let Ok(()) = open.framer.push(chunk, lines, give);
        if is_end {
            let Ok(()) = open.framer.finish(|batch| {
                events.extend(event(batch));
                Ok::<(), Infallible>(())
            });
        }
        // What was read before the error must not be lost.
        if let Err(error) = &read {
            events.push_back(Event::Failed(error.to_string()));
        }
        (!is_end && read.is_ok()).then_some(open)
    }
}

/// Why a file has no records, by its name.
fn no_records(path: &Path, is_found: bool) -> Option<&'static str> {
    let name = path.file_name().unwrap_or_default().to_string_lossy();
    match is_found && !is_record_file(&name) {
        true => Some("not named like a file of records"),
        false => is_cloudtrail_metadata(path).then_some("a CloudTrail digest or insight file"),
    }
}

/// A batch as an event; nothing for a later part of a record that is too long.
fn event(batch: Batch) -> Option<Event> {
    match batch.kind {
        Kind::Records => Some(Event::Batch(batch)),
        Kind::TooLong { first } => first.then_some(Event::TooLong(batch.line)),
    }
}

impl Open {
    fn new(mut reader: impl Read + Send + 'static, longest: usize) -> io::Result<Self> {
        let mut beginning = Vec::new();
        while may_be_marked(&beginning) && reader.by_ref().take(1).read_to_end(&mut beginning)? > 0 {}
        let encoding = Encoding::of(&beginning);
        let reader = encoding.decode(Cursor::new(beginning).chain(reader))?;
        Ok(Self { reader, framer: Framer::new(Position::default(), longest), is_first: true })
    }
}
