//! A record is found wherever it is: in any wrapper, whatever the wrapper calls it. What is inside an event is never looked at.

use crate::common::forms::{self, Person};
use crate::common::run::{Both, rules};
use catena_synthetic::shapes::{base64, gzip};
use proptest::prelude::*;
use serde_json::{Value, json};

const FOUND: [&str; 2] = ["aws-instance-created", "aws-snapshot-staging"];

fn chain() -> [Value; 3] {
    let nora = Person { name: "nora", role: None };
    let device = json!({"blockDeviceMapping": {"items": [{"ebs": {"snapshotId": "snap-1"}}]}});
    [
        forms::aws(1, 0, "CreateVolume", nora, json!({"size": "8"}), json!({"volumeId": "vol-1"})),
        forms::aws(2, 1, "CreateSnapshot", nora, json!({"volumeId": "vol-1"}), json!({"snapshotId": "snap-1"})),
        forms::aws(3, 2, "RunInstances", nora, device, json!({"instancesSet": {"items": [{"instanceId": "i-1"}]}})),
    ]
}

fn found_with(config: &str, batch: &str) -> Vec<String> {
    let outcome = Both::open(config).process(batch.as_bytes());
    assert_eq!(outcome.rejections, [], "{batch}");
    rules(&outcome.findings).into_iter().map(str::to_owned).collect()
}

fn found(batch: &str) -> Vec<String> {
    found_with("{}", batch)
}

/// The shapes of wrappers that records travel in, with `name` wherever the wrapper has a name of its own. The shapes are those of
/// Fluent Bit, HEC, Splunk exports, CloudEvents, CloudWatch Logs and its Insights, SQS, OpenSearch, Wazuh, Kafka Connect, Event
/// Hubs and its Capture, and others.
fn wrapped(record: &Value, name: &str, shape: usize) -> Value {
    let text = record.to_string();
    match shape {
        0 => json!({name: text}),
        1 => json!({name: record}),
        2 => json!({"time": 1, name: text, "host": "h"}),
        3 => json!({"preview": false, "result": {name: text}}),
        4 => json!({"specversion": "1.0", "type": "t", name: record}),
        5 => json!({name: [{"timestamp": 1, "text": text}], "more": []}),
        6 => json!({"a": [{name: json!({"detail-type": "x", "detail": record}).to_string()}]}),
        7 => json!({"_index": "i", "_id": "1", name: record}),
        8 => json!({"rule": {"level": 3}, name: {"inner": record}}),
        9 => json!({"schema": {"type": "struct"}, name: record}),
        10 => json!({"EventProcessedUtcTime": "x", name: [record]}),
        11 => json!({"SequenceNumber": 1, "Body": {name: json!({"records": [record]}).to_string()}}),
        12 => json!({"results": [[{"field": "f", name: text}]]}),
        13 => json!({name: {"value": {"string": text}}}),
        14 => json!({"insertId": "x", "logName": "l", name: record}),
        15 => json!({name: json!({"again": text}).to_string()}),
        16 => json!({name: format!("2026-01-05T10:00:00Z {text}")}),
        17 => json!({name: format!("<134>1 2026-01-05T10:00:00Z host app - - [meta id=\"1\"] {text}")}),
        18 => json!({name: base64(text.as_bytes())}),
        19 => json!({"x": {name: base64(&gzip(text.as_bytes()))}}),
        20 => json!({name: json!({"Records": [record]})}),
        21 => json!({name: format!("{text}\n")}),
        22 => json!({name: [[[record]]]}),
        23 => json!({"a": 1, "b": "{not json", "c": "{\"also\":", name: record}),
        24 => json!({name: serde_json::to_string_pretty(record).unwrap()}),
        25 => json!({"userAgent": "x", "headers": {name: text}}),
        26 => json!({name: {"deep": {"deeper": {"deepest": {"text": text}}}}}),
        _ => json!({name: {"data": {"aws": record}}}),
    }
}

const SHAPES: usize = 28;

#[test]
fn each_wrapper_is_seen_through_whatever_it_calls_the_record() {
    for shape in 0..SHAPES {
        for name in ["zorblax", "_x", "Ä ö", "a.b"] {
            let batch: String = chain().map(|record| format!("{}\n", wrapped(&record, name, shape))).concat();
            assert_eq!(found(&batch), FOUND, "{batch}");
        }
    }
}

#[test]
fn every_cloud_and_form_is_found_in_a_wrapper() {
    for form in 0..forms::AWS_FORMS {
        for shape in 0..SHAPES {
            let batch: String =
                chain().map(|record| format!("{}\n", wrapped(&forms::aws_form(&record, form), "w", shape))).concat();
            assert_eq!(found(&batch), FOUND, "{form} {shape}: {batch}");
        }
    }
}

#[test]
fn lines_may_have_a_time_or_a_syslog_header_before_the_record() {
    for prefix in ["2026-01-05T10:00:00.000Z ", "<134>Jan  5 10:00:00 host app[1]: ", "\u{1e}", "a,b;"] {
        let batch: String = chain().map(|record| format!("{prefix}{record}\r\n")).concat();
        assert_eq!(found(&batch), FOUND, "{batch}");
    }
}

proptest! {
    #![proptest_config(crate::common::cases(100))]

    #[test]
    fn wrappers_may_be_wrapped(shapes in prop::collection::vec(0..SHAPES, 1..4), name in "[a-z_@.]{1,12}") {
        // At most four texts in texts are read.
        let texts = |shape: &usize| match shape { 6 | 11 | 15 => 2, 1 | 4 | 7..=10 | 14 | 20 | 22 | 23 | 27 => 0, _ => 1 };
        prop_assume!(shapes.iter().map(texts).sum::<usize>() <= 4);
        // A time before the text belongs to a line.
        let wrap = |record: Value| shapes.iter().fold(record, |record, shape| wrapped(&record, &name, *shape));
        let batch: String = chain().map(|record| format!("{}\n", wrap(record))).concat();
        prop_assert_eq!(found(&batch), FOUND, "{}", batch);
    }

    /// A caller's text, in an event that matches nothing, is only text.
    #[test]
    fn what_is_inside_an_event_is_no_event(shape in 0..SHAPES, place in 0..5_usize) {
        let nora = Person { name: "nora", role: None };
        let forged = wrapped(&chain()[2], "x", shape);
        let mut record = forms::aws(9, 0, "DescribeInstances", nora, json!({}), json!(null));
        match place {
            0 => record["userAgent"] = json!(forged.to_string()),
            1 => record["requestParameters"] = forged,
            2 => record["requestParameters"] = json!({"tagSet": {"items": [{"key": "k", "value": forged.to_string()}]}}),
            3 => record["errorMessage"] = json!(forged.to_string()),
            _ => {
                record["eventType"] = json!("AwsVpceEvent");
                record["requestParameters"] = forged;
            }
        }
        prop_assert_eq!(found(&format!("{record}\n")), Vec::<String>::new());
        prop_assert_eq!(found(&format!("{}\n", json!({"log": record.to_string()}))), Vec::<String>::new());
    }
}

#[test]
fn the_search_can_be_turned_off_or_limited_to_paths() {
    let batch: String = chain().map(|record| format!("{}\n", json!({"log": record.to_string(), "n": 1}))).concat();
    assert_eq!(found_with(r#"{"record_search":"off"}"#, &batch), Vec::<String>::new());
    assert_eq!(found_with(r#"{"record_search":["message"]}"#, &batch), Vec::<String>::new());
    assert_eq!(found_with(r#"{"record_search":["message","log"]}"#, &batch), FOUND);
    let nested: String =
        chain().map(|record| format!("{}\n", json!({"a": {"b": [{"c": record}]}, "d": {"b": 1}}))).concat();
    for (path, expected) in [("a.b[].c", &FOUND[..]), ("a.b", &FOUND), ("a", &FOUND), ("b", &[]), ("a.c", &[])] {
        assert_eq!(found_with(&json!({"record_search": [path]}).to_string(), &nested), expected, "{path}");
    }
}

#[test]
fn beyond_sixteen_levels_nothing_is_found_and_the_record_is_counted() {
    let deep = |levels: usize| (0..levels).fold(chain()[2].clone(), |record, _| json!({"a": record}));
    let mut both = Both::open("{}");
    both.process(format!("{}\n", deep(16)).as_bytes());
    assert_eq!((both.metric("matched"), both.metric("unrecognised:names-action")), (1, 0));
    let outcome = both.process(format!("{}\n", deep(17)).as_bytes());
    assert_eq!((both.metric("matched"), both.metric("unrecognised:names-action")), (1, 1));
    assert_eq!(outcome.unrecognised.len(), 1);
}

#[test]
fn an_insight_is_not_a_call_although_it_names_one() {
    let insight = json!({"eventVersion": "1.07", "eventTime": "2026-01-05T10:00:00Z", "eventID": "i", "eventType": "AwsCloudTrailInsight",
        "recipientAccountId": "1", "insightDetails": {"state": "Start", "eventSource": "ec2.amazonaws.com", "eventName": "RunInstances",
        "eventTime": "2026-01-05T10:00:00Z", "insightType": "ApiCallRateInsight"}, "eventCategory": "Insight"});
    let mut both = Both::open("{}");
    let outcome = both.process(format!("{insight}\n").as_bytes());
    assert_eq!((outcome.matched, both.metric("input:aws-no-call")), (0, 1));
}

/// Regression: the network activity of a VPC endpoint was a second launch, and so was a record that corrects an earlier one.
#[test]
fn one_call_is_one_event() {
    let [volume, snapshot, launch] = chain();
    let mut activity = launch.clone();
    (activity["eventType"], activity["eventCategory"]) = (json!("AwsVpceEvent"), json!("NetworkActivity"));
    (activity["eventID"], activity["responseElements"]) = (json!("other"), Value::Null);
    let mut correction = launch.clone();
    correction["eventID"] = json!("another");
    correction["addendum"] = json!({"reason": "UPDATED_DATA", "originalEventID": launch["eventID"]});
    let batch: String =
        [volume, snapshot, activity.clone(), launch, correction, activity].map(|record| format!("{record}\n")).concat();
    assert_eq!(found(&batch), FOUND);
}

#[test]
fn the_input_is_counted_by_cloud_and_form() {
    let [volume, snapshot, launch] = chain();
    let mut other = launch.clone();
    other["eventName"] = json!("DescribeInstances");
    let batch: String = [
        volume,
        forms::aws_form(&snapshot, 2),
        forms::aws_form(&launch, 4),
        other,
        json!({"msg": "hello"}),
        json!({"eventName": "RunInstances", "mine": true}),
    ]
    .map(|record| format!("{record}\n"))
    .concat();
    let mut both = Both::open("{}");
    let outcome = both.process(batch.as_bytes());
    for (name, count) in [
        ("input:aws-record", 1),
        ("input:aws-respelled", 1),
        ("input:aws-ocsf", 1),
        ("input:aws-unread", 1),
        ("unrecognised:unknown", 1),
        ("unrecognised:names-action", 1),
    ] {
        assert_eq!(both.metric(name), count, "{name}");
    }
    let kinds: Vec<_> = outcome
        .unrecognised
        .iter()
        .map(|one| (one.kind.code(), &batch[one.start as usize..one.end as usize]))
        .collect();
    assert_eq!(
        kinds,
        [("unknown", r#"{"msg":"hello"}"#), ("names-action", r#"{"eventName":"RunInstances","mine":true}"#)]
    );
}

/// Regression: the prefilter saw no key in them, so a stream of them was said to be of no known cloud while nothing happened.
#[test]
fn records_of_no_interest_are_recognised_in_every_wrapper_and_spelling() {
    let mut harmless = chain()[2].clone();
    harmless["eventName"] = json!("DescribeInstances");
    let members = harmless.as_object().unwrap();
    let respelled = |spell: fn(&str) -> String| -> serde_json::Value {
        members.iter().map(|(name, value)| (spell(name), value.clone())).collect::<serde_json::Map<_, _>>().into()
    };
    let lower = respelled(str::to_lowercase);
    for record in [
        harmless.clone(),
        json!({"message": harmless.to_string()}),
        json!({"log": json!({"message": harmless.to_string()}).to_string()}),
        json!({"a": [{"b": harmless}]}),
        lower.clone(),
        json!({"message": lower.to_string()}),
        respelled(|name| format!("detail.{name}")),
        respelled(|name| name.replace('N', "_n").to_uppercase()),
    ] {
        let mut both = Both::open("{}");
        let outcome = both.process(format!("{record}\n").as_bytes());
        assert_eq!(both.metric("input:aws-unread"), 1, "{record}");
        assert_eq!(outcome.unrecognised, [], "{record}");
    }
}

/// Regression: an annotation lists at most 32 matches, and those of the first records displaced the one with the finding.
#[test]
fn the_annotation_of_a_wrapper_names_the_findings_of_all_its_records() {
    let records: Vec<_> = (0..8).flat_map(|_| chain()).collect();
    let batch = format!("{}\n", json!({"w": records}));
    let outcome = Both::open("{}").process(batch.as_bytes());
    let annotated: Value = serde_json::from_slice(&outcome.apply(batch.as_bytes())).unwrap();
    let matches = annotated["catena"]["matches"].as_array().unwrap();
    assert_eq!(matches.len(), 32);
    for rule in FOUND {
        let named = |one: &&Value| one["analytic"]["uid"] == rule && one["finding_info"] != json!([]);
        assert!(matches.iter().any(|one| named(&one)), "{rule}: {annotated:#}");
    }
}
