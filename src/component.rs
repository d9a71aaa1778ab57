//! The WebAssembly component: exports the engine through the contract in `wit/catena.wit`. The only file that uses WIT.

use std::cell::RefCell;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD as BASE64;

use crate as engine;

#[allow(unsafe_code, missing_docs, reason = "generated")]
mod bindings {
    wit_bindgen::generate!({ path: "wit", world: "catena" });
}

use bindings::exports::catena::pipeline::correlation::{
    Batch, Checkpoint, CheckpointForm, Correlator, Edits, Fault, FaultKind, Finding, Guest, GuestCorrelator, Metric,
    MetricKind, Outcome, Rejection, Route, Unrecognised,
};

/// The component itself; it has no state.
struct Component;

/// The correlator of one resource handle. A component has one thread and is not reentered, so a borrow cannot fail.
struct Handle(RefCell<engine::Correlator>);

#[allow(unsafe_code, reason = "generated")]
mod export {
    use super::{Component, bindings};
    bindings::export!(Component with_types_in bindings);
}

impl Guest for Component {
    type Correlator = Handle;

    fn join_annotations(texts: Vec<String>) -> Result<String, Fault> {
        engine::join_annotations(&texts).map_err(fault)
    }

    fn describe() -> String {
        engine::describe()
    }
}

impl GuestCorrelator for Handle {
    fn open(config: String) -> Result<Correlator, Fault> {
        handle(config.parse().and_then(engine::Correlator::new))
    }

    fn resume(config: String, checkpoint: Checkpoint) -> Result<Correlator, Fault> {
        let checkpoint = match checkpoint {
            Checkpoint::Bytes(bytes) => bytes,
            Checkpoint::Base64(text) => BASE64.decode(&text).map_err(|error| Fault {
                kind: FaultKind::InvalidCheckpoint,
                path: "checkpoint".to_owned(),
                message: format!("expected base64: {error}"),
            })?,
        };
        handle(config.parse().and_then(|config| engine::Correlator::resume(config, &checkpoint)))
    }

    fn process(&self, batch: Batch, now_ms: Option<u64>) -> Result<Outcome, Fault> {
        let now = now_ms.map(engine::Timestamp::from_millis);
        let outcome = self.0.borrow_mut().process(bytes(&batch), now).map_err(fault)?;
        Ok(Outcome {
            records: outcome.records,
            matched: outcome.matched,
            dropped: outcome.dropped,
            edits: edits(&outcome.splices),
            findings: outcome.findings.into_iter().map(finding).collect(),
            rejections: outcome.rejections.into_iter().map(rejection).collect(),
            unrecognised: outcome.unrecognised.into_iter().map(unrecognised).collect(),
            extra: None,
        })
    }

    fn route(&self, batch: Batch, partitions: u32) -> Result<Vec<Route>, Fault> {
        let routes = self.0.borrow_mut().route(bytes(&batch), partitions).map_err(fault)?;
        Ok(routes.into_iter().map(route).collect())
    }

    fn checkpoint(&self, form: CheckpointForm) -> Result<Checkpoint, Fault> {
        let bytes = self.0.borrow().checkpoint();
        Ok(match form {
            CheckpointForm::Bytes => Checkpoint::Bytes(bytes),
            CheckpointForm::Base64 => Checkpoint::Base64(BASE64.encode(bytes)),
        })
    }

    fn metrics(&self) -> Vec<Metric> {
        self.0.borrow().metrics().into_iter().map(metric).collect()
    }

    fn batch_limit(&self) -> u32 {
        u32::try_from(self.0.borrow().batch_limit()).unwrap_or(u32::MAX)
    }
}

fn handle(correlator: Result<engine::Correlator, engine::Error>) -> Result<Correlator, Fault> {
    correlator.map(|correlator| Correlator::new(Handle(RefCell::new(correlator)))).map_err(fault)
}

fn bytes(batch: &Batch) -> &[u8] {
    match batch {
        Batch::Bytes(bytes) => bytes,
        Batch::Text(text) => text.as_bytes(),
    }
}

/// Texts of one batch are together shorter than 4 GiB: the memory has no more.
fn edits(splices: &[engine::Splice]) -> Edits {
    let length = |splice: &engine::Splice| u32::try_from(splice.text.len()).unwrap_or(u32::MAX);
    Edits {
        places: splices.iter().flat_map(|splice| [splice.start, splice.end, length(splice)]).collect(),
        text: splices.iter().map(|splice| splice.text.as_str()).collect(),
    }
}

fn finding(finding: engine::Finding) -> Finding {
    let engine::Finding { id, rule, severity, first_seen, last_seen, start, end, body } = finding;
    let (first_seen_ms, last_seen_ms) = (first_seen.as_millis(), last_seen.as_millis());
    Finding { id, rule, severity_id: severity.id(), first_seen_ms, last_seen_ms, start, end, body, extra: None }
}

fn rejection(engine::Rejection { start, end, reason, detail }: engine::Rejection) -> Rejection {
    Rejection { start, end, code: reason.code().to_owned(), detail }
}

fn unrecognised(engine::Unrecognised { start, end, kind }: engine::Unrecognised) -> Unrecognised {
    Unrecognised { start, end, code: kind.code().to_owned() }
}

fn route(engine::Route { start, end, records, partitions }: engine::Route) -> Route {
    Route { start, end, records, partitions }
}

fn metric(metric: engine::Metric) -> Metric {
    let kind = match metric.kind() {
        engine::MetricKind::Counter => MetricKind::Counter,
        engine::MetricKind::Gauge => MetricKind::Gauge,
    };
    let engine::Metric { name, labels, value } = metric;
    let labels = labels.into_iter().map(|(name, value)| (name.to_owned(), value)).collect();
    Metric { name: name.to_owned(), kind, labels, value }
}

fn fault(error: engine::Error) -> Fault {
    let (kind, path, message) = match error {
        engine::Error::InvalidConfig { path, reason, .. } => (FaultKind::InvalidConfig, path, reason),
        engine::Error::InvalidCheckpoint(reason) => (FaultKind::InvalidCheckpoint, "checkpoint".to_owned(), reason),
        engine::Error::InvalidArgument { name, reason } => (FaultKind::InvalidArgument, name.to_owned(), reason),
        engine::Error::LimitExceeded(reason) => (FaultKind::LimitExceeded, "batch".to_owned(), reason),
    };
    Fault { kind, path, message }
}
