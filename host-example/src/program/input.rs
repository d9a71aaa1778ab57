//! Inputs: files, folders and the standard input, read and decompressed on a thread of their own.

use std::cell::Cell;
use std::fs::File;
use std::io::{self, BufReader, Read};
use std::path::{Path, PathBuf};
use std::rc::Rc;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::mpsc::{Receiver, SyncSender, sync_channel};
use std::thread;

use flate2::bufread::MultiGzDecoder;
use walkdir::WalkDir;

/// How many chunks are read ahead: what is read waits for what is processed.
const READ_AHEAD: usize = 4;

/// File names in folders that are taken for audit records.
const ENDINGS: &[&str] = &[".json", ".jsonl", ".ndjson", ".log", ".gz"];

/// One input, as named by the user or found in a folder.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Input {
    /// The standard input.
    Standard,
    /// A file.
    File(PathBuf),
}

/// What the reading thread has to say, input by input.
#[derive(Debug)]
pub enum Event {
    /// The next input begins.
    Begin(Input),
    /// Some bytes of it, decompressed, and how many bytes were read to get them.
    Bytes(Vec<u8>, u64),
    /// It has ended.
    End,
    /// It is no input for a correlation: why.
    Skipped(&'static str),
    /// It could not be read, or not to its end.
    Failed(io::Error),
}

impl Input {
    /// The name for messages.
    pub fn name(&self) -> String {
        match self {
            Self::Standard => "standard input".to_owned(),
            Self::File(path) => path.display().to_string(),
        }
    }
}

/// What the arguments stand for.
pub struct Inputs {
    /// The inputs, folders replaced by the files in them, in the order of their names.
    pub list: Vec<Input>,
    /// How many files in folders are none.
    pub skipped: u64,
    /// What could not be looked at.
    pub failed: Vec<(String, io::Error)>,
    /// The bytes of all files, as far as they are known.
    pub bytes: u64,
}

impl Inputs {
    /// Finds the files that the arguments stand for; without any, the standard input.
    pub fn find(arguments: &[PathBuf]) -> Self {
        let mut inputs = Self { list: Vec::new(), skipped: 0, failed: Vec::new(), bytes: 0 };
        if arguments.is_empty() {
            inputs.list.push(Input::Standard);
        }
        for argument in arguments {
            if argument.as_os_str() == "-" {
                inputs.list.push(Input::Standard);
            } else if argument.is_dir() {
                inputs.folder(argument);
            } else {
                inputs.file(argument.clone());
            }
        }
        inputs
    }

    fn file(&mut self, path: PathBuf) {
        self.bytes += path.metadata().map_or(0, |metadata| metadata.len());
        self.list.push(Input::File(path));
    }

    fn folder(&mut self, folder: &Path) {
        for entry in WalkDir::new(folder).follow_links(true).sort_by_file_name() {
            match entry {
                Ok(entry) if entry.file_type().is_file() => {
                    let name = entry.file_name().to_string_lossy();
                    let hidden = name.starts_with('.');
                    if !hidden
                        && ENDINGS.iter().any(|ending| name.ends_with(ending))
                        && !is_no_record_file(entry.path())
                    {
                        self.file(entry.into_path());
                    } else {
                        self.skipped += 1;
                    }
                }
                Ok(_) => {}
                Err(error) => {
                    let name = error.path().unwrap_or(folder).display().to_string();
                    self.failed.push((name, error.into()));
                }
            }
        }
    }
}

/// Whether a file's name or folder says that it is one of CloudTrail's own: a digest, which proves the integrity of the
/// others, or an insight, which is no audit record.
fn is_no_record_file(path: &Path) -> bool {
    path.components().any(|part| {
        let part = part.as_os_str().to_string_lossy();
        part.contains("CloudTrail-Digest") || part.contains("CloudTrail-Insight")
    })
}

/// Whether a file's content is a digest's, whatever its name.
fn is_digest(beginning: &[u8]) -> bool {
    let beginning = &beginning[..beginning.len().min(4096)];
    beginning.trim_ascii_start().starts_with(b"{") && memchr::memmem::find(beginning, b"\"digestStartTime\"").is_some()
}

/// Reads the inputs one after the other, in chunks of `chunk` bytes, until `stop` is set.
pub fn read(inputs: Vec<Input>, chunk: usize, stop: Arc<AtomicBool>) -> Receiver<Event> {
    let (events, receiver) = sync_channel(READ_AHEAD);
    thread::spawn(move || {
        let reader = Reader { chunk, events, stop };
        for input in inputs {
            let last = match reader.read(&input) {
                Ok(Some(reason)) => Event::Skipped(reason),
                Ok(None) => Event::End,
                Err(error) => Event::Failed(error),
            };
            if reader.stopped() || reader.events.send(last).is_err() {
                return;
            }
        }
    });
    receiver
}

/// Counts what is read through it, where its owner can see it.
struct Counted<R> {
    inner: R,
    count: Rc<Cell<u64>>,
}

impl<R: Read> Read for Counted<R> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let read = self.inner.read(buffer)?;
        self.count.set(self.count.get() + read as u64);
        Ok(read)
    }
}

struct Reader {
    chunk: usize,
    events: SyncSender<Event>,
    stop: Arc<AtomicBool>,
}

impl Reader {
    fn stopped(&self) -> bool {
        self.stop.load(Ordering::Relaxed)
    }

    /// Reads one input. Gives the reason where it is none.
    fn read(&self, input: &Input) -> io::Result<Option<&'static str>> {
        if self.events.send(Event::Begin(input.clone())).is_err() {
            return Ok(None);
        }
        match input {
            Input::Standard => self.decompress(io::stdin(), false),
            Input::File(path) if is_no_record_file(path) => Ok(Some("a CloudTrail digest or insight file")),
            Input::File(path) => self.decompress(File::open(path)?, true),
        }
    }

    /// `fill`: whether a chunk may wait for more of itself, as a file's may and a pipe's must not.
    fn decompress(&self, source: impl Read, fill: bool) -> io::Result<Option<&'static str>> {
        let count = Rc::new(Cell::new(0));
        let mut source = Counted { inner: source, count: Rc::clone(&count) };
        // Two bytes tell whether it is compressed; a pipe may give them one at a time.
        let mut beginning = vec![0; self.chunk.max(2)];
        let mut length = 0;
        while length < 2 {
            match read_some(&mut source, &mut beginning[length..])? {
                0 => break,
                read => length += read,
            }
        }
        beginning.truncate(length);
        if beginning.starts_with(b"\x1F\x8B") {
            let compressed = BufReader::with_capacity(64 << 10, io::Cursor::new(beginning).chain(source));
            self.send_all(MultiGzDecoder::new(compressed), Vec::new(), &count, fill)
        } else {
            self.send_all(source, beginning, &count, fill)
        }
    }

    fn send_all(
        &self,
        mut source: impl Read,
        beginning: Vec<u8>,
        count: &Cell<u64>,
        fill: bool,
    ) -> io::Result<Option<&'static str>> {
        let mut next = beginning;
        let mut counted = 0;
        let mut first = true;
        let mut end = Ok(());
        loop {
            if next.is_empty() {
                next = vec![0; self.chunk];
                let mut length = 0;
                while length < next.len() && end.is_ok() {
                    match read_some(&mut source, &mut next[length..]) {
                        Ok(0) => break,
                        Ok(more) => length += more,
                        // What was read before the error is not lost with it.
                        Err(error) => end = Err(error),
                    }
                    if !fill {
                        break;
                    }
                }
                next.truncate(length);
            }
            if next.is_empty() {
                return end.map(|()| None);
            }
            if std::mem::take(&mut first) && is_digest(&next) {
                return Ok(Some("a CloudTrail digest file"));
            }
            let total = count.get();
            let bytes = Event::Bytes(std::mem::take(&mut next), total - counted);
            counted = total;
            if self.events.send(bytes).is_err() || self.stopped() {
                return Ok(None);
            }
        }
    }
}

fn read_some(source: &mut impl Read, buffer: &mut [u8]) -> io::Result<usize> {
    loop {
        match source.read(buffer) {
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            read => return read,
        }
    }
}
