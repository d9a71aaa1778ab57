//! Ingest: records from files or a pipe into blocks.

use std::fs::{self, File};
use std::io::{self, Cursor, Read as _};
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, Ordering};

use bytes::{Bytes, BytesMut};
use catena_framing::{Encoding, Framer, Kind, Lines, Position, may_be_marked};
use tracing::{info, warn};

use crate::files::Read;
use crate::pipe::Pipe;
use crate::source::Source;
use crate::{Error, block};

/// What to read.
#[derive(Clone, Debug)]
pub struct Ingest {
    /// Files, read one after the other; standard input if there are none.
    pub files: Vec<PathBuf>,
    /// Records have at most this many bytes.
    pub longest: usize,
}

/// What was read.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Ingested {
    /// Messages that were stored.
    pub messages: u64,
    /// Bytes of records that were stored, decompressed.
    pub bytes: u64,
    /// Records that were not, because they are too long.
    pub too_long: u64,
    /// Files that could not be read to their end, with the reason. What came before it was stored.
    pub failed: Vec<(PathBuf, String)>,
}

/// How many records are told one by one that are too long. All are counted.
const TOLD: u64 = 10;

/// Bytes read at a time.
const CHUNK: usize = 1 << 20;

/// Reads everything once. Each file goes on where its last stored record ended, whenever and in whatever order files are given; it is known by
/// its path and by what was read of it. Standard input cannot be read again; what was read and not stored, which is at most of the
/// last moments, is lost. A file that cannot be
/// read is passed over. `progress` is told the bytes.
///
/// # Errors
///
/// [`Error::Fenced`] if the source runs twice, [`Error::Nats`], [`Error::Stopped`].
pub async fn ingest(
    source: &mut Source,
    what: &Ingest,
    progress: impl Fn(u64) + Send + Sync,
    stop: &AtomicBool,
) -> Result<Ingested, Error> {
    let mut reading = Reading {
        source,
        longest: what.longest,
        is_pipe: what.files.is_empty(),
        stop,
        waiting: BytesMut::new(),
        reads: Vec::new(),
        progress: &progress,
        ingested: Ingested::default(),
    };
    if what.files.is_empty() {
        let read = match Pipe::new(|| decoded(io::stdin()), CHUNK) {
            Ok(reader) => reading.read(Path::new("-"), Box::new(reader), Position::default(), 0).await,
            Err(error) => Err(error.into()),
        };
        reading.note(Path::new("-"), read)?;
    }
    if !what.files.is_empty() && !reading.source.is_new() {
        info!("going on where the last block of this source ended");
    }
    for file in &what.files {
        let read = match reading.open(file) {
            Ok((path, reader, position, checksum)) => reading.read(&path, reader, position, checksum).await,
            Err(error) => Err(error.into()),
        };
        reading.note(file, read)?;
        if stop.load(Ordering::Relaxed) {
            break;
        }
    }
    reading.store(None).await?;
    Ok(reading.ingested)
}

type Reader = Box<dyn io::Read + Send>;

/// Decompressed, if it is compressed.
fn decoded(mut input: impl io::Read + Send + 'static) -> io::Result<Reader> {
    let mut beginning = Vec::new();
    while may_be_marked(&beginning) && input.by_ref().take(1).read_to_end(&mut beginning)? > 0 {}
    let decoded = Encoding::of(&beginning).decode(Cursor::new(beginning).chain(input))?;
    Ok(Box::new(decoded))
}

struct Reading<'s> {
    source: &'s mut Source,
    longest: usize,
    is_pipe: bool,
    stop: &'s AtomicBool,
    /// Records that are to be stored.
    waiting: BytesMut,
    /// How far the files were read that were read to their end since something was stored.
    reads: Vec<Read>,
    progress: &'s (dyn Fn(u64) + Send + Sync),
    ingested: Ingested,
}

impl Reading<'_> {
    /// Opens a file at the place up to which it was read, which it is told with the checksum of what is before. If that has changed, it is another
    /// file.
    fn open(&self, file: &Path) -> io::Result<(PathBuf, Reader, Position, u32)> {
        let path = fs::canonicalize(file)?;
        let mut reader = decoded(File::open(&path)?)?;
        let Some(read) = self.source.read(&path) else { return Ok((path, reader, Position::default(), 0)) };
        let mut checksum = crc32fast::Hasher::new();
        let (mut before, mut chunk) = (reader.by_ref().take(read.position.offset), vec![0; CHUNK]);
        let mut skipped = 0;
        loop {
            match before.read(&mut chunk)? {
                0 => break,
                length => {
                    checksum.update(chunk.get(..length).unwrap_or_default());
                    skipped += length as u64;
                }
            }
        }
        if skipped == read.position.offset && checksum.finalize() == read.checksum {
            return Ok((path, reader, read.position, read.checksum));
        }
        info!("{}: another file than before: reading it from its beginning", file.display());
        let reader = decoded(File::open(&path)?)?;
        Ok((path, reader, Position::default(), 0))
    }

    /// Goes on after a file that cannot be read, and after no other error.
    fn note(&mut self, file: &Path, read: Result<(), Error>) -> Result<(), Error> {
        let Err(Error::Io(error)) = read else { return read };
        warn!("{}: {error}", file.display());
        self.ingested.failed.push((file.to_owned(), error.to_string()));
        Ok(())
    }

    async fn read(&mut self, path: &Path, mut reader: Reader, from: Position, checksum: u32) -> Result<(), Error> {
        let mut checksum = crc32fast::Hasher::new_with_initial_len(checksum, from.offset);
        let mut framer = Framer::new(from, self.longest);
        // What is read and not yet framed, which the checksum leaves out.
        let (mut tail, mut summed) = (BytesMut::new(), from.offset);
        loop {
            let mut chunk = vec![0; CHUNK];
            let read = reader.read(&mut chunk);
            let is_pause = read.as_ref().is_err_and(|error| error.kind() == io::ErrorKind::WouldBlock);
            // Before damage, there may be whole records.
            let length = *read.as_ref().unwrap_or(&0);
            chunk.truncate(length);
            (self.progress)(length as u64);
            tail.extend_from_slice(&chunk);
            let mut batches = Vec::new();
            let give = |batch| {
                batches.push(batch);
                Ok::<(), std::convert::Infallible>(())
            };
            let Ok(()) = match length {
                // The rest of a record may come when the file is whole.
                0 if read.is_err() => framer.pause(give),
                0 => framer.finish(give),
                _ => {
                    let lines = Lines::of(&chunk);
                    framer.push(Bytes::from(chunk), lines, give)
                }
            };
            for batch in batches {
                match batch.kind {
                    Kind::Records => {
                        self.waiting.extend_from_slice(batch.bytes());
                        // Values need no line end between them; in blocks, each has one.
                        if self.waiting.last().is_some_and(|last| *last != b'\n') {
                            self.waiting.extend_from_slice(b"\n");
                        }
                    }
                    Kind::TooLong { first } if first => {
                        self.ingested.too_long += 1;
                        let (name, line, longest) = (path.display(), batch.line, self.longest);
                        if self.ingested.too_long <= TOLD {
                            warn!("{name}:{line}: not stored: a record is longer than {longest} bytes");
                        }
                    }
                    Kind::TooLong { .. } => {}
                }
            }
            let framed = (framer.position().offset - summed).min(tail.len() as u64) as usize;
            checksum.update(&tail.split_to(framed));
            summed += framed as u64;
            let so_far = Read::new(path, framer.position(), checksum.clone().finalize());
            let is_stopped = self.stop.load(Ordering::Relaxed);
            let is_over = length == 0 && !is_pause || is_stopped;
            if self.waiting.len() >= block::TARGET || is_stopped || is_pause {
                self.store(Some(so_far)).await?;
            } else if is_over {
                self.reads.extend(Some(so_far).filter(|_| !self.is_pipe));
            }
            if !is_pause {
                read?;
            }
            if is_over {
                return Ok(());
            }
        }
    }

    /// Stores what waits, and how far the files are read.
    async fn store(&mut self, so_far: Option<Read>) -> Result<(), Error> {
        // Standard input has no place.
        let so_far = so_far.filter(|_| !self.is_pipe);
        let mut reads = std::mem::take(&mut self.reads);
        reads.extend(so_far);
        self.ingested.messages += self.source.store_of(&self.waiting, reads).await?;
        self.ingested.bytes += self.waiting.len() as u64;
        self.waiting.clear();
        Ok(())
    }
}
