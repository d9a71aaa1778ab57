//! Findings as OCSF objects: class 2004, Detection Finding, profile `cloud` (OCSF schema 1.8.0).

use std::net::IpAddr;

use serde::Serialize;

use super::attack::AttackObject;
use super::{Evidence, STATE_PRESSURE};
use crate::chain::{Context, Pressure};
use crate::rule::{Confidence, ExceptionPlan, Provider, RulePlan, Severity};

/// The version of the OCSF schema that bodies are written after.
const OCSF_VERSION: &str = "1.8.0";

#[derive(Serialize)]
struct DetectionFinding<'a> {
    activity_id: u8,
    activity_name: &'static str,
    category_uid: u8,
    category_name: &'static str,
    class_uid: u16,
    class_name: &'static str,
    type_uid: u32,
    type_name: &'static str,
    /// The time of the last event: an engine without a clock cannot say when it found something.
    time: i64,
    start_time: i64,
    end_time: i64,
    severity_id: u8,
    severity: &'static str,
    confidence_id: u8,
    confidence: &'static str,
    status_id: u8,
    status: &'static str,
    /// The reason why it is suppressed.
    #[serde(skip_serializing_if = "Option::is_none")]
    status_detail: Option<&'a str>,
    is_alert: bool,
    message: &'a str,
    metadata: Metadata,
    finding_info: FindingInfo<'a>,
    cloud: Cloud<'a>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    resources: Vec<Resource<'a>>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    evidences: Vec<EvidenceObject<'a>>,
    unmapped: Unmapped<'a>,
}

impl<'a> DetectionFinding<'a> {
    /// A new finding.
    fn new(
        finding_info: FindingInfo<'a>,
        severity: Severity,
        confidence: Confidence,
        suppressed: Option<&'a str>,
    ) -> Self {
        let (severity_id, severity) = self::severity(severity);
        let (confidence_id, confidence) = self::confidence(confidence);
        let (status_id, status) = if suppressed.is_some() { (3, "Suppressed") } else { (1, "New") };
        Self {
            activity_id: 1,
            activity_name: "Create",
            category_uid: 2,
            category_name: "Findings",
            class_uid: 2004,
            class_name: "Detection Finding",
            type_uid: 200_401,
            type_name: "Detection Finding: Create",
            time: finding_info.last_seen_time,
            start_time: finding_info.first_seen_time,
            end_time: finding_info.last_seen_time,
            severity_id,
            severity,
            confidence_id,
            confidence,
            status_id,
            status,
            status_detail: suppressed,
            is_alert: true,
            message: finding_info.title,
            metadata: Metadata {
                version: OCSF_VERSION,
                product: Product { name: "Catena", vendor_name: "Catena", version: env!("CARGO_PKG_VERSION") },
                profiles: ["cloud"],
            },
            finding_info,
            cloud: Cloud { provider: "", region: "", account: None },
            resources: Vec::new(),
            evidences: Vec::new(),
            unmapped: Unmapped::default(),
        }
    }
}

/// What OCSF has no place for.
#[derive(Default, Serialize)]
struct Unmapped<'a> {
    /// Who is the same in all events.
    #[serde(skip_serializing_if = "str::is_empty")]
    identity: &'a str,
    /// By which way that was told.
    #[serde(skip_serializing_if = "str::is_empty")]
    identity_from: &'a str,
    /// Why the confidence is not higher.
    #[serde(skip_serializing_if = "str::is_empty")]
    confidence_reason: &'a str,
    /// The exception that suppresses the finding.
    #[serde(skip_serializing_if = "str::is_empty")]
    exception: &'a str,
}

#[derive(Serialize)]
struct Metadata {
    version: &'static str,
    product: Product,
    profiles: [&'static str; 1],
}

#[derive(Serialize)]
struct Product {
    name: &'static str,
    vendor_name: &'static str,
    version: &'static str,
}

#[derive(Serialize)]
struct FindingInfo<'a> {
    uid: &'a str,
    title: &'a str,
    #[serde(skip_serializing_if = "str::is_empty")]
    desc: &'a str,
    analytic: Analytic<'a>,
    attacks: Vec<AttackObject<'a>>,
    first_seen_time: i64,
    last_seen_time: i64,
    related_events: Vec<RelatedEvent<'a>>,
    related_events_count: usize,
}

#[derive(Serialize)]
struct Analytic<'a> {
    uid: &'a str,
    name: &'a str,
    version: String,
    type_id: u8,
    r#type: &'static str,
}

/// An event of the finding. `title` is the step's id.
#[derive(Serialize)]
struct RelatedEvent<'a> {
    uid: &'a str,
    title: &'a str,
    first_seen_time: i64,
}

#[derive(Serialize)]
struct Cloud<'a> {
    provider: &'static str,
    #[serde(skip_serializing_if = "str::is_empty")]
    region: &'a str,
    #[serde(skip_serializing_if = "Option::is_none")]
    account: Option<Account<'a>>,
}

#[derive(Serialize)]
struct Account<'a> {
    uid: &'a str,
}

#[derive(Serialize, PartialEq, Eq)]
struct Resource<'a> {
    uid: &'a str,
    #[serde(skip_serializing_if = "str::is_empty")]
    r#type: &'a str,
}

/// Who did one step, by which call and from where.
#[derive(Serialize)]
struct EvidenceObject<'a> {
    #[serde(skip_serializing_if = "Option::is_none")]
    actor: Option<Actor<'a>>,
    api: Api<'a>,
    #[serde(skip_serializing_if = "Option::is_none")]
    src_endpoint: Option<Endpoint<'a>>,
}

#[derive(Serialize)]
struct Actor<'a> {
    user: User<'a>,
}

#[derive(Serialize)]
struct User<'a> {
    #[serde(skip_serializing_if = "str::is_empty")]
    uid: &'a str,
    #[serde(skip_serializing_if = "str::is_empty")]
    name: &'a str,
    #[serde(skip_serializing_if = "str::is_empty")]
    r#type: &'a str,
    #[serde(skip_serializing_if = "Option::is_none")]
    account: Option<Account<'a>>,
}

#[derive(Serialize)]
struct Api<'a> {
    operation: &'a str,
    service: Service<'a>,
}

#[derive(Serialize)]
struct Service<'a> {
    name: &'a str,
}

#[derive(Serialize)]
#[serde(rename_all = "snake_case")]
enum Endpoint<'a> {
    Ip(&'a str),
    Domain(&'a str),
    Name(&'a str),
}

/// Writes a finding. `each` is the bound name and value that it is made for, where the rule makes one for each value.
pub(super) fn body(
    id: &str,
    rule: &RulePlan,
    evidence: &[Evidence<'_>],
    each: Option<(&str, &str)>,
    exception: Option<&ExceptionPlan>,
) -> String {
    let first = evidence.iter().map(|evidence| evidence.time).min().unwrap_or_default();
    let last = evidence.iter().map(|evidence| evidence.time).max().unwrap_or_default();
    let exception = exception.map(|exception| &exception.exception);
    let suppressed = exception.map(|exception| &*exception.reason);
    let context = evidence.last().map_or(Context::default(), |last| last.context);
    let info = FindingInfo {
        uid: id,
        title: &rule.rule.title,
        desc: &rule.rule.description,
        analytic: Analytic {
            uid: &rule.rule.id,
            name: &rule.rule.title,
            version: rule.rule.version.to_string(),
            type_id: 1,
            r#type: "Rule",
        },
        attacks: rule.rule.attack.iter().map(AttackObject::of).collect(),
        first_seen_time: first,
        last_seen_time: last,
        related_events: evidence.iter().map(|evidence| related_event(rule, evidence)).collect(),
        related_events_count: evidence.len(),
    };
    let finding = DetectionFinding {
        cloud: cloud(evidence),
        resources: resources(rule, evidence, each),
        evidences: evidence.iter().map(evidence_object).collect(),
        unmapped: Unmapped {
            identity: context.identity,
            identity_from: context.identity_way,
            confidence_reason: &rule.rule.confidence_reason,
            exception: exception.map_or("", |exception| &exception.id),
        },
        ..DetectionFinding::new(info, rule.rule.severity, rule.rule.confidence, suppressed)
    };
    serde_json::to_string(&finding).unwrap_or_default()
}

/// Writes the finding that events had to be given up for those of an identity.
pub(super) fn pressure(id: &str, pressure: &Pressure, provider: Provider, time: i64) -> String {
    const TITLE: &str = "Correlation state under pressure: pending events were given up";
    let desc = match pressure.own {
        true => {
            "One identity makes more calls that chains are made of than are kept for it. Its oldest were given up, so \
                 chains of this identity may be missed. Flooding is a way to hide."
        }
        false => {
            "There are more pending events than are kept in all. Those that would have expired first were given up, \
                  so chains of any identity may be missed."
        }
    };
    let info = FindingInfo {
        uid: id,
        title: TITLE,
        desc,
        analytic: Analytic { uid: STATE_PRESSURE, name: TITLE, version: "1".to_owned(), type_id: 1, r#type: "Rule" },
        attacks: Vec::new(),
        first_seen_time: time,
        last_seen_time: time,
        related_events: Vec::new(),
        related_events_count: 0,
    };
    let finding = DetectionFinding {
        cloud: Cloud { provider: name_of(provider), region: "", account: None },
        unmapped: Unmapped { identity: &pressure.identity, ..Unmapped::default() },
        ..DetectionFinding::new(info, Severity::Medium, Confidence::High, None)
    };
    serde_json::to_string(&finding).unwrap_or_default()
}

/// OCSF's `severity_id` and `severity`.
fn severity(severity: Severity) -> (u8, &'static str) {
    match severity {
        Severity::Informational => (1, "Informational"),
        Severity::Low => (2, "Low"),
        Severity::Medium => (3, "Medium"),
        Severity::High => (4, "High"),
        Severity::Critical => (5, "Critical"),
    }
}

/// OCSF's `confidence_id` and `confidence`.
fn confidence(confidence: Confidence) -> (u8, &'static str) {
    match confidence {
        Confidence::Low => (1, "Low"),
        Confidence::Medium => (2, "Medium"),
        Confidence::High => (3, "High"),
    }
}

fn related_event<'a>(rule: &'a RulePlan, evidence: &'a Evidence<'_>) -> RelatedEvent<'a> {
    let title = rule.rule.steps.get(evidence.step.position).map_or("", |step| &step.id);
    RelatedEvent { uid: &evidence.event_id, title, first_seen_time: evidence.time }
}

/// Where the last step happened.
fn cloud<'a>(evidence: &[Evidence<'a>]) -> Cloud<'a> {
    let last = evidence.last();
    let context = last.map_or(Context::default(), |last| last.context);
    let provider = last.map_or("", |last| name_of(last.step.provider));
    Cloud { provider, region: context.region, account: account(context.account) }
}

fn name_of(provider: Provider) -> &'static str {
    match provider {
        Provider::Aws => "AWS",
        Provider::Azure => "Azure",
        Provider::Gcp => "GCP",
    }
}

fn account(uid: &str) -> Option<Account<'_>> {
    (!uid.is_empty()).then_some(Account { uid })
}

/// What the rule lists of the values that its steps bind, each once, in the order of the steps.
fn resources<'a>(rule: &'a RulePlan, evidence: &'a [Evidence<'_>], each: Option<(&str, &str)>) -> Vec<Resource<'a>> {
    let mut resources = Vec::new();
    for (binding, values) in evidence.iter().flat_map(|evidence| &evidence.values) {
        let Some(kind) = rule.rule.resources.get(&*binding.name) else { continue };
        let only = each.filter(|(name, _)| **name == *binding.name).map(|(_, value)| value);
        for uid in values.iter().filter(|value| only.is_none_or(|only| *only == ***value)) {
            let resource = Resource { uid, r#type: kind };
            if !resources.contains(&resource) {
                resources.push(resource);
            }
        }
    }
    resources
}

fn evidence_object<'a>(evidence: &Evidence<'a>) -> EvidenceObject<'a> {
    let context = evidence.context;
    let user = User {
        uid: context.who(),
        name: context.actor_name,
        r#type: context.actor_kind,
        account: account(context.actor_account),
    };
    // OCSF asks for one of these three.
    let known = !user.uid.is_empty() || !user.name.is_empty() || user.account.is_some();
    EvidenceObject {
        actor: known.then_some(Actor { user }),
        api: Api { operation: evidence.action, service: Service { name: evidence.service } },
        src_endpoint: endpoint(context.source),
    }
}

/// An address, a service's host name (`autoscaling.amazonaws.com`), or whatever else stands in its place.
fn endpoint(source: &str) -> Option<Endpoint<'_>> {
    if source.is_empty() {
        return None;
    }
    let host = source.contains('.') && source.bytes().all(|byte| byte.is_ascii_alphanumeric() || b".-".contains(&byte));
    Some(match source.parse::<IpAddr>() {
        Ok(_) => Endpoint::Ip(source),
        Err(_) if host => Endpoint::Domain(source),
        Err(_) => Endpoint::Name(source),
    })
}
