//! The correlator of one partition.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use bytes::Bytes;
use catena_host::{Mode, Supervisor};
use tokio::task::block_in_place;
use tracing::{debug, info, warn};

use crate::commit::{Fence, Outgoing};
use crate::deployment::{Deployment, EPOCH, MARKER};
use crate::metrics::StageMetrics;
use crate::nats::{Stored, header, present};
use crate::nudge::Nudges;
use crate::outputs::Outputs;
use crate::pointer::{self, Correlated};
use crate::shared::{References, SHARED};
use crate::{Error, Worker, block, checkpoint, joiner, streams};

/// After this many bytes of records a checkpoint is taken.
const CHECKPOINT_BYTES: usize = 64 << 20;

/// Outputs wait at most about so long for a commit.
const COMMIT_AFTER: Duration = Duration::from_secs(1);

/// How often the correlator's own counts are taken over.
const LOOK: Duration = Duration::from_secs(5);

pub(crate) struct Partition<'d> {
    deployment: &'d Deployment,
    number: u32,
    worker: &'d Worker,
    metrics: Arc<StageMetrics>,
    supervisor: Supervisor,
    mode: Mode,
    /// The epoch of the supervisor.
    epoch: String,
    pointer: Correlated,
    fence: Fence,
    /// The last sequence that the supervisor has processed.
    processed: u64,
    outputs: Outputs,
    /// How often the supervisor has gone on with less state.
    state_lost: u64,
    since_checkpoint: usize,
    checkpointed: Instant,
    committed: Instant,
    /// Whether this process has looked for checkpoints that nobody needs.
    has_cleaned: bool,
}

impl<'d> Partition<'d> {
    /// Loads the pointer and the last checkpoint that can be read, and processes again what came since.
    pub(crate) async fn recover(
        deployment: &'d Deployment,
        number: u32,
        worker: &'d Worker,
        metrics: Arc<StageMetrics>,
    ) -> Result<Self, Error> {
        let (pointer, fence) = pointer::of_partition(&deployment.nats, number).await?;
        deployment.nats.check_reaches(streams::EVENTS, pointer.input).await?;
        let mut start = None;
        for generation in &pointer.generations {
            match checkpoint::get(&deployment.nats, number, generation).await {
                Ok(bytes) => {
                    start = Some((generation.clone(), bytes));
                    break;
                }
                Err(error @ Error::Invalid(_)) => warn!("partition {number}: {error}; taking the checkpoint before it"),
                Err(error) => return Err(error),
            }
        }
        let (mut processed, mut epoch, bytes) = match start {
            Some((generation, bytes)) => (generation.input, generation.epoch, Some(bytes)),
            None if pointer.generations.len() > 1 => {
                return Err(Error::Invalid(format!("partition {number}: no checkpoint can be read")));
            }
            None => (0, String::new(), None),
        };
        // Nothing came before: the first block has the epoch.
        if epoch.is_empty() {
            epoch = deployment.first_epoch(number).await?;
        }
        if processed >= pointer.input
            && let Some((marker, new)) = deployment.handed_over(number, processed, &epoch).await?
        {
            // The version before has left it here.
            info!("partition {number}: taken over from another version, epoch {new}");
            (processed, epoch) = (marker, new);
        }
        let (supervisor, mode) = deployment.open(&epoch, Some(number), bytes).await?;
        let checkpointed = Instant::now();
        let mut partition = Self {
            deployment,
            number,
            worker,
            metrics,
            supervisor,
            mode,
            epoch,
            pointer,
            fence,
            processed,
            outputs: Outputs::of(number),
            state_lost: 0,
            since_checkpoint: 0,
            checkpointed,
            committed: Instant::now(),
            has_cleaned: false,
        };
        partition.replay().await?;
        Ok(partition)
    }

    /// Processes again what is committed since the checkpoint, for its state alone.
    async fn replay(&mut self) -> Result<(), Error> {
        let began = Instant::now();
        let mut blocks = 0;
        let (records, findings) = (self.pointer.records, self.pointer.findings);
        while self.processed < self.pointer.input {
            // All that came since the checkpoint before the last is there.
            let stored = present(&streams::events_of(self.number), || self.next()).await?;
            if stored.sequence > self.pointer.input {
                let (number, input) = (self.number, self.pointer.input);
                return Err(Error::Invalid(format!(
                    "partition {number}: what was committed up to {input} was removed"
                )));
            }
            self.process(stored).await?;
            self.outputs.take();
            blocks += 1;
        }
        (self.pointer.records, self.pointer.findings) = (records, findings);
        self.processed = self.processed.max(self.pointer.input);
        self.metrics.add_replayed_blocks(blocks);
        if blocks > 0 {
            info!("partition {}: {blocks} blocks processed again in {:.1?}", self.number, began.elapsed());
        }
        Ok(())
    }

    /// Works until it is told to stop, loses its lease, or another process has committed.
    pub(crate) async fn run(&mut self, is_lost: &AtomicBool, stop: &AtomicBool) -> Result<(), Error> {
        let mut nudges = Nudges::to(&self.deployment.nats, &self.number.to_string()).await;
        let mut looked: Option<Instant> = None;
        while !stop.load(Ordering::Relaxed) && !is_lost.load(Ordering::Relaxed) {
            let next = self.next().await?;
            let is_idle = next.is_none();
            let waits = next.as_ref().map_or(0, |stored| checkpoint::now_ms().saturating_sub(stored.time_ms));
            self.metrics.set_lag(waits);
            if let Some(stored) = next {
                if let Some(epoch) = header(&stored.headers, MARKER)
                    && self.deployment.is_foreign(epoch).await?
                {
                    // This version has processed all of its blocks; the next one resumes from this checkpoint.
                    self.checkpoint().await?;
                    let number = self.number;
                    return Err(Error::Epoch(format!("partition {number}: another version goes on from here")));
                }
                self.process(stored).await?;
            }
            let is_due = is_idle || self.committed.elapsed() >= COMMIT_AFTER;
            if (is_due && self.processed > self.pointer.input) || self.outputs.is_full() {
                self.commit().await?;
            }
            if self.since_checkpoint >= CHECKPOINT_BYTES || self.checkpointed.elapsed() >= self.worker.checkpoint_after
            {
                self.checkpoint().await?;
            }
            if looked.is_none_or(|at| at.elapsed() >= LOOK) {
                looked = Some(Instant::now());
                block_in_place(|| self.metrics.set_correlator(&mut self.supervisor, self.checkpointed));
            }
            if is_idle {
                nudges.wait().await;
            }
        }
        if !is_lost.load(Ordering::Relaxed) {
            // Whoever goes on need not process anything again.
            self.checkpoint().await?;
        }
        Ok(())
    }

    async fn next(&self) -> Result<Option<Stored>, Error> {
        block::next(&self.deployment.nats, streams::EVENTS, &streams::events_of(self.number), self.processed + 1).await
    }

    /// Processes one message, and adds what it gives.
    async fn process(&mut self, stored: Stored) -> Result<(), Error> {
        if let Some(epoch) = header(&stored.headers, MARKER).map(str::to_owned)
            && self.deployment.has_epoch(&epoch).await?
        {
            return self.enter(&epoch, stored.sequence).await;
        }
        match header(&stored.headers, EPOCH) {
            Some(epoch) if epoch == self.epoch => {}
            // A marker may have been missed, if a server could not read it.
            Some(epoch) if self.deployment.has_epoch(epoch).await? => {
                let epoch = epoch.to_owned();
                self.enter(&epoch, stored.sequence - 1).await?;
            }
            _ => {
                warn!("{} at {}: not from a router: ignored", streams::events_of(self.number), stored.sequence);
                self.processed = stored.sequence;
                return Ok(());
            }
        }
        let records = match block::decode(&stored.payload) {
            Ok(records) => records,
            Err(error) => {
                warn!("{} at {}: {error}", streams::events_of(self.number), stored.sequence);
                self.processed = stored.sequence;
                return Ok(());
            }
        };
        let references = header(&stored.headers, SHARED).map(serde_json::from_str::<References>).transpose();
        let references = references.map_err(|error| {
            Error::Invalid(format!("{} at {}: {error}", streams::events_of(self.number), stored.sequence))
        })?;
        let references = references.unwrap_or_default();
        let common = self.common(&references).await?;
        let (records, shared) = references.resolve(records, &common);
        // The time is the broker's: a replay gives the same.
        let outcome = block_in_place(|| self.supervisor.process(&records, stored.time_ms))?;
        self.check_state(stored.sequence)?;
        self.metrics.add_blocks(1);
        self.pointer.records += u64::from(outcome.records);
        self.pointer.findings += outcome.findings.len() as u64;
        self.since_checkpoint += records.len();
        self.outputs.add_findings(outcome.findings.iter());
        self.outputs.add_rejections(&records, &outcome.rejections, &shared);
        if self.mode != Mode::Findings {
            let (output, pieces) = shared.separate(&records, &outcome.splices);
            self.outputs.add_records(&output)?;
            self.outputs.add_pieces(&shared, &pieces)?;
        }
        self.processed = stored.sequence;
        Ok(())
    }

    /// A supervisor that could not restore its component goes on with less state. Here, the streams have all that it takes to restore it, so
    /// that is tried first, once for each block at which it happens.
    fn check_state(&mut self, sequence: u64) -> Result<(), Error> {
        let before = std::mem::replace(&mut self.state_lost, self.supervisor.health().state_lost);
        if self.state_lost == before || !self.metrics.has_lost_state_at(sequence) {
            return Ok(());
        }
        let number = self.number;
        Err(Error::Invalid(format!(
            "partition {number}: the component has lost its state at {sequence}; recovering it"
        )))
    }

    /// The blocks of shared records that a block refers to.
    async fn common(&self, references: &References) -> Result<BTreeMap<u32, Bytes>, Error> {
        let (nats, mut common) = (&self.deployment.nats, BTreeMap::new());
        for number in references.blocks() {
            let subject = streams::common_of(references.part, number);
            let stored = present(&subject, || block::next(nats, streams::EVENTS, &subject, 1)).await?;
            common.insert(number, block::decode(&stored.payload)?);
        }
        Ok(common)
    }

    /// Goes on with another configuration, and the state of all rules that it has too.
    async fn enter(&mut self, epoch: &str, sequence: u64) -> Result<(), Error> {
        let state = block_in_place(|| self.supervisor.checkpoint())?;
        (self.supervisor, self.mode) = self.deployment.open(epoch, Some(self.number), Some(state)).await?;
        self.state_lost = 0;
        debug!("partition {}: epoch {epoch}", self.number);
        self.epoch = epoch.to_owned();
        self.processed = sequence;
        Ok(())
    }

    async fn commit(&mut self) -> Result<(), Error> {
        if self.processed == self.pointer.input && self.outputs.is_empty() {
            return Ok(());
        }
        self.pointer.input = self.processed;
        self.pointer.epoch.clone_from(&self.epoch);
        self.pointer.worker.clone_from(&self.worker.name);
        let (outputs, has_pieces) = self.outputs.take();
        self.store(&outputs).await?;
        if has_pieces {
            self.deployment.nats.nudge(joiner::NAME).await;
        }
        Ok(())
    }

    async fn store(&mut self, outputs: &[Outgoing]) -> Result<(), Error> {
        self.committed = Instant::now();
        let message = pointer::message(streams::pointer_of(self.number), &self.pointer)?;
        self.fence = self.deployment.nats.commit(streams::OUT, outputs, &message, self.fence, &self.metrics).await?;
        Ok(())
    }

    /// Takes a checkpoint if there is anything new, and removes what nobody needs any more.
    async fn checkpoint(&mut self) -> Result<(), Error> {
        self.commit().await?;
        (self.since_checkpoint, self.checkpointed) = (0, Instant::now());
        // Both are of the same place at the end, so that all blocks can go: a full stream waits for room.
        let is_done = self.pointer.generations.get(1).is_some_and(|before| before.input == self.pointer.input);
        if is_done || self.fence == Fence(0) {
            return Ok(());
        }
        let nats = &self.deployment.nats;
        let state = block_in_place(|| self.supervisor.checkpoint())?;
        let generation = checkpoint::put(nats, self.number, &state, self.pointer.input, &self.epoch).await?;
        self.metrics.set_checkpoint_bytes(generation.bytes);
        self.pointer.generations.insert(0, generation);
        let old = self.pointer.generations.split_off(self.pointer.generations.len().min(2));
        self.store(&[]).await?;
        for generation in old {
            checkpoint::remove(nats, self.number, generation.number).await;
        }
        if !std::mem::replace(&mut self.has_cleaned, true) {
            checkpoint::remove_orphans(nats, self.number, &self.pointer.generations).await;
        }
        nats.keep_last(streams::OUT, &streams::pointer_of(self.number)).await;
        if let [_, before] = &*self.pointer.generations {
            nats.tidy(streams::EVENTS, &streams::events_of(self.number), before.input + 1).await;
        }
        Ok(())
    }
}

impl Deployment {
    /// The marker behind `sequence` by which a partition goes from a foreign epoch to one of this component, if it is next.
    async fn handed_over(&self, partition: u32, sequence: u64, epoch: &str) -> Result<Option<(u64, String)>, Error> {
        if !self.is_foreign(epoch).await? {
            return Ok(None);
        }
        let next = self.nats.next(streams::EVENTS, &streams::events_of(partition), sequence + 1).await?;
        let marker = next.as_ref().and_then(|next| Some((next.sequence, header(&next.headers, MARKER)?.to_owned())));
        match marker {
            Some((sequence, new)) if !self.is_foreign(&new).await? => Ok(Some((sequence, new))),
            _ => Ok(None),
        }
    }

    /// The epoch of the first block of a partition, or of the deployment if there is none.
    async fn first_epoch(&self, partition: u32) -> Result<String, Error> {
        let mut next = 1;
        while let Some(stored) = self.nats.next(streams::EVENTS, &streams::events_of(partition), next).await? {
            // Behind a marker, nothing was routed by the epoch before it.
            if let Some(epoch) = header(&stored.headers, EPOCH)
                && self.has_epoch(epoch).await?
            {
                return Ok(epoch.to_owned());
            }
            next = stored.sequence + 1;
        }
        Ok(self.epoch.clone())
    }
}
