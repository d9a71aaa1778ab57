//! A run that is going on: what is read goes through the pipeline, and how far it is, is saved.

use std::collections::HashMap;
use std::sync::Arc;
use std::time::{Duration, Instant, SystemTime};

use tracing::{error, info, warn};

use super::out::Out;
use crate::durable::{Progress, StateFolder};
use crate::monitor::Monitor;
use crate::pipeline::{Fault, Job, Pipeline};
use crate::sink::WriteError;
use crate::stop::Stop;
use catena_input::framing::{Batch, Framer};
use catena_input::{Events, Input, InputEvent, Known, Next, Planned, Saved, Stamp};

/// How long signals may go unnoticed.
const TICK: Duration = Duration::from_millis(20);
/// How long an input may keep silent before what is done so far goes out.
const PATIENCE: Duration = Duration::from_millis(2);
/// How long the end of a line may be waited for where all else is there: whoever writes it may be about to.
const UNENDED: Duration = Duration::from_secs(1);
/// How long the rest of a record is waited for whose file has ended: a copy of it may come.
const PARTED: Duration = Duration::from_secs(10);
/// How often files are forgotten that have been gone for long.
const PRUNE: Duration = Duration::from_secs(60 * 60);
/// How often whoever watches is told.
const TELL: Duration = Duration::from_secs(1);

/// A run that is going on.
pub struct Run {
    pipeline: Pipeline,
    state: Option<State>,
    /// Whether inputs are followed.
    follow: bool,
    /// The inputs that are open.
    sources: HashMap<u64, Open>,
    /// Whether something could not be read.
    pub failed: bool,
    monitor: Option<Monitor>,
    /// When whoever watches was last told.
    told: Option<Instant>,
    /// When records without the end of their line were last given out.
    unended: Instant,
    pub out: Out,
}

/// Where the run is kept, so that it can go on after a crash.
pub struct State {
    folder: StateFolder,
    every: Duration,
    saved: Instant,
    /// What is known of inputs that are not open: they have been read to their end, have not been begun, or are not there.
    known: Known,
    /// When those were last forgotten that have been gone for long.
    pruned: Instant,
}

/// An input that is being read.
struct Open {
    name: Arc<str>,
    planned: Planned,
    framer: Framer,
    /// When the last of it came.
    came: Instant,
    /// It has ended in the middle of a record, whose rest may come with a copy: when, and what it was then.
    parted: Option<(Instant, Stamp)>,
}

impl Open {
    fn saved(&self, ended: Option<Stamp>) -> Option<Saved> {
        self.planned.saved(self.framer.position(), ended)
    }
}

impl State {
    /// A state that is saved at least `every` so often.
    pub fn new(folder: StateFolder, every: Duration, known: Known) -> Self {
        let now = Instant::now();
        Self { folder, every, saved: now, known, pruned: now }
    }
}

impl Run {
    /// A run that has read nothing yet.
    pub fn new(pipeline: Pipeline, state: Option<State>, follow: bool, monitor: Option<Monitor>, out: Out) -> Self {
        Self {
            pipeline,
            state,
            follow,
            sources: HashMap::new(),
            failed: false,
            monitor,
            told: None,
            unended: Instant::now(),
            out,
        }
    }

    /// Processes everything that is read, until the inputs end or the run is asked to.
    pub fn all(&mut self, mut events: Events, stop: &Stop) -> Result<(), Fault> {
        let end = self.read_all(&mut events, stop);
        if end.is_err() {
            stop.ask();
        }
        // What was done before an error still goes out; it is not saved, so that it is done again.
        let flushed = self.out.outputs.flush().map_err(Fault::from);
        end.and(flushed)?;
        self.save()?;
        self.tell(true);
        Ok(())
    }

    fn read_all(&mut self, events: &mut Events, stop: &Stop) -> Result<(), Fault> {
        loop {
            let event = match events.next(PATIENCE) {
                Next::InputEvent(event) => event,
                Next::End => break,
                Next::Pause => {
                    // The input pauses: what is done so far goes out.
                    self.give_unended()?;
                    self.pipeline.drain(&mut self.out)?;
                    self.out.outputs.flush()?;
                    match events.next(TICK) {
                        Next::InputEvent(event) => event,
                        Next::End => break,
                        // The reading thread waits for input that nobody waits for any more.
                        Next::Pause if stop.asked() => break,
                        Next::Pause => {
                            self.tick()?;
                            continue;
                        }
                    }
                }
            };
            self.take(event)?;
            self.tick()?;
        }
        // What was begun is whole where the file has ended, and not where it is followed or the run was stopped.
        if self.state.is_none() {
            let open: Vec<_> = self.sources.keys().copied().collect();
            for id in open {
                self.end(id, None)?;
            }
        }
        self.pipeline.drain(&mut self.out)
    }

    /// Has records go out of which only the end of the line is missing: those of a pipe at once, those of files, which
    /// somebody may be writing to, after a while.
    fn give_unended(&mut self) -> Result<(), Fault> {
        let waits = |open: &Open| open.planned.input == Input::Standard || open.came.elapsed() >= UNENDED;
        let unended = self.sources.iter().filter(|(_, open)| !open.framer.is_empty() && waits(open));
        let ids: Vec<_> = unended.map(|(id, _)| *id).collect();
        ids.into_iter().try_for_each(|id| self.frame(id, |framer, give| framer.pause(give)))?;
        let is_over = |open: &Open| open.parted.filter(|(since, _)| since.elapsed() >= PARTED);
        let over: Vec<_> = self.sources.iter().filter_map(|(id, open)| Some((*id, is_over(open)?.1))).collect();
        over.into_iter().try_for_each(|(id, stamp)| self.finish(id, Some(stamp)))
    }

    /// What was left of a file that an input is a copy of, and goes on with.
    fn rest_of(&mut self, planned: &Planned) -> Option<Framer> {
        let is_rest = |open: &Open| {
            open.parted.is_some()
                && open.planned.fingerprint == planned.fingerprint
                && open.framer.read() == planned.position.offset
        };
        let id = self.sources.iter().find(|(_, open)| is_rest(open)).map(|(id, _)| *id)?;
        let open = self.sources.remove(&id)?;
        self.remember(&open, open.parted.map(|(_, stamp)| stamp));
        Some(open.framer)
    }

    fn take(&mut self, event: InputEvent) -> Result<(), Fault> {
        match event {
            InputEvent::Begin(id, planned) => {
                let framer = self.rest_of(&planned);
                let framer = framer.unwrap_or_else(|| Framer::new(planned.position, self.out.longest));
                if let Some(state) = &mut self.state {
                    state.known.take(&planned);
                }
                let is_there = planned.inode.is_some() || planned.input == Input::Standard;
                if is_there && !planned.known {
                    self.out.summary.files += 1;
                }
                let name = planned.input.name().into();
                self.sources.insert(id, Open { name, planned, framer, came: Instant::now(), parted: None });
                Ok(())
            }
            InputEvent::Bytes(id, piece) => {
                self.out.progress.inc(piece.read);
                if let Some(open) = self.sources.get_mut(&id) {
                    open.came = Instant::now();
                    if let Some(checksum) = piece.checksum {
                        open.planned.fingerprint.add(open.framer.read(), &piece.bytes, checksum);
                    }
                }
                self.frame(id, |framer, give| framer.push(piece.bytes, piece.lines, give))
            }
            InputEvent::End(id, ended) => self.end(id, ended),
            InputEvent::Skipped(id, reason) => {
                self.out.summary.skipped += 1;
                if let Some(open) = self.sources.get(&id) {
                    let counted = u64::from(!open.planned.known);
                    self.out.summary.files = self.out.summary.files.saturating_sub(counted);
                    info!("{}: skipped: {reason}", open.name);
                }
                let path = self.sources.get(&id).and_then(|open| open.planned.input.path());
                let metadata = path.and_then(|path| path.metadata().ok());
                self.close(id, Some(metadata.as_ref().map(Stamp::from).unwrap_or_default()));
                Ok(())
            }
            InputEvent::Failed(id, error) => {
                let name = self.name(id);
                self.end(id, None)?;
                self.fail(&format!("cannot read {name}: {error}"));
                Ok(())
            }
            InputEvent::Trouble(id, error) => {
                let name = self.name(id);
                self.fail(&format!("cannot read {name}, and try again: {error}"));
                Ok(())
            }
            InputEvent::Renamed(id, path) => {
                if let Some(open) = self.sources.get_mut(&id) {
                    info!("{} is {} now", open.name, path.display());
                    open.planned.input = Input::File(path);
                    open.name = open.planned.input.name().into();
                }
                Ok(())
            }
            InputEvent::Moved(inode, path) => {
                if let Some(state) = &mut self.state {
                    state.known.rename(inode, &path);
                }
                Ok(())
            }
            InputEvent::Warning(text) => {
                warn!("{text}");
                Ok(())
            }
        }
    }

    /// An input has ended: `ended` says what it was then where no more of it is to be expected.
    fn end(&mut self, id: u64, ended: Option<Stamp>) -> Result<(), Fault> {
        if self.state.is_some() && ended.is_none() {
            self.frame(id, |framer, give| framer.pause(give))?;
            if let Some(open) = self.sources.get(&id).filter(|open| !open.framer.is_empty()) {
                warn!("{}: ends in the middle of a record, which is left to the next run", open.name);
            }
            self.close(id, ended);
            return Ok(());
        }
        if let Some(stamp) = ended.filter(|_| self.follow) {
            self.frame(id, |framer, give| framer.pause(give))?;
            if let Some(open) = self.sources.get_mut(&id).filter(|open| !open.framer.is_empty()) {
                open.parted = Some((Instant::now(), stamp));
                return Ok(());
            }
        }
        self.finish(id, ended)
    }

    /// Gives out all that is left of an input.
    fn finish(&mut self, id: u64, ended: Option<Stamp>) -> Result<(), Fault> {
        self.frame(id, |framer, give| framer.finish(give))?;
        self.close(id, ended);
        Ok(())
    }

    fn close(&mut self, id: u64, ended: Option<Stamp>) {
        if let Some(open) = self.sources.remove(&id) {
            self.remember(&open, ended);
        }
    }

    fn remember(&mut self, open: &Open, ended: Option<Stamp>) {
        if let Some(state) = &mut self.state {
            open.saved(ended).into_iter().for_each(|saved| state.known.add(saved));
        }
    }

    /// The name of an input for messages.
    fn name(&self, id: u64) -> Arc<str> {
        self.sources.get(&id).map(|open| Arc::clone(&open.name)).unwrap_or_default()
    }

    /// Tells of something that makes the run a failure, and goes on.
    pub fn fail(&mut self, message: &str) {
        self.failed = true;
        error!("{message}");
    }

    /// Lets the framer of an input give out batches and processes them.
    fn frame(
        &mut self,
        id: u64,
        frame: impl FnOnce(&mut Framer, &mut dyn FnMut(Batch) -> Result<(), Fault>) -> Result<(), Fault>,
    ) -> Result<(), Fault> {
        let Some(open) = self.sources.get_mut(&id) else { return Ok(()) };
        let (pipeline, out) = (&mut self.pipeline, &mut self.out);
        frame(&mut open.framer, &mut |batch| pipeline.put(Job { input: Arc::clone(&open.name), batch }, out))
    }

    /// What has to be done from time to time.
    fn tick(&mut self) -> Result<(), Fault> {
        if self.unended.elapsed() >= UNENDED {
            self.unended = Instant::now();
            self.give_unended()?;
        }
        if self.state.as_ref().is_some_and(|state| state.saved.elapsed() >= state.every) {
            self.save()?;
        }
        self.tell(false);
        Ok(())
    }

    /// Saves how far everything is, once it is.
    fn save(&mut self) -> Result<(), Fault> {
        if self.state.is_none() {
            return Ok(());
        }
        self.pipeline.drain(&mut self.out)?;
        let checkpoints = self.pipeline.checkpoints().map_err(|error| Fault::Component(error.to_string()))?;
        let written = self.out.outputs.sync()?;
        let Some(state) = &mut self.state else { return Ok(()) };
        if state.pruned.elapsed() >= PRUNE {
            state.known.forget_old();
            state.pruned = Instant::now();
        }
        let open = self.sources.values().filter_map(|open| open.saved(None));
        let inputs = state.known.all().cloned().chain(open);
        let progress = Progress::new(inputs, written, &self.out.input, self.out.summary.clone());
        let saved = state.folder.save(progress, &checkpoints);
        saved.map_err(|failure| Fault::WriteError(WriteError::Failed(failure)))?;
        state.saved = Instant::now();
        if let Some(monitor) = &self.monitor {
            monitor.set(|status| status.saved = Some(SystemTime::now()));
        }
        Ok(())
    }

    /// Tells whoever watches how it goes.
    fn tell(&mut self, now: bool) {
        let Some(monitor) = &self.monitor else { return };
        if !now && self.told.is_some_and(|told| told.elapsed() < TELL) {
            return;
        }
        self.told = Some(Instant::now());
        let report = self.pipeline.report();
        let summary = self.out.summary.clone();
        monitor.set(|status| (status.report, status.summary, status.alive) = (report, summary, Instant::now()));
    }
}
