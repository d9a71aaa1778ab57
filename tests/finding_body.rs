//! A finding's body is an OCSF Detection Finding that names identity, calls, resources, place and time.

use catena_synthetic::chain;
use serde_json::{Value, json};

fn chain_finding() -> (catena::Finding, Value) {
    let batch = chain("mallory", crate::common::START, 5).join("\n");
    let outcome = crate::common::run::open("{}").unwrap().process(batch.as_bytes(), crate::common::NOW).unwrap();
    let finding = outcome.findings.into_iter().find(|finding| finding.rule == "aws-snapshot-staging").unwrap();
    let body = serde_json::from_str(&finding.body).unwrap();
    (finding, body)
}

#[test]
fn a_chain_finding_is_an_ocsf_detection_finding() {
    let (finding, body) = chain_finding();
    let start = crate::common::START * 1_000;
    assert_eq!((finding.first_seen.as_millis(), finding.last_seen.as_millis()), (start, start + 135_000));
    assert_eq!(finding.severity, catena::Severity::High);
    for (pointer, expected) in [
        ("/class_uid", json!(2004)),
        ("/category_uid", json!(2)),
        ("/type_uid", json!(200_401)),
        ("/activity_id", json!(1)),
        ("/severity_id", json!(4)),
        ("/status_id", json!(1)),
        ("/metadata/version", json!("1.8.0")),
        ("/metadata/profiles", json!(["cloud"])),
        ("/finding_info/uid", json!(finding.id)),
        ("/finding_info/analytic/uid", json!("aws-snapshot-staging")),
        ("/finding_info/first_seen_time", json!(start)),
        ("/finding_info/last_seen_time", json!(start + 135_000)),
        ("/finding_info/related_events_count", json!(3)),
        ("/finding_info/attacks/0/sub_technique/uid", json!("T1578.002")),
        ("/finding_info/attacks/1/sub_technique/uid", json!("T1578.001")),
        ("/finding_info/attacks/0/tactic/uid", json!("TA0005")),
        ("/cloud", json!({"provider": "AWS", "region": "us-east-1", "account": {"uid": "111122223333"}})),
        ("/evidences/0/api/operation", json!("CreateVolume")),
        ("/evidences/2/api/operation", json!("RunInstances")),
        ("/evidences/2/actor/user/uid", json!("arn:aws:iam::111122223333:user/mallory")),
        ("/evidences/2/actor/user/name", json!("mallory")),
        ("/resources/0/type", json!("AWS::EC2::Volume")),
        ("/resources/2/type", json!("AWS::EC2::Instance")),
    ] {
        assert_eq!(body.pointer(pointer), Some(&expected), "{pointer}");
    }
    let address = body.pointer("/evidences/2/src_endpoint/ip").and_then(Value::as_str).unwrap();
    assert!(address.starts_with("198.51.100."));
}

#[test]
fn events_are_listed_in_step_order() {
    let lines = chain("mallory", crate::common::START, 5);
    let ids = lines.each_ref().map(|line| serde_json::from_str::<Value>(line).unwrap()["eventID"].clone());
    let (_, body) = chain_finding();
    let told: Vec<_> =
        body["finding_info"]["related_events"].as_array().unwrap().iter().map(|event| &event["uid"]).collect();
    assert_eq!(told, ids.iter().collect::<Vec<_>>());
}

#[test]
fn a_source_is_reported_as_an_ip_address_a_domain_or_a_name() {
    for (source, pointer) in [
        ("2001:db8::1", "/evidences/0/src_endpoint/ip"),
        ("autoscaling.amazonaws.com", "/evidences/0/src_endpoint/domain"),
        ("AWS Internal", "/evidences/0/src_endpoint/name"),
        ("06.237.252.245", "/evidences/0/src_endpoint/domain"),
    ] {
        let line = chain("mallory", crate::common::START, 5)[2].clone();
        let at = line.find("198.51.100.").unwrap();
        let end = at + line[at..].find('"').unwrap();
        let line = format!("{}{source}{}", &line[..at], &line[end..]);
        let outcome = crate::common::run::open("{}").unwrap().process(line.as_bytes(), crate::common::NOW).unwrap();
        let body: Value = serde_json::from_str(&outcome.findings[0].body).unwrap();
        assert_eq!(body.pointer(pointer), Some(&json!(source)));
    }
}

#[test]
fn the_finding_id_is_stable_for_the_same_subject() {
    let (finding, _) = chain_finding();
    assert_eq!(finding.id, "333d5ae6c25559006c20e5559f90eb9d");
}
