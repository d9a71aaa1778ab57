//! The component at work: on this thread, or on several, each with the identities that are its own.

mod many;
mod shards;

use std::sync::Arc;
use std::time::SystemTime;

use bytes::Bytes;
use catena_host::{Bounds, Error, Health, Metric, Mode, Outcome, Sandbox, Supervisor};

use super::sink::WriteError;
use catena_input::framing::{Batch, Kind};
use many::Many;

/// A batch on its way, and where it is from.
#[derive(Clone, Debug)]
pub struct Job {
    pub input: Arc<str>,
    pub batch: Batch,
}

/// Takes what comes out of the pipeline, in the order in which it went in. No outcome: the component did not get it.
pub trait OutcomeSink {
    /// Takes one batch.
    fn take(&mut self, job: Job, outcome: Option<Outcome>) -> Result<(), WriteError>;
}

/// One correlation, on one thread or several.
pub enum Pipeline {
    /// On the thread that calls.
    One(Box<Supervisor>),
    /// On threads of their own.
    Many(Many),
}

/// What is asked of the pipeline from time to time.
#[derive(Default)]
pub struct Report {
    /// The metrics of all correlators, summed up.
    pub metrics: Vec<Metric>,
    pub health: Health,
    /// The memory of all instances, in bytes.
    pub memory: usize,
    pub instances: usize,
}

impl Pipeline {
    /// Opens `jobs` correlators, from checkpoints where there are some.
    pub fn open(sandbox: Sandbox, config: &str, mode: Mode, jobs: usize, checkpoints: &[Bytes]) -> Result<Self, Error> {
        let sandbox = Arc::new(sandbox);
        let open = |job: usize| match checkpoints.get(job) {
            None => Supervisor::open(Arc::clone(&sandbox), config, mode, Bounds::default()),
            Some(checkpoint) => {
                Supervisor::resume(Arc::clone(&sandbox), config, mode, Bounds::default(), checkpoint.clone())
            }
        };
        if jobs == 1 {
            return Ok(Self::One(Box::new(open(0)?)));
        }
        let supervisors: Result<Vec<_>, _> = (0..jobs).map(open).collect();
        Ok(Self::Many(Many::start(supervisors?)))
    }

    /// Puts a batch in. What is done by then comes out, of this batch or of those before.
    pub fn put(&mut self, job: Job, to: &mut impl OutcomeSink) -> Result<(), Fault> {
        match self {
            Self::One(supervisor) => {
                let outcome = match job.batch.kind {
                    Kind::Records => supervisor.process(job.batch.bytes(), now()).map(Some),
                    Kind::TooLong { .. } => Ok(None),
                };
                let outcome = outcome.map_err(|error| Fault::at(&job, &error))?;
                Ok(to.take(job, outcome)?)
            }
            Self::Many(many) => many.put(job, to),
        }
    }

    /// Waits until all that was put in has come out.
    pub fn drain(&mut self, to: &mut impl OutcomeSink) -> Result<(), Fault> {
        match self {
            Self::One(_) => Ok(()),
            Self::Many(many) => many.drain(to),
        }
    }

    /// A checkpoint of each correlator. Nothing may be on its way.
    pub fn checkpoints(&mut self) -> Result<Vec<Bytes>, Error> {
        match self {
            Self::One(supervisor) => Ok(vec![supervisor.checkpoint()?]),
            Self::Many(many) => many.checkpoints(),
        }
    }

    /// How it goes.
    pub fn report(&mut self) -> Report {
        let mut report = Report::default();
        match self {
            Self::One(supervisor) => report.add(supervisor),
            Self::Many(many) => many.report(&mut report),
        }
        report
    }
}

impl Report {
    fn add(&mut self, supervisor: &mut Supervisor) {
        // One that cannot tell is started again, which its health tells.
        for metric in supervisor.metrics().unwrap_or_default() {
            match self.metrics.iter_mut().find(|known| known.name == metric.name) {
                // Of times the earliest that is known, of everything else the sum.
                Some(known) if metric.name == "now:watermark" => {
                    let known_times = [known.value, metric.value].into_iter().filter(|time| *time > 0);
                    known.value = known_times.min().unwrap_or_default();
                }
                Some(known) => known.value += metric.value,
                None => self.metrics.push(metric),
            }
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

/// Why the pipeline stands still.
#[derive(Debug)]
pub enum Fault {
    /// The component refuses a batch, or cannot be started any more: where, and why.
    Component(String),
    /// What comes out cannot be written.
    WriteError(WriteError),
}

impl From<WriteError> for Fault {
    fn from(unwritten: WriteError) -> Self {
        Self::WriteError(unwritten)
    }
}

impl Fault {
    fn at(job: &Job, error: &Error) -> Self {
        let (input, Batch { original, line, .. }) = (&job.input, &job.batch);
        Self::Component(format!("{input}, in the {} bytes from line {line}: {error}", original.len()))
    }
}

/// The time of this machine, in ms since 1970.
fn now() -> u64 {
    SystemTime::UNIX_EPOCH.elapsed().map_or(0, |elapsed| elapsed.as_millis() as u64)
}
