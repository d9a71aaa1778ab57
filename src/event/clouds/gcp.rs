//! GCP audit log entries (Cloud Logging reference, "LogEntry" and "AuditLog"), and rows of Microsoft Sentinel's table
//! `GCPAuditLogs`.
//!
//! A long-running operation has two entries: the first holds the request, the last the result.

use std::borrow::Cow;

use super::super::cloud::{Alias, Cloud, Embedded, Recognition, alias};
use super::super::fields::fields;
use super::super::projection::FieldSlots;
use super::super::{Actor, Event, Values, resource_part, timestamp};
use crate::scan::{ActionKey, ContainerMembers, ExpectedValue, MAX_VERSION};
use crate::vocab::{CallOutcome, Provider};

/// The GCP cloud.
pub(super) static GCP: Cloud = Cloud {
    provider: Provider::Gcp,
    label: "GCP",
    fields: FIELDS,
    aliases: ALIASES,
    embedded: EMBEDDED,
    names_ignore_case: &[],
    action_keys: &[
        ActionKey { name: "methodName", expected: ExpectedValue::VersionedAction },
        ActionKey { name: "method_name", expected: ExpectedValue::VersionedAction },
    ],
    containers: ContainerMembers {
        // Pub/Sub, pull and push.
        lists: &["receivedMessages"],
        before_lists: &[],
        envelopes: &["message", "subscription", "deliveryAttempt", "ackId"],
    },
    actions_ignore_case: false,
    multi_record_operations: false,
    accounts_are_projects: true,
    sentinel_resource_entity: None,
    recognise,
};

fields! {
    Payload = "protoPayload",
    Method = "protoPayload.methodName",
    EcsAction = "event.action",
    EcsType = "event.type[]",
    EcsId = "eventID",
    EcsAddress = "callerIpAddress",
    EcsUserAgent = "userAgent",
    Service = "protoPayload.serviceName",
    Resource = "protoPayload.resourceName",
    Email = "protoPayload.authenticationInfo.principalEmail",
    Subject = "protoPayload.authenticationInfo.principalSubject",
    Address = "protoPayload.requestMetadata.callerIp",
    UserAgent = "protoPayload.requestMetadata.callerSuppliedUserAgent",
    StatusCode = "protoPayload.status.code",
    Response = "protoPayload.response",
    RequestName = "protoPayload.request.name",
    InsertId = "insertId",
    Timestamp = "timestamp",
    Severity = "severity",
    Project = "resource.labels.project_id",
    Zone = "resource.labels.zone",
    First = "operation.first",
    Last = "operation.last",
    Phase = "phase",
    Snapshot = "snapshot",
    Instance = "instance",
    InstanceId = "resource.labels.instance_id",
    SnapshotId = "resource.labels.snapshot_id",
    DiskId = "resource.labels.disk_id",
    ImageId = "resource.labels.image_id",
    ResourceById = "resourceById",
}

const ALIASES: &[Alias] = &[
    // Pub/Sub, push and pull.
    alias(&["message", "data"], "data"),
    alias(&["protoPayload", "requestMetadata", "callerIP"], "protoPayload.requestMetadata.callerIp"),
    // Rows of a BigQuery sink (Cloud Logging, "View logs in BigQuery", fields of audit logs).
    alias(&["protopayload_auditlog"], "protoPayload"),
    alias(&["protoPayload", "requestJson"], "protoPayload.request"),
    alias(&["protoPayload", "responseJson"], "protoPayload.response"),
    // Table columns.
    alias(&["MethodName"], "protoPayload.methodName"),
    alias(&["ServiceName"], "protoPayload.serviceName"),
    alias(&["GCPResourceName"], "protoPayload.resourceName"),
    alias(&["PrincipalEmail"], "protoPayload.authenticationInfo.principalEmail"),
    alias(&["AuthenticationInfo"], "protoPayload.authenticationInfo"),
    alias(&["RequestMetadata"], "protoPayload.requestMetadata"),
    alias(&["Request"], "protoPayload.request"),
    alias(&["Response"], "protoPayload.response"),
    alias(&["Status"], "protoPayload.status"),
    alias(&["InsertId"], "insertId"),
    alias(&["Timestamp"], "timestamp"),
    alias(&["ProjectId"], "resource.labels.project_id"),
    alias(&["Severity"], "severity"),
    alias(&["ResourceLocation", "currentLocations"], "resource.labels.zone"),
];

const EMBEDDED: &[(&str, Embedded)] = &[
    ("protoPayload.authenticationInfo", Embedded::Json),
    ("protoPayload.requestMetadata", Embedded::Json),
    ("protoPayload.request", Embedded::Json),
    ("protoPayload.response", Embedded::Json),
    ("protoPayload.status", Embedded::Json),
    ("ResourceLocation", Embedded::Json),
];

/// Builds an event from a record's values.
fn recognise<'a>(mut values: Values<'a>, slots: FieldSlots<'_>) -> Recognition<'a> {
    let of_ecs = || values.text(slots.of(Field::EcsAction)).filter(|_| values.exists(slots.of(Field::Payload)));
    let Some(method) = values.text(slots.of(Field::Method)).or_else(of_ecs) else {
        return Recognition::Unknown(values);
    };
    let action = without_version(&method).to_owned();
    let project = values.text(slots.of(Field::Project));
    values.rewrite(|text| resource_name(text, project.as_deref()));
    let text = |field: Field| values.text(slots.of(field));
    let or_empty = |field: Field| text(field).unwrap_or(Cow::Borrowed(""));
    let failed = text(Field::StatusCode).is_some_and(|code| code != "0") || or_empty(Field::Severity) == "ERROR";
    let is = |field: Field| text(field).is_some_and(|flag| flag == "true");
    let is_of_type = |name: &str| values.all(slots.of(Field::EcsType)).eq([name]);
    let is_row = slots.common(&values).is_table_row();
    let phase = match (is(Field::First), is(Field::Last)) {
        (true, false) => "first",
        (false, true) => "last",
        // Elastic writes the operation's entries as the start and the end of an event.
        (false, false) if is_of_type("start") => "first",
        (false, false) if is_of_type("end") => "last",
        // The table has no column for the operation, but only the first entry has a response.
        (false, false) if is_row && values.exists(slots.of(Field::Response)) => "first",
        (false, false) if is_row => "last",
        _ => "only",
    };
    let resource = or_empty(Field::Resource);
    let project = project
        .unwrap_or_else(|| resource_part(&resource, "projects/").map_or("".into(), |part| part.to_owned().into()));
    let zone = text(Field::Zone)
        .or_else(|| resource_part(&resource, "/zones/").map(|zone| Cow::Owned(zone.to_owned())))
        .unwrap_or_default();
    let snapshot = match &*action {
        "compute.disks.createSnapshot" | "compute.regionDisks.createSnapshot" => {
            text(Field::RequestName).map(|name| format!("projects/{project}/global/snapshots/{name}"))
        }
        "compute.snapshots.insert" => Some(resource.clone().into_owned()),
        _ => None,
    };
    let instance = text(Field::InstanceId).unwrap_or_else(|| resource.clone());
    // A request may refer to a resource by its numeric id in place of its name.
    let numeric = [Field::SnapshotId, Field::DiskId, Field::ImageId].into_iter().find_map(text);
    let resource_by_id = numeric.zip(resource.rsplit_once('/')).and_then(|(id, (place, name))| {
        let of_kind = ["snapshots", "disks", "images"].iter().any(|kind| place.ends_with(kind));
        (of_kind && name != id).then(|| format!("{place}/{id}"))
    });
    let email = text(Field::Email).or_else(|| text(Field::Subject)).unwrap_or_default();
    let insert_id = text(Field::InsertId).or_else(|| text(Field::EcsId));
    let time = timestamp::parse_event_time(text(Field::Timestamp).or_else(|| slots.common(&values).time()));
    let event = Event {
        provider: Provider::Gcp,
        form: slots.common(&values).form(),
        service: text(Field::Service).unwrap_or(Cow::Borrowed("compute.googleapis.com")),
        action: action.into(),
        outcome: if failed { CallOutcome::Failure } else { CallOutcome::Success },
        // An insert id is unique among the entries of one time. The time is not taken as text, because exports rewrite it.
        id: insert_id.map(|id| format!("{id} {}", time.as_ref().map_or(0, |time| *time)).into()),
        time,
        operation: None,
        account: project,
        actor: Actor { caller: email.clone(), principal_id: or_empty(Field::Subject), name: email, ..Actor::default() },
        region: zone.rsplit_once('-').map_or("".into(), |(region, _)| region.to_owned().into()),
        scope: zone,
        source: text(Field::Address).unwrap_or_else(|| or_empty(Field::EcsAddress)),
        user_agent: text(Field::UserAgent).unwrap_or_else(|| or_empty(Field::EcsUserAgent)),
        level: or_empty(Field::Severity),
        values: Values::default(),
    };
    values.set(slots.of(Field::Phase), phase);
    if let Some(resource) = resource_by_id {
        values.set(slots.of(Field::ResourceById), resource);
    }
    values.set(slots.of(Field::Instance), instance);
    if let Some(snapshot) = snapshot {
        values.set(slots.of(Field::Snapshot), snapshot);
    }
    Recognition::Call(Event { values, ..event })
}

/// A method without the API version: `v1.`, `beta.`, `alpha.`.
fn without_version(method: &str) -> &str {
    match method.split_once('.') {
        Some((version, rest)) if rest.starts_with("compute.") && is_version(version) => rest,
        _ => method,
    }
}

/// Whether `name` may be an API version: at most [`MAX_VERSION`] ASCII letters and digits.
fn is_version(name: &str) -> bool {
    name.len() <= MAX_VERSION && name.bytes().all(|byte| byte.is_ascii_alphanumeric())
}

/// The canonical form of a resource name: without the host and the API's version, with the project, and with the
/// project id instead of the project number. `None` if the text is already canonical or is not a resource name.
fn resource_name(text: &str, project: Option<&str>) -> Option<String> {
    let decoded = decode_colon(text);
    let full = decoded.as_deref().unwrap_or(text);
    let name = without_host(full).unwrap_or(full);
    if let Some(rest) = name.strip_prefix("projects/") {
        let (owner, rest) = rest.split_once('/')?;
        return match project {
            Some(project) if owner.bytes().all(|byte| byte.is_ascii_digit()) => {
                Some(format!("projects/{project}/{rest}"))
            }
            _ => (name != text).then(|| name.to_owned()),
        };
    }
    let partial = ["zones/", "regions/", "global/"].iter().any(|start| name.starts_with(start));
    partial.then(|| project.map(|project| format!("projects/{project}/{name}"))).flatten()
}

/// The part of a link from `projects/` on: `https://compute.googleapis.com/compute/v1/projects/…`, in any case and with
/// or without the scheme and the host. `None` if it is not such a link.
fn without_host(text: &str) -> Option<&str> {
    let at = text.find("/projects/")?;
    let (before, name) = text.split_at_checked(at)?;
    let before = before.to_ascii_lowercase();
    let of_host = before.contains("googleapis.com") && (before.contains("//") || before.starts_with("www."));
    let of_path = before.is_empty() || before.trim_start_matches('/').starts_with("compute");
    (of_host || of_path).then(|| name.get(1..)).flatten()
}

/// The text with the colon of a domain-scoped project (`example.com:project`) decoded. `None` if none is encoded.
fn decode_colon(text: &str) -> Option<String> {
    let encoded = text.contains("projects/") && (text.contains("%3A") || text.contains("%3a"));
    encoded.then(|| text.replace("%3A", ":").replace("%3a", ":"))
}
