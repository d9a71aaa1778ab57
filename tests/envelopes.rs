//! A chain yields the same finding in every envelope that carries AWS records.

use crate::common::run::Both;
use catena_synthetic::shapes::{base64, gzip, sentinel_row, subscription};
use serde_json::{Value, json};

fn chain() -> Vec<String> {
    catena_synthetic::chain("mallory", crate::common::START, 5).to_vec()
}

fn value(record: &str) -> Value {
    serde_json::from_str(record).unwrap()
}

fn each(wrap: impl Fn(&String) -> Value) -> String {
    chain().iter().map(|record| wrap(record).to_string() + "\n").collect()
}

/// The name of every envelope, and the chain in it.
fn envelopes() -> Vec<(&'static str, String)> {
    let records: Vec<_> = chain().iter().map(|record| value(record)).collect();
    let delivered = subscription(&chain()).to_string();
    let firehose = |data: Vec<u8>| {
        let record = json!({"recordId": "1", "approximateArrivalTimestamp": 1, "data": base64(&data)});
        json!({"invocationId": "i", "deliveryStreamArn": "a", "region": "us-east-1", "records": [record]}).to_string()
    };
    vec![
        ("lines", chain().join("\n")),
        ("a file of CloudTrail", json!({"Records": records}).to_string()),
        ("an array", json!(records).to_string()),
        (
            "EventBridge",
            each(|r| {
                json!({"version": "0", "id": "x", "detail-type": "AWS API Call via CloudTrail", "source": "aws.ec2",
                            "account": "1", "time": "2026-01-05T10:00:00Z", "region": "r", "resources": [], "detail": value(r)})
            }),
        ),
        ("CloudWatch Logs", delivered.clone()),
        (
            "CloudWatch Logs by way of Lambda",
            json!({"awslogs": {"data": base64(&gzip(delivered.as_bytes()))}}).to_string(),
        ),
        ("Firehose with what CloudWatch Logs delivers", firehose(gzip(delivered.as_bytes()))),
        ("Firehose with lines", firehose(chain().join("\n").into_bytes())),
        ("Kinesis", json!({"Records": [{"kinesis": {"data": base64(chain().join("\n").as_bytes())}}]}).to_string()),
        (
            "LookupEvents",
            json!({"Events": chain().iter().map(|r| json!({"EventId": "1", "EventName": value(r)["eventName"],
                "EventTime": "2022-02-08 09:23:37+11:00", "CloudTrailEvent": r})).collect::<Vec<_>>()})
            .to_string(),
        ),
        ("Wazuh", each(|r| json!({"integration": "aws", "aws": collapsed(value(r))}))),
        ("Sentinel", each(|r| sentinel_row(&value(r)))),
        ("ECS with the original", each(|r| json!({"ecs": {"version": "8"}, "event": {"original": r}}))),
        ("ECS without the original", each(|r| ecs(&value(r)))),
        ("OCSF with the original", each(|r| json!({"class_uid": 6003, "raw_data": r}))),
        ("OCSF without the original", each(|r| ocsf(&value(r)))),
    ]
}

/// Replaces each single-element list with its element, as Wazuh does.
fn collapsed(value: Value) -> Value {
    match value {
        Value::Object(members) => members.into_iter().map(|(name, member)| (name, collapsed(member))).collect(),
        Value::Array(mut items) if items.len() == 1 => collapsed(items.remove(0)),
        other => other,
    }
}

fn ecs(record: &Value) -> Value {
    json!({
        "@timestamp": record["eventTime"], "ecs": {"version": "8.11.0"},
        "event": {"action": record["eventName"], "provider": record["eventSource"], "id": record["eventID"]},
        "cloud": {"region": record["awsRegion"], "account": {"id": record["recipientAccountId"]}},
        "source": {"address": record["sourceIPAddress"]},
        "aws": {"cloudtrail": {"user_identity": {"arn": record["userIdentity"]["arn"]},
            "flattened": {"request_parameters": record["requestParameters"], "response_elements": record["responseElements"]}}},
    })
}

fn ocsf(record: &Value) -> Value {
    let time = record["eventTime"].as_str().unwrap();
    let time = time::OffsetDateTime::parse(time, &time::format_description::well_known::Rfc3339).unwrap();
    json!({
        "class_uid": 6003, "time": time.unix_timestamp() * 1_000, "metadata": {"uid": record["eventID"]},
        "api": {"operation": record["eventName"], "service": {"name": record["eventSource"]},
                "request": {"data": record["requestParameters"].to_string()},
                "response": {"data": record["responseElements"].to_string()}},
        "actor": {"user": {"uid_alt": record["userIdentity"]["arn"]}},
        "cloud": {"account": {"uid": record["recipientAccountId"]}, "region": record["awsRegion"]},
        "src_endpoint": {"ip": record["sourceIPAddress"]},
    })
}

#[test]
fn a_chain_has_the_same_finding_id_in_every_envelope() {
    let mut ids = std::collections::BTreeSet::new();
    for (name, text) in envelopes() {
        let outcome = Both::open("{}").process(text.as_bytes());
        assert_eq!(outcome.rejections, [], "{name}");
        let found: Vec<_> = outcome.findings.iter().filter(|finding| finding.rule == "aws-snapshot-staging").collect();
        assert_eq!(found.len(), 1, "{name}");
        ids.insert(found[0].id.clone());
        let without = Both::open(r#"{"prefilter":false}"#).process(text.as_bytes());
        assert_eq!(outcome, without, "{name}: the prefilter should not change the outcome");
    }
    assert_eq!(ids.len(), 1);
}

#[test]
fn a_chain_repeated_in_every_envelope_is_one_finding() {
    let stream: String = envelopes().iter().map(|(_, text)| text.trim_end().to_owned() + "\n").collect();
    let outcome = Both::open("{}").process(stream.as_bytes());
    assert_eq!(outcome.findings.iter().filter(|finding| finding.rule == "aws-snapshot-staging").count(), 1);
}

#[test]
fn an_annotated_envelope_stays_valid_json() {
    for (name, text) in envelopes() {
        let output = Both::open("{}").process(text.as_bytes()).apply(text.as_bytes());
        let output = String::from_utf8(output).unwrap();
        assert!(output.contains("\"catena\""), "{name}");
        for line in output.lines() {
            assert!(serde_json::from_str::<Value>(line).is_ok(), "{name}: {line}");
        }
    }
}

#[test]
fn a_record_that_only_resembles_an_envelope_passes_unchanged() {
    for line in [
        // An S3 event notification has the same first member as a CloudTrail file.
        r#"{"Records":[{"eventVersion":"2.1","eventSource":"aws:s3","eventName":"ObjectCreated:Put","s3":{"object":{"key":"a"}}}]}"#,
        r#"{"Event":"s3:TestEvent","Service":"Amazon S3"}"#,
        r#"{"Type":"Notification","Message":"{\"Records\":[{\"s3\":{\"object\":{\"key\":\"a\"}}}]}"}"#,
        r#"{"messageType":"CONTROL_MESSAGE","logEvents":[{"id":"","message":"CWL CONTROL MESSAGE: Checking health"}]}"#,
        r#"{"message":"a line of some log","level":"info"}"#,
        r#"{"records":"not a list"}"#,
        r#"{"data":"hello world"}"#,
        r#"{"data":"aGVsbG8gd29ybGQ="}"#,
    ] {
        let outcome = Both::open("{}").process(line.as_bytes());
        assert_eq!((outcome.matched, outcome.rejections.len(), outcome.splices.len()), (0, 0, 0), "{line}");
    }
}

#[test]
fn undecodable_records_are_rejected_with_their_reason_and_the_rest_is_read() {
    let cut = gzip(chain().join("\n").as_bytes());
    let records = [
        (r#"{"recordId":"1","data":"eyJldmVudE5hbWUi%%%"}"#.to_owned(), "bad-envelope"),
        (json!({"recordId": "2", "data": base64(&cut[..cut.len() / 2])}).to_string(), "bad-envelope"),
        (json!({"recordId": "3", "data": base64(b"{\"eventName\":\"RunInstances\"")}).to_string(), "truncated"),
        (json!({"recordId": "4", "data": base64(chain().join("\n").as_bytes())}).to_string(), ""),
    ];
    let list: Vec<_> = records.iter().map(|(record, _)| record.as_str()).collect();
    let batch = format!(r#"{{"invocationId":"i","records":[{}]}}"#, list.join(","));
    let outcome = Both::open("{}").process(batch.as_bytes());
    let told: Vec<_> = outcome.rejections.iter().map(|rejection| rejection.reason.code()).collect();
    assert_eq!(told, ["bad-envelope", "bad-envelope", "truncated"]);
    assert!(outcome.findings.iter().any(|finding| finding.rule == "aws-snapshot-staging"));
}

#[test]
fn envelopes_nested_too_deeply_are_rejected() {
    let mut text = chain()[2].clone();
    for _ in 0..6 {
        text = json!({"data": base64(text.as_bytes())}).to_string();
    }
    let outcome = Both::open("{}").process(text.as_bytes());
    assert_eq!(outcome.rejections.len(), 1);
    assert_eq!(outcome.rejections[0].reason.code(), "nested-too-deep");
}

#[test]
fn an_envelope_that_decompresses_beyond_the_limit_is_rejected() {
    let bomb = json!({"data": base64(&gzip(&vec![b' '; 4 << 20]))}).to_string();
    let outcome = Both::open(r#"{"limits":{"batch_bytes":1000000}}"#).process(bomb.as_bytes());
    assert_eq!(outcome.rejections[0].reason.code(), "bad-envelope");
    assert!(outcome.rejections[0].detail.contains("limits.batch_bytes"));
}

/// Regression: 6.8 MB of envelopes, each within the limit on batches, took 18 s, and one of 174 KB 1.5 s.
#[test]
fn an_envelope_that_decompresses_to_a_hundred_times_its_length_is_rejected() {
    let envelope = |bytes: &[u8]| {
        let mut best = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::best());
        std::io::Write::write_all(&mut best, bytes).unwrap();
        json!({"data": base64(&best.finish().unwrap())}).to_string() + "\n"
    };
    let mut both = Both::open("{}");
    let outcome = both.process(envelope(&vec![b' '; 4_000_000]).repeat(5).as_bytes());
    let told: Vec<_> = outcome.rejections.iter().map(|rejection| rejection.reason.code()).collect();
    assert_eq!(told, ["bad-envelope"; 5]);
    // The levels of a bomb count together.
    let inner = envelope(&vec![b' '; 60_000]);
    let outcome = both.process(envelope(inner.repeat(500).as_bytes()).as_bytes());
    assert_eq!(outcome.rejections[0].reason.code(), "bad-envelope");
    // Records that differ in their ids alone compress as well as any real ones ever do.
    let record = |at: usize| chain()[0].replace("eventID", &format!("id{at}\":\"{at}\",\"eventID")) + "\n";
    let records: String = (0..1_000).map(record).collect();
    let outcome = both.process(envelope(records.as_bytes()).as_bytes());
    assert_eq!(outcome.rejections, []);
}

/// Several writers may have appended to one object.
#[test]
fn gzip_with_several_members_is_read_to_its_end() {
    let bytes: Vec<u8> = chain().iter().flat_map(|record| gzip(format!("{record}\n").as_bytes())).collect();
    let outcome = Both::open("{}").process(json!({"data": base64(&bytes)}).to_string().as_bytes());
    assert!(outcome.findings.iter().any(|finding| finding.rule == "aws-snapshot-staging"));
}

/// A LookupEvents row repeats the call next to the embedded record, but neither its error nor its time.
#[test]
fn an_envelope_does_not_match_if_its_embedded_record_does_not() {
    let mut refused = value(&chain()[2]);
    refused["errorCode"] = json!("Client.UnauthorizedOperation");
    let row = json!({"EventId": "1", "EventName": "RunInstances", "EventSource": "ec2.amazonaws.com",
                     "CloudTrailEvent": refused.to_string()});
    let mut document = ecs(&value(&chain()[2]));
    document["event"]["original"] = json!(refused.to_string());
    for text in [json!({"Events": [row]}).to_string(), document.to_string()] {
        let outcome = Both::open("{}").process(text.as_bytes());
        assert_eq!((outcome.matched, &*outcome.findings, &*outcome.rejections), (0, &[][..], &[][..]), "{text}");
    }
    document["event"]["original"] = json!("{\"a\":1}");
    let outcome = Both::open("{}").process(document.to_string().as_bytes());
    assert_eq!(outcome.matched, 1, "the embedded record is not recognised");
}
