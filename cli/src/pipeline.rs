//! The correlation pipeline: one correlator on the calling thread, or several on worker threads, partitioned by
//! identity.

mod shards;
mod workers;

use std::sync::Arc;
use std::time::SystemTime;

use bytes::Bytes;
use catena_host::{Bounds, Error, Health, Metric, Mode, Outcome, Sandbox, Supervisor, with_partition};

use super::metric;
use super::sink::WriteError;
use catena_input::framing::{Batch, Kind};
use workers::Workers;

/// A batch and the input it came from.
#[derive(Clone, Debug)]
pub struct InputBatch {
    pub input: Arc<str>,
    pub batch: Batch,
}

/// Receives the outcomes of the pipeline, in the order of its batches.
pub trait OutcomeSink {
    /// Takes one batch. `outcome` is `None` if the batch was not given to the component: it is part of a record that is
    /// too long.
    fn take(&mut self, item: InputBatch, outcome: Option<Outcome>) -> Result<(), WriteError>;
}

/// The correlators, on one thread or several.
pub enum Pipeline {
    /// One correlator, on the calling thread.
    One(Box<Supervisor>),
    /// Several, each on a worker thread.
    Workers(Workers),
}

/// A snapshot of the pipeline's metrics.
#[derive(Default)]
pub struct Report {
    /// The metrics of all correlators, summed.
    pub metrics: Vec<Metric>,
    pub health: Health,
    /// Memory of all instances, in bytes.
    pub memory: usize,
    pub instances: usize,
}

impl Pipeline {
    /// Opens `jobs` correlators, each from its checkpoint if there is one.
    pub fn open(
        sandbox: &Arc<Sandbox>,
        config: &str,
        mode: Mode,
        jobs: usize,
        checkpoints: &[Bytes],
    ) -> Result<Self, Error> {
        let open = |config: &str, checkpoint: Option<&Bytes>| match checkpoint {
            None => Supervisor::open(Arc::clone(sandbox), config, mode, Bounds::default()),
            Some(checkpoint) => {
                Supervisor::resume(Arc::clone(sandbox), config, mode, Bounds::default(), checkpoint.clone())
            }
        };
        if jobs == 1 {
            return Ok(Self::One(Box::new(open(config, checkpoints.first())?)));
        }
        let open_one = |job| open(&with_partition(config, job as u32, jobs as u32), checkpoints.get(job));
        let supervisors: Result<Vec<_>, _> = (0..jobs).map(open_one).collect();
        Ok(Self::Workers(Workers::start(supervisors?)))
    }

    /// Submits a batch. Passes on all outcomes that are ready, of this batch or earlier ones.
    pub fn put(&mut self, item: InputBatch, to: &mut impl OutcomeSink) -> Result<(), RunError> {
        match self {
            Self::One(supervisor) => {
                let outcome = match item.batch.kind {
                    Kind::Records => supervisor.process(item.batch.bytes(), now()).map(Some),
                    Kind::TooLong { .. } => Ok(None),
                };
                let outcome = outcome.map_err(|error| RunError::at(&item, &error))?;
                Ok(to.take(item, outcome)?)
            }
            Self::Workers(many) => many.put(item, to),
        }
    }

    /// Passes on the outcomes that are ready, without waiting for others.
    pub fn collect(&mut self, to: &mut impl OutcomeSink) -> Result<(), RunError> {
        match self {
            Self::One(_) => Ok(()),
            Self::Workers(many) => many.collect(to),
        }
    }

    /// Waits for all submitted batches and passes on their outcomes.
    pub fn drain(&mut self, to: &mut impl OutcomeSink) -> Result<(), RunError> {
        match self {
            Self::One(_) => Ok(()),
            Self::Workers(many) => many.drain(to),
        }
    }

    /// Takes a checkpoint of each correlator. The pipeline must be drained.
    pub fn checkpoints(&mut self) -> Result<Vec<Bytes>, Error> {
        match self {
            Self::One(supervisor) => Ok(vec![supervisor.checkpoint()?]),
            Self::Workers(many) => many.checkpoints(),
        }
    }

    /// Collects metrics and health from all correlators.
    pub fn report(&mut self) -> Report {
        let mut report = Report::default();
        match self {
            Self::One(supervisor) => report.add(supervisor),
            Self::Workers(many) => many.report(&mut report),
        }
        report
    }
}

impl Report {
    fn add(&mut self, supervisor: &mut Supervisor) {
        // A correlator that fails here is restarted, which its health shows.
        for metric in supervisor.metrics().unwrap_or_default() {
            metric::add(&mut self.metrics, metric);
        }
        let health = supervisor.health();
        self.health.restarts += health.restarts;
        self.health.recycled += health.recycled;
        self.health.poison += health.poison;
        self.health.state_lost += health.state_lost;
        self.memory += supervisor.memory();
        self.instances += 1;
    }
}

/// A fatal error of the pipeline.
#[derive(Debug)]
pub enum RunError {
    /// The component refused a batch or could not be restarted.
    Component(String),
    /// An output could not be written.
    Output(WriteError),
}

impl From<WriteError> for RunError {
    fn from(error: WriteError) -> Self {
        Self::Output(error)
    }
}

impl RunError {
    fn at(item: &InputBatch, error: &Error) -> Self {
        let (input, Batch { original, line, .. }) = (&item.input, &item.batch);
        Self::Component(format!("{input}:{line}: in a batch of {} bytes: {error}", original.len()))
    }
}

/// The system time, in ms since the Unix epoch.
fn now() -> u64 {
    SystemTime::UNIX_EPOCH.elapsed().map_or(0, |elapsed| elapsed.as_millis() as u64)
}
