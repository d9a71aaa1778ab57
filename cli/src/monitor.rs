//! The HTTP endpoints of a run: `/metrics` for Prometheus and `/health` for a process supervisor.

mod server;

use std::fmt::Write as _;
use std::net::SocketAddr;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant, SystemTime};

use super::CliError;
use super::pipeline::Report;
use super::summary::Summary;

/// A run without progress for this long is unhealthy.
const STUCK: Duration = Duration::from_secs(30);

/// The reported status. The run updates it, the server reads it.
pub struct Status {
    pub summary: Summary,
    pub report: Report,
    /// When the state was last saved.
    pub saved: Option<SystemTime>,
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
        let status =
            Status { summary: Summary::default(), report: Report::default(), saved: None, alive: Instant::now() };
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
        let still = self.status.lock().unwrap_or_else(PoisonError::into_inner).alive.elapsed();
        if still < STUCK {
            (200, "ok\n".to_owned())
        } else {
            (503, format!("no progress for {} s: is the output being consumed?\n", still.as_secs()))
        }
    }

    fn metrics(&self) -> String {
        let status = self.status.lock().unwrap_or_else(PoisonError::into_inner);
        let mut text = Text::default();
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
        if let Some(saved) = status.saved.and_then(|saved| saved.duration_since(SystemTime::UNIX_EPOCH).ok()) {
            text.gauge("checkpoint_timestamp_seconds", "Time of the last checkpoint.", saved.as_secs());
        }
        text.engine(&status.report);
        text.0
    }
}

/// Prometheus text exposition format, version 0.0.4.
#[derive(Default)]
struct Text(String);

impl Text {
    fn counter(&mut self, name: &str, help: &str, value: u64) {
        let name = format!("catena_{name}_total");
        self.family(&name, help, "counter");
        self.sample(&name, "", value);
    }

    fn gauge(&mut self, name: &str, help: &str, value: u64) {
        let name = format!("catena_{name}");
        self.family(&name, help, "gauge");
        self.sample(&name, "", value);
    }

    fn family(&mut self, name: &str, help: &str, kind: &str) {
        // Writing to a String cannot fail.
        let _ = write!(self.0, "# HELP {name} {help}\n# TYPE {name} {kind}\n");
    }

    fn sample(&mut self, name: &str, labels: &str, value: u64) {
        let _ = writeln!(self.0, "{name}{labels} {value}");
    }

    /// The metrics of the engine: `now:NAME` is a gauge, `NAME:KIND` a counter with a label.
    fn engine(&mut self, report: &Report) {
        let mut told = String::new();
        for metric in &report.metrics {
            let (gauge, name) = match metric.name.strip_prefix("now:") {
                Some(name) => (true, name),
                None => (false, &*metric.name),
            };
            let (name, kind) = name.split_once(':').map_or((name, None), |(name, kind)| (name, Some(kind)));
            let name: String =
                name.chars().map(|letter| if letter.is_ascii_alphanumeric() { letter } else { '_' }).collect();
            let of_kind = if kind.is_some() { "_by_kind" } else { "" };
            let family = format!("catena_engine_{name}{of_kind}{}", if gauge { "" } else { "_total" });
            if family != told {
                self.family(
                    &family,
                    "Engine metric, see docs/configuration.md.",
                    if gauge { "gauge" } else { "counter" },
                );
                told.clone_from(&family);
            }
            let labels = kind.map(|kind| format!("{{kind={kind:?}}}")).unwrap_or_default();
            self.sample(&family, &labels, metric.value);
        }
    }
}
