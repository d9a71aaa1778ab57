//! Azure Activity records (Azure Monitor reference, "Azure activity log event schema"): in the formats of Event Hubs
//! and storage, of the REST API and the SDK, and as rows of Microsoft Sentinel's table `AzureActivity`.
//!
//! Rules use the names of the Event Hubs format; the others are aliases. Azure ids are case-insensitive, so they are
//! converted to lower case.

use std::borrow::Cow;

use super::super::cloud::{Alias, Cloud, Embedded, Recognition, alias};
use super::super::fields::fields;
use super::super::projection::FieldSlots;
use super::super::{Actor, Event, Values, resource_part, timestamp};
use crate::scan::{ActionKey, ContainerMembers, ExpectedValue};
use crate::vocab::{CallOutcome, Provider};

/// The Azure cloud.
pub(super) static AZURE: Cloud = Cloud {
    provider: Provider::Azure,
    label: "Azure",
    fields: FIELDS,
    aliases: ALIASES,
    embedded: EMBEDDED,
    names_ignore_case: &["properties"],
    action_keys: &[
        ActionKey { name: "operationName", expected: ExpectedValue::Action },
        ActionKey { name: "operationNameValue", expected: ExpectedValue::Action },
        ActionKey { name: "operation_name", expected: ExpectedValue::Action },
    ],
    containers: ContainerMembers {
        // Event Hubs; the REST API.
        lists: &["records", "value"],
        before_lists: &["nextLink"],
        envelopes: &[],
    },
    actions_ignore_case: true,
    multi_record_operations: true,
    accounts_are_projects: false,
    sentinel_resource_entity: Some("azure-resource"),
    recognise,
};

fields! {
    Operation = "operationName",
    Status = "resultType",
    Substatus = "resultSignature",
    StatusCode = "properties.statusCode",
    Time = "time",
    ResourceId = "resourceId",
    SubscriptionId = "subscriptionId",
    CorrelationId = "correlationId",
    Caller = "caller",
    CallerAddress = "callerIpAddress",
    Level = "level",
    Location = "location",
    ClaimUpn = "identity.claims.upn",
    ClaimObject = "identity.claims.oid",
    ClaimApplication = "identity.claims.appid",
    IdentityName = "identity",
    PrincipalType = "identity.authorization.evidence.principalType",
    Change = "change",
    ResourceGroup = "resourceGroup",
}

const UPN: &str = "http://schemas.xmlsoap.org/ws/2005/05/identity/claims/upn";
const OBJECT: &str = "http://schemas.microsoft.com/identity/claims/objectidentifier";
// Elastic replaces the dots in the names of claims.
const ELASTIC_UPN: &str = "http://schemas_xmlsoap_org/ws/2005/05/identity/claims/upn";
const ELASTIC_OBJECT: &str = "http://schemas_microsoft_com/identity/claims/objectidentifier";

const ALIASES: &[Alias] = &[
    alias(&["identity", "claims", UPN], "identity.claims.upn"),
    alias(&["identity", "claims", OBJECT], "identity.claims.oid"),
    alias(&["identity", "claims", ELASTIC_UPN], "identity.claims.upn"),
    alias(&["identity", "claims", ELASTIC_OBJECT], "identity.claims.oid"),
    alias(&["claims"], "identity.claims"),
    alias(&["Claims"], "identity.claims"),
    alias(&["Claims_d"], "identity.claims"),
    alias(&["authorization"], "identity.authorization"),
    alias(&["Authorization"], "identity.authorization"),
    alias(&["Authorization_d"], "identity.authorization"),
    // The REST API, whose values are {"value", "localizedValue"}.
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
    // Table columns of both generations.
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
    // PowerShell puts a dictionary under `Content`.
    alias(&["identity", "claims", "Content"], "identity.claims"),
    // `Status` is a column of another cloud's table as well.
    alias(&["Status", "Value"], "resultType"),
    alias(&["Properties_d"], "properties"),
    alias(&["properties", "requestBody"], "properties.requestbody"),
];

const EMBEDDED: &[(&str, Embedded)] = &[
    ("identity", Embedded::Json),
    ("identity.claims", Embedded::Json),
    ("identity.authorization", Embedded::Json),
    ("properties", Embedded::Json),
    ("properties.requestbody", Embedded::Json),
    ("properties.responseBody", Embedded::Json),
];

/// Builds an event from a record's values.
fn recognise<'a>(mut values: Values<'a>, slots: FieldSlots<'_>) -> Recognition<'a> {
    // In rows that have the columns of both generations, one column holds the operation and the other its localised
    // name.
    let operation = values.all(slots.of(Field::Operation)).filter(|operation| operation.contains('/')).last();
    let Some(operation) = operation.map(str::to_ascii_lowercase) else { return Recognition::Unknown(values) };
    let service = operation.split('/').next().unwrap_or_default().to_owned();
    values.rewrite(|text| {
        let is_id = text.get(..15).is_some_and(|start| start.eq_ignore_ascii_case("/subscriptions/"));
        is_id.then(|| text.to_ascii_lowercase())
    });
    let text = |field: Field| values.text(slots.of(field));
    let or_empty = |field: Field| text(field).unwrap_or(Cow::Borrowed(""));
    let status = status(values.all(slots.of(Field::Status)));
    let outcome = outcome(&status);
    let change = change(values.all(slots.of(Field::Substatus)).chain(values.all(slots.of(Field::StatusCode))));
    let resource = or_empty(Field::ResourceId);
    let account = resource_part(&resource, "/subscriptions/").map(str::to_owned);
    let account = account.map_or_else(|| or_empty(Field::SubscriptionId), Cow::Owned);
    let group = resource_part(&resource, "/resourcegroups/").map(str::to_owned);
    let group = group.unwrap_or_else(|| or_empty(Field::ResourceGroup).to_ascii_lowercase());
    let object = or_empty(Field::ClaimObject);
    // Never a display name, which several people may have. An application is the caller only if no person is known.
    let names = [Field::Caller, Field::ClaimUpn, Field::ClaimObject, Field::ClaimApplication, Field::IdentityName];
    let caller = names.into_iter().find_map(text).unwrap_or_default();
    let correlation = text(Field::CorrelationId);
    let operation_id =
        correlation.map(|correlation| format!("{correlation} {operation} {resource}").to_ascii_lowercase());
    let time = timestamp::parse_event_time(text(Field::Time).or_else(|| slots.common(&values).time()));
    // A long-running operation is accepted more than once, so the id includes the time.
    let at = time.as_ref().map_or(0, |time| *time);
    let event = Event {
        provider: Provider::Azure,
        form: slots.common(&values).form(),
        service: service.into(),
        outcome,
        time,
        id: operation_id.as_ref().map(|operation| format!("{operation} {status} {at}").into()),
        // An operation that failed in the end must not be merged with its earlier acceptance.
        operation: operation_id.filter(|_| outcome == CallOutcome::Success).map(Cow::Owned),
        action: operation.into(),
        actor: Actor {
            caller: caller.to_ascii_lowercase().into(),
            principal_id: object,
            access_key: or_empty(Field::ClaimApplication),
            kind: or_empty(Field::PrincipalType),
            name: caller,
            ..Actor::default()
        },
        scope: group.clone().into(),
        region: or_empty(Field::Location),
        source: or_empty(Field::CallerAddress),
        user_agent: Cow::Borrowed(""),
        level: or_empty(Field::Level),
        account,
        values: Values::default(),
    };
    values.set(slots.of(Field::Change), change);
    if !group.is_empty() {
        values.set(slots.of(Field::ResourceGroup), group);
    }
    Recognition::Call(Event { values, ..event })
}

/// The status that is not localised, in lower case; the last one if several or none qualify. `Success` and `Succeeded`
/// are one status, and so are the spellings of the others.
fn status<'a>(statuses: impl Iterator<Item = &'a str>) -> String {
    const KNOWN: [(&str, &str); 6] = [
        ("start", "started"),
        ("accept", "accepted"),
        ("succ", "succeeded"),
        ("fail", "failed"),
        ("cancel", "canceled"),
        ("in progress", "in progress"),
    ];
    let known = |status: &str| KNOWN.iter().find(|(start, _)| status.starts_with(start)).map(|(_, status)| *status);
    let choose = |chosen: Option<String>, status: &str| {
        let status = status.to_ascii_lowercase();
        let status = known(&status).map_or(status, str::to_owned);
        Some(chosen.filter(|chosen| known(chosen).is_some() && known(&status).is_none()).unwrap_or(status))
    };
    statuses.fold(None, choose).unwrap_or_default()
}

/// The outcome of a status in lower case. `Success` equals `Succeeded`, and `Accept` equals `Accepted`
/// (Azure/Azure-Sentinel#7260, #7334, #7619). `Accept` counts as success, because it is the last status of some
/// operations.
fn outcome(status: &str) -> CallOutcome {
    match status {
        _ if status.starts_with("succ") || status.starts_with("accept") => CallOutcome::Success,
        _ if status.is_empty() || status.starts_with("start") => CallOutcome::Unknown,
        _ => CallOutcome::Failure,
    }
}

/// `create`, `update` or `unknown`, by the HTTP status in `codes`.
///
/// Creating and updating are one operation. Only HTTP status 201 shows that a resource is new, and often nothing does
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
