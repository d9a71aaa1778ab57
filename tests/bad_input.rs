//! Odd records from public bug reports of other tools. Each is read as far as possible or rejected with its reason, and
//! does not affect the records around it.

use crate::common::run::{Both, rules};
use catena_synthetic::shapes::{azure, gcp_chain};
use serde_json::{Value, json};

fn launch() -> Value {
    serde_json::from_str(&catena_synthetic::chain("mallory", crate::common::START, 5)[2]).unwrap()
}

/// Processes the record between two launches and asserts that both are found. Returns the rules of its own findings and
/// the rejection codes.
fn between(record: &str) -> (Vec<String>, Vec<&'static str>) {
    let neighbour = |id: &str| {
        let mut launch = launch();
        launch["eventID"] = json!(id);
        launch["responseElements"]["instancesSet"]["items"] = json!([{"instanceId": id}]);
        launch.to_string()
    };
    let batch = [neighbour("i-before"), record.to_owned(), neighbour("i-behind")].join("\n");
    let outcome = Both::open("{}").process(batch.as_bytes());
    let (mut found, mut neighbours) = (Vec::new(), 0);
    for (finding, rule) in outcome.findings.iter().zip(rules(&outcome.findings)) {
        match finding.body.contains("i-before") || finding.body.contains("i-behind") {
            true => neighbours += 1,
            false => found.push(rule.to_owned()),
        }
    }
    assert_eq!(neighbours, 2, "{record:.300}");
    (found, outcome.rejections.iter().map(|rejection| rejection.reason.code()).collect())
}

#[track_caller]
fn assert_found(record: &Value, expected: &[&str]) {
    assert_eq!(between(&record.to_string()), (expected.iter().map(|rule| (*rule).to_owned()).collect(), Vec::new()));
}

const FOUND: &[&str] = &["aws-instance-created"];

/// GorillaStack auto-tag#4, cartography#1740, cloud-custodian#2565.
#[test]
fn an_unexpected_value_in_place_of_an_object_does_not_hide_a_launch() {
    for strange in [json!(null), json!("text"), json!(5), json!([]), json!({}), json!(true), json!({"items": null})] {
        for member in ["requestParameters", "responseElements", "additionalEventData"] {
            let mut record = launch();
            record[member] = strange.clone();
            assert_found(&record, FOUND);
        }
        let mut record = launch();
        record["responseElements"]["instancesSet"] = strange.clone();
        assert_found(&record, FOUND);
    }
}

/// OpenSIEM-Logstash-Parsing#21, resource-auto-tagger#13: records without an identity do not join each other,
/// and the launch is found.
#[test]
fn a_missing_or_empty_identity_does_not_hide_a_launch() {
    for identity in [json!(null), json!("root"), json!({}), json!({"sessionContext": {"sessionIssuer": {}}}), json!([])]
    {
        let mut record = launch();
        record["userIdentity"] = identity;
        assert_found(&record, FOUND);
        record.as_object_mut().unwrap().remove("userIdentity");
        assert_found(&record, FOUND);
    }
}

/// crowdsecurity/hub#751: a failure is indicated by a member that is usually absent.
#[test]
fn a_null_or_empty_error_code_means_success() {
    for (code, expected) in [(json!(null), FOUND), (json!(""), FOUND), (json!("Client.DryRunOperation"), &[])] {
        let mut record = launch();
        record["errorCode"] = code;
        assert_found(&record, expected);
    }
}

/// logstash-codec-cloudtrail#7, #14, #26; aws-samples/siem-on-amazon-opensearch-service#98.
#[test]
fn members_of_varying_type_do_not_hide_a_launch() {
    let mut record = launch();
    record["apiVersion"] = json!("2016_01_28");
    for value in [json!("t3.micro"), json!({"value": "t3.micro"}), json!(false)] {
        record["requestParameters"]["instanceType"] = value.clone();
        record["requestParameters"]["disableApiTermination"] = value.clone();
        record["requestParameters"]["iamInstanceProfile"] = value;
        assert_found(&record, FOUND);
    }
}

/// wazuh/wazuh#36209: a single-element list arrives as its element. Two instances are two findings.
#[test]
fn items_may_be_an_object_or_a_list() {
    let mut record = launch();
    record["responseElements"]["instancesSet"]["items"] = json!({"instanceId": "i-1"});
    assert_found(&record, FOUND);
    record["responseElements"]["instancesSet"]["items"] = json!([{"instanceId": "i-1"}, null, {"instanceId": "i-2"}]);
    assert_found(&record, &["aws-instance-created", "aws-instance-created"]);
}

/// vectordotdev/vector#3077: launches of hundreds of instances are too large for some pipelines.
#[test]
fn a_launch_of_hundreds_of_instances_is_found() {
    let mut record = launch();
    let item = |number| json!({"instanceId": format!("i-{number:017x}"), "tagSet": {"items": [{"key": "k", "value": "v".repeat(900)}]}});
    record["responseElements"]["instancesSet"]["items"] = (0..300).map(item).collect();
    assert!(record.to_string().len() > 256 << 10);
    assert_found(&record, &["aws-instance-created"; 300]);
}

/// Regression: each value that a record binds was compared with every other one. That took quadratic time, and the
/// sandbox timed out.
#[test]
fn a_record_may_bind_many_thousands_of_values() {
    const VALUES: usize = 200_000;
    let mut record = launch();
    record["responseElements"]["instancesSet"]["items"] =
        (0..VALUES).map(|number| json!({"instanceId": format!("i-{number:x}")})).collect();
    // One record gives at most 4,096 findings of a rule; another says how many are missing.
    assert_found(&record, &[&["aws-instance-created"; 4_096][..], &["state-pressure"]].concat());
    let mut record = launch();
    record["requestParameters"]["blockDeviceMapping"]["items"] =
        (0..VALUES).map(|number| json!({"ebs": {"snapshotId": format!("snap-{number:x}")}})).collect();
    assert_found(&record, &["aws-instance-created"]);
}

/// falcosecurity/plugins#297, aws-cloudtrail-processing-library#13.
#[test]
fn a_truncated_record_is_rejected_but_a_truncated_column_is_not() {
    let text = launch().to_string();
    let (found, rejected) = between(&text[..text.len() / 2]);
    assert_eq!((found.len(), rejected), (0, vec!["truncated"]));
    let (found, rejected) =
        between(&text.replace("\"responseElements\":{", "\"responseElements\":[Truncated...],\"x\":{"));
    assert_eq!((found.len(), rejected), (0, vec!["malformed-json"]));
    // A shipper that truncates columns at 64 KiB loses the column but not the launch.
    let mut row = catena_synthetic::shapes::sentinel_row(&launch());
    let column = row["RequestParameters"].as_str().unwrap().to_owned();
    row["RequestParameters"] = json!(&column[..column.len() / 2]);
    assert_found(&row, FOUND);
    row["ResponseElements"] = json!("null");
    assert_found(&row, FOUND);
}

#[test]
fn a_byte_order_mark_crlf_and_empty_lines_are_ignored() {
    let text = launch().to_string();
    let batch = format!(
        "\u{FEFF}{text}\r\n\r\n\n   \r\n{}\r\n",
        azure("virtualMachines", "vm", 0, "Accept", "Accepted.Created", None)
    );
    let outcome = Both::open("{}").process(batch.as_bytes());
    assert_eq!((outcome.records, outcome.rejections.len()), (2, 0));
    assert_eq!(rules(&outcome.findings), ["aws-instance-created", "azure-instance-created"]);
}

#[test]
fn text_that_is_not_unicode_does_not_hide_a_call() {
    let text = launch().to_string();
    let mut bad = text.clone().into_bytes();
    let name = text.find("mallory").unwrap();
    bad[name] = 0xFF;
    let mut batch = [text.as_bytes(), b"\n", &bad, b"\n{\"eventName\":\"Other\",\"x\":\"\xFF\"}\n"].concat();
    batch.extend(gcp_chain()[0].to_string().into_bytes());
    batch.extend(format!("\n{}\n", text.replace("mallory", "mall\\udcffory")).into_bytes());
    let outcome = Both::open("{}").process(&batch);
    assert_eq!(outcome.rejections, []);
    assert_eq!(outcome.matched, 4);
    assert_eq!(rules(&outcome.findings), ["aws-instance-created", "gcp-instance-created"]);
}

#[test]
fn the_last_member_of_a_repeated_name_wins() {
    let text = launch().to_string();
    let (found, _) = between(&text.replacen('{', r#"{"eventName":"DescribeInstances","#, 1));
    assert_eq!(found, FOUND);
    let (found, rejected) =
        between(&format!("{},{}", text.trim_end().strip_suffix('}').unwrap(), r#""eventName":"DescribeInstances"}"#));
    assert_eq!((found, rejected), (vec![], vec![]), "{text}");
}

#[test]
fn ten_thousand_levels_of_nesting_do_not_affect_other_records() {
    for (open, close) in [("[", "]"), ("{\"a\":", "}")] {
        let deep = format!("{}1{}", open.repeat(10_000), close.repeat(10_000));
        let text = launch().to_string();
        // It is skipped in an unused member. In a member that is read, it costs at most this record.
        let (found, rejected) = between(&text.replacen('{', &format!("{{\"deep\":{deep},"), 1));
        assert_eq!((found.len(), rejected), (1, vec![]), "{open}");
        let mut records = deep.clone();
        records.insert_str(0, r#"{"eventName":"RunInstances","responseElements":"#);
        records.push('}');
        let (found, rejected) = between(&records);
        assert_eq!(found.len(), 0);
        assert!(rejected.len() <= 1, "{rejected:?}");
    }
}

/// Regression: JSON embedded as text in JSON, each level as deep as the parser allows, overflowed the sandbox's stack.
#[test]
fn deep_nesting_in_deeply_nested_text_does_not_overflow_the_stack() {
    let mut deep = launch().to_string();
    for _ in 0..12 {
        let text = Value::from(deep).to_string();
        deep = format!("{}{text}{}", r#"{"detail":"#.repeat(120), "}".repeat(120));
        if deep.len() > 1 << 22 {
            break;
        }
    }
    let (found, rejected) =
        between(&deep.replacen('{', r#"{"eventName":"RunInstances","eventSource":"ec2.amazonaws.com","#, 1));
    assert_eq!((found.len(), rejected), (0, vec!["no-event-time"]));
}

/// Regression: the search for a container's list ran past the end of every line. 880 KB took 6.4 s.
#[test]
fn an_unfinished_container_ends_with_its_line() {
    let lines = "{\"owner\":{\n".repeat(200_000);
    let outcome = Both::open("{}").process(lines.as_bytes());
    assert_eq!((outcome.records, outcome.rejections.len()), (200_000, 200_000));
    // The next line belongs to another record.
    for (first, rest) in
        [("{\"Records\":", "[{}]}"), ("{", "\"Records\":[{}]}"), ("{\"owner\":", "1,\"Records\":[{}]}")]
    {
        let outcome = Both::open("{}").process(format!("{first}\n{rest}\n").as_bytes());
        assert_eq!(outcome.records, 2, "{first}");
        assert_eq!((outcome.rejections[0].start, outcome.rejections[0].end as usize), (0, first.len()), "{first}");
    }
}

/// newrelic/aws_s3_log_ingestion_lambda#99.
#[test]
fn a_line_of_50_mib_is_read() {
    let mut record = launch();
    record["additionalEventData"] = json!({"x": "y".repeat(50 << 20)});
    let mut batch = record.to_string().into_bytes();
    batch.push(b'\n');
    batch.extend(gcp_chain()[0].to_string().into_bytes());
    let outcome = Both::open("{}").process(&batch);
    assert_eq!((outcome.records, outcome.rejections.len()), (2, 0));
    assert_eq!(rules(&outcome.findings), ["aws-instance-created", "gcp-instance-created"]);
}

#[test]
fn a_bad_record_in_a_container_of_two_clouds_is_rejected_alone() {
    for name in ["Records", "records"] {
        let records = [launch().to_string(), r#"{"eventName":"RunInstances",}"#.to_owned(), gcp_chain()[0].to_string()];
        let batch = format!(r#"{{"{name}":[{}]}}"#, records.join(","));
        let outcome = Both::open("{}").process(batch.as_bytes());
        assert_eq!((outcome.records, outcome.rejections.len()), (3, 1));
        let rejected = &outcome.rejections[0];
        assert_eq!(&batch[rejected.start as usize..rejected.end as usize], records[1]);
        assert_eq!(rules(&outcome.findings), ["aws-instance-created", "gcp-instance-created"]);
    }
}

/// elastic/beats#30886, #25815, elastic/integrations#15421: Azure's identity and properties as text or as
/// JSON in text.
#[test]
fn azure_members_may_be_text_or_missing() {
    let vm = || azure("virtualMachines", "vm1", 0, "Success", "Succeeded.", None);
    for identity in
        [json!(null), json!("alice"), json!("{\"claims\":{\"appid\":\"x\"}}"), json!({"claims": "{\"appid\":\"x\"}"})]
    {
        let mut record = vm();
        record["identity"] = identity;
        record["properties"] = json!("{\"statusCode\":\"Created\",\"responseBody\":\"{cut off\"}");
        assert_found(&record, &["azure-instance-created"]);
    }
    let mut row = vm();
    for member in ["callerIpAddress", "correlationId", "level", "identity", "resourceId"] {
        row.as_object_mut().unwrap().remove(member);
        assert_found(&row, &["azure-instance-created"]);
    }
}

/// Regression: the scan of an element ran on to the next needle, however far past the element's end. A container of
/// tiny elements took quadratic time, and the sandbox timed out.
#[test]
fn a_container_of_many_tiny_records_is_read_in_one_pass() {
    const RECORDS: u32 = 400_000;
    let batch = format!("[{}{{}}]", "{},".repeat(RECORDS as usize - 1));
    let outcome = Both::open(r#"{"mode":"filter"}"#).process(batch.as_bytes());
    assert_eq!((outcome.records, outcome.dropped), (RECORDS, RECORDS));
}
