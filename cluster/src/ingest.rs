//! Ingest: records from files or a pipe into blocks.

use std::fs::File;
use std::io::{Cursor, Read};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use bytes::{Bytes, BytesMut};
use catena_framing::{Encoding, Framer, Kind, Lines, Position, may_be_marked};
use serde::{Deserialize, Serialize};
use tracing::warn;

use crate::commit::{Fence, Outgoing};
use crate::metrics::{Metrics, StageMetrics};
use crate::nats::{Nats, header};
use crate::{Error, block, nudge, streams};

/// What to read, and under which name.
#[derive(Clone, Debug)]
pub struct Ingest {
    /// The name of the source, unique among those that run: letters, digits, `-` and `_`.
    pub source: String,
    /// Files, read one after the other; standard input if there are none.
    pub files: Vec<PathBuf>,
    /// Records have at most this many bytes.
    pub longest: usize,
}

/// The header that says how far a source has come.
const PLACE: &str = "Catena-Place";

#[derive(Clone, Debug, Default, Serialize, Deserialize)]
struct Place {
    file: String,
    position: Position,
    is_end: bool,
}

/// Bytes read at a time.
const CHUNK: usize = 1 << 20;

/// Reads everything once. A source that was interrupted goes on where its last block ended: each block is stored under the fence of
/// the one before it, with its place. Standard input cannot be read again; what was read and not stored is lost.
///
/// Returns the number of blocks.
///
/// # Errors
///
/// [`Error::Io`] for what cannot be read, [`Error::Fenced`] if the source runs twice, [`Error::Invalid`].
pub async fn ingest(nats: &Nats, what: &Ingest, metrics: &Metrics, stop: &AtomicBool) -> Result<u64, Error> {
    let is_name =
        |name: &str| !name.is_empty() && name.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"-_".contains(&byte));
    if !is_name(&what.source) {
        return Err(Error::Invalid(format!("{:?} is no name of a source: letters, digits, - and _", what.source)));
    }
    let subject = streams::source(&what.source);
    let last = nats.last(streams::IN, &subject).await?;
    let place = last.as_ref().and_then(|last| serde_json::from_str::<Place>(header(&last.headers, PLACE)?).ok());
    let mut sender = Sender {
        nats,
        metrics: metrics.source(&what.source),
        subject,
        fence: Fence(last.map_or(0, |last| last.sequence)),
        waiting: BytesMut::new(),
        blocks: 0,
    };
    if what.files.is_empty() {
        sender.read("-", std::io::stdin(), Position::default(), what.longest, stop).await?;
        return Ok(sender.blocks);
    }
    let mut from = Position::default();
    let mut files = &*what.files;
    if let Some(place) = &place
        && let Some(at) = files.iter().position(|file| file.as_path() == Path::new(&place.file))
    {
        files = files.get(at + usize::from(place.is_end)..).unwrap_or_default();
        from = if place.is_end { Position::default() } else { place.position };
    }
    for file in files {
        let reader =
            File::open(file).map_err(|error| Error::Invalid(format!("cannot read {}: {error}", file.display())))?;
        sender.read(&file.display().to_string(), reader, std::mem::take(&mut from), what.longest, stop).await?;
        if stop.load(Ordering::Relaxed) {
            break;
        }
    }
    Ok(sender.blocks)
}

struct Sender<'n> {
    nats: &'n Nats,
    metrics: Arc<StageMetrics>,
    subject: String,
    fence: Fence,
    waiting: BytesMut,
    blocks: u64,
}

impl Sender<'_> {
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
        std::io::copy(&mut reader.by_ref().take(from.offset), &mut std::io::sink())?;
        let mut framer = Framer::new(from, longest);
        loop {
            let mut chunk = vec![0; CHUNK];
            let length = reader.read(&mut chunk)?;
            chunk.truncate(length);
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
                    Kind::TooLong { first } if first => warn!("{name}:{}: the record is too long", batch.line),
                    Kind::TooLong { .. } => {}
                }
            }
            let is_end = length == 0;
            if self.waiting.len() >= block::TARGET || is_end {
                self.send(&Place { file: name.to_owned(), position: framer.position(), is_end }).await?;
            }
            if is_end || stop.load(Ordering::Relaxed) {
                return Ok(());
            }
        }
    }

    /// Stores what waits. The last block says where it ends.
    async fn send(&mut self, place: &Place) -> Result<(), Error> {
        if self.waiting.is_empty() {
            return Ok(());
        }
        if self.waiting.last() != Some(&b'\n') {
            self.waiting.extend_from_slice(b"\n");
        }
        let text = serde_json::to_string(place).map_err(|error| Error::Invalid(error.to_string()))?;
        let mut blocks = block::encode(&self.waiting)?;
        self.waiting.clear();
        let Some(last) = blocks.pop() else { return Ok(()) };
        let last = Outgoing::new(self.subject.clone(), last).header(PLACE, &text);
        // Several blocks of one place are stored together.
        let before = blocks.into_iter().map(|payload| Outgoing::new(self.subject.clone(), payload)).collect::<Vec<_>>();
        self.blocks += before.len() as u64 + 1;
        self.fence = self.nats.commit(streams::IN, &before, &last, self.fence, &self.metrics).await?;
        self.metrics.add_blocks(before.len() as u64 + 1);
        self.nats.nudge(nudge::ROUTERS).await;
        Ok(())
    }
}
