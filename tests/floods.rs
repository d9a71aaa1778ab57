//! A flood of calls by the same identity hides no linked chain, and drowns no reader.

use crate::common::run::{Both, rules};
use serde_json::{Value, json};

/// A CloudTrail record of one identity. `second` is counted from 10:00:00.
fn call(id: &str, second: usize, action: &str, request: &Value, response: &Value) -> String {
    let time = format!("2026-01-05T10:{:02}:{:02}Z", second / 60, second % 60);
    let record = json!({"eventID": id, "eventTime": time, "eventSource": "ec2.amazonaws.com", "eventName": action,
        "userIdentity": {"arn": "arn:aws:iam::111122223333:user/alice"}, "requestParameters": request,
        "responseElements": response});
    format!("{record}\n")
}

fn volume(id: &str, second: usize, volume: &str) -> String {
    call(id, second, "CreateVolume", &json!({}), &json!({"volumeId": volume}))
}

fn snapshot(id: &str, second: usize, volume: &str, snapshot: &str) -> String {
    call(id, second, "CreateSnapshot", &json!({"volumeId": volume}), &json!({"snapshotId": snapshot}))
}

fn image(id: &str, second: usize, snapshot: &str, image: &str) -> String {
    let mapping = json!({"blockDeviceMapping": {"items": [{"ebs": {"snapshotId": snapshot}}]}});
    call(id, second, "RegisterImage", &mapping, &json!({"imageId": image}))
}

fn launch(id: &str, second: usize, request: &Value) -> String {
    call(id, second, "RunInstances", request, &json!({"instancesSet": {"items": [{"instanceId": format!("i-{id}")}]}}))
}

fn mounting(snapshot: &str) -> Value {
    json!({"blockDeviceMapping": {"items": [{"ebs": {"snapshotId": snapshot}}]}})
}

fn empty_fleet(id: &str, second: usize) -> String {
    call(
        id,
        second,
        "CreateFleet",
        &json!({"CreateFleetRequest": {}}),
        &json!({"CreateFleetResponse": {"fleetInstanceSet": ""}}),
    )
}

/// The rules that fire in the findings mode, in order, and how often.
fn found(stream: &str) -> Vec<(String, usize)> {
    found_with("{}", stream)
}

fn found_with(config: &str, stream: &str) -> Vec<(String, usize)> {
    let mut found = std::collections::BTreeMap::new();
    for finding in Both::open(config).process(stream.as_bytes()).findings {
        *found.entry(finding.rule).or_default() += 1;
    }
    found.into_iter().collect()
}

fn count(found: &[(String, usize)], rule: &str) -> usize {
    found.iter().find(|(id, _)| id == rule).map_or(0, |(_, count)| *count)
}

/// Regression: a rule that joins by identity alone spent the candidates of all rules, so that from 1,022 decoys on only
/// the launch itself was reported.
#[test]
fn decoy_volumes_hide_no_image_chain() {
    let mut stream: String = (0..2_000).map(|at| volume(&format!("d{at}"), 1, &format!("vol-d{at}"))).collect();
    stream += &volume("v", 10, "vol-1");
    stream += &snapshot("s", 20, "vol-1", "snap-1");
    stream += &image("m", 30, "snap-1", "ami-1");
    stream += &launch("r", 40, &json!({"instancesSet": {"items": [{"imageId": "ami-1"}]}}));
    let found = found(&stream);
    assert_eq!(count(&found, "aws-snapshot-staging-image"), 1, "{found:?}");
    assert_eq!(count(&found, "state-pressure"), 0, "{found:?}");
}

/// The same, for the chain through a launch template, in natural order.
#[test]
fn decoy_volumes_hide_no_template_chain() {
    let data = json!({"BlockDeviceMapping": [{"Ebs": {"SnapshotId": "snap-1"}}]});
    let response = json!({"CreateLaunchTemplateResponse": {"launchTemplate": {"launchTemplateId": "lt-1"}}});
    let mut stream: String = (0..2_000).map(|at| volume(&format!("d{at}"), 1, &format!("vol-d{at}"))).collect();
    stream += &volume("v", 10, "vol-1");
    stream += &snapshot("s", 20, "vol-1", "snap-1");
    stream += &call(
        "t",
        30,
        "CreateLaunchTemplate",
        &json!({"CreateLaunchTemplateRequest": {"LaunchTemplateData": data}}),
        &response,
    );
    stream += &launch("r", 40, &json!({"launchTemplate": {"launchTemplateId": "lt-1"}}));
    let found = found(&stream);
    assert_eq!(count(&found, "aws-snapshot-staging-template"), 1, "{found:?}");
}

#[test]
fn empty_fleets_hide_no_chain_whose_first_record_comes_last() {
    for last in ["v", "s", "r"] {
        let chain = [
            ("v", volume("v", 10, "vol-1")),
            ("s", snapshot("s", 20, "vol-1", "snap-1")),
            ("r", launch("r", 700, &mounting("snap-1"))),
        ];
        let mut stream: String = chain.iter().filter(|(id, _)| *id != last).map(|(_, record)| record.clone()).collect();
        stream.extend((0..4_000).map(|at| empty_fleet(&format!("f{at}"), 30 + at / 10)));
        stream.extend(chain.iter().filter(|(id, _)| *id == last).map(|(_, record)| record.clone()));
        let found = found(&stream);
        assert_eq!(count(&found, "aws-snapshot-staging"), 1, "{last} last: {found:?}");
    }
}

/// Regression: a volume with a thousand snapshots, whose record comes last, hid the one that is mounted.
#[test]
fn decoy_snapshots_of_the_same_volume_hide_no_chain() {
    let mut stream: String =
        (0..4_000).map(|at| snapshot(&format!("d{at}"), 20, "vol-1", &format!("snap-d{at}"))).collect();
    stream += &snapshot("s", 21, "vol-1", "snap-1");
    stream += &launch("r", 40, &mounting("snap-1"));
    stream += &volume("v", 10, "vol-1");
    let found = found(&stream);
    assert_eq!(count(&found, "aws-snapshot-staging"), 1, "{found:?}");
    assert_eq!(count(&found, "state-pressure"), 0, "{found:?}");
}

/// Regression: of a thousand rules that match one chain, 512 fired.
#[test]
fn every_rule_that_matches_a_chain_fires() {
    let rule = |number: usize| {
        json!({"id": format!("rule-{number}"), "version": 1, "title": "t", "severity": "low", "within": "15m", "steps": [
            {"id": "v", "provider": "aws", "service": "ec2.amazonaws.com", "actions": ["CreateVolume"], "bind": {"v": "responseElements.volumeId"}},
            {"id": "s", "provider": "aws", "service": "ec2.amazonaws.com", "actions": ["CreateSnapshot"], "bind": {"v": "requestParameters.volumeId", "s": "responseElements.snapshotId"}},
            {"id": "r", "provider": "aws", "service": "ec2.amazonaws.com", "actions": ["RunInstances"], "bind": {"s": "requestParameters.blockDeviceMapping.items[].ebs.snapshotId"}}]})
    };
    let config = json!({"built_in_rules": false, "rules": (0..1_000).map(rule).collect::<Vec<_>>()}).to_string();
    let stream =
        volume("v", 10, "vol-1") + &snapshot("s", 20, "vol-1", "snap-1") + &launch("r", 30, &mounting("snap-1"));
    assert_eq!(found_with(&config, &stream).len(), 1_000);
}

#[test]
fn an_identity_over_its_limit_keeps_what_is_linked() {
    let mut stream = volume("v", 10, "vol-1") + &snapshot("s", 20, "vol-1", "snap-1");
    stream.extend((0..10_000).map(|at| volume(&format!("d{at}"), 30 + at / 100, &format!("vol-d{at}"))));
    stream += &launch("r", 600, &mounting("snap-1"));
    let mut both = Both::open("{}");
    let outcome = both.process(stream.as_bytes());
    assert_eq!(rules(&outcome.findings), ["state-pressure", "aws-instance-created", "aws-snapshot-staging"]);
    let loss = &outcome.findings[0].body;
    assert!(loss.contains("user/alice") && loss.contains("pending_per_identity"), "{loss}");
    assert!(both.metric("evicted:identity") > 5_000);
}

/// Regression: k volumes, snapshots and launches gave k squared findings.
#[test]
fn unlinked_launches_are_one_finding_each() {
    const COUNT: usize = 200;
    let mut stream: String = (0..COUNT).map(|at| volume(&format!("v{at}"), 1, &format!("vol-{at}"))).collect();
    stream.extend((0..COUNT).map(|at| snapshot(&format!("s{at}"), 2, &format!("vol-{at}"), &format!("snap-{at}"))));
    stream.extend((0..COUNT).map(|at| launch(&format!("r{at}"), 3, &json!({}))));
    let mut both = Both::open(r#"{"mode":"findings"}"#);
    let outcome = both.process(stream.as_bytes());
    let of_rule = outcome.findings.iter().filter(|finding| finding.rule == "aws-snapshot-staging-hidden");
    assert_eq!(of_rule.count(), COUNT);
    let output = outcome.findings.iter().map(|finding| finding.body.len()).sum::<usize>();
    assert!(output < 64 * stream.len());
    // The same launches in front: each is completed by the first pair, and by each one after it.
    let reversed: String = stream.lines().rev().flat_map(|line| [line, "\n"]).collect();
    let mut both = Both::open(r#"{"mode":"findings"}"#);
    let outcome = both.process(reversed.as_bytes());
    let of_rule = outcome.findings.iter().filter(|finding| finding.rule == "aws-snapshot-staging-hidden");
    assert_eq!(of_rule.count(), COUNT);
}

/// Regression: with one volume, a thousand snapshots and a thousand launches there was no end, and 2.2 GB of findings.
#[test]
fn a_thousand_snapshots_of_one_volume_give_a_finding_for_each_launch() {
    const COUNT: usize = 1_000;
    let mut stream = volume("v", 1, "vol-1");
    stream.extend((0..COUNT).map(|at| snapshot(&format!("s{at}"), 2, "vol-1", &format!("snap-{at}"))));
    stream.extend((0..COUNT).map(|at| launch(&format!("r{at}"), 3, &json!({}))));
    let found = found_with(r#"{"mode":"findings"}"#, &stream);
    assert_eq!(count(&found, "aws-snapshot-staging-hidden"), COUNT, "{found:?}");
}

/// Regression: 211 KB of calls gave a gigabyte, 16.7 MB of it in the annotation of one record.
#[test]
fn a_small_stream_gives_a_small_output() {
    let set: Vec<_> =
        (0..128).map(|at| json!({"volumeId": format!("vol-{at}"), "snapshotId": format!("snap-{at}")})).collect();
    let made = json!({"CreateSnapshotsResponse": {"snapshotSet": {"item": set}}});
    let mut stream: String = (0..60).map(|at| empty_fleet(&format!("f{at}"), 30)).collect();
    stream.extend((0..8).map(|at| call(&format!("s{at}"), 20, "CreateSnapshots", &json!({}), &made)));
    stream.extend((0..128).map(|at| volume(&format!("v{at}"), 10, &format!("vol-{at}"))));
    for config in ["{}", r#"{"findings":"ecs"}"#, r#"{"findings":"sentinel"}"#] {
        let outcome = Both::open(config).process(stream.as_bytes());
        let output = outcome.apply(stream.as_bytes()).len()
            + outcome.findings.iter().map(|finding| finding.body.len()).sum::<usize>();
        assert!(output < 16 * stream.len(), "{} times the input", output / stream.len());
        assert!(outcome.findings.iter().all(|finding| finding.body.len() <= 64 << 10));
    }
}

/// Regression: ten unordered steps on one value gave 5,300 times the input.
#[test]
fn unordered_steps_on_one_value_give_one_finding() {
    let step = |number: usize| {
        json!({"id": format!("s{number}"), "provider": "aws", "service": "ec2.amazonaws.com",
               "actions": ["CreateVolume"], "bind": {"v": "responseElements.volumeId"}})
    };
    let rule = json!({"id": "ten", "version": 1, "title": "t", "severity": "low", "within": "15m", "ordered": false,
        "steps": (0..10).map(step).collect::<Vec<_>>()});
    let config = json!({"built_in_rules": false, "rules": [rule]}).to_string();
    let stream: String = (0..30).map(|at| volume(&format!("v{at}"), at, "vol-1")).collect();
    let found = found_with(&config, &stream);
    assert_eq!(count(&found, "ten"), 1, "{found:?}");
}
