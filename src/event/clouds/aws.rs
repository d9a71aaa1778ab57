//! AWS CloudTrail records (AWS CloudTrail user guide, "CloudTrail record contents"), their envelopes and their aliases.

use std::borrow::Cow;

use super::super::cloud::{Alias, Cloud, Embedded, alias};
use super::super::fields::fields;
use super::super::projection::FieldSlots;
use super::super::{Actor, Event, Values, timestamp};
use crate::scan::{ActionKey, ContainerMembers, ExpectedValue};
use crate::vocab::{CallOutcome, Provider};

/// The AWS cloud.
pub(super) static AWS: Cloud = Cloud {
    provider: Provider::Aws,
    label: "AWS",
    fields: FIELDS,
    aliases: ALIASES,
    embedded: EMBEDDED,
    names_ignore_case: &[],
    action_keys: &[ActionKey { name: "eventName", expected: ExpectedValue::Action }],
    containers: ContainerMembers {
        // In order: CloudTrail files and Lambda input; Firehose; CloudWatch Logs; LookupEvents.
        lists: &["Records", "records", "logEvents", "Events"],
        before_lists: &[
            "messageType",
            "owner",
            "logGroup",
            "logStream",
            "requestId",
            "invocationId",
            "deliveryStreamArn",
            "region",
            "NextToken",
        ],
        // Firehose; CloudWatch Logs through Lambda; Kinesis.
        envelopes: &["recordId", "data", "awslogs", "kinesis", "approximateArrivalTimestamp"],
    },
    actions_ignore_case: false,
    multi_record_operations: false,
    accounts_are_projects: false,
    sentinel_resource_entity: None,
    to_event,
};

fields! {
    EventName = "eventName",
    EventSource = "eventSource",
    EventTime = "eventTime",
    EventId = "eventID",
    ErrorCode = "errorCode",
    AwsRegion = "awsRegion",
    RecipientAccountId = "recipientAccountId",
    SourceIpAddress = "sourceIPAddress",
    IdentityArn = "userIdentity.arn",
    IdentityRole = "userIdentity.sessionContext.sessionIssuer.arn",
    IdentityPrincipal = "userIdentity.principalId",
    IdentityAccessKey = "userIdentity.accessKeyId",
    IdentityType = "userIdentity.type",
    IdentityUserName = "userIdentity.userName",
    IdentityAccountId = "userIdentity.accountId",
    // ECS. The mark occurs only in CloudTrail documents; its full path is `aws.cloudtrail.user_identity`, but `aws` is
    // an alias of the record, for Wazuh.
    EcsMark = "cloudtrail.user_identity",
    EcsAction = "event.action",
    EcsProvider = "event.provider",
    // OCSF.
    OcsfMark = "class_uid",
    OcsfOperation = "api.operation",
    OcsfService = "api.service.name",
}

/// The location of a CloudTrail record in its envelopes, and the columns of Microsoft Sentinel's table `AWSCloudTrail`
/// (Azure Monitor reference, "AWSCloudTrail").
const ALIASES: &[Alias] = &[
    // EventBridge, "AWS API Call via CloudTrail".
    alias(&["detail"], ""),
    // Wazuh (wazuh/wazuh#36209).
    alias(&["aws"], ""),
    // CloudWatch Logs subscriptions and Kinesis, through Lambda. Firehose itself names the member `data`.
    alias(&["awslogs", "data"], "data"),
    alias(&["kinesis", "data"], "data"),
    // Columns of the table.
    alias(&["EventName"], "eventName"),
    alias(&["EventSource"], "eventSource"),
    alias(&["AwsEventId"], "eventID"),
    alias(&["ErrorCode"], "errorCode"),
    alias(&["AWSRegion"], "awsRegion"),
    alias(&["RecipientAccountId"], "recipientAccountId"),
    alias(&["SourceIpAddress"], "sourceIPAddress"),
    alias(&["UserAgent"], "userAgent"),
    alias(&["RequestParameters"], "requestParameters"),
    alias(&["ResponseElements"], "responseElements"),
    alias(&["ServiceEventDetails"], "serviceEventDetails"),
    alias(&["UserIdentityArn"], "userIdentity.arn"),
    alias(&["UserIdentityType"], "userIdentity.type"),
    alias(&["UserIdentityPrincipalid"], "userIdentity.principalId"),
    alias(&["UserIdentityAccountId"], "userIdentity.accountId"),
    alias(&["UserIdentityAccessKeyId"], "userIdentity.accessKeyId"),
    alias(&["UserIdentityUserName"], "userIdentity.userName"),
    alias(&["UserIdentityInvokedBy"], "userIdentity.invokedBy"),
    alias(&["SessionIssuerArn"], "userIdentity.sessionContext.sessionIssuer.arn"),
];

const EMBEDDED: &[(&str, Embedded)] = &[
    ("detail", Embedded::Json),
    ("requestParameters", Embedded::Json),
    ("responseElements", Embedded::Json),
    ("serviceEventDetails", Embedded::Json),
    // In order: LookupEvents; CloudWatch Logs; SNS; SQS.
    ("CloudTrailEvent", Embedded::Records),
    ("message", Embedded::Records),
    ("Message", Embedded::Records),
    ("body", Embedded::Records),
    ("data", Embedded::Base64),
];

/// Builds an event from a record's values. `Err` returns the values if it is not a CloudTrail record.
fn to_event<'a>(values: Values<'a>, slots: FieldSlots<'_>) -> Result<Event<'a>, Values<'a>> {
    let text = |field: Field| values.text(slots.of(field)).filter(|text| text != "null");
    let or_empty = |field: Field| text(field).unwrap_or(Cow::Borrowed(""));
    // Names like `action` occur in many documents, so the prefilter searches for the markers instead. Require the mark
    // here as well.
    let of_schema = |mark: Field, field: Field| if values.exists(slots.of(mark)) { text(field) } else { None };
    let action = text(Field::EventName)
        .or_else(|| of_schema(Field::EcsMark, Field::EcsAction))
        .or_else(|| of_schema(Field::OcsfMark, Field::OcsfOperation));
    let service = text(Field::EventSource)
        .or_else(|| of_schema(Field::EcsMark, Field::EcsProvider))
        .or_else(|| of_schema(Field::OcsfMark, Field::OcsfService));
    let (Some(action), Some(service)) = (action, service) else { return Err(values) };
    let identity_account = or_empty(Field::IdentityAccountId);
    Ok(Event {
        provider: Provider::Aws,
        service,
        action,
        // A dry run counts as a failure: even one that would have succeeded has the error code Client.DryRunOperation.
        outcome: if text(Field::ErrorCode).is_some() { CallOutcome::Failure } else { CallOutcome::Success },
        time: timestamp::parse_event_time(text(Field::EventTime).or_else(|| slots.common(&values).time())),
        id: text(Field::EventId),
        operation: None,
        account: text(Field::RecipientAccountId).unwrap_or_else(|| identity_account.clone()),
        actor: Actor {
            role: or_empty(Field::IdentityRole),
            caller: or_empty(Field::IdentityArn),
            principal_id: or_empty(Field::IdentityPrincipal),
            access_key: or_empty(Field::IdentityAccessKey),
            kind: or_empty(Field::IdentityType),
            name: or_empty(Field::IdentityUserName),
            account: identity_account,
        },
        scope: or_empty(Field::AwsRegion),
        region: or_empty(Field::AwsRegion),
        source: or_empty(Field::SourceIpAddress),
        level: Cow::Borrowed(""),
        values,
    })
}
