//! ECS (Elastic Common Schema), as Elastic's integrations write audit records (elastic/integrations, the ingest pipelines of
//! aws.cloudtrail, azure.activitylogs and gcp.audit), and Matano, which follows them.
//!
//! If a document holds the original record in `event.original`, that is used; otherwise these members are read as the
//! record's.

use super::super::cloud::{Alias, Embedded, Mapping, alias};
use crate::scan::{ActionKey, ExpectedValue};

/// The ECS mapping.
pub(super) static ECS: Mapping = Mapping {
    aliases: ALIASES,
    embedded: &[("event.original", Embedded::Original)],
    // CloudTrail and, in later versions, GCP documents need a mark: they have the action under `event.action`. Documents
    // of other clouds have it under one of the cloud's keys.
    markers: &[
        ActionKey { name: "user_identity", expected: ExpectedValue::SchemaMarker },
        ActionKey { name: "resource_name", expected: ExpectedValue::SchemaMarker },
    ],
};

const ALIASES: &[Alias] = &[
    // Elastic, any source.
    alias(&["event", "id"], "eventID"),
    alias(&["source", "address"], "sourceIPAddress"),
    alias(&["source", "ip"], "callerIpAddress"),
    alias(&["cloud", "region"], "awsRegion"),
    alias(&["cloud", "account", "id"], "userIdentity.accountId"),
    alias(&["user", "id"], "userIdentity.principalId"),
    alias(&["user", "name"], "userIdentity.userName"),
    alias(&["log", "level"], "level"),
    alias(&["user_agent", "original"], "userAgent"),
    // Elastic, aws.cloudtrail.
    alias(&["aws", "cloudtrail", "user_identity", "arn"], "userIdentity.arn"),
    alias(&["aws", "cloudtrail", "user_identity", "type"], "userIdentity.type"),
    alias(&["aws", "cloudtrail", "user_identity", "access_key_id"], "userIdentity.accessKeyId"),
    alias(&["aws", "cloudtrail", "user_identity", "invoked_by"], "userIdentity.invokedBy"),
    alias(
        &["aws", "cloudtrail", "user_identity", "session_context", "session_issuer", "arn"],
        "userIdentity.sessionContext.sessionIssuer.arn",
    ),
    alias(&["aws", "cloudtrail", "event_type"], "eventType"),
    alias(&["aws", "cloudtrail", "event_category"], "eventCategory"),
    alias(&["aws", "cloudtrail", "error_code"], "errorCode"),
    alias(&["aws", "cloudtrail", "recipient_account_id"], "recipientAccountId"),
    alias(&["aws", "cloudtrail", "request_parameters"], "requestParameters"),
    alias(&["aws", "cloudtrail", "response_elements"], "responseElements"),
    alias(&["aws", "cloudtrail", "flattened", "request_parameters"], "requestParameters"),
    alias(&["aws", "cloudtrail", "flattened", "response_elements"], "responseElements"),
    alias(&["aws", "cloudtrail", "flattened", "service_event_details"], "serviceEventDetails"),
    // Elastic, azure.activitylogs.
    alias(&["azure", "activitylogs"], ""),
    alias(&["result_type"], "resultType"),
    alias(&["result_signature"], "resultSignature"),
    alias(&["properties", "status_code"], "properties.statusCode"),
    alias(
        &["identity", "authorization", "evidence", "principal_type"],
        "identity.authorization.evidence.principalType",
    ),
    alias(&["geo", "name"], "location"),
    alias(&["azure", "correlation_id"], "correlationId"),
    alias(&["azure", "resource", "id"], "resourceId"),
    alias(&["azure", "subscription_id"], "subscriptionId"),
    // Elastic, gcp.audit.
    alias(&["gcp", "audit"], "protoPayload"),
    alias(&["protoPayload", "method_name"], "protoPayload.methodName"),
    alias(&["protoPayload", "service_name"], "protoPayload.serviceName"),
    alias(&["protoPayload", "resource_name"], "protoPayload.resourceName"),
    alias(
        &["protoPayload", "authentication_info", "principal_email"],
        "protoPayload.authenticationInfo.principalEmail",
    ),
    alias(&["protoPayload", "request_metadata", "caller_ip"], "protoPayload.requestMetadata.callerIp"),
    alias(&["protoPayload", "logentry_operation"], "operation"),
    alias(&["client", "user", "email"], "protoPayload.authenticationInfo.principalEmail"),
    alias(&["client", "user", "id"], "protoPayload.authenticationInfo.principalSubject"),
    alias(&["service", "name"], "protoPayload.serviceName"),
    alias(&["cloud", "project", "id"], "resource.labels.project_id"),
    alias(&["cloud", "instance", "id"], "resource.labels.instance_id"),
];
