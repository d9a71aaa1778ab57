//! Ingest: records from files or a pipe into blocks.

use std::fs::File;
use std::io::{self, Cursor, Read};
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, Ordering};

use bytes::{Bytes, BytesMut};
use catena_framing::{Encoding, Framer, Kind, Lines, Position, may_be_marked};
use serde::{Deserialize, Serialize};
use tracing::{info, warn};

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

/// How far a source has come.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
struct Place {
    file: String,
    position: Position,
}

/// Bytes read at a time.
const CHUNK: usize = 1 << 20;

/// Reads everything once. A source that was interrupted goes on where its last block ended, in whatever file that was; `progress` is told
/// the bytes. Standard input cannot be read again; what was read and not stored is lost. A file that cannot be read is passed over.
///
/// # Errors
///
/// [`Error::Fenced`] if the source runs twice, [`Error::Nats`].
pub async fn ingest(
    source: &mut Source,
    what: &Ingest,
    progress: impl Fn(u64) + Send + Sync,
    stop: &AtomicBool,
) -> Result<Ingested, Error> {
    let mut reading = Reading { source, waiting: BytesMut::new(), progress: &progress, ingested: Ingested::default() };
    if what.files.is_empty() {
        let read = reading.read("-", io::stdin(), Position::default(), what.longest, stop).await;
        reading.note(Path::new("-"), read)?;
        return Ok(reading.ingested);
    }
    let place = reading.source.place().and_then(|place| serde_json::from_str::<Place>(place).ok());
    let mut from = Position::default();
    let mut files = &*what.files;
    if let Some(place) = &place
        && let Some(at) = files.iter().position(|file| file.as_path() == Path::new(&place.file))
    {
        info!(
            "going on in {} at byte {}; the {at} files before it are taken as read",
            place.file, place.position.offset
        );
        files = files.get(at..).unwrap_or_default();
        from = place.position;
    }
    for file in files {
        let from = std::mem::take(&mut from);
        let read = match File::open(file) {
            Ok(reader) => reading.read(&file.display().to_string(), reader, from, what.longest, stop).await,
            Err(error) => Err(error.into()),
        };
        reading.note(file, read)?;
        if stop.load(Ordering::Relaxed) {
            break;
        }
    }
    Ok(reading.ingested)
}

struct Reading<'s> {
    source: &'s mut Source,
    waiting: BytesMut,
    progress: &'s (dyn Fn(u64) + Send + Sync),
    ingested: Ingested,
}

impl Reading<'_> {
    /// Goes on after a file that cannot be read, and after no other error.
    fn note(&mut self, file: &Path, read: Result<(), Error>) -> Result<(), Error> {
        let Err(Error::Io(error)) = read else { return read };
        warn!("{}: {error}", file.display());
        self.ingested.failed.push((file.to_owned(), error.to_string()));
        Ok(())
    }

    async fn read(
        &mut self,
        name: &str,
        mut input: impl Read + Send + 'static,
        from: Position,
        longest: usize,
        stop: &AtomicBool,
    ) -> Result<(), Error> {
        let mut beginning = Vec::new();
        while may_be_marked(&beginning) && input.by_ref().take(1).read_to_end(&mut beginning)? > 0 {}
        let mut reader = Encoding::of(&beginning).decode(Cursor::new(beginning).chain(input))?;
        let skipped = io::copy(&mut reader.by_ref().take(from.offset), &mut io::sink())?;
        if skipped < from.offset {
            let why =
                format!("it has {skipped} bytes, and {} were read of it before: is it another file?", from.offset);
            return Err(io::Error::other(why).into());
        }
        let mut framer = Framer::new(from, longest);
        loop {
            let mut chunk = vec![0; CHUNK];
            let read = reader.read(&mut chunk);
            // Before damage, there may be whole records.
            let length = *read.as_ref().unwrap_or(&0);
            chunk.truncate(length);
            (self.progress)(length as u64);
            let mut batches = Vec::new();
            let give = |batch| {
                batches.push(batch);
                Ok::<(), std::convert::Infallible>(())
            };
            let Ok(()) = match length {
                0 => framer.finish(give),
                _ => framer.push(Bytes::from(chunk.clone()), Lines::of(&chunk), give),
            };
            for batch in batches {
                match batch.kind {
                    Kind::Records => self.waiting.extend_from_slice(batch.bytes()),
                    Kind::TooLong { first } if first => {
                        self.ingested.too_long += 1;
                        warn!("{name}:{}: not stored: a record is longer than {longest} bytes", batch.line);
                    }
                    Kind::TooLong { .. } => {}
                }
            }
            if self.waiting.len() >= block::TARGET || length == 0 {
                self.store(&Place { file: name.to_owned(), position: framer.position() }).await?;
            }
            read?;
            if length == 0 || stop.load(Ordering::Relaxed) {
                return Ok(());
            }
        }
    }

    /// Stores what waits. The last block says where it ends.
    async fn store(&mut self, place: &Place) -> Result<(), Error> {
        if self.waiting.is_empty() {
            return Ok(());
        }
        if self.waiting.last() != Some(&b'\n') {
            self.waiting.extend_from_slice(b"\n");
        }
        let place = serde_json::to_string(place).map_err(|error| Error::Invalid(error.to_string()))?;
        self.ingested.messages += self.source.store_at(&self.waiting, place).await?;
        self.ingested.bytes += self.waiting.len() as u64;
        self.waiting.clear();
        Ok(())
    }
}
