//! The driver of this host for the conformance kit, see `conformance/README.md`.

use std::collections::HashMap;
use std::io::{self, BufRead as _, Write as _};
use std::time::Instant;
use std::{env, fs};

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD as BASE64;
use catena_host::{Correlator, Error, Fault, FaultKind, Limits, MetricKind, Outcome, Sandbox};
use serde_json::{Value, json};

fn main() -> Result<(), Box<dyn std::error::Error>> {
    let arguments: Vec<String> = env::args().skip(1).collect();
    let [option, file] = &arguments[..] else { return Err("usage: conformance --component FILE".into()) };
    assert_eq!(option, "--component", "the only option");
    let sandbox = Sandbox::new(&fs::read(file)?, Limits::default())?;
    let mut host = Host { sandbox, correlators: HashMap::new() };
    for line in io::stdin().lock().lines() {
        let question: Value = serde_json::from_str(&line?)?;
        let answer = match host.answer(&question) {
            Ok(value) => json!({"ok": value}),
            Err(Error::Fault(Fault { kind, path, message })) => {
                json!({"fault": {"kind": kind_name(kind), "path": path, "message": message}})
            }
            Err(error) => json!({"trap": error.to_string()}),
        };
        writeln!(io::stdout(), "{answer}")?;
    }
    Ok(())
}

struct Host {
    sandbox: Sandbox,
    /// `None` after a trap.
    correlators: HashMap<String, Option<Correlator>>,
}

impl Host {
    fn answer(&mut self, question: &Value) -> Result<Value, Error> {
        let text = |name: &str| question[name].as_str().unwrap_or_default().to_owned();
        let ask = text("ask");
        match ask.as_str() {
            "describe" => return self.sandbox.describe().map(Value::from),
            "open" => {
                let opened = self.sandbox.open(&text("config"))?;
                self.correlators.insert(text("as"), Some(opened));
                return Ok(Value::Null);
            }
            "resume" => {
                let checkpoint = match (text("form").as_str(), BASE64.decode(text("checkpoint"))) {
                    ("base64", _) => self.sandbox.resume_base64(&text("config"), &text("checkpoint"))?,
                    (_, Ok(bytes)) => self.sandbox.resume(&text("config"), &bytes)?,
                    (_, Err(error)) => panic!("the kit has an invalid checkpoint: {error}"),
                };
                self.correlators.insert(text("as"), Some(checkpoint));
                return Ok(Value::Null);
            }
            "close" => {
                self.correlators.remove(&text("on"));
                return Ok(Value::Null);
            }
            "join_annotations" => {
                let texts: Vec<&str> =
                    question["texts"].as_array().into_iter().flatten().filter_map(Value::as_str).collect();
                return self.sandbox.open("{}")?.join_annotations(&texts).map(Value::from);
            }
            _ => {}
        }
        let place = self.correlators.get_mut(&text("on")).expect("the kit opens a correlator before it asks it");
        let Some(correlator) = place else { return Err(Error::Trap(wasmtime::Error::msg("it was discarded"))) };
        let answer = ask_correlator(correlator, &ask, question);
        if answer.as_ref().is_err_and(|error| !error.is_fault()) {
            *place = None;
        }
        answer
    }
}

fn ask_correlator(correlator: &mut Correlator, ask: &str, question: &Value) -> Result<Value, Error> {
    let batch = match question["batch_base64"].as_str() {
        Some(text) => BASE64.decode(text).expect("the kit has base64"),
        None => question["batch"].as_str().unwrap_or_default().as_bytes().to_vec(),
    };
    let as_text = question["form"] == "text";
    match ask {
        "process" => {
            let now_ms = question["now_ms"].as_u64();
            let outcome = match std::str::from_utf8(&batch) {
                Ok(text) if as_text => correlator.process_text(text, now_ms)?,
                Err(error) if as_text => return Err(no_text(&error.to_string())),
                _ => correlator.process(&batch, now_ms)?,
            };
            Ok(outcome_as_json(&outcome, &batch))
        }
        "route" => {
            let partitions = question["partitions"].as_u64().unwrap_or_default() as u32;
            let routes = correlator.route(&batch, partitions)?;
            Ok(routes.iter().map(|route| json!([route.start, route.end, route.records, route.partitions])).collect())
        }
        "time" => {
            let text = fs::read(question["file"].as_str().unwrap_or_default()).expect("the file can be read");
            let size = question["batch_bytes"].as_u64().unwrap_or(u64::MAX) as usize;
            let batches = catena_synthetic::batches(&text, size);
            let began = Instant::now();
            for _ in 0..question["times"].as_u64().unwrap_or(1) {
                for batch in &batches {
                    std::hint::black_box(correlator.process(batch, None)?.apply(batch));
                }
            }
            Ok((began.elapsed().as_secs_f64() * 1000.0).into())
        }
        "checkpoint" => Ok(BASE64.encode(correlator.checkpoint()?).into()),
        "batch_limit" => Ok(correlator.batch_limit().into()),
        "metrics" => {
            let metrics = correlator.metrics()?;
            let as_json = |metric: &catena_host::Metric| {
                let labels: serde_json::Map<_, _> =
                    metric.labels.iter().map(|(name, value)| (name.clone(), value.as_str().into())).collect();
                let kind = if metric.kind == MetricKind::Counter { "counter" } else { "gauge" };
                json!([metric.name, kind, labels, metric.value])
            };
            Ok(metrics.iter().map(as_json).collect())
        }
        other => panic!("the kit asks for {other}"),
    }
}

fn no_text(why: &str) -> Error {
    let (kind, path) = (FaultKind::InvalidArgument, "batch".to_owned());
    Error::Fault(Fault { kind, path, message: format!("expected UTF-8: {why}") })
}

fn outcome_as_json(outcome: &Outcome, batch: &[u8]) -> Value {
    let output = match String::from_utf8(outcome.apply(batch)) {
        Ok(text) => Value::from(text),
        Err(error) => json!({"base64": BASE64.encode(error.as_bytes())}),
    };
    let findings = outcome.findings.iter().map(|finding| {
        json!({"id": finding.id, "rule": finding.rule, "severity_id": finding.severity_id,
            "first_seen_ms": finding.first_seen_ms, "last_seen_ms": finding.last_seen_ms, "start": finding.start,
            "end": finding.end, "body": finding.body, "extra": finding.extra})
    });
    let (edits, rejections, unrecognised) = (&outcome.splices, &outcome.rejections, &outcome.unrecognised);
    json!({
        "records": outcome.records,
        "matched": outcome.matched,
        "dropped": outcome.dropped,
        "edits": edits.iter().map(|edit| json!([edit.start, edit.end, edit.text])).collect::<Vec<_>>(),
        "output": output,
        "findings": findings.collect::<Vec<_>>(),
        "rejections": rejections.iter().map(|one| json!([one.start, one.end, one.code, one.detail])).collect::<Vec<_>>(),
        "unrecognised": unrecognised.iter().map(|one| json!([one.start, one.end, one.code])).collect::<Vec<_>>(),
        "extra": outcome.extra,
    })
}

fn kind_name(kind: FaultKind) -> &'static str {
    match kind {
        FaultKind::InvalidConfig => "invalid-config",
        FaultKind::InvalidCheckpoint => "invalid-checkpoint",
        FaultKind::InvalidArgument => "invalid-argument",
        FaultKind::LimitExceeded => "limit-exceeded",
        FaultKind::Other => "other",
    }
}
