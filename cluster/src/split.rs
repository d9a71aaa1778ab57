//! Splits blocks of the input into what each partition must see.

use bytes::{Bytes, BytesMut};
use catena_host::{Mode, Route, Supervisor, push_run};
use tracing::warn;

use crate::commit::{Outgoing, TTL};
use crate::deployment::{Deployment, EPOCH};
use crate::nats::Stored;
use crate::pointer::Routed;
use crate::shared::{Place, SHARED, Shared};
use crate::{Error, block, streams};

/// The most shared records of a block: a header has their places, 40 bytes each, and headers have at most 65,535 bytes together.
const MOST_SHARED: usize = 1_000;

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
    full: Vec<Part>,
    last: Part,
}

/// Records for a block, and which of them other partitions have, too.
#[derive(Default)]
struct Part {
    records: BytesMut,
    places: Vec<Place>,
}

impl Shard {
    fn push(&mut self, records: &[u8], routes: &[Route], at: usize, shared: Option<(u32, bool)>) {
        let Part { records: to, places } = &mut self.last;
        let start = to.len();
        push_run(records, routes, at, to);
        if let Some((number, is_first)) = shared {
            places.push(Place(start as u32, to.len() as u32, number, is_first));
        }
        if to.len() >= block::TARGET || places.len() >= MOST_SHARED {
            self.full.push(std::mem::take(&mut self.last));
        }
    }

    fn parts(self) -> impl Iterator<Item = Part> {
        self.full.into_iter().chain([self.last]).filter(|part| !part.records.is_empty())
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

    /// Splits whole blocks, those of the part of the input that begins at a sequence. Takes as long as it takes to decompress and route
    /// them.
    pub(crate) fn split(&mut self, part: u64, blocks: &[Stored]) -> Result<Split, Error> {
        let mut split = Split::default();
        let mut shards: Vec<Shard> = (0..self.partitions).map(|_| Shard::default()).collect();
        let mut rest = BytesMut::new();
        for stored in blocks {
            match block::decode(&stored.payload) {
                Ok(records) => self.add(&records, &mut split, &mut shards, &mut rest)?,
                // Anybody who may publish there can send it; it must not stop the fleet.
                Err(error) => warn!("{} at {}: {error}", streams::IN, stored.sequence),
            }
        }
        for (partition, shard) in (0..).zip(shards) {
            let before = split.outputs.len();
            for Part { records, places } in shard.parts() {
                split.candidate_bytes += records.len() as u64;
                let mut messages = block::whole(&streams::events_of(partition), &records)?;
                if !places.is_empty()
                    && let Some(last) = messages.pop()
                {
                    let shared = Shared { part, pieces: split.pieces, places };
                    let shared = serde_json::to_string(&shared).map_err(|error| Error::Invalid(error.to_string()))?;
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
        rest: &mut BytesMut,
    ) -> Result<(), Error> {
        split.bytes += records.len() as u64;
        let routes = self.supervisor.route(records, self.partitions)?;
        for (at, route) in routes.iter().enumerate() {
            split.records += u64::from(route.records);
            if route.partitions.is_empty() && self.mode == Mode::Enrich {
                push_run(records, &routes, at, rest);
            }
            let is_shared = route.partitions.len() > 1;
            for (place, partition) in route.partitions.iter().enumerate() {
                let Some(shard) = shards.get_mut(*partition as usize) else { continue };
                shard.push(records, &routes, at, is_shared.then_some((split.shared, place == 0)));
            }
            if is_shared {
                split.shared += 1;
                split.pieces += route.partitions.len() as u64;
            }
        }
        Ok(())
    }
}
