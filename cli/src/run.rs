//! `catena run`: what has to be there before anything is read, and what is said at the end.

mod out;
mod running;

use std::io::{self, Write};
use std::sync::Arc;
use std::time::Instant;

use tracing::{Level, error, info, warn};

use super::cli::{self, LogFormat, Mode};
use super::durable::StateFolder;
use super::monitor::Monitor;
use super::output::Outputs;
use super::pipeline::{Fault, Pipeline};
use super::setup::{configuration, load, progress};
use super::sink::WriteError;
use super::stop::Stop;
use super::summary::Summary;
use super::{CliError, DONE, FAILED, log};
use catena_input::{self as input, Follow, Input, Inputs, Known};
use out::Out;
use running::{Run, State};

/// What shells know a process by that SIGPIPE has ended.
const READER_GONE: u8 = 128 + 13;

/// `catena run`.
pub fn run(arguments: &cli::Run) -> Result<u8, CliError> {
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
        return Err(CliError::usage(format!(
            "the state is that of a run with --jobs {before}: it cannot be shared anew"
        )));
    }
    let sandbox = load(arguments.component.as_deref(), !arguments.no_cache)?;
    let pipeline = Pipeline::open(sandbox, &config, mode.into(), jobs, &checkpoints).map_err(|error| match error {
        catena_host::Error::Fault(_) => CliError::usage(match &arguments.config {
            Some(file) => format!("{}: {error}", file.display()),
            None => error.to_string(),
        }),
        _ => CliError::new(error.to_string()),
    })?;
    let monitor = Monitor::new();
    if let Some(address) = arguments.metrics {
        let address = monitor.serve(address)?;
        info!("metrics at http://{address}/metrics");
    }
    Outputs::spare(arguments, saved.written, &mut inputs)?;
    let outputs = Outputs::open(arguments, mode, saved.written)?;
    let stop = Stop::on_signals().map_err(|error| CliError::new(format!("cannot listen for signals: {error}")))?;
    let own = Outputs::inodes(arguments);
    let plan = input::plan(inputs.list, saved.inputs, &own, arguments.follow);
    let waiting = plan.inputs.iter().filter(|input| input.known).filter_map(|input| input.saved(input.position, None));
    let known = Known::new(plan.known.iter().cloned().chain(waiting));
    let longest = arguments.max_record_bytes.max(arguments.batch_bytes) as usize;
    let out = Out {
        outputs,
        summary: Summary { skipped: inputs.skipped, ..saved.summary },
        keep_rejected: mode == Mode::Enrich,
        longest,
        progress,
        input: saved.input.into(),
    };
    let state = state.map(|folder| State::new(folder, arguments.save_every, known));
    let mut run = Run::new(pipeline, state, arguments.follow, arguments.metrics.map(|_| monitor.clone()), out);
    for (name, error) in &inputs.failed {
        run.fail(&format!("cannot read {name}: {error}"));
    }
    for name in &inputs.duplicates {
        warn!("{}: is an input already, under another name; read once", name.display());
    }
    plan.warnings.iter().for_each(|warning| warn!("{warning}"));
    let (processing, bytes_before) = (Instant::now(), run.out.summary.bytes);
    let chunk = arguments.batch_bytes as usize;
    let events = if arguments.follow {
        let inputs = Follow { arguments: arguments.inputs.clone(), inputs: plan.inputs, known: plan.known, own, chunk };
        input::follow(inputs, &stop.flag(), Arc::clone(&monitor.backlog))
    } else {
        input::read(plan.inputs, chunk, jobs, arguments.state.is_some(), &stop.flag())
    };
    let end = run.all(events, &stop);
    let Out { mut summary, progress, .. } = run.out;
    progress.finish_and_clear();
    summary.seconds = began.elapsed().as_secs_f64();
    let code = match end {
        Ok(()) => stop.exit_code().unwrap_or(if run.failed { FAILED } else { DONE }),
        Err(Fault::WriteError(WriteError::ReaderGone { name })) => {
            warn!("the reader of {name} has gone");
            READER_GONE
        }
        Err(Fault::WriteError(WriteError::Failed(failure))) => {
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
fn check(arguments: &cli::Run, inputs: &Inputs) -> Result<(), CliError> {
    let standard = inputs.list.contains(&Input::Standard);
    if arguments.state.is_some()
        && let Some(input) = inputs.irregular()
    {
        return Err(CliError::usage(format!(
            "with --state, inputs have to be files: what came through a pipe cannot be read again ({})",
            input.name()
        )));
    }
    if standard && arguments.follow {
        return Err(CliError::usage(
            "--follow is for files and folders; the standard input is read as it comes anyway",
        ));
    }
    if arguments.log_format == LogFormat::Json && arguments.summary {
        return Err(CliError::usage("--summary is a line of its own kind: it does not go with --log-format json"));
    }
    Ok(())
}
