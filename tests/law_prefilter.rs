//! L6: the outcome is the same with and without the prefilter.

use crate::common::events;
use crate::common::forms;
use crate::common::run::Both;
use catena_synthetic::shapes as records;
use proptest::prelude::*;
use serde_json::json;

/// Generates records in spellings that mean the same to a JSON parser, or nearly the same, shifted by any distance.
fn disguised() -> impl Strategy<Value = String> {
    let shift = prop_oneof![Just(None), (0..130_usize).prop_map(Some)];
    (spelled(), shift).prop_map(|(line, shift)| shift.map_or_else(|| line.clone(), |length| shifted(&line, length)))
}

/// Shifts the object's members by a new first member whose value has `length` bytes.
fn shifted(object: &str, length: usize) -> String {
    object.replacen('{', &format!(r#"{{"a":"{}","#, "a".repeat(length)), 1)
}

fn spelled() -> impl Strategy<Value = String> {
    (events(1, 600), any::<bool>(), 0..56u8).prop_map(|(events, harmless, disguise)| {
        let mut line = events[0].line();
        if harmless {
            for action in ["CreateVolume", "CreateSnapshot", "RunInstances"] {
                line = line.replace(action, "DescribeInstances");
            }
        }
        let (azure, gcp) = (records::azure_chain(), records::gcp_chain());
        match disguise {
            0 => line.replace("\"eventName\":", "\"eventName\" : \t"),
            1 => line.replace("eventName", "event\\u004eame"),
            2 => line.replace("RunInstances", "\\u0052unInstances"),
            3 => line.replace("CreateVolume", "Create\\u0056olume"),
            4 => format!(r#"{{"eventName":"DescribeInstances","detail":{line}}}"#),
            5 => line.replacen('{', r#"{"nested":{"eventName":"RunInstances"},"#, 1),
            6 => line.replacen('{', r#"{"eventName":"DescribeInstances","#, 1),
            7 => line.replace("\"eventID\"", r#""eventName":"DescribeInstances","eventID""#),
            8 => line.replacen('{', r#"{"note":"\\\"eventName\\\":\\\"RunInstances\\\" \u003c","#, 1),
            9 => line.replace("\"eventName\":\"", "\"eventName\":5,\"eventname\":\""),
            10 => format!(r#"{{ "Records" : [ {line} , {line} ] }}"#),
            11 => records::subscription(&[line.clone(), line]).to_string(),
            12 => json!({"EventName": "x", "CloudTrailEvent": line.replace("\":", "\"\n\t : ")}).to_string(),
            13 => json!({"log": "x", "event": {"original": json!({"message": line}).to_string()}}).to_string(),
            14 => json!({"message": {"data": records::base64(line.as_bytes())}}).to_string(),
            // Not an envelope: `message` is not the first member.
            15 => json!({"a": 1, "message": {"data": records::base64(line.as_bytes())}}).to_string(),
            16 => records::sentinel_row(&serde_json::from_str(&line).unwrap()).to_string(),
            17 => azure[0].to_string().replace('/', "\\/"),
            18 => azure[1].to_string().replace("\"operationName\"", "\"operation_name\""),
            19 => azure[2].to_string().replace(
                "\"MICROSOFT.COMPUTE/VIRTUALMACHINES/WRITE\"",
                r#"{ "value" : "Microsoft.Compute/virtualMachines/write", "localizedValue":"x" }"#,
            ),
            20 => azure[0].to_string().replace("MICROSOFT", "\\u004dicrosoft"),
            21 => gcp[0].to_string(),
            22 => gcp[1].to_string().replace("\"methodName\":\"beta.", "\"methodName\" : \""),
            23 => json!({"gcp": {"audit": {"method_name": "v1.compute.instances.insert"}}, "@timestamp": "2026-01-05T10:00:00Z"})
                .to_string(),
            24 => json!({"class_uid": 6003, "raw_data": line}).to_string(),
            // Without the members that identify the schema, these names have no meaning.
            25 => json!({"event": {"action": "RunInstances", "provider": "ec2.amazonaws.com"}, "@timestamp": "2026-01-05T10:00:00Z"})
                .to_string(),
            26 => json!({"api": {"operation": "RunInstances", "service": {"name": "ec2.amazonaws.com"}}, "time": 1_767_607_200_000_u64})
                .to_string(),
            27..45 => {
                let record = whole(&line);
                let form = usize::from(disguise) % forms::AWS_FORMS;
                let other = forms::aws_form(&record, form).to_string();
                match disguise % 6 {
                    0 => other,
                    1 => json!({"log": other}).to_string(),
                    2 => json!({"eventName": "Other", "x": [{"y": other}]}).to_string(),
                    3 => json!({"x": {"eventname": "RunInstances"}, "y": records::base64(other.as_bytes())}).to_string(),
                    4 => format!("2026-01-05 {other}"),
                    _ => json!({"EVENT_NAME": "RunInstances", "eventName": {"a": [other]}}).to_string().replace("Name", "n\\u0061me"),
                }
            }
            // Names of other spellings, and names that are none although they have the same letters.
            45..55 => {
                let record = whole(&line);
                let form = forms::aws_form(&record, usize::from(disguise) % forms::AWS_FORMS);
                let spell = |spelling: fn(&str) -> String| renamed(&form, spelling).to_string();
                match disguise {
                    45 | 46 => spell(str::to_ascii_lowercase),
                    47 | 48 => spell(str::to_ascii_uppercase),
                    49 => spell(|name| name.replace('N', " N").replace('_', " ")),
                    50 => spell(|name| name.replace('N', "},{N") + "+ "),
                    51 => spell(|name| name.replace('N', "\nN").replace('o', "\"o")),
                    52 => spell(|name| format!("detail.{name}")),
                    53 => json!({"message": spell(str::to_ascii_uppercase)}).to_string(),
                    _ => json!({"message": json!({"log": form.to_string()}).to_string()}).to_string(),
                }
            }
            _ => line,
        }
    })
}

/// The record with every member that a form needs.
fn whole(line: &str) -> serde_json::Value {
    let mut record: serde_json::Value = serde_json::from_str(line).unwrap();
    for (name, value) in [("awsRegion", "r"), ("sourceIPAddress", "s"), ("userAgent", "u"), ("eventType", "AwsApiCall")]
    {
        record[name] = json!(value);
    }
    record
}

/// The value with other names for its members and those of all values in it.
fn renamed(value: &serde_json::Value, spell: fn(&str) -> String) -> serde_json::Value {
    match value {
        serde_json::Value::Object(members) => members
            .iter()
            .map(|(name, value)| (spell(name), renamed(value, spell)))
            .collect::<serde_json::Map<_, _>>()
            .into(),
        serde_json::Value::Array(elements) => elements.iter().map(|element| renamed(element, spell)).collect(),
        other => other.clone(),
    }
}

proptest! {
    #![proptest_config(crate::common::cases(500))]

    #[test]
    fn the_prefilter_changes_nothing_for_disguised_records(lines in prop::collection::vec(disguised(), 1..12)) {
        let batch = lines.join("\n");
        let with = Both::open("{}").process(batch.as_bytes());
        let without = Both::open(r#"{"prefilter":false}"#).process(batch.as_bytes());
        prop_assert_eq!(with, without);
    }

    #[test]
    fn the_prefilter_changes_nothing_for_arbitrary_bytes(
        pieces in prop::collection::vec(prop_oneof![
            disguised().prop_map(String::into_bytes),
            prop::collection::vec(any::<u8>(), 0..80),
            prop::sample::select(vec!["\n", "{", "}", "[", "]", ",", ":", "\"", "\\", "\\u0052", "{\"Records\":[", "\"eventName\"", "\"RunInstances\"",
                "{\"eventname\":\"RunInstances\",\"eventsource\":\"ec2.amazonaws.com\"}", "{\"a\":\"", "\\\"eventName\\\":\\\"RunInstances\\\"", "\"eyJ",
                "{\"records\":[{\"data\":\"e30=\"}]}", "{\"message\":\"{}\"}", "{\"logEvents\":[", "_name", "operationName"])
                .prop_map(|text| text.as_bytes().to_vec()),
        ], 0..40),
    ) {
        let batch = pieces.concat();
        let with = Both::open("{}").process(&batch);
        let without = Both::open(r#"{"prefilter":false}"#).process(&batch);
        prop_assert_eq!(with, without);
    }
}

/// The disguises above do match. Otherwise the law would hold vacuously.
#[test]
fn every_disguised_launch_matches() {
    let [_, _, instance] = crate::common::chain(60, 120);
    let line = instance.line();
    for text in [
        records::subscription(std::slice::from_ref(&line)).to_string(),
        json!({"EventName": "x", "CloudTrailEvent": line.replace("\":", "\"\n\t : ")}).to_string(),
        json!({"event": {"original": json!({"message": line}).to_string()}}).to_string(),
        json!({"message": {"data": records::base64(line.as_bytes())}}).to_string(),
        records::azure_chain()[0].to_string().replace('/', "\\/"),
        records::azure_chain()[1].to_string().replace("\"operationName\"", "\"operation_name\""),
        records::azure_chain()[0].to_string().replace("MICROSOFT", "\\u004dicrosoft"),
        records::gcp_chain()[1].to_string().replace("beta.", ""),
        json!({"gcp": {"audit": {"method_name": "v1.compute.instances.insert"}}, "@timestamp": "2026-01-05T10:00:00Z"})
            .to_string(),
    ] {
        assert_eq!(Both::open("{}").process(text.as_bytes()).matched, 1, "{text}");
    }
}

/// Regression: the prefilter missed a two-byte needle that straddled the end of a 64-byte block.
#[test]
fn an_action_is_found_at_any_offset_in_its_record() {
    let [_, _, instance] = crate::common::chain(60, 120);
    let [azure, gcp] = [records::azure_chain()[0].to_string(), records::gcp_chain()[1].to_string()];
    let rows = [
        json!({"gcp": {"audit": {"method_name": "v1.compute.instances.insert"}}, "@timestamp": "2026-01-05T10:00:00Z"})
            .to_string(),
        instance.line().replace("RunInstances", "\\u0052unInstances"),
    ];
    for line in [instance.line(), azure, gcp].iter().chain(&rows) {
        for length in 0..=256 {
            let text = shifted(line, length);
            assert_eq!(Both::open("{}").process(text.as_bytes()).matched, 1, "{text}");
        }
    }
}

/// Regression: an action that begins with a slash was missed when the encoder had escaped the slash as `\/`.
#[test]
fn an_action_that_begins_with_an_escaped_slash_is_found() {
    let rule = r#"{"id":"r","version":1,"title":"t","severity":"low","steps":[
        {"id":"s","provider":"aws","service":"x","actions":["/one/two"]}]}"#;
    let config = format!(r#"{{"built_in_rules":false,"rules":[{rule}]}}"#);
    for action in ["/one/two", "\\/one\\/two"] {
        let record =
            format!(r#"{{"eventName":"{action}","eventSource":"x","eventTime":"2026-01-05T10:00:00Z","eventID":"1"}}"#);
        assert_eq!(Both::open(&config).process(record.as_bytes()).matched, 1, "{action}");
    }
}
