//! OCSF and ECS findings conform to their published schemas, for every rule and cloud.

use std::collections::BTreeMap;
use std::path::Path;

use crate::common::schema::validate;
use catena::Finding;
use serde_json::{Value, json};

/// The findings of every built-in rule in its own examples, and those of evictions.
fn all_findings(settings: &Value) -> Vec<Finding> {
    let mut all = Vec::new();
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("rules");
    for entry in std::fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        if path.extension().is_none_or(|extension| extension != "yaml") {
            continue;
        }
        let rule: Value = serde_saphyr::from_str(&std::fs::read_to_string(&path).unwrap()).unwrap();
        let before = all.len();
        for example in rule["examples"].as_array().unwrap() {
            let mut config = settings.clone();
            config["built_in_rules"] = json!(false);
            config["rules"] = json!([rule]);
            let lines: String =
                example["records"].as_array().unwrap().iter().map(|record| format!("{record}\n")).collect();
            let outcome = crate::common::run::open(&config.to_string())
                .unwrap()
                .process(lines.as_bytes(), crate::common::NOW)
                .unwrap();
            all.extend(outcome.findings);
        }
        assert!(all.len() > before, "{} should match its examples", path.display());
    }
    // Evictions are reported as findings, too.
    let mut config = settings.clone();
    config["limits"] = json!({"pending": 2, "pending_per_identity": 1});
    let lines: String = (0..5)
        .map(|n| catena_synthetic::chain(&format!("u{}", n % 2), crate::common::START, n).join("\n") + "\n")
        .collect();
    let outcome =
        crate::common::run::open(&config.to_string()).unwrap().process(lines.as_bytes(), crate::common::NOW).unwrap();
    assert!(outcome.findings.iter().any(|finding| finding.rule == "state-pressure"));
    all.extend(outcome.findings);
    all
}

/// Settings with an exception for every AWS record, so that its members are present too.
fn excused() -> Value {
    json!({"exceptions": [{"id": "all", "reason": "a drill", "provider": "aws", "where": [{"field": "eventSource", "exists": true}]}]})
}

#[test]
fn ocsf_findings_conform_to_the_schema() {
    let schema: Value = serde_json::from_str(include_str!("fixtures/ocsf-detection-finding.json")).unwrap();
    for settings in [json!({}), json!({"attack_version": "19"}), excused()] {
        for finding in all_findings(&settings) {
            let body = serde_json::from_str(&finding.body).unwrap();
            assert_eq!(validate(&schema, &schema, &body, &finding.rule), Ok(()));
        }
    }
}

#[test]
fn ecs_findings_have_only_schema_fields_of_the_right_type() {
    let fields: BTreeMap<&str, (&str, bool)> = include_str!("fixtures/ecs-fields.txt")
        .lines()
        .skip(1)
        .map(|line| {
            let mut columns = line.split(' ');
            (columns.next().unwrap(), (columns.next().unwrap(), columns.next() == Some("list")))
        })
        .collect();
    for settings in [json!({"findings": "ecs"}), {
        let mut s = excused();
        s["findings"] = json!("ecs");
        s
    }] {
        for finding in all_findings(&settings) {
            let body: Value = serde_json::from_str(&finding.body).unwrap();
            let mut leaves = Vec::new();
            flatten(&body, "", &mut leaves);
            for (path, value) in leaves {
                if path.starts_with("labels.") {
                    assert!(value.is_string(), "{path}");
                    continue;
                }
                let (kind, list) =
                    fields.get(path.as_str()).unwrap_or_else(|| panic!("{}: no field {path}", finding.rule));
                assert_eq!(value.is_array(), *list, "{}: {path}", finding.rule);
                for value in value.as_array().map_or(std::slice::from_ref(&value), Vec::as_slice) {
                    let fits = match *kind {
                        "long" => value.is_u64(),
                        "ip" => value.as_str().is_some_and(|text| text.parse::<std::net::IpAddr>().is_ok()),
                        "date" => value.as_str().is_some_and(|text| text.ends_with('Z')),
                        _ => value.is_string(),
                    };
                    assert!(fits, "{}: {path} is {value}, a {kind}", finding.rule);
                }
            }
        }
    }
}

fn flatten(value: &Value, path: &str, leaves: &mut Vec<(String, Value)>) {
    match value {
        Value::Object(members) => {
            for (name, member) in members {
                let path = if path.is_empty() { name.clone() } else { format!("{path}.{name}") };
                flatten(member, &path, leaves);
            }
        }
        leaf => leaves.push((path.to_owned(), leaf.clone())),
    }
}

#[test]
fn every_format_has_the_same_finding_ids() {
    let ids = |form: &str| -> Vec<String> {
        all_findings(&json!({"findings": form})).into_iter().map(|finding| finding.id).collect()
    };
    assert_eq!(ids("ocsf"), ids("ecs"));
    assert_eq!(ids("ocsf"), ids("sentinel"));
}

#[test]
fn the_tactic_follows_the_configured_attack_version() {
    for (version, uid, name) in [("18", "TA0005", "Defense Evasion"), ("19", "TA0112", "Defense Impairment")] {
        let line = catena_synthetic::chain("mallory", crate::common::START, 5)[2].clone();
        let tactic = |form: &str| -> Value {
            let config = json!({"findings": form, "attack_version": version}).to_string();
            let outcome =
                crate::common::run::open(&config).unwrap().process(line.as_bytes(), crate::common::NOW).unwrap();
            serde_json::from_str(&outcome.findings[0].body).unwrap()
        };
        assert_eq!(tactic("ocsf").pointer("/finding_info/attacks/0/tactic"), Some(&json!({"uid": uid, "name": name})));
        assert_eq!(tactic("ecs").pointer("/threat/tactic/id"), Some(&json!([uid])));
        assert_eq!(tactic("sentinel")["Tactics"], json!([name.replace(' ', "")]));
    }
}

#[test]
fn a_host_name_is_not_reported_as_an_ip_address() {
    let line = catena_synthetic::chain("mallory", crate::common::START, 5)[2].clone();
    let mut record: Value = serde_json::from_str(&line).unwrap();
    record["sourceIPAddress"] = json!("autoscaling.amazonaws.com");
    let outcome = crate::common::run::open(r#"{"findings":"ecs"}"#)
        .unwrap()
        .process(record.to_string().as_bytes(), crate::common::NOW);
    let body: Value = serde_json::from_str(&outcome.unwrap().findings[0].body).unwrap();
    assert_eq!(body["source"], json!({"address": "autoscaling.amazonaws.com"}));
    assert!(body["related"].get("ip").is_none());
}

#[test]
fn the_schema_validator_detects_violations() {
    let schema: Value = serde_json::from_str(
        r##"{"$defs":{"n":{"type":"integer","maximum":3}},"type":"object","additionalProperties":false,
            "required":["a"],"properties":{"a":{"$ref":"#/$defs/n"},"b":{"type":"array","items":{"enum":["x"]}}}}"##,
    )
    .unwrap();
    let check = |text: &str| validate(&schema, &schema, &serde_json::from_str(text).unwrap(), "it");
    assert_eq!(check(r#"{"a":1,"b":["x"]}"#), Ok(()));
    for wrong in [r#"{}"#, r#"{"a":"1"}"#, r#"{"a":4}"#, r#"{"a":1,"c":1}"#, r#"{"a":1,"b":["y"]}"#, "[]"] {
        assert!(check(wrong).is_err(), "{wrong}");
    }
}
