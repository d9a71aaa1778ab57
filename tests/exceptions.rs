//! Exceptions tag findings, or drop them if configured to. An exception for one record never excuses the rest of the
//! chain.

use crate::common::{NOW, chain, lines};
use catena::Finding;
use serde_json::{Value, json};

/// Applies `change` to each record of a chain. Returns the findings and the metrics.
fn run(exception: Value, change: impl Fn(usize, &mut Value)) -> (Vec<(Finding, Value)>, Vec<catena::Metric>) {
    let mut correlator = crate::common::run::open(&json!({"exceptions": [exception]}).to_string()).unwrap();
    let text = String::from_utf8(lines(&chain(60, 120))).unwrap();
    let mut batch = Vec::new();
    for (at, line) in text.lines().enumerate() {
        let mut record: Value = serde_json::from_str(line).unwrap();
        change(at, &mut record);
        batch.extend(format!("{record}\n").into_bytes());
    }
    let findings = correlator.process(&batch, NOW).unwrap().findings;
    let findings = findings.into_iter().map(|finding| {
        let body = serde_json::from_str(&finding.body).unwrap();
        (finding, body)
    });
    (findings.collect(), correlator.metrics())
}

fn terraform() -> Value {
    json!({"id": "ours", "reason": "our pipeline", "provider": "aws", "where": [{"field": "userAgent", "prefix": "Terraform"}]})
}

fn by_terraform(record: &mut Value) {
    record["userAgent"] = "Terraform/1.9".into();
}

fn statuses(findings: &[(Finding, Value)]) -> Vec<(&str, &str)> {
    findings.iter().map(|(finding, body)| (finding.rule.as_str(), body["status"].as_str().unwrap())).collect()
}

fn metric(metrics: &[catena::Metric], name: &str) -> u64 {
    crate::common::run::value_of(metrics, name)
}

#[test]
fn an_exception_tags_the_finding_with_its_reason() {
    let (findings, metrics) = run(terraform(), |_, record| by_terraform(record));
    assert_eq!(statuses(&findings), [("aws-instance-created", "Suppressed"), ("aws-snapshot-staging", "Suppressed")]);
    for (_, body) in &findings {
        assert_eq!((&body["status_id"], &body["status_detail"]), (&json!(3), &json!("our pipeline")));
        assert_eq!(body["unmapped"]["exception"], "ours");
    }
    assert_eq!((metric(&metrics, "suppressed"), metric(&metrics, "excepted"), metric(&metrics, "findings")), (2, 0, 2));
}

#[test]
fn an_exception_with_drop_removes_the_finding_and_is_counted() {
    let mut exception = terraform();
    exception["action"] = "drop".into();
    exception["rules"] = json!(["aws-instance-created"]);
    let (findings, metrics) = run(exception, |_, record| by_terraform(record));
    assert_eq!(statuses(&findings), [("aws-snapshot-staging", "New")], "the exception does not cover the other rule");
    assert_eq!((metric(&metrics, "suppressed"), metric(&metrics, "excepted"), metric(&metrics, "findings")), (0, 1, 1));
}

#[test]
fn an_exception_must_cover_every_record_of_a_chain() {
    for innocent in 0..3 {
        let (findings, _) = run(terraform(), |at, record| {
            if at != innocent {
                by_terraform(record);
            }
        });
        assert_eq!(statuses(&findings)[1], ("aws-snapshot-staging", "New"), "record {innocent} is not covered");
    }
}

#[test]
fn an_exception_expires_on_its_date() {
    for (expires, status) in [("2026-01-05T10:02:00Z", "New"), ("2026-01-05T10:02:01Z", "Suppressed")] {
        let mut exception = terraform();
        exception["expires"] = expires.into();
        let (findings, _) = run(exception, |_, record| by_terraform(record));
        assert_eq!(statuses(&findings)[1].1, status, "{expires}");
    }
}

#[test]
fn an_exception_can_be_limited_to_part_of_the_week() {
    // 2026-01-05 is a Monday; the chain runs from 10:00 to 10:02.
    for (days, from, to, status) in [
        (json!([]), "10:00", "10:03", "Suppressed"),
        (json!(["mon"]), "09:00", "17:00", "Suppressed"),
        (json!(["tue"]), "09:00", "17:00", "New"),
        (json!([]), "10:01", "17:00", "New"),
        (json!(["sun"]), "22:00", "11:00", "Suppressed"),
        (json!(["mon"]), "22:00", "11:00", "New"),
    ] {
        let exception = json!({"id": "drill", "reason": "a drill", "provider": "aws",
                               "between": {"days": days, "from": from, "to": to}});
        let (findings, _) = run(exception, |_, _| {});
        assert_eq!(statuses(&findings)[1].1, status, "{days} {from} {to}");
    }
}

#[test]
fn every_condition_operator_is_evaluated() {
    for (condition, holds) in [
        (json!({"field": "userAgent", "equals": ["x", "Terraform/1.9"]}), true),
        (json!({"field": "userAgent", "equals": "terraform/1.9"}), false),
        (json!({"field": "userAgent", "equals": "terraform/1.9", "ignore_case": true}), true),
        (json!({"field": "userAgent", "suffix": "1.9"}), true),
        (json!({"field": "userAgent", "glob": "*form/?.9"}), true),
        (json!({"field": "userAgent", "glob": "form"}), false),
        (json!({"field": "userAgent", "prefix": "Terra", "not": true}), false),
        (json!({"field": "sourceIPAddress", "cidr": "198.51.100.0/24"}), true),
        (json!({"field": "sourceIPAddress", "cidr": ["10.0.0.0/8", "198.51.100.7"]}), true),
        (json!({"field": "sourceIPAddress", "cidr": "2001:db8::/32"}), false),
        (json!({"field": "tags[].key", "equals": "drill"}), true),
        (json!({"field": "tags[].key", "equals": "drill", "not": true}), false),
        (json!({"field": "tags", "exists": true}), true),
        (json!({"field": "nothing", "exists": true}), false),
        (json!({"field": "nothing", "exists": false}), true),
        (json!({"field": "nothing", "equals": "x", "not": true}), true),
        (json!({"field": "count", "above": 7}), true),
        (json!({"field": "count", "below": 8}), true),
        (json!({"field": "count", "above": 8}), false),
        (json!({"field": "flag", "equals": true}), true),
    ] {
        let exception = json!({"id": "any", "reason": "any", "provider": "aws", "where": [condition]});
        let (findings, _) = run(exception, |_, record| {
            by_terraform(record);
            record["sourceIPAddress"] = "198.51.100.7".into();
            record["tags"] = json!([{"key": "team"}, {"key": "drill"}]);
            record["count"] = json!(7.5);
            record["flag"] = true.into();
        });
        assert_eq!(statuses(&findings)[1].1 == "Suppressed", holds, "{condition}");
    }
}

#[test]
fn an_exception_removed_across_a_restart_no_longer_applies() {
    let with = json!({"exceptions": [terraform()]}).to_string();
    let text = String::from_utf8(lines(&chain(60, 120)))
        .unwrap()
        .replace("{\"eventID\"", "{\"userAgent\":\"Terraform\",\"eventID\"");
    let (before, after) = text.split_at(text.rfind("{\"userAgent\"").unwrap());
    let mut first = crate::common::run::open(&with).unwrap();
    first.process(before.as_bytes(), NOW).unwrap();
    for (config, status) in [(with.as_str(), "Suppressed"), ("{}", "New")] {
        let mut resumed = crate::common::run::resume(config, &first.checkpoint()).unwrap();
        let found = resumed.process(after.as_bytes(), NOW).unwrap().findings;
        assert!(found[1].body.contains(&format!("\"status\":\"{status}\"")), "{config}");
    }
}

#[test]
fn built_in_exceptions_are_off_until_enabled() {
    let ids: Vec<_> = catena::built_in_exceptions().unwrap().into_iter().map(|exception| exception.id).collect();
    assert!(ids.contains(&"auto-scaling".to_owned()));
    let config = json!({ "built_in_exceptions": ids }).to_string();
    let line = catena_synthetic::chain("mallory", crate::common::START, 5)[2]
        .replace("\"userName\"", "\"invokedBy\":\"autoscaling.amazonaws.com\",\"userName\"");
    for (config, status) in [("{}", "New"), (config.as_str(), "Suppressed")] {
        let found = crate::common::run::open(config).unwrap().process(line.as_bytes(), NOW).unwrap().findings;
        assert!(found[0].body.contains(&format!("\"status\":\"{status}\"")), "{config}");
    }
}
