//! Findings as flat rows for Microsoft Sentinel: the columns of the published query, then rule, severity, tactics,
//! techniques and entities as scheduled rules map them (Microsoft Sentinel reference, "Entity types").

use serde::Serialize;
use serde_json::{Value, json};

use super::attack::{AttackVersion, Placed};
use super::ocsf;
use super::report::{Columns, Report, instant};
use crate::rule::{Provider, Severity};
use crate::sorted;

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
    resources: Vec<&'a str>,
    entities: Vec<Value>,
}

/// Writes a finding.
pub(super) fn body(report: &Report<'_>, version: AttackVersion) -> String {
    let placed: Vec<_> = report.attack.iter().map(|attack| Placed::of(attack, version)).collect();
    let row = Row {
        columns: report.columns(),
        finding_id: report.id,
        rule_id: report.rule,
        rule_name: report.title,
        rule_version: report.version,
        description: report.description,
        severity: match report.severity {
            Severity::Informational => "Informational",
            Severity::Low => "Low",
            Severity::Medium => "Medium",
            // Sentinel knows nothing above.
            Severity::High | Severity::Critical => "High",
        },
        confidence: ocsf::confidence(report.confidence).1,
        confidence_reason: report.confidence_reason,
        status: if report.exception.is_some() { "Suppressed" } else { "New" },
        status_reason: report.exception.map_or("", |exception| &exception.reason),
        tactics: sorted::collect(placed.iter().filter_map(|placed| Some(placed.tactic?.name.replace(' ', "")))),
        techniques: sorted::collect(placed.iter().map(|placed| placed.technique.uid)),
        sub_techniques: sorted::collect(placed.iter().filter_map(|placed| Some(placed.sub_technique?.uid))),
        start_time: instant(report.times.0),
        end_time: instant(report.times.1),
        event_ids: report.events.iter().map(|(_, event)| &*event.event_id).collect(),
        resources: report.resources.iter().map(|(uid, _)| *uid).collect(),
        entities: entities(report),
    };
    serde_json::to_string(&row).unwrap_or_default()
}

fn entities(report: &Report<'_>) -> Vec<Value> {
    let mut entities = Vec::new();
    let who = report.context.who();
    if !who.is_empty() {
        entities.push(match who.split_once('@') {
            Some((name, suffix)) => json!({"Type": "account", "Name": name, "UPNSuffix": suffix}),
            None => json!({"Type": "account", "FullName": who}),
        });
    }
    if let Some(address) = report.source_address() {
        entities.push(json!({"Type": "ip", "Address": address}));
    }
    for (uid, _) in report.resources.iter().filter(|_| report.provider == Provider::Azure) {
        entities.push(json!({"Type": "azure-resource", "ResourceId": uid}));
    }
    entities
}
