//! Azure Activity records (Azure Monitor reference, "Azure activity log event schema"): as Event Hubs and storage have
//! them, as the REST interface and the SDK give them, and as rows of Microsoft Sentinel's table `AzureActivity`.
//!
//! The names of the Event Hub shape are the ones that rules use; the others are read as if they were those. Azure ids are
//! the same in any case, so they are turned to lower case.

use std::borrow::Cow;

use super::fields::{alias, fields};
use super::projection::{Alias, Holds};
use super::{Actor, Event, Values, aws};
use crate::rule::{Outcome, Provider};

fields! {
    aws::FIELDS.len() as u16;
    Operation = "operationName",
    Status = "resultType",
    Substatus = "resultSignature",
    StatusCode = "properties.statusCode",
    Time = "time",
    RowTime = "TimeGenerated",
    EcsTime = "@timestamp",
    ResourceId = "resourceId",
    SubscriptionId = "subscriptionId",
    CorrelationId = "correlationId",
    Caller = "caller",
    CallerAddress = "callerIpAddress",
    Level = "level",
    Location = "location",
    ClaimUpn = "identity.claims.upn",
    ClaimName = "identity.claims.name",
    ClaimObject = "identity.claims.oid",
    ClaimApplication = "identity.claims.appid",
    IdentityName = "identity",
    PrincipalType = "identity.authorization.evidence.principalType",
    Change = "change",
    ResourceGroup = "resourceGroup",
}

/// Where tables and other schemas have an event's time, for every cloud.
pub(super) const ROW_TIMES: [super::Slot; 3] = [Field::RowTime.slot(), Field::EcsTime.slot(), Field::Time.slot()];

/// Whether a record is a row of a table.
pub(super) fn is_row(values: &Values<'_>) -> bool {
    values.exists(Field::RowTime.slot())
}

const UPN: &str = "http://schemas.xmlsoap.org/ws/2005/05/identity/claims/upn";
const NAME: &str = "http://schemas.xmlsoap.org/ws/2005/05/identity/claims/name";
const OBJECT: &str = "http://schemas.microsoft.com/identity/claims/objectidentifier";

pub(super) const ALIASES: &[Alias] = &[
    alias(&["identity", "claims", UPN], "identity.claims.upn"),
    alias(&["identity", "claims", NAME], "identity.claims.name"),
    alias(&["identity", "claims", OBJECT], "identity.claims.oid"),
    alias(&["claims"], "identity.claims"),
    alias(&["Claims"], "identity.claims"),
    alias(&["Claims_d"], "identity.claims"),
    alias(&["authorization"], "identity.authorization"),
    alias(&["Authorization"], "identity.authorization"),
    alias(&["Authorization_d"], "identity.authorization"),
    // The REST interface has {"value", "localizedValue"}.
    alias(&["operationName", "value"], "operationName"),
    alias(&["resultType", "value"], "resultType"),
    alias(&["resultSignature", "value"], "resultSignature"),
    alias(&["status"], "resultType"),
    alias(&["subStatus"], "resultSignature"),
    alias(&["eventTimestamp"], "time"),
    alias(&["httpRequest", "clientIpAddress"], "callerIpAddress"),
    alias(&["resourceGroupName"], "resourceGroup"),
    // The SDK.
    alias(&["operation_name"], "operationName"),
    alias(&["sub_status"], "resultSignature"),
    alias(&["event_timestamp"], "time"),
    alias(&["correlation_id"], "correlationId"),
    alias(&["resource_id"], "resourceId"),
    alias(&["subscription_id"], "subscriptionId"),
    alias(&["resource_group_name"], "resourceGroup"),
    alias(&["http_request", "client_ip_address"], "callerIpAddress"),
    // Rows, of either generation of columns.
    alias(&["OperationName"], "operationName"),
    alias(&["OperationNameValue"], "operationName"),
    alias(&["ActivityStatus"], "resultType"),
    alias(&["ActivityStatusValue"], "resultType"),
    alias(&["ActivitySubstatus"], "resultSignature"),
    alias(&["ActivitySubstatusValue"], "resultSignature"),
    alias(&["Caller"], "caller"),
    alias(&["CallerIpAddress"], "callerIpAddress"),
    alias(&["CorrelationId"], "correlationId"),
    alias(&["Level"], "level"),
    alias(&["ResourceId"], "resourceId"),
    alias(&["_ResourceId"], "resourceId"),
    alias(&["SubscriptionId"], "subscriptionId"),
    alias(&["ResourceGroup"], "resourceGroup"),
    alias(&["Properties"], "properties"),
    alias(&["Properties_d"], "properties"),
    alias(&["properties", "requestBody"], "properties.requestbody"),
];

pub(super) const TEXTS: &[(&str, Holds)] = &[
    ("identity", Holds::Json),
    ("identity.claims", Holds::Json),
    ("identity.authorization", Holds::Json),
    ("properties", Holds::Json),
    ("properties.requestbody", Holds::Json),
    ("properties.responseBody", Holds::Json),
];

/// Makes an event of a record's values; the values back where it is no Azure Activity record.
pub(super) fn event(mut values: Values<'_>) -> Result<Event<'_>, Values<'_>> {
    // Of rows of both generations one column has the operation and the other its name in some language.
    let operation = values.all(Field::Operation.slot()).filter(|operation| operation.contains('/')).last();
    let Some(operation) = operation.map(str::to_ascii_lowercase) else { return Err(values) };
    let service = operation.split('/').next().unwrap_or_default().to_owned();
    values.rewrite(|text| {
        let is_id = text.get(..15).is_some_and(|start| start.eq_ignore_ascii_case("/subscriptions/"));
        is_id.then(|| text.to_ascii_lowercase())
    });
    let text = |field: Field| values.text(field.slot());
    let or_empty = |field: Field| text(field).unwrap_or(Cow::Borrowed(""));
    let status = status(values.all(Field::Status.slot()));
    let outcome = outcome(&status);
    let change = change(values.all(Field::Substatus.slot()).chain(values.all(Field::StatusCode.slot())));
    let resource = or_empty(Field::ResourceId);
    let account = super::part(&resource, "/subscriptions/").map(str::to_owned);
    let account = account.map_or_else(|| or_empty(Field::SubscriptionId), Cow::Owned);
    let group = super::part(&resource, "/resourcegroups/").map(str::to_owned);
    let group = group.unwrap_or_else(|| or_empty(Field::ResourceGroup).to_ascii_lowercase());
    let object = or_empty(Field::ClaimObject);
    let names = [Field::Caller, Field::ClaimUpn, Field::ClaimName, Field::ClaimApplication];
    let caller = names.into_iter().find_map(text).unwrap_or_else(|| object.clone());
    let caller = if caller.is_empty() { or_empty(Field::IdentityName) } else { caller };
    let correlation = text(Field::CorrelationId);
    let told_by = correlation.map(|correlation| format!("{correlation} {operation} {resource}").to_ascii_lowercase());
    let time = super::time(text(Field::Time).or_else(|| super::row_time(&values)));
    // A long operation is accepted more than once.
    let at = time.as_ref().map_or(0, |time| *time);
    let event = Event {
        provider: Provider::Azure,
        service: service.into(),
        outcome,
        time,
        id: told_by.as_ref().map(|operation| format!("{operation} {status} {at}").into()),
        // One that failed in the end is not the same as one that was accepted.
        operation: told_by.filter(|_| outcome == Outcome::Success).map(Cow::Owned),
        action: operation.into(),
        actor: Actor {
            arn: caller.to_ascii_lowercase().into(),
            principal: object,
            access_key: or_empty(Field::ClaimApplication),
            kind: or_empty(Field::PrincipalType),
            name: caller,
            ..Actor::default()
        },
        scope: group.clone().into(),
        region: or_empty(Field::Location),
        source: or_empty(Field::CallerAddress),
        level: or_empty(Field::Level),
        account,
        values: Values::default(),
    };
    values.set(Field::Change.slot(), change);
    if !group.is_empty() {
        values.set(Field::ResourceGroup.slot(), group);
    }
    Ok(Event { values, ..event })
}

/// The one of an event's statuses that is no translation, in lower case.
fn status<'a>(statuses: impl Iterator<Item = &'a str>) -> String {
    const KNOWN: [&str; 6] = ["start", "accept", "succ", "fail", "cancel", "in progress"];
    let is_known = |status: &str| KNOWN.iter().any(|known| status.starts_with(known));
    let told = |chosen: Option<String>, status: &str| {
        let status = status.to_ascii_lowercase();
        Some(chosen.filter(|chosen| is_known(chosen) && !is_known(&status)).unwrap_or(status))
    };
    statuses.fold(None, told).unwrap_or_default()
}

/// `Success` and `Succeeded`, `Accept` and `Accepted` are the same (Azure/Azure-Sentinel#7260, #7334, #7619); some
/// operations end with `Accept`.
fn outcome(status: &str) -> Outcome {
    match status {
        _ if status.starts_with("succ") || status.starts_with("accept") => Outcome::Success,
        _ if status.is_empty() || status.starts_with("start") => Outcome::Unknown,
        _ => Outcome::Failure,
    }
}

/// Creating and updating are one operation; only HTTP's 201 tells that a resource is new, and often nothing does
/// (MicrosoftDocs/azure-docs#9554). `OK`, `Succeeded.OK.200` and `OK (HTTP Status Code: 200)` all occur.
fn change<'a>(codes: impl Iterator<Item = &'a str>) -> &'static str {
    let mut change = "unknown";
    for word in codes.flat_map(|code| code.split(|letter: char| !letter.is_ascii_alphanumeric())) {
        if word.eq_ignore_ascii_case("created") || word == "201" {
            return "create";
        }
        if word.eq_ignore_ascii_case("ok") || word == "200" {
            change = "update";
        }
    }
    change
}
