//! `catena bench`: measures the cost of the sandbox.

mod plot;

use std::fmt;
use std::hint::black_box;
use std::io::{self, IsTerminal};
use std::sync::Arc;
use std::time::{Duration, Instant};

use bytes::Bytes;
use catena_host::{Bounds, Limits, Mode, Sandbox, Supervisor};
use catena_synthetic::{Stream, Workload, batches, chain_rules};
use indicatif::{ProgressBar, ProgressStyle};
use memchr::memchr_iter;

use super::setup::{component, read};
use super::terminal::say;
use super::{CliError, DONE, cli};

const NOW: u64 = 1_900_000_000_000;

/// The number of synthetic records: about 130 MB, more than any cache holds.
const RECORDS: usize = 100_000;

/// The least number of rounds for a median.
const MIN_ROUNDS: usize = 5;

/// What is measured, in column order.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Contender {
    /// A native scan for line feeds.
    Scan,
    /// The native engine.
    Native,
    /// The component with all limits.
    Component,
    /// The component without limits.
    Unlimited,
}

impl Contender {
    const ALL: [Self; 4] = [Self::Scan, Self::Native, Self::Component, Self::Unlimited];

    fn name(self) -> &'static str {
        match self {
            Self::Scan => "newline scan",
            Self::Native => "native engine",
            Self::Component => "component",
            Self::Unlimited => "component, no limits",
        }
    }
}

/// What the contenders process, and under which rules.
struct Input {
    name: String,
    bytes: Bytes,
    config: String,
}

/// A row of the table: median speeds in bytes per second.
struct Row {
    input: String,
    batch: usize,
    speeds: [f64; 4],
}

impl Row {
    fn of(&self, contender: Contender) -> f64 {
        let place = Contender::ALL.iter().position(|other| *other == contender);
        place.and_then(|place| self.speeds.get(place)).copied().unwrap_or_default()
    }

    fn ratio(&self, to: Contender) -> f64 {
        self.of(Contender::Component) / self.of(to)
    }
}

impl fmt::Display for Row {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:>22} {:>7} KiB", self.input, self.batch >> 10)?;
        self.speeds.iter().try_for_each(|speed| write!(f, " {:>9.2}", speed / 1e9))?;
        write!(f, " {:>11.2} {:>9.2}", self.ratio(Contender::Native), self.ratio(Contender::Scan))
    }
}

/// The component, compiled with and without limits.
struct Sandboxes {
    limited: Arc<Sandbox>,
    unlimited: Sandbox,
}

/// `catena bench`.
pub fn bench(arguments: &cli::Bench) -> Result<u8, CliError> {
    let component = component(arguments.component.as_deref())?;
    let fail = |error: catena_host::Error| CliError::usage(error.to_string());
    let sandboxes = Sandboxes {
        limited: Arc::new(Sandbox::new(&component, Limits::default()).map_err(fail)?),
        unlimited: Sandbox::new(&component, Limits::NONE).map_err(fail)?,
    };
    let inputs = inputs(arguments)?;
    let progress = progress(inputs.len() * arguments.batch_kib.len());
    say!("GB/s{:>42} {:>9} {:>9} {:>9} {:>11} {:>9}", "", "", "", "no", "component", "component")?;
    say!(
        "{:>33} {:>12} {:>9} {:>9} {:>9} {:>11} {:>9}",
        "batch",
        "scan",
        "native",
        "component",
        "limits",
        "/native",
        "/scan"
    )?;
    let mut rows = Vec::new();
    for input in &inputs {
        for kib in &arguments.batch_kib {
            let row = measure(input, (*kib as usize) << 10, arguments.time, &sandboxes).map_err(fail)?;
            progress.suspend(|| say!("{row}"))?;
            progress.inc(1);
            rows.push(row);
        }
    }
    progress.finish_and_clear();
    if let Some(input) = inputs.first() {
        let [direct, supervised] = single_calls(input, &sandboxes, arguments.time).map_err(fail)?;
        say!("one record per call: {direct:.2} µs, through a supervisor {supervised:.2} µs")?;
    }
    if let Some(file) = &arguments.plot {
        plot::draw(file, &rows).map_err(|why| CliError::new(format!("cannot draw {}: {why}", file.display())))?;
    }
    Ok(DONE)
}

/// What is to be measured: each stream under each set of rules.
fn inputs(arguments: &cli::Bench) -> Result<Vec<Input>, CliError> {
    let of_share = |share: &f64| {
        let of_interest_per_10_000 = (share * 100.0).round() as u32;
        let stream = Stream { records: RECORDS, of_interest_per_10_000, chains: 10, ..Stream::default() };
        (format!("{share} % matter"), Bytes::from(stream.bytes()))
    };
    let of_kind = |kind: &cli::StreamKind| {
        let (workload, records) = match kind {
            cli::StreamKind::Small => (Workload::SmallSnapshot, RECORDS as u64),
            cli::StreamKind::Large => (Workload::LargeSnapshot, 2_000),
            cli::StreamKind::Text => (Workload::SnapshotInText, RECORDS as u64),
        };
        (workload.name().to_owned(), Bytes::from(workload.bytes(0, records)))
    };
    let streams: Vec<_> = match &arguments.input {
        Some(file) => vec![("the input".to_owned(), Bytes::from(read(file)?))],
        None if !arguments.streams.is_empty() => arguments.streams.iter().map(of_kind).collect(),
        None => arguments.shares.iter().map(of_share).collect(),
    };
    let built_in = catena::built_in().map_err(|error| CliError::new(error.to_string()))?.len();
    let sizes = if arguments.rules.is_empty() { vec![built_in] } else { arguments.rules.clone() };
    let mut inputs = Vec::new();
    for (stream, bytes) in &streams {
        for size in &sizes {
            let Some(more) = size.checked_sub(built_in) else {
                return Err(CliError::usage(format!("--rules {size}: there are {built_in} built-in rules already")));
            };
            let name = if more > 0 { format!("{stream}, {size} rules") } else { stream.clone() };
            let config = serde_json::json!({"mode": "findings", "rules": chain_rules(more, false)}).to_string();
            inputs.push(Input { name, bytes: bytes.clone(), config });
        }
    }
    Ok(inputs)
}

fn progress(length: usize) -> ProgressBar {
    let style = ProgressStyle::with_template("{bar:40} {pos} of {len} combinations, {eta} left");
    match style {
        Ok(style) if io::stderr().is_terminal() => ProgressBar::new(length as u64).with_style(style),
        _ => ProgressBar::hidden(),
    }
}

/// Runs the contenders in turns until the time is up.
fn measure(input: &Input, batch: usize, time: Duration, sandboxes: &Sandboxes) -> Result<Row, catena_host::Error> {
    let Input { name, bytes, config } = input;
    let batches: Vec<_> = batches(bytes, batch).into_iter().map(|part| bytes.slice_ref(part)).collect();
    let mut speeds = [const { Vec::new() }; 4];
    let began = Instant::now();
    while began.elapsed() < time || speeds[0].len() < MIN_ROUNDS {
        for (contender, speeds) in Contender::ALL.into_iter().zip(&mut speeds) {
            let began = Instant::now();
            let found = pass(contender, &batches, config, sandboxes)?;
            speeds.push(bytes.len() as f64 / began.elapsed().as_secs_f64());
            black_box(found);
        }
    }
    Ok(Row { input: name.clone(), batch, speeds: speeds.map(median) })
}

/// Makes one pass over the batches and returns the number of lines or findings.
fn pass(
    contender: Contender,
    batches: &[Bytes],
    config: &str,
    sandboxes: &Sandboxes,
) -> Result<usize, catena_host::Error> {
    let component = |sandbox: &Sandbox| {
        let mut correlator = sandbox.open(config)?;
        batches.iter().map(|batch| Ok(correlator.process(batch, NOW)?.findings.len())).sum()
    };
    match contender {
        Contender::Scan => {
            let ends =
                |batch: &Bytes| memchr_iter(b'\n', black_box(batch)).fold(0, |lines, at| lines + black_box(at).min(1));
            Ok(batches.iter().map(ends).sum())
        }
        Contender::Native => {
            let refused = |error: catena::Error| catena_host::Error::InvalidAnswer(error.to_string());
            let mut correlator = config.parse().and_then(catena::Correlator::new).map_err(refused)?;
            let process = |batch: &Bytes| {
                Ok(correlator.process(batch, catena::Timestamp::from_millis(NOW)).map_err(refused)?.findings.len())
            };
            batches.iter().map(process).sum()
        }
        Contender::Component => component(&sandboxes.limited),
        Contender::Unlimited => component(&sandboxes.unlimited),
    }
}

/// Measures calls with a single record, direct and through a supervisor, in µs.
fn single_calls(input: &Input, sandboxes: &Sandboxes, time: Duration) -> Result<[f64; 2], catena_host::Error> {
    let Input { bytes, config, .. } = input;
    let records: Vec<_> = batches(bytes, 1).into_iter().map(|record| bytes.slice_ref(record)).collect();
    let mut correlator = sandboxes.limited.open(config)?;
    let mut supervisor = Supervisor::open(Arc::clone(&sandboxes.limited), config, Mode::Findings, Bounds::default())?;
    let [mut direct, mut supervised] = [const { Vec::new() }; 2];
    let began = Instant::now();
    while began.elapsed() < time || direct.len() < MIN_ROUNDS {
        let each = |began: Instant| began.elapsed().as_secs_f64() / records.len() as f64;
        let start = Instant::now();
        for record in &records {
            black_box(correlator.process(record, NOW)?);
        }
        direct.push(each(start));
        let start = Instant::now();
        for record in &records {
            black_box(supervisor.process(record, NOW)?);
        }
        supervised.push(each(start));
    }
    Ok([direct, supervised].map(|times| median(times) * 1e6))
}

fn median(mut values: Vec<f64>) -> f64 {
    values.sort_by(f64::total_cmp);
    values.get(values.len() / 2).copied().unwrap_or_default()
}
