//! A caller's text cannot hide a call: whatever is in names, tags, user agents and descriptions, the chain of each built-in rule is
//! found.

use std::path::Path;

use crate::common::run::Both;
use proptest::prelude::*;
use serde_json::{Value, json};

/// The records of every example of a built-in rule that has findings, with the rule and their number.
fn examples() -> Vec<(String, usize, Vec<Value>)> {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("rules");
    let mut all = Vec::new();
    for entry in std::fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        if path.extension().is_none_or(|extension| extension != "yaml") {
            continue;
        }
        let rule: Value = serde_saphyr::from_str(&std::fs::read_to_string(&path).unwrap()).unwrap();
        for example in rule["examples"].as_array().unwrap() {
            let count = example["findings"].as_u64().unwrap() as usize;
            if count > 0 {
                let id = rule["id"].as_str().unwrap().to_owned();
                all.push((id, count, example["records"].as_array().unwrap().clone()));
            }
        }
    }
    all
}

/// Where a text is put in, as JSON. The bytes of the text need not be Unicode.
const MARK: &str = "c0ffee-mark";

/// The record with a mark in each place where its cloud records a text of the caller.
fn marked(record: &Value) -> Value {
    let mut record = record.clone();
    let is_gcp = record.get("protoPayload").is_some();
    let is_aws = record.get("eventName").is_some();
    if is_gcp {
        record["protoPayload"]["requestMetadata"]["callerSuppliedUserAgent"] = json!(MARK);
        if record["protoPayload"]["request"].is_object() {
            record["protoPayload"]["request"]["description"] = json!(MARK);
            record["protoPayload"]["request"]["labels"] =
                json!({"method_name": MARK, "operation_name": MARK, "k": MARK});
        }
    } else if is_aws {
        record["userAgent"] = json!(MARK);
        record["errorMessage"] = json!(MARK);
        if record["requestParameters"].is_object() {
            record["requestParameters"]["description"] = json!(MARK);
            record["requestParameters"]["tagSpecificationSet"] =
                json!({"items": [{"resourceType": "x", "tags": [{"key": MARK, "value": MARK}]}]});
        }
    } else {
        record["message"] = json!(MARK);
        if record["properties"].is_object() {
            record["properties"]["message"] = json!(MARK);
        }
        record["tags"] = json!({"eventName": MARK, "operationName": MARK});
    }
    record
}

/// Texts as they are in a JSON string.
fn hostile() -> impl Strategy<Value = Vec<u8>> {
    let known: Vec<Vec<u8>> = vec![
        br"\ud83d".to_vec(),
        br"\udc00\ud800x".to_vec(),
        b"\xFF\xFE\xC3".to_vec(),
        b"\xED\xA0\x80".to_vec(),
        br#"\",\"eventName\":\"DescribeInstances"#.to_vec(),
        br#"{\"eventName\":\"x\",\"eventSource\":\"ec2.amazonaws.com\"}"#.to_vec(),
        br#"{\"Records\":[{\"eventName\":\"RunInstances\""#.to_vec(),
        br#"{\"records\":["#.to_vec(),
        br#"{\"protoPayload\":{\"methodName\":\"x\"}}"#.to_vec(),
        br"\u0000\u0001\u001b[2J\u2028\u2029\u202e".to_vec(),
        br"\\\\\\\\u0052unInstances".to_vec(),
        b"eyJldmVudE5hbWUiOiJ4In0=".to_vec(),
        b"H4sIAAAAAAAA".to_vec(),
        [&b"["[..]; 3_000].concat(),
        br#"{\"a\":"#.repeat(300),
        b"x".repeat(100_000),
        "}{][".repeat(50).into_bytes(),
        "\u{FEFF}{".into(),
        b"null".to_vec(),
        b"".to_vec(),
    ];
    let known = prop::sample::select(known);
    let any = prop::collection::vec(any::<u8>(), 0..40)
        .prop_map(|bytes| bytes.into_iter().filter(|byte| !matches!(byte, b'"' | b'\\' | ..=0x1F)).collect::<Vec<_>>());
    prop_oneof![known.clone(), any, (known.clone(), known).prop_map(|(one, other)| [one, other].concat())]
}

/// The bytes with `text` for each mark.
fn with(line: &str, text: &[u8]) -> Vec<u8> {
    line.split(MARK).map(str::as_bytes).collect::<Vec<_>>().join(text)
}

proptest! {
    #![proptest_config(crate::common::cases(60))]

    #[test]
    fn no_text_hides_a_chain(text in hostile(), wrapper in 0..3_u8) {
        for (rule, count, records) in examples() {
            let lines: Vec<_> = records.iter().map(|record| with(&marked(record).to_string(), &text)).collect();
            let batch = match wrapper {
                0 => lines.join(&b"\n"[..]),
                1 => [b"{\"Records\":[", &*lines.join(&b","[..]), b"]}\n"].concat(),
                _ => [b"{\"x\":{\"y\":[", &*lines.join(&b","[..]), b"]}}\n"].concat(),
            };
            let outcome = Both::open("{}").process(&batch);
            let rejected: Vec<_> = outcome.rejections.iter().map(|rejection| &rejection.detail).collect();
            let found = outcome.findings.iter().filter(|finding| finding.rule == rule).count();
            prop_assert_eq!(found, count, "{}: {:?} {}", rule, rejected, String::from_utf8_lossy(&batch).chars().take(3_000).collect::<String>());
        }
    }
}
