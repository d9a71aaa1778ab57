//! The findings that report what a limit cost.

use super::report::{Report, RuleFacts};
use super::{Finding, FindingWriter};
use crate::chain::{Attribution, Loss, LossKind};
use crate::util::digest::Digest;
use crate::vocab::{Confidence, Provider, Severity, Timestamp};

/// An hour, in ms: there is one such finding of each kind for an hour of event time.
const HOUR: i64 = 3_600_000;

/// The rule id of these findings.
pub(crate) const STATE_PRESSURE: &str = "state-pressure";

/// Makes the finding that reports a loss.
pub(crate) fn pressure(loss: &Loss, provider: Provider, writer: &FindingWriter) -> Finding {
    let at = Timestamp::from_event_time(loss.time);
    let (name, title, what, consequence) = words(loss.kind);
    let id = Digest::default()
        .part(STATE_PRESSURE)
        .part(name)
        .part(&loss.identity)
        .part(loss.time.div_euclid(HOUR).to_string())
        .hexadecimal();
    let mut description = format!("{what}: {} since the last report. {consequence}", loss.count);
    for (label, value) in [("Rule", &loss.rule), ("Identity", &loss.identity)] {
        if !value.is_empty() {
            description.push_str(&format!(" {label}: {value}."));
        }
    }
    let report = Report {
        id: &id,
        rule: RuleFacts {
            id: STATE_PRESSURE,
            version: 2,
            title,
            description: &description,
            severity: Severity::Medium,
            confidence: Confidence::High,
            confidence_reason: "",
            attack: &[],
        },
        exception: None,
        provider,
        attribution: Attribution { identity: &loss.identity, ..Attribution::default() },
        first_seen: at,
        last_seen: at,
        events: Vec::new(),
        resources: Vec::new(),
        omitted: 0,
        instances: Vec::new(),
        further: None,
    };
    Finding {
        body: writer.body_of_none(&report),
        id,
        rule: STATE_PRESSURE.to_owned(),
        severity: Severity::Medium,
        first_seen: at,
        last_seen: at,
        start: 0,
        end: 0,
    }
}

/// The kind's name, the title, what is counted, and what may follow.
fn words(kind: LossKind) -> (&'static str, &'static str, &'static str, &'static str) {
    match kind {
        LossKind::IdentityPending => (
            "pending-per-identity",
            "Correlation state under pressure: an identity's pending events were evicted",
            "Events evicted because an identity reached limits.pending_per_identity",
            "Chains of this identity may be missed. Flooding is a way to hide.",
        ),
        LossKind::Pending => (
            "pending",
            "Correlation state under pressure: pending events were evicted",
            "Events evicted because limits.pending or limits.state_bytes was reached",
            "Those that would have expired first are gone, so chains of any identity may be missed.",
        ),
        LossKind::EventIds => (
            "event-ids",
            "Correlation state under pressure: event ids were forgotten",
            "Event ids forgotten because limits.event_ids was reached",
            "Duplicates of old events may give their findings again, with the same ids.",
        ),
        LossKind::Search => (
            "search",
            "Correlation search cut: findings may be missing",
            "Searches cut because limits.max_candidates was reached",
            "Findings of this rule and identity may be missed. Flooding is a way to hide.",
        ),
        LossKind::Output => (
            "output",
            "Findings withheld: too many for the input",
            "Findings withheld because they would exceed 64 times the input",
            "What they report may still be found in the stream. Flooding is a way to hide.",
        ),
    }
}
