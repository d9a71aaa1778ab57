//! GCP audit log entries (Cloud Logging reference, "LogEntry" and "AuditLog"), and rows of Microsoft Sentinel's table
//! `GCPAuditLogs`.
//!
//! A long-running operation has two entries: the first holds the request, the last says how it ended.

use std::borrow::Cow;

use super::fields::{alias, fields};
use super::projection::{Alias, Holds};
use super::{Actor, Event, Values, aws, azure};
use crate::rule::{Outcome, Provider};

fields! {
    (aws::FIELDS.len() + azure::FIELDS.len()) as u16;
    Method = "protoPayload.methodName",
    Service = "protoPayload.serviceName",
    Resource = "protoPayload.resourceName",
    Email = "protoPayload.authenticationInfo.principalEmail",
    Subject = "protoPayload.authenticationInfo.principalSubject",
    Address = "protoPayload.requestMetadata.callerIp",
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
}

pub(super) const ALIASES: &[Alias] = &[
    // Pub/Sub, push and pull.
    alias(&["message", "data"], "data"),
    alias(&["protoPayload", "requestMetadata", "callerIP"], "protoPayload.requestMetadata.callerIp"),
    // Rows.
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

pub(super) const TEXTS: &[(&str, Holds)] = &[
    ("protoPayload.authenticationInfo", Holds::Json),
    ("protoPayload.requestMetadata", Holds::Json),
    ("protoPayload.request", Holds::Json),
    ("protoPayload.response", Holds::Json),
    ("protoPayload.status", Holds::Json),
    ("ResourceLocation", Holds::Json),
];

/// Makes an event of a record's values; the values back where it is no audit log entry.
pub(super) fn event(mut values: Values<'_>) -> Result<Event<'_>, Values<'_>> {
    let Some(method) = values.text(Field::Method.slot()) else { return Err(values) };
    let action = without_version(&method).to_owned();
    let project = values.text(Field::Project.slot());
    values.rewrite(|text| resource_name(text, project.as_deref()));
    let text = |field: Field| values.text(field.slot());
    let or_empty = |field: Field| text(field).unwrap_or(Cow::Borrowed(""));
    let failed = text(Field::StatusCode).is_some_and(|code| code != "0") || or_empty(Field::Severity) == "ERROR";
    let is = |field: Field| text(field).is_some_and(|flag| flag == "true");
    let is_row = azure::is_row(&values);
    let phase = match (is(Field::First), is(Field::Last)) {
        (true, false) => "first",
        (false, true) => "last",
        // The table has no column for the operation; only the first entry has a response.
        (false, false) if is_row && values.exists(Field::Response.slot()) => "first",
        (false, false) if is_row => "last",
        _ => "only",
    };
    let resource = or_empty(Field::Resource);
    let project =
        project.unwrap_or_else(|| super::part(&resource, "projects/").map_or("".into(), |part| part.to_owned().into()));
    let zone = text(Field::Zone)
        .or_else(|| super::part(&resource, "/zones/").map(|zone| Cow::Owned(zone.to_owned())))
        .unwrap_or_default();
    let snapshot = match &*action {
        "compute.disks.createSnapshot" => {
            text(Field::RequestName).map(|name| format!("projects/{project}/global/snapshots/{name}"))
        }
        "compute.snapshots.insert" => Some(resource.clone().into_owned()),
        _ => None,
    };
    let instance = text(Field::InstanceId).unwrap_or_else(|| resource.clone());
    let email = text(Field::Email).or_else(|| text(Field::Subject)).unwrap_or_default();
    let insert_id = text(Field::InsertId);
    let timestamp = text(Field::Timestamp);
    let event = Event {
        provider: Provider::Gcp,
        service: text(Field::Service).unwrap_or(Cow::Borrowed("compute.googleapis.com")),
        action: action.into(),
        outcome: if failed { Outcome::Failure } else { Outcome::Success },
        id: insert_id.map(|id| format!("{id} {}", timestamp.as_deref().unwrap_or_default()).into()),
        time: super::time(timestamp.or_else(|| super::row_time(&values))),
        operation: None,
        account: project,
        actor: Actor { arn: email.clone(), principal: or_empty(Field::Subject), name: email, ..Actor::default() },
        region: zone.rsplit_once('-').map_or("".into(), |(region, _)| region.to_owned().into()),
        scope: zone,
        source: or_empty(Field::Address),
        level: or_empty(Field::Severity),
        values: Values::default(),
    };
    values.set(Field::Phase.slot(), phase);
    values.set(Field::Instance.slot(), instance);
    if let Some(snapshot) = snapshot {
        values.set(Field::Snapshot.slot(), snapshot);
    }
    Ok(Event { values, ..event })
}

/// A method without the version of the interface: `v1.`, `beta.`, `alpha.`.
fn without_version(method: &str) -> &str {
    match method.split_once('.') {
        Some((version, rest)) if rest.starts_with("compute.") && is_version(version) => rest,
        _ => method,
    }
}

fn is_version(name: &str) -> bool {
    name.len() <= LONGEST_VERSION && name.bytes().all(|byte| byte.is_ascii_alphanumeric())
}

/// The longest name of a version of an interface.
pub(crate) const LONGEST_VERSION: usize = 16;

/// The one form of a resource's name, for what is one in another: without the host, with the project, by its id where the
/// name has its number.
fn resource_name(text: &str, project: Option<&str>) -> Option<String> {
    let relative = ["https://", "//"].iter().find_map(|scheme| text.strip_prefix(scheme)).and_then(|rest| {
        let at = rest.find("/projects/").filter(|_| rest.contains("googleapis.com"))?;
        rest.get(at + 1..)
    });
    let name = relative.unwrap_or(text);
    if let Some(rest) = name.strip_prefix("projects/") {
        let (owner, rest) = rest.split_once('/')?;
        return match project {
            Some(project) if owner.bytes().all(|byte| byte.is_ascii_digit()) => {
                Some(format!("projects/{project}/{rest}"))
            }
            _ => relative.map(str::to_owned),
        };
    }
    let partial = ["zones/", "regions/", "global/"].iter().any(|start| name.starts_with(start));
    partial.then(|| project.map(|project| format!("projects/{project}/{name}"))).flatten()
}
