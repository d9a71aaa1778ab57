//! Files in the forms in which audit records are stored and delivered, each with its expected contents.

use serde_json::{Value, json};

use crate::chain;
use crate::shapes::{azure_chain, base64, gcp_chain, gzip, sentinel_row, subscription};

/// A file and the results expected from the engine.
pub struct File {
    /// Its name, with the usual extension of its form.
    pub name: &'static str,
    /// Its bytes. They may be compressed, or JSON over several lines.
    pub bytes: Vec<u8>,
    /// The number of records that the engine counts in it.
    pub records: u32,
    /// The ids of the rules that fire, sorted.
    pub rules: &'static [&'static str],
}

/// The time of all chains: 2026-01-05T10:00:00Z.
const START: u64 = 1_767_607_200;

const AWS: &[&str] = &["aws-instance-created", "aws-snapshot-staging"];
const AZURE: &[&str] = &["azure-instance-created", "azure-snapshot-staging"];
const GCP: &[&str] = &["gcp-instance-created", "gcp-snapshot-staging"];

/// One file of each form with one chain each, and files without a chain.
///
/// # Panics
///
/// Never: the records are JSON.
pub fn files() -> Vec<File> {
    let records = chain("mallory", START, 5);
    let values: Vec<Value> = records.iter().map(|record| serde_json::from_str(record).expect("is JSON")).collect();
    let delivered = subscription(&records);
    let pretty = |value: &Value| format!("{value:#}\n");
    let event = |record: &Value| {
        json!({"version": "0", "id": "x", "detail-type": "AWS API Call via CloudTrail", "source": "aws.ec2",
               "account": "111122223333", "time": "2026-01-05T10:00:00Z", "region": "us-east-1", "resources": [],
               "detail": record})
    };
    let firehose = json!({"recordId": "1", "approximateArrivalTimestamp": 1, "data": base64(&gzip(delivered.to_string().as_bytes()))});
    let pushed = |record: &Value| json!({"message": {"data": base64(record.to_string().as_bytes()), "messageId": "1"}, "subscription": "s"});
    let found = |event: &Value| json!({"EventId": event["eventID"], "EventName": event["eventName"], "CloudTrailEvent": event.to_string()});
    let file = |name, bytes: String, records, rules| File { name, bytes: bytes.into_bytes(), records, rules };
    let control = json!({"messageType": "CONTROL_MESSAGE", "owner": "CloudwatchLogs", "logGroup": "", "logStream": "",
        "subscriptionFilters": [], "logEvents": [{"id": "", "timestamp": 1, "message": "CWL CONTROL MESSAGE: Checking health of destination Firehose."}]});
    let notification = json!({"Records": [{"eventVersion": "2.1", "eventSource": "aws:s3", "eventName": "ObjectCreated:Put",
        "s3": {"bucket": {"name": "b"}, "object": {"key": "k.json.gz"}}}]});
    vec![
        file("trail.ndjson", lines(&values), 3, AWS),
        file("trail.json", json!({"Records": values}).to_string(), 3, AWS),
        File {
            name: "trail.json.gz",
            bytes: gzip(json!({"Records": values}).to_string().as_bytes()),
            records: 3,
            rules: AWS,
        },
        file("trail-pretty.json", pretty(&json!({"Records": values})), 3, AWS),
        file("array.json", pretty(&json!(values)), 3, AWS),
        file("eventbridge.ndjson", lines(&values.iter().map(event).collect::<Vec<_>>()), 3, AWS),
        file("cloudwatch-logs.json", delivered.to_string(), 3, AWS),
        file("cloudwatch-control.json", control.to_string(), 1, &[]),
        file(
            "lambda.json",
            json!({"awslogs": {"data": base64(&gzip(delivered.to_string().as_bytes()))}}).to_string(),
            1,
            AWS,
        ),
        file(
            "firehose.json",
            json!({"invocationId": "i", "deliveryStreamArn": "a", "region": "us-east-1", "records": [firehose]})
                .to_string(),
            1,
            AWS,
        ),
        file("lookup-events.json", pretty(&json!({"Events": values.iter().map(found).collect::<Vec<_>>()})), 3, AWS),
        file("sentinel-aws.ndjson", lines(&values.iter().map(sentinel_row).collect::<Vec<_>>()), 3, AWS),
        file("s3-notification.json", notification.to_string(), 1, &[]),
        file("event-hub.json", json!({"records": azure_chain()}).to_string(), 3, AZURE),
        file("PT1H.json", lines(&azure_chain()), 3, AZURE),
        file("gcp.ndjson", lines(&gcp_chain()), 3, GCP),
        file("pubsub.ndjson", lines(&gcp_chain().iter().map(pushed).collect::<Vec<_>>()), 3, GCP),
    ]
}

fn lines(values: &[Value]) -> String {
    values.iter().map(|value| format!("{value}\n")).collect()
}
