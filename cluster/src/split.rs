//! Splits blocks of the input into what each partition must see.

use bytes::{Bytes, BytesMut};
use catena_host::{Mode, Route, Supervisor, push_run};
use tracing::warn;

use crate::commit::{Outgoing, TTL};
use crate::deployment::{Deployment, EPOCH};
use crate::nats::Stored;
use crate::pointer::Routed;
use crate::shared::{Reference, References, SHARED};
use crate::{Error, block, streams};

/// The most shared records of a block: a header refers to them, with 50 bytes each, and headers have at most 65,535 bytes together.
const MOST_SHARED: usize = 1_000;

/// The most bytes of records of a split, but for its last block.
const MOST_BYTES: u64 = 128 << 20;

/// Splits by the configuration of one epoch.
pub(crate) struct Splitter {
    supervisor: Supervisor,
    mode: Mode,
    partitions: u32,
    pub(crate) epoch: String,
    /// How long what passes the correlators by is kept.
    kept: String,
}

/// What comes of some blocks.
#[derive(Default)]
pub(crate) struct Split {
    pub(crate) outputs: Vec<Outgoing>,
    /// How many of the blocks were split.
    pub(crate) blocks: usize,
    /// The partitions that get something.
    pub(crate) partitions: Vec<u32>,
    records: u64,
    bytes: u64,
    candidate_bytes: u64,
    /// Records of several partitions, and the pieces that those make of them.
    shared: u32,
    pieces: u64,
}

/// What is sent to one partition, in the order of the input.
#[derive(Default)]
struct Shard {
    /// Blocks that are long enough.
    full: Vec<Draft>,
    last: Draft,
}

/// Records for a block of one partition, and references to those that it shares.
#[derive(Default)]
struct Draft {
    records: BytesMut,
    references: Vec<Reference>,
    /// Bytes of what it refers to.
    referred: usize,
}

/// The records of a part that several partitions share. They are stored once, however many partitions they concern: one envelope may have
/// records of hundreds of callers.
#[derive(Default)]
struct Common {
    full: Vec<BytesMut>,
    last: BytesMut,
}

impl Shard {
    fn seal(&mut self) {
        let bytes = self.last.records.len() + self.last.referred;
        if bytes >= block::TARGET || self.last.references.len() >= MOST_SHARED {
            self.full.push(std::mem::take(&mut self.last));
        }
    }

    fn drafts(self) -> impl Iterator<Item = Draft> {
        let is_empty = |draft: &Draft| draft.records.is_empty() && draft.references.is_empty();
        self.full.into_iter().chain([self.last]).filter(move |draft| !is_empty(draft))
    }
}

impl Common {
    /// Adds a record, and returns where it is: in which block, at what offset, and its length.
    fn push(&mut self, records: &[u8], routes: &[Route], at: usize) -> (u32, u32, u32) {
        let start = self.last.len();
        push_run(records, routes, at, &mut self.last);
        let place = (self.full.len() as u32, start as u32, (self.last.len() - start) as u32);
        if self.last.len() >= block::TARGET {
            self.full.push(std::mem::take(&mut self.last));
        }
        place
    }

    fn blocks(self) -> impl Iterator<Item = BytesMut> {
        self.full.into_iter().chain([self.last]).filter(|block| !block.is_empty())
    }
}

impl Split {
    /// Adds its counts.
    pub(crate) fn count(&self, routed: &mut Routed) {
        routed.records += self.records;
        routed.bytes += self.bytes;
        routed.candidate_bytes += self.candidate_bytes;
    }
}

impl Splitter {
    pub(crate) async fn open(deployment: &Deployment, epoch: &str) -> Result<Self, Error> {
        let (supervisor, mode) = deployment.open(epoch, None, None).await?;
        Ok(Self {
            supervisor,
            mode,
            partitions: deployment.partitions,
            epoch: epoch.to_owned(),
            kept: format!("{}s", deployment.output_seconds),
        })
    }

    /// Splits whole blocks, those of the part of the input that begins at a sequence, or as many as memory bears. Takes as long as it takes
    /// to decompress and route them.
    pub(crate) fn split(&mut self, part: u64, blocks: &[Stored]) -> Result<Split, Error> {
        let mut split = Split::default();
        let mut shards: Vec<Shard> = (0..self.partitions).map(|_| Shard::default()).collect();
        let (mut common, mut rest) = (Common::default(), BytesMut::new());
        for stored in blocks {
            if split.bytes >= MOST_BYTES {
                break;
            }
            split.blocks += 1;
            match block::decode(&stored.payload) {
                Ok(records) => self.add(&records, &mut split, &mut shards, &mut common, &mut rest)?,
                // Anybody who may publish there can send it; it must not stop the fleet.
                Err(error) => warn!("{} at {}: {error}", streams::IN, stored.sequence),
            }
        }
        // Before what refers to them.
        for (number, records) in (0..).zip(common.blocks()) {
            split.candidate_bytes += records.len() as u64;
            let messages = block::whole(&streams::common_of(part, number), &records)?;
            split.outputs.extend(messages.into_iter().map(|message| message.header(EPOCH, &self.epoch)));
        }
        for (partition, shard) in (0..).zip(shards) {
            let before = split.outputs.len();
            for Draft { records, references, .. } in shard.drafts() {
                split.candidate_bytes += records.len() as u64;
                let mut messages = block::whole(&streams::events_of(partition), &records)?;
                if !references.is_empty()
                    && let Some(last) = messages.pop()
                {
                    let shared = References { part, pieces: split.pieces, list: references };
                    let shared = serde_json::to_string(&shared)?;
                    messages.push(last.header(SHARED, &shared));
                }
                split.outputs.extend(messages.into_iter().map(|message| message.header(EPOCH, &self.epoch)));
            }
            if split.outputs.len() > before {
                split.partitions.push(partition);
            }
        }
        let rest = block::encode(streams::REST, &rest)?.into_iter();
        let rest = rest.map(|message| message.header(EPOCH, &self.epoch).header(TTL, &self.kept));
        split.outputs.extend(rest);
        Ok(split)
    }

    fn add(
        &mut self,
        records: &Bytes,
        split: &mut Split,
        shards: &mut [Shard],
        common: &mut Common,
        rest: &mut BytesMut,
    ) -> Result<(), Error> {
        split.bytes += records.len() as u64;
        let routes = self.supervisor.route(records, self.partitions)?;
        for (at, route) in routes.iter().enumerate() {
            split.records += u64::from(route.records);
            match &*route.partitions {
                [] if self.mode == Mode::Enrich => drop(push_run(records, &routes, at, rest)),
                [] => {}
                [partition] => {
                    let Some(shard) = shards.get_mut(*partition as usize) else { continue };
                    push_run(records, &routes, at, &mut shard.last.records);
                    shard.seal();
                }
                several => {
                    let (block, offset, length) = common.push(records, &routes, at);
                    for (place, partition) in several.iter().enumerate() {
                        let Some(shard) = shards.get_mut(*partition as usize) else { continue };
                        let at = shard.last.records.len() as u32;
                        let (number, is_first) = (split.shared, place == 0);
                        shard.last.referred += length as usize;
                        shard.last.references.push(Reference { at, block, offset, length, number, is_first });
                        shard.seal();
                    }
                    split.shared += 1;
                    split.pieces += several.len() as u64;
                }
            }
        }
        Ok(())
    }
}
