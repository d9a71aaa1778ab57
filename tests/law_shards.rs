//! Correlators that share a stream by identity produce what one produces, whatever carries the records, and whichever keys the
//! rules tell identities apart by.
//!
//! Regression: a record that holds records of several identities went to the correlator of one of them, so that the chains of
//! the others were lost. A rule set with other identity keys moved identities to other correlators.

use crate::common::forms::{self, Person};
use crate::common::sharded::{counted_by_one, one, several};
use catena_synthetic::shapes::{base64, gzip};
use proptest::prelude::*;
use serde_json::{Value, json};

/// A call of one of five people, in one of their sessions: the steps of a chain, or a call of no interest.
fn call(number: u32, (who, session, step, spoiled): (usize, usize, u32, bool)) -> Value {
    let names = ["ann", "bob", "cyd", "dan", "eve"];
    let person = Person { name: ["s0", "s1"][session], role: Some(names[who]) };
    let ids = |kind: &str| format!("{kind}-{who}");
    let (action, request, response) = match step {
        0 => ("CreateVolume", json!({"size": "8"}), json!({"volumeId": ids("vol")})),
        1 => ("CreateSnapshot", json!({"volumeId": ids("vol")}), json!({"snapshotId": ids("snap")})),
        2 => {
            let device = json!({"blockDeviceMapping": {"items": [{"ebs": {"snapshotId": ids("snap")}}]}});
            ("RunInstances", device, json!({"instancesSet": {"items": [{"instanceId": format!("i-{number}")}]}}))
        }
        3 => ("ModifySnapshotAttribute", json!({"snapshotId": ids("snap")}), Value::Null),
        _ => ("DescribeInstances", Value::Null, Value::Null),
    };
    let mut record = forms::aws(number, number % 10, action, person, request, response);
    if spoiled && step == 1 {
        record.as_object_mut().unwrap().remove("eventTime");
    }
    record
}

/// Some records as one line.
fn carried(records: &[Value], shape: usize) -> String {
    let lines = records.iter().map(|record| format!("{record}\n")).collect::<String>();
    let messages: Vec<_> = records.iter().map(|record| json!({"id": "1", "message": record.to_string()})).collect();
    let carrier = match shape {
        0 => return lines.trim_end().to_owned(),
        1 => json!({"messageType": "DATA_MESSAGE", "owner": "1", "logGroup": "g", "logEvents": messages}),
        2 => json!({"recordId": "1", "approximateArrivalTimestamp": 1, "data": base64(&gzip(lines.as_bytes()))}),
        3 => json!({"recordId": "1", "approximateArrivalTimestamp": 1, "data": base64(lines.as_bytes())}),
        4 => json!({"log": lines}),
        5 => json!({"a": {"b": records}}),
        6 => json!({"batch": records.iter().map(|record| json!({"body": record.to_string()})).collect::<Vec<_>>()}),
        7 => json!({"Records": records}),
        _ => json!({"payload": base64(json!({"Records": records}).to_string().as_bytes())}),
    };
    carrier.to_string()
}

fn batch() -> impl Strategy<Value = String> {
    let one = (0..5usize, 0..2usize, 0..5u32, prop::bool::weighted(0.1));
    let line = (prop::collection::vec(one, 1..6), 0..9usize);
    prop::collection::vec(line, 1..10).prop_map(|lines| {
        let mut number = 0;
        let mut text = String::new();
        for (calls, shape) in lines {
            let records = calls.into_iter().map(|it| {
                number += 1;
                call(number, it)
            });
            let records: Vec<_> = records.collect();
            text += &(carried(&records, shape) + "\n");
        }
        text
    })
}

/// Settings that differ in what tells identities apart.
fn config() -> impl Strategy<Value = String> {
    let keys = prop::sample::select(vec![r#"["role","arn"]"#, r#"["session"]"#, r#"["access-key"]"#]);
    let own = (keys.clone(), keys, any::<bool>()).prop_map(|(own, other, two)| {
        let rule = |id: &str, keys: &str| {
            format!(
                r#"{{"id":"{id}","version":1,"title":"t","severity":"low","within":"1h","identity":{keys},"steps":[
                {{"id":"a","provider":"aws","service":"ec2.amazonaws.com","actions":["CreateVolume"],"bind":{{"v":"responseElements.volumeId"}}}},
                {{"id":"b","provider":"aws","service":"ec2.amazonaws.com","actions":["CreateSnapshot"],"bind":{{"v":"requestParameters.volumeId"}}}}]}}"#
            )
        };
        if two { format!("{},{}", rule("mine", own), rule("another", other)) } else { rule("mine", own) }
    });
    let rules = prop_oneof![Just(String::new()), own];
    let mode = prop::sample::select(vec!["enrich", "filter"]);
    let format = prop::sample::select(vec!["ocsf", "ecs", "sentinel"]);
    (rules, mode, format)
        .prop_map(|(rules, mode, format)| format!(r#"{{"mode":"{mode}","findings":"{format}","rules":[{rules}]}}"#))
}

proptest! {
    #![proptest_config(crate::common::cases(300))]

    #[test]
    fn several_correlators_produce_what_one_produces(batch in batch(), config in config(), partitions in 1..9u32) {
        // Elements of a container are runs without the text around them: findings and counts alone are compared then.
        let (mut got, counted) = several(&config, batch.as_bytes(), partitions);
        let mut expected = one(&config, batch.as_bytes());
        let is_container = |line: &str| line.starts_with("{\"Records\"") || line.starts_with("{\"logEvents\"");
        if batch.lines().any(is_container) {
            (got.output, expected.output) = Default::default();
        }
        prop_assert_eq!(&got, &expected, "{}\n{}", config, batch);
        prop_assert_eq!(counted, counted_by_one(&config, batch.as_bytes()), "what the input consists of");
    }
}

#[test]
fn a_change_of_rules_moves_no_identity() {
    let calls: String =
        (0..200).map(|n| format!("{}\n", call(n, (n as usize % 5, n as usize / 7 % 2, 0, false)))).collect();
    let routes = |config: &str| {
        let routes = crate::common::run::open(config).unwrap().route(calls.as_bytes(), 64).unwrap();
        routes.into_iter().flat_map(|route| vec![route.partitions; route.records as usize]).collect::<Vec<_>>()
    };
    let (before, after) = (
        routes("{}"),
        routes(
            r#"{"rules":[{"id":"mine","version":1,"title":"t","severity":"low",
        "identity":["access-key"],"steps":[{"id":"a","provider":"aws","service":"ec2.amazonaws.com",
        "actions":["CreateVolume"]}]}]}"#,
        ),
    );
    assert_eq!(before.len(), 200);
    for (before, after) in before.iter().zip(&after) {
        assert!(before.iter().all(|partition| after.contains(partition)), "{before:?}, {after:?}");
    }
}

#[test]
fn a_correlator_leaves_the_events_of_other_partitions_to_them() {
    let calls: String = (0..50).map(|n| format!("{}\n", call(n, (n as usize % 5, 0, 2, false)))).collect();
    let found = |index: u32| {
        let config = format!(r#"{{"partition":{{"index":{index},"count":3}}}}"#);
        one(&config, calls.as_bytes()).findings.len()
    };
    assert_eq!((0..3).map(found).sum::<usize>(), one("{}", calls.as_bytes()).findings.len());
}

#[test]
fn a_partition_beyond_the_count_is_refused() {
    let error = crate::common::run::open(r#"{"partition":{"index":3,"count":3}}"#).unwrap_err().to_string();
    assert_eq!(error, "invalid configuration at partition: expected an index below the count 3, not 3");
}
