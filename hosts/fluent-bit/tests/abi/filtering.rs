//! Each function passes what its mode says, and findings ride in the record that completed them.

use catena::{Config, Correlator};
use catena_synthetic::{Stream, chain};
use serde_json::{Value, json};

use crate::standin::FluentBit;

/// 2026-01-05T10:00:00Z.
const START: u64 = 1_767_607_200;

fn parsed(text: Option<String>) -> Value {
    serde_json::from_str(&text.expect("it passes")).expect("it is JSON")
}

fn rules_of(record: &Value) -> Vec<&str> {
    let findings = record["catena_findings"].as_array().map(Vec::as_slice).unwrap_or_default();
    findings.iter().filter_map(|finding| finding["finding_info"]["analytic"]["uid"].as_str()).collect()
}

#[test]
fn enriching_passes_every_record_and_adds_findings_to_the_one_that_completes_a_chain() {
    let mut fluent_bit = FluentBit::with("catena_enrich");
    let noise = r#"{"eventName":"ListBuckets","eventSource":"s3.amazonaws.com"}"#;
    assert_eq!(fluent_bit.record(noise).as_deref(), Some(noise));
    let [volume, snapshot, instance] = chain("mallory", START, 5);
    for record in [&volume, &snapshot] {
        let passed = parsed(fluent_bit.record(record));
        assert!(passed["catena"]["matches"].is_array() && rules_of(&passed).is_empty(), "{passed}");
    }
    let passed = parsed(fluent_bit.record(&instance));
    assert_eq!(rules_of(&passed), ["aws-instance-created", "aws-snapshot-staging"]);
    assert_eq!(passed["eventName"], "RunInstances");
}

/// Whatever the engine finds, byte for byte: the module has no vectors, the program's component has.
#[test]
fn findings_are_those_of_the_engine() {
    let stream =
        Stream { records: 3_000, chains: 20, of_interest_per_10_000: 500, disorder_seconds: 60, ..Stream::default() };
    let lines = stream.lines();
    let mut engine = Correlator::new(Config::default()).expect("the settings are valid");
    let outcome = engine.process(&stream.bytes(), None).expect("it is processed");
    let expected: Vec<Value> =
        outcome.findings.iter().map(|finding| serde_json::from_str(&finding.body).expect("it is JSON")).collect();
    let mut fluent_bit = FluentBit::with("catena_enrich");
    let passed: Vec<Value> = lines.iter().map(|line| parsed(fluent_bit.record(line))).collect();
    let lists = passed.iter().filter_map(|record| record["catena_findings"].as_array());
    assert_eq!(lists.flatten().cloned().collect::<Vec<_>>(), expected);
    assert!(expected.len() >= 40);
}

#[test]
fn filtering_drops_what_matches_no_rule() {
    let mut fluent_bit = FluentBit::with("catena_filter");
    assert_eq!(fluent_bit.record(r#"{"eventName":"ListBuckets","eventSource":"s3.amazonaws.com"}"#), None);
    let [volume, ..] = chain("mallory", START, 5);
    assert!(parsed(fluent_bit.record(&volume))["catena"].is_object());
}

#[test]
fn findings_are_records_of_their_own() {
    let mut fluent_bit = FluentBit::with("catena_findings");
    let [volume, snapshot, instance] = chain("mallory", START, 5);
    assert_eq!((fluent_bit.record(&volume), fluent_bit.record(&snapshot)), (None, None));
    let found = parsed(fluent_bit.record(&instance));
    assert_eq!(rules_of(&found).len(), 2);
    assert!(found.get("eventName").is_none());
}

#[test]
fn a_record_in_text_is_found_as_fluent_bit_keeps_a_line_that_it_does_not_parse() {
    let mut fluent_bit = FluentBit::with("catena_enrich");
    let found = chain("mallory", START, 5).map(|record| {
        let passed = parsed(fluent_bit.record(&json!({ "log": record }).to_string()));
        assert_eq!(passed["log"], record);
        rules_of(&passed).len()
    });
    assert_eq!(found, [0, 0, 2]);
}

#[test]
fn a_record_that_cannot_be_read_says_why() {
    let mut fluent_bit = FluentBit::with("catena_enrich");
    let bad = r#"{"eventName":"RunInstances","eventSource":"ec2.amazonaws.com","eventTime":"yesterday"}"#;
    let passed = parsed(fluent_bit.record(bad));
    assert_eq!(passed["catena_rejected"]["code"], "bad-event-time");
    assert_eq!(passed["eventName"], "RunInstances");
    // What is left out by the filter itself must not end Fluent Bit.
    assert_eq!(fluent_bit.record("{}").as_deref(), Some("{}"));
    assert_eq!(fluent_bit.record("[1]").as_deref(), Some("[1]"));
}

/// Regression: without `malloc`, Fluent Bit passes nothing that is longer than its own heap of 8 KiB.
#[test]
fn a_record_of_a_megabyte_passes() {
    let mut fluent_bit = FluentBit::with("catena_enrich");
    let [volume, ..] = chain("mallory", START, 5);
    let long = format!(r#"{},"padding":"{}"}}"#, &volume[..volume.len() - 1], "x".repeat(1 << 20));
    assert!(parsed(fluent_bit.record(&long))["catena"].is_object());
}

#[test]
fn memory_stays_where_it_is() {
    let mut fluent_bit = FluentBit::with("catena_enrich");
    let noise = format!(r#"{{"eventName":"ListBuckets","eventSource":"s3.amazonaws.com","x":"{}"}}"#, "x".repeat(2000));
    let pass = |fluent_bit: &mut FluentBit, identities: std::ops::Range<u64>| {
        for identity in identities {
            fluent_bit.record(&noise);
            chain(&format!("user-{}", identity % 50), START + identity * 60, 5).iter().for_each(|record| {
                fluent_bit.record(record);
            });
        }
    };
    // Ids of events are remembered for a day, the first 1,440 chains.
    pass(&mut fluent_bit, 0..2000);
    let before = fluent_bit.memory();
    pass(&mut fluent_bit, 2000..6000);
    assert!(fluent_bit.memory() <= before + before / 8, "{before} then {}", fluent_bit.memory());
}
