//! After a trap, Fluent Bit drops the record and calls the same instance again, with its memory as the trap left it.

use catena_synthetic::chain;
use serde_json::Value;

use crate::standin::FluentBit;

/// 2026-01-05T10:00:00Z.
const START: u64 = 1_767_607_200;

const NOISE: &str = r#"{"eventName":"ListBuckets","eventSource":"s3.amazonaws.com"}"#;

fn parsed(text: Option<String>) -> Value {
    serde_json::from_str(&text.expect("it passes")).expect("it is JSON")
}

/// Regression: with the state borrowed in the call, every later record vanished.
#[test]
fn a_chain_survives_a_trap_in_the_middle_of_any_call() {
    let [volume, snapshot, instance] = chain("mallory", START, 5);
    let [other, ..] = chain("other", START, 5);
    // Wherever the call stops: from its first instructions to its last.
    for fuel in [100, 5_000, 20_000, 40_000, 60_000, 80_000] {
        let mut fluent_bit = FluentBit::with("catena_enrich");
        for record in [&volume, &snapshot] {
            fluent_bit.record(record);
        }
        fluent_bit.record_with(&other, fuel).expect_err("it is cut short");
        let passed = parsed(fluent_bit.record(&instance));
        assert_eq!(passed["catena_findings"].as_array().map(Vec::len), Some(2), "{fuel}: {passed}");
    }
}

#[test]
fn what_was_lost_is_told_once_in_the_next_record() {
    let mut fluent_bit = FluentBit::with("catena_enrich");
    let [volume, ..] = chain("mallory", START, 5);
    fluent_bit.record(&volume);
    fluent_bit.record_with(&volume, 20_000).expect_err("it is cut short");
    let told = parsed(fluent_bit.record(NOISE));
    assert_eq!(told["catena_losses"], serde_json::json!({"failed_calls": 1, "lost_states": 0}));
    assert_eq!(fluent_bit.record(NOISE).as_deref(), Some(NOISE));
}

/// A mode that passes little must not keep a loss to itself until the next finding.
#[test]
fn a_loss_is_told_even_where_no_record_passes() {
    let mut fluent_bit = FluentBit::with("catena_findings");
    let [volume, ..] = chain("mallory", START, 5);
    fluent_bit.record(&volume);
    fluent_bit.record_with(&volume, 20_000).expect_err("it is cut short");
    assert_eq!(parsed(fluent_bit.record(NOISE))["catena_losses"]["failed_calls"], 1);
    assert_eq!(fluent_bit.record(NOISE), None);
}

#[test]
fn a_thousand_traps_leave_a_working_filter() {
    let mut fluent_bit = FluentBit::with("catena_enrich");
    let [volume, snapshot, instance] = chain("mallory", START, 5);
    for record in [&volume, &snapshot] {
        fluent_bit.record(record);
    }
    let before = fluent_bit.memory();
    for trap in 0..1000 {
        let [other, ..] = chain("other", START, 5);
        fluent_bit.record_with(&other, 20_000 + trap * 40).expect_err("it is cut short");
        fluent_bit.record(NOISE);
    }
    let passed = parsed(fluent_bit.record(&instance));
    assert_eq!(passed["catena_findings"].as_array().map(Vec::len), Some(2), "{passed}");
    // The state that the call had is never freed.
    let grown = fluent_bit.memory() - before;
    assert!(grown < 1000 * (1 << 20), "a trap costs {} bytes", grown / 1000);
}

#[test]
fn a_trap_after_thousands_of_records_goes_on_from_a_checkpoint() {
    let mut fluent_bit = FluentBit::with("catena_enrich");
    let [volume, snapshot, instance] = chain("mallory", START, 5);
    fluent_bit.record(&volume);
    fluent_bit.record(&snapshot);
    for at in 0..1500_u64 {
        let [other, ..] = chain(&format!("user-{at}"), START + at / 10, 5);
        fluent_bit.record(&other);
    }
    fluent_bit.record_with(&volume, 20_000).expect_err("it is cut short");
    let passed = parsed(fluent_bit.record(&instance));
    assert_eq!(passed["catena_findings"].as_array().map(Vec::len), Some(2), "{passed}");
}
