//! The router: reads blocks as they come, and commits to each partition what its correlator must see.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use bytes::BytesMut;
use catena_host::{Mode, Supervisor, push_run};
use serde_json::json;
use tokio::task::block_in_place;
use tracing::{info, warn};

use crate::commit::{Fence, Outgoing};
use crate::deployment::{Deployment, EPOCH};
use crate::lease::Lease;
use crate::nats::{Answer, Stored};
use crate::pointer::{self, Routed};
use crate::{Error, block, streams};

/// The header of a block whose records stay in the stream by another partition.
pub(crate) const SILENT: &str = "Catena-Silent";

/// The most blocks of a commit.
const BLOCKS: usize = 16;

/// How long to wait for more if there is nothing.
pub(crate) const IDLE: Duration = Duration::from_millis(20);

/// Blocks between two removals of what was routed.
const TIDY: u64 = 64;

/// Routes until told to stop. Any number of routers may run: one has the lease, the others wait for it.
///
/// # Errors
///
/// [`Error::Epoch`] if the deployment has changed to another component. Servers that are away are waited for.
pub async fn route(deployment: &Deployment, name: &str, stop: &Arc<AtomicBool>) -> Result<(), Error> {
    while !stop.load(Ordering::Relaxed) {
        let Some(lease) = Lease::acquire(&deployment.nats, "router", name).await else {
            tokio::time::sleep(Duration::from_secs(1)).await;
            continue;
        };
        let lease = lease.keep();
        match Router::load(deployment).await {
            Ok(mut router) => match router.run(&lease.is_lost, stop).await {
                Ok(()) => {}
                Err(Error::Fenced(_)) => info!("router: another process has committed; loading the pointer again"),
                Err(error @ Error::Epoch(_)) => return Err(error),
                Err(error) => warn!("router: {error}"),
            },
            Err(error @ Error::Epoch(_)) => return Err(error),
            Err(error) => {
                warn!("router: {error}");
                tokio::time::sleep(Duration::from_secs(1)).await;
            }
        }
        lease.release().await;
    }
    Ok(())
}

struct Router<'d> {
    deployment: &'d Deployment,
    supervisor: Supervisor,
    mode: Mode,
    routed: Routed,
    fence: Fence,
}

/// What a commit sends to one partition.
#[derive(Default, Clone)]
struct Shard {
    records: BytesMut,
    /// Records that another partition keeps in the stream.
    silent: BytesMut,
}

impl<'d> Router<'d> {
    async fn load(deployment: &'d Deployment) -> Result<Self, Error> {
        let (mut routed, fence) = pointer::load::<Routed>(&deployment.nats, streams::EVENTS, streams::ROUTED).await?;
        if routed.epoch.is_empty() {
            routed.epoch.clone_from(&deployment.epoch);
        }
        let (supervisor, mode) = deployment.open(&routed.epoch, None, None).await?;
        Ok(Self { deployment, supervisor, mode, routed, fence })
    }

    async fn run(&mut self, is_lost: &AtomicBool, stop: &AtomicBool) -> Result<(), Error> {
        let mut tidied = self.routed.input;
        while !stop.load(Ordering::Relaxed) && !is_lost.load(Ordering::Relaxed) {
            let blocks = self.blocks().await?;
            if blocks.is_empty() {
                // A full stream waits for room.
                if tidied < self.routed.input {
                    tidied = self.routed.input;
                    self.tidy().await;
                }
                tokio::time::sleep(IDLE).await;
                continue;
            }
            let outputs = block_in_place(|| self.outputs(&blocks))?;
            let message = pointer::message(streams::ROUTED.to_owned(), &self.routed)?;
            self.fence = self.deployment.nats.commit(streams::EVENTS, &outputs, &message, self.fence).await?;
            if self.routed.input >= tidied + TIDY {
                tidied = self.routed.input;
                self.tidy().await;
            }
        }
        Ok(())
    }

    /// Removes what was routed, but the last block of each source: it says how far the source has come.
    async fn tidy(&self) {
        let nats = &self.deployment.nats;
        nats.keep_last(streams::EVENTS, streams::ROUTED).await;
        let asked = json!({"subjects_filter": "catena.in.*"});
        let Answer::Ok(answer) = nats.api(&format!("STREAM.INFO.{}", streams::IN), &asked).await else { return };
        for subject in answer["state"]["subjects"].as_object().into_iter().flat_map(|subjects| subjects.keys()) {
            if let Ok(Some(last)) = nats.last(streams::IN, subject).await {
                nats.tidy(streams::IN, subject, last.sequence.min(self.routed.input + 1)).await;
            }
        }
    }

    /// The next blocks that are there.
    async fn blocks(&self) -> Result<Vec<Stored>, Error> {
        let mut blocks = Vec::new();
        let mut next = self.routed.input + 1;
        while blocks.len() < BLOCKS {
            let Some(one) = self.deployment.nats.next(streams::IN, "catena.in.*", next).await? else { break };
            next = one.sequence + 1;
            blocks.push(one);
        }
        Ok(blocks)
    }

    /// Routes blocks. Returns the messages, and moves the pointer.
    fn outputs(&mut self, blocks: &[Stored]) -> Result<Vec<Outgoing>, Error> {
        let partitions = self.deployment.partitions;
        let mut shards = vec![Shard::default(); partitions as usize];
        let mut rest = BytesMut::new();
        for stored in blocks {
            self.routed.input = stored.sequence;
            let records = match block::decode(&stored.payload) {
                Ok(records) => records,
                Err(error) => {
                    // Anybody who may publish there can send it; it must not stop the fleet.
                    warn!("{} at {}: {error}", streams::IN, stored.sequence);
                    continue;
                }
            };
            self.routed.bytes += records.len() as u64;
            let routes = self.supervisor.route(&records, partitions)?;
            for (at, route) in routes.iter().enumerate() {
                self.routed.records += u64::from(route.records);
                if route.partitions.is_empty() && self.mode == Mode::Enrich {
                    push_run(&records, &routes, at, &mut rest);
                }
                for (place, partition) in route.partitions.iter().enumerate() {
                    let Some(shard) = shards.get_mut(*partition as usize) else { continue };
                    let to = if place == 0 { &mut shard.records } else { &mut shard.silent };
                    push_run(&records, &routes, at, to);
                }
            }
        }
        let mut outputs = Vec::new();
        let epoch = self.routed.epoch.clone();
        let mut add = |subject: String, records: &[u8], is_silent: bool| -> Result<(), Error> {
            if records.is_empty() {
                return Ok(());
            }
            for payload in block::encode(records)? {
                let message = Outgoing::new(subject.clone(), payload).header(EPOCH, &epoch);
                outputs.push(if is_silent { message.header(SILENT, "1") } else { message });
            }
            Ok(())
        };
        for (partition, shard) in (0..).zip(&shards) {
            self.routed.candidate_bytes += (shard.records.len() + shard.silent.len()) as u64;
            add(streams::events_of(partition), &shard.records, false)?;
            add(streams::events_of(partition), &shard.silent, true)?;
        }
        add(streams::REST.to_owned(), &rest, false)?;
        Ok(outputs)
    }
}
