//! Records and envelopes of all supported clouds as JSON values, for tests that modify them.
//!
//! Their structure follows the clouds' documentation; every name, id and address is synthetic.

use std::io::Write as _;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use serde_json::{Value, json};

/// The claim that holds the user principal name.
pub const UPN: &str = "http://schemas.xmlsoap.org/ws/2005/05/identity/claims/upn";
/// The resource group of all Azure resources in this module.
pub const GROUP: &str = "/subscriptions/00000000-0000-0000-0000-000000000001/resourceGroups/rg1/providers/";

/// A record as delivered by Event Hubs: a write to the resource `kind/name` of `Microsoft.Compute`.
pub fn azure(kind: &str, name: &str, minute: u32, status: &str, signature: &str, body: Option<Value>) -> Value {
    let mut record = json!({
        "time": format!("2026-01-05T10:{minute:02}:01.1234567Z"),
        "resourceId": format!("{GROUP}Microsoft.Compute/{kind}/{name}"),
        "operationName": format!("MICROSOFT.COMPUTE/{}/WRITE", kind.to_uppercase()),
        "resultType": status, "resultSignature": signature, "callerIpAddress": "203.0.113.7",
        "correlationId": format!("c-{kind}-{name}"), "level": "Information", "location": "eastus",
        "identity": {"claims": {UPN: "alice@contoso.com"}},
    });
    if let Some(body) = body {
        record["properties"] = json!({"statusCode": "Created", "responseBody": body.to_string()});
    }
    record
}

/// A snapshot, a disk created from it, and a virtual machine with that disk.
pub fn azure_chain() -> [Value; 3] {
    let from = |kind: &str, name: &str| json!({"properties": {"creationData": {"sourceResourceId": format!("{GROUP}Microsoft.Compute/{kind}/{name}")}}});
    let disk = json!({"properties": {"storageProfile": {"osDisk": {"managedDisk":
        {"id": format!("{GROUP}Microsoft.Compute/disks/disk1").to_uppercase()}}}}});
    [
        azure("snapshots", "snap1", 0, "Accept", "Accepted.Created", Some(from("disks", "disk0"))),
        azure("disks", "disk1", 2, "Accept", "Accepted.Created", Some(from("snapshots", "snap1"))),
        azure("virtualMachines", "vm1", 4, "Accept", "Accepted.Created", Some(disk)),
    ]
}

/// An audit log entry of an operation; `phase` is `first` or `last`.
pub fn gcp(method: &str, resource: &str, minute: u32, operation: u32, phase: &str, request: Value) -> Value {
    json!({
        "protoPayload": {
            "@type": "type.googleapis.com/google.cloud.audit.AuditLog",
            "authenticationInfo": {"principalEmail": "mallory@example.com"},
            "requestMetadata": {"callerIp": "203.0.113.9"},
            "serviceName": "compute.googleapis.com", "methodName": method, "resourceName": resource, "request": request,
        },
        "insertId": format!("{operation}{phase}"), "timestamp": format!("2026-01-05T10:{minute:02}:00.100Z"),
        "severity": "NOTICE", "operation": {"id": format!("operation-{operation}"), phase: true},
        "resource": {"type": "gce_instance", "labels":
            {"project_id": "p1", "zone": "us-central1-a", "instance_id": "9006852555199593347"}},
    })
}

/// The instance of [`gcp_chain`].
pub const GCP_INSTANCE: &str = "projects/p1/zones/us-central1-a/instances/vm1";

/// A snapshot and an instance with a disk created from it, newest entry first.
pub fn gcp_chain() -> [Value; 3] {
    let snapshot = "https://www.googleapis.com/compute/v1/projects/p1/global/snapshots/snap1";
    let disks = json!({"name": "vm1", "disks": [{"initializeParams": {"sourceSnapshot": snapshot}}]});
    let disk = "projects/p1/zones/us-central1-a/disks/data";
    [
        gcp("beta.compute.instances.insert", GCP_INSTANCE, 3, 2, "last", json!({})),
        gcp("beta.compute.instances.insert", GCP_INSTANCE, 2, 2, "first", disks),
        gcp("v1.compute.disks.createSnapshot", disk, 0, 1, "first", json!({"name": "snap1"})),
    ]
}

/// Base64 with padding.
pub fn base64(bytes: &[u8]) -> String {
    STANDARD.encode(bytes)
}

/// Compresses with gzip.
///
/// # Panics
///
/// Never: writing to memory does not fail.
pub fn gzip(bytes: &[u8]) -> Vec<u8> {
    let mut gzip = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::fast());
    gzip.write_all(bytes).expect("memory can be written");
    gzip.finish().expect("memory can be written")
}

/// The CloudWatch Logs subscription message with these records.
pub fn subscription(records: &[String]) -> Value {
    let event = |record: &String| json!({"id": "1", "timestamp": 1_767_607_200_000_u64, "message": record});
    json!({"messageType": "DATA_MESSAGE", "owner": "1", "logGroup": "g", "logStream": "s", "subscriptionFilters": ["all"],
           "logEvents": records.iter().map(event).collect::<Vec<_>>()})
}

/// A row of Microsoft Sentinel's `AWSCloudTrail` table.
pub fn sentinel_row(record: &Value) -> Value {
    json!({
        "TimeGenerated": record["eventTime"], "AwsEventId": record["eventID"], "EventSource": record["eventSource"],
        "EventName": record["eventName"], "AWSRegion": record["awsRegion"], "ErrorCode": "",
        "UserIdentityArn": record["userIdentity"]["arn"], "UserIdentityType": record["userIdentity"]["type"],
        "UserIdentityPrincipalid": record["userIdentity"]["principalId"],
        "UserIdentityAccessKeyId": record["userIdentity"]["accessKeyId"],
        "SessionIssuerArn": record["userIdentity"]["sessionContext"]["sessionIssuer"]["arn"],
        "RecipientAccountId": record["recipientAccountId"], "SourceIpAddress": record["sourceIPAddress"],
        "RequestParameters": record["requestParameters"].to_string(),
        "ResponseElements": record["responseElements"].to_string(),
    })
}
