//! The outputs of a run: the stream, the findings and the rejects.

use std::collections::HashSet;
use std::fs::Metadata;
use std::io::{self, IsTerminal, Write};
use std::path::PathBuf;

use bytes::Bytes;
use catena_host::{Finding, Outcome, Rejection, Unrecognised};
use indicatif::ProgressBar;
use serde::{Deserialize, Serialize};
use tracing::warn;

use super::CliError;
use super::cli::{self, Format, LogFormat, Mode, Run};
use super::describe::describe;
use super::kind;
use super::lock::Locks;
use super::place::Place;
use super::send::Senders;
use super::sink::{Background, Done, Mark, Opening, Sink, Work, WriteError, inode};
use catena_input::framing::{Batch, line_feeds_in};
use catena_input::{Inputs, Own, World};

/// How many bytes to show of a record that was not recognised.
const MAX_SHOWN: usize = 80;

/// How many rejections to log if there is no `--rejects`.
const MAX_LOGGED: u64 = 10;

/// All outputs of a run.
pub struct Outputs {
    stream: Option<Background>,
    /// Whether the stream ends without a line feed so far.
    line_open: bool,
    filter: bool,
    findings: Option<Sink>,
    format: Format,
    rejects: Option<Sink>,
    /// Where findings are sent.
    pub senders: Senders,
    /// Suspended while a finding is written to the terminal.
    progress: ProgressBar,
    /// Whether findings go to a terminal.
    to_terminal: bool,
    quiet: bool,
    records_in_findings: bool,
    logged: u64,
    /// Whether unrecognised records are logged, the first of each kind.
    logs_unrecognised: bool,
    /// The kinds that have been logged.
    unrecognised: Vec<String>,
}

/// How far each output was written at a checkpoint. Anything after it is redone.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Written {
    stream: Option<Mark>,
    line_open: bool,
    findings: Option<Mark>,
    rejects: Option<Mark>,
    /// True if the run ended with this checkpoint.
    #[serde(default)]
    is_final: bool,
}

/// A line of the rejects file.
#[derive(Serialize)]
struct RejectedRecord<'a> {
    input: &'a str,
    line: u64,
    offset: u64,
    code: &'a str,
    detail: &'a str,
    /// The record, with invalid UTF-8 replaced.
    record: &'a str,
}

impl Outputs {
    /// Removes the outputs from the inputs, in case they are in an input folder. An output that is an input but was not
    /// written by an earlier run of this state would be read and written in turns, without end: that is an error. An empty
    /// one is left by a run that was killed before it wrote anything.
    pub fn exclude_from(
        arguments: &Run,
        written: &Written,
        inputs: &mut Inputs,
        world: &World,
    ) -> Result<(), CliError> {
        for (name, target, written) in [
            ("--output", &arguments.output, &written.stream),
            ("--findings", &arguments.findings, &written.findings),
            ("--rejects", &arguments.rejects, &written.rejects),
        ] {
            let Some(target) = target else { continue };
            let is_empty = world.files.metadata(target).is_ok_and(|metadata| metadata.stamp.size == 0);
            if inputs.remove(&*world.files, target) && written.is_none() && !is_empty {
                let target = target.display();
                return Err(CliError::usage(format!("{name} {target} is also an input")));
            }
        }
        for (name, folder) in [("--state", &arguments.state), ("--spool", &arguments.spool)] {
            let Some(folder) = folder else { continue };
            let canonical = world.files.canonical(folder);
            if arguments.inputs.iter().any(|input| world.files.canonical(input) == canonical) {
                return Err(CliError::usage(format!("{name} {} is also an input", folder.display())));
            }
        }
        Ok(())
    }

    /// What the run writes and must not read: its outputs, also those that were `written` under other names, its state and
    /// its spool. Call after opening them.
    pub fn files(arguments: &Run, written: &Written, world: &World) -> Own {
        let targets = [&arguments.output, &arguments.findings, &arguments.rejects];
        let targets = targets.into_iter().flatten().filter(|target| target.as_os_str() != "-");
        let folders = [&arguments.state, &arguments.spool].into_iter().flatten().map(PathBuf::as_path);
        let files = &*world.files;
        let marks = [&written.stream, &written.findings, &written.rejects].into_iter().flatten();
        Own::new(targets.map(PathBuf::as_path), files)
            .with_folders(folders, &arguments.inputs, files)
            .with_inodes(marks.filter_map(|mark| mark.inode))
    }

    /// Opens all outputs, to continue after what is `written`. If the inputs cannot be read again (`is_once`), nothing that
    /// was written later is removed.
    pub fn open(
        arguments: &Run,
        mode: Mode,
        written: Written,
        is_once: bool,
        locks: &Locks<'_>,
        progress: ProgressBar,
    ) -> Result<Self, CliError> {
        let standard = || PathBuf::from("-");
        let stream = match (&arguments.output, mode) {
            (Some(_), Mode::Findings) => {
                return Err(CliError::usage("--output cannot be used in mode findings, which has no stream"));
            }
            (None, Mode::Findings) => None,
            (output, _) => Some(output.clone().unwrap_or_else(standard)),
        };
        let findings = match (&arguments.findings, mode) {
            (None, Mode::Findings) => Some(standard()),
            (findings, _) => findings.clone(),
        };
        let same = || CliError::usage("the stream, findings and rejects must go to different outputs");
        let files = [&stream, &findings, &arguments.rejects].into_iter().flatten();
        let files: Vec<_> = files.filter(|target| target.as_os_str() != "/dev/null").collect();
        if files.iter().collect::<HashSet<_>>().len() < files.len() {
            return Err(same());
        }
        let to_terminal = match &findings {
            Some(target) => target.as_os_str() == "-" && io::stdout().is_terminal(),
            // By default they go to standard error.
            None => true,
        };
        // Every message is JSON then.
        let is_json = findings.is_none() && arguments.log_format == LogFormat::Json;
        let default = if to_terminal && !is_json { Format::Text } else { Format::Ocsf };
        let mut opened = Vec::new();
        let mut open = |target: Option<PathBuf>, mark: Option<Mark>| {
            let opening = match mark {
                Some(_) if is_once => Opening::Append,
                Some(mark) => Opening::Resume { mark, is_final: written.is_final },
                None if arguments.overwrite => Opening::Overwrite,
                None => Opening::Append,
            };
            let Some(target) = target else { return Ok(None) };
            let inode_of = || target.metadata().ok().filter(Metadata::is_file).map(|metadata| inode(&metadata));
            // A run that waits for locks must not wait for its own.
            if inode_of().is_some_and(|inode| opened.contains(&inode)) {
                return Err(same());
            }
            let sink = Sink::open(&target, &opening, locks)?;
            opened.extend(inode_of());
            Ok(Some(sink))
        };
        Ok(Self {
            stream: open(stream, written.stream)?.map(Background::start),
            line_open: written.line_open,
            filter: mode == Mode::Filter,
            findings: open(findings, written.findings)?,
            format: arguments.findings_format.unwrap_or(default),
            rejects: open(arguments.rejects.clone(), written.rejects)?,
            senders: Senders::open(&arguments.send, spool(arguments)?.as_deref(), locks)?,
            progress,
            to_terminal,
            quiet: arguments.quiet,
            records_in_findings: arguments.records_in_findings,
            logged: 0,
            logs_unrecognised: arguments.unrecognised != cli::Unrecognised::Ignore,
            unrecognised: Vec::new(),
        })
    }

    /// Writes the outcome of a batch: findings first, so that none is lost if the reader of the stream has closed its
    /// pipe.
    pub fn write(&mut self, input: &str, batch: &Batch, outcome: Outcome) -> Result<(), WriteError> {
        let mut lines = LineCounter::new(batch);
        for finding in &outcome.findings {
            let line = lines.at(finding.start);
            self.finding(input, batch, line, finding)?;
        }
        let mut lines = LineCounter::new(batch);
        for rejection in &outcome.rejections {
            let line = lines.at(rejection.start);
            self.rejection(input, batch, line, rejection)?;
        }
        for record in &outcome.unrecognised {
            self.unrecognised(input, batch, record);
        }
        if self.stream.is_none() {
            return Ok(());
        }
        self.pass(outcome.pieces(&batch.original))?;
        // The line feed may have been dropped along with the record after it.
        if self.filter { self.end_line() } else { Ok(()) }
    }

    /// Ends the current line, so that the records of the next input start on a new one.
    pub fn end_line(&mut self) -> Result<(), WriteError> {
        if self.line_open { self.pass(vec![Bytes::from_static(b"\n")]) } else { Ok(()) }
    }

    /// Writes pieces of the stream as they are.
    pub fn pass(&mut self, pieces: Vec<Bytes>) -> Result<(), WriteError> {
        let last = pieces.iter().rev().find_map(|piece| piece.last());
        let (Some(stream), Some(last)) = (&self.stream, last) else { return Ok(()) };
        self.line_open = *last != b'\n';
        stream.write(pieces)
    }

    fn finding(&mut self, input: &str, batch: &Batch, line: u64, finding: &Finding) -> Result<(), WriteError> {
        let bytes = &batch.original[finding.start as usize..finding.end as usize];
        let record = self.records_in_findings.then(|| String::from_utf8_lossy(bytes));
        let place = Place { file: input, line, record: record.as_deref() };
        let json = |place: &Place| place.add_to(&finding.body);
        if !self.senders.is_empty() {
            self.senders.send(finding, &json(&place));
        }
        let text = match self.format {
            Format::Text => format!("{}{}", describe(&finding.body), place.describe()),
            Format::Ocsf | Format::Ecs | Format::Sentinel => json(&place) + "\n",
        };
        match &mut self.findings {
            Some(sink) if !self.to_terminal => sink.write(&[text.as_bytes()]),
            // The progress bar is on the same terminal.
            Some(sink) => self.progress.suspend(|| {
                sink.write(&[text.as_bytes()])?;
                sink.perform(Work::Flush).map(drop)
            }),
            None => {
                if !self.quiet {
                    // A closed standard error must not end the run.
                    let _ = self.progress.suspend(|| io::stderr().write_all(text.as_bytes()));
                }
                Ok(())
            }
        }
    }

    /// Logs the first record of each kind that was not recognised.
    fn unrecognised(&mut self, input: &str, batch: &Batch, record: &Unrecognised) {
        if !self.logs_unrecognised || self.unrecognised.contains(&record.code) {
            return;
        }
        self.unrecognised.push(record.code.clone());
        let line = LineCounter::new(batch).at(record.start);
        let what = match &*record.code {
            "names-action" => "names an action of a rule, but is not an event of a known cloud",
            _ => "looks like no record of a known cloud",
        };
        let bytes = &batch.original[record.start as usize..record.end as usize];
        let start = String::from_utf8_lossy(&bytes[..bytes.len().min(MAX_SHOWN)]);
        warn!("{input}:{line}: {what}; further ones are only counted: {}", start.escape_debug());
    }

    /// Writes a rejection to the rejects, or logs it if there are none.
    pub fn rejection(
        &mut self,
        input: &str,
        batch: &Batch,
        line: u64,
        rejection: &Rejection,
    ) -> Result<(), WriteError> {
        match &mut self.rejects {
            Some(sink) => {
                let bytes = &batch.original[rejection.start as usize..rejection.end as usize];
                let rejected = RejectedRecord {
                    input,
                    line,
                    offset: batch.offset + u64::from(rejection.start),
                    code: &rejection.code,
                    detail: &rejection.detail,
                    record: &String::from_utf8_lossy(bytes),
                };
                let rejected = serde_json::to_vec(&rejected).unwrap_or_default();
                sink.write(&[&rejected, b"\n"])
            }
            None => {
                self.logged += 1;
                if self.logged <= MAX_LOGGED {
                    let bytes = &batch.original[rejection.start as usize..rejection.end as usize];
                    let looks_like = match kind::of_line(bytes).filter(|_| rejection.code == "not-an-object") {
                        Some(kind) => format!("; this looks like {kind}"),
                        None => String::new(),
                    };
                    warn!("{input}:{line}: rejected: {} ({}){looks_like}", rejection.detail, rejection.code);
                }
                if self.logged == MAX_LOGGED + 1 {
                    warn!("further rejections are counted but not logged; use --rejects FILE to keep them all");
                }
                Ok(())
            }
        }
    }

    /// Flushes all buffers.
    pub fn flush(&mut self) -> Result<(), WriteError> {
        self.senders.flush().map_err(WriteError::Failed)?;
        self.perform(Work::Flush).map(drop)
    }

    /// Writes what is buffered, without waiting for the stream.
    pub fn flush_soon(&mut self) -> Result<(), WriteError> {
        self.senders.flush().map_err(WriteError::Failed)?;
        for sink in [&mut self.findings, &mut self.rejects].into_iter().flatten() {
            sink.perform(Work::Flush)?;
        }
        if let Some(stream) = &self.stream {
            stream.flush_soon();
        }
        Ok(())
    }

    /// Brings all outputs to disk and marks how far they are written. `is_final`: nothing is written later.
    pub fn sync(&mut self, is_final: bool) -> Result<Written, WriteError> {
        self.senders.sync().map_err(WriteError::Failed)?;
        let [findings, rejects, stream] = self.perform(Work::Sync)?.map(|done| done.mark);
        Ok(Written { findings, rejects, stream, line_open: self.line_open, is_final })
    }

    /// Whether another program has rotated an output.
    pub fn is_rotated(&mut self) -> Result<bool, WriteError> {
        Ok(self.perform(Work::Check)?.iter().any(|done| done.is_rotated))
    }

    /// Opens the files that have the names of rotated outputs now. Returns true if there was one: then the state must be
    /// saved before anything is written, so that the next run knows the files.
    pub fn reopen(&mut self) -> Result<bool, WriteError> {
        Ok(self.perform(Work::Reopen)?.iter().any(|done| done.is_rotated))
    }

    /// Does the same with the findings, the rejects and the stream.
    fn perform(&mut self, work: Work) -> Result<[Done; 3], WriteError> {
        let perform = |sink: &mut Option<Sink>| sink.as_mut().map_or(Ok(Done::default()), |sink| sink.perform(work));
        let stream = |stream: &Background| stream.perform(work);
        Ok([
            perform(&mut self.findings)?,
            perform(&mut self.rejects)?,
            self.stream.as_ref().map_or(Ok(Done::default()), stream)?,
        ])
    }
}

/// The folder in which findings wait to be sent.
pub fn spool(arguments: &Run) -> Result<Option<PathBuf>, CliError> {
    match (&arguments.spool, &arguments.state) {
        (Some(spool), _) => Ok(Some(spool.clone())),
        (None, Some(state)) => Ok(Some(state.join("send"))),
        (None, None) if arguments.send.is_empty() => Ok(None),
        (None, None) => {
            let why = "findings wait on disk until they are delivered";
            Err(CliError::usage(format!("--send needs --state FOLDER or --spool FOLDER: {why}")))
        }
    }
}

/// The lines of places in a batch. Counts line feeds from one place to the next, not from the start: there may be very many.
struct LineCounter<'b> {
    batch: &'b Batch,
    at: usize,
    line: u64,
}

impl<'b> LineCounter<'b> {
    fn new(batch: &'b Batch) -> Self {
        Self { batch, at: 0, line: batch.line }
    }

    /// The line of an offset in the batch.
    fn at(&mut self, offset: u32) -> u64 {
        let offset = offset as usize;
        if offset < self.at {
            (self.at, self.line) = (0, self.batch.line);
        }
        self.line += line_feeds_in(&self.batch.original[self.at..offset]);
        self.at = offset;
        self.line
    }
}
