//! The four published Atomic Red Team tests of T1578.002, with the records that the clouds write for them.

use crate::common::run::Both;
use catena_synthetic::shapes::{GCP_INSTANCE, azure, gcp, gcp_chain};
use serde_json::{Value, json};

/// The row of the one finding of `rule`, in the columns of the published query.
fn row(records: &[Value], rule: &str) -> Value {
    let batch: String = records.iter().map(|record| format!("{record}\n")).collect();
    let outcome = Both::open(r#"{"findings":"sentinel"}"#).process(batch.as_bytes());
    let found: Vec<_> = outcome.findings.iter().filter(|finding| finding.rule == rule).collect();
    assert_eq!(found.len(), 1, "{:?}", outcome.findings);
    serde_json::from_str(&found[0].body).unwrap()
}

fn assert_columns(row: &Value, columns: &[(&str, &str)]) {
    for (column, expected) in columns {
        assert_eq!(row[column], *expected, "{column}");
    }
}

#[test]
fn test_1_finds_an_instance_created_with_the_aws_cli() {
    let record = json!({"eventVersion": "1.08", "eventID": "e1", "eventTime": "2026-01-05T10:00:00Z",
        "eventSource": "ec2.amazonaws.com", "eventName": "RunInstances", "awsRegion": "us-west-2",
        "sourceIPAddress": "198.51.100.7", "userAgent": "aws-cli/2.15.0", "recipientAccountId": "011122223333",
        "userIdentity": {"type": "IAMUser", "arn": "arn:aws:iam::011122223333:user/atomic", "userName": "atomic"},
        "requestParameters": {"instancesSet": {"items": [{"imageId": "ami-1", "minCount": 1, "maxCount": 1}]},
                              "instanceType": "t2.micro", "blockDeviceMapping": {}},
        "responseElements": {"instancesSet": {"items": [{"instanceId": "i-0abc", "imageId": "ami-1"}]}}});
    assert_columns(
        &row(&[record], "aws-instance-created"),
        &[
            ("TimeGenerated", "2026-01-05T10:00:00.000Z"),
            ("CloudProvider", "AWS"),
            ("Actor", "arn:aws:iam::011122223333:user/atomic"),
            ("SourceIP", "198.51.100.7"),
            ("InstanceIdentifier", "i-0abc"),
            ("Scope", "us-west-2"),
            ("AccountScope", "011122223333"),
            ("Level", ""),
        ],
    );
}

#[test]
fn test_2_finds_a_vm_created_with_the_azure_cli_after_its_resource_group() {
    let mut group = azure("virtualMachines", "vm1", 0, "Success", "Succeeded.", None);
    group["operationName"] = json!("MICROSOFT.RESOURCES/SUBSCRIPTIONS/RESOURCEGROUPS/WRITE");
    group["resourceId"] = json!("/subscriptions/00000000-0000-0000-0000-000000000001/resourceGroups/atomic");
    let mut vm = azure("virtualMachines", "AtomicVM", 1, "Accept", "Accepted.Created", None);
    vm["resourceId"] = json!(vm["resourceId"].as_str().unwrap().replace("/rg1/", "/Atomic/"));
    assert_columns(
        &row(&[group, vm], "azure-instance-created"),
        &[
            ("TimeGenerated", "2026-01-05T10:01:01.123Z"),
            ("CloudProvider", "Azure"),
            ("Actor", "alice@contoso.com"),
            ("SourceIP", "203.0.113.7"),
            (
                "InstanceIdentifier",
                "/subscriptions/00000000-0000-0000-0000-000000000001/resourcegroups/atomic/providers/microsoft.compute/virtualmachines/atomicvm",
            ),
            ("Scope", "atomic"),
            ("AccountScope", "00000000-0000-0000-0000-000000000001"),
            ("Level", "Information"),
        ],
    );
}

#[test]
fn test_3_finds_an_instance_created_with_gcloud() {
    let [last, first, _] = gcp_chain();
    assert_columns(
        &row(&[first, last], "gcp-instance-created"),
        &[
            ("TimeGenerated", "2026-01-05T10:03:00.100Z"),
            ("CloudProvider", "GCP"),
            ("Actor", "mallory@example.com"),
            ("SourceIP", "203.0.113.9"),
            ("InstanceIdentifier", "9006852555199593347"),
            ("Scope", "us-central1-a"),
            ("AccountScope", "p1"),
            ("Level", "NOTICE"),
        ],
    );
}

#[test]
fn test_4_finds_an_instance_created_from_a_snapshot() {
    let records =
        catena_synthetic::chain("atomic", crate::common::START, 5).map(|line| serde_json::from_str(&line).unwrap());
    let instance: &Value = &records[2];
    let row = row(&records, "aws-snapshot-staging");
    assert_columns(
        &row,
        &[
            ("CloudProvider", "AWS"),
            ("Actor", "arn:aws:iam::111122223333:user/atomic"),
            ("Scope", "us-east-1"),
            ("AccountScope", "111122223333"),
            ("Severity", "High"),
            ("RuleId", "aws-snapshot-staging"),
        ],
    );
    assert_eq!(row["InstanceIdentifier"], instance["responseElements"]["instancesSet"]["items"][0]["instanceId"]);
    assert_eq!(row["SourceIP"], instance["sourceIPAddress"]);
    assert_eq!(row["Tactics"], json!(["DefenseEvasion"]));
    assert_eq!(row["SubTechniques"], json!(["T1578.001", "T1578.002"]));
}

#[test]
fn instance_ids_keep_every_digit() {
    let mut entry = gcp("v1.compute.instances.insert", GCP_INSTANCE, 0, 1, "last", json!({}));
    for (id, told) in [(json!(9_007_199_254_740_993_u64), "9007199254740993"), (json!("0012"), "0012")] {
        entry["resource"]["labels"]["instance_id"] = id;
        assert_columns(&row(std::slice::from_ref(&entry), "gcp-instance-created"), &[("InstanceIdentifier", told)]);
    }
}
