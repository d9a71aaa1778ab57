//! AWS CloudTrail records (AWS CloudTrail user guide, "CloudTrail record contents"), their envelopes and their aliases.

use std::borrow::Cow;

use super::super::cloud::{Alias, Cloud, Embedded, Recognition, alias};
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
    recognise,
};

fields! {
    EventName = "eventName",
    EventSource = "eventSource",
    EventTime = "eventTime",
    EventId = "eventID",
    EventType = "eventType",
    EventCategory = "eventCategory",
    OriginalEventId = "addendum.originalEventID",
    ErrorCode = "errorCode",
    AwsRegion = "awsRegion",
    RecipientAccountId = "recipientAccountId",
    SourceIpAddress = "sourceIPAddress",
    UserAgent = "userAgent",
    ConsoleLogin = "responseElements.ConsoleLogin",
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
    OcsfUser = "actor.user.uid",
    OcsfOtherUser = "actor.user.uid_alt",
    OcsfOlderUser = "actor.user.uuid",
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
    ("CloudTrailEvent", Embedded::Original),
    ("message", Embedded::Records),
    ("Message", Embedded::Records),
    ("body", Embedded::Records),
    ("data", Embedded::Base64),
];

/// Records that tell of no call of their own.
///
/// The network activity of a VPC endpoint repeats a call that the management or data events have as well, without its
/// response (user guide, "Logging network activity events"). Insights and aggregated events sum up many calls (user guide,
/// "CloudTrail record contents for Insights events", "CloudTrail record contents for aggregated events").
fn tells_of_no_call(event_type: &str, category: &str) -> bool {
    matches!(event_type, "AwsVpceEvent" | "AwsCloudTrailInsight" | "AwsAggregatedEvent")
        || matches!(category, "NetworkActivity" | "Insight" | "Aggregated")
}

/// Builds an event from a record's values.
fn recognise<'a>(values: Values<'a>, slots: FieldSlots<'_>) -> Recognition<'a> {
    let text = |field: Field| values.text(slots.of(field)).filter(|text| text != "null");
    let or_empty = |field: Field| text(field).unwrap_or(Cow::Borrowed(""));
    if tells_of_no_call(&or_empty(Field::EventType), &or_empty(Field::EventCategory)) {
        return Recognition::NoCall;
    }
    // Names like `action` occur in many documents, so the prefilter searches for the markers instead. Require the mark
    // here as well.
    let of_schema = |mark: Field, field: Field| if values.exists(slots.of(mark)) { text(field) } else { None };
    let action = text(Field::EventName)
        .or_else(|| of_schema(Field::EcsMark, Field::EcsAction))
        .or_else(|| of_schema(Field::OcsfMark, Field::OcsfOperation));
    let service = text(Field::EventSource)
        .or_else(|| of_schema(Field::EcsMark, Field::EcsProvider))
        .or_else(|| of_schema(Field::OcsfMark, Field::OcsfService));
    let (Some(action), Some(service)) = (action, service) else { return Recognition::Unknown(values) };
    let identity_account = or_empty(Field::IdentityAccountId);
    // In OCSF, which of them is the ARN depends on the version of the mapping.
    let of_user = || [Field::OcsfUser, Field::OcsfOtherUser, Field::OcsfOlderUser].into_iter().filter_map(text);
    let is_arn = |text: &Cow<'_, str>| text.starts_with("arn:");
    let failed = text(Field::ErrorCode).is_some() || or_empty(Field::ConsoleLogin) == "Failure";
    Recognition::Call(Event {
        provider: Provider::Aws,
        form: slots.common(&values).form(),
        service,
        action,
        // A dry run counts as a failure: even one that would have succeeded has the error code Client.DryRunOperation.
        // A refused sign-in has none (user guide, "AWS Management Console sign-in events").
        outcome: if failed { CallOutcome::Failure } else { CallOutcome::Success },
        time: timestamp::parse_event_time(text(Field::EventTime).or_else(|| slots.common(&values).time())),
        // A record that completes or corrects an earlier one has an id of its own and names that of the earlier (user
        // guide, "CloudTrail record contents", addendum).
        id: text(Field::OriginalEventId).or_else(|| text(Field::EventId)),
        operation: None,
        account: text(Field::RecipientAccountId).unwrap_or_else(|| identity_account.clone()),
        actor: Actor {
            role: or_empty(Field::IdentityRole),
            caller: text(Field::IdentityArn).or_else(|| of_user().find(is_arn)).unwrap_or_default(),
            principal_id: text(Field::IdentityPrincipal)
                .or_else(|| of_user().find(|text| !is_arn(text)))
                .unwrap_or_default(),
            access_key: or_empty(Field::IdentityAccessKey),
            kind: or_empty(Field::IdentityType),
            name: or_empty(Field::IdentityUserName),
            account: identity_account,
        },
        scope: or_empty(Field::AwsRegion),
        region: or_empty(Field::AwsRegion),
        source: or_empty(Field::SourceIpAddress),
        user_agent: or_empty(Field::UserAgent),
        level: Cow::Borrowed(""),
        values,
    })
}
