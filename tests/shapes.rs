//! A creation yields the same finding in every record shape of Azure and GCP.

use std::collections::BTreeSet;

use crate::common::run::{Both, rules};
use catena_synthetic::shapes::{GCP_INSTANCE, GROUP, UPN, azure, base64, gcp};
use serde_json::{Value, json};

/// Asserts that every shape yields one finding, with the same id and columns. Returns its Sentinel row.
fn one_finding(shapes: &[(&str, String)]) -> Value {
    let (mut ids, mut row) = (BTreeSet::new(), Value::Null);
    for (name, text) in shapes {
        let outcome = Both::open(r#"{"findings":"sentinel"}"#).process(text.as_bytes());
        assert_eq!((outcome.rejections.len(), rules(&outcome.findings).len()), (0, 1), "{name}");
        let without = Both::open(r#"{"findings":"sentinel","prefilter":false}"#).process(text.as_bytes());
        assert_eq!(outcome, without, "{name}: the prefilter should not change the outcome");
        ids.insert(outcome.findings[0].id.clone());
        let told: Value = serde_json::from_str(&outcome.findings[0].body).unwrap();
        for column in ["Actor", "SourceIP", "InstanceIdentifier", "Scope", "AccountScope", "TimeGenerated"] {
            assert!(row.is_null() || row[column] == told[column], "{name}: {column} is {}", told[column]);
        }
        row = told;
    }
    assert_eq!(ids.len(), 1, "{ids:?}");
    row
}

#[test]
fn an_azure_vm_is_the_same_finding_in_every_record_shape() {
    let record = azure("virtualMachines", "vm1", 0, "Accept", "Accepted.Created", None);
    let id = format!("{GROUP}Microsoft.Compute/virtualMachines/vm1");
    let claims = json!({UPN: "alice@contoso.com", "appid": "x"});
    let time = "2026-01-05T10:00:01.1234567Z";
    let operation = "Microsoft.Compute/virtualMachines/write";
    let both = |value: &str| json!({"value": value, "localizedValue": "…"});
    let rest = json!({
        "caller": "alice@contoso.com", "claims": claims, "correlationId": "c-virtualMachines-vm1", "level": "Informational",
        "eventTimestamp": time, "submissionTimestamp": "2026-01-05T10:05:00Z", "httpRequest": {"clientIpAddress": "203.0.113.7"},
        "operationName": both(operation), "status": both("Accepted"), "subStatus": both("Created"), "resourceId": id,
        "resourceGroupName": "rg1", "subscriptionId": "00000000-0000-0000-0000-000000000001", "eventName": both("EndRequest"),
    });
    let sdk = json!({
        "caller": "alice@contoso.com", "claims": claims, "correlation_id": "c-virtualMachines-vm1", "event_timestamp": time,
        "http_request": {"client_ip_address": "203.0.113.7"}, "operation_name": {"localized_value": "…", "value": operation},
        "status": both("Accepted"), "sub_status": both("Created"), "resource_id": id, "resource_group_name": "rg1",
        "event_name": both("EndRequest"),
    });
    let row = json!({
        "TimeGenerated": time, "OperationNameValue": "MICROSOFT.COMPUTE/VIRTUALMACHINES/WRITE", "ActivityStatusValue": "Accept",
        "ActivitySubstatusValue": "Created", "Caller": "alice@contoso.com", "CallerIpAddress": "203.0.113.7",
        "CorrelationId": "c-virtualMachines-vm1", "ResourceGroup": "RG1", "Resource": "", "ResourceId": "",
        "_ResourceId": id.to_lowercase(), "SubscriptionId": "00000000-0000-0000-0000-000000000001", "Level": "Information",
        "Claims": claims.to_string(), "Properties": "{\"statusCode\":\"Created\"}",
    });
    let old_row = json!({
        "TimeGenerated": time, "OperationName": "MICROSOFT.COMPUTE/VIRTUALMACHINES/WRITE", "ActivityStatus": "Accepted",
        "ActivitySubstatus": "Created", "Caller": "Alice@Contoso.com", "CallerIpAddress": "203.0.113.7",
        "CorrelationId": "c-virtualMachines-vm1", "ResourceId": id, "_ResourceId": "",
    });
    let elastic = json!({
        "@timestamp": time, "source": {"ip": "203.0.113.7"}, "event": {"action": operation},
        "azure": {"correlation_id": "c-virtualMachines-vm1", "resource": {"id": id},
                  "activitylogs": {"operation_name": operation, "result_type": "Accept", "result_signature": "Accepted.Created",
                                   "identity": {"claims": {UPN: "alice@contoso.com"}}}},
    });
    let mut other_spelling = old_row.clone();
    other_spelling["Caller"] = json!("alice@contoso.com");
    let told = one_finding(&[
        ("Event Hubs", json!({"records": [record]}).to_string()),
        ("storage", format!("{record}\r\n")),
        ("one record", record.to_string()),
        ("REST", json!({"value": [rest]}).to_string()),
        ("SDK", sdk.to_string()),
        ("Sentinel", row.to_string()),
        ("Sentinel, the columns of before", other_spelling.to_string()),
        ("Elastic", elastic.to_string()),
        ("Elastic with the original", json!({"event": {"original": record.to_string()}}).to_string()),
    ]);
    assert_eq!((&told["Actor"], &told["Scope"]), (&json!("alice@contoso.com"), &json!("rg1")));
}

#[test]
fn the_time_formats_of_azure_exports_are_read() {
    for time in ["1/5/2026 10:00:01 AM", "01/05/2026 10:00:01", "1/5/2026 11:00:01 AM +01:00", "2026-01-05 10:00:01"] {
        let mut record = azure("virtualMachines", "vm1", 0, "Success", "Succeeded.", None);
        record["time"] = json!(time);
        let outcome = Both::open("{}").process(record.to_string().as_bytes());
        assert_eq!(
            (outcome.rejections.len(), outcome.findings[0].last_seen.as_millis()),
            (0, 1_767_607_201_000),
            "{time}"
        );
    }
}

#[test]
fn a_gcp_instance_is_the_same_finding_in_every_record_shape() {
    let entry = gcp("v1.compute.instances.insert", GCP_INSTANCE, 0, 1, "last", json!({"@type": "x"}));
    let payload = &entry["protoPayload"];
    let row = json!({
        "TimeGenerated": "2026-01-05T10:07:00Z", "Timestamp": entry["timestamp"], "InsertId": entry["insertId"],
        "MethodName": payload["methodName"], "ServiceName": payload["serviceName"], "GCPResourceName": payload["resourceName"],
        "PrincipalEmail": "mallory@example.com", "RequestMetadata": payload["requestMetadata"].to_string(),
        "Request": payload["request"].to_string(), "Response": "", "Severity": "NOTICE", "ProjectId": "p1", "Status": "{}",
    });
    let data = base64(entry.to_string().as_bytes());
    let mut without_id = entry.clone();
    without_id["resource"]["labels"].as_object_mut().unwrap().remove("instance_id");
    let elastic = json!({
        "@timestamp": entry["timestamp"], "timestamp": entry["timestamp"], "insertId": entry["insertId"],
        "cloud": {"project": {"id": "p1"}}, "operation": entry["operation"],
        "gcp": {"audit": {"method_name": payload["methodName"], "service_name": payload["serviceName"],
                          "resource_name": payload["resourceName"], "request_metadata": {"caller_ip": "203.0.113.9"},
                          "authentication_info": {"principal_email": "mallory@example.com"}}},
    });
    let told = one_finding(&[
        ("LogEntry", without_id.to_string()),
        (
            "Pub/Sub push",
            json!({"message": {"data": base64(without_id.to_string().as_bytes()), "messageId": "1"},
                                "subscription": "s"})
            .to_string(),
        ),
        (
            "Pub/Sub pull",
            json!({"receivedMessages": [{"ackId": "a",
                                "message": {"data": base64(without_id.to_string().as_bytes())}}]})
            .to_string(),
        ),
        ("Sentinel", row.to_string()),
        ("Elastic", elastic.to_string()),
    ]);
    assert_eq!(told["InstanceIdentifier"], GCP_INSTANCE);
    // If the entry has the numeric instance id, the finding reports that.
    let told = one_finding(&[("Pub/Sub push", json!({"message": {"data": data}}).to_string())]);
    assert_eq!(told["InstanceIdentifier"], "9006852555199593347");
}
