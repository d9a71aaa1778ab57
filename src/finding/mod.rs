//! Findings: what a detection or a chain reports, and the formats of the report.

mod ecs;
mod evidence;
mod format;
mod ocsf;
mod report;
mod sentinel;

use hashbrown::HashSet;

use crate::chain::{Attribution, Eviction};
use crate::rule::{ExceptionPlan, RulePlan};
use crate::util::digest::Digest;
use crate::vocab::{Confidence, Provider, Severity, Timestamp};

pub(crate) use evidence::Evidence;
pub use format::FindingFormat;
pub(crate) use format::{AnnotatedMatch, FindingWriter};
use report::{INSTANCE, Report};

/// A finding of a rule, or of the engine about its own state.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Finding {
    /// Identical for the same events and rule version, on every machine and in every replay: use it to deduplicate
    /// findings. The first 128 bits of a SHA-256, as 32 hexadecimal digits.
    pub id: String,
    /// The rule's id.
    pub rule: String,
    /// The rule's severity.
    pub severity: Severity,
    /// The time of its first event.
    pub first_seen: Timestamp,
    /// The time of its last event.
    pub last_seen: Timestamp,
    /// The finding as one JSON object, in the configured format.
    pub body: String,
}

/// Makes the finding of a rule from the evidence of its steps, in step order. `each` is the bound name and value that
/// the finding is for, if the rule reports one finding per value.
pub(crate) fn finding(
    rule: &RulePlan,
    evidence: &[Evidence<'_>],
    each: Option<(&str, &str)>,
    exception: Option<&ExceptionPlan>,
    writer: FindingWriter,
) -> Finding {
    let id = id(rule, evidence, each);
    let times = || evidence.iter().map(|evidence| evidence.time);
    let first_seen = Timestamp::from_event_time(times().min().unwrap_or_default());
    let last_seen = Timestamp::from_event_time(times().max().unwrap_or_default());
    let step = |evidence: &Evidence<'_>| rule.rule.steps.get(evidence.step.position).map_or("", |step| &*step.id);
    let report = Report {
        id: &id,
        rule: &rule.rule.id,
        version: rule.rule.version,
        title: &rule.rule.title,
        description: &rule.rule.description,
        severity: rule.rule.severity,
        confidence: rule.rule.confidence,
        confidence_reason: &rule.rule.confidence_reason,
        attack: &rule.rule.attack,
        exception: exception.map(|exception| &exception.exception),
        provider: evidence.last().map_or(Provider::Aws, |last| last.step.provider),
        attribution: evidence.last().map_or(Attribution::default(), |last| last.attribution),
        first_seen,
        last_seen,
        events: evidence.iter().map(|evidence| (step(evidence), evidence)).collect(),
        resources: resources(rule, evidence, each),
        instances: values(evidence, each).filter(|(name, _)| *name == INSTANCE).map(|(_, value)| value).collect(),
    };
    Finding {
        body: writer.body(&report),
        rule: rule.rule.id.clone(),
        severity: rule.rule.severity,
        first_seen,
        last_seen,
        id,
    }
}

/// The names and values that the steps bind. For the name of `each`, only that one value.
fn values<'a>(
    evidence: &'a [Evidence<'_>],
    each: Option<(&'a str, &'a str)>,
) -> impl Iterator<Item = (&'a str, &'a str)> {
    let all = evidence.iter().flat_map(|evidence| &evidence.values);
    all.flat_map(move |(binding, values)| {
        let one = each.filter(|(name, _)| *name == &*binding.name).map(|(_, value)| value);
        let all = if one.is_some() { &[] } else { values.as_slice() };
        one.into_iter().chain(all.iter().map(|value| &**value)).map(|value| (&*binding.name, value))
    })
}

/// The values that the rule lists as resources, each once, in step order, with its resource type.
fn resources<'a>(
    rule: &'a RulePlan,
    evidence: &'a [Evidence<'_>],
    each: Option<(&'a str, &'a str)>,
) -> Vec<(&'a str, &'a str)> {
    let mut seen = HashSet::new();
    let listed = values(evidence, each).filter_map(|(name, value)| Some((value, &**rule.rule.resources.get(name)?)));
    listed.filter(|resource| seen.insert(*resource)).collect()
}

/// The rule id of the findings that report evictions.
pub(crate) const STATE_PRESSURE: &str = "state-pressure";

/// Makes the finding that reports evictions caused by an identity. Its id is the same for all evictions of that
/// identity and kind (its own events, or any) in one hour of event time.
pub(crate) fn eviction(eviction: &Eviction, provider: Provider, time: i64, writer: FindingWriter) -> Finding {
    let at = Timestamp::from_event_time(time);
    let scope = if eviction.own { "own" } else { "all" };
    let id = Digest::default()
        .part(STATE_PRESSURE)
        .part(scope)
        .part(&eviction.identity)
        .part(eviction.hour.to_string())
        .hexadecimal();
    let description = if eviction.own {
        "One identity has reached its limit of pending events. Its oldest were evicted, so chains of this identity may \
         be missed. Flooding is a way to hide."
    } else {
        "The total number or size of pending events has reached its limit. Those that would have expired first were \
         evicted, so chains of any identity may be missed."
    };
    let report = Report {
        id: &id,
        rule: STATE_PRESSURE,
        version: 1,
        title: "Correlation state under pressure: pending events were evicted",
        description,
        severity: Severity::Medium,
        confidence: Confidence::High,
        confidence_reason: "",
        attack: &[],
        exception: None,
        provider,
        attribution: Attribution { identity: &eviction.identity, ..Attribution::default() },
        first_seen: at,
        last_seen: at,
        events: Vec::new(),
        resources: Vec::new(),
        instances: Vec::new(),
    };
    Finding {
        body: writer.body(&report),
        id,
        rule: STATE_PRESSURE.to_owned(),
        severity: Severity::Medium,
        first_seen: at,
        last_seen: at,
    }
}

/// The id of a finding: a hash of the rule, its version, the events of its required steps, and the value of `each`.
pub(crate) fn id(rule: &RulePlan, evidence: &[Evidence<'_>], each: Option<(&str, &str)>) -> String {
    let mut digest = Digest::default();
    digest.part(&rule.rule.id).part(rule.rule.version.to_string());
    // Optional steps add evidence to a finding but do not change its identity.
    for evidence in evidence.iter().filter(|evidence| !evidence.step.optional) {
        digest.part(evidence.step.provider.as_str()).part(evidence.attribution.account).part(&*evidence.event_id);
    }
    if let Some((name, value)) = each {
        digest.part(name).part(value);
    }
    digest.hexadecimal()
}
