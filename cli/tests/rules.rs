//! `catena rules`: rule files are checked with line numbers, explained in plain English, and tested on their examples.

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};

use crate::common::{file, run, stderr, stdout};

const RULE: &str = r#"id: key-then-trail
version: 1
title: An access key made, used and the trail deleted
severity: high
within: 1h
steps:
  - id: key
    provider: aws
    service: iam.amazonaws.com
    actions: [CreateAccessKey]
    bind:
      key: responseElements.accessKey.accessKeyId
  - id: use
    provider: aws
    service: sts.amazonaws.com
    actions:
      - AssumeRole
    bind:
      key: userIdentity.accessKeyId
examples:
  - name: the key is used
    findings: 1
    records:
      - {eventID: a, eventTime: "2026-01-05T10:00:00Z", eventSource: iam.amazonaws.com, eventName: CreateAccessKey, userIdentity: {arn: "arn:aws:iam::1:user/a"}, responseElements: {accessKey: {accessKeyId: AKIA1}}}
      - {eventID: b, eventTime: "2026-01-05T10:30:00Z", eventSource: sts.amazonaws.com, eventName: AssumeRole, userIdentity: {arn: "arn:aws:iam::1:user/a", accessKeyId: AKIA1}}
"#;

fn built_in_files() -> Vec<PathBuf> {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("../rules");
    let mut files: Vec<_> = std::fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().path()).collect();
    files.retain(|file| file.extension().is_some_and(|extension| extension == "yaml"));
    files.sort();
    files
}

#[test]
fn every_built_in_rule_passes_its_examples() {
    let files = built_in_files();
    assert_eq!(files.len(), catena::built_in().unwrap().len());
    let output = crate::common::catena(["rules", "test"]).args(&files).output().unwrap();
    assert_eq!(output.status.code(), Some(0), "{}{}", stdout(&output), stderr(&output));
    assert!(!stdout(&output).contains("no examples"), "{}", stdout(&output));
    for rule in catena::built_in().unwrap() {
        assert!(stdout(&output).contains(&format!("{}: ok", rule.id)), "{}", rule.id);
    }
}

#[test]
fn every_built_in_rule_is_explained() {
    for rule in catena::built_in().unwrap() {
        let output = run(["rules", "explain", &rule.id], b"");
        assert_eq!(output.status.code(), Some(0));
        for step in &rule.steps {
            assert!(
                stdout(&output).contains(&format!(". {}: {}", step.id, step.actions.join(" or "))),
                "{}",
                stdout(&output)
            );
        }
    }
    let list = stdout(&run(["rules", "list"], b""));
    assert!(list.contains("aws-snapshot-staging-share") && list.contains("posture-scanner"), "{list}");
}

#[test]
fn errors_name_file_and_line() {
    let folder = tempfile::tempdir().unwrap();
    for (part, by, place, expected) in [
        ("severity: high", "severity: awful", "4:1", "severity: unknown value `awful`; there are informational, low"),
        ("actions: [CreateAccessKey]", "actions: []", "10:5", "steps[0].actions: expected at least one action"),
        (
            "      - AssumeRole",
            "      - Assume Role",
            "17:9",
            "steps[1].actions[0]: \"Assume Role\" is not a valid action",
        ),
        (
            "      key: userIdentity.accessKeyId",
            "      key: userIdentity..accessKeyId",
            "19:7",
            "steps[1].bind.key: the text",
        ),
        (
            "      key: userIdentity.accessKeyId",
            "      other: userIdentity.accessKeyId",
            "6:1",
            "steps: not all steps are linked",
        ),
        ("within: 1h\n", "", "", "a rule of several steps needs `within`"),
        ("    findings: 1", "    finding: 1", "21:5", "examples[0]: expected `findings`"),
    ] {
        assert!(RULE.contains(part), "{part}");
        let path = file(folder.path(), "rule.yaml", RULE.replacen(part, by, 1));
        let output = crate::common::catena(["rules", "check"]).arg(&path).output().unwrap();
        let place = if place.is_empty() { String::new() } else { format!("{place}:") };
        let expected = format!("{}:{place} {expected}", path.display());
        assert_eq!(output.status.code(), Some(1), "{expected}");
        assert!(stderr(&output).contains(&expected), "{expected}: {}", stderr(&output));
    }
}

#[test]
fn every_file_is_checked_even_after_an_error() {
    let folder = tempfile::tempdir().unwrap();
    let bad = file(folder.path(), "bad.yaml", "id: [\n");
    let good = file(folder.path(), "good.yaml", RULE);
    let output = crate::common::catena(["rules", "check"]).args([&bad, &good]).output().unwrap();
    assert_eq!(output.status.code(), Some(1));
    assert!(stderr(&output).contains(&bad.display().to_string()), "{}", stderr(&output));
    assert!(stdout(&output).contains(&format!("{}: ok", good.display())));
}

#[test]
fn an_example_with_another_number_of_findings_fails() {
    let folder = tempfile::tempdir().unwrap();
    let path = file(folder.path(), "rule.yaml", RULE.replacen("findings: 1", "findings: 2", 1));
    let output = crate::common::catena(["rules", "test"]).arg(&path).output().unwrap();
    assert_eq!(output.status.code(), Some(1));
    let expected = "key-then-trail: FAILED: the key is used: expected 2 findings, found 1";
    assert!(stdout(&output).contains(expected), "{}", stdout(&output));
}

/// The members that the engine accepts at a place, taken from its error about an unknown one.
fn known_members(part: &str, by: &str) -> BTreeSet<String> {
    let folder = tempfile::tempdir().unwrap();
    let path = file(folder.path(), "rule.yaml", RULE.replacen(part, by, 1));
    let refusal = stderr(&crate::common::catena(["rules", "check"]).arg(&path).output().unwrap());
    let (_, list) = refusal.split_once("there is no member `nonsense`; there are ").expect(&refusal);
    list.trim().split(", ").map(str::to_owned).collect()
}

#[test]
fn the_schema_lists_exactly_the_members_that_the_engine_accepts() {
    let schema: serde_json::Value = serde_json::from_slice(&run(["rules", "schema"], b"").stdout).unwrap();
    for (pointer, part, by) in [
        ("/properties", "version: 1", "version: 1\nnonsense: 1"),
        ("/$defs/step/properties", "  - id: key", "  - id: key\n    nonsense: 1"),
        ("/$defs/condition/properties", "  - id: key", "  - id: key\n    where: [{nonsense: 1}]"),
    ] {
        let members = schema.pointer(pointer).and_then(serde_json::Value::as_object).unwrap();
        let members: BTreeSet<_> = members.keys().cloned().collect();
        assert_eq!(members, known_members(part, by), "{pointer}");
    }
}

#[test]
fn a_configuration_can_load_rule_files() {
    let folder = tempfile::tempdir().unwrap();
    let rule = file(folder.path(), "rules/key-then-trail.yaml", RULE);
    let config = file(folder.path(), "catena.yaml", "built_in_rules: false\nrule_files: [rules/key-then-trail.yaml]\n");
    let records: serde_json::Value = serde_saphyr::from_str(RULE).unwrap();
    let records: Vec<_> =
        records["examples"][0]["records"].as_array().unwrap().iter().map(ToString::to_string).collect();
    let output = run(["run", "--mode=findings", "-c", config.to_str().unwrap()], records.join("\n").as_bytes());
    assert_eq!(crate::common::rules(&output), ["key-then-trail"], "{}", stderr(&output));
    std::fs::write(rule, RULE.replacen("severity: high", "severity: awful", 1)).unwrap();
    let output = run(["run", "-c", config.to_str().unwrap()], b"");
    assert_eq!(output.status.code(), Some(2));
    assert!(stderr(&output).contains("key-then-trail.yaml:4:1: severity: unknown value"), "{}", stderr(&output));
}
