//! Runs the engine natively and in the sandbox. The two must agree on everything.

use std::sync::LazyLock;

use catena::{Config, Correlator, Error, Finding, Outcome};
use catena_host as host;

use super::NOW;

/// `None` if `CATENA_NATIVE_ONLY` is set, as `scripts/mutants` does: there, the component is not the engine under test.
static SANDBOX: LazyLock<Option<host::Sandbox>> = LazyLock::new(|| {
    std::env::var_os("CATENA_NATIVE_ONLY").is_none().then(|| {
        host::Sandbox::new(catena_component::COMPONENT, host::Limits::default())
            .expect("the built-in component should load")
    })
});

/// Opens a native correlator with a JSON configuration.
pub fn open(config: &str) -> Result<Correlator, Error> {
    Correlator::new(config.parse()?)
}

/// Resumes a native correlator from a checkpoint.
pub fn resume(config: &str, checkpoint: &[u8]) -> Result<Correlator, Error> {
    Correlator::resume(config.parse::<Config>()?, checkpoint)
}

/// A native and a sandboxed correlator. Every call goes to both, and their results must be equal.
pub struct Both {
    native: Correlator,
    sandboxed: Option<host::Correlator>,
}

impl Both {
    /// Opens both with one configuration.
    pub fn open(config: &str) -> Self {
        Self {
            native: open(config).expect("the native correlator should open"),
            sandboxed: SANDBOX
                .as_ref()
                .map(|sandbox| sandbox.open(config).expect("the sandboxed correlator should open")),
        }
    }

    /// Resumes both from one checkpoint.
    pub fn resume(config: &str, checkpoint: &[u8]) -> Self {
        Self {
            native: resume(config, checkpoint).expect("the native correlator should resume"),
            sandboxed: SANDBOX
                .as_ref()
                .map(|sandbox| sandbox.resume(config, checkpoint).expect("the sandboxed correlator should resume")),
        }
    }

    pub fn process(&mut self, batch: &[u8]) -> Outcome {
        let native = self.native.process(batch, NOW).expect("the native batch should succeed");
        self.native.check();
        if let Some(sandboxed) = &mut self.sandboxed {
            let outcome = sandboxed.process(batch, NOW.as_millis()).expect("the sandboxed batch should succeed");
            assert_same(&native, &outcome);
        }
        native
    }

    pub fn checkpoint(&mut self) -> Vec<u8> {
        let checkpoint = self.native.checkpoint();
        if let Some(sandboxed) = &mut self.sandboxed {
            assert_eq!(checkpoint, sandboxed.checkpoint().expect("the sandboxed checkpoint should succeed"));
        }
        checkpoint
    }

    pub fn metric(&mut self, name: &str) -> u64 {
        let metrics = self.native.metrics();
        if let Some(sandboxed) = &mut self.sandboxed {
            let sandboxed = sandboxed.metrics().expect("the sandboxed metrics should be readable");
            // A table's memory use depends on the pointer size, which differs between the two.
            let pairs = metrics.iter().zip(&sandboxed).filter(|(native, _)| native.name != "state-bytes");
            for (native, sandboxed) in pairs {
                assert_eq!((native.name, native.value), (&*sandboxed.name, sandboxed.value));
                let labels = sandboxed.labels.iter().map(|(name, value)| (name.as_str(), value.as_str()));
                assert!(native.labels.iter().map(|(name, value)| (*name, value.as_str())).eq(labels), "{native:?}");
                assert_eq!(native.kind() == catena::MetricKind::Gauge, sandboxed.kind == host::MetricKind::Gauge);
            }
            assert_eq!(metrics.len(), sandboxed.len());
        }
        value_of(&metrics, name)
    }
}

/// The value of the metrics with this name; `NAME:LABEL` is the one with these values of labels, joined by hyphens.
pub fn value_of(metrics: &[catena::Metric], name: &str) -> u64 {
    let (name, kind) = name.split_once(':').map_or((name, None), |(name, kind)| (name, Some(kind)));
    let kind_of =
        |metric: &catena::Metric| metric.labels.iter().map(|(_, value)| value.as_str()).collect::<Vec<_>>().join("-");
    let mut of_name = metrics.iter().filter(|metric| metric.name == name).peekable();
    assert!(of_name.peek().is_some(), "no metric {name}");
    of_name.filter(|metric| kind.is_none_or(|kind| kind_of(metric) == kind)).map(|metric| metric.value).sum()
}

fn assert_same(native: &Outcome, sandboxed: &host::Outcome) {
    assert_eq!(
        (native.records, native.matched, native.dropped),
        (sandboxed.records, sandboxed.matched, sandboxed.dropped)
    );
    let splices = sandboxed.splices.iter().map(|splice| (splice.start, splice.end, splice.text.as_str()));
    assert!(native.splices.iter().map(|splice| (splice.start, splice.end, splice.text.as_str())).eq(splices));
    let findings = sandboxed
        .findings
        .iter()
        .map(|finding| (&finding.id, &finding.rule, finding.first_seen_ms, finding.last_seen_ms, &finding.body));
    assert!(
        native
            .findings
            .iter()
            .map(|finding| (
                &finding.id,
                &finding.rule,
                finding.first_seen.as_millis(),
                finding.last_seen.as_millis(),
                &finding.body
            ))
            .eq(findings)
    );
    let rejections = sandboxed.rejections.iter().map(|r| (r.start, r.end, r.code.as_str(), r.detail.as_str()));
    assert!(native.rejections.iter().map(|r| (r.start, r.end, r.reason.code(), r.detail.as_str())).eq(rejections));
}

/// All findings of one batch, on which both must agree.
pub fn findings(batch: &[u8]) -> Vec<Finding> {
    Both::open("{}").process(batch).findings
}

/// The ids of a finding's events, in the order of the rule's steps.
pub fn event_ids(finding: &Finding) -> Vec<String> {
    let body: serde_json::Value = serde_json::from_str(&finding.body).expect("the body should be JSON");
    let events = body["finding_info"]["related_events"].as_array().expect("a finding should list its events");
    events.iter().map(|event| event["uid"].as_str().expect("an event should have an id").to_owned()).collect()
}

/// The rule id of each finding, in order.
pub fn rules(findings: &[Finding]) -> Vec<&str> {
    findings.iter().map(|finding| finding.rule.as_str()).collect()
}
