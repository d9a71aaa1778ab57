//! A correlator that survives traps: it restarts from the last checkpoint and replays the batches since.

use std::ops::Range;
use std::sync::Arc;
use std::time::{Duration, Instant};

use bytes::Bytes;
use memchr::{memchr, memrchr};
use tracing::warn;

use crate::merge::{Fate, Merge};
use crate::sandbox::{Correlator, Metric, Rejection, Route, Sandbox};
use crate::{Error, Mode, Outcome};

/// The rejection code of a poison record: one on which the component fails.
pub const POISON: &str = "poison";

/// Limits on the replay buffer of a supervisor and on the memory of its instances.
#[derive(Clone, Copy, Debug)]
pub struct Bounds {
    /// Maximum bytes of batches kept for replay. A checkpoint is taken when it is reached.
    pub replay: usize,
    /// The memory of an instance, in bytes, from which on it is replaced. Its memory never shrinks.
    pub recycle: usize,
}

impl Default for Bounds {
    /// `replay`: 64 MiB; `recycle`: 512 MiB.
    fn default() -> Self {
        Self { replay: 64 << 20, recycle: 512 << 20 }
    }
}

/// Failures since the start. All counters are monotonic.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Health {
    /// Instances that were replaced after a trap.
    pub restarts: u64,
    /// Instances that were replaced because of their memory.
    pub recycled: u64,
    /// Poison records, or whole lines, on which the component fails.
    pub poison: u64,
    /// Restarts that lost all state, or the state since the last checkpoint, because resume and replay failed twice.
    pub state_lost: u64,
}

/// With fewer bytes of batches than this, a checkpoint is not worthwhile, unless there are [`MAX_BATCHES`].
const MIN_REPLAY: usize = 4 << 20;

/// This many batches are worth a checkpoint, however small.
const MAX_BATCHES: usize = 1_024;

/// Checkpoints may take one part in this many of the processing time, as long as the replay buffer has room.
const CHECKPOINT_SHARE: u32 = 50;

/// After this many poison records in one batch, the rest of the batch is rejected as poison too.
const MAX_POISON: u64 = 16;

/// A [`Correlator`] that is restarted when it fails.
///
/// After a trap its store is dropped. A new instance resumes from the last checkpoint and replays the batches since,
/// whose outcomes are known already. Then the failed batch is retried; if it fails again, it is bisected down to the
/// poison record. That record is rejected as [`POISON`]; all others are processed.
///
/// # Example
///
/// ```
/// use std::sync::Arc;
///
/// use bytes::Bytes;
/// use catena_component::COMPONENT;
/// use catena_host::{Bounds, Limits, Mode, Sandbox, Supervisor};
///
/// let sandbox = Arc::new(Sandbox::new(COMPONENT, Limits::default())?);
/// let mut supervisor = Supervisor::open(sandbox, "{}", Mode::Enrich, Bounds::default())?;
/// let batch = Bytes::from_static(b"{\"eventName\":\"DescribeInstances\"}\n");
/// supervisor.process(&batch, 1_767_607_200_000)?;
/// // As after a trap: the state is preserved.
/// supervisor.restart()?;
/// assert_eq!(supervisor.process(&batch, 1_767_607_200_000)?.records, 1);
/// # Ok::<(), catena_host::Error>(())
/// ```
pub struct Supervisor {
    sandbox: Arc<Sandbox>,
    config: String,
    mode: Mode,
    bounds: Bounds,
    correlator: Correlator,
    /// The checkpoint taken before the first batch of `since`.
    checkpoint: Option<Bytes>,
    /// The replay buffer: the batches since the checkpoint, each with its `now`.
    replay: Vec<(Bytes, Option<u64>)>,
    replay_bytes: usize,
    /// The total duration of the calls since the checkpoint.
    busy_since_checkpoint: Duration,
    /// How long the last checkpoint took.
    checkpoint_duration: Duration,
    /// The size of the replay buffer when a checkpoint failed, in bytes.
    failed_checkpoint_bytes: usize,
    /// The memory of the instance when its replay was complete, in bytes.
    memory_at_start: usize,
    health: Health,
}

impl Supervisor {
    /// Opens a correlator with empty state under a supervisor.
    ///
    /// # Errors
    ///
    /// As for [`Sandbox::open`].
    pub fn open(sandbox: Arc<Sandbox>, config: &str, mode: Mode, bounds: Bounds) -> Result<Self, Error> {
        let correlator = sandbox.open(config)?;
        Ok(Self::new(sandbox, config, mode, bounds, correlator, None))
    }

    /// Opens a correlator that resumes from a checkpoint under a supervisor.
    ///
    /// # Errors
    ///
    /// As for [`Sandbox::resume`].
    pub fn resume(
        sandbox: Arc<Sandbox>,
        config: &str,
        mode: Mode,
        bounds: Bounds,
        checkpoint: Bytes,
    ) -> Result<Self, Error> {
        let correlator = sandbox.resume(config, &checkpoint)?;
        Ok(Self::new(sandbox, config, mode, bounds, correlator, Some(checkpoint)))
    }

    fn new(
        sandbox: Arc<Sandbox>,
        config: &str,
        mode: Mode,
        bounds: Bounds,
        correlator: Correlator,
        checkpoint: Option<Bytes>,
    ) -> Self {
        Self {
            mode,
            config: config.to_owned(),
            memory_at_start: correlator.memory(),
            replay: Vec::new(),
            replay_bytes: 0,
            busy_since_checkpoint: Duration::ZERO,
            checkpoint_duration: Duration::ZERO,
            failed_checkpoint_bytes: 0,
            health: Health::default(),
            sandbox,
            bounds,
            correlator,
            checkpoint,
        }
    }

    /// Processes a batch, see [`Correlator::process`]. Keeps the batch for replay until the next checkpoint.
    ///
    /// # Errors
    ///
    /// [`Error::Fault`]: nothing was consumed, unless an earlier call on a part of the same batch trapped. Any other
    /// error means that no new instance could be opened.
    pub fn process(&mut self, batch: &Bytes, now_ms: impl Into<Option<u64>>) -> Result<Outcome, Error> {
        let now = now_ms.into();
        let outcome = match self.attempt(batch, now) {
            Ok(outcome) => outcome,
            Err(error) if error.is_fault() => return Err(error),
            Err(error) => self.recover(batch, now, &error)?,
        };
        self.maintain()?;
        Ok(outcome)
    }

    fn attempt(&mut self, batch: &Bytes, now: Option<u64>) -> Result<Outcome, Error> {
        let began = Instant::now();
        let outcome = self.correlator.process(batch, now)?;
        self.busy_since_checkpoint += began.elapsed();
        self.replay_bytes += batch.len();
        self.replay.push((batch.clone(), now));
        Ok(outcome)
    }

    /// Processes a batch that failed, except for its poison records.
    fn recover(&mut self, batch: &Bytes, now: Option<u64>, error: &Error) -> Result<Outcome, Error> {
        self.replace(error)?;
        // The batch may not be the cause of the failure: a busy machine can exceed the deadline.
        let error = match self.attempt(batch, now) {
            Ok(outcome) => return Ok(outcome),
            Err(error) if error.is_fault() => return Err(error),
            Err(error) => error,
        };
        self.replace(&error)?;
        // Each part that fails costs a restart: a checkpoint now keeps their replays short.
        if let Err(error) = self.checkpoint() {
            warn!("cannot take a checkpoint: {error}");
        }
        let poison_before = self.health.poison;
        let mut merge = Merge::new(batch, self.mode);
        self.bisect(batch, 0..batch.len(), now, &error, &mut merge, poison_before + MAX_POISON)?;
        Ok(merge.finish())
    }

    /// Bisects a part that failed and processes its halves. The instance has just been replaced.
    fn bisect(
        &mut self,
        batch: &Bytes,
        whole: Range<usize>,
        now: Option<u64>,
        error: &Error,
        merge: &mut Merge<'_>,
        most_poison: u64,
    ) -> Result<(), Error> {
        let parts = match middle(&batch[whole.clone()]) {
            Some(middle) => vec![whole.start..whole.start + middle, whole.start + middle..whole.end],
            None => self.elements(batch, whole.clone())?,
        };
        if parts.is_empty() {
            // Retry the record alone: a deadline exceeded on a busy machine must not make it poison.
            match self.attempt(&batch.slice(whole.clone()), now) {
                Ok(outcome) => merge.add(whole, outcome),
                Err(error) if error.is_fault() => return Err(error),
                Err(error) => {
                    self.replace(&error)?;
                    self.quarantine(batch, whole, &error, merge);
                }
            }
            return Ok(());
        }
        for part in parts {
            if self.health.poison >= most_poison {
                self.quarantine_lines(batch, part, error, merge);
                continue;
            }
            match self.attempt(&batch.slice(part.clone()), now) {
                Ok(outcome) => merge.add(part, outcome),
                Err(error) if error.is_fault() => return Err(error),
                Err(error) => {
                    self.replace(&error)?;
                    self.bisect(batch, part, now, &error, merge, most_poison)?;
                }
            }
        }
        Ok(())
    }

    /// The records of a line that is a container. Empty if it is not one, or if the component fails on it.
    fn elements(&mut self, batch: &Bytes, line: Range<usize>) -> Result<Vec<Range<usize>>, Error> {
        let routes = match self.correlator.route(&batch[line.clone()], 1) {
            Ok(routes) => routes,
            Err(error) if error.is_fault() => return Ok(Vec::new()),
            Err(error) => {
                self.replace(&error)?;
                return Ok(Vec::new());
            }
        };
        let part = |route: &Route| line.start + route.start as usize..line.start + route.end as usize;
        let parts: Vec<_> = routes.iter().map(part).collect();
        Ok(if parts.first().is_some_and(|first| first.start > line.start) { parts } else { Vec::new() })
    }

    fn quarantine(&mut self, batch: &Bytes, part: Range<usize>, error: &Error, merge: &mut Merge<'_>) {
        let text = batch[part.clone()].trim_ascii_end();
        if !text.is_empty() {
            self.health.poison += 1;
            merge.outcome.records += 1;
            merge.outcome.rejections.push(Rejection {
                start: part.start as u32,
                end: (part.start + text.len()) as u32,
                code: POISON.to_owned(),
                detail: error.to_string(),
            });
        }
        merge.part(part, Fate::Unprocessed);
    }

    fn quarantine_lines(&mut self, batch: &Bytes, part: Range<usize>, error: &Error, merge: &mut Merge<'_>) {
        let mut start = part.start;
        while start < part.end {
            let end = memchr(b'\n', &batch[start..part.end]).map_or(part.end, |length| start + length + 1);
            self.quarantine(batch, start..end, error, merge);
            start = end;
        }
    }

    /// Partitions a batch by identity, see [`Correlator::route`]. A line on which the component fails goes to the first
    /// partition as a whole; processing it there determines whether it is poison.
    ///
    /// # Errors
    ///
    /// As for [`process`](Self::process).
    pub fn route(&mut self, batch: &Bytes, partitions: u32) -> Result<Vec<Route>, Error> {
        let error = match self.correlator.route(batch, partitions) {
            Ok(routes) => return Ok(routes),
            Err(error) if error.is_fault() => return Err(error),
            Err(error) => error,
        };
        self.replace(&error)?;
        let mut routes = Vec::new();
        self.route_halves(batch, 0..batch.len(), partitions, &mut routes)?;
        Ok(routes)
    }

    fn route_halves(
        &mut self,
        batch: &Bytes,
        whole: Range<usize>,
        partitions: u32,
        routes: &mut Vec<Route>,
    ) -> Result<(), Error> {
        match self.correlator.route(&batch[whole.clone()], partitions) {
            Ok(found) => {
                let start = whole.start as u32;
                let moved = |route: Route| Route { start: route.start + start, end: route.end + start, ..route };
                routes.extend(found.into_iter().map(moved));
                return Ok(());
            }
            Err(error) if error.is_fault() => return Err(error),
            Err(error) => self.replace(&error)?,
        }
        match middle(&batch[whole.clone()]) {
            Some(middle) => {
                self.route_halves(batch, whole.start..whole.start + middle, partitions, routes)?;
                self.route_halves(batch, whole.start + middle..whole.end, partitions, routes)
            }
            None => {
                let (start, end) = (whole.start as u32, whole.end as u32);
                routes.push(Route { start, end, records: 1, partitions: vec![0] });
                Ok(())
            }
        }
    }

    /// Takes a checkpoint for [`resume`](Self::resume).
    ///
    /// # Errors
    ///
    /// The error of the second attempt, if both fail. The supervisor remains usable, without a new checkpoint.
    pub fn checkpoint(&mut self) -> Result<Bytes, Error> {
        let began = Instant::now();
        let checkpoint = self.ask(Correlator::checkpoint).or_else(|_| self.ask(Correlator::checkpoint))?;
        let checkpoint = Bytes::from(checkpoint);
        self.checkpoint_duration = began.elapsed();
        self.checkpoint = Some(checkpoint.clone());
        self.forget_batches();
        Ok(checkpoint)
    }

    fn forget_batches(&mut self) {
        self.replay.clear();
        self.replay_bytes = 0;
        self.failed_checkpoint_bytes = 0;
        self.busy_since_checkpoint = Duration::ZERO;
    }

    /// Takes a checkpoint if the replay buffer is full, the checkpoint is cheap, or the instance has grown too large.
    /// In the last case, replaces the instance too.
    fn maintain(&mut self) -> Result<(), Error> {
        let worth = self.replay_bytes >= MIN_REPLAY || self.replay.len() >= MAX_BATCHES;
        let cheap = worth && self.checkpoint_duration * CHECKPOINT_SHARE <= self.busy_since_checkpoint;
        let too_large = self.correlator.memory() >= self.bounds.recycle.max(2 * self.memory_at_start);
        // After a failed checkpoint, retry once the replay buffer has doubled.
        let wanted = (cheap || too_large) && self.replay_bytes >= 2 * self.failed_checkpoint_bytes;
        if !wanted && self.replay_bytes < self.bounds.replay {
            return Ok(());
        }
        if let Err(error) = self.checkpoint() {
            warn!("cannot take a checkpoint: {error}");
            self.failed_checkpoint_bytes = self.replay_bytes.max(MIN_REPLAY);
            if self.replay_bytes >= self.bounds.replay {
                // The buffer must stay bounded. If the instance traps now, the state from these batches is lost.
                self.forget_batches();
            }
        } else if too_large {
            let memory = self.correlator.memory();
            self.restart()?;
            self.health.recycled += 1;
            warn!(memory, left = self.correlator.memory(), "the instance was replaced because of its memory use");
        }
        Ok(())
    }

    fn replace(&mut self, error: &Error) -> Result<(), Error> {
        self.health.restarts += 1;
        warn!(restarts = self.health.restarts, "the instance is replaced: {error}");
        self.restart()
    }

    /// Replaces the instance with a new one in the same state.
    ///
    /// # Errors
    ///
    /// As for [`open`](Self::open). If replaying the batches since the last checkpoint fails twice, the new instance
    /// has only the state of that checkpoint, or none if that fails too; [`Health::state_lost`] counts this.
    pub fn restart(&mut self) -> Result<(), Error> {
        let started = self.start_and_replay().or_else(|_| self.start_and_replay());
        self.correlator = match started {
            Ok(correlator) => correlator,
            Err(error) => {
                self.health.state_lost += 1;
                let resumed = self.checkpoint.as_ref().and_then(|saved| self.sandbox.resume(&self.config, saved).ok());
                let (batches, bytes) = (self.replay.len(), self.replay_bytes);
                self.forget_batches();
                match resumed {
                    Some(correlator) => {
                        warn!(batches, bytes, "the state since the last checkpoint is lost: {error}");
                        correlator
                    }
                    None => {
                        warn!("all state is lost: {error}");
                        self.checkpoint = None;
                        self.sandbox.open(&self.config)?
                    }
                }
            }
        };
        self.memory_at_start = self.correlator.memory();
        Ok(())
    }

    fn start_and_replay(&self) -> Result<Correlator, Error> {
        let mut correlator = match &self.checkpoint {
            None => self.sandbox.open(&self.config)?,
            Some(checkpoint) => self.sandbox.resume(&self.config, checkpoint)?,
        };
        for (batch, now) in &self.replay {
            correlator.process(batch, *now)?;
        }
        Ok(correlator)
    }

    /// The counters and gauges of the component.
    ///
    /// # Errors
    ///
    /// The error of the component. The supervisor remains usable.
    pub fn metrics(&mut self) -> Result<Vec<Metric>, Error> {
        self.ask(Correlator::metrics)
    }

    /// Makes a call that changes no state, and replaces the instance if it fails.
    fn ask<T>(&mut self, ask: impl FnOnce(&mut Correlator) -> Result<T, Error>) -> Result<T, Error> {
        let answer = ask(&mut self.correlator);
        if let Err(error) = &answer
            && !error.is_fault()
        {
            self.replace(error)?;
        }
        answer
    }

    /// Failures since the start.
    pub fn health(&self) -> Health {
        self.health
    }

    /// The size of the replay buffer, in bytes.
    pub fn replayable(&self) -> usize {
        self.replay_bytes
    }

    /// The memory of the instance, in bytes.
    pub fn memory(&self) -> usize {
        self.correlator.memory()
    }

    /// The mode it was opened with.
    pub fn mode(&self) -> Mode {
        self.mode
    }
}

/// The end of a line near the middle, with bytes on both sides of it; `None` if there is none.
fn middle(bytes: &[u8]) -> Option<usize> {
    let (left, right) = bytes.split_at(bytes.len() / 2);
    let at = memrchr(b'\n', left).or_else(|| memchr(b'\n', right).map(|at| left.len() + at))?;
    (at + 1 < bytes.len()).then_some(at + 1)
}
