//! A source of records. What it stores, it stores with its pointer, under the fence of the pointer before.

use std::path::Path;
use std::sync::Arc;

use crate::commit::{Fence, Outgoing};
use crate::files::{Files, Placed, Read};
use crate::metrics::{Metrics, StageMetrics};
use crate::nats::{Nats, present};
use crate::{Error, block, check_deployed, nudge, pointer, streams};

/// A source that nobody else writes. If another process does, the one that stored last wins, and the other is fenced.
pub struct Source {
    nats: Nats,
    metrics: Arc<StageMetrics>,
    name: String,
    fence: Fence,
    files: Files,
}

impl Source {
    /// Goes on with a source, or begins one. Its name is of letters, digits, `-` and `_`.
    ///
    /// # Errors
    ///
    /// [`Error::Invalid`] for another name, [`Error::Nats`].
    pub async fn open(nats: &Nats, name: &str, metrics: &Metrics) -> Result<Self, Error> {
        let is_part = |byte: u8| byte.is_ascii_alphanumeric() || b"-_".contains(&byte);
        if name.is_empty() || !name.bytes().all(is_part) {
            return Err(Error::Invalid(format!("{name:?} is no name of a source: letters, digits, - and _")));
        }
        check_deployed(nats).await?;
        let (placed, fence) = pointer::load::<Placed>(nats, streams::IN, &streams::place_of(name)).await?;
        let mut segments = Vec::new();
        for number in 0..placed.segments {
            let subject = streams::files_of(name, number);
            let stored = present(&subject, || nats.last(streams::IN, &subject)).await?;
            let segment: Result<Vec<Read>, _> = serde_json::from_slice(&stored.payload);
            segments.push(segment.map_err(|error| Error::Invalid(format!("{subject}: it cannot be read: {error}")))?);
        }
        let files = Files::new(placed, segments);
        Ok(Self { nats: nats.clone(), metrics: metrics.source(name), name: name.to_owned(), fence, files })
    }

    /// How far it has read a file.
    pub(crate) fn read(&self, file: &Path) -> Option<&Read> {
        self.files.get(file)
    }

    /// Whether it has read no file.
    pub(crate) fn is_new(&self) -> bool {
        self.files.is_empty()
    }

    /// Stores records, all or none, in blocks of whole lines. Waits for servers that are away or full. Returns the number of messages.
    ///
    /// # Errors
    ///
    /// [`Error::Fenced`] if another process writes the same source, [`Error::Stopped`], [`Error::Invalid`] for a record that is too long.
    pub async fn store(&mut self, records: &[u8]) -> Result<u64, Error> {
        self.store_of(records, Vec::new()).await
    }

    /// Stores records, and how far the files were read that they are from.
    pub(crate) async fn store_of(&mut self, records: &[u8], mut reads: Vec<Read>) -> Result<u64, Error> {
        let mut messages = block::encode(&streams::source(&self.name), records)?;
        reads.retain(|read| self.files.is_news(read));
        if messages.is_empty() && reads.is_empty() {
            return Ok(0);
        }
        let count = messages.len() as u64;
        let mut files = self.files.clone();
        if let Some((number, segment)) = files.add(reads) {
            let segment = serde_json::to_vec(&segment)?;
            messages.push(Outgoing::new(streams::files_of(&self.name, number), segment.into()));
        }
        let place = pointer::message(streams::place_of(&self.name), &files.placed())?;
        self.fence = self.nats.commit(streams::IN, &messages, &place, self.fence, &self.metrics).await?;
        self.files = files;
        self.metrics.add_blocks(count);
        self.nats.nudge(nudge::ROUTERS).await;
        Ok(count)
    }
}
