//! Where things go: the stream, the findings, and the records that cannot be read.

use std::fs::File;
use std::io::{self, BufWriter, IsTerminal, Write};
use std::path::{Path, PathBuf};

use catena_host::{Finding, Outcome, Rejection};
use memchr::memchr_iter;
use serde::Serialize;

use super::Failure;
use super::cli::{Format, Mode, Run};
use super::describe::describe;
use super::framing::Batch;

/// Rejections that are told one by one where nobody keeps them.
const TOLD: u64 = 10;

/// Why something was not written.
#[derive(Debug)]
pub enum Unwritten {
    /// Whoever read the output has gone. `name` is the output's.
    ReaderGone { name: String },
    /// Anything else.
    Failed(Failure),
}

/// A file or the standard output, buffered.
struct Sink {
    name: String,
    writer: BufWriter<Box<dyn Write>>,
}

impl Sink {
    fn open(target: &Path) -> Result<Self, Failure> {
        let (name, writer): (_, Box<dyn Write>) = if target.as_os_str() == "-" {
            ("the standard output".to_owned(), Box::new(io::stdout()))
        } else {
            let name = target.display().to_string();
            let file = File::create(target).map_err(|error| Failure::new(format!("cannot write {name}: {error}")))?;
            (name, Box::new(file))
        };
        Ok(Self { name, writer: BufWriter::with_capacity(64 << 10, writer) })
    }

    fn write(&mut self, write: impl FnOnce(&mut dyn Write) -> io::Result<()>) -> Result<(), Unwritten> {
        write(&mut self.writer).map_err(|error| match error.kind() {
            io::ErrorKind::BrokenPipe => Unwritten::ReaderGone { name: self.name.clone() },
            _ => Unwritten::Failed(Failure::new(format!("cannot write {}: {error}", self.name))),
        })
    }
}

/// All outputs of a run.
pub struct Outputs {
    stream: Option<Sink>,
    /// Whether the last record of the stream still lacks the end of its line.
    line_open: bool,
    filter: bool,
    findings: Option<Sink>,
    format: Format,
    rejects: Option<Sink>,
    quiet: bool,
    told: u64,
}

/// A rejected record, as a line of the rejects file.
#[derive(Serialize)]
struct RejectedRecord<'a> {
    input: &'a str,
    line: u64,
    offset: u64,
    code: &'a str,
    detail: &'a str,
    /// The record; what is not UTF-8 in it is replaced.
    record: &'a str,
}

impl Outputs {
    /// Opens them all.
    pub fn open(arguments: &Run, mode: Mode) -> Result<Self, Failure> {
        let standard = || PathBuf::from("-");
        let stream = match (&arguments.output, mode) {
            (Some(_), Mode::Findings) => {
                return Err(Failure::usage("in mode findings there is no stream: --output does not apply"));
            }
            (None, Mode::Findings) => None,
            (output, _) => Some(output.clone().unwrap_or_else(standard)),
        };
        let findings = match (&arguments.findings, mode) {
            (None, Mode::Findings) => Some(standard()),
            (findings, _) => findings.clone(),
        };
        if stream.is_some() && [&findings, &arguments.rejects].into_iter().any(|other| *other == stream) {
            return Err(Failure::usage("the stream, the findings and the rejects need different outputs"));
        }
        if findings.is_some() && findings == arguments.rejects {
            return Err(Failure::usage("the findings and the rejects need different outputs"));
        }
        let to_terminal = match &findings {
            Some(target) => target.as_os_str() == "-" && io::stdout().is_terminal(),
            // Without a place of their own they go to the standard error.
            None => true,
        };
        let default = if to_terminal { Format::Text } else { Format::Ocsf };
        let open = |target: Option<PathBuf>| target.as_deref().map(Sink::open).transpose();
        Ok(Self {
            stream: open(stream)?,
            line_open: false,
            filter: mode == Mode::Filter,
            findings: open(findings)?,
            format: arguments.findings_format.unwrap_or(default),
            rejects: open(arguments.rejects.clone())?,
            quiet: arguments.quiet,
            told: 0,
        })
    }

    /// Writes what a batch has led to: findings first, so that none is lost where the stream's reader has gone.
    pub fn write(&mut self, input: &str, batch: &Batch<'_>, outcome: &Outcome) -> Result<(), Unwritten> {
        for finding in &outcome.findings {
            self.finding(finding)?;
        }
        for rejection in &outcome.rejections {
            self.rejection(input, batch, rejection)?;
        }
        let mut from = 0;
        for splice in &outcome.splices {
            self.pass(&batch.original[from..splice.start as usize])?;
            self.pass(splice.text.as_bytes())?;
            from = splice.end as usize;
        }
        self.pass(&batch.original[from..])?;
        // What would have ended the line may be dropped with what comes behind it.
        if self.filter { self.end_line() } else { Ok(()) }
    }

    /// Another input begins: its records go on lines of their own.
    pub fn begin_input(&mut self) -> Result<(), Unwritten> {
        self.end_line()
    }

    fn end_line(&mut self) -> Result<(), Unwritten> {
        if self.line_open { self.pass(b"\n") } else { Ok(()) }
    }

    /// Passes bytes of the stream on as they are.
    pub fn pass(&mut self, bytes: &[u8]) -> Result<(), Unwritten> {
        let (Some(stream), Some(last)) = (&mut self.stream, bytes.last()) else { return Ok(()) };
        self.line_open = *last != b'\n';
        stream.write(|to| to.write_all(bytes))
    }

    fn finding(&mut self, finding: &Finding) -> Result<(), Unwritten> {
        let text = match self.format {
            Format::Text => format!("{}\n", describe(&finding.body)),
            Format::Ocsf | Format::Ecs | Format::Sentinel => format!("{}\n", finding.body),
        };
        match &mut self.findings {
            Some(sink) => sink.write(|to| to.write_all(text.as_bytes())),
            None => {
                if !self.quiet {
                    eprint!("{text}");
                }
                Ok(())
            }
        }
    }

    /// Tells of a record that cannot be read.
    pub fn rejection(&mut self, input: &str, batch: &Batch<'_>, rejection: &Rejection) -> Result<(), Unwritten> {
        let before = &batch.original[..rejection.start as usize];
        let line = batch.line + memchr_iter(b'\n', before).count() as u64;
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
                sink.write(|to| {
                    serde_json::to_writer(&mut *to, &rejected)?;
                    to.write_all(b"\n")
                })
            }
            None => {
                self.told += 1;
                if !self.quiet && self.told <= TOLD {
                    eprintln!("catena: {input}:{line}: rejected: {} ({})", rejection.detail, rejection.code);
                }
                if !self.quiet && self.told == TOLD + 1 {
                    eprintln!("catena: further rejections are only counted; --rejects FILE keeps them all");
                }
                Ok(())
            }
        }
    }

    /// Sends out what is buffered.
    pub fn flush(&mut self) -> Result<(), Unwritten> {
        for sink in [&mut self.findings, &mut self.rejects, &mut self.stream].into_iter().flatten() {
            sink.write(|to| to.flush())?;
        }
        Ok(())
    }
}
