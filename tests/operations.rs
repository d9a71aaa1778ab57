//! Several records may report one operation. It yields one finding, whichever record arrives first.

use crate::common::run::{Both, rules};
use catena_synthetic::shapes::{GCP_INSTANCE, GROUP, azure, azure_chain, gcp, gcp_chain};
use serde_json::{Value, json};

fn found(records: &[Value]) -> Vec<String> {
    let batch: String = records.iter().map(|record| format!("{record}\n")).collect();
    let outcome = Both::open("{}").process(batch.as_bytes());
    assert_eq!(outcome.rejections, []);
    rules(&outcome.findings).into_iter().map(str::to_owned).collect()
}

fn vm(status: &str, signature: &str, minute: u32) -> Value {
    azure("virtualMachines", "vm1", minute, status, signature, None)
}

#[test]
fn start_accept_and_success_are_one_creation_in_any_order_and_spelling() {
    let mut other_spelling = vm("Succeeded", "Succeeded.", 3);
    other_spelling["operationName"] = json!("Microsoft.Compute/virtualMachines/write");
    other_spelling["resourceId"] = json!(format!("{GROUP}Microsoft.Compute/virtualMachines/vm1").to_uppercase());
    let rows = [vm("Start", "Started.", 0), vm("Accept", "Accepted.Created", 0), vm("Success", "", 2), other_spelling];
    for order in [[0, 1, 2, 3], [3, 2, 1, 0], [2, 0, 3, 1], [1, 3, 0, 2]] {
        assert_eq!(found(&order.map(|at| rows[at].clone())), ["azure-instance-created"], "{order:?}");
    }
    assert_eq!(found(&rows[..1]), [] as [&str; 0], "a started operation is not complete");
    assert_eq!(found(&[vm("Accept", "Accepted.Created", 0)]), ["azure-instance-created"], "Accept can be the last");
}

#[test]
fn the_same_vm_created_twice_is_two_creations() {
    let mut again = vm("Accept", "Accepted.Created", 9);
    again["correlationId"] = json!("another");
    assert_eq!(found(&[vm("Accept", "Accepted.Created", 0), again]).len(), 2);
}

#[test]
fn an_update_is_not_a_creation_if_the_record_distinguishes_the_two() {
    assert_eq!(found(&[vm("Accept", "Accepted.OK", 0)]), [] as [&str; 0]);
    assert_eq!(found(&[vm("Failure", "Failed.Conflict", 0)]), [] as [&str; 0]);
    assert_eq!(found(&[vm("Success", "Succeeded.", 0)]), ["azure-instance-created"], "the record does not say");
}

/// Tables that mix two schema generations have a display column next to each machine-readable one, in any order.
#[test]
fn display_columns_do_not_hide_machine_readable_ones() {
    let mut row = json!({"TimeGenerated": "2026-01-05T10:00:00Z", "CorrelationId": "c", "Caller": "alice@contoso.com",
        "_ResourceId": format!("{GROUP}Microsoft.Compute/virtualMachines/vm1")});
    let pairs = [
        (
            "OperationName",
            "OperationNameValue",
            ["Create or Update Virtual Machine", "MICROSOFT.COMPUTE/VIRTUALMACHINES/WRITE"],
        ),
        ("ActivityStatus", "ActivityStatusValue", ["Réussi", "Success"]),
        ("ActivitySubstatus", "ActivitySubstatusValue", ["Créé (HTTP Status Code: 201)", "Created"]),
    ];
    for (people, programs, values) in pairs {
        row[people] = json!(values[0]);
        row[programs] = json!(values[1]);
    }
    let text = row.to_string();
    // The same members, with the display columns last.
    let mut swapped = text.clone();
    for (people, programs, values) in pairs {
        let (first, second) = (json!(values[0]).to_string(), json!(values[1]).to_string());
        swapped = swapped.replace(&format!("\"{people}\":{first}"), "\"@\":@");
        swapped = swapped.replace(&format!("\"{programs}\":{second}"), &format!("\"{people}\":{first}"));
        swapped = swapped.replace("\"@\":@", &format!("\"{programs}\":{second}"));
    }
    for text in [text, swapped] {
        let outcome = Both::open("{}").process(text.as_bytes());
        assert_eq!(rules(&outcome.findings), ["azure-instance-created"], "{text}");
        assert!(outcome.findings[0].body.contains("create"), "{}", outcome.findings[0].body);
        let update = text.replace("Créé (HTTP Status Code: 201)", "OK (HTTP Status Code: 200)").replace("Created", "");
        assert_eq!(rules(&Both::open("{}").process(update.as_bytes()).findings), [] as [&str; 0], "{update}");
    }
}

/// If an operation is accepted twice, only one of the two records carries its body.
#[test]
fn the_order_of_two_accept_records_does_not_matter() {
    let chain = azure_chain();
    let bare = azure("virtualMachines", "vm1", 3, "Accept", "Accepted.Created", None);
    for rows in [[&bare, &chain[0], &chain[1], &chain[2]], [&chain[0], &chain[1], &chain[2], &bare]] {
        assert_eq!(found(&rows.map(Clone::clone)), ["azure-instance-created", "azure-snapshot-staging"]);
    }
}

#[test]
fn an_azure_chain_is_one_finding_across_all_rows_of_its_operations() {
    let chain = azure_chain();
    let mut rows: Vec<_> = chain.to_vec();
    for (at, kind) in ["snapshots", "disks", "virtualMachines"].iter().enumerate() {
        let name = ["snap1", "disk1", "vm1"][at];
        rows.push(azure(kind, name, 2 * at as u32, "Start", "Started.", None));
        rows.push(azure(kind, name, 2 * at as u32 + 1, "Success", "Succeeded.", None));
    }
    for step in [1, 2, 4, 5, 7, 8] {
        let order: Vec<_> = (0..rows.len()).map(|at| rows[at * step % rows.len()].clone()).collect();
        assert_eq!(found(&order), ["azure-instance-created", "azure-snapshot-staging"], "stride {step}");
    }
}

#[test]
fn gcp_first_and_last_entries_are_one_creation_in_either_order() {
    let [last, first, _] = gcp_chain();
    assert_eq!(found(&[first.clone(), last.clone()]), ["gcp-instance-created"]);
    assert_eq!(found(&[last.clone(), first.clone()]), ["gcp-instance-created"]);
    assert_eq!(found(std::slice::from_ref(&first)), [] as [&str; 0]);
    let mut failed = last.clone();
    failed["protoPayload"]["status"] = json!({"code": 8, "message": "QUOTA_EXCEEDED"});
    assert_eq!(found(&[first, failed]), [] as [&str; 0]);
    let mut fine = last;
    fine["protoPayload"]["status"] = json!({});
    assert_eq!(found(&[fine]), ["gcp-instance-created"], "an empty status means success");
}

/// elastic/integrations#3390: Elastic stores the operation in a separate member.
#[test]
fn first_and_last_entries_in_elastic_documents_are_one_creation() {
    let document = |phase: &str| {
        json!({"@timestamp": "2026-01-05T10:03:00Z", "event": {"id": phase}, "cloud": {"project": {"id": "p1"}},
            "gcp": {"audit": {"method_name": "v1.compute.instances.insert", "service_name": "compute.googleapis.com",
                "resource_name": GCP_INSTANCE, "logentry_operation": {"id": "operation-1", phase: true}}}})
    };
    assert_eq!(found(&[document("first"), document("last")]), ["gcp-instance-created"]);
    assert_eq!(found(&[document("first")]), [] as [&str; 0]);
}

#[test]
fn launches_by_other_gcp_methods_are_found() {
    for method in [
        "v1.compute.instances.bulkInsert",
        "alpha.compute.instanceGroupManagers.insert",
        "compute.regionInstanceGroupManagers.createInstances",
    ] {
        let entry = gcp(method, GCP_INSTANCE, 0, 1, "last", json!({}));
        assert_eq!(found(&[entry]), ["gcp-instance-created"], "{method}");
    }
}

#[test]
fn a_gcp_chain_is_found_in_any_order_and_with_any_form_of_the_snapshot_name() {
    for order in [[0, 1, 2], [2, 1, 0], [1, 2, 0], [1, 0, 2]] {
        let chain = gcp_chain();
        assert_eq!(found(&order.map(|at| chain[at].clone())), ["gcp-instance-created", "gcp-snapshot-staging"]);
    }
    for name in [
        "https://compute.googleapis.com/compute/v1/projects/p1/global/snapshots/snap1",
        "//compute.googleapis.com/projects/p1/global/snapshots/snap1",
        "projects/123456789012/global/snapshots/snap1",
        "projects/p1/global/snapshots/snap1",
        "global/snapshots/snap1",
    ] {
        let mut chain = gcp_chain();
        chain[1]["protoPayload"]["request"]["disks"][0]["initializeParams"]["sourceSnapshot"] = json!(name);
        assert_eq!(found(&chain), ["gcp-instance-created", "gcp-snapshot-staging"], "{name}");
    }
}
