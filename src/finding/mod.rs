//! Findings: what a detection or a chain tells, and the form it is written in.

mod attack;
mod ecs;
mod ocsf;
mod report;
mod sentinel;

use std::borrow::Cow;

use hashbrown::HashSet;
use serde::Deserialize;

use crate::chain::{Context, KeptEvent, Matched, Pressure};
use crate::codec::Kept;
use crate::digest::Digest;
use crate::rule::{Binding, Confidence, ExceptionPlan, IdentityWay, Provider, RulePlan, Severity, StepPlan};

pub use attack::AttackVersion;
use report::{INSTANCE, Report};

/// Something that a rule has found.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Finding {
    /// The same for the same events under the same version of the rule, on every machine and in every replay: the first
    /// 128 bits of a SHA-256, as 32 hexadecimal digits.
    pub id: String,
    /// The rule's id.
    pub rule: String,
    /// The rule's severity.
    pub severity: Severity,
    /// When the first of its events happened, in ms since 1970.
    pub first_seen: u64,
    /// When the last of its events happened, in ms since 1970.
    pub last_seen: u64,
    /// The finding as one JSON object, in the form that the configuration asks for.
    pub body: String,
}

/// One event of a finding, wherever it was kept.
pub(crate) struct Evidence<'a> {
    pub step: &'a StepPlan,
    pub event_id: Cow<'a, str>,
    pub service: &'a str,
    pub action: &'a str,
    pub time: i64,
    pub context: Context<'a>,
    /// The exceptions that hold for the event.
    pub exceptions: &'a [u16],
    /// The values of the step's bindings.
    pub values: Vec<(&'a Binding, Vec<Cow<'a, str>>)>,
}

impl<'a> Evidence<'a> {
    /// The evidence that an event gives as it passes.
    pub(crate) fn of_event(step: &'a StepPlan, matched: &Matched<'a>, ways: &[IdentityWay]) -> Self {
        let event = matched.event;
        let values = step.bindings.iter().map(|binding| {
            let values = event.values.distinct(&binding.slots);
            (binding, values.into_iter().map(Cow::Borrowed).collect())
        });
        Self {
            step,
            event_id: Cow::Borrowed(matched.told_as),
            service: &event.service,
            action: &event.action,
            time: matched.time,
            context: Context::of(event, ways),
            exceptions: matched.exceptions,
            values: values.collect(),
        }
    }

    /// The evidence that an event gives that was kept.
    pub(crate) fn of_kept(step: &'a StepPlan, event: KeptEvent<'a>) -> Self {
        let texts = |binding: &'a Binding| event.values_of(&binding.slots).into_iter().map(Kept::text).collect();
        let values = step.bindings.iter().map(|binding| (binding, texts(binding))).collect();
        Self {
            step,
            event_id: event.id(),
            service: event.service,
            action: event.action,
            time: event.time,
            context: event.context(),
            exceptions: event.exceptions,
            values,
        }
    }
}

/// The form of a finding's body.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum FindingFormat {
    /// An OCSF 1.8 Detection Finding (class 2004).
    #[default]
    Ocsf,
    /// An alert of the Elastic Common Schema.
    Ecs,
    /// A flat row for Microsoft Sentinel.
    Sentinel,
}

/// How findings are written.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Form {
    pub format: FindingFormat,
    pub attack: AttackVersion,
}

impl Form {
    fn body(self, report: &Report<'_>) -> String {
        match self.format {
            FindingFormat::Ocsf => ocsf::body(report, self.attack),
            FindingFormat::Ecs => ecs::body(report, self.attack),
            FindingFormat::Sentinel => sentinel::body(report, self.attack),
        }
    }
}

/// Makes the finding of a rule from the evidence of its steps, in their order. `each` is the bound name and value that it
/// is made for, where the rule makes one for each value.
pub(crate) fn finding(
    rule: &RulePlan,
    evidence: &[Evidence<'_>],
    each: Option<(&str, &str)>,
    exception: Option<&ExceptionPlan>,
    form: Form,
) -> Finding {
    let id = id(rule, evidence, each);
    let times = || evidence.iter().map(|evidence| evidence.time);
    let (first, last) = (times().min().unwrap_or_default(), times().max().unwrap_or_default());
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
        context: evidence.last().map_or(Context::default(), |last| last.context),
        times: (first, last),
        events: evidence.iter().map(|evidence| (step(evidence), evidence)).collect(),
        resources: resources(rule, evidence, each),
        instances: values(evidence, each).filter(|(name, _)| *name == INSTANCE).map(|(_, value)| value).collect(),
    };
    Finding {
        body: form.body(&report),
        rule: rule.rule.id.clone(),
        severity: rule.rule.severity,
        first_seen: instant(first),
        last_seen: instant(last),
        id,
    }
}

/// The values that steps bind, with their names; of the name that the finding is made for only that one.
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

/// What the rule lists of those values, each once, in the order of the steps, with its kind.
fn resources<'a>(
    rule: &'a RulePlan,
    evidence: &'a [Evidence<'_>],
    each: Option<(&'a str, &'a str)>,
) -> Vec<(&'a str, &'a str)> {
    let mut seen = HashSet::new();
    let listed = values(evidence, each).filter_map(|(name, value)| Some((value, &**rule.rule.resources.get(name)?)));
    listed.filter(|resource| seen.insert(*resource)).collect()
}

/// The rule id of findings about the engine itself.
pub(crate) const STATE_PRESSURE: &str = "state-pressure";

/// Makes the finding that events had to be given up for those of an identity.
pub(crate) fn pressure(pressure: &Pressure, provider: Provider, time: i64, form: Form) -> Finding {
    let scope = if pressure.own { "own" } else { "all" };
    let id = Digest::default()
        .part(STATE_PRESSURE)
        .part(scope)
        .part(&pressure.identity)
        .part(pressure.hour.to_string())
        .hexadecimal();
    let description = if pressure.own {
        "One identity makes more calls that chains are made of than are kept for it. Its oldest were given up, so chains \
         of this identity may be missed. Flooding is a way to hide."
    } else {
        "There are more pending events than are kept in all. Those that would have expired first were given up, so \
         chains of any identity may be missed."
    };
    let report = Report {
        id: &id,
        rule: STATE_PRESSURE,
        version: 1,
        title: "Correlation state under pressure: pending events were given up",
        description,
        severity: Severity::Medium,
        confidence: Confidence::High,
        confidence_reason: "",
        attack: &[],
        exception: None,
        provider,
        context: Context { identity: &pressure.identity, ..Context::default() },
        times: (time, time),
        events: Vec::new(),
        resources: Vec::new(),
        instances: Vec::new(),
    };
    Finding {
        body: form.body(&report),
        id,
        rule: STATE_PRESSURE.to_owned(),
        severity: Severity::Medium,
        first_seen: instant(time),
        last_seen: instant(time),
    }
}

fn instant(time: i64) -> u64 {
    u64::try_from(time).unwrap_or_default()
}

/// The id of a finding: a hash of the rule, its version and the chain's events.
pub(crate) fn id(rule: &RulePlan, evidence: &[Evidence<'_>], each: Option<(&str, &str)>) -> String {
    let mut digest = Digest::default();
    digest.part(&rule.rule.id).part(rule.rule.version.to_string());
    // What is optional adds to a finding and does not make it another.
    for evidence in evidence.iter().filter(|evidence| !evidence.step.optional) {
        digest.part(evidence.step.provider.as_str()).part(evidence.context.account).part(&*evidence.event_id);
    }
    if let Some((name, value)) = each {
        digest.part(name).part(value);
    }
    digest.hexadecimal()
}
