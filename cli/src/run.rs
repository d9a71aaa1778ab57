//! `catena run`: sets up a run, drives it, and reports how it ended.

mod out;
mod reload;
mod running;

use std::io::{self, Write};
use std::sync::Arc;
use std::time::Instant;

use tracing::{Level, error, info, warn};

use super::cli::{self, LogFormat, Mode};
use super::durable::StateFolder;
use super::lock::Locks;
use super::monitor::Monitor;
use super::output::{Outputs, spool};
use super::pipeline::{Pipeline, RunError};
use super::send::deliver;
use super::setup::{Cache, Configuration, configuration, load, progress};
use super::signals::Signals;
use super::sink::WriteError;
use super::summary::Summary;
use super::watch::Watch;
use super::{CliError, DONE, FAILED, UNRECOGNISED, listen, log, metric};
use catena_input::{self as input, Arguments, Events, FileSystem, Follow, Input, Inputs, Journal, Session, World};
use out::Out;
use reload::{Reload, tell_reset};
use running::{Run, State, Work};

/// The folder in that of the state for records that came over a network.
const JOURNAL: &str = "received";

/// How many pieces of followed files and of the journal may wait.
const READ_AHEAD: usize = 8;

/// The exit code by which shells report death by SIGPIPE.
const READER_GONE: u8 = 128 + 13;

/// `catena run`.
pub fn run(arguments: &cli::Run) -> Result<u8, CliError> {
    let began = Instant::now();
    let world = World::real();
    let mut inputs = find(arguments, &Arguments::new(arguments.inputs.clone()), &world);
    check(arguments, &inputs, &*world.files)?;
    let configured = configuration(arguments)?;
    let mode = configured.mode;
    let progress = progress(arguments, &inputs, mode);
    log::start(arguments.log_format, if arguments.quiet { Level::ERROR } else { arguments.log_level }, &progress);
    // From here on no signal ends the run before it has saved anything.
    let signals = Signals::listen();
    let signals = signals.map_err(|error| CliError::new(format!("cannot install signal handlers: {error}")))?;
    if arguments.check {
        return check_all(arguments, &configured, &inputs);
    }
    // Without `--follow`, a path that cannot be read is an error of its own.
    let watched = if arguments.follow { &*arguments.inputs } else { &[] };
    let mut watch = Watch::new(watched, arguments.max_silence.0);
    watch.look(0);
    let pipe = inputs.pipe(&*world.files).map(Input::name);
    let locks = if pipe.is_some() { Locks::Patient(&signals) } else { Locks::AtOnce };
    let state = arguments.state.as_deref().map(|folder| StateFolder::open(folder, &locks)).transpose()?;
    let (saved, checkpoints) = match &state {
        Some(state) => state.load()?.unwrap_or_default(),
        None => Default::default(),
    };
    let to_read = Arguments::with_rotations(arguments.inputs.clone(), &saved.named, &world);
    if state.is_some() && !to_read.named().is_empty() {
        // Those that were rotated away since the last run, too.
        inputs = find(arguments, &to_read, &world);
    }
    let jobs = usize::from(arguments.jobs);
    if !checkpoints.is_empty() && checkpoints.len() != jobs {
        let before = checkpoints.len();
        return Err(CliError::usage(format!(
            "the state was saved with --jobs {before} and can only be resumed with the same number"
        )));
    }
    let sandbox = Arc::new(load(arguments.component.as_deref(), cache(arguments))?);
    let pipeline = Pipeline::open(&sandbox, &configured.json, mode.into(), jobs, &checkpoints);
    let mut pipeline = pipeline.map_err(|error| match error {
        catena_host::Error::Fault(_) => CliError::usage(match &arguments.config {
            Some(file) => format!("{}: {error}", file.display()),
            None => error.to_string(),
        }),
        _ => CliError::new(error.to_string()),
    })?;
    tell_reset(&mut pipeline);
    let monitor = Monitor::new();
    if let Some(address) = arguments.metrics {
        let address = monitor.serve(address)?;
        info!("serving metrics at http://{address}/metrics");
    }
    Outputs::exclude_from(arguments, &saved.written, &mut inputs, &world)?;
    let written = saved.written.clone();
    let outputs = Outputs::open(arguments, mode, saved.written, pipe.is_some(), &locks, progress.clone())?;
    let own = Outputs::files(arguments, &written, &world);
    inputs.exclude(&own, &arguments.inputs, &*world.files);
    let mut files = saved.inputs;
    let mut segments = Vec::new();
    let journal = match arguments.state.as_ref().map(|state| state.join(JOURNAL)) {
        Some(folder) if !arguments.listen.is_empty() => {
            segments = Journal::segments_of(&folder, &mut files);
            let opened = Journal::open(&folder, &segments);
            Some(opened.map_err(|error| CliError::new(format!("cannot open {}: {error}", folder.display())))?)
        }
        Some(folder) if Journal::has_records(&folder) => {
            warn!("{}: has records that came over a network; only a run with --listen reads them", folder.display());
            None
        }
        _ => None,
    };
    let is_nothing_to_read = inputs.list.is_empty() && !arguments.follow && !inputs.skipped.is_empty();
    let plan = input::plan(inputs.list, files, &own, arguments.follow, &world);
    let known = plan.known(&world);
    let longest = arguments.max_record_bytes.max(arguments.batch_bytes) as usize;
    let out = Out {
        outputs,
        summary: Summary { skipped: inputs.skipped.len() as u64, ..saved.summary },
        keep_rejected: mode == Mode::Enrich,
        longest,
        progress,
        input: saved.input.into(),
    };
    let mut known = known;
    segments.iter().cloned().for_each(|segment| known.add(segment));
    let follows = arguments.follow || journal.is_some();
    let session = Session::new(world.clone(), follows, longest, state.is_some().then_some(known));
    let kept = journal.as_ref().map(|(journal, _)| journal.clone());
    let state = state.map(|folder| State::new(folder, arguments.save_every, to_read.named().to_vec(), kept));
    let work = Work { pipeline, out, watch, failed: false };
    if let Some(name) = pipe.filter(|_| state.is_some()) {
        info!(
            "{name} cannot be read again: after a crash, chains go on, but what was read since the last save is not read again"
        );
    }
    let reload = Reload { arguments: arguments.clone(), sandbox, current: configured };
    let mut run = Run::new(work, session, state, monitor.clone(), reload, signals.clone());
    // The follower reports them itself, and again once they can be read.
    for (name, error) in inputs.failed.iter().filter(|_| !arguments.follow) {
        run.work.fail(&format!("cannot read {name}: {error}"));
    }
    for name in &inputs.skipped {
        info!("{}: skipped: it is not named like a file of records", name.display());
    }
    if is_nothing_to_read {
        warn!(
            "nothing is read: none of {} files is named like a file of records, such as x.json.gz",
            inputs.skipped.len()
        );
    }
    for name in &inputs.duplicates {
        warn!("{}: already an input under another name; reading it only once", name.display());
    }
    plan.warnings.iter().for_each(|warning| warn!("{warning}"));
    let (processing, before) = (Instant::now(), (run.work.out.summary.records, run.work.out.summary.bytes));
    let chunk = arguments.batch_bytes as usize;
    let events = if follows {
        let (sender, events) = Events::channel(READ_AHEAD);
        if arguments.follow {
            let what = Follow { arguments: to_read, inputs: plan.inputs, known: plan.known, own, chunk };
            input::follow(what, &world, &signals.stop_flag(), Arc::clone(&monitor.backlog), sender.clone());
        }
        if let Some((journal, writer)) = journal {
            journal.read(segments, chunk, world.clone(), sender, signals.stop_flag());
            let status = Arc::new(listen::Status::default());
            monitor.set(|monitored| monitored.listen = Some((Arc::clone(&status), journal.clone())));
            listen::start(&arguments.listen, (journal, writer), longest, &status)?;
        }
        events
    } else {
        input::read(plan.inputs, chunk, jobs, arguments.state.is_some(), &world, &signals.stop_flag())
    };
    monitor.set(|status| status.senders = run.work.out.outputs.senders.statuses());
    run.tell_doubts();
    let end = run.run(events);
    let is_delivered = run.work.out.outputs.senders.finish(|| signals.stop_asked());
    if !is_delivered && !signals.stop_asked() {
        run.work.failed = true;
    }
    let sent = run.work.out.outputs.senders.describe();
    let metrics = run.work.pipeline.report().metrics;
    let Work { out: Out { mut summary, progress, .. }, failed, .. } = run.work;
    progress.finish_and_clear();
    summary.seconds = began.elapsed().as_secs_f64();
    summary.set_input(&metrics);
    // Another component may not count its input.
    let is_counted = metric::named(&metrics, "unrecognised").next().is_some();
    let is_nothing = is_counted && summary.records > 0 && !summary.recognised_any();
    let is_unrecognised = match arguments.unrecognised {
        cli::Unrecognised::All => is_nothing,
        cli::Unrecognised::Any => !summary.unrecognised.is_empty() || summary.rejected > 0,
        cli::Unrecognised::Ignore => false,
    };
    let done = if is_unrecognised { UNRECOGNISED } else { DONE };
    let code = match end {
        Ok(()) => signals.exit_code().unwrap_or(if failed { FAILED } else { done }),
        Err(RunError::Output(WriteError::ReaderGone { name })) => {
            warn!("the reader of {name} closed the pipe");
            READER_GONE
        }
        Err(RunError::Output(WriteError::Failed(failure))) => {
            error!("{}", failure.message);
            failure.code
        }
        Err(RunError::Component(why)) => {
            error!("{why}");
            FAILED
        }
    };
    if is_nothing && arguments.unrecognised != cli::Unrecognised::Ignore {
        error!("none of {} records is one of a known cloud: is this the right input?", summary.records);
    }
    info!("{}", summary.describe(before, processing.elapsed()));
    if is_counted && summary.records > 0 {
        info!("recognised: {}", summary.describe_input());
    }
    if let Some(sent) = sent {
        info!("sent: {sent}");
    }
    match (arguments.summary, arguments.log_format) {
        (false, _) => {}
        (true, LogFormat::Text) => {
            let _ = writeln!(io::stderr(), "{}", summary.json());
        }
        (true, LogFormat::Json) => {
            let members = serde_json::to_value(&summary).unwrap_or_default();
            log::line(Level::INFO, "summary", members.as_object().cloned().unwrap_or_default());
        }
    }
    Ok(code)
}

/// `--check`: everything that a run would refuse, without reading or writing anything.
fn check_all(arguments: &cli::Run, configured: &Configuration, inputs: &Inputs) -> Result<u8, CliError> {
    let sandbox = Arc::new(load(arguments.component.as_deref(), cache(arguments))?);
    let pipeline = Pipeline::open(&sandbox, &configured.json, configured.mode.into(), 1, &[]);
    let mut pipeline = pipeline.map_err(|error| CliError::usage(error.to_string()))?;
    let rules =
        metric::named(&pipeline.report().metrics, "findings").filter(|metric| !metric::is_of_limits(metric)).count();
    let mut problems: Vec<_> =
        inputs.failed.iter().map(|(name, error)| format!("cannot read {name}: {error}")).collect();
    for path in arguments.inputs.iter().filter(|path| path.as_os_str() != "-") {
        match path.metadata() {
            Ok(_) => {}
            Err(_) if arguments.follow => warn!("{}: does not exist; a run would wait for it", path.display()),
            Err(error) => problems.push(format!("cannot read {}: {error}", path.display())),
        }
    }
    for output in [&arguments.output, &arguments.findings, &arguments.rejects].into_iter().flatten() {
        if output.as_os_str() != "-" && !input::folder(output).is_dir() {
            problems.push(format!("cannot write {}: its folder does not exist", output.display()));
        }
    }
    spool(arguments)?;
    for destination in &arguments.send {
        deliver(destination)?;
    }
    for address in &arguments.listen {
        listen::check(address)?;
    }
    if !problems.is_empty() {
        return Err(CliError::usage(problems.join("; ")));
    }
    let count = inputs.list.len();
    let inputs = if count == 1 { "input" } else { "inputs" };
    info!("ok: mode {}, {rules} rules, {count} {inputs}", configured.mode.name());
    Ok(DONE)
}

/// The inputs of a run. With `--listen`, a run without arguments does not read standard input.
fn find(arguments: &cli::Run, to_read: &Arguments, world: &World) -> Inputs {
    if arguments.inputs.is_empty() && !arguments.listen.is_empty() {
        return Inputs::default();
    }
    Inputs::find(&*world.files, to_read)
}

/// Where the arguments say to keep the compiled component.
fn cache(arguments: &cli::Run) -> Cache<'_> {
    match &arguments.cache {
        Some(folder) => Cache::Folder(folder),
        None if arguments.no_cache => Cache::Off,
        None => Cache::Default,
    }
}

/// Checks for conflicts between arguments that clap cannot express.
fn check(arguments: &cli::Run, inputs: &Inputs, files: &dyn FileSystem) -> Result<(), CliError> {
    if !arguments.listen.is_empty() && !arguments.inputs.is_empty() && !arguments.follow {
        return Err(CliError::usage("--listen takes other inputs only with --follow"));
    }
    if arguments.follow
        && let Some(pipe) = inputs.pipe(files)
    {
        let name = pipe.name();
        return Err(CliError::usage(format!(
            "--follow applies to files and folders only; {name} is a pipe or the like, which is always read until it ends"
        )));
    }
    Ok(())
}
