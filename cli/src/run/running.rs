//! The main loop of a run: feeds input through the pipeline and saves progress.

use std::sync::Arc;
use std::time::{Duration, Instant, SystemTime};

use catena_input::framing::Batch;
use catena_input::{Consumer, Events, Journal, Named, Next, Notice, Session};
use tracing::{error, info, warn};

use super::out::Out;
use super::reload::Reload;
use crate::durable::{RunState, StateFolder};
use crate::metric;
use crate::monitor::Monitor;
use crate::pipeline::{InputBatch, Pipeline, RunError};
use crate::signals::Signals;
use crate::sink::WriteError;
use crate::watch::Watch;

/// How often to check for signals while the input is silent.
const TICK: Duration = Duration::from_millis(20);
/// How long the input may be silent before pending output is flushed.
const PATIENCE: Duration = Duration::from_millis(2);
/// How long output may be buffered while the input does not pause.
const PROMPT: Duration = Duration::from_millis(20);
/// How often to see whether outputs were rotated.
const ROTATION: Duration = Duration::from_secs(1);
/// How often to forget files that have long disappeared.
const PRUNE: Duration = Duration::from_secs(60 * 60);
/// How many bytes in the journal are reason enough to save, so that they can be removed.
const MUCH: u64 = 256 << 20;
/// How often to update the monitor.
const UPDATE: Duration = Duration::from_secs(1);

/// A run in progress.
pub struct Run {
    inputs: Session,
    state: Option<State>,
    monitor: Monitor,
    /// When the monitor was last updated.
    updated: Option<Instant>,
    /// When output was last flushed.
    flushed: Instant,
    /// When outputs were last looked at for a rotation.
    looked: Instant,
    reload: Reload,
    signals: Signals,
    pub work: Work,
}

/// Processes batches and writes their outcomes.
pub struct Work {
    pub pipeline: Pipeline,
    pub out: Out,
    pub watch: Watch,
    /// Whether any input could not be read.
    pub failed: bool,
}

/// The saved state of a run, from which it resumes after a crash.
pub struct State {
    folder: StateFolder,
    every: Duration,
    saved: Instant,
    /// When missing files were last forgotten.
    pruned: Instant,
    /// The inputs by name.
    named: Vec<Named>,
    /// What came over a network; kept until a saved state is past it.
    journal: Option<Journal>,
}

impl State {
    /// A state that is saved at this interval.
    pub fn new(folder: StateFolder, every: Duration, named: Vec<Named>, journal: Option<Journal>) -> Self {
        let now = Instant::now();
        Self { folder, every, saved: now, pruned: now, named, journal }
    }
}

impl State {
    /// Whether it is time to save it: also if much came over a network, which is kept until then.
    fn is_due(&self) -> bool {
        let is_much = || self.journal.as_ref().is_some_and(|journal| journal.bytes() >= MUCH);
        let saved = self.saved.elapsed();
        saved >= self.every || saved >= UPDATE && is_much()
    }
}

impl Consumer for Work {
    type Error = RunError;

    fn batch(&mut self, input: &Arc<str>, batch: Batch) -> Result<(), RunError> {
        self.pipeline.put(InputBatch { input: Arc::clone(input), batch }, &mut self.out)
    }

    fn notice(&mut self, notice: Notice) {
        let summary = &mut self.out.summary;
        match notice {
            Notice::New => summary.files += 1,
            Notice::Read(bytes) => self.out.progress.inc(bytes),
            Notice::Skipped { name, reason, counted } => {
                summary.skipped += 1;
                summary.files = summary.files.saturating_sub(u64::from(counted));
                info!("{name}: skipped: {reason}");
            }
            Notice::Failed { name, error } => self.fail(&format!("cannot read {name}: {error}")),
            Notice::Trouble { path, error } => {
                self.fail(&format!("cannot read {}; will retry: {error}", path.display()));
                self.watch.trouble(path, error);
            }
            Notice::Recovered { path } => {
                info!("{}: can be read now, or is gone", path.display());
                self.watch.recovered(&path);
            }
            Notice::Renamed { from, to } => info!("{from} was renamed to {}", to.display()),
            Notice::Unfinished { name } => {
                warn!("{name}: ends in the middle of a record, which is left to the next run");
            }
            Notice::Stopped { name, line, rest: 0 } => info!("{name}: stopped before line {line}"),
            Notice::Stopped { name, line, rest } => {
                info!("{name}: stopped before line {line}, of which {rest} bytes were read and are not processed");
            }
            Notice::Warning(text) => warn!("{text}"),
        }
    }
}

impl Work {
    /// Reports something that makes the run a failure. The run continues.
    pub fn fail(&mut self, message: &str) {
        self.failed = true;
        error!("{message}");
    }
}

impl Run {
    /// A run that has not read anything yet.
    pub fn new(
        work: Work,
        inputs: Session,
        state: Option<State>,
        monitor: Monitor,
        reload: Reload,
        signals: Signals,
    ) -> Self {
        let now = Instant::now();
        Self { inputs, state, monitor, updated: None, flushed: now, looked: now, reload, signals, work }
    }

    /// Processes all input until it ends or a stop is requested.
    pub fn run(&mut self, mut events: Events) -> Result<(), RunError> {
        // From now on the next run knows the outputs and how long they were, whatever happens.
        let end = self.save(false).and_then(|()| self.read_all(&mut events));
        if end.is_err() {
            self.signals.stop();
        }
        // Output produced before an error is still written. It is not saved, so it is produced again.
        let flushed = self.work.out.outputs.flush().map_err(RunError::from);
        end.and(flushed)?;
        self.save(true)?;
        self.update_monitor(true);
        Ok(())
    }

    fn read_all(&mut self, events: &mut Events) -> Result<(), RunError> {
        loop {
            let event = match events.next(PATIENCE) {
                Next::Event(event) => event,
                Next::End => break,
                Next::Pause => {
                    // The input pauses: flush everything finished so far.
                    self.inputs.flush(&mut self.work)?;
                    self.work.pipeline.drain(&mut self.work.out)?;
                    self.work.out.outputs.flush()?;
                    match events.next(TICK) {
                        Next::Event(event) => event,
                        Next::End => break,
                        // A reading thread may be blocked on input that is no longer wanted.
                        Next::Pause if self.signals.stop_asked() => break,
                        Next::Pause => {
                            self.tick()?;
                            continue;
                        }
                    }
                }
            };
            self.inputs.take(event, &mut self.work)?;
            self.tick()?;
        }
        self.inputs.stop(&mut self.work)?;
        self.work.pipeline.drain(&mut self.work.out)
    }

    /// Periodic work.
    fn tick(&mut self) -> Result<(), RunError> {
        self.inputs.tick(&mut self.work)?;
        if self.flushed.elapsed() >= PROMPT {
            self.flushed = Instant::now();
            self.work.pipeline.collect(&mut self.work.out)?;
            self.work.out.outputs.flush_soon()?;
        }
        if self.signals.take_report() {
            self.report();
        }
        let reload = self.signals.take_reload();
        if reload || self.looked.elapsed() >= ROTATION {
            self.looked = Instant::now();
            self.follow_outputs()?;
        }
        if reload {
            self.work.pipeline.drain(&mut self.work.out)?;
            if self.reload.reload(&mut self.work.pipeline) {
                self.save(false)?;
            }
        }
        if self.state.as_ref().is_some_and(State::is_due) {
            self.save(false)?;
        }
        self.update_monitor(false);
        Ok(())
    }

    /// Continues in new files if outputs were rotated.
    fn follow_outputs(&mut self) -> Result<(), RunError> {
        if self.work.out.outputs.is_rotated()? {
            self.work.pipeline.drain(&mut self.work.out)?;
            if self.work.out.outputs.reopen()? {
                self.save(false)?;
            }
        }
        Ok(())
    }

    /// Warns about destinations of findings that are probably not meant so.
    pub fn tell_doubts(&mut self) {
        if self.work.out.outputs.senders.is_empty() {
            return;
        }
        let report = self.work.pipeline.report();
        let rules: Vec<_> = metric::named(&report.metrics, "findings").map(metric::kind).collect();
        self.work.out.outputs.senders.tell_doubts(&rules.iter().map(String::as_str).collect::<Vec<_>>());
    }

    /// Logs the counters.
    fn report(&mut self) {
        let report = self.work.pipeline.report();
        let summary = &mut self.work.out.summary;
        summary.set_input(&report.metrics);
        info!("{}", summary.describe_counts());
        info!("recognised: {}", summary.describe_input());
        let engine = report.metrics.iter().filter(|metric| metric.value > 0 && metric.name != "input");
        let engine: Vec<_> = engine.map(metric::describe).collect();
        info!("engine: {}", engine.join(", "));
    }

    /// Drains the pipeline, then saves the progress of inputs, outputs and correlators. `is_final`: the run ends with it.
    fn save(&mut self, is_final: bool) -> Result<(), RunError> {
        let Some(state) = &mut self.state else { return Ok(()) };
        let Work { pipeline, out, .. } = &mut self.work;
        pipeline.drain(out)?;
        let checkpoints = pipeline.checkpoints().map_err(|error| RunError::Component(error.to_string()))?;
        let written = out.outputs.sync(is_final)?;
        if state.pruned.elapsed() >= PRUNE {
            self.inputs.forget_old();
            state.pruned = Instant::now();
        }
        let run_state = RunState::new(self.inputs.saved(), &state.named, written, &out.input, out.summary.clone());
        let saved = state.folder.save(&run_state, &checkpoints);
        saved.map_err(|error| RunError::Output(WriteError::Failed(error)))?;
        state.saved = Instant::now();
        if let Some(journal) = &state.journal {
            for done in run_state.inputs.iter().filter(|saved| saved.ended.is_some() && journal.has(&saved.path)) {
                if let Err(error) = journal.remove(&done.path) {
                    warn!("cannot remove {}: {error}", done.path.display());
                }
                self.inputs.forget(&done.path);
            }
        }
        self.monitor.set(|status| status.saved = Some(SystemTime::now()));
        Ok(())
    }

    /// Updates the monitor, at most once per [`UPDATE`] unless `now` is set.
    fn update_monitor(&mut self, now: bool) {
        if !now && self.updated.is_some_and(|updated| updated.elapsed() < UPDATE) {
            return;
        }
        self.updated = Some(Instant::now());
        let report = self.work.pipeline.report();
        let summary = self.work.out.summary.clone();
        let input = metric::named(&report.metrics, "input");
        let problems = self.work.watch.look(input.map(|metric| metric.value).sum());
        self.monitor.set(|status| {
            (status.report, status.summary, status.problems, status.alive) =
                (report, summary, problems, Instant::now());
        });
    }
}
