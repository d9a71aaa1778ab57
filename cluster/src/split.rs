//! Splits blocks of the input into what each partition must see.

use bytes::{Bytes, BytesMut};
use catena_host::{Mode, Supervisor, push_run};
use tracing::warn;

use crate::commit::Outgoing;
use crate::deployment::{Deployment, EPOCH};
use crate::nats::Stored;
use crate::pointer::Routed;
use crate::{Error, block, streams};

/// The header of a block whose records stay in the stream by another partition.
pub(crate) const SILENT: &str = "Catena-Silent";

/// Splits by the configuration of one epoch.
pub(crate) struct Splitter {
    supervisor: Supervisor,
    mode: Mode,
    partitions: u32,
    pub(crate) epoch: String,
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
}

/// What is sent to one partition.
#[derive(Default, Clone)]
struct Shard {
    records: BytesMut,
    /// Records that another partition keeps in the stream.
    silent: BytesMut,
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
        Ok(Self { supervisor, mode, partitions: deployment.partitions, epoch: epoch.to_owned() })
    }

    /// Splits whole blocks. Takes as long as it takes to decompress and route them.
    pub(crate) fn split(&mut self, blocks: &[Stored]) -> Result<Split, Error> {
        let mut split = Split::default();
        let mut shards = vec![Shard::default(); self.partitions as usize];
        let mut rest = BytesMut::new();
        for stored in blocks {
            match block::decode(&stored.payload) {
                Ok(records) => self.add(&records, &mut split, &mut shards, &mut rest)?,
                // Anybody who may publish there can send it; it must not stop the fleet.
                Err(error) => warn!("{} at {}: {error}", streams::IN, stored.sequence),
            }
        }
        for (partition, shard) in (0..).zip(&shards) {
            let (before, events) = (split.outputs.len(), streams::events_of(partition));
            split.candidate_bytes += (shard.records.len() + shard.silent.len()) as u64;
            self.push(&events, &shard.records, false, &mut split.outputs)?;
            self.push(&events, &shard.silent, true, &mut split.outputs)?;
            if split.outputs.len() > before {
                split.partitions.push(partition);
            }
        }
        self.push(streams::REST, &rest, false, &mut split.outputs)?;
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
            for (place, partition) in route.partitions.iter().enumerate() {
                let Some(shard) = shards.get_mut(*partition as usize) else { continue };
                let to = if place == 0 { &mut shard.records } else { &mut shard.silent };
                push_run(records, &routes, at, to);
            }
        }
        Ok(())
    }

    fn push(&self, subject: &str, records: &[u8], is_silent: bool, outputs: &mut Vec<Outgoing>) -> Result<(), Error> {
        for message in block::encode(subject, records)? {
            let message = message.header(EPOCH, &self.epoch);
            outputs.push(if is_silent { message.header(SILENT, "1") } else { message });
        }
        Ok(())
    }
}
