//! Findings: what a detection or a chain reports, and the formats of the report.

mod bounds;
mod ecs;
mod effect;
mod evidence;
mod format;
mod json_text;
mod ocsf;
mod pressure;
mod report;
mod sentinel;
mod subject;

use hashbrown::HashSet;

use crate::chain::Attribution;
use crate::rule::{ExceptionPlan, RulePlan};
use crate::vocab::{Provider, Severity, Timestamp};

use bounds::MAX_LISTED;
use evidence::Bound;
pub(crate) use evidence::Evidence;
pub use format::FindingFormat;
pub(crate) use format::{AnnotationForm, FindingWriter};
pub(crate) use pressure::{STATE_PRESSURE, pressure};
use report::{INSTANCE, Report, RuleFacts};
pub(crate) use subject::Subject;

/// A finding of a rule, or of the engine about its own state.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Finding {
    /// Identical for the same subject and rule version, on every machine and in every replay: use it to deduplicate
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
    /// The offset in the batch of the record that completed it. Of a record in an envelope, that of the envelope.
    pub start: u32,
    /// The offset after that record.
    pub end: u32,
    /// The finding as one JSON object, in the configured format. At most 64 KiB: lists are cut after 64 entries, and say
    /// how many are missing; texts are cut if the object would be longer.
    pub body: String,
}

/// Makes the finding of a rule from the evidence of its steps, in step order. `id` is that of its subject. `further` is the
/// number of events that completed it since, if it is an update.
pub(crate) fn finding(
    id: &str,
    rule: &RulePlan,
    evidence: &[Evidence<'_>],
    subject: &Subject<'_>,
    exception: Option<&ExceptionPlan>,
    further: Option<u64>,
    writer: &FindingWriter,
) -> Finding {
    let times = || evidence.iter().map(|evidence| evidence.time);
    let first_seen = Timestamp::from_event_time(times().min().unwrap_or_default());
    let last_seen = Timestamp::from_event_time(times().max().unwrap_or_default());
    let step = |evidence: &Evidence<'_>| rule.rule.steps.get(evidence.step.position).map_or("", |step| &*step.id);
    let (resources, omitted) = resources(rule, evidence, subject);
    let instances = subject.values(evidence).filter(|(name, _)| *name == INSTANCE).map(|(_, value)| value);
    let report = Report {
        id,
        rule: RuleFacts::of(&rule.rule),
        exception: exception.map(|exception| &exception.exception),
        provider: evidence.last().map_or(Provider::Aws, |last| last.step.provider),
        attribution: evidence.last().map_or(Attribution::default(), |last| last.attribution),
        first_seen,
        last_seen,
        events: evidence.iter().map(|evidence| (step(evidence), evidence)).collect(),
        resources,
        omitted,
        instances: instances.take(MAX_LISTED).collect(),
        further,
    };
    Finding {
        body: writer.body(&report, rule.number),
        rule: rule.rule.id.clone(),
        severity: rule.rule.severity,
        first_seen,
        last_seen,
        start: 0,
        end: 0,
        id: id.to_owned(),
    }
}

/// Maximum number of values that are compared to list each once. Events of launches have hundreds of thousands.
const MAX_CONSIDERED: usize = 4 * MAX_LISTED;

/// The values that the rule lists as resources, each once, in step order, with its resource type; and how many more
/// there are.
fn resources<'a>(
    rule: &'a RulePlan,
    evidence: &'a [Evidence<'_>],
    subject: &'a Subject<'_>,
) -> (Vec<(&'a str, &'a str)>, usize) {
    let mut seen = HashSet::new();
    let kind = |name: &str| rule.rule.resources.get(name).map(String::as_str);
    let listed = subject.values(evidence).filter_map(|(name, value)| Some((value, kind(name)?)));
    let mut all: Vec<_> = listed.take(MAX_CONSIDERED).filter(|resource| seen.insert(*resource)).collect();
    let bound = evidence.iter().flat_map(|evidence| &evidence.values);
    let count = |bound: &Bound<'_>| match subject.fixes(&bound.binding.name) {
        true => (1, 0),
        false => (bound.values.len(), bound.omitted),
    };
    let counts = bound.filter(|bound| kind(&bound.binding.name).is_some()).map(count);
    let (stored, not_stored) = counts.fold((0, 0), |all, one| (all.0 + one.0, all.1 + one.1));
    let omitted = all.len().saturating_sub(MAX_LISTED) + stored.saturating_sub(MAX_CONSIDERED) + not_stored;
    all.truncate(MAX_LISTED);
    (all, omitted)
}
