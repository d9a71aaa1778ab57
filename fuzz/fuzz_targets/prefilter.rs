//! Law L6: for any bytes, the outcome is the same with and without the prefilter.

#![no_main]

use catena::{Correlator, Timestamp};
use libfuzzer_sys::fuzz_target;

const NOW: Timestamp = Timestamp::from_millis(1_900_000_000_000);

/// Few rules, so that the time is spent on records and not on rules.
const RULES: &str = r#"[{"id":"chain","version":1,"title":"t","severity":"low","within":"15m","steps":[
    {"id":"volume","provider":"aws","service":"ec2.amazonaws.com","actions":["CreateVolume"],"bind":{"volume":"responseElements.volumeId"}},
    {"id":"launch","provider":"aws","service":"ec2.amazonaws.com","actions":["CreateSnapshot","RunInstances"],"bind":{"volume":"requestParameters.volumeId"}}]},
    {"id":"launched","version":1,"title":"t","severity":"low","steps":[
    {"id":"launch","provider":"aws","service":"ec2.amazonaws.com","actions":["RunInstances"]}]}]"#;

fuzz_target!(|batch: &[u8]| {
    let mode = if batch.len() % 2 == 0 { "enrich" } else { "filter" };
    let process = |prefilter: bool| {
        let config = format!(r#"{{"mode":"{mode}","prefilter":{prefilter},"built_in_rules":false,"rules":{RULES}}}"#);
        let mut correlator = Correlator::new(config.parse().expect("the configuration should be valid")).expect("the rules should be valid");
        let outcome = correlator.process(batch, NOW).expect("the batch should be within the limit");
        correlator.check();
        outcome
    };
    let outcome = process(true);
    assert_eq!(outcome, process(false));
    assert_eq!(outcome.records, outcome.passed() + outcome.dropped + outcome.rejections.len() as u32);
    // Splices must be in order, disjoint and within the batch.
    let mut at = 0;
    for splice in &outcome.splices {
        assert!(at <= splice.start && splice.start <= splice.end && splice.end as usize <= batch.len());
        at = splice.end;
    }
});
