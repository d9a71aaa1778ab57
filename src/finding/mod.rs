//! Findings: what a detection or a chain tells, and the form it is written in.

mod attack;
mod ocsf;

use std::borrow::Cow;

use crate::chain::{Context, KeptEvent, Matched, Pressure};
use crate::codec::Kept;
use crate::digest::Digest;
use crate::rule::{Binding, ExceptionPlan, IdentityWay, Provider, RulePlan, Severity, StepPlan};

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
    /// The finding as an OCSF 1.8 Detection Finding (class 2004), one JSON object.
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

/// Makes the finding of a rule from the evidence of its steps, in their order. `each` is the bound name and value that it
/// is made for, where the rule makes one for each value.
pub(crate) fn finding(
    rule: &RulePlan,
    evidence: &[Evidence<'_>],
    each: Option<(&str, &str)>,
    exception: Option<&ExceptionPlan>,
) -> Finding {
    let id = id(rule, evidence, each);
    let times = || evidence.iter().map(|evidence| evidence.time);
    Finding {
        body: ocsf::body(&id, rule, evidence, each, exception),
        id,
        rule: rule.rule.id.clone(),
        severity: rule.rule.severity,
        first_seen: instant(times().min().unwrap_or_default()),
        last_seen: instant(times().max().unwrap_or_default()),
    }
}

/// The rule id of findings about the engine itself.
pub(crate) const STATE_PRESSURE: &str = "state-pressure";

/// Makes the finding that events had to be given up.
pub(crate) fn pressure(pressure: &Pressure, provider: Provider, time: i64) -> Finding {
    let scope = if pressure.own { "own" } else { "all" };
    let id = Digest::default()
        .part(STATE_PRESSURE)
        .part(scope)
        .part(&pressure.identity)
        .part(pressure.hour.to_string())
        .hexadecimal();
    Finding {
        body: ocsf::pressure(&id, pressure, provider, time),
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
