//! A correlator that outlives its instances: after a trap it goes on from its last checkpoint.

use std::ops::Range;
use std::sync::Arc;
use std::time::{Duration, Instant};

use bytes::Bytes;
use memchr::{memchr, memrchr};
use tracing::warn;

use crate::merge::{Fate, Merge};
use crate::sandbox::{Correlator, Metric, Outcome, Rejection, Route, Sandbox};
use crate::{Error, Mode};

/// The code of the rejection of a record that the component fails on.
pub const POISON: &str = "poison";

/// What a supervisor keeps to be able to start again, and when it does so unasked.
#[derive(Clone, Copy, Debug)]
pub struct Bounds {
    /// How many bytes of batches are kept to be replayed. A checkpoint is taken before there are more.
    pub replay: usize,
    /// The memory of an instance, in bytes, beyond which it is replaced. Memory never shrinks by itself.
    pub recycle: usize,
}

impl Default for Bounds {
    /// 64 MiB; 512 MiB.
    fn default() -> Self {
        Self { replay: 64 << 20, recycle: 512 << 20 }
    }
}

/// What went wrong since the start. All only count up.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Health {
    /// Instances that were replaced after a trap.
    pub restarts: u64,
    /// Instances that were replaced because of their memory.
    pub recycled: u64,
    /// Records, or whole lines, that the component fails on.
    pub poison: u64,
    /// How often what was remembered had to be given up, because neither checkpoint nor replay went through.
    pub state_lost: u64,
}

/// Batches that fewer bytes than this were in are not worth a checkpoint, unless they are many.
const MIN_REPLAY: usize = 4 << 20;

/// So many batches are, however small.
const MAX_BATCHES: usize = 1_024;

/// The share of the time that checkpoints may take while there is room for batches, as a divisor.
const CHECKPOINT_SHARE: u32 = 50;

/// How much of a batch may prove to be poison before the rest of it is taken for that.
const MAX_POISON: u64 = 16;

/// A [`Correlator`] that is started again when it fails.
///
/// After a trap its store is dropped; a new instance resumes from the last checkpoint and is given the batches since,
/// whose outcomes are known already. Then the batch that failed is tried once more, and if it fails again it is halved
/// until the record that the component fails on stands alone. That is rejected as [`POISON`]; everything around it is
/// processed.
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
/// // As after a trap: what was remembered is still there.
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
    /// What the correlator was when it had been given none of `since`.
    checkpoint: Option<Bytes>,
    /// What it was given since, with the time it was told.
    since: Vec<(Bytes, u64)>,
    since_bytes: usize,
    /// How long the calls since took, and the last checkpoint.
    working: Duration,
    saving: Duration,
    /// How many bytes of batches there were when a checkpoint failed.
    unsaved: usize,
    /// What the instance had when it had caught up.
    memory_at_start: usize,
    health: Health,
}

impl Supervisor {
    /// A supervisor of a correlator that remembers nothing yet.
    ///
    /// # Errors
    ///
    /// As [`Sandbox::open`].
    pub fn open(sandbox: Arc<Sandbox>, config: &str, mode: Mode, bounds: Bounds) -> Result<Self, Error> {
        let correlator = sandbox.open(config)?;
        Ok(Self::new(sandbox, config, mode, bounds, correlator, None))
    }

    /// A supervisor of a correlator that goes on from a checkpoint.
    ///
    /// # Errors
    ///
    /// As [`Sandbox::resume`].
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
            since: Vec::new(),
            since_bytes: 0,
            working: Duration::ZERO,
            saving: Duration::ZERO,
            unsaved: 0,
            health: Health::default(),
            sandbox,
            bounds,
            correlator,
            checkpoint,
        }
    }

    /// Processes a batch, see [`Correlator::process`]. Keeps it for as long as it may have to be replayed.
    ///
    /// # Errors
    ///
    /// [`Error::Fault`]: nothing was consumed. Anything else only where no new instance can be opened.
    pub fn process(&mut self, batch: &Bytes, now: u64) -> Result<Outcome, Error> {
        let outcome = match self.attempt(batch, now) {
            Ok(outcome) => outcome,
            Err(error) if error.is_fault() => return Err(error),
            Err(error) => self.recover(batch, now, &error)?,
        };
        self.tidy()?;
        Ok(outcome)
    }

    fn attempt(&mut self, batch: &Bytes, now: u64) -> Result<Outcome, Error> {
        let began = Instant::now();
        let outcome = self.correlator.process(batch, now)?;
        self.working += began.elapsed();
        self.since_bytes += batch.len();
        self.since.push((batch.clone(), now));
        Ok(outcome)
    }

    /// Gets through a batch that failed, without what it fails on.
    fn recover(&mut self, batch: &Bytes, now: u64, error: &Error) -> Result<Outcome, Error> {
        self.replace(error)?;
        // What was no fault of the batch, such as a busy machine, costs it nothing.
        let error = match self.attempt(batch, now) {
            Ok(outcome) => return Ok(outcome),
            Err(error) if error.is_fault() => return Err(error),
            Err(error) => error,
        };
        self.replace(&error)?;
        // Each part that fails costs a start: let those not replay more than they must.
        if let Err(error) = self.checkpoint() {
            warn!("no checkpoint could be taken: {error}");
        }
        let poison_before = self.health.poison;
        let mut merge = Merge::new(batch, self.mode);
        self.halve(batch, 0..batch.len(), now, &error, &mut merge, poison_before + MAX_POISON)?;
        Ok(merge.finish())
    }

    /// Processes the parts of a part that fails as a whole. The instance is a new one.
    fn halve(
        &mut self,
        batch: &Bytes,
        whole: Range<usize>,
        now: u64,
        error: &Error,
        merge: &mut Merge<'_>,
        most_poison: u64,
    ) -> Result<(), Error> {
        let parts = match middle(&batch[whole.clone()]) {
            Some(middle) => vec![whole.start..whole.start + middle, whole.start + middle..whole.end],
            None => self.elements(batch, whole.clone())?,
        };
        if parts.is_empty() {
            // Once more, alone: a machine that is too busy must not make a record poison.
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
                    self.halve(batch, part, now, &error, merge, most_poison)?;
                }
            }
        }
        Ok(())
    }

    /// The records of a container that fills a line; none where it is no container, or the component cannot say.
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
        merge.part(part, Fate::Left);
    }

    fn quarantine_lines(&mut self, batch: &Bytes, part: Range<usize>, error: &Error, merge: &mut Merge<'_>) {
        let mut start = part.start;
        while start < part.end {
            let end = memchr(b'\n', &batch[start..part.end]).map_or(part.end, |length| start + length + 1);
            self.quarantine(batch, start..end, error, merge);
            start = end;
        }
    }

    /// Cuts a batch by identity, see [`Correlator::route`]. What the component cannot cut goes to the first partition
    /// as a whole: there it turns out what is wrong with it.
    ///
    /// # Errors
    ///
    /// As [`process`](Self::process).
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
                routes.push(Route { start, end, records: 1, partition: Some(0) });
                Ok(())
            }
        }
    }

    /// All that [`resume`](Self::resume) needs to go on from here.
    ///
    /// # Errors
    ///
    /// What the component failed with, twice. It goes on all the same, without having been saved.
    pub fn checkpoint(&mut self) -> Result<Bytes, Error> {
        let began = Instant::now();
        let checkpoint = self.ask(Correlator::checkpoint).or_else(|_| self.ask(Correlator::checkpoint))?;
        let checkpoint = Bytes::from(checkpoint);
        self.saving = began.elapsed();
        self.checkpoint = Some(checkpoint.clone());
        self.forget_batches();
        Ok(checkpoint)
    }

    fn forget_batches(&mut self) {
        self.since.clear();
        self.since_bytes = 0;
        self.unsaved = 0;
        self.working = Duration::ZERO;
    }

    /// Takes a checkpoint where there is no room for more batches or it costs next to nothing, and replaces an instance
    /// that has become too large.
    fn tidy(&mut self) -> Result<(), Error> {
        let worth = self.since_bytes >= MIN_REPLAY || self.since.len() >= MAX_BATCHES;
        let cheap = worth && self.saving * CHECKPOINT_SHARE <= self.working;
        let too_large = self.correlator.memory() >= self.bounds.recycle.max(2 * self.memory_at_start);
        // One that failed is tried again when there is twice as much to be saved.
        let wanted = (cheap || too_large) && self.since_bytes >= 2 * self.unsaved;
        if !wanted && self.since_bytes < self.bounds.replay {
            return Ok(());
        }
        if let Err(error) = self.checkpoint() {
            warn!("no checkpoint could be taken: {error}");
            self.unsaved = self.since_bytes.max(MIN_REPLAY);
            if self.since_bytes >= self.bounds.replay {
                // Nothing can be kept for ever. If it fails again, what these batches left is forgotten.
                self.forget_batches();
            }
        } else if too_large {
            let memory = self.correlator.memory();
            self.restart()?;
            self.health.recycled += 1;
            warn!(memory, left = self.correlator.memory(), "the instance was replaced because of its memory");
        }
        Ok(())
    }

    fn replace(&mut self, error: &Error) -> Result<(), Error> {
        self.health.restarts += 1;
        warn!(restarts = self.health.restarts, "the instance is replaced: {error}");
        self.restart()
    }

    /// Drops the instance and goes on with a new one that remembers the same.
    ///
    /// # Errors
    ///
    /// As [`open`](Self::open). Where the batches since the last checkpoint cannot be replayed, twice, the new
    /// instance remembers only that checkpoint, or nothing where it fails on that too; [`Health::state_lost`] says so.
    pub fn restart(&mut self) -> Result<(), Error> {
        let started = self.started().or_else(|_| self.started());
        self.correlator = match started {
            Ok(correlator) => correlator,
            Err(error) => {
                self.health.state_lost += 1;
                let resumed = self.checkpoint.as_ref().and_then(|saved| self.sandbox.resume(&self.config, saved).ok());
                let (batches, bytes) = (self.since.len(), self.since_bytes);
                self.forget_batches();
                match resumed {
                    Some(correlator) => {
                        warn!(batches, bytes, "what the last batches left is forgotten: {error}");
                        correlator
                    }
                    None => {
                        warn!("what was remembered is lost: {error}");
                        self.checkpoint = None;
                        self.sandbox.open(&self.config)?
                    }
                }
            }
        };
        self.memory_at_start = self.correlator.memory();
        Ok(())
    }

    fn started(&self) -> Result<Correlator, Error> {
        let mut correlator = match &self.checkpoint {
            None => self.sandbox.open(&self.config)?,
            Some(checkpoint) => self.sandbox.resume(&self.config, checkpoint)?,
        };
        for (batch, now) in &self.since {
            correlator.process(batch, *now)?;
        }
        Ok(correlator)
    }

    /// The counters and gauges of the component, by name.
    ///
    /// # Errors
    ///
    /// What the component failed with. It goes on all the same.
    pub fn metrics(&mut self) -> Result<Vec<Metric>, Error> {
        self.ask(Correlator::metrics)
    }

    /// Asks the instance for what changes nothing, and replaces it where it fails.
    fn ask<T>(&mut self, ask: impl FnOnce(&mut Correlator) -> Result<T, Error>) -> Result<T, Error> {
        let answer = ask(&mut self.correlator);
        if let Err(error) = &answer {
            self.replace(error)?;
        }
        answer
    }

    /// What went wrong since the start.
    pub fn health(&self) -> Health {
        self.health
    }

    /// How many bytes of batches are kept to be replayed.
    pub fn replayable(&self) -> usize {
        self.since_bytes
    }

    /// How much memory the instance has, in bytes.
    pub fn memory(&self) -> usize {
        self.correlator.memory()
    }

    /// What becomes of the stream.
    pub fn mode(&self) -> Mode {
        self.mode
    }
}

/// The line's end nearest to the middle that leaves something on both sides.
fn middle(bytes: &[u8]) -> Option<usize> {
    let (left, right) = bytes.split_at(bytes.len() / 2);
    let at = memrchr(b'\n', left).or_else(|| memchr(b'\n', right).map(|at| left.len() + at))?;
    (at + 1 < bytes.len()).then_some(at + 1)
}
