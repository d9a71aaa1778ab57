//! Findings as flat rows for Microsoft Sentinel: the columns of the published query, then rule, severity, tactics,
//! techniques and entities, as scheduled rules map them (Microsoft Sentinel reference, "Entity types").

use serde::Serialize;
use serde_json::{Value, json};

use super::format::{AnnotationForm, Format, Prepared};
use super::ocsf;
use super::report::{Columns, Report};
use crate::event::cloud_of;
use crate::util::invariant::Invariant as _;
use crate::util::sorted;
use crate::vocab::{AttackVersion, CallOutcome, ResolvedTechnique, Severity};

pub(super) const FORMAT: Format = Format { prepare: |_, _| Prepared::default(), body, annotation: ANNOTATION };

/// One row: one finding.
#[derive(Serialize)]
#[serde(rename_all = "PascalCase")]
struct Row<'a> {
    #[serde(flatten)]
    columns: Columns<'a>,
    finding_id: &'a str,
    rule_id: &'a str,
    rule_name: &'a str,
    rule_version: u32,
    description: &'a str,
    severity: &'static str,
    confidence: &'static str,
    confidence_reason: &'a str,
    status: &'static str,
    status_reason: &'a str,
    tactics: Vec<String>,
    techniques: Vec<&'a str>,
    sub_techniques: Vec<&'a str>,
    start_time: String,
    end_time: String,
    event_ids: Vec<&'a str>,
    /// The step of each event.
    steps: Vec<&'a str>,
    action: &'a str,
    /// `Success`, `Failure` or `NA`, as in ASIM's `EventResult`.
    event_result: &'static str,
    user_agent: &'a str,
    resources: Vec<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    omitted_resources: Option<usize>,
    /// For an update: the number of events that completed the finding, the first included.
    #[serde(skip_serializing_if = "Option::is_none")]
    events_count: Option<u64>,
    entities: Vec<Value>,
}

/// Writes a finding.
fn body(report: &Report<'_>, _: &Prepared, version: AttackVersion) -> String {
    let resolved: Vec<_> = report.rule.attack.iter().map(|attack| ResolvedTechnique::of(attack, version)).collect();
    let last = report.events.last().map(|(_, event)| *event);
    let row = Row {
        columns: report.columns(),
        finding_id: report.id,
        rule_id: report.rule.id,
        rule_name: report.rule.title,
        rule_version: report.rule.version,
        description: report.rule.description,
        severity: match report.rule.severity {
            Severity::Informational => "Informational",
            Severity::Low => "Low",
            Severity::Medium => "Medium",
            // High is the highest severity in Sentinel.
            Severity::High | Severity::Critical => "High",
        },
        confidence: ocsf::confidence(report.rule.confidence).1,
        confidence_reason: report.rule.confidence_reason,
        status: if report.exception.is_some() { "Suppressed" } else { "New" },
        status_reason: report.exception.map_or("", |exception| &exception.reason),
        tactics: sorted::collect(
            resolved.iter().flat_map(|resolved| &resolved.tactics).map(|tactic| tactic.name.replace(' ', "")),
        ),
        techniques: sorted::collect(resolved.iter().map(|resolved| resolved.technique.uid)),
        sub_techniques: sorted::collect(resolved.iter().filter_map(|resolved| Some(resolved.sub_technique?.uid))),
        start_time: report.first_seen.to_string(),
        end_time: report.last_seen.to_string(),
        steps: report.events.iter().map(|(step, _)| *step).collect(),
        action: last.map_or("", |event| event.action),
        event_result: match last.map(|event| event.outcome) {
            Some(CallOutcome::Success) => "Success",
            Some(CallOutcome::Failure) => "Failure",
            _ => "NA",
        },
        user_agent: report.attribution.user_agent,
        event_ids: report.events.iter().map(|(_, event)| &*event.event_id).collect(),
        resources: report.resources.iter().map(|(uid, _)| *uid).collect(),
        omitted_resources: Some(report.omitted).filter(|omitted| *omitted > 0),
        events_count: report.further.map(|further| further.saturating_add(1)),
        entities: entities(report),
    };
    serde_json::to_string(&row).invariant("a row is JSON")
}

/// `{"RuleId": …, "Step": …, "FindingId": […]}`.
const ANNOTATION: AnnotationForm = AnnotationForm {
    rule: r#"{"RuleId":""#,
    step: r#"","Step":""#,
    findings: r#"","FindingId":["#,
    finding: ["\"", "\""],
    end: "]}",
};

/// The account, the IP address and the resources, as Sentinel entities.
fn entities(report: &Report<'_>) -> Vec<Value> {
    let mut entities = Vec::new();
    let who = report.attribution.caller_or_identity();
    if !who.is_empty() {
        entities.push(match who.split_once('@') {
            Some((name, suffix)) => json!({"Type": "account", "Name": name, "UPNSuffix": suffix}),
            None => json!({"Type": "account", "FullName": who}),
        });
    }
    if let Some(address) = report.source_address() {
        entities.push(json!({"Type": "ip", "Address": address}));
    }
    if let Some(kind) = cloud_of(report.provider).sentinel_resource_entity {
        entities.extend(report.resources.iter().map(|(uid, _)| json!({"Type": kind, "ResourceId": uid})));
    }
    entities
}
