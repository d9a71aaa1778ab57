//! The joiner: puts together what the correlators of several partitions do to one record. It is a stage like theirs, of which a fleet needs
//! one, and which has little to do: few records concern several identities.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use serde::{Deserialize, Serialize};
use tracing::{error, warn};

use crate::commit::{Batch, Fence};
use crate::deployment::Deployment;
use crate::metrics::StageMetrics;
use crate::nats::{Nats, Stored, header, present};
use crate::nudge::Nudges;
use crate::shared::{self, PIECES, Pieces};
use crate::{Error, block, pointer, streams};

/// What it is called in leases, nudges and subjects.
pub(crate) const NAME: &str = "joined";

/// Commits between two removals of what was joined.
const TIDY: u64 = 64;

/// The pointer of the joiner.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Joined {
    /// The last sequence of `CATENA_OUT` that was looked at.
    pub(crate) input: u64,
    /// The first sequence that is still needed.
    from: u64,
    /// The parts of which not all pieces have come.
    pub(crate) incomplete: Vec<u64>,
}

/// The pieces of a part that have come.
#[derive(Debug, Default)]
struct Waiting {
    count: u64,
    /// Where they are: each is read again once all have come, so that those of a partition that is behind need no memory.
    places: Vec<u64>,
}

pub(crate) struct Joiner<'d> {
    deployment: &'d Deployment,
    metrics: Arc<StageMetrics>,
    fence: Fence,
    joined: Joined,
    waiting: BTreeMap<u64, Waiting>,
    outputs: Batch,
    /// The last sequence that was looked at.
    input: u64,
    commits: u64,
}

impl<'d> Joiner<'d> {
    /// Loads the pointer, and looks again at what is incomplete.
    pub(crate) async fn recover(deployment: &'d Deployment, metrics: Arc<StageMetrics>) -> Result<Self, Error> {
        let (joined, fence) = load(&deployment.nats).await?;
        deployment.nats.check_reaches(streams::OUT, joined.input).await?;
        let mut joiner = Self {
            deployment,
            metrics,
            fence,
            input: joined.from.saturating_sub(1),
            joined,
            waiting: BTreeMap::new(),
            outputs: Batch::default(),
            commits: 0,
        };
        while joiner.input < joiner.joined.input {
            let stored = present(streams::PIECES, || joiner.next()).await?;
            if stored.sequence > joiner.joined.input {
                break;
            }
            let pieces = pieces(&stored).filter(|pieces| joiner.joined.incomplete.contains(&pieces.part));
            joiner.note(pieces, stored.sequence);
        }
        for part in &joiner.joined.incomplete {
            if !joiner.waiting.contains_key(part) {
                error!(
                    "{}: what is shared of part {part} was removed before all of it had come: records are lost",
                    streams::OUT
                );
            }
        }
        joiner.input = joiner.input.max(joiner.joined.input);
        Ok(joiner)
    }

    /// Works until it is told to stop, loses its lease, or another process has committed.
    pub(crate) async fn run(&mut self, is_lost: &AtomicBool, stop: &AtomicBool) -> Result<(), Error> {
        let mut nudges = Nudges::to(&self.deployment.nats, NAME).await;
        while !stop.load(Ordering::Relaxed) && !is_lost.load(Ordering::Relaxed) {
            let next = self.next().await?;
            let is_idle = next.is_none();
            if let Some(stored) = next
                && let Some(part) = self.note(pieces(&stored), stored.sequence)
            {
                self.join(part).await?;
            }
            if is_idle && self.input > self.joined.input || self.outputs.is_full() {
                self.commit().await?;
            }
            if is_idle {
                nudges.wait().await;
            }
        }
        Ok(())
    }

    async fn next(&self) -> Result<Option<Stored>, Error> {
        block::next(&self.deployment.nats, streams::OUT, streams::PIECES, self.input + 1).await
    }

    /// Takes note of pieces. Returns their part if it is complete.
    fn note(&mut self, pieces: Option<Pieces>, sequence: u64) -> Option<u64> {
        let place = self.input + 1;
        self.input = sequence;
        let Pieces { part, count, of } = pieces?;
        self.metrics.add_blocks(1);
        let waiting = self.waiting.entry(part).or_default();
        waiting.count += count;
        waiting.places.push(place);
        (waiting.count >= of).then_some(part)
    }

    async fn join(&mut self, part: u64) -> Result<(), Error> {
        let Some(Waiting { places, .. }) = self.waiting.remove(&part) else { return Ok(()) };
        let mut pieces = Vec::new();
        for place in places {
            let nats = &self.deployment.nats;
            let stored = present(streams::PIECES, || block::next(nats, streams::OUT, streams::PIECES, place)).await?;
            if self::pieces(&stored).is_none_or(|pieces| pieces.part != part) {
                error!(
                    "{}: what is shared at {place} was removed before all of it had come: records are lost",
                    streams::OUT
                );
                continue;
            }
            match block::decode(&stored.payload).and_then(|text| shared::read(&text)) {
                Ok(some) => pieces.extend(some),
                // Anybody who may publish there can send it; it must not stop the fleet.
                Err(error) => error!("{} at {place}: {error}", streams::OUT),
            }
        }
        for message in block::encode(&format!("catena.out.{NAME}"), &shared::join(pieces))? {
            self.outputs.add(message);
        }
        Ok(())
    }

    async fn commit(&mut self) -> Result<(), Error> {
        let first = self.waiting.values().filter_map(|waiting| waiting.places.first()).min();
        self.joined = Joined {
            input: self.input,
            from: first.copied().unwrap_or(self.input + 1),
            incomplete: self.waiting.keys().copied().collect(),
        };
        let message = pointer::message(streams::JOINED.to_owned(), &self.joined)?;
        let outputs = self.outputs.take();
        let nats = &self.deployment.nats;
        self.fence = nats.commit(streams::OUT, &outputs, &message, self.fence, &self.metrics).await?;
        self.commits += 1;
        if self.commits % TIDY == 1 {
            nats.tidy(streams::OUT, streams::PIECES, self.joined.from).await;
            nats.keep_last(streams::OUT, streams::JOINED).await;
        }
        Ok(())
    }
}

/// The pointer of the joiner.
pub(crate) async fn load(nats: &Nats) -> Result<(Joined, Fence), Error> {
    pointer::load::<Joined>(nats, streams::OUT, streams::JOINED).await
}

fn pieces(stored: &Stored) -> Option<Pieces> {
    let pieces = serde_json::from_str(header(&stored.headers, PIECES)?);
    pieces.map_err(|error| warn!("{} at {}: {error}", streams::OUT, stored.sequence)).ok()
}
