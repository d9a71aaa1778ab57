//! The output is the input with one member added to each record that matched. Nothing else changes.

use crate::common::run::Both;
use crate::common::{chain, lines};
use serde_json::Value;

fn process(config: &str, batch: &[u8]) -> (String, Vec<catena::Finding>) {
    let outcome = Both::open(config).process(batch);
    (String::from_utf8(outcome.apply(batch)).expect("the output should be UTF-8"), outcome.findings)
}

#[test]
fn a_finding_from_several_rows_of_one_operation_is_counted_once() {
    let chain = catena_synthetic::shapes::azure_chain();
    let rows = [
        chain[0].clone(),
        chain[1].clone(),
        catena_synthetic::shapes::azure("disks", "disk1", 3, "Success", "Succeeded.", None),
        chain[2].clone(),
    ];
    let mut with_body = rows[2].clone();
    with_body["properties"] = rows[1]["properties"].clone();
    let batch: String = [&rows[0], &rows[1], &with_body, &rows[3]].map(|row| format!("{row}\n")).concat();
    let mut both = Both::open("{}");
    let exception = serde_json::json!({"id": "ours", "action": "drop", "reason": "ours", "provider": "azure", "where": [{"field": "callerIpAddress", "equals": "203.0.113.7"}]});
    let outcome = both.process(batch.as_bytes());
    assert_eq!(crate::common::run::rules(&outcome.findings), ["azure-instance-created", "azure-snapshot-staging"]);
    let output = String::from_utf8(outcome.apply(batch.as_bytes())).unwrap();
    let last: Value = serde_json::from_str(output.lines().last().unwrap()).expect("the output should be JSON");
    let matches = last["catena"]["matches"].as_array().unwrap();
    let staging = matches.iter().find(|one| one["analytic"]["uid"] == "azure-snapshot-staging").unwrap();
    assert_eq!(staging["finding_info"].as_array().map(Vec::len), Some(1), "{staging}");
    let mut dropping = Both::open(&serde_json::json!({ "exceptions": [exception] }).to_string());
    let again = catena_synthetic::shapes::azure("virtualMachines", "vm1", 5, "Success", "Succeeded.", None);
    assert_eq!(dropping.process(format!("{batch}{again}").as_bytes()).findings, []);
    assert_eq!(dropping.metric("excepted"), 2);
}

/// A configuration with only `aws-instance-created` and `aws-snapshot-staging` enabled.
fn two_rules() -> String {
    let others = catena::built_in().unwrap().into_iter().map(|rule| rule.id);
    let others: Vec<_> = others.filter(|id| id != "aws-instance-created" && id != "aws-snapshot-staging").collect();
    serde_json::json!({ "disabled_rules": others }).to_string()
}

/// A match in an annotation with OCSF names.
fn matched(rule: &str, step: &str, findings: &[&str]) -> Value {
    let findings: Vec<_> = findings.iter().map(|uid| serde_json::json!({ "uid": uid })).collect();
    serde_json::json!({"analytic": {"uid": rule}, "step": step, "finding_info": findings})
}

#[test]
fn annotations_use_the_names_of_the_finding_format() {
    let batch = lines(&chain(60, 120)[2..]);
    for (form, rule, id) in [("ecs", "/rule/id", "/event/id/0"), ("sentinel", "/RuleId", "/FindingId/0")] {
        let (output, findings) = process(&format!(r#"{{"findings":"{form}"}}"#), &batch);
        let record: Value = serde_json::from_str(output.trim()).expect("the output should be JSON");
        let first = &record["catena"]["matches"][0];
        let text = |pointer: &str| first.pointer(pointer).and_then(Value::as_str);
        assert_eq!((text(rule), text(id)), (Some("aws-instance-created"), Some(findings[0].id.as_str())), "{form}");
    }
}

#[test]
fn a_matched_record_lists_rule_step_and_findings() {
    let batch = lines(&chain(60, 120));
    let (output, findings) = process(&two_rules(), &batch);
    let records: Vec<Value> =
        output.lines().map(|line| serde_json::from_str(line).expect("the output should be JSON")).collect();
    let staging = |step: &str, findings: &[&str]| matched("aws-snapshot-staging", step, findings);
    assert_eq!(records[0]["catena"]["matches"], serde_json::json!([staging("volume", &[])]));
    assert_eq!(records[1]["catena"]["matches"], serde_json::json!([staging("snapshot", &[])]));
    let created = matched("aws-instance-created", "instance", &[&findings[0].id]);
    assert_eq!(records[2]["catena"]["matches"], serde_json::json!([created, staging("instance", &[&findings[1].id])]));
}

#[test]
fn a_duplicate_is_marked_and_keeps_its_finding() {
    let batch = lines(&[chain(60, 120)[2].clone(), chain(60, 120)[2].clone()]);
    let (output, findings) = process("{}", &batch);
    let records: Vec<Value> =
        output.lines().map(|line| serde_json::from_str(line).expect("the output should be JSON")).collect();
    assert_eq!(findings.len(), 1);
    assert_eq!(records[0]["catena"].get("duplicate"), None);
    assert_eq!(records[1]["catena"]["duplicate"], true);
    assert_eq!(records[1]["catena"]["matches"][0]["finding_info"][0]["uid"], findings[0].id.as_str());
}

#[test]
fn removing_the_annotations_restores_the_input() {
    let records = String::from_utf8(lines(&chain(60, 120))).unwrap();
    let spaced = records.replace("}\n", " } \r\n").replace(":", " :\t").replace(" :\t//", "://");
    let batch = format!(
        "\u{FEFF}{{\"n\": 9007199254740993.10, \"n\":1e400 }}\n\n{records}nonsense\n{{\"Records\": [\n{spaced}"
    );
    for (batch, annotated) in [(batch.as_bytes(), 3), (&b"{\"caf\xC3\xA9\":\"\xFF\xFE\"}\n"[..], 0)] {
        let outcome = Both::open("{}").process(batch);
        assert_eq!(outcome.splices.len(), annotated);
        let mut bare = Vec::new();
        let mut from = 0;
        for splice in &outcome.splices {
            assert_eq!(splice.start, splice.end, "a splice should remove nothing");
            assert!(splice.text.starts_with(",\"catena\":{\"matches\":["));
            bare.extend_from_slice(&batch[from..splice.start as usize]);
            from = splice.end as usize;
        }
        bare.extend_from_slice(&batch[from..]);
        assert_eq!(bare, batch);
    }
}

#[test]
fn the_name_of_the_annotation_is_configurable() {
    let (output, _) = process(r#"{"annotation":"det\"ect"}"#, &lines(&chain(60, 120)));
    assert_eq!(output.lines().filter(|line| line.contains(r#","det\"ect":{"matches":["#)).count(), 3);
}

#[test]
fn filter_mode_passes_matched_records_and_keeps_containers_valid() {
    let [volume, snapshot, instance] = chain(60, 120).map(|event| event.line());
    let noise = r#"{"eventName":"DescribeInstances"}"#;
    for records in [
        vec![volume.as_str(), noise, &snapshot, noise, &instance],
        vec![noise, &volume, &snapshot, &instance, noise],
        vec![noise, noise, &volume, noise, noise, &snapshot, &instance, noise],
        vec![&volume, &snapshot, &instance],
        vec![noise, "null", &volume, "7", &snapshot, "\"text\"", &instance, "[1]"],
    ] {
        for (separator, open, close) in
            [(",", "{\"Records\":[", "]}\n"), (" , ", "{ \"Records\" : [ ", " ] }\n"), (",", "[", "]\n")]
        {
            let batch = format!("{open}{}{close}", records.join(separator));
            let (output, findings) = process(r#"{"mode":"filter"}"#, batch.as_bytes());
            let value: Value = serde_json::from_str(&output).unwrap_or_else(|error| panic!("{error}: {output}"));
            let kept =
                value.as_array().or_else(|| value["Records"].as_array()).expect("a container should stay a container");
            assert_eq!(kept.len(), 3, "{output}");
            assert!(kept.iter().all(|record| record["catena"]["matches"].is_array()));
            assert_eq!(findings.len(), 2);
        }
    }
}

#[test]
fn filter_mode_drops_lines_and_containers_without_a_match() {
    let volume = chain(60, 120)[0].line();
    let noise = r#"{"eventName":"DescribeInstances"}"#;
    let batch = format!("{noise}\n\n{{\"Records\":[{noise},{noise}]}}\n[]\nnonsense\n{volume}\r\n{noise}");
    let (output, _) = process(r#"{"mode":"filter"}"#, batch.as_bytes());
    assert!(output.starts_with(&volume[..volume.len() - 1]) && output.ends_with("}\r\n"), "{output}");
    assert_eq!(output.lines().count(), 1);
}

#[test]
fn findings_mode_passes_no_records() {
    let (output, findings) = process(r#"{"mode":"findings"}"#, &lines(&chain(60, 120)));
    assert_eq!((output.as_str(), findings.len()), ("", 2));
}
