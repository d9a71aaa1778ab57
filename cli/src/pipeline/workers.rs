//! Several correlators on worker threads.
//!
//! Any idle worker routes the next batch, that is, splits it by identity. Routing scans every byte and is most of the
//! work. The few records that a rule may match then go to the worker whose partition has their identity, in the order
//! of the batches. The outcomes of all partitions are merged and emitted in the same order.

use std::collections::VecDeque;
use std::thread;

use bytes::Bytes;
use catena_host::{Error, Mode, Outcome, Route, Supervisor};
use crossbeam_channel::{Receiver, Sender, bounded, select_biased, unbounded};

use super::shards::Shards;
use super::{InputBatch, OutcomeSink, Report, RunError, now};
use catena_input::framing::Kind;

/// Batches in flight per worker thread, enough that some can be routed while others are processed.
const AHEAD: usize = 3;

/// A task for one particular worker.
enum Task {
    /// Process its partition of the batch with this number.
    Process(u64, Bytes),
    Checkpoint(Sender<Result<Bytes, Error>>),
    /// Add its metrics to the report.
    Report(Box<Report>, Sender<Box<Report>>),
}

/// A result from a worker.
enum Done {
    Routed(u64, Result<Vec<Route>, Error>),
    Processed(u64, usize, Result<Outcome, Error>),
    /// The worker panicked, which is a bug in this program. Its unfinished tasks are lost.
    Ended,
}

/// Sends [`Done::Ended`] if its thread panics, so that the main thread does not wait forever.
struct PanicGuard<'d>(&'d Sender<Done>);

impl Drop for PanicGuard<'_> {
    fn drop(&mut self) {
        if thread::panicking() {
            let _ = self.0.send(Done::Ended);
        }
    }
}

/// A batch in flight.
struct Pending {
    item: InputBatch,
    stage: Stage,
}

enum Stage {
    /// Not for the component; passed through in order.
    Skipped,
    /// Being routed.
    Routing,
    /// Routed; waits for earlier batches to be dispatched.
    Routed(Vec<Route>),
    /// Dispatched to the workers; `missing` partitions are not finished.
    Processing {
        shards: Shards,
        outcomes: Vec<Option<Outcome>>,
        missing: usize,
    },
    Done(Box<Outcome>),
}

/// The worker threads and the batches in flight.
pub struct Workers {
    tasks: Vec<Sender<Task>>,
    to_route: Sender<(u64, Bytes)>,
    done: Receiver<Done>,
    pending: VecDeque<Pending>,
    /// The number of the first pending batch.
    first: u64,
    /// The number of the first batch that has not been dispatched.
    next: u64,
    mode: Mode,
}

impl Workers {
    /// Starts a worker thread for each correlator.
    pub fn start(supervisors: Vec<Supervisor>) -> Self {
        let mode = supervisors.first().map_or(Mode::Enrich, Supervisor::mode);
        let partitions = supervisors.len();
        // `pending` is bounded, so the channels need not be.
        let (to_route, batches) = unbounded();
        let (finished, done) = unbounded();
        let start = |(number, supervisor)| {
            let (sender, tasks) = unbounded();
            let (batches, finished) = (batches.clone(), finished.clone());
            thread::spawn(move || work(supervisor, number, partitions as u32, &tasks, &batches, &finished));
            sender
        };
        let tasks = supervisors.into_iter().enumerate().map(start).collect();
        Self { tasks, to_route, done, pending: VecDeque::new(), first: 0, next: 0, mode }
    }

    pub fn put(&mut self, item: InputBatch, to: &mut impl OutcomeSink) -> Result<(), RunError> {
        while self.pending.len() >= AHEAD * self.tasks.len() {
            self.wait(to)?;
        }
        let number = self.first + self.pending.len() as u64;
        let stage = if item.batch.kind == Kind::Records {
            self.send(&self.to_route, (number, item.batch.bytes().clone()))?;
            Stage::Routing
        } else {
            Stage::Skipped
        };
        self.pending.push_back(Pending { item, stage });
        self.collect(to)
    }

    pub fn collect(&mut self, to: &mut impl OutcomeSink) -> Result<(), RunError> {
        while let Ok(done) = self.done.try_recv() {
            self.settle(done)?;
        }
        self.emit(to)
    }

    pub fn drain(&mut self, to: &mut impl OutcomeSink) -> Result<(), RunError> {
        self.emit(to)?;
        while !self.pending.is_empty() {
            self.wait(to)?;
        }
        Ok(())
    }

    pub fn checkpoints(&mut self) -> Result<Vec<Bytes>, Error> {
        let ask = |tasks: &Sender<Task>| {
            let (sender, receiver) = bounded(1);
            let _ = tasks.send(Task::Checkpoint(sender));
            receiver
        };
        let answers: Vec<_> = self.tasks.iter().map(ask).collect();
        answers.into_iter().map(|answer| answer.recv().unwrap_or_else(|_| Err(worker_terminated()))).collect()
    }

    pub fn report(&mut self, report: &mut Report) {
        let mut sum = Box::new(std::mem::take(report));
        for tasks in &self.tasks {
            let (sender, receiver) = bounded(1);
            let _ = tasks.send(Task::Report(sum, sender));
            sum = receiver.recv().unwrap_or_default();
        }
        *report = *sum;
    }

    fn send<T>(&self, to: &Sender<T>, what: T) -> Result<(), RunError> {
        to.send(what).map_err(|_| RunError::Component(worker_terminated().to_string()))
    }

    fn wait(&mut self, to: &mut impl OutcomeSink) -> Result<(), RunError> {
        let done = self.done.recv().map_err(|_| RunError::Component(worker_terminated().to_string()))?;
        self.settle(done)?;
        self.emit(to)
    }

    /// Records a result from a worker.
    fn settle(&mut self, done: Done) -> Result<(), RunError> {
        match done {
            Done::Ended => Err(RunError::Component(worker_terminated().to_string())),
            Done::Routed(number, routes) => {
                let Some(pending) = self.pending.get_mut((number - self.first) as usize) else { return Ok(()) };
                pending.stage = Stage::Routed(routes.map_err(|error| RunError::at(&pending.item, &error))?);
                self.dispatch()
            }
            Done::Processed(number, partition, outcome) => {
                let Some(pending) = self.pending.get_mut((number - self.first) as usize) else { return Ok(()) };
                let outcome = outcome.map_err(|error| RunError::at(&pending.item, &error))?;
                let Stage::Processing { outcomes, missing, .. } = &mut pending.stage else { return Ok(()) };
                if let Some(place) = outcomes.get_mut(partition) {
                    *place = Some(outcome);
                }
                *missing -= 1;
                pending.finish(self.mode);
                Ok(())
            }
        }
    }

    /// Dispatches routed batches to the workers, strictly in order.
    fn dispatch(&mut self) -> Result<(), RunError> {
        while let Some(pending) = self.pending.get_mut((self.next - self.first) as usize) {
            match std::mem::replace(&mut pending.stage, Stage::Skipped) {
                Stage::Routed(routes) => {
                    let shards = Shards::new(pending.item.batch.bytes(), routes, self.tasks.len() as u32);
                    let parts = shards.batches().to_vec();
                    let missing = parts.iter().filter(|part| !part.is_empty()).count();
                    let outcomes = parts.iter().map(|_| None).collect();
                    pending.stage = Stage::Processing { shards, outcomes, missing };
                    pending.finish(self.mode);
                    for (tasks, part) in self.tasks.iter().zip(parts).filter(|(_, part)| !part.is_empty()) {
                        self.send(tasks, Task::Process(self.next, part))?;
                    }
                }
                Stage::Skipped => {}
                other => {
                    pending.stage = other;
                    return Ok(());
                }
            }
            self.next += 1;
        }
        Ok(())
    }

    /// Emits finished batches, in order.
    fn emit(&mut self, to: &mut impl OutcomeSink) -> Result<(), RunError> {
        self.dispatch()?;
        while let Some(pending) = self.pending.front_mut() {
            let outcome = match std::mem::replace(&mut pending.stage, Stage::Skipped) {
                Stage::Skipped => None,
                Stage::Done(outcome) => Some(*outcome),
                other => {
                    pending.stage = other;
                    return Ok(());
                }
            };
            self.first += 1;
            if let Some(pending) = self.pending.pop_front() {
                to.take(pending.item, outcome)?;
            }
        }
        Ok(())
    }
}

impl Pending {
    /// Merges the outcomes if none is missing.
    fn finish(&mut self, mode: Mode) {
        if let Stage::Processing { missing: 0, .. } = self.stage
            && let Stage::Processing { shards, outcomes, .. } = std::mem::replace(&mut self.stage, Stage::Skipped)
        {
            self.stage = Stage::Done(Box::new(shards.join(self.item.batch.bytes(), mode, outcomes)));
        }
    }
}

fn worker_terminated() -> Error {
    Error::InvalidAnswer("a worker thread terminated unexpectedly".to_owned())
}

/// The loop of a worker thread. Its own tasks take precedence over batches to route.
fn work(
    mut supervisor: Supervisor,
    number: usize,
    partitions: u32,
    tasks: &Receiver<Task>,
    batches: &Receiver<(u64, Bytes)>,
    done: &Sender<Done>,
) {
    let _ending = PanicGuard(done);
    loop {
        let sent = select_biased! {
            recv(tasks) -> task => match task {
                Ok(Task::Process(batch, part)) => {
                    done.send(Done::Processed(batch, number, supervisor.process(&part, now())))
                }
                Ok(Task::Checkpoint(answer)) => {
                    let _ = answer.send(supervisor.checkpoint());
                    Ok(())
                }
                Ok(Task::Report(mut report, answer)) => {
                    report.add(&mut supervisor);
                    let _ = answer.send(report);
                    Ok(())
                }
                Err(_) => return,
            },
            recv(batches) -> batch => match batch {
                Ok((batch, bytes)) => done.send(Done::Routed(batch, supervisor.route(&bytes, partitions))),
                Err(_) => return,
            },
        };
        if sent.is_err() {
            return;
        }
    }
}
