//! Spellings that callers choose hide no chain: cases, links, marks, decoys and repeated ids.

use crate::common::run::{Both, rules};
use catena_synthetic::shapes::{azure, azure_chain, gcp, gcp_chain};
use serde_json::{Value, json};

fn found(records: &[Value]) -> Vec<String> {
    let batch: String = records.iter().map(|record| format!("{record}\n")).collect();
    let outcome = Both::open("{}").process(batch.as_bytes());
    assert_eq!(outcome.rejections, []);
    rules(&outcome.findings).into_iter().map(str::to_owned).collect()
}

fn fires(records: &[Value], rule: &str) -> bool {
    found(records).iter().any(|found| found == rule)
}

/// Where a record of the synthetic chain has its body, and the body as text.
fn body(record: &Value) -> Option<(&'static str, String)> {
    ["requestbody", "responseBody"].into_iter().find_map(|name| {
        let body = &record["properties"][name];
        body.as_str().map(str::to_owned).or_else(|| body.is_object().then(|| body.to_string())).map(|text| (name, text))
    })
}

fn with_body(record: &Value, change: impl Fn(&str) -> String) -> Value {
    let mut record = record.clone();
    if let Some((name, text)) = body(&record) {
        record["properties"][name] = change(&text).into();
    }
    record
}

#[test]
fn azure_bodies_may_have_names_in_any_case() {
    let chain = azure_chain();
    assert!(chain.iter().all(|record| body(record).is_some()));
    let capital = |text: &str| {
        let names = [
            "properties",
            "creationData",
            "sourceResourceId",
            "storageProfile",
            "osDisk",
            "dataDisks",
            "managedDisk",
            "id",
        ];
        names.iter().fold(text.to_owned(), |text, name| {
            text.replace(&format!("\"{name}\":"), &format!("\"{}\":", name.to_uppercase()))
        })
    };
    let other: Vec<_> = chain.iter().map(|record| with_body(record, capital)).collect();
    assert_ne!(other[0], chain[0]);
    assert!(fires(&other, "azure-snapshot-staging"));
}

#[test]
fn azure_bodies_may_begin_with_a_byte_order_mark() {
    let marked: Vec<_> =
        azure_chain().iter().map(|record| with_body(record, |text| format!("\u{feff}{text}"))).collect();
    assert!(fires(&marked, "azure-snapshot-staging"));
}

#[test]
fn truncated_azure_bodies_leave_the_unlinked_rule() {
    let cut = |text: &str| text[..text.len() - 2].to_owned();
    let cut: Vec<_> = azure_chain().iter().map(|record| with_body(record, cut)).collect();
    let found = found(&cut);
    assert!(found.iter().any(|rule| rule == "azure-snapshot-staging-unlinked"), "{found:?}");
}

/// The caller chooses the correlation id (`x-ms-correlation-request-id`).
#[test]
fn a_machine_created_again_under_one_correlation_id_is_found_again() {
    let created = |minute| azure("virtualMachines", "vm1", minute, "Accept", "Accepted.Created", None);
    let outcome = Both::open("{}").process(format!("{}\n{}\n{}\n", created(0), created(5), created(59)).as_bytes());
    assert_eq!(outcome.findings.len(), 2, "minutes 0 and 5 are one operation");
    assert_ne!(outcome.findings[0].id, outcome.findings[1].id);
}

/// Replaces a text in every record but the first, where the snapshot is made.
fn linked_as(chain: &[Value], from: &str, to: &str) -> Vec<Value> {
    let change = |record: &Value| {
        let mut record = record.clone();
        if let Some(request) = record["protoPayload"].get_mut("request") {
            *request = serde_json::from_str(&request.to_string().replace(from, to)).unwrap();
        }
        record
    };
    chain.iter().map(change).collect()
}

#[test]
fn gcp_links_may_have_any_form() {
    let chain = gcp_chain();
    assert!(fires(&chain, "gcp-snapshot-staging"));
    let request = chain[1]["protoPayload"]["request"].to_string();
    let at = request.find("snapshots/").expect("the launch names its snapshot");
    let start = request[..at].rfind('"').unwrap() + 1;
    let end = at + request[at..].find('"').unwrap();
    let link = &request[start..end];
    let name = &link[link.find("projects/").unwrap_or_default()..];
    for other in [
        format!("http://www.googleapis.com/compute/v1/{name}"),
        format!("HTTPS://Compute.GoogleAPIs.com/compute/beta/{name}"),
        format!("compute/v1/{name}"),
        format!("/compute/v1/{name}"),
        format!("//compute.googleapis.com/{name}"),
        name.to_owned(),
    ] {
        assert!(fires(&linked_as(&chain, link, &other), "gcp-snapshot-staging"), "{other}");
    }
}

#[test]
fn gcp_requests_may_name_a_snapshot_by_its_number() {
    let mut chain = gcp_chain();
    chain[2] = gcp("v1.compute.snapshots.insert", "projects/p1/global/snapshots/snap1", 0, 1, "first", json!({}));
    chain[2]["resource"] = json!({"type": "gce_snapshot", "labels": {"project_id": "p1", "snapshot_id": "4711"}});
    assert!(fires(&chain, "gcp-snapshot-staging"));
    let by_number = linked_as(&chain, "snapshots/snap1", "snapshots/4711");
    assert!(fires(&by_number, "gcp-snapshot-staging"));
}

#[test]
fn gcp_projects_may_belong_to_a_domain() {
    let scoped: Vec<Value> = gcp_chain()
        .iter()
        .map(|record| {
            let project = record["resource"]["labels"]["project_id"].as_str().unwrap();
            let text = record.to_string();
            let text = text.replace(&format!("\"{project}\""), &format!("\"example.com:{project}\""));
            serde_json::from_str(
                &text.replace(&format!("projects/{project}/"), &format!("projects/example.com:{project}/")),
            )
            .unwrap()
        })
        .collect();
    assert!(fires(&scoped, "gcp-snapshot-staging"));
    let encoded = linked_as(&scoped, "example.com:", "example.com%3A");
    assert!(fires(&encoded, "gcp-snapshot-staging"));
}

#[test]
fn gcp_instances_inserted_in_bulk_complete_a_chain() {
    let mut chain = gcp_chain();
    for record in chain.iter_mut().filter(|record| record.to_string().contains("compute.instances.insert")) {
        let disks = record["protoPayload"]["request"]["disks"].take();
        record["protoPayload"]["methodName"] = json!("v1.compute.regionInstances.bulkInsert");
        if !disks.is_null() {
            record["protoPayload"]["request"] = json!({"count": "3", "instanceProperties": {"disks": disks}});
        }
    }
    assert!(fires(&chain, "gcp-snapshot-staging"));
}
