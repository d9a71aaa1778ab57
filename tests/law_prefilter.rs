//! L6: with and without the prefilter the outcome is the same.

mod common;

use common::events;
use common::run::Both;
use proptest::prelude::*;

/// Records in spellings that have the same meaning to a JSON parser, or nearly the same.
fn disguised() -> impl Strategy<Value = String> {
    (events(1, 600), 0..12u8).prop_map(|(events, disguise)| {
        let line = events[0].line();
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
            _ => line,
        }
    })
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(500))]

    #[test]
    fn disguised_records_are_found(lines in prop::collection::vec(disguised(), 1..12)) {
        let batch = lines.join("\n");
        let with = Both::open("{}").process(batch.as_bytes());
        let without = Both::open(r#"{"prefilter":false}"#).process(batch.as_bytes());
        prop_assert_eq!(with, without);
    }

    #[test]
    fn arbitrary_bytes_are_no_exception(
        pieces in prop::collection::vec(prop_oneof![
            disguised().prop_map(String::into_bytes),
            prop::collection::vec(any::<u8>(), 0..80),
            prop::sample::select(vec!["\n", "{", "}", "[", "]", ",", ":", "\"", "\\", "\\u0052", "{\"Records\":[", "\"eventName\"", "\"RunInstances\""])
                .prop_map(|text| text.as_bytes().to_vec()),
        ], 0..40),
    ) {
        let batch = pieces.concat();
        let with = Both::open("{}").process(&batch);
        let without = Both::open(r#"{"prefilter":false}"#).process(&batch);
        prop_assert_eq!(with, without);
    }
}
