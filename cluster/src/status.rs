//! How a fleet is doing.

use serde::Serialize;

use crate::nats::Nats;
use crate::pointer::{self, Routed};
use crate::roster::Roster;
use crate::{Error, checkpoint, deployment, joiner, streams};

/// The state of a fleet.
#[derive(Clone, Debug, Serialize)]
pub struct Status {
    /// The epoch by which it routes.
    pub epoch: String,
    /// Blocks that wait for the router.
    pub waiting_blocks: u64,
    /// Records that were routed, their bytes, and the bytes that went on to correlators.
    pub records: u64,
    /// See `records`.
    pub bytes: u64,
    /// See `records`.
    pub candidate_bytes: u64,
    /// Parts of the input with records that concern several partitions, not all of which are done.
    pub unjoined: u64,
    /// The routers that are there.
    pub routers: Vec<String>,
    /// The workers that are there.
    pub workers: Vec<String>,
    /// All partitions.
    pub partitions: Vec<PartitionStatus>,
}

/// The state of a partition.
#[derive(Clone, Debug, Serialize)]
pub struct PartitionStatus {
    /// Its number.
    pub partition: u32,
    /// Who has it; `None` if nobody does.
    pub owner: Option<String>,
    /// Who committed last.
    pub worker: String,
    /// Sequences between what is committed and its last block: 0 if it has caught up.
    pub lag: u64,
    /// Records and findings of all time.
    pub records: u64,
    /// See `records`.
    pub findings: u64,
    /// The size of its last checkpoint in bytes.
    pub checkpoint_bytes: usize,
    /// The age of its last checkpoint in milliseconds; `None` without one.
    pub checkpoint_age_ms: Option<u64>,
}

/// Asks for the state of a fleet. Costs three requests for each partition, one of them for its lease.
///
/// # Errors
///
/// [`Error::Invalid`] if there is none, [`Error::Nats`].
pub async fn status(nats: &Nats) -> Result<Status, Error> {
    let deployment = deployment::described(nats).await?;
    let (routed, _) = pointer::load::<Routed>(nats, streams::EVENTS, streams::ROUTED).await?;
    let roster = Roster::look(nats).await?;
    let (joined, _) = joiner::load(nats).await?;
    let shared = nats.last(streams::OUT, streams::PIECES).await?;
    let mut partitions = Vec::new();
    let now = checkpoint::now_ms();
    for partition in 0..deployment.partitions {
        let (pointer, _) = pointer::of_partition(nats, partition).await?;
        let last = nats.last(streams::EVENTS, &streams::events_of(partition)).await?;
        let lease = nats.last(streams::LEASES, &streams::lease_of(&partition.to_string())).await?;
        let newest = pointer.generations.first();
        partitions.push(PartitionStatus {
            partition,
            owner: lease.map(|lease| String::from_utf8_lossy(&lease.payload).into_owned()),
            worker: pointer.worker.clone(),
            lag: last.map_or(0, |last| last.sequence.saturating_sub(pointer.input)),
            records: pointer.records,
            findings: pointer.findings,
            checkpoint_bytes: newest.map_or(0, |generation| generation.bytes),
            checkpoint_age_ms: newest.map(|generation| now.saturating_sub(generation.time_ms)),
        });
    }
    Ok(Status {
        epoch: if routed.epoch.is_empty() { deployment.epoch } else { routed.epoch },
        waiting_blocks: nats.last_sequence(streams::IN).await?.saturating_sub(routed.input),
        records: routed.records,
        bytes: routed.bytes,
        candidate_bytes: routed.candidate_bytes,
        unjoined: joined.incomplete.len() as u64 + u64::from(shared.is_some_and(|last| last.sequence > joined.input)),
        routers: roster.routers,
        workers: roster.workers.into_keys().collect(),
        partitions,
    })
}
