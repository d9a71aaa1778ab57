use std::fs;
use std::io::{self, IsTerminal};
use std::path::Path;
use std::sync::mpsc::{Receiver, RecvTimeoutError, TryRecvError};
use std::time::{Duration, Instant, SystemTime};

use catena_host::{BUILT_IN, Correlator, Limits, Rejection, Sandbox};
use indicatif::{ProgressBar, ProgressStyle};
use serde_json::{Value, json};

use super::cli::{self, Format, Mode};
use super::framing::{Batch, Framer, Kind};
use super::input::{self, Event, Input, Inputs};
use super::output::{Outputs, Unwritten};
use super::rules::{RuleFile, to_json};
use super::stop::Stop;
use super::summary::Summary;
use super::{DONE, FAILED, Failure};

/// How long signals may go unnoticed.
const TICK: Duration = Duration::from_millis(20);
/// What shells know a process by that SIGPIPE has ended.
const READER_GONE: u8 = 128 + 13;

/// `catena run`.
pub fn run(arguments: &cli::Run) -> Result<u8, Failure> {
    let began = Instant::now();
    let (config, mode) = configuration(arguments)?;
    let sandbox = load(arguments.component.as_deref())?;
    let correlator = sandbox.open(&config).map_err(|error| match error {
        catena_host::Error::Fault(_) => Failure::usage(match &arguments.config {
            Some(file) => format!("{}: {error}", file.display()),
            None => error.to_string(),
        }),
        _ => Failure::new(error.to_string()),
    })?;
    let outputs = Outputs::open(arguments, mode)?;
    let stop = Stop::on_signals().map_err(|error| Failure::new(format!("cannot listen for signals: {error}")))?;
    let inputs = Inputs::find(&arguments.inputs);
    let progress = progress(arguments, &inputs);
    let longest = arguments.max_record_bytes.max(arguments.batch_bytes) as usize;
    let mut run = Run {
        correlator,
        outputs,
        summary: Summary { skipped: inputs.skipped, ..Summary::default() },
        input: String::new(),
        framer: Framer::new(longest),
        longest,
        failed: false,
        keep_rejected: mode == Mode::Enrich,
        progress,
    };
    for (name, error) in &inputs.failed {
        run.fail(&format!("cannot read {name}: {error}"));
    }
    let processing = Instant::now();
    let events = input::read(inputs.list, arguments.batch_bytes as usize, stop.flag());
    let end = run.all(&events, &stop);
    run.progress.finish_and_clear();
    run.summary.seconds = began.elapsed().as_secs_f64();
    let code = match end {
        Ok(()) => stop.exit_code().unwrap_or(if run.failed { FAILED } else { DONE }),
        Err(Unwritten::ReaderGone { name }) => {
            if !arguments.quiet {
                eprintln!("catena: the reader of {name} has gone");
            }
            READER_GONE
        }
        Err(Unwritten::Failed(failure)) => {
            eprintln!("catena: {}", failure.message);
            failure.code
        }
    };
    if !arguments.quiet {
        eprintln!("catena: {}", run.summary.describe(processing.elapsed()));
    }
    if arguments.summary {
        eprintln!("{}", run.summary.json());
    }
    Ok(code)
}

/// The configuration as the component takes it, and its mode.
fn configuration(arguments: &cli::Run) -> Result<(String, Mode), Failure> {
    let mut config = match &arguments.config {
        None => json!({}),
        Some(file) => {
            let name = file.display();
            let text =
                fs::read_to_string(file).map_err(|error| Failure::usage(format!("cannot read {name}: {error}")))?;
            to_json(&name.to_string(), &text).map_err(Failure::usage)?
        }
    };
    let Some(members) = config.as_object_mut() else {
        return Err(Failure::usage("the configuration is not a mapping"));
    };
    add_rule_files(members, arguments.config.as_deref())?;
    if let Some(mode) = arguments.mode {
        let name = match mode {
            Mode::Enrich => "enrich",
            Mode::Filter => "filter",
            Mode::Findings => "findings",
        };
        members.insert("mode".to_owned(), name.into());
    }
    if let Some(format) = arguments.findings_format {
        let name = match format {
            // Words are made of OCSF's.
            Format::Ocsf | Format::Text => "ocsf",
            Format::Ecs => "ecs",
            Format::Sentinel => "sentinel",
        };
        members.insert("findings".to_owned(), name.into());
    }
    // What is no mode, the component says.
    let mode = match members.get("mode").and_then(Value::as_str) {
        Some("filter") => Mode::Filter,
        Some("findings") => Mode::Findings,
        _ => Mode::Enrich,
    };
    Ok((config.to_string(), mode))
}

/// Replaces `rule_files`, which only the program knows, by the rules in them. Their paths are relative to the
/// configuration's folder.
fn add_rule_files(members: &mut serde_json::Map<String, Value>, config: Option<&Path>) -> Result<(), Failure> {
    let Some(files) = members.remove("rule_files") else { return Ok(()) };
    let files: Option<Vec<&str>> = files.as_array().and_then(|files| files.iter().map(Value::as_str).collect());
    let files = files.ok_or_else(|| Failure::usage("rule_files: expected a list of files"))?;
    let folder = config.and_then(Path::parent).unwrap_or(Path::new(""));
    let rules = members.entry("rules").or_insert_with(|| json!([]));
    let rules = rules.as_array_mut().ok_or_else(|| Failure::usage("rules: expected a list of rules"))?;
    for file in files {
        let file = RuleFile::read(&folder.join(file)).map_err(|failure| Failure::usage(failure.message))?;
        if let Some(problem) = file.problem() {
            return Err(Failure::usage(problem));
        }
        rules.push(file.json);
    }
    Ok(())
}

/// The component, ready to run.
pub fn load(file: Option<&Path>) -> Result<Sandbox, Failure> {
    let (name, bytes) = match file {
        None => ("the built-in component".to_owned(), BUILT_IN.to_vec()),
        Some(file) => {
            let name = file.display().to_string();
            let bytes = fs::read(file).map_err(|error| Failure::usage(format!("cannot read {name}: {error}")))?;
            (name, bytes)
        }
    };
    Sandbox::new(&bytes, Limits::default()).map_err(|error| Failure::usage(format!("{name}: {error}")))
}

fn progress(arguments: &cli::Run, inputs: &Inputs) -> ProgressBar {
    // A stream on the same terminal would be torn by it.
    if arguments.quiet || !io::stderr().is_terminal() || io::stdout().is_terminal() {
        return ProgressBar::hidden();
    }
    let (bar, template) = if inputs.list.contains(&Input::Standard) {
        (ProgressBar::new_spinner(), "{spinner} {bytes} read, {bytes_per_sec}, {elapsed}")
    } else {
        (ProgressBar::new(inputs.bytes), "{bar:40} {bytes} of {total_bytes}, {bytes_per_sec}, {eta} left")
    };
    match ProgressStyle::with_template(template) {
        Ok(style) => bar.with_style(style),
        Err(_) => bar,
    }
}

/// A run that is going on.
struct Run {
    correlator: Correlator,
    outputs: Outputs,
    summary: Summary,
    /// The name of the input that is being read.
    input: String,
    framer: Framer,
    longest: usize,
    failed: bool,
    keep_rejected: bool,
    progress: ProgressBar,
}

impl Run {
    /// Processes everything that is read, until the inputs end or the run is asked to.
    fn all(&mut self, events: &Receiver<Event>, stop: &Stop) -> Result<(), Unwritten> {
        let end = self.read_all(events, stop);
        if end.is_err() {
            stop.ask();
        }
        let flushed = self.outputs.flush();
        end.and(flushed)
    }

    fn read_all(&mut self, events: &Receiver<Event>, stop: &Stop) -> Result<(), Unwritten> {
        loop {
            let event = match events.try_recv() {
                Ok(event) => event,
                Err(TryRecvError::Disconnected) => break,
                Err(TryRecvError::Empty) => {
                    // The input pauses: what is done so far goes out.
                    self.frame(|framer, give| framer.pause(give))?;
                    self.outputs.flush()?;
                    match events.recv_timeout(TICK) {
                        Ok(event) => event,
                        Err(RecvTimeoutError::Disconnected) => break,
                        // The reading thread waits for input that nobody waits for any more.
                        Err(RecvTimeoutError::Timeout) if stop.asked() => break,
                        Err(RecvTimeoutError::Timeout) => continue,
                    }
                }
            };
            self.take(event)?;
        }
        self.finish_input()
    }

    fn take(&mut self, event: Event) -> Result<(), Unwritten> {
        match event {
            Event::Begin(input) => {
                self.input = input.name();
                self.framer = Framer::new(self.longest);
                self.summary.files += 1;
                self.outputs.begin_input()
            }
            Event::Bytes(bytes, read) => {
                self.summary.bytes += bytes.len() as u64;
                self.progress.inc(read);
                self.frame(|framer, give| framer.push(&bytes, give))
            }
            Event::End => self.finish_input(),
            Event::Skipped(reason) => {
                self.summary.files -= 1;
                self.summary.skipped += 1;
                self.progress.suspend(|| eprintln!("catena: {}: skipped: {reason}", self.input));
                Ok(())
            }
            Event::Failed(error) => {
                self.finish_input()?;
                self.fail(&format!("cannot read {}: {error}", self.input));
                Ok(())
            }
        }
    }

    fn finish_input(&mut self) -> Result<(), Unwritten> {
        self.frame(|framer, give| framer.finish(give))
    }

    fn fail(&mut self, message: &str) {
        self.failed = true;
        self.progress.suspend(|| eprintln!("catena: {message}"));
    }

    /// Lets the framer give out batches and processes them.
    fn frame(
        &mut self,
        frame: impl FnOnce(&mut Framer, &mut dyn FnMut(Batch<'_>) -> Result<(), Unwritten>) -> Result<(), Unwritten>,
    ) -> Result<(), Unwritten> {
        let mut framer = std::mem::replace(&mut self.framer, Framer::new(self.longest));
        let framed = frame(&mut framer, &mut |batch| self.process(&batch));
        self.framer = framer;
        framed
    }

    fn process(&mut self, batch: &Batch<'_>) -> Result<(), Unwritten> {
        if let Kind::TooLong { first } = batch.kind {
            return self.reject_too_long(batch, first);
        }
        let now = SystemTime::UNIX_EPOCH.elapsed().map_or(0, |elapsed| elapsed.as_millis() as u64);
        let outcome = self.correlator.process(batch.bytes(), now).map_err(|error| {
            let place = format!("{}, in the {} bytes from line {}", self.input, batch.original.len(), batch.line);
            Unwritten::Failed(Failure::new(format!("{place}: {error}")))
        })?;
        self.summary.add(&outcome);
        self.outputs.write(&self.input, batch, &outcome)
    }

    fn reject_too_long(&mut self, batch: &Batch<'_>, first: bool) -> Result<(), Unwritten> {
        if first {
            self.summary.records += 1;
            self.summary.rejected += 1;
            let detail = format!("the record is longer than --max-record-bytes {}", self.longest);
            let rejection = Rejection { start: 0, end: 0, code: "too-long".to_owned(), detail };
            self.outputs.rejection(&self.input, batch, &rejection)?;
        }
        if self.keep_rejected { self.outputs.pass(batch.original) } else { Ok(()) }
    }
}
