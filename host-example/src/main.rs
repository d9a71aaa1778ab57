//! Filters standard input through a Catena component: `catena-host catena.wasm [mode] < audit.ndjson > out.ndjson`.
//!
//! Findings go to standard error, one JSON object per line. A host has to do no more than this; the program `catena`
//! does it for files, folders and live streams.

use std::error::Error;
use std::io::{self, Read, Write};
use std::process::ExitCode;
use std::sync::Arc;
use std::time::SystemTime;
use std::{env, fs};

use bytes::{Bytes, BytesMut};
use catena_host::{Bounds, Limits, Mode, Sandbox, Supervisor};
use memchr::memrchr;

const USAGE: &str = "usage: catena-host COMPONENT [enrich|filter|findings] < records > output";

/// Bytes read at a time. A batch consists of the complete lines read so far.
const CHUNK: usize = 1 << 20;

/// The longest line, in bytes. A longer one does not fit a batch.
const MAX_LINE: usize = 64 << 20;

fn main() -> ExitCode {
    match run() {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("catena-host: {error}");
            ExitCode::FAILURE
        }
    }
}

fn run() -> Result<(), Box<dyn Error>> {
    let mut arguments = env::args().skip(1);
    let file = arguments.next().ok_or(USAGE)?;
    let (mode, config) = match arguments.next().as_deref() {
        None | Some("enrich") => (Mode::Enrich, r#"{"mode":"enrich"}"#),
        Some("filter") => (Mode::Filter, r#"{"mode":"filter"}"#),
        Some("findings") => (Mode::Findings, r#"{"mode":"findings"}"#),
        Some(other) => return Err(format!("{other:?} is not a valid mode\n{USAGE}").into()),
    };
    let component = fs::read(&file).map_err(|error| format!("cannot read {file}: {error}"))?;
    let sandbox = Arc::new(Sandbox::new(&component, Limits::default())?);
    let mut filter = Filter { supervisor: Supervisor::open(sandbox, config, mode, Bounds::default())?, line: 1 };
    let mut rest = BytesMut::new();
    loop {
        let start = rest.len();
        rest.resize(start + CHUNK, 0);
        let read = io::stdin().read(&mut rest[start..])?;
        rest.truncate(start + read);
        let end = match memrchr(b'\n', &rest) {
            _ if read == 0 => rest.len(),
            Some(line_feed) => line_feed + 1,
            None if rest.len() > MAX_LINE => return Err(format!("line {} is too long", filter.line).into()),
            None => continue,
        };
        filter.pass(&rest.split_to(end).freeze())?;
        if read == 0 {
            return Ok(());
        }
    }
}

struct Filter {
    supervisor: Supervisor,
    /// The number of the first line of the next batch.
    line: usize,
}

impl Filter {
    /// Processes a batch and writes its output, findings and rejections.
    fn pass(&mut self, batch: &Bytes) -> Result<(), Box<dyn Error>> {
        let now = SystemTime::UNIX_EPOCH.elapsed()?.as_millis() as u64;
        let outcome = self.supervisor.process(batch, now)?;
        let line_of = |at: u32| self.line + memchr::memchr_iter(b'\n', &batch[..at as usize]).count();
        for finding in &outcome.findings {
            eprintln!("{}", finding.body);
        }
        for rejection in &outcome.rejections {
            eprintln!("line {}: {} ({})", line_of(rejection.start), rejection.detail, rejection.code);
        }
        self.line = line_of(batch.len() as u32);
        let mut output = io::stdout().lock();
        for piece in outcome.pieces(batch) {
            output.write_all(&piece)?;
        }
        Ok(output.flush()?)
    }
}
