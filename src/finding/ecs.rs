//! Findings as documents of the Elastic Common Schema (ECS 8.17). Values that have no ECS field go under `labels`.

use serde_json::{Map, Value, json};

use super::effect::Effect;
use super::format::{AnnotationForm, Format, Prepared};
use super::report::Report;
use crate::event::cloud_of;
use crate::vocab::{AttackVersion, IdAndName, ResolvedTechnique, Severity};

pub(super) const FORMAT: Format = Format { prepare: |_, _| Prepared::default(), body, annotation: ANNOTATION };

/// The ECS version of the documents.
const ECS_VERSION: &str = "8.17.0";

/// Writes a finding.
fn body(report: &Report<'_>, _: &Prepared, version: AttackVersion) -> String {
    let attribution = report.attribution;
    let last = report.events.last().map(|(_, event)| *event);
    let (category, kind) = last.map_or(("configuration", "info"), |event| Effect::of(event.action).ecs());
    let steps: Vec<_> = report.events.iter().map(|(step, _)| *step).collect();
    let address = report.source_address().unwrap_or_default();
    let mut document = json!({
        "@timestamp": report.last_seen.to_string(),
        "ecs": {"version": ECS_VERSION},
        "message": report.rule.title,
        "event": {
            "kind": if report.exception.is_some() { "event" } else { "alert" },
            "category": [category],
            "type": [kind],
            "outcome": last.map_or("unknown", |event| event.outcome.as_str()),
            "module": "catena",
            "dataset": "catena.finding",
            "id": report.id,
            "start": report.first_seen.to_string(),
            "end": report.last_seen.to_string(),
            "severity": severity(report.rule.severity),
            "action": last.map_or("", |event| event.action),
            "provider": last.map_or("", |event| event.service),
            "reason": report.rule.confidence_reason,
        },
        "rule": {
            "id": report.rule.id,
            "name": report.rule.title,
            "version": report.rule.version.to_string(),
            "description": report.rule.description,
            "ruleset": "catena",
        },
        "threat": threat(report, version),
        "cloud": {
            "provider": report.provider.as_str(),
            "region": attribution.region,
            "account": {"id": attribution.account},
            "service": {"name": last.map_or("", |event| event.service)},
            "instance": {"id": report.instances.first().copied().unwrap_or_default()},
        },
        "user": {"id": attribution.caller_or_identity(), "name": attribution.actor_name},
        "source": {"ip": address, "address": attribution.source},
        "user_agent": {"original": attribution.user_agent},
        "related": {
            "user": [attribution.caller_or_identity()],
            "ip": [address],
            "hosts": report.instances,
        },
        "labels": {
            "identity": attribution.identity,
            "identity_from": attribution.identity_key,
            "scope": attribution.scope(),
            "level": attribution.level,
            "confidence": report.rule.confidence.as_str(),
            "steps": steps.join(","),
            "events": report.events.iter().map(|(_, event)| &*event.event_id).collect::<Vec<_>>().join(","),
            "resources": report.resources.iter().map(|(uid, _)| *uid).collect::<Vec<_>>().join(","),
            "omitted_resources": if report.omitted > 0 { report.omitted.to_string() } else { String::new() },
            "events_count": report.further.map_or_else(String::new, |further| further.saturating_add(1).to_string()),
            "status": if report.exception.is_some() { "suppressed" } else { "new" },
            "exception": report.exception.map_or("", |exception| &exception.id),
            "exception_reason": report.exception.map_or("", |exception| &exception.reason),
        },
    });
    if cloud_of(report.provider).accounts_are_projects
        && let Some(cloud) = document.get_mut("cloud").and_then(Value::as_object_mut)
    {
        cloud.insert("project".to_owned(), json!({"id": attribution.account}));
        cloud.insert("availability_zone".to_owned(), attribution.scope().into());
    }
    prune(&mut document);
    document.to_string()
}

/// `{"rule": {"id": …}, "step": …, "event": {"id": […]}}`.
const ANNOTATION: AnnotationForm = AnnotationForm {
    rule: r#"{"rule":{"id":""#,
    step: r#""},"step":""#,
    findings: r#"","event":{"id":["#,
    finding: ["\"", "\""],
    end: "]}}",
};

/// ECS does not define a severity scale. This is the scale of Elastic's own rules: 21, 47, 73, 99.
fn severity(severity: Severity) -> u8 {
    match severity {
        Severity::Informational => 1,
        Severity::Low => 21,
        Severity::Medium => 47,
        Severity::High => 73,
        Severity::Critical => 99,
    }
}

/// The ECS `threat` object: tactics, techniques and sub-techniques, each listed once.
fn threat(report: &Report<'_>, version: AttackVersion) -> Value {
    let resolved: Vec<_> = report.rule.attack.iter().map(|attack| ResolvedTechnique::of(attack, version)).collect();
    let list = |kind: &str, named: Vec<IdAndName<'_>>| {
        let mut unique: Vec<IdAndName<'_>> = Vec::new();
        named.into_iter().for_each(|named| {
            if !unique.contains(&named) {
                unique.push(named);
            }
        });
        let each = |part: &dyn Fn(&IdAndName<'_>) -> String| unique.iter().map(part).collect::<Vec<_>>();
        let page = |named: &IdAndName<'_>| format!("https://attack.mitre.org/{kind}/{}/", named.uid.replace('.', "/"));
        json!({"id": each(&|named| named.uid.to_owned()), "name": each(&|named| named.name.to_owned()),
               "reference": each(&page)})
    };
    let mut techniques = list("techniques", resolved.iter().map(|resolved| resolved.technique).collect());
    if let Some(technique) = techniques.as_object_mut() {
        let sub = resolved.iter().filter_map(|resolved| resolved.sub_technique).collect();
        technique.insert("subtechnique".to_owned(), list("techniques", sub));
    }
    json!({
        "framework": "MITRE ATT&CK",
        "tactic": list("tactics", resolved.iter().flat_map(|resolved| resolved.tactics.iter().copied()).collect()),
        "technique": techniques,
    })
}

/// Removes empty members, because in ECS an absent field means unknown. Returns whether anything is left.
fn prune(value: &mut Value) -> bool {
    match value {
        Value::Object(members) => {
            let mut kept = Map::new();
            for (name, mut member) in std::mem::take(members) {
                if prune(&mut member) {
                    kept.insert(name, member);
                }
            }
            *members = kept;
            !members.is_empty()
        }
        Value::Array(items) => {
            items.retain_mut(prune);
            !items.is_empty()
        }
        Value::String(text) => !text.is_empty(),
        Value::Null => false,
        _ => true,
    }
}
