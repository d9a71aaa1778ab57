//! The engine, native and in the sandbox, which must agree on everything.

use std::collections::BTreeSet;
use std::sync::LazyLock;

use catena::{Config, Correlator, Error, Finding, Outcome};
use catena_host as host;

use super::NOW;

static SANDBOX: LazyLock<host::Sandbox> = LazyLock::new(|| {
    host::Sandbox::new(catena_component::COMPONENT, host::Limits::default()).expect("the built-in component loads")
});

/// A native correlator with a configuration in JSON.
pub fn open(config: &str) -> Result<Correlator, Error> {
    Correlator::new(config.parse()?)
}

/// The same, resumed from a checkpoint.
pub fn resume(config: &str, checkpoint: &[u8]) -> Result<Correlator, Error> {
    Correlator::resume(config.parse::<Config>()?, checkpoint)
}

/// One correlation, twice. Every call is made to both, and the answers are held against each other.
pub struct Both {
    native: Correlator,
    sandboxed: host::Correlator,
}

impl Both {
    /// Opens both with one configuration.
    pub fn open(config: &str) -> Self {
        Self { native: open(config).expect("opens"), sandboxed: SANDBOX.open(config).expect("opens in the sandbox") }
    }

    /// Resumes both from one checkpoint.
    pub fn resume(config: &str, checkpoint: &[u8]) -> Self {
        Self {
            native: resume(config, checkpoint).expect("resumes"),
            sandboxed: SANDBOX.resume(config, checkpoint).expect("resumes in the sandbox"),
        }
    }

    pub fn process(&mut self, batch: &[u8]) -> Outcome {
        let native = self.native.process(batch, NOW).expect("is processed");
        let sandboxed = self.sandboxed.process(batch, NOW.as_millis()).expect("is processed in the sandbox");
        assert_same(&native, &sandboxed);
        native
    }

    pub fn checkpoint(&mut self) -> Vec<u8> {
        let checkpoint = self.native.checkpoint();
        assert_eq!(checkpoint, self.sandboxed.checkpoint().expect("is saved in the sandbox"));
        checkpoint
    }

    pub fn metric(&mut self, name: &str) -> u64 {
        let metrics = self.native.metrics();
        let sandboxed = self.sandboxed.metrics().expect("are told in the sandbox");
        // How much memory a table takes differs with the size of a pointer.
        for (native, sandboxed) in metrics.iter().zip(&sandboxed).filter(|(native, _)| native.name != "now:state-bytes")
        {
            assert_eq!((&native.name, native.value), (&sandboxed.name, sandboxed.value));
        }
        assert_eq!(metrics.len(), sandboxed.len());
        metrics.iter().find(|metric| metric.name == name).unwrap_or_else(|| panic!("no metric {name}")).value
    }
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
        .map(|finding| (&finding.id, &finding.rule, finding.first_seen, finding.last_seen, &finding.body));
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

/// All findings of one batch, by both.
pub fn findings(batch: &[u8]) -> Vec<Finding> {
    Both::open("{}").process(batch).findings
}

/// The ids of a finding's events, in the order of the rule's steps.
pub fn event_ids(finding: &Finding) -> Vec<String> {
    let body: serde_json::Value = serde_json::from_str(&finding.body).expect("a body is JSON");
    let events = body["finding_info"]["related_events"].as_array().expect("a finding has events");
    events.iter().map(|event| event["uid"].as_str().expect("an event has an id").to_owned()).collect()
}

/// The event ids of each finding. No finding may be made twice.
pub fn sets_of_event_ids(findings: &[Finding]) -> BTreeSet<Vec<String>> {
    let ids: BTreeSet<_> = findings.iter().map(|finding| &finding.id).collect();
    assert_eq!(ids.len(), findings.len(), "a finding was made twice");
    findings.iter().map(event_ids).collect()
}

/// The rules of findings, in order.
pub fn rules(findings: &[Finding]) -> Vec<&str> {
    findings.iter().map(|finding| finding.rule.as_str()).collect()
}
