//! `catena run`: sets up a run, drives it, and reports how it ended.

mod out;
mod reload;
mod running;

use std::io::{self, Write};
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Instant;

use tracing::{Level, error, info, warn};

use super::cli::{self, LogFormat, Mode};
use super::durable::StateFolder;
use super::monitor::Monitor;
use super::output::Outputs;
use super::pipeline::{Pipeline, RunError};
use super::setup::{configuration, load, progress};
use super::signals::Signals;
use super::sink::WriteError;
use super::summary::Summary;
use super::{CliError, DONE, FAILED, UNRECOGNISED, log};
use catena_input::{self as input, Follow, Input, Inputs, Session, World};
use out::Out;
use reload::Reload;
use running::{Run, State, Work};

/// The exit code by which shells report death by SIGPIPE.
const READER_GONE: u8 = 128 + 13;

/// `catena run`.
pub fn run(arguments: &cli::Run) -> Result<u8, CliError> {
    let began = Instant::now();
    let world = World::real();
    let mut inputs = Inputs::find(&*world.files, &arguments.inputs);
    check(arguments, &inputs)?;
    let progress = progress(arguments, &inputs);
    log::start(arguments.log_format, if arguments.quiet { Level::ERROR } else { arguments.log_level }, &progress);
    // A missing file may still be created. A mistyped path must not look like an idle one.
    let missing = |path: &&PathBuf| path.as_os_str() != "-" && world.files.metadata(path).is_err();
    for path in arguments.inputs.iter().filter(missing).filter(|_| arguments.follow) {
        warn!("{}: does not exist yet; waiting for it", path.display());
    }
    let configured = configuration(arguments)?;
    let mode = configured.mode;
    let state = arguments.state.as_deref().map(StateFolder::open).transpose()?;
    let (saved, checkpoints) = match &state {
        Some(state) => state.load()?.unwrap_or_default(),
        None => Default::default(),
    };
    let jobs = usize::from(arguments.jobs);
    if !checkpoints.is_empty() && checkpoints.len() != jobs {
        let before = checkpoints.len();
        return Err(CliError::usage(format!(
            "the state was saved with --jobs {before} and can only be resumed with the same number"
        )));
    }
    let sandbox = Arc::new(load(arguments.component.as_deref(), !arguments.no_cache)?);
    let pipeline = Pipeline::open(&sandbox, &configured.json, mode.into(), jobs, &checkpoints);
    let pipeline = pipeline.map_err(|error| match error {
        catena_host::Error::Fault(_) => CliError::usage(match &arguments.config {
            Some(file) => format!("{}: {error}", file.display()),
            None => error.to_string(),
        }),
        _ => CliError::new(error.to_string()),
    })?;
    let monitor = Monitor::new();
    if let Some(address) = arguments.metrics {
        let address = monitor.serve(address)?;
        info!("serving metrics at http://{address}/metrics");
    }
    Outputs::exclude_from(arguments, &saved.written, &mut inputs, &world)?;
    let pipe = inputs.pipe(&*world.files).map(Input::name);
    let outputs = Outputs::open(arguments, mode, saved.written, pipe.is_some())?;
    let signals = Signals::listen();
    let signals = signals.map_err(|error| CliError::new(format!("cannot install signal handlers: {error}")))?;
    let own = Outputs::files(arguments, &world);
    inputs.exclude(&own, &arguments.inputs, &*world.files);
    let plan = input::plan(inputs.list, saved.inputs, &own, arguments.follow, &world);
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
    let session = Session::new(world.clone(), arguments.follow, longest, state.is_some().then_some(known));
    let state = state.map(|folder| State::new(folder, arguments.save_every));
    let work = Work { pipeline, out, failed: false };
    if let Some(name) = pipe.filter(|_| state.is_some()) {
        info!(
            "{name} cannot be read again: after a crash, chains go on, but what was read since the last save is not read again"
        );
    }
    let monitored = arguments.metrics.map(|_| monitor.clone());
    let reload = Reload { arguments: arguments.clone(), sandbox, current: configured };
    let mut run = Run::new(work, session, state, monitored, reload, signals.clone());
    for (name, error) in &inputs.failed {
        run.work.fail(&format!("cannot read {name}: {error}"));
    }
    for name in &inputs.skipped {
        info!("{}: skipped: it is not named like a file of records", name.display());
    }
    for name in &inputs.duplicates {
        warn!("{}: already an input under another name; reading it only once", name.display());
    }
    plan.warnings.iter().for_each(|warning| warn!("{warning}"));
    let (processing, bytes_before) = (Instant::now(), run.work.out.summary.bytes);
    let chunk = arguments.batch_bytes as usize;
    let events = if arguments.follow {
        let inputs = Follow { arguments: arguments.inputs.clone(), inputs: plan.inputs, known: plan.known, own, chunk };
        input::follow(inputs, &world, &signals.stop_flag(), Arc::clone(&monitor.backlog))
    } else {
        input::read(plan.inputs, chunk, jobs, arguments.state.is_some(), &world, &signals.stop_flag())
    };
    let end = run.run(events);
    let metrics = run.work.pipeline.report().metrics;
    let Work { out: Out { mut summary, progress, .. }, failed, .. } = run.work;
    progress.finish_and_clear();
    summary.seconds = began.elapsed().as_secs_f64();
    summary.set_input(&metrics);
    // Another component may not count its input.
    let is_counted = metrics.iter().any(|metric| metric.name.starts_with("unrecognised:"));
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
    info!("{}", summary.describe(summary.bytes - bytes_before, processing.elapsed()));
    if is_counted && summary.records > 0 {
        info!("recognised: {}", summary.describe_input());
    }
    if arguments.summary {
        let _ = writeln!(io::stderr(), "{}", summary.json());
    }
    Ok(code)
}

/// Checks for conflicts between arguments that clap cannot express.
fn check(arguments: &cli::Run, inputs: &Inputs) -> Result<(), CliError> {
    let standard = inputs.list.contains(&Input::Standard);
    if standard && arguments.follow {
        return Err(CliError::usage(
            "--follow applies to files and folders only; standard input is always read until it ends",
        ));
    }
    if arguments.log_format == LogFormat::Json && arguments.summary {
        return Err(CliError::usage("--summary cannot be used with --log-format json: its line is not a log message"));
    }
    Ok(())
}
