//! L5: records in = passed + dropped + rejected, and every eviction is counted.

use crate::common::run::Both;
use crate::common::{events, lines};
use proptest::prelude::*;

fn line() -> impl Strategy<Value = String> {
    let record = || events(1, 600).prop_map(|events| events[0].line());
    prop_oneof![
        4 => record(),
        1 => Just(r#"{"eventName":"DescribeInstances"}"#.to_owned()),
        1 => Just("nonsense".to_owned()),
        1 => Just("{\"eventName\":\"RunInst".to_owned()),
        1 => Just(String::new()),
        1 => prop::collection::vec(record(), 0..4).prop_map(|records| format!(r#"{{"Records":[{}]}}"#, records.join(", "))),
        1 => Just(r#"{"Records":[{"a":1},null,{"b":2}"#.to_owned()),
    ]
}

/// The number of records in a line.
fn count(line: &str) -> u32 {
    match serde_json::from_str::<serde_json::Value>(line) {
        Ok(value) => value["Records"].as_array().map_or(1, |records| records.len() as u32),
        Err(_) if line.is_empty() => 0,
        // Three elements, plus the end of the container, which is cut off and counts as one record.
        Err(_) if line.starts_with("{\"Records\"") => 4,
        Err(_) => 1,
    }
}

proptest! {
    #![proptest_config(crate::common::cases(200))]

    #[test]
    fn every_record_is_accounted_for(
        lines in prop::collection::vec(line(), 0..20),
        mode in prop::sample::select(vec!["enrich", "filter", "findings"]),
    ) {
        let batch = lines.join("\n");
        let outcome = Both::open(&format!(r#"{{"mode":"{mode}"}}"#)).process(batch.as_bytes());
        prop_assert_eq!(outcome.records, lines.iter().map(|line| count(line)).sum::<u32>());
        prop_assert_eq!(outcome.records, outcome.passed() + outcome.dropped + outcome.rejections.len() as u32);
        match mode {
            "enrich" => prop_assert_eq!(outcome.dropped, 0),
            "filter" => prop_assert_eq!(outcome.passed(), outcome.matched),
            _ => prop_assert_eq!(outcome.passed(), 0),
        }
    }

    #[test]
    fn every_eviction_is_counted(events in events(1..60, 600)) {
        let mut both = Both::open(r#"{"limits":{"pending":5,"pending_per_identity":4}}"#);
        both.process(&lines(&events));
        let kept = events.iter().filter(|event| !event.failed && event.identity.is_some()).count() as u64;
        let gone = both.metric("evicted:identity") + both.metric("evicted:total");
        prop_assert_eq!(both.metric("pending") + gone, kept, "nothing expires within 600 s");
        prop_assert!(both.metric("pending") <= 5);
    }
}
