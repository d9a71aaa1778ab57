//! The router: reads blocks as they come, and commits to each partition what its correlator must see.
//!
//! All routers work at once. They take the parts of the input in turn: each reads and splits its next part ahead, and commits it when the
//! pointer has come to its beginning. So the order of the input is kept, whatever their number, and one pointer fences them all.

use std::ops::RangeInclusive;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use tokio::task::{JoinHandle, JoinSet, block_in_place};
use tracing::{info, warn};

use crate::block::Assembly;
use crate::commit::{Fence, MOST};
use crate::deployment::Deployment;
use crate::metrics::{Metrics, StageMetrics};
use crate::nats::{Nats, Stored};
use crate::nudge::{self, Nudges};
use crate::pointer::{self, Routed};
use crate::roster::Presence;
use crate::split::{Split, Splitter};
use crate::turn::Turn;
use crate::{Error, streams};

/// The most blocks that are asked for at once. The servers close the connection of a client that has too much to take.
const AT_ONCE: usize = 8;

/// After so long without a commit, a router no longer waits for its turn.
const STUCK: Duration = Duration::from_secs(15);

/// Sequences between two removals of what was routed.
const TIDY: u64 = 64;

/// How long to wait before another look whether the epoch is still of another version.
const FOREIGN: Duration = Duration::from_secs(5);

/// How often shared records are removed: it takes two requests for each partition.
const TIDY_COMMON: Duration = Duration::from_secs(30);

/// Routes until told to stop.
///
/// What may pass is waited for: servers that are away, and the epoch of another version of the program.
///
/// # Errors
///
/// None that is known.
pub async fn route(
    deployment: &Deployment,
    name: &str,
    metrics: &Metrics,
    stop: &Arc<AtomicBool>,
) -> Result<(), Error> {
    let metrics = metrics.router();
    info!("{name}: routes to {} partitions", deployment.partitions);
    while !stop.load(Ordering::Relaxed) {
        let presence = Presence::begin(&deployment.nats, name);
        let ended = match Router::load(deployment, Arc::clone(&metrics)).await {
            Ok(mut router) => router.run(&presence, stop).await,
            Err(error) => Err(error),
        };
        // With one that cannot work, the others need not wait for its turn.
        presence.leave().await;
        match ended {
            Ok(()) => {}
            Err(error @ Error::Epoch(_)) => {
                info!("router: {error}; waiting");
                tokio::time::sleep(FOREIGN).await;
            }
            Err(error) => {
                warn!("router: {error}");
                tokio::time::sleep(Duration::from_secs(1)).await;
            }
        }
    }
    Ok(())
}

/// A part that is split.
struct Ahead {
    sequences: RangeInclusive<u64>,
    split: Split,
}

/// Blocks that are read in the background.
struct Reading {
    sequences: RangeInclusive<u64>,
    blocks: JoinHandle<Result<Vec<Stored>, Error>>,
}

struct Router<'d> {
    deployment: &'d Deployment,
    metrics: Arc<StageMetrics>,
    nudges: Nudges,
    splitter: Splitter,
    routed: Routed,
    fence: Fence,
    /// Waits for its turn.
    ahead: Option<Ahead>,
    /// The blocks behind it, which are read while it is split.
    reading: Option<Reading>,
    /// When anybody last committed, or there was nothing to do.
    progressed: Instant,
    /// Up to where was tidied.
    tidied: u64,
    /// When shared records were last tidied.
    common_tidied: Instant,
}

impl<'d> Router<'d> {
    async fn load(deployment: &'d Deployment, metrics: Arc<StageMetrics>) -> Result<Self, Error> {
        let (routed, fence) = load(deployment).await?;
        let splitter = Splitter::open(deployment, &routed.epoch).await?;
        let nudges = Nudges::to(&deployment.nats, nudge::ROUTERS).await;
        let tidied = routed.input;
        Ok(Self {
            deployment,
            metrics,
            nudges,
            splitter,
            routed,
            fence,
            ahead: None,
            reading: None,
            progressed: Instant::now(),
            tidied,
            common_tidied: Instant::now(),
        })
    }

    async fn run(&mut self, presence: &Presence, stop: &AtomicBool) -> Result<(), Error> {
        while !stop.load(Ordering::Relaxed) {
            // Somebody is there, and does not work, or this router is not seen.
            let turn = if self.progressed.elapsed() > STUCK { Some(Turn::ALONE) } else { presence.turn() };
            let Some(turn) = turn else {
                self.nudges.wait().await;
                continue;
            };
            let part = turn.part(self.routed.input);
            let is_turn = *part.start() == self.routed.input + 1;
            self.ahead.take_if(|ahead| ahead.sequences.start() != part.start());
            if self.ahead.is_none() {
                let last = self.deployment.nats.check_reaches(streams::IN, self.routed.input).await?;
                self.note_lag(last.saturating_sub(self.routed.input));
                let end = last.min(*part.end());
                // What is still coming is of the router whose turn it is.
                if end >= *part.start() && (is_turn || end == *part.end()) {
                    let following = turn.part(*part.end());
                    let following = (last >= *following.end()).then_some(following);
                    self.ahead = Some(self.prepare(*part.start()..=end, following).await?);
                }
            }
            match self.ahead.take_if(|_| is_turn) {
                Some(ahead) => self.commit(ahead).await?,
                None => self.wait(is_turn).await?,
            }
        }
        Ok(())
    }

    fn note_lag(&mut self, lag: u64) {
        self.metrics.set_lag(lag);
        if lag == 0 {
            self.progressed = Instant::now();
        }
    }

    async fn wait(&mut self, is_turn: bool) -> Result<(), Error> {
        // A full stream waits for room.
        if is_turn && self.tidied < self.routed.input {
            self.tidy().await;
        }
        self.nudges.wait().await;
        if !is_turn {
            self.reload().await?;
        }
        Ok(())
    }

    /// Takes note of what others have committed.
    async fn reload(&mut self) -> Result<(), Error> {
        let before = self.routed.input;
        (self.routed, self.fence) = load(self.deployment).await?;
        if self.routed.input != before {
            self.progressed = Instant::now();
        }
        if self.routed.epoch != self.splitter.epoch {
            info!("router: epoch {}", self.routed.epoch);
            self.splitter = Splitter::open(self.deployment, &self.routed.epoch).await?;
            self.ahead = None;
        }
        Ok(())
    }

    async fn prepare(
        &mut self,
        sequences: RangeInclusive<u64>,
        following: Option<RangeInclusive<u64>>,
    ) -> Result<Ahead, Error> {
        let read = |sequences| read(self.deployment.nats.clone(), sequences);
        let blocks = match self.reading.take_if(|reading| reading.sequences == sequences) {
            Some(reading) => reading.blocks.await.map_err(|error| Error::Nats(error.to_string()))??,
            None => read(sequences.clone()).await?,
        };
        if let Some(following) = following {
            let blocks = tokio::spawn(read(following.clone()));
            self.reading = Some(Reading { sequences: following, blocks });
        }
        let split = block_in_place(|| self.splitter.split(*sequences.start(), &blocks))?;
        let last = split.blocks.checked_sub(1).and_then(|last| blocks.get(last));
        let sequences = match last.filter(|_| split.blocks < blocks.len()) {
            // The rest of the part comes next.
            Some(last) => *sequences.start()..=last.sequence.min(*sequences.end()),
            None => sequences,
        };
        Ok(Ahead { sequences, split })
    }

    async fn commit(&mut self, ahead: Ahead) -> Result<(), Error> {
        let nats = &self.deployment.nats;
        let mut routed = self.routed.clone();
        routed.input = *ahead.sequences.end();
        ahead.split.count(&mut routed);
        let message = pointer::message(streams::ROUTED.to_owned(), &routed)?;
        match nats.commit(streams::EVENTS, &ahead.split.outputs, &message, self.fence, &self.metrics).await {
            Ok(fence) => (self.routed, self.fence, self.progressed) = (routed, fence, Instant::now()),
            Err(Error::Fenced(_)) => {
                self.ahead = Some(ahead);
                return self.reload().await;
            }
            Err(error) => return Err(error),
        }
        self.metrics.add_blocks(ahead.sequences.count() as u64);
        nats.nudge(nudge::ROUTERS).await;
        for partition in ahead.split.partitions {
            nats.nudge(&partition.to_string()).await;
        }
        if self.routed.input >= self.tidied + TIDY {
            self.tidy().await;
        }
        Ok(())
    }

    /// Removes what was routed, and all but the last pointer of each source.
    async fn tidy(&mut self) {
        self.tidied = self.routed.input;
        let nats = &self.deployment.nats;
        nats.keep_last(streams::EVENTS, streams::ROUTED).await;
        nats.tidy(streams::IN, &format!("{}*", streams::BLOCKS), self.routed.input + 1).await;
        let places = nats.subjects(streams::IN, streams::PLACES).await.unwrap_or_default();
        for (subject, _) in places.into_iter().filter(|(_, messages)| *messages > 1) {
            if let Ok(Some(last)) = nats.last(streams::IN, &subject).await {
                // What is not routed must have no gaps.
                nats.tidy(streams::IN, &subject, last.sequence.min(self.routed.input + 1)).await;
            }
        }
        if self.common_tidied.elapsed() >= TIDY_COMMON {
            self.common_tidied = Instant::now();
            if let Err(error) = self.tidy_common().await {
                info!("{}: {} is not tidied: {error}", streams::EVENTS, streams::COMMON);
            }
        }
    }

    /// Removes the shared records that no partition will need again, not even to recover.
    async fn tidy_common(&self) -> Result<(), Error> {
        let nats = &self.deployment.nats;
        let Some(last) = nats.last(streams::EVENTS, streams::COMMON).await? else { return Ok(()) };
        let events = nats.subjects(streams::EVENTS, "catena.events.*").await?;
        let mut before = last.sequence + 1;
        for partition in 0..self.deployment.partitions {
            let (pointer, _) = pointer::of_partition(nats, partition).await?;
            let safe = pointer.generations.get(1).map_or(0, |generation| generation.input);
            let subject = streams::events_of(partition);
            match nats.next(streams::EVENTS, &subject, safe + 1).await? {
                // What it refers to is stored with it, some messages before it.
                Some(next) => before = before.min(next.sequence.saturating_sub(MOST as u64)),
                // It has some, and no next one is known: that is no proof that it needs none.
                None if events.contains_key(&subject) => return Ok(()),
                None => {}
            }
        }
        nats.tidy(streams::EVENTS, streams::COMMON, before).await;
        Ok(())
    }
}

async fn load(deployment: &Deployment) -> Result<(Routed, Fence), Error> {
    let (mut routed, fence) = pointer::load::<Routed>(&deployment.nats, streams::EVENTS, streams::ROUTED).await?;
    if routed.epoch.is_empty() {
        routed.epoch.clone_from(&deployment.epoch);
    }
    Ok((routed, fence))
}

/// Reads the blocks that begin at some sequences, in order.
async fn read(nats: Nats, sequences: RangeInclusive<u64>) -> Result<Vec<Stored>, Error> {
    let (mut assembly, mut blocks) = (Assembly::default(), Vec::new());
    let mut end = *sequences.end();
    for message in messages(&nats, sequences).await? {
        blocks.extend(assembly.take(message));
    }
    while assembly.is_incomplete() {
        let message = nats.present_at(streams::IN, end + 1).await?;
        let Some(message) = message.filter(|message| assembly.is_continued_by(message)) else {
            // Anybody who may publish there can send half a block.
            warn!("{} at {end}: the rest of a block is missing", streams::IN);
            break;
        };
        end = message.sequence;
        blocks.extend(assembly.take(message));
    }
    Ok(blocks)
}

/// Reads what is stored at some sequences, in order, but for what is no block.
async fn messages(nats: &Nats, sequences: RangeInclusive<u64>) -> Result<Vec<Stored>, Error> {
    let (mut waiting, mut tasks, mut all) = (sequences, JoinSet::new(), Vec::new());
    loop {
        while tasks.len() < AT_ONCE
            && let Some(sequence) = waiting.next()
        {
            let nats = nats.clone();
            tasks.spawn(async move { nats.present_at(streams::IN, sequence).await });
        }
        let Some(one) = tasks.join_next().await else { break };
        all.extend(one.map_err(|error| Error::Nats(error.to_string()))??);
    }
    all.retain(|stored| stored.subject.starts_with(streams::BLOCKS));
    all.sort_unstable_by_key(|stored| stored.sequence);
    Ok(all)
}
