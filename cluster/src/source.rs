//! A source of records. Each block is stored under the fence of the one before it.

use std::sync::Arc;

use crate::commit::Fence;
use crate::metrics::{Metrics, StageMetrics};
use crate::nats::{Nats, header};
use crate::{Error, block, nudge, streams};

/// The header that says how far a source has come.
const PLACE: &str = "Catena-Place";

/// A source that nobody else writes. If another process does, the one that stored last wins, and the other is fenced.
pub struct Source {
    nats: Nats,
    metrics: Arc<StageMetrics>,
    subject: String,
    fence: Fence,
    place: Option<String>,
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
        let subject = streams::source(name);
        let last = nats.last(streams::IN, &subject).await?;
        let place = last.as_ref().and_then(|last| header(&last.headers, PLACE)).map(str::to_owned);
        let fence = Fence(last.map_or(0, |last| last.sequence));
        Ok(Self { nats: nats.clone(), metrics: metrics.source(name), subject, fence, place })
    }

    /// What it said last about where it was.
    pub(crate) fn place(&self) -> Option<&str> {
        self.place.as_deref()
    }

    /// Stores records, all or none, in blocks of whole lines. Waits for servers that are away or full. Returns the number of messages.
    ///
    /// # Errors
    ///
    /// [`Error::Fenced`] if another process writes the same source, [`Error::Invalid`] for a record that is too long.
    pub async fn store(&mut self, records: &[u8]) -> Result<u64, Error> {
        let mut messages = block::encode(&self.subject, records)?;
        let Some(mut last) = messages.pop() else { return Ok(0) };
        if let Some(place) = &self.place {
            last = last.header(PLACE, place);
        }
        let count = messages.len() as u64 + 1;
        self.fence = self.nats.commit(streams::IN, &messages, &last, self.fence, &self.metrics).await?;
        self.metrics.add_blocks(count);
        self.nats.nudge(nudge::ROUTERS).await;
        Ok(count)
    }

    /// Stores records, and where they end.
    pub(crate) async fn store_at(&mut self, records: &[u8], place: String) -> Result<u64, Error> {
        let before = self.place.replace(place);
        let stored = self.store(records).await;
        if !matches!(stored, Ok(count) if count > 0) {
            self.place = before;
        }
        stored
    }
}
