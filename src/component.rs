//! The WebAssembly component: exports the engine through the contract in `wit/catena.wit`. The only file that uses WIT.

use std::cell::RefCell;

use crate as engine;

#[allow(unsafe_code, missing_docs, reason = "generated")]
mod bindings {
    wit_bindgen::generate!({ path: "wit", world: "plugin" });
}

use bindings::exports::catena::pipeline::correlation::{
    Batch, Correlator, Fault, Finding, Guest, GuestCorrelator, Metric, Outcome, Rejection, Route, Severity, Splice,
    Unrecognised,
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
}

impl GuestCorrelator for Handle {
    fn open(config: String) -> Result<Correlator, Fault> {
        handle(config.parse().and_then(engine::Correlator::new))
    }

    fn resume(config: String, checkpoint: Vec<u8>) -> Result<Correlator, Fault> {
        handle(config.parse().and_then(|config| engine::Correlator::resume(config, &checkpoint)))
    }

    fn process(&self, batch: Batch, now: u64) -> Result<Outcome, Fault> {
        let outcome = self.0.borrow_mut().process(bytes(&batch), engine::Timestamp::from_millis(now)).map_err(fault)?;
        Ok(Outcome {
            records: outcome.records,
            matched: outcome.matched,
            dropped: outcome.dropped,
            splices: outcome.splices.into_iter().map(splice).collect(),
            findings: outcome.findings.into_iter().map(finding).collect(),
            rejections: outcome.rejections.into_iter().map(rejection).collect(),
            unrecognised: outcome.unrecognised.into_iter().map(unrecognised).collect(),
        })
    }

    fn route(&self, batch: Batch, partitions: u32) -> Result<Vec<Route>, Fault> {
        let routes = self.0.borrow_mut().route(bytes(&batch), partitions).map_err(fault)?;
        Ok(routes.into_iter().map(route).collect())
    }

    fn checkpoint(&self) -> Vec<u8> {
        self.0.borrow().checkpoint()
    }

    fn metrics(&self) -> Vec<Metric> {
        let metrics = self.0.borrow().metrics();
        metrics.into_iter().map(|engine::Metric { name, value, .. }| Metric { name, value }).collect()
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

fn splice(engine::Splice { start, end, text }: engine::Splice) -> Splice {
    Splice { start, end, text }
}

fn finding(finding: engine::Finding) -> Finding {
    let engine::Finding { id, rule, severity, first_seen, last_seen, start, end, body } = finding;
    let severity = match severity {
        engine::Severity::Informational => Severity::Informational,
        engine::Severity::Low => Severity::Low,
        engine::Severity::Medium => Severity::Medium,
        engine::Severity::High => Severity::High,
        engine::Severity::Critical => Severity::Critical,
    };
    let (first_seen, last_seen) = (first_seen.as_millis(), last_seen.as_millis());
    Finding { id, rule, severity, first_seen, last_seen, start, end, body }
}

fn rejection(engine::Rejection { start, end, reason, detail }: engine::Rejection) -> Rejection {
    Rejection { start, end, code: reason.code().to_owned(), detail }
}

fn unrecognised(engine::Unrecognised { start, end, kind }: engine::Unrecognised) -> Unrecognised {
    Unrecognised { start, end, code: kind.code().to_owned() }
}

fn route(engine::Route { start, end, records, partition }: engine::Route) -> Route {
    Route { start, end, records, partition }
}

fn fault(error: engine::Error) -> Fault {
    let why = error.to_string();
    match error {
        engine::Error::InvalidConfig { .. } => Fault::InvalidConfig(why),
        engine::Error::InvalidCheckpoint(_) => Fault::InvalidCheckpoint(why),
        engine::Error::LimitExceeded(_) => Fault::LimitExceeded(why),
    }
}
