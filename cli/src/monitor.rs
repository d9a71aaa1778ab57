//! The HTTP endpoints of a run: `/metrics` for Prometheus and `/health` for a process supervisor.

pub mod server;
mod text;

use std::net::SocketAddr;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant, SystemTime};

use super::pipeline::Report;
use super::summary::Summary;
use super::watch::Problems;
use super::{CliError, listen, send};
use catena_input::Journal;
pub use text::Text;

/// A run without progress for this long is unhealthy.
const STUCK: Duration = Duration::from_secs(30);

/// The reported status. The run updates it, the server reads it.
pub struct Status {
    pub summary: Summary,
    pub report: Report,
    /// When the state was last saved.
    pub saved: Option<SystemTime>,
    /// What is wrong with its inputs.
    pub problems: Problems,
    /// What came over a network.
    pub listen: Option<(Arc<listen::Status>, Journal)>,
    /// Where findings are sent.
    pub senders: Vec<(String, Arc<send::Status>)>,
    /// When the run last made progress. Waiting for input counts as progress.
    pub alive: Instant,
}

/// The status of a run, shared with the server.
#[derive(Clone)]
pub struct Monitor {
    status: Arc<Mutex<Status>>,
    /// Bytes of the inputs not read yet.
    pub backlog: Arc<AtomicU64>,
}

impl Monitor {
    pub fn new() -> Self {
        let status = Status {
            summary: Summary::default(),
            report: Report::default(),
            saved: None,
            problems: Problems::default(),
            listen: None,
            senders: Vec::new(),
            alive: Instant::now(),
        };
        Self { status: Arc::new(Mutex::new(status)), backlog: Arc::default() }
    }

    /// Updates the status.
    pub fn set(&self, change: impl FnOnce(&mut Status)) {
        change(&mut self.status.lock().unwrap_or_else(PoisonError::into_inner));
    }

    /// Starts the server and returns the address it is bound to.
    pub fn serve(&self, address: SocketAddr) -> Result<SocketAddr, CliError> {
        let monitor = self.clone();
        let answer = move |path: &str| match path {
            "/metrics" => (200, monitor.metrics()),
            "/health" => monitor.health(),
            _ => (404, "not found; see /metrics and /health\n".to_owned()),
        };
        let bound = server::serve(address, Arc::new(answer));
        bound.map_err(|error| CliError::new(format!("cannot listen on {address}: {error}")))
    }

    fn health(&self) -> (u16, String) {
        let status = self.status.lock().unwrap_or_else(PoisonError::into_inner);
        let mut problems = status.problems.list.clone();
        for (name, sender) in &status.senders {
            problems.extend(sender.problem().map(|problem| format!("{name}: {problem}")));
        }
        let still = status.alive.elapsed();
        if still >= STUCK {
            problems.push(format!("no progress for {} s: is the output being consumed?", still.as_secs()));
        }
        if problems.is_empty() { (200, "ok\n".to_owned()) } else { (503, problems.join("\n") + "\n") }
    }

    fn metrics(&self) -> String {
        let status = self.status.lock().unwrap_or_else(PoisonError::into_inner);
        let mut text = Text::default();
        text.build();
        let Summary { records, passed, dropped, rejected, findings, bytes, files, skipped, .. } = status.summary;
        text.counter("records", "Records read.", records);
        text.counter("records_passed", "Records passed on in the stream.", passed);
        text.counter("records_dropped", "Records removed from the stream.", dropped);
        text.counter("records_rejected", "Records rejected.", rejected);
        text.counter("findings", "Findings reported.", findings);
        text.counter("read_bytes", "Bytes read, decompressed.", bytes);
        text.counter("inputs", "Inputs read.", files);
        text.counter("inputs_skipped", "Files skipped because they hold no audit records.", skipped);
        let health = status.report.health;
        text.counter("restarts", "Component instances restarted after a failure.", health.restarts);
        text.counter("recycled", "Component instances replaced to free memory.", health.recycled);
        text.counter("poison", "Records rejected because the component fails on them.", health.poison);
        text.counter("state_lost", "Times that state was lost after a failure of the component.", health.state_lost);
        text.gauge("instances", "Running component instances.", status.report.instances as u64);
        text.gauge("instance_memory_bytes", "Memory of all component instances.", status.report.memory as u64);
        text.gauge("lag_bytes", "Bytes of followed files not read yet.", self.backlog.load(Ordering::Relaxed));
        let problems = &status.problems;
        text.gauge("inputs_unreadable", "Watched paths that are missing or cannot be read.", problems.paths);
        let silence = problems.silence.as_secs();
        text.gauge("silence_seconds", "Time since the last record of a known cloud, or since the start.", silence);
        if let Some(saved) = status.saved.and_then(|saved| saved.duration_since(SystemTime::UNIX_EPOCH).ok()) {
            text.gauge("checkpoint_timestamp_seconds", "Time of the last checkpoint.", saved.as_secs());
        }
        if let Some((listen, journal)) = &status.listen {
            text.listen(listen);
            text.gauge("listen_journal_bytes", "Bytes of records in the journal, processed or not.", journal.bytes());
        }
        text.senders(&status.senders);
        text.engine(&status.report.metrics);
        text.0
    }
}
