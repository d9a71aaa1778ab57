//! Findings as documents of the Elastic Common Schema (ECS 8.17). What it has no field for stands under `labels`.

use serde_json::{Map, Value, json};

use super::attack::{AttackVersion, Named, Placed};
use super::report::{Report, instant};
use crate::rule::{Provider, Severity};

/// The version of ECS that documents are written after.
const ECS_VERSION: &str = "8.17.0";

/// Writes a finding.
pub(super) fn body(report: &Report<'_>, version: AttackVersion) -> String {
    let context = report.context;
    let last = report.events.last().map(|(_, event)| *event);
    let address = report.source_address().unwrap_or_default();
    let mut document = json!({
        "@timestamp": instant(report.times.1),
        "ecs": {"version": ECS_VERSION},
        "message": report.title,
        "event": {
            "kind": "alert",
            "category": ["configuration", "host"],
            "type": ["creation"],
            "outcome": "success",
            "module": "catena",
            "dataset": "catena.finding",
            "id": report.id,
            "start": instant(report.times.0),
            "end": instant(report.times.1),
            "severity": severity(report.severity),
            "action": last.map_or("", |event| event.action),
            "provider": last.map_or("", |event| event.service),
            "reason": report.confidence_reason,
        },
        "rule": {
            "id": report.rule,
            "name": report.title,
            "version": report.version.to_string(),
            "description": report.description,
            "ruleset": "catena",
        },
        "threat": threat(report, version),
        "cloud": {
            "provider": report.provider.as_str(),
            "region": context.region,
            "account": {"id": context.account},
            "service": {"name": last.map_or("", |event| event.service)},
            "instance": {"id": report.instances.first().copied().unwrap_or_default()},
        },
        "user": {"id": context.who(), "name": context.actor_name},
        "source": {"ip": address, "address": context.source},
        "related": {
            "user": [context.who()],
            "ip": [address],
            "hosts": report.instances,
        },
        "labels": {
            "identity": context.identity,
            "identity_from": context.identity_way,
            "scope": context.scope(),
            "level": context.level,
            "confidence": report.confidence.as_str(),
            "events": report.events.iter().map(|(_, event)| &*event.event_id).collect::<Vec<_>>().join(","),
            "resources": report.resources.iter().map(|(uid, _)| *uid).collect::<Vec<_>>().join(","),
            "status": if report.exception.is_some() { "suppressed" } else { "new" },
            "exception": report.exception.map_or("", |exception| &exception.id),
            "exception_reason": report.exception.map_or("", |exception| &exception.reason),
        },
    });
    if report.provider == Provider::Gcp
        && let Some(cloud) = document.get_mut("cloud").and_then(Value::as_object_mut)
    {
        cloud.insert("project".to_owned(), json!({"id": context.account}));
        cloud.insert("availability_zone".to_owned(), context.scope().into());
    }
    prune(&mut document);
    document.to_string()
}

/// ECS leaves the scale to whoever writes; this is that of Elastic's own rules (21, 47, 73, 99).
fn severity(severity: Severity) -> u8 {
    match severity {
        Severity::Informational => 1,
        Severity::Low => 21,
        Severity::Medium => 47,
        Severity::High => 73,
        Severity::Critical => 99,
    }
}

fn threat(report: &Report<'_>, version: AttackVersion) -> Value {
    let placed: Vec<_> = report.attack.iter().map(|attack| Placed::of(attack, version)).collect();
    let list = |kind: &str, named: Vec<Named<'_>>| {
        let mut unique: Vec<Named<'_>> = Vec::new();
        named.into_iter().for_each(|named| {
            if !unique.contains(&named) {
                unique.push(named);
            }
        });
        let each = |part: &dyn Fn(&Named<'_>) -> String| unique.iter().map(part).collect::<Vec<_>>();
        let page = |named: &Named<'_>| format!("https://attack.mitre.org/{kind}/{}/", named.uid.replace('.', "/"));
        json!({"id": each(&|named| named.uid.to_owned()), "name": each(&|named| named.name.to_owned()),
               "reference": each(&page)})
    };
    let mut techniques = list("techniques", placed.iter().map(|placed| placed.technique).collect());
    if let Some(technique) = techniques.as_object_mut() {
        let sub = placed.iter().filter_map(|placed| placed.sub_technique).collect();
        technique.insert("subtechnique".to_owned(), list("techniques", sub));
    }
    json!({
        "framework": "MITRE ATT&CK",
        "tactic": list("tactics", placed.iter().filter_map(|placed| placed.tactic).collect()),
        "technique": techniques,
    })
}

/// Takes out what is empty: in ECS an absent field says that something is not known.
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
