//! Metrics in the text format of Prometheus.

use std::fmt::{Display, Write as _};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use catena_host::{Metric, MetricKind};

use crate::{listen, metric, send};

/// Prometheus text exposition format, version 0.0.4.
#[derive(Default)]
pub struct Text(pub String);

impl Text {
    pub fn counter(&mut self, name: &str, help: &str, value: u64) {
        let name = format!("catena_{name}_total");
        self.family(&name, help, "counter");
        self.sample(&name, "", value);
    }

    pub fn gauge(&mut self, name: &str, help: &str, value: u64) {
        let name = format!("catena_{name}");
        self.family(&name, help, "gauge");
        self.sample(&name, "", value);
    }

    pub fn family(&mut self, name: &str, help: &str, kind: &str) {
        // Writing to a String cannot fail.
        let _ = write!(self.0, "# HELP {name} {help}\n# TYPE {name} {kind}\n");
    }

    pub fn sample(&mut self, name: &str, labels: &str, value: impl Display) {
        let _ = writeln!(self.0, "{name}{labels} {value}");
    }

    /// The version of the program.
    pub fn build(&mut self) {
        self.family("catena_build_info", "The version of the program; the value is 1.", "gauge");
        self.sample("catena_build_info", concat!("{version=\"", env!("CARGO_PKG_VERSION"), "\"}"), 1);
    }

    /// What came over a network.
    pub fn listen(&mut self, status: &listen::Status) {
        let of = |counter: &AtomicU64| counter.load(Ordering::Relaxed);
        self.gauge("listen_connections", "Open connections of --listen.", of(&status.connections));
        self.counter("listen_received_bytes", "Bytes of records received.", of(&status.received_bytes));
        self.counter("listen_refused", "Connections, requests and datagrams not taken in full.", of(&status.refused));
    }

    /// What became of findings.
    pub fn senders(&mut self, senders: &[(String, Arc<send::Status>)]) {
        if senders.is_empty() {
            return;
        }
        let counts: Vec<_> = senders.iter().map(|(name, status)| (name, status.counts())).collect();
        self.family("catena_send_findings_total", "Findings by destination and fate.", "counter");
        for (name, counts) in &counts {
            for (fate, count) in [("sent", counts.sent), ("refused", counts.refused), ("dropped", counts.dropped)] {
                self.sample("catena_send_findings_total", &format!("{{to={name:?},fate={fate:?}}}"), count);
            }
        }
        self.family("catena_send_failures_total", "Failed deliveries by destination; they are repeated.", "counter");
        for (name, counts) in &counts {
            self.sample("catena_send_failures_total", &format!("{{to={name:?}}}"), counts.failures);
        }
        self.family("catena_send_waiting_bytes", "Bytes of findings that wait to be sent.", "gauge");
        for (name, counts) in &counts {
            self.sample("catena_send_waiting_bytes", &format!("{{to={name:?}}}"), counts.waiting_bytes);
        }
    }

    /// The metrics of the engine.
    pub fn engine(&mut self, metrics: &[Metric]) {
        let mut names: Vec<&str> = metrics.iter().map(|metric| metric.name.as_str()).collect();
        names.sort_unstable();
        names.dedup();
        for name in names {
            let mut named = metric::named(metrics, name).peekable();
            let Some(first) = named.peek() else { continue };
            let known = catena::METRICS.iter().find(|known| known.name == name);
            let help = known.map_or("A metric of another component.", |known| known.help);
            if name == "watermark" {
                // Prometheus counts in seconds. 0 stands for no event yet.
                if first.value > 0 {
                    self.gauge("engine_watermark_timestamp_seconds", help, first.value / 1_000);
                }
                continue;
            }
            let (kind, end) = match first.kind {
                MetricKind::Counter => ("counter", "_total"),
                MetricKind::Gauge => ("gauge", ""),
            };
            let name: String =
                name.chars().map(|letter| if letter.is_ascii_alphanumeric() { letter } else { '_' }).collect();
            let family = format!("catena_engine_{name}{end}");
            self.family(&family, help, kind);
            for metric in named {
                let labels = metric.labels.iter().map(|(name, value)| format!("{name}={value:?}"));
                let labels = labels.collect::<Vec<_>>().join(",");
                let labels = if labels.is_empty() { labels } else { format!("{{{labels}}}") };
                self.sample(&family, &labels, metric.value);
            }
        }
    }
}
