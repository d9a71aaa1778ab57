use std::collections::HashMap;
use std::io::{self, Write};
use std::sync::Arc;
use std::time::{Duration, Instant, SystemTime};

use catena_host::{Outcome, Rejection};
use indicatif::ProgressBar;
use tracing::{Level, error, info, warn};

use super::cli::{self, LogFormat, Mode};
use super::durable::{Progress, StateFolder};
use super::framing::{Batch, Framer, Kind};
use super::input::{self, Event, Events, Follow, Input, Inputs, Known, Next, Planned, Saved, Stamp};
use super::monitor::Monitor;
use super::output::Outputs;
use super::pipeline::{Fault, Job, Pipeline, Take};
use super::setup::{configuration, load, progress};
use super::sink::Unwritten;
use super::stop::Stop;
use super::summary::Summary;
use super::{DONE, FAILED, Failure, log};

/// How long signals may go unnoticed.
const TICK: Duration = Duration::from_millis(20);
/// How long an input may keep silent before what is done so far goes out.
const PATIENCE: Duration = Duration::from_millis(2);
/// How long the end of a line may be waited for where all else is there: whoever writes it may be about to.
const UNENDED: Duration = Duration::from_secs(1);
/// How often files are forgotten that have been gone for long.
const PRUNE: Duration = Duration::from_secs(60 * 60);
/// How often whoever watches is told.
const TELL: Duration = Duration::from_secs(1);
/// What shells know a process by that SIGPIPE has ended.
const READER_GONE: u8 = 128 + 13;

/// `catena run`.
pub fn run(arguments: &cli::Run) -> Result<u8, Failure> {
    let began = Instant::now();
    let mut inputs = Inputs::find(&arguments.inputs);
    check(arguments, &inputs)?;
    let progress = progress(arguments, &inputs);
    log::start(arguments.log_format, if arguments.quiet { Level::ERROR } else { arguments.log_level }, &progress);
    let (config, mode) = configuration(arguments)?;
    let state = arguments.state.as_deref().map(StateFolder::open).transpose()?;
    let (saved, checkpoints) = match &state {
        Some(state) => state.load()?.unwrap_or_default(),
        None => Default::default(),
    };
    let jobs = usize::from(arguments.jobs);
    if !checkpoints.is_empty() && checkpoints.len() != jobs {
        let before = checkpoints.len();
        return Err(Failure::usage(format!(
            "the state is that of a run with --jobs {before}: it cannot be shared anew"
        )));
    }
    let sandbox = load(arguments.component.as_deref(), !arguments.no_cache)?;
    let pipeline = Pipeline::open(sandbox, &config, jobs, &checkpoints).map_err(|error| match error {
        catena_host::Error::Fault(_) => Failure::usage(match &arguments.config {
            Some(file) => format!("{}: {error}", file.display()),
            None => error.to_string(),
        }),
        _ => Failure::new(error.to_string()),
    })?;
    let monitor = Monitor::new();
    if let Some(address) = arguments.metrics {
        let address = monitor.serve(address)?;
        info!("metrics at http://{address}/metrics");
    }
    Outputs::spare(arguments, saved.written, &mut inputs)?;
    let outputs = Outputs::open(arguments, mode, saved.written)?;
    let stop = Stop::on_signals().map_err(|error| Failure::new(format!("cannot listen for signals: {error}")))?;
    let own = Outputs::inodes(arguments);
    let plan = input::plan(inputs.list, saved.inputs, &own);
    let waiting = plan.inputs.iter().filter(|input| input.known).filter_map(|input| input.saved(input.position, None));
    let known = Known::new(plan.known.iter().cloned().chain(waiting));
    let longest = arguments.max_record_bytes.max(arguments.batch_bytes) as usize;
    let mut run = Run {
        pipeline,
        state: state.map(|folder| {
            let now = Instant::now();
            State { folder, every: arguments.save_every, saved: now, known, pruned: now }
        }),
        sources: HashMap::new(),
        failed: false,
        monitor: arguments.metrics.map(|_| monitor.clone()),
        told: None,
        unended: Instant::now(),
        out: Out {
            outputs,
            summary: Summary { skipped: inputs.skipped, ..saved.summary },
            keep_rejected: mode == Mode::Enrich,
            longest,
            progress,
            input: saved.input.into(),
        },
    };
    for (name, error) in &inputs.failed {
        run.fail(&format!("cannot read {name}: {error}"));
    }
    for name in &inputs.doubled {
        warn!("{}: is an input already, under another name; read once", name.display());
    }
    plan.warnings.iter().for_each(|warning| warn!("{warning}"));
    let (processing, bytes_before) = (Instant::now(), run.out.summary.bytes);
    let chunk = arguments.batch_bytes as usize;
    let events = if arguments.follow {
        let inputs = Follow { arguments: arguments.inputs.clone(), inputs: plan.inputs, known: plan.known, own, chunk };
        input::follow(inputs, &stop.flag(), Arc::clone(&monitor.behind))
    } else {
        input::read(plan.inputs, chunk, jobs, run.state.is_some(), &stop.flag())
    };
    let end = run.all(events, &stop);
    let Out { mut summary, progress, .. } = run.out;
    progress.finish_and_clear();
    summary.seconds = began.elapsed().as_secs_f64();
    let code = match end {
        Ok(()) => stop.exit_code().unwrap_or(if run.failed { FAILED } else { DONE }),
        Err(Fault::Unwritten(Unwritten::ReaderGone { name })) => {
            warn!("the reader of {name} has gone");
            READER_GONE
        }
        Err(Fault::Unwritten(Unwritten::Failed(failure))) => {
            error!("{}", failure.message);
            failure.code
        }
        Err(Fault::Component(why)) => {
            error!("{why}");
            FAILED
        }
    };
    info!("{}", summary.describe(summary.bytes - bytes_before, processing.elapsed()));
    if arguments.summary {
        let _ = writeln!(io::stderr(), "{}", summary.json());
    }
    Ok(code)
}

/// What cannot go together, and clap cannot know.
fn check(arguments: &cli::Run, inputs: &Inputs) -> Result<(), Failure> {
    let standard = inputs.list.contains(&Input::Standard);
    if let (Some(input), Some(_)) = (inputs.irregular(), &arguments.state) {
        return Err(Failure::usage(format!(
            "with --state, inputs have to be files: what came through a pipe cannot be read again ({})",
            input.name()
        )));
    }
    if standard && arguments.follow {
        return Err(Failure::usage("--follow is for files and folders; the standard input is read as it comes anyway"));
    }
    if arguments.log_format == LogFormat::Json && arguments.summary {
        return Err(Failure::usage("--summary is a line of its own kind: it does not go with --log-format json"));
    }
    Ok(())
}

/// A run that is going on.
struct Run {
    pipeline: Pipeline,
    state: Option<State>,
    /// The inputs that are open.
    sources: HashMap<u64, Open>,
    failed: bool,
    monitor: Option<Monitor>,
    /// When whoever watches was last told.
    told: Option<Instant>,
    /// When records without the end of their line were last given out.
    unended: Instant,
    out: Out,
}

/// Where the run is kept, so that it can go on after a crash.
struct State {
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
}

impl Open {
    fn saved(&self, ended: Option<Stamp>) -> Option<Saved> {
        self.planned.saved(self.framer.position(), ended)
    }
}

impl Run {
    /// Processes everything that is read, until the inputs end or the run is asked to.
    fn all(&mut self, mut events: Events, stop: &Stop) -> Result<(), Fault> {
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
                Next::Event(event) => event,
                Next::End => break,
                Next::Pause => {
                    // The input pauses: what is done so far goes out.
                    self.give_unended()?;
                    self.pipeline.drain(&mut self.out)?;
                    self.out.outputs.flush()?;
                    match events.next(TICK) {
                        Next::Event(event) => event,
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
        ids.into_iter().try_for_each(|id| self.frame(id, |framer, give| framer.pause(give)))
    }

    fn take(&mut self, event: Event) -> Result<(), Fault> {
        match event {
            Event::Begin(id, planned) => {
                let framer = Framer::new(planned.position, self.out.longest);
                if let Some(state) = &mut self.state {
                    state.known.take(&planned);
                }
                let is_there = planned.inode.is_some() || planned.input == Input::Standard;
                if is_there && !planned.known {
                    self.out.summary.files += 1;
                }
                let name = planned.input.name().into();
                self.sources.insert(id, Open { name, planned, framer, came: Instant::now() });
                Ok(())
            }
            Event::Bytes(id, piece) => {
                self.out.progress.inc(piece.read);
                if let Some(open) = self.sources.get_mut(&id) {
                    open.came = Instant::now();
                    if let Some(checksum) = piece.checksum {
                        open.planned.seen.add(open.framer.read(), &piece.bytes, checksum);
                    }
                }
                self.frame(id, |framer, give| framer.push(piece.bytes, piece.lines, give))
            }
            Event::End(id, ended) => self.end(id, ended),
            Event::Skipped(id, reason) => {
                self.out.summary.files = self.out.summary.files.saturating_sub(1);
                self.out.summary.skipped += 1;
                if let Some(open) = self.sources.get(&id) {
                    info!("{}: skipped: {reason}", open.name);
                }
                let path = self.sources.get(&id).and_then(|open| open.planned.input.path());
                let metadata = path.and_then(|path| path.metadata().ok());
                self.close(id, Some(metadata.as_ref().map(Stamp::from).unwrap_or_default()));
                Ok(())
            }
            Event::Failed(id, error) => {
                let name = self.sources.get(&id).map(|open| Arc::clone(&open.name)).unwrap_or_default();
                self.end(id, None)?;
                self.fail(&format!("cannot read {name}: {error}"));
                Ok(())
            }
            Event::Trouble(id, error) => {
                let name = self.sources.get(&id).map(|open| Arc::clone(&open.name)).unwrap_or_default();
                self.fail(&format!("cannot read {name}, and try again: {error}"));
                Ok(())
            }
            Event::Renamed(id, path) => {
                if let Some(open) = self.sources.get_mut(&id) {
                    info!("{} is {} now", open.name, path.display());
                    open.planned.input = Input::File(path);
                    open.name = open.planned.input.name().into();
                }
                Ok(())
            }
            Event::Moved(inode, path) => {
                if let Some(state) = &mut self.state {
                    state.known.rename(inode, &path);
                }
                Ok(())
            }
            Event::Warning(text) => {
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
        } else {
            self.frame(id, |framer, give| framer.finish(give))?;
        }
        self.close(id, ended);
        Ok(())
    }

    fn close(&mut self, id: u64, ended: Option<Stamp>) {
        if let (Some(open), Some(state)) = (self.sources.remove(&id), &mut self.state) {
            open.saved(ended).into_iter().for_each(|saved| state.known.add(saved));
        }
    }

    fn fail(&mut self, message: &str) {
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
        saved.map_err(|failure| Fault::Unwritten(Unwritten::Failed(failure)))?;
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

/// Where what comes out of the pipeline goes.
struct Out {
    outputs: Outputs,
    summary: Summary,
    keep_rejected: bool,
    longest: usize,
    progress: ProgressBar,
    /// The input that was last written of.
    input: Arc<str>,
}

impl Take for Out {
    fn take(&mut self, job: Job, outcome: Option<Outcome>) -> Result<(), Unwritten> {
        self.summary.bytes += job.batch.original.len() as u64;
        if !Arc::ptr_eq(&self.input, &job.input) {
            // The records of another input go on lines of their own.
            if self.input != job.input {
                self.outputs.end_line()?;
            }
            self.input = Arc::clone(&job.input);
        }
        match outcome {
            Some(outcome) => {
                self.summary.add(&outcome);
                self.outputs.write(&job.input, &job.batch, outcome)
            }
            None => self.too_long(&job),
        }
    }
}

impl Out {
    fn too_long(&mut self, job: &Job) -> Result<(), Unwritten> {
        if job.batch.kind == (Kind::TooLong { first: true }) {
            self.summary.records += 1;
            self.summary.rejected += 1;
            let detail = format!("the record is longer than --max-record-bytes {}", self.longest);
            let rejection = Rejection { start: 0, end: 0, code: "too-long".to_owned(), detail };
            self.outputs.rejection(&job.input, &job.batch, job.batch.line, &rejection)?;
        }
        if self.keep_rejected { self.outputs.pass(vec![job.batch.original.clone()]) } else { Ok(()) }
    }
}
