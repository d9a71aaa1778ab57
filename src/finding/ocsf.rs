//! Findings as OCSF objects: Detection Finding (class 2004) with the profile `cloud`, OCSF schema 1.8.0.

use std::net::IpAddr;

use super::Evidence;
use super::format::{AnnotationForm, Format, Prepared};
use super::json_text::JsonText;
use super::report::{Report, RuleFacts};
use crate::event::cloud_of;
use crate::vocab::{AttackVersion, CallOutcome, Confidence, IdAndName, ResolvedTechnique, Severity, Timestamp};

pub(super) const FORMAT: Format = Format { prepare, body, annotation: ANNOTATION };

/// The version of the OCSF schema.
const OCSF_VERSION: &str = "1.8.0";

/// Of a rule: severity and confidence; the title; the rest of `finding_info` that is about the rule; the reason why the
/// confidence is not high.
const LEVELS: usize = 0;
const TITLE: usize = 1;
const INFO: usize = 2;
const REASON: usize = 3;

fn prepare(rule: &RuleFacts<'_>, version: AttackVersion) -> Prepared {
    let mut levels = JsonText::default();
    let (severity_id, severity) = severity(rule.severity);
    let (confidence_id, confidence) = confidence(rule.confidence);
    levels.raw(r#","severity_id":"#).number(severity_id).raw(r#","severity":"#).text(severity);
    levels.raw(r#","confidence_id":"#).number(confidence_id).raw(r#","confidence":"#).text(confidence);
    let mut title = JsonText::default();
    title.text(rule.title);
    let mut info = JsonText::default();
    info.raw(r#","title":"#).text(rule.title).member(r#","desc":"#, rule.description);
    info.raw(r#","analytic":{"uid":"#).text(rule.id).raw(r#","name":"#).text(rule.title);
    info.raw(r#","version":"#).text(&rule.version.to_string()).raw(r#","type_id":1,"type":"Rule"},"attacks":"#);
    // One object for each tactic, because the list of tactics in one object is deprecated (OCSF 1.8, `attack.tactics`).
    let attacks = rule.attack.iter().flat_map(|attack| {
        let resolved = ResolvedTechnique::of(attack, version);
        let tactics = resolved.tactics.iter().copied().map(Some).collect::<Vec<_>>();
        let tactics = if tactics.is_empty() { vec![None] } else { tactics };
        tactics.into_iter().map(move |tactic| (tactic, resolved.technique, resolved.sub_technique))
    });
    info.list(attacks, |json, (tactic, technique, sub_technique)| {
        json.raw(r#"{"version":"#).text(version.as_str());
        if let Some(tactic) = tactic {
            json.raw(r#","tactic":"#);
            id_and_name(json, tactic);
        }
        json.raw(r#","technique":{"uid":"#).text(technique.uid).member(r#","name":"#, technique.name).raw("}");
        if let Some(sub_technique) = sub_technique {
            json.raw(r#","sub_technique":"#);
            id_and_name(json, sub_technique);
        }
        json.raw("}");
    });
    let mut reason = JsonText::default();
    reason.member(r#","confidence_reason":"#, rule.confidence_reason);
    Prepared([levels, title, info, reason].map(JsonText::into_string).into())
}

fn id_and_name(json: &mut JsonText, IdAndName { uid, name }: IdAndName<'_>) {
    json.raw(r#"{"uid":"#).text(uid).raw(r#","name":"#).text(name).raw("}");
}

/// Writes a finding: a `detection_finding`.
fn body(report: &Report<'_>, prepared: &Prepared, _: AttackVersion) -> String {
    let (first_seen, last_seen) = (report.first_seen.as_millis(), report.last_seen.as_millis());
    let mut json = JsonText::with_capacity(2_048);
    json.raw(match report.further {
        None => r#"{"activity_id":1,"activity_name":"Create""#,
        Some(_) => r#"{"activity_id":2,"activity_name":"Update""#,
    });
    json.raw(r#","category_uid":2,"category_name":"Findings","class_uid":2004,"class_name":"Detection Finding""#);
    json.raw(match report.further {
        None => r#","type_uid":200401,"type_name":"Detection Finding: Create""#,
        Some(_) => r#","type_uid":200402,"type_name":"Detection Finding: Update""#,
    });
    // Without a clock, the engine cannot report when it made the finding: its time is that of the last event.
    json.raw(r#","time":"#).number(last_seen);
    json.raw(r#","start_time":"#).number(first_seen).raw(r#","end_time":"#).number(last_seen);
    json.raw(prepared.get(LEVELS));
    match report.exception {
        None => json.raw(r#","status_id":1,"status":"New","is_alert":true"#),
        Some(exception) => json
            .raw(r#","status_id":3,"status":"Suppressed","status_detail":"#)
            .text(&exception.reason)
            .raw(r#","is_alert":false"#),
    };
    // Of an update, the number of events that completed the finding, the first included.
    if let Some(further) = report.further {
        json.raw(r#","count":"#).number(further.saturating_add(1));
    }
    json.raw(r#","message":"#).raw(prepared.get(TITLE));
    json.raw(r#","metadata":{"version":"#).text(OCSF_VERSION);
    json.raw(concat!(
        r#","product":{"name":"Catena","vendor_name":"Catena","version":""#,
        env!("CARGO_PKG_VERSION"),
        r#""},"profiles":["cloud"]}"#
    ));
    json.raw(r#","finding_info":{"uid":"#).text(report.id).raw(prepared.get(INFO));
    json.raw(r#","first_seen_time":"#).number(first_seen).raw(r#","last_seen_time":"#).number(last_seen);
    json.raw(r#","related_events":"#)
        .list(report.events.iter(), |json, (step, event)| related_event(json, step, event));
    json.raw(r#","related_events_count":"#).number(report.events.len() as u64).raw("}");
    json.raw(r#","cloud":{"provider":"#).text(cloud_of(report.provider).label);
    json.member(r#","region":"#, report.attribution.region);
    account(&mut json, report.attribution.account);
    json.raw("}");
    if !report.resources.is_empty() {
        json.raw(r#","resources":"#).list(report.resources.iter(), |json, (uid, kind)| {
            json.raw(r#"{"uid":"#).text(uid).member(r#","type":"#, kind).raw("}");
        });
    }
    if !report.events.is_empty() {
        json.raw(r#","evidences":"#).list(report.events.iter(), |json, (_, event)| evidence(json, event));
    }
    unmapped(&mut json, report, prepared);
    json.raw("}");
    json.into_string()
}

/// A `related_event`: an event of the finding. Its title is the step's id.
fn related_event(json: &mut JsonText, step: &str, event: &Evidence<'_>) {
    json.raw(r#"{"uid":"#).text(&event.event_id).raw(r#","title":"#).text(step);
    json.raw(r#","first_seen_time":"#).number(Timestamp::from_event_time(event.time).as_millis());
    json.raw(match event.outcome {
        CallOutcome::Success => r#","status":"Success"}"#,
        CallOutcome::Failure => r#","status":"Failure"}"#,
        CallOutcome::Unknown => r#","status":"Unknown"}"#,
    });
}

/// The `account` member of an object that has other members, unless it is unknown.
fn account(json: &mut JsonText, uid: &str) {
    if !uid.is_empty() {
        json.raw(r#","account":{"uid":"#).text(uid).raw("}");
    }
}

/// An `evidences` object: the caller, the call and the source of one step.
fn evidence(json: &mut JsonText, event: &Evidence<'_>) {
    let attribution = &event.attribution;
    let user = [
        (r#""uid":"#, attribution.caller_or_identity()),
        (r#""name":"#, attribution.actor_name),
        (r#""type":"#, attribution.actor_kind),
    ];
    let [(_, uid), (_, name), _] = user;
    json.raw("{");
    // OCSF requires at least one of these three.
    if !uid.is_empty() || !name.is_empty() || !attribution.actor_account.is_empty() {
        json.raw(r#""actor":{"user":{"#);
        let mut before = "";
        for (member, value) in user.into_iter().filter(|(_, value)| !value.is_empty()) {
            json.raw(before).raw(member).text(value);
            before = ",";
        }
        if !attribution.actor_account.is_empty() {
            json.raw(before).raw(r#""account":{"uid":"#).text(attribution.actor_account).raw("}");
        }
        json.raw("}},");
    }
    json.raw(r#""api":{"operation":"#).text(event.action).raw(r#","service":{"name":"#).text(event.service).raw("}}");
    if let Some((kind, source)) = endpoint(attribution.source) {
        json.raw(r#","src_endpoint":{"#).raw(kind).text(source).raw("}");
    }
    if !attribution.user_agent.is_empty() {
        json.raw(r#","http_request":{"user_agent":"#).text(attribution.user_agent).raw("}");
    }
    json.raw("}");
}

/// The values that have no OCSF attribute: the identity that all events share, and the columns of the published query.
fn unmapped(json: &mut JsonText, report: &Report<'_>, prepared: &Prepared) {
    let attribution = &report.attribution;
    let mut values = JsonText::default();
    values.member(r#","identity":"#, attribution.identity);
    values.member(r#","identity_from":"#, attribution.identity_key);
    values.raw(prepared.get(REASON));
    values.member(r#","exception":"#, report.exception.map_or("", |exception| &exception.id));
    if report.omitted > 0 {
        values.raw(r#","omitted_resources":"#).number(report.omitted as u64);
    }
    if !report.events.is_empty() {
        let columns = report.columns();
        values.raw(r#","TimeGenerated":"#).text(&columns.time_generated);
        values.raw(r#","CloudProvider":"#).text(columns.cloud_provider);
        values.raw(r#","Actor":"#).text(columns.actor).raw(r#","SourceIP":"#).text(columns.source_ip);
        values.raw(r#","InstanceIdentifier":"#).text(&columns.instance_identifier);
        values.raw(r#","Scope":"#).text(columns.scope).raw(r#","AccountScope":"#).text(columns.account_scope);
        values.raw(r#","Level":"#).text(columns.level);
    }
    let values = values.into_string();
    json.raw(r#","unmapped":{"#).raw(values.strip_prefix(',').unwrap_or_default()).raw("}");
}

/// `{"analytic": {"uid": …}, "step": …, "finding_info": [{"uid": …}]}`.
const ANNOTATION: AnnotationForm = AnnotationForm {
    rule: r#"{"analytic":{"uid":""#,
    step: r#""},"step":""#,
    findings: r#"","finding_info":["#,
    finding: [r#"{"uid":""#, "\"}"],
    end: "]}",
};

/// OCSF's `severity_id` and `severity`.
fn severity(severity: Severity) -> (u64, &'static str) {
    let name = match severity {
        Severity::Informational => "Informational",
        Severity::Low => "Low",
        Severity::Medium => "Medium",
        Severity::High => "High",
        Severity::Critical => "Critical",
    };
    (severity.id().into(), name)
}

/// OCSF's `confidence_id` and `confidence`.
pub(super) fn confidence(confidence: Confidence) -> (u64, &'static str) {
    match confidence {
        Confidence::Low => (1, "Low"),
        Confidence::Medium => (2, "Medium"),
        Confidence::High => (3, "High"),
    }
}

/// The source, with the attribute of a `network_endpoint` that it is: an IP address, a service's host name
/// (`autoscaling.amazonaws.com`), or any other name.
fn endpoint(source: &str) -> Option<(&'static str, &str)> {
    if source.is_empty() {
        return None;
    }
    let host = source.contains('.') && source.bytes().all(|byte| byte.is_ascii_alphanumeric() || b".-".contains(&byte));
    let kind = match source.parse::<IpAddr>() {
        Ok(_) => r#""ip":"#,
        Err(_) if host => r#""domain":"#,
        Err(_) => r#""name":"#,
    };
    Some((kind, source))
}
