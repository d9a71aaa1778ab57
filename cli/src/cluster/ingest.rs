//! `catena cluster ingest`.

use std::io::{self, IsTerminal as _};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, SystemTime};

use catena_cluster::{Error, Ingest, Nats, Source};
use catena_input::{Arguments, Input, Inputs, World};
use indicatif::{ProgressBar, ProgressStyle};
use tokio::runtime::Handle;
use tokio::task::block_in_place;
use tracing::{info, warn};

use super::arguments::IngestArguments;
use super::metrics::{self, Told};
use crate::listen::{self, Fullness, Store};
use crate::signals::Signals;

/// How often to look whether the end was asked for.
const TICK: Duration = Duration::from_millis(50);

/// The most bytes of records that are stored together.
const TOGETHER: usize = 4 << 20;

/// If the servers do not take records for so long, clients are told that there is no room.
const TOO_LONG: Duration = Duration::from_secs(2);

/// Puts the records of files, of the standard input or of listeners into the fleet.
pub async fn ingest(nats: &Nats, arguments: &IngestArguments, signals: &Signals) -> Result<(), Error> {
    let mut told = Told::default();
    if !arguments.listen.is_empty() {
        // What was taken is stored, for some time even after a signal.
        let nats = &nats.until(&Arc::default());
        let source = Source::open(nats, &arguments.source, &told.metrics).await?;
        let status = Arc::<listen::Status>::default();
        told.listen = Some(Arc::clone(&status));
        metrics::serve(arguments.metered.metrics, nats, told)?;
        return listen(source, arguments, &status, signals).await;
    }
    let source = Source::open(nats, &arguments.source, &told.metrics).await?;
    metrics::serve(arguments.metered.metrics, nats, told)?;
    read(source, arguments, signals).await
}

async fn read(mut source: Source, arguments: &IngestArguments, signals: &Signals) -> Result<(), Error> {
    let inputs = Inputs::find(&*World::real().files, &Arguments::new(arguments.files.clone()));
    for (name, error) in &inputs.failed {
        warn!("{name}: {error}");
    }
    for name in &inputs.skipped {
        info!("{}: skipped: it is not named like a file of records", name.display());
    }
    let files: Vec<_> = inputs
        .list
        .into_iter()
        .filter_map(|input| if let Input::File(path) = input { Some(path) } else { None })
        .collect();
    if !files.is_empty() && arguments.files.iter().any(|file| file.as_os_str() == "-") {
        return Err(Error::Invalid("standard input can be read alone, not together with files".to_owned()));
    }
    if files.is_empty() && !arguments.files.is_empty() && arguments.files.iter().all(|file| file.as_os_str() != "-") {
        return Err(Error::Invalid("no record files found".to_owned()));
    }
    let bar = if io::stderr().is_terminal() { ProgressBar::new_spinner() } else { ProgressBar::hidden() };
    let bar = match ProgressStyle::with_template("{spinner} {bytes} read, {bytes_per_sec}, {elapsed}") {
        Ok(style) => bar.with_style(style),
        Err(_) => bar,
    };
    let what = Ingest { files, longest: arguments.max_record_bytes as usize };
    let stop = signals.stop_flag();
    let ingested = catena_cluster::ingest(&mut source, &what, |bytes| bar.inc(bytes), &stop).await;
    bar.finish_and_clear();
    let ingested = ingested?;
    info!("{}: {} bytes of records stored in {} messages", arguments.source, ingested.bytes, ingested.messages);
    let (failed, too_long) = (ingested.failed.len() + inputs.failed.len(), ingested.too_long);
    if failed > 0 || too_long > 0 {
        return Err(Error::Incomplete(format!(
            "not everything was stored: {failed} files could not be read to their end, {too_long} records were too long"
        )));
    }
    Ok(())
}

/// Listens until told to stop, or another process takes the source over.
async fn listen(
    source: Source,
    arguments: &IngestArguments,
    status: &Arc<listen::Status>,
    signals: &Signals,
) -> Result<(), Error> {
    let failure = Failure::default();
    let store = Fleet {
        source,
        handle: Handle::current(),
        waiting: Vec::new(),
        since: Arc::default(),
        failure: failure.clone(),
        is_broken: false,
    };
    let longest = arguments.max_record_bytes as usize;
    // It makes a runtime of its own, which must not end within this one if an address cannot be bound.
    let listening = block_in_place(|| listen::start(&arguments.listen, store, longest, status));
    let intake = listening.map_err(|error| Error::Invalid(error.message))?;
    while !signals.stop_asked() {
        if let Some(error) = failure.take() {
            return Err(error);
        }
        tokio::time::sleep(TICK).await;
    }
    intake.drain().await;
    info!("{}: {} bytes received", arguments.source, status.received_bytes.load(Ordering::Relaxed));
    match failure.take() {
        Some(error) => Err(error),
        None => Ok(()),
    }
}

/// Why nothing can be stored any more.
#[derive(Clone, Default)]
struct Failure(Arc<Mutex<Option<Error>>>);

impl Failure {
    fn set(&self, error: Error) {
        *self.0.lock().unwrap_or_else(PoisonError::into_inner) = Some(error);
    }

    fn take(&self) -> Option<Error> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).take()
    }
}

/// A fleet as the place where what comes in is kept.
struct Fleet {
    source: Source,
    handle: Handle,
    waiting: Vec<u8>,
    /// Since when the servers have not taken something, in milliseconds since 1970; 0 if they have.
    since: Arc<AtomicU64>,
    failure: Failure,
    is_broken: bool,
}

impl Fleet {
    /// After an error, nothing is stored any more: the process ends.
    fn store(&mut self) -> io::Result<()> {
        if self.is_broken {
            return Err(io::Error::other("an earlier block could not be stored"));
        }
        if self.waiting.is_empty() {
            return Ok(());
        }
        self.since.store(now_ms(), Ordering::Relaxed);
        let stored = self.handle.block_on(self.source.store(&self.waiting));
        self.since.store(0, Ordering::Relaxed);
        self.waiting.clear();
        stored.map(drop).map_err(|error| {
            let told = io::Error::other(error.to_string());
            self.is_broken = true;
            self.failure.set(error);
            told
        })
    }
}

impl Store for Fleet {
    fn append(&mut self, lines: &[u8]) -> io::Result<()> {
        if self.waiting.len() + lines.len() > TOGETHER {
            self.store()?;
        }
        self.waiting.extend_from_slice(lines);
        Ok(())
    }

    fn settle(&mut self, _is_safe: bool) -> io::Result<()> {
        self.store()
    }

    fn fullness(&self) -> Fullness {
        let since = Arc::clone(&self.since);
        Arc::new(move || {
            let since = since.load(Ordering::Relaxed);
            since > 0 && now_ms().saturating_sub(since) > TOO_LONG.as_millis() as u64
        })
    }
}

fn now_ms() -> u64 {
    SystemTime::UNIX_EPOCH.elapsed().unwrap_or_default().as_millis() as u64
}
