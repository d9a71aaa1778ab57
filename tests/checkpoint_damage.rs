//! A checkpoint that is truncated or altered anywhere is refused with a reason, and never restored in part.

use std::sync::LazyLock;

use crate::common::{chain, lines};
use catena::Error;

/// One rule alone: it compiles in microseconds, and thousands of checkpoints are tried.
static ONE_RULE: LazyLock<String> = LazyLock::new(|| {
    let others = catena::built_in().unwrap().into_iter().map(|rule| rule.id).filter(|id| id != "aws-snapshot-staging");
    serde_json::json!({"disabled_rules": others.collect::<Vec<_>>()}).to_string()
});

fn checkpoint() -> Vec<u8> {
    let mut correlator = crate::common::run::open(&ONE_RULE).unwrap();
    correlator.process(&lines(&chain(60, 120)), crate::common::NOW).unwrap();
    correlator.checkpoint()
}

fn refused(checkpoint: &[u8]) -> bool {
    matches!(crate::common::run::resume(&ONE_RULE, checkpoint), Err(Error::InvalidCheckpoint(why)) if !why.is_empty())
}

#[test]
fn a_truncated_checkpoint_is_refused() {
    let checkpoint = checkpoint();
    for length in 0..checkpoint.len() {
        assert!(refused(&checkpoint[..length]), "truncated to {length} bytes");
    }
    assert!(crate::common::run::resume(&ONE_RULE, &checkpoint).is_ok());
}

#[test]
fn a_checkpoint_with_a_flipped_bit_is_refused() {
    let checkpoint = checkpoint();
    for at in 0..checkpoint.len() * 8 {
        let mut flipped = checkpoint.clone();
        flipped[at / 8] ^= 1 << (at % 8);
        assert!(refused(&flipped), "bit {at}");
    }
}

#[test]
fn the_state_of_unchanged_rules_survives_when_other_rules_change() {
    let [volume, snapshot, instance] = chain(60, 120);
    let mut before = crate::common::run::open("{}").unwrap();
    before.process(&lines(&[volume, snapshot]), crate::common::NOW).unwrap();
    let more = r#"{"rules":[{"id":"a-launch","version":1,"title":"t","severity":"low","steps":[
        {"id":"one","provider":"aws","service":"ec2.amazonaws.com","actions":["RunInstances"],"bind":{"type":"requestParameters.instanceType"}}]}]}"#;
    let mut after = crate::common::run::resume(more, &before.checkpoint()).unwrap();
    let found = after.process(&lines(std::slice::from_ref(&instance)), crate::common::NOW).unwrap().findings;
    let rules: Vec<_> = found.iter().map(|finding| finding.rule.as_str()).collect();
    assert_eq!(rules, ["aws-instance-created", "aws-snapshot-staging", "a-launch"]);
    let mut without = crate::common::run::resume(r#"{"built_in_rules":false}"#, &before.checkpoint()).unwrap();
    assert!(without.metrics().iter().any(|metric| metric.name == "reset:aws-snapshot-staging" && metric.value == 1));
    assert_eq!(without.process(&lines(&[instance]), crate::common::NOW).unwrap().findings, []);
}
