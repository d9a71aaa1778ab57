//! Findings as OCSF objects: Detection Finding (class 2004) with the profile `cloud`, OCSF schema 1.8.0.

use std::net::IpAddr;

use serde::Serialize;

use super::Evidence;
use super::format::{AnnotationForm, Format};
use super::report::{Columns, Report};
use crate::event::cloud_of;
use crate::util::invariant::Invariant as _;
use crate::vocab::{Attack, AttackVersion, CallOutcome, Confidence, IdAndName, ResolvedTechnique, Severity, Timestamp};

pub(super) const FORMAT: Format = Format { body, annotation: ANNOTATION };

/// The version of the OCSF schema.
const OCSF_VERSION: &str = "1.8.0";

/// OCSF's `detection_finding` class.
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
    /// The time of the last event: without a clock, the engine cannot report when it made the finding. All times in ms.
    time: u64,
    start_time: u64,
    end_time: u64,
    severity_id: u8,
    severity: &'static str,
    confidence_id: u8,
    confidence: &'static str,
    status_id: u8,
    status: &'static str,
    /// The reason for the suppression.
    #[serde(skip_serializing_if = "Option::is_none")]
    status_detail: Option<&'a str>,
    is_alert: bool,
    /// For an update: the number of events that completed the finding, the first included.
    #[serde(skip_serializing_if = "Option::is_none")]
    count: Option<u64>,
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
    /// A finding without cloud, resources, evidences and unmapped values.
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
            is_alert: suppressed.is_none(),
            count: None,
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

/// Values that have no OCSF attribute.
#[derive(Default, Serialize)]
struct Unmapped<'a> {
    /// The identity that all events share.
    #[serde(skip_serializing_if = "str::is_empty")]
    identity: &'a str,
    /// The key that the identity was read from.
    #[serde(skip_serializing_if = "str::is_empty")]
    identity_from: &'a str,
    /// Why the confidence is not high.
    #[serde(skip_serializing_if = "str::is_empty")]
    confidence_reason: &'a str,
    /// The exception that suppresses the finding.
    #[serde(skip_serializing_if = "str::is_empty")]
    exception: &'a str,
    /// The number of resources that are not listed.
    #[serde(skip_serializing_if = "Option::is_none")]
    omitted_resources: Option<usize>,
    /// The columns of the published query.
    #[serde(flatten)]
    columns: Option<Columns<'a>>,
}

/// OCSF's `attack` object.
#[derive(Serialize)]
struct AttackObject<'a> {
    version: &'static str,
    #[serde(skip_serializing_if = "Option::is_none")]
    tactic: Option<IdAndName<'a>>,
    technique: Technique<'a>,
    #[serde(skip_serializing_if = "Option::is_none")]
    sub_technique: Option<IdAndName<'a>>,
}

/// OCSF's `technique` object.
#[derive(Serialize)]
struct Technique<'a> {
    uid: &'a str,
    #[serde(skip_serializing_if = "str::is_empty")]
    name: &'a str,
}

impl<'a> AttackObject<'a> {
    /// One object for each tactic, because the list of tactics in one object is deprecated (OCSF 1.8, `attack.tactics`).
    fn of(attack: &'a Attack, version: AttackVersion) -> Vec<Self> {
        let ResolvedTechnique { tactics, technique: IdAndName { uid, name }, sub_technique } =
            ResolvedTechnique::of(attack, version);
        let of_tactic =
            |tactic| Self { version: version.as_str(), tactic, technique: Technique { uid, name }, sub_technique };
        if tactics.is_empty() {
            return vec![of_tactic(None)];
        }
        tactics.into_iter().map(Some).map(of_tactic).collect()
    }
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
    first_seen_time: u64,
    last_seen_time: u64,
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

/// OCSF's `related_event` object: an event of the finding. `title` is the step's id.
#[derive(Serialize)]
struct RelatedEvent<'a> {
    uid: &'a str,
    title: &'a str,
    first_seen_time: u64,
    /// How the call ended.
    status: &'static str,
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

/// OCSF's `evidences` object: the caller, the call and the source of one step.
#[derive(Serialize)]
struct EvidenceObject<'a> {
    #[serde(skip_serializing_if = "Option::is_none")]
    actor: Option<Actor<'a>>,
    api: Api<'a>,
    #[serde(skip_serializing_if = "Option::is_none")]
    src_endpoint: Option<Endpoint<'a>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    http_request: Option<HttpRequest<'a>>,
}

#[derive(Serialize)]
struct HttpRequest<'a> {
    user_agent: &'a str,
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

/// OCSF's `network_endpoint` object, with one of its attributes.
#[derive(Serialize)]
#[serde(rename_all = "snake_case")]
enum Endpoint<'a> {
    Ip(&'a str),
    Domain(&'a str),
    Name(&'a str),
}

/// Writes a finding.
fn body(report: &Report<'_>, version: AttackVersion) -> String {
    let suppressed = report.exception.map(|exception| &*exception.reason);
    let attribution = report.attribution;
    let info = FindingInfo {
        uid: report.id,
        title: report.title,
        desc: report.description,
        analytic: Analytic {
            uid: report.rule,
            name: report.title,
            version: report.version.to_string(),
            type_id: 1,
            r#type: "Rule",
        },
        attacks: report.attack.iter().flat_map(|attack| AttackObject::of(attack, version)).collect(),
        first_seen_time: millis(report.first_seen),
        last_seen_time: millis(report.last_seen),
        related_events: report
            .events
            .iter()
            .map(|(step, event)| RelatedEvent {
                uid: &event.event_id,
                title: step,
                first_seen_time: millis(Timestamp::from_event_time(event.time)),
                status: match event.outcome {
                    CallOutcome::Success => "Success",
                    CallOutcome::Failure => "Failure",
                    CallOutcome::Unknown => "Unknown",
                },
            })
            .collect(),
        related_events_count: report.events.len(),
    };
    let (activity_id, activity_name, type_uid, type_name) = match report.further {
        None => (1, "Create", 200_401, "Detection Finding: Create"),
        Some(_) => (2, "Update", 200_402, "Detection Finding: Update"),
    };
    let finding = DetectionFinding {
        activity_id,
        activity_name,
        type_uid,
        type_name,
        count: report.further.map(|further| further.saturating_add(1)),
        cloud: Cloud {
            provider: cloud_of(report.provider).label,
            region: attribution.region,
            account: account(attribution.account),
        },
        resources: report.resources.iter().map(|(uid, kind)| Resource { uid, r#type: kind }).collect(),
        evidences: report.events.iter().map(|(_, event)| evidence_object(event)).collect(),
        unmapped: Unmapped {
            identity: attribution.identity,
            identity_from: attribution.identity_key,
            confidence_reason: report.confidence_reason,
            exception: report.exception.map_or("", |exception| &exception.id),
            omitted_resources: Some(report.omitted).filter(|omitted| *omitted > 0),
            columns: (!report.events.is_empty()).then(|| report.columns()),
        },
        ..DetectionFinding::new(info, report.severity, report.confidence, suppressed)
    };
    serde_json::to_string(&finding).invariant("a finding is JSON")
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
pub(super) fn confidence(confidence: Confidence) -> (u8, &'static str) {
    match confidence {
        Confidence::Low => (1, "Low"),
        Confidence::Medium => (2, "Medium"),
        Confidence::High => (3, "High"),
    }
}

fn millis(time: Timestamp) -> u64 {
    time.as_millis()
}

fn account(uid: &str) -> Option<Account<'_>> {
    (!uid.is_empty()).then_some(Account { uid })
}

fn evidence_object<'a>(evidence: &Evidence<'a>) -> EvidenceObject<'a> {
    let attribution = evidence.attribution;
    let user = User {
        uid: attribution.caller_or_identity(),
        name: attribution.actor_name,
        r#type: attribution.actor_kind,
        account: account(attribution.actor_account),
    };
    // OCSF requires at least one of these three.
    let known = !user.uid.is_empty() || !user.name.is_empty() || user.account.is_some();
    EvidenceObject {
        actor: known.then_some(Actor { user }),
        api: Api { operation: evidence.action, service: Service { name: evidence.service } },
        src_endpoint: endpoint(attribution.source),
        http_request: Some(HttpRequest { user_agent: attribution.user_agent })
            .filter(|request| !request.user_agent.is_empty()),
    }
}

/// The source as an IP address, a service's host name (`autoscaling.amazonaws.com`), or any other name.
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
